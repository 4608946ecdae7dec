"""People genotyped on several arrays: the SNPs that all arrays share, with their alleles brought into line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from gcamccl_core.data.checks import name_some
from gcamccl_core.data.filesets import Fileset, FilesetError, open_fileset, write_fileset
from gcamccl_core.data.genome_builds import GenomeBuildError, build_of, write_build
from gcamccl_core.data.whole_folders import write_folder

COMPLEMENT = str.maketrans("ACGT", "TGCA")
CHUNK = 1000  # SNPs held in memory at a time
ALIKE = 0.9  # share of SNPs in which one person is alike on two arrays
REASONS = (
    "repeated ids",
    "not on every array",
    "other position",
    "alleles are no two of A, C, G and T",
    "A/T or C/G, whose strand cannot be told",
    "other alleles",
)


def merge_arrays(
    bfiles: Sequence[str | Path], out: str | Path, genome_build: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Join filesets of different people on the SNPs that all have in common (313k of three arrays in section III-A).

    SNPs are matched by id, and must lie at the same place. Alleles may be named from the other strand, or the other
    one counted: both are brought to what the first array has. For A/T and C/G nobody can tell the strand, so these are
    left out. Someone on several arrays is kept on the first.

    Parameters
    ----------
    bfiles : sequence of path
        The filesets, all on one genome build; they are not changed.
    out : path
        Folder to make: the fileset ``genotypes``, and both tables, ``merged.csv`` and ``arrays.csv``. It appears
        whole or not at all.
    genome_build : str, optional
        Of all of them; needed unless ``<bfile>.build`` says it of each.

    Returns
    -------
    removed : pandas.DataFrame
        ``reason`` and ``snps``: how many SNPs each reason took, in the order in which it is asked, after the number of
        the first array's; the last row has how many remain.
    arrays : pandas.DataFrame
        One row per array: ``array``, ``snps``, ``samples``, ``samples_elsewhere`` (left out, since kept on an earlier
        one), ``samples_unlike`` (of these, whose genotypes there are not the same in 9 of 10 SNPs: swapped samples, or
        others of the same name), ``flipped`` (SNPs named from the other strand), ``swapped`` (the other allele was
        counted).

    Raises
    ------
    FileExistsError
        If ``out`` is there already.
    FilesetError, GenomeBuildError
        If a fileset is not whole, the builds differ or are unknown, or nothing is in common.
    """
    if len(bfiles) < 2:
        raise FilesetError("merging takes two filesets or more")
    arrays = [open_fileset(bfile) for bfile in bfiles]
    builds = {str(files.prefix): build_of(files.prefix, genome_build) for files in arrays}
    if len(set(builds.values())) > 1:
        each = ", ".join(f"{prefix} {build}" for prefix, build in builds.items())
        raise GenomeBuildError(f"the arrays are on different builds: {each}")
    shared, removed = _common_snps(arrays)
    if shared.empty:
        raise FilesetError(f"no SNP is usable on all of {name_some(builds)}: {_in_words(removed)}")
    people, elsewhere = _distinct_people(arrays)
    table = pd.DataFrame(
        {
            "array": [files.prefix.name for files in arrays],
            "snps": [len(files.variants) for files in arrays],
            "samples": [len(files.samples) for files in arrays],
            "samples_elsewhere": [len(others) for others in elsewhere],
            "samples_unlike": _count_unlike(arrays, shared, elsewhere),
            "flipped": [int(shared[f"flipped_{number}"].sum()) for number in range(len(arrays))],
            "swapped": [int(shared[f"swapped_{number}"].sum()) for number in range(len(arrays))],
        }
    )
    with write_folder(out) as folder:
        _write(arrays, shared, people, folder / "genotypes")
        write_build(folder / "genotypes", next(iter(builds.values())))
        removed.to_csv(folder / "merged.csv", index=False)
        table.to_csv(folder / "arrays.csv", index=False)
    return removed, table


def _common_snps(arrays: Sequence[Fileset]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Find the SNPs that all arrays have in a way that can be matched; by array their column, strand and order."""
    counts = dict.fromkeys(REASONS, 0)
    tables = []
    for files in arrays:
        table = files.variants.assign(column=np.arange(len(files.variants)))
        repeated = table["snp"].duplicated(keep=False)
        if files is arrays[0]:
            counts["repeated ids"] = int(repeated.sum())
        tables.append(table[~repeated].set_index("snp"))
    shared = tables[0].copy()
    on_all = shared.index
    for table in tables[1:]:
        on_all = on_all[on_all.isin(table.index)]
    counts["not on every array"] = len(shared) - len(on_all)
    shared = shared.loc[on_all]
    others = [table.loc[on_all] for table in tables]
    where = ["chromosome", "position"]
    place = np.all([(table[where] == shared[where]).all(axis=1) for table in others], axis=0)
    pairs = [(table["counted_allele"] + table["other_allele"]).str.upper() for table in others]
    first = pairs[0]
    # where nobody on an array has the rarer allele, its file has 0 for it, and the strand cannot be told
    clear = np.all([pair.str.fullmatch("[ACGT]{2}") for pair in pairs], 0)
    ambiguous = np.isin(first, ["AT", "TA", "CG", "GC"])
    flips, swaps, alike = {}, {}, np.ones(len(shared), dtype=bool)
    for number, pair in enumerate(pairs):
        other_strand = pair.map(lambda text: text.translate(COMPLEMENT))
        same, swapped = pair == first, pair.str[::-1] == first
        flipped, both = other_strand == first, other_strand.str[::-1] == first
        alike &= (same | swapped | flipped | both).to_numpy()
        flips[number] = ((flipped | both) & ~(same | swapped)).to_numpy()
        swaps[number] = ((swapped | both) & ~(same | flipped)).to_numpy()
    keep = np.ones(len(shared), dtype=bool)
    tests = dict(zip(REASONS[2:], (place, clear, ~ambiguous, alike), strict=True))
    for reason, passed in tests.items():
        counts[reason] = int((keep & ~passed).sum())
        keep &= passed
    for number, table in enumerate(others):
        shared[f"column_{number}"] = table["column"].to_numpy()
        shared[f"flipped_{number}"], shared[f"swapped_{number}"] = flips[number], swaps[number]
    shared = shared[keep]
    rows = [("on the first array", len(arrays[0].variants)), *counts.items(), ("common to all arrays", len(shared))]
    return shared.reset_index(), pd.DataFrame(rows, columns=["reason", "snps"])


Place = tuple[int, int]  # number of an array, row of a person in it


def _distinct_people(arrays: Sequence[Fileset]) -> tuple[list[np.ndarray], list[list[tuple[int, Place]]]]:
    """Rows of each array whose person is on no earlier one, and of the others where they were met first.

    A family that is 0, or named as the individual, says nothing: the individual alone tells such a person.
    """
    by_name: dict[str, Place] = {}
    by_individual: dict[str, tuple[Place, bool]] = {}  # and whether a family is known of everybody seen with this id
    rows, elsewhere = [], []
    for number, files in enumerate(arrays):
        individual = files.samples["individual"].str.removeprefix("sub-")
        family = files.samples["family"].str.removeprefix("sub-")
        told = (family != "0") & (family != individual)
        new, others = [], []
        people = list(zip(family.where(told, "") + "\t" + individual, individual, told, strict=True))
        for row, (name, one, known) in enumerate(people):
            place, all_known = by_individual.get(one, (None, True))
            met = by_name.get(name, None if known and all_known else place)
            if met is None:
                new.append(row)
            else:
                others.append((row, met))
        for row, (name, one, known) in enumerate(people):
            by_name.setdefault(name, (number, row))
            place, all_known = by_individual.get(one, ((number, row), True))
            by_individual[one] = place, all_known and bool(known)
        rows.append(np.array(new, dtype=int))
        elsewhere.append(others)
    return rows, elsewhere


def _count_unlike(
    arrays: Sequence[Fileset], shared: pd.DataFrame, elsewhere: Sequence[Sequence[tuple[int, Place]]]
) -> list[int]:
    """Count people of each array whose genotypes are not those of the same person on an earlier one."""
    some = shared.iloc[np.linspace(0, len(shared) - 1, min(len(shared), CHUNK)).astype(int)]
    counts = [0] * len(arrays)
    for number, others in enumerate(elsewhere):
        for row, (first, first_row) in others:
            one, other = (
                _read_alike(arrays[array], some, array, np.array([place]))[0]
                for array, place in ((number, row), (first, first_row))
            )
            known = ~np.isnan(one) & ~np.isnan(other)
            counts[number] += bool(known.any() and (one == other)[known].mean() < ALIKE)
    return counts


def _read_alike(files: Fileset, shared: pd.DataFrame, number: int, rows: np.ndarray) -> np.ndarray:
    """Read shared SNPs of some people, counted as on the first array."""
    values = files.read(shared[f"column_{number}"].to_numpy(), rows)
    swapped = shared[f"swapped_{number}"].to_numpy()
    values[:, swapped] = 2 - values[:, swapped]
    return values


def _write(arrays: Sequence[Fileset], shared: pd.DataFrame, people: Sequence[np.ndarray], prefix: Path) -> None:
    """Write the joined fileset a few SNPs at a time."""
    samples = pd.concat([files.samples.iloc[rows] for files, rows in zip(arrays, people, strict=True)])
    variants = shared.assign(
        counted_allele=shared["counted_allele"].str.upper(), other_allele=shared["other_allele"].str.upper()
    )

    def chunks() -> Iterator[np.ndarray]:
        for start in tqdm(range(0, len(shared), CHUNK), "merge", unit_scale=CHUNK, delay=3, leave=False):
            chunk = shared.iloc[start : start + CHUNK]
            parts = []
            for number, (files, rows) in enumerate(zip(arrays, people, strict=True)):
                parts.append(_read_alike(files, chunk, number, rows))
            yield np.concatenate(parts)

    write_fileset(prefix, samples, variants, chunks())


def _in_words(removed: pd.DataFrame) -> str:
    return ", ".join(f"{row.reason} {row.snps}" for row in removed.iloc[:-1].itertuples())
