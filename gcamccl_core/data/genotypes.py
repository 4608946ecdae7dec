"""The view of genotypes from PLINK filesets, after the paper's quality control (section III-A), by plink2."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.data.checks import name_some
from gcamccl_core.data.external_tools import ToolError, run_tool
from gcamccl_core.data.filesets import SAMPLE_COLUMNS, Fileset, FilesetError, open_fileset
from gcamccl_core.data.genome_builds import build_of, write_build
from gcamccl_core.data.sample_checks import check_samples
from gcamccl_core.data.whole_folders import write_folder

__all__ = ["FilesetError", "quality_control", "read_genotypes"]

STEPS = "steps.csv"
SAMPLES, PAIRS = "samples.csv", "related.csv"
PREFIX = "genotypes"  # of the fileset in the folder that quality_control writes


def read_genotypes(
    bfile: str | Path,
    genome_build: str | None = None,
    snps: Sequence[str] | None = None,
    view: str = "snp",
) -> xr.Dataset:
    """Read a PLINK fileset as the view of a cohort.

    Parameters
    ----------
    bfile : path
        The fileset, with or without the ending ``.bed``.
    genome_build : str, optional
        Of its positions; needed unless ``<bfile>.build`` says it.
    snps : sequence of str, optional
        Which SNPs, in this order; all by default, which takes 4 bytes per SNP and person.
    view : str
        Name of the variable.

    Returns
    -------
    xarray.Dataset
        ``view`` (subject, locus), float32: copies of the counted allele (A1 of the bim file), NaN where missing; along
        ``locus`` the SNP's id, ``<view>_chromosome``, ``_position`` (base pairs), ``_counted_allele`` and
        ``_other_allele``. ``attrs["genome_build"]``.

    Raises
    ------
    FilesetError
        If the fileset is not whole, an id of a SNP occurs twice, or a SNP asked for is not there.
    GenomeBuildError
        If nobody says which build the positions are on.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from bed_reader import to_bed
    >>> prefix = mkdtemp() + "/study"
    >>> people = {"iid": ["ann", "bob"], "sid": ["rs1", "rs2"], "allele_1": ["A", "C"], "allele_2": ["G", "T"]}
    >>> to_bed(prefix + ".bed", np.array([[0.0, 2.0], [1.0, np.nan]]), properties=people)
    >>> genotypes = read_genotypes(prefix, genome_build="GRCh37")
    >>> genotypes["snp"].sel(subject="bob", locus="rs1").item(), genotypes["snp_counted_allele"].to_numpy().tolist()
    (1.0, ['A', 'C'])
    """
    files = open_fileset(bfile)
    build = build_of(files.prefix, genome_build)
    repeated = files.variants["snp"][files.variants["snp"].duplicated()].unique()
    if len(repeated):
        raise FilesetError(f"{files.prefix}.bim lists SNPs twice: {name_some(repeated)}; quality_control removes them")
    columns = np.arange(len(files.variants))
    if snps is not None:
        columns = files.variants.reset_index().set_index("snp")["index"].reindex(list(snps)).to_numpy()
        if np.isnan(columns).any():
            unknown = [snp for snp, column in zip(snps, columns, strict=True) if np.isnan(column)]
            raise FilesetError(f"{files.prefix} has no SNP {name_some(unknown)}")
        columns = columns.astype(int)
    chosen = files.variants.iloc[columns]
    coords: dict[str, object] = {"subject": files.samples["subject"].to_numpy(), "locus": chosen["snp"].to_numpy()}
    for name in ("chromosome", "position", "counted_allele", "other_allele"):
        coords[f"{view}_{name}"] = ("locus", chosen[name].to_numpy())
    about = {"role": "view", "kind": "genotype"}
    values = xr.DataArray(files.read(columns), coords, ("subject", "locus"), attrs=about)
    return xr.Dataset({view: values}, attrs={"genome_build": build})


def quality_control(
    bfile: str | Path,
    out: str | Path,
    genome_build: str | None = None,
    hardy_weinberg: float = 1e-5,
    minor_allele_frequency: float = 0.05,
    linkage: float = 0.9,
    variant_missing: float = 0.10,
    sample_missing: float = 0.05,
    window: tuple[int, int] = (50, 5),
) -> xr.Dataset:
    """Filter a fileset step by step with plink2, and count what each step removed.

    The steps are those of section III-A, in its order, after SNPs with repeated ids and those that lie on no autosome.
    SNPs without an id are named by their place and alleles. No label is looked at. (Frequencies are of all people of
    the file, children included. Filtering by them before people are divided is no leak of the label; whoever wants it
    stricter filters by the training people's file alone.)

    Parameters
    ----------
    bfile : path
        The fileset; it is not changed.
    out : path
        Folder to make: the filtered fileset ``genotypes``, ``steps.csv``, ``samples.csv`` (:func:`.check_samples`)
        and, of 1000 SNPs or more, ``related.csv``. It appears whole or not at all.
    genome_build : str, optional
        As for :func:`read_genotypes`.
    hardy_weinberg : float
        SNPs below this p of the exact test are removed; 1e-5 in the paper.
    minor_allele_frequency : float
        SNPs whose rarer allele has less than this share are removed; 0.05 in the paper.
    linkage : float
        Of two SNPs in a window with a larger r², one is removed; 0.9 in the paper.
    variant_missing, sample_missing : float
        SNPs, then people, with a larger share of missing genotypes are removed; 0.10 and 0.05 in the paper.
    window : tuple of int
        How many SNPs the linkage step sees at once, and by how many it moves on.

    Returns
    -------
    xarray.Dataset
        The filtered genotypes, as :func:`read_genotypes` reads them, with the table of steps in
        ``attrs["quality_control"]`` (JSON), and in ``attrs["relatives"]`` how many pairs there are.

    Raises
    ------
    FileExistsError
        If ``out`` is there already.
    FilesetError, GenomeBuildError, MissingToolError, ToolError
        If the fileset is not whole, its build is unknown, plink2 is missing, or it fails; also if a step leaves no SNP
        or nobody.
    ValueError
        If a threshold is out of range.
    """
    for name, value in {
        "hardy_weinberg": hardy_weinberg,
        "minor_allele_frequency": minor_allele_frequency,
        "linkage": linkage,
        "variant_missing": variant_missing,
        "sample_missing": sample_missing,
    }.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie between 0 and 1, got {value}")
    files = open_fileset(bfile)
    build = build_of(files.prefix, genome_build)
    ids = "repeated ids" + (", negative positions" if (files.variants["position"] < 0).any() else "")
    rules: dict[str, Sequence[object]] = {
        ids: (
            *("--set-missing-var-ids", "@:#:$r:$a", "--new-id-max-allele-len", 20, "truncate"),
            *("--rm-dup", "exclude-mismatch"),
        ),
        "autosomes": ("--autosome",),
        f"Hardy-Weinberg p >= {hardy_weinberg:g}": ("--hwe", hardy_weinberg),
        f"minor allele frequency >= {minor_allele_frequency:g}": ("--maf", minor_allele_frequency),
        f"linkage r2 <= {linkage:g}": ("--indep-pairwise", *window, linkage),
        f"missing per SNP <= {variant_missing:g}": ("--geno", variant_missing),
        f"missing per person <= {sample_missing:g}": ("--mind", sample_missing),
    }
    with write_folder(out) as folder:
        given, files = files, files if files.sorted else open_fileset(sort_snps(files.prefix, folder / "sorted"))
        steps = filter_in_steps(files, rules, folder, len(given.variants))
        kept = open_fileset(folder / PREFIX)
        write_build(kept.prefix, build)
        samples, related = check_samples(files, kept)
        steps.to_csv(folder / STEPS, index=False)
        samples.to_csv(folder / SAMPLES, index=False)
        if related is not None:
            related.to_csv(folder / PAIRS, index=False)
        remove_files(folder / "sorted")
    found = read_genotypes(Path(out) / PREFIX)
    few = f"not told: {found.sizes['locus']} SNPs are too few"
    found.attrs["relatives"] = few if related is None else f"{len(related)} pairs"
    found.attrs["quality_control"] = json.dumps(steps.to_dict("records"))
    return found


def filter_in_steps(
    files: Fileset, rules: Mapping[str, Sequence[object]], folder: Path, n_given: int | None = None
) -> pd.DataFrame:
    """Apply filters one after the other, each to what the one before has left.

    Parameters
    ----------
    files : Fileset
        Where to start.
    rules : mapping of str to sequence
        By what the step is called, arguments of plink2; with ``--indep-pairwise`` only the SNPs that it keeps remain.
    folder : Path
        Where the fileset ``genotypes`` is written.
    n_given : int, optional
        How many SNPs there were, if ``files`` has lost some already.

    Returns
    -------
    pandas.DataFrame
        One row for the start and one per step: ``step``, ``snps``, ``samples`` (left), ``snps_removed``,
        ``samples_removed``.

    Raises
    ------
    FilesetError
        If a step leaves no SNP or nobody.
    """
    rows = [{"step": "as given", "snps": n_given or len(files.variants), "samples": len(files.samples)}]
    before = files.prefix
    people = folder / "people.fam"  # without parents, for plink2 looks at founders alone
    unrelated = files.samples.assign(father="0", mother="0")
    unrelated[SAMPLE_COLUMNS].to_csv(people, sep="\t", header=False, index=False)
    for number, (step, rule) in enumerate(rules.items()):
        after = folder / f"step_{number}"
        arguments: Sequence[object] = rule
        source = ["--bed", f"{before}.bed", "--bim", f"{before}.bim", "--fam", people]
        try:
            if rule[0] == "--indep-pairwise":
                run_tool("plink2", [*source, *rule, "--bad-ld", "--out", after])
                arguments = ("--extract", f"{after}.prune.in")
            run_tool("plink2", [*source, *arguments, "--make-bed", "--out", after])
        except ToolError as fault:
            if "remaining after" in str(fault):
                raise FilesetError(f"the step '{step}' leaves no SNP or nobody of {files.prefix}") from fault
            raise
        left = open_fileset(after)
        rows.append({"step": step, "snps": len(left.variants), "samples": len(left.samples)})
        if before != files.prefix:
            remove_files(before)
        before, people = after, Path(f"{after}.fam")
    kept = files.samples[files.names.isin(left.names)]
    for end in ("bed", "bim", "fam"):
        Path(f"{before}.{end}").rename(folder / f"{PREFIX}.{end}")
    kept[SAMPLE_COLUMNS].to_csv(folder / f"{PREFIX}.fam", sep="\t", header=False, index=False)
    remove_files(before)
    (folder / "people.fam").unlink()
    table = pd.DataFrame(rows)
    removed = -table[["snps", "samples"]].diff().fillna(0).astype(int)
    return table.assign(snps_removed=removed["snps"], samples_removed=removed["samples"])


def sort_snps(prefix: Path, out: Path) -> Path:
    """Write a fileset anew in the order of the genome, in which plink2 wants it."""
    run_tool("plink2", ["--bfile", prefix, "--sort-vars", "--make-pgen", "--out", out])
    run_tool("plink2", ["--pfile", out, "--make-bed", "--out", out])
    return out


def remove_files(prefix: Path) -> None:
    """Remove all files of a prefix."""
    for path in prefix.parent.glob(f"{prefix.name}.*"):
        path.unlink()
