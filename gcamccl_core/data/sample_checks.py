"""What genotypes say of the people themselves: their sex, their heterozygosity, and who is related."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gcamccl_core.data.external_tools import run_tool
from gcamccl_core.data.filesets import SAMPLE_COLUMNS, Fileset

FEMALE_BELOW, MALE_ABOVE = 0.2, 0.8  # of the inbreeding coefficient F on X, as in PLINK 1.9
OUTLYING = 3.0  # standard deviations of F
RELATED = 0.0884  # kinship of second-degree relatives and closer (Manichaikul et al. 2010)
ENOUGH_SNPS = 1000  # for kinship
ENOUGH_OF_X = 50
SEXES = {"1": "male", "2": "female"}
MANY = 500_000  # genotypes held in memory at a time are this many times the people


def check_samples(files: Fileset, kept: Fileset) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    r"""Report what may be wrong with people; nobody is removed.

    The inbreeding coefficient of a person is :math:`F = (O - E) / (N - E)`, with O homozygous genotypes of N, and E of
    them expected by the allele frequencies. On X it is near 1 for men, who have one copy, and near 0 for women.
    Kinship is KING's estimate, which needs no frequencies.

    Parameters
    ----------
    files : Fileset
        Before any filter: X is of these.
    kept : Fileset
        After the filters: heterozygosity and kinship are of these.

    Returns
    -------
    samples : pandas.DataFrame
        One row per person of ``files``: ``subject``, ``kept``, ``missing`` (share of genotypes), ``inbreeding`` (F, NaN
        where not kept), ``inbreeding_outlying`` (more than three standard deviations from the mean), ``sex_stated``,
        ``sex_x`` ("male", "female" or "" where X does not tell), ``sex_mismatch``.
    related : pandas.DataFrame or None
        One row per pair of second-degree relatives or closer: ``subject_1``, ``subject_2``, ``kinship`` (0.5 for
        twins and duplicates, 0.25 for parents and siblings, 0.125 in second degree). None where
        there are too few SNPs to tell.
    """
    subject = dict(zip(files.names, files.samples["subject"], strict=True))
    table = pd.DataFrame({"subject": list(subject.values())})
    table["kept"] = table["subject"].isin(kept.names.map(subject))
    with TemporaryDirectory() as folder:
        out = Path(folder) / "report"
        run_tool("plink2", ["--bfile", files.prefix, "--missing", "sample-only", "--out", out])
        table["missing"] = table["subject"].map(_read_report(f"{out}.smiss", subject)["F_MISS"])
        table["inbreeding"] = np.nan
        if len(kept.samples) > 1:
            people = Path(folder) / "people.fam"  # without parents, for plink2 takes frequencies from founders alone
            kept.samples.assign(father="0", mother="0")[SAMPLE_COLUMNS].to_csv(
                people, sep="\t", header=False, index=False
            )
            source = ["--bed", f"{kept.prefix}.bed", "--bim", f"{kept.prefix}.bim", "--fam", people]
            run_tool("plink2", [*source, "--het", "--bad-freqs", "--out", out])
            table["inbreeding"] = table["subject"].map(_read_report(f"{out}.het", subject)["F"])
    distance = (table["inbreeding"] - table["inbreeding"].mean()).abs()
    table["inbreeding_outlying"] = distance > OUTLYING * table["inbreeding"].std()
    table["sex_stated"] = files.samples["sex"].map(SEXES).fillna("")
    table["sex_x"] = read_sex(files)
    told = (table["sex_x"] != "") & (table["sex_stated"] != "")
    table["sex_mismatch"] = told & (table["sex_x"] != table["sex_stated"])
    return table, find_relatives(kept)


def number_families(related: pd.DataFrame, subjects: Sequence[str]) -> pd.Series:
    """Give relatives, and their relatives, one family, so that no split divides it.

    Parameters
    ----------
    related : pandas.DataFrame
        As of :func:`find_relatives`.
    subjects : sequence of str
        Whose families are asked for; others may link them.

    Returns
    -------
    pandas.Series
        "family 0", "family 1" … by subject; who is related to nobody has one alone.

    Examples
    --------
    >>> pairs = pd.DataFrame({"subject_1": ["a", "b"], "subject_2": ["b", "c"], "kinship": 0.25})
    >>> number_families(pairs, ["a", "c", "d"]).tolist()
    ['family 0', 'family 0', 'family 1']
    """
    names = pd.Index([*subjects, *related["subject_1"], *related["subject_2"]]).unique()
    places = [names.get_indexer(pd.Index(related[f"subject_{number}"])) for number in (1, 2)]
    links = coo_array((np.ones(len(related)), tuple(places)), shape=(len(names),) * 2)
    _, family = connected_components(links, directed=False)
    numbers, _ = pd.factorize(family[names.get_indexer(pd.Index(subjects))])
    return pd.Series([f"family {number}" for number in numbers], index=list(subjects))


def find_relatives(files: Fileset) -> pd.DataFrame | None:
    """List pairs of second-degree relatives and closer, by KING's estimate of kinship.

    Returns
    -------
    pandas.DataFrame or None
        As the second table of :func:`check_samples`; None of fewer than 1000 SNPs, which cannot tell.
    """
    nobody = pd.DataFrame({"subject_1": [], "subject_2": [], "kinship": []})
    if len(files.variants) < ENOUGH_SNPS:
        return None
    if len(files.samples) < 2:
        return nobody
    subject = dict(zip(files.names, files.samples["subject"], strict=True))
    with TemporaryDirectory() as folder:
        out = Path(folder) / "report"
        rule = ["--make-king-table", "--king-table-filter", RELATED]
        run_tool("plink2", ["--bfile", files.prefix, *rule, "--out", out])
        found = _read_plink(f"{out}.kin0")
    for number in (1, 2):
        family = found.get(f"FID{number}", "0")
        found[f"subject_{number}"] = (family + "\t" + found[f"IID{number}"]).map(subject)
    return found.assign(kinship=found["KINSHIP"].astype(float))[list(nobody)]


def _read_plink(path: str) -> pd.DataFrame:
    """Read one of plink2's reports; it leaves out families that are all 0."""
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False).rename(columns=lambda name: name.lstrip("#"))


def _read_report(path: str, subject: Mapping[str, str]) -> pd.DataFrame:
    table = _read_plink(path)
    family = table["FID"] if "FID" in table else pd.Series("0", index=table.index)
    table.index = pd.Index((family + "\t" + table["IID"]).map(subject), name="subject")
    return table.drop(columns=["FID", "IID"], errors="ignore").apply(pd.to_numeric, errors="coerce")


def read_sex(files: Fileset) -> np.ndarray:
    """Tell the sex from X, outside its ends, which men have twice; "" where X has too few SNPs or does not tell."""
    of_x = np.flatnonzero(files.variants["chromosome"].isin(["23", "X", "chrX"]))
    if len(of_x) < ENOUGH_OF_X:
        return np.full(len(files.samples), "")
    homozygous, expected, number = (np.zeros(len(files.samples)) for _ in range(3))
    step = max(1, MANY // max(1, len(files.samples)))
    for start in range(0, len(of_x), step):
        values = files.read(of_x[start : start + step])
        known = ~np.isnan(values)
        n = known.sum(axis=0)
        frequency = np.divide(np.nansum(values, axis=0), 2 * n, out=np.zeros(len(n)), where=n > 0)
        usable = known & (frequency > 0) & (frequency < 1)
        homozygous += (usable & (values != 1)).sum(axis=1)
        expected += (usable * (1 - 2 * frequency * (1 - frequency))).sum(axis=1)
        number += usable.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        inbreeding = (homozygous - expected) / (number - expected)
    return np.select([inbreeding < FEMALE_BELOW, inbreeding > MALE_ABOVE], ["female", "male"], "")
