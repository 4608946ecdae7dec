"""A raw study to practise on: scans, genotypes and people as files, from a simulated cohort whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.data.checks import name_some
from gcamccl_core.data.cohort import assemble_cohort, extreme_groups
from gcamccl_core.data.raw_genotypes import write_annotation, write_genotypes
from gcamccl_core.data.raw_scans import FAULTS, write_scans
from gcamccl_core.data.regimes import Regime
from gcamccl_core.data.sample_checks import number_families
from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.data.whole_folders import write_folder


@dataclass(frozen=True)
class RawStudy:
    """Where the files of a raw study lie, and what is true of it if it is simulated.

    Parameters
    ----------
    derivatives : Path
        The folder of scans, for :func:`.find_scans`.
    arrays : list of Path
        Filesets of genotypes, for :func:`.merge_arrays`.
    people : Path
        A table with ``subject``, ``score`` and covariates, for :func:`read_people`.
    genes, eqtls, lookup, expression : Path or None
        For :func:`.read_gene_bodies`, :func:`.shared_eqtls`, :func:`.name_variants` and :func:`.most_expressed`.
    cohort : xarray.Dataset or None
        The simulated cohort that all was made from; ``fc`` is what the series were drawn from.
    series : array of shape (n_scans, n_volumes, n_regions), float32, or None
        The regions' series that were planted in the scans, of the first subjects.
    faults : dict of str to str
        By subject, what is wrong with the scan.
    """

    derivatives: Path
    arrays: list[Path]
    people: Path
    genes: Path | None = None
    eqtls: Path | None = None
    lookup: Path | None = None
    expression: Path | None = None
    cohort: xr.Dataset | None = None
    series: np.ndarray | None = None
    faults: Mapping[str, str] = field(default_factory=dict)


def read_raw_study(folder: str | Path) -> RawStudy:
    """Find the files of a study of one's own.

    Parameters
    ----------
    folder : path
        With ``derivatives/`` (as fMRIPrep writes it), ``genotypes/`` (PLINK filesets, ``<name>.build`` beside each) and
        ``people.csv``; as far as there are any, ``annotation/genes`` (else the manifest's list on GRCh37) and GTEx's
        files: ``annotation/eqtls/``, ``annotation/lookup_table.txt.gz``, ``annotation/gene_median_tpm.gct`` or
        ``.gct.gz``.

    Raises
    ------
    FileNotFoundError
        If one of the first three is missing.
    """
    folder = Path(folder)
    derivatives, people = folder / "derivatives", folder / "people.csv"
    arrays = sorted(path.with_suffix("") for path in (folder / "genotypes").glob("*.bed"))
    missing = [str(path) for path in (derivatives, people) if not path.exists()]
    missing += [] if arrays else [str(folder / "genotypes" / "*.bed")]
    if missing:
        raise FileNotFoundError(f"the study has no {', no '.join(missing)}")
    known = folder / "annotation"
    found = {
        "genes": [known / "genes"],
        "eqtls": [known / "eqtls"],
        "lookup": [known / "lookup_table.txt.gz"],
        "expression": [known / "gene_median_tpm.gct", known / "gene_median_tpm.gct.gz"],
    }
    there = {name: next((path for path in paths if path.exists()), None) for name, paths in found.items()}
    genes, eqtls, lookup, expression = (there[name] for name in ("genes", "eqtls", "lookup", "expression"))
    return RawStudy(derivatives, arrays, people, genes, eqtls, lookup, expression)


def write_raw_study(
    folder: str | Path,
    n_scans: int = 40,
    n_genotyped: int = 200,
    regime: str | Regime = "clear",
    seed: int = 0,
    progress: bool = True,
) -> RawStudy:
    """Write a small study as files, as a scanner, an array and a clerk would have left it.

    Everyone is genotyped, the first ``n_scans`` are scanned; of these, the first six have one of the faults of
    ``raw_scans.FAULTS`` each.

    Parameters
    ----------
    folder : path
        To make; it appears whole or not at all. 40 scans take about 250 MB.
    n_scans, n_genotyped : int
        How many people.
    regime : str or Regime
        As of :func:`.simulate_cohort`.
    seed : int
        Another seed, other people.
    progress : bool
        Show bars.

    Returns
    -------
    RawStudy

    Raises
    ------
    FileExistsError
        If the folder is there already.
    ValueError
        If there are too few people: at least 12 scans, and as many genotyped.
    """
    if not 2 * len(FAULTS) <= n_scans <= n_genotyped:
        raise ValueError(f"n_scans must be at least {2 * len(FAULTS)} and at most n_genotyped, got {n_scans}")
    folder = Path(folder)
    cohort = simulate_cohort(n_genotyped, regime, seed, progress=progress)
    cohort = cohort.assign_coords(subject=[str(name).replace("_", "") for name in cohort["subject"].to_numpy()])
    subjects = cohort["subject"].to_numpy().astype(str)
    faults = dict(zip(subjects.tolist(), FAULTS, strict=False))
    people = cohort[["score", "age", "sex"]].to_dataframe()[["score", "age", "sex"]]
    people["site"] = np.where(np.arange(n_genotyped) % 2, "north", "south")
    with write_folder(folder) as partial:
        series = write_scans(cohort.isel(subject=slice(n_scans)), partial / "derivatives", faults, seed, progress)
        arrays = write_genotypes(cohort, partial / "genotypes", seed)
        annotation = write_annotation(cohort, partial / "annotation", seed=seed)
        people.to_csv(partial / "people.csv", index_label="subject")
    moved = {name: folder / path.relative_to(partial) for name, path in annotation.items()}
    return RawStudy(
        derivatives=folder / "derivatives",
        arrays=[folder / path.relative_to(partial) for path in arrays],
        people=folder / "people.csv",
        cohort=cohort,
        series=series,
        faults=faults,
        **moved,
    )


def join_study(
    view: xr.DataArray,
    scans: pd.DataFrame,
    people: pd.DataFrame,
    genotypes: xr.Dataset | None = None,
    related: pd.DataFrame | None = None,
    fraction: float = 0.3,
    attrs: Mapping[str, object] | None = None,
) -> tuple[xr.Dataset, pd.Series]:
    """Make a cohort of the people who have everything, and count who lacks what.

    Parameters
    ----------
    view, scans
        Connectivity and the table of scans, as of :func:`.make_connectivity_view`; motion (``head_translation``, mm)
        and ``sfnr`` become covariates, since they may go with the label.
    people : pandas.DataFrame
        As of :func:`read_people`; every column but ``score`` becomes a covariate.
    genotypes : xarray.Dataset, optional
        As of :func:`.select_snps`.
    related : pandas.DataFrame, optional
        As of :func:`.find_relatives`: families become ``group``, which no split divides, if there are any.
    fraction : float
        Of the people who are low, and high, in ``score``.
    attrs : mapping, optional
        As of :func:`.assemble_cohort`.

    Returns
    -------
    cohort : xarray.Dataset
    counts : pandas.Series
        How many have a scan that is used, how many of these lack what, and how many are in the cohort.

    Raises
    ------
    ValueError
        If nobody has everything; with an id of each, to see how they differ.
    """
    have = {"scan": view["subject"].to_index(), "row in the table of people": people.index}
    have |= {} if genotypes is None else {"genotypes": genotypes["subject"].to_index()}
    together = sorted(set.intersection(*(set(ids) for ids in have.values())))
    if not together:
        ids = "; ".join(f"{what} {name_some(ids, 1)}" for what, ids in have.items())
        raise ValueError(f"nobody has {' and '.join(have)}; are the ids the same? The first: {ids}")
    counts = {"with a scan": len(have["scan"])}
    counts |= {f"without {what}": int((~have["scan"].isin(ids)).sum()) for what, ids in list(have.items())[1:]}
    counts["in the cohort"] = len(together)
    table = people.loc[together]
    measured = scans.set_index("subject").loc[together, ["translation", "sfnr"]]
    measured = measured.rename(columns={"translation": "head_translation"}).drop(columns=table.columns, errors="ignore")
    views = {"fc": view.sel(subject=together)}
    views |= {} if genotypes is None else {"snp": genotypes["snp"].sel(subject=together)}
    family = None if related is None else number_families(related, together)
    cohort = assemble_cohort(
        views,
        pd.Series(extreme_groups(table["score"].to_numpy(), fraction), index=together),
        score=table["score"],
        covariates=table.drop(columns="score").join(measured),
        group=family if family is not None and family.duplicated().any() else None,
        attrs={**({} if genotypes is None else {"genome_build": genotypes.attrs["genome_build"]}), **(attrs or {})},
    )
    return cohort, pd.Series(counts, name="people")


def read_people(path: str | Path, columns: tuple[str, ...] = ("score",)) -> pd.DataFrame:
    """Read a table of people, one row each, by subject.

    Parameters
    ----------
    path : path
        CSV or TSV (``participants.tsv`` of BIDS, whose ``participant_id`` begins with ``sub-``, as well).
    columns : tuple of str
        What must be there, as numbers; a cell may be empty.

    Raises
    ------
    ValueError
        If a column is missing, nobody is listed, somebody has no name or is there twice, or a number is none.
    """
    path = Path(path)
    table = pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",", dtype={"subject": str, "participant_id": str})
    table = table.rename(columns={"participant_id": "subject"})
    lacking = [name for name in ("subject", *columns) if name not in table]
    if lacking:
        raise ValueError(f"{path} has no column {', '.join(lacking)}; it has {', '.join(map(str, table.columns))}")
    if table.empty:
        raise ValueError(f"{path} lists nobody")
    if table["subject"].isna().any():
        raise ValueError(f"{path}, line {int(np.flatnonzero(table['subject'].isna())[0]) + 2}: the subject has no name")
    table["subject"] = table["subject"].str.removeprefix("sub-")
    twice = table["subject"][table["subject"].duplicated()].unique()
    if len(twice):
        raise ValueError(f"{path} lists people twice: {', '.join(twice[:5])}")
    for column in columns:
        numbers = pd.to_numeric(table[column], errors="coerce")
        wrong = np.flatnonzero(numbers.isna() & table[column].notna())
        if len(wrong):
            raise ValueError(
                f"{path}, line {wrong[0] + 2}: the {column} is {table[column].iloc[wrong[0]]!r}, no number; leave a "
                "cell empty where nothing is known"
            )
        table[column] = numbers
    return table.set_index("subject")
