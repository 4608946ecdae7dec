"""PLINK filesets (bed, bim, fam): checked before anything is computed from them, and read SNP by SNP."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from bed_reader import create_bed, open_bed

from gcamccl_core.data.checks import name_some

MAGIC = b"\x6c\x1b\x01"  # of a bed file that is sorted by SNP
VARIANT_COLUMNS = ["chromosome", "snp", "morgans", "position", "counted_allele", "other_allele"]
SAMPLE_COLUMNS = ["family", "individual", "father", "mother", "sex", "phenotype"]


class FilesetError(ValueError):
    """A PLINK fileset that is not whole; the message names the file, and the line if it is one."""


@dataclass(frozen=True)
class Fileset:
    """A fileset whose three files belong together.

    Parameters
    ----------
    prefix : Path
        The files without their endings.
    variants : pandas.DataFrame
        One row per SNP: ``chromosome`` (text), ``snp``, ``morgans``, ``position`` (base pairs), ``counted_allele`` (A1
        of the bim file), ``other_allele``.
    samples : pandas.DataFrame
        One row per person: ``family``, ``individual``, ``father``, ``mother``, ``sex`` (1 male, 2 female, 0 unknown),
        ``phenotype``, and ``subject``, the id that names a person in a cohort: the individual's without
        ``sub-``, or ``<family>_<individual>`` where these repeat.
    """

    prefix: Path
    variants: pd.DataFrame
    samples: pd.DataFrame

    @property
    def sorted(self) -> bool:
        """Whether chromosomes lie each in one piece, and their SNPs in the order of their positions."""
        chromosome, position = self.variants["chromosome"], self.variants["position"]
        pieces = int((chromosome != chromosome.shift()).sum())
        return pieces == chromosome.nunique() and not (position.groupby(chromosome).diff() < 0).any()

    @property
    def names(self) -> pd.Series:
        """Family and individual, which together are unique, as plink2's reports name people."""
        return self.samples["family"] + "\t" + self.samples["individual"]

    def read(self, snps: np.ndarray | slice = np.s_[:], samples: np.ndarray | slice = np.s_[:]) -> np.ndarray:
        """Read genotypes by position in the tables.

        Returns
        -------
        array of shape (n_samples, n_snps), float32
            Copies of the counted allele, NaN where missing.
        """
        with open_bed(f"{self.prefix}.bed", len(self.samples), len(self.variants)) as bed:
            return np.asarray(bed.read(index=(samples, snps), dtype="float32"))


def open_fileset(bfile: str | Path) -> Fileset:
    """Read the tables of a fileset, and check that its genotypes are whole.

    Parameters
    ----------
    bfile : path
        The fileset, with or without the ending ``.bed``.

    Raises
    ------
    FilesetError
        If a file is missing, truncated, sorted by person, or a table has a faulty line or lists a person twice.
    """
    prefix = Path(bfile)
    prefix = prefix.with_suffix("") if prefix.suffix == ".bed" else prefix
    missing = [end for end in (".bed", ".bim", ".fam") if not Path(f"{prefix}{end}").is_file()]
    if missing:
        raise FilesetError(f"{prefix} is no PLINK fileset: there is no {prefix.name}{name_some(missing)}")
    variants = _read_table(Path(f"{prefix}.bim"), VARIANT_COLUMNS, ["position"])
    samples = _read_table(Path(f"{prefix}.fam"), SAMPLE_COLUMNS, [])
    for name, table in (("bim", variants), ("fam", samples)):
        if table.empty:
            raise FilesetError(f"{prefix}.{name} is empty")
    _check_bed(Path(f"{prefix}.bed"), len(variants), len(samples))
    pairs = samples["family"] + "_" + samples["individual"]
    if pairs.duplicated().any():
        raise FilesetError(f"{prefix}.fam lists people twice: {name_some(pairs[pairs.duplicated()].unique())}")
    named = samples["individual"].str.removeprefix("sub-")
    named = named.mask(named.duplicated(keep=False), samples["family"] + "_" + named)
    if named.duplicated().any():
        twice = pairs[named.duplicated(keep=False)]
        raise FilesetError(f"{prefix}.fam lists people whose ids are one without 'sub-': {name_some(twice)}")
    return Fileset(prefix, variants, samples.assign(subject=named))


def write_fileset(
    prefix: str | Path, samples: pd.DataFrame, variants: pd.DataFrame, chunks: Iterable[np.ndarray]
) -> None:
    """Write a fileset a few SNPs at a time.

    Parameters
    ----------
    prefix : path
        The files without their endings.
    samples, variants : pandas.DataFrame
        As of :class:`Fileset`.
    chunks : iterable of array of shape (n_samples, n_snps)
        Copies of the counted allele, NaN where missing; all chunks together have every SNP, in order.
    """
    described = {
        "fid": samples["family"],
        "iid": samples["individual"],
        "father": samples["father"],
        "mother": samples["mother"],
        "sex": pd.to_numeric(samples["sex"], errors="coerce").fillna(0).astype(int),
        "pheno": samples["phenotype"],
        "chromosome": variants["chromosome"],
        "sid": variants["snp"],
        "cm_position": pd.to_numeric(variants["morgans"], errors="coerce").fillna(0.0),
        "bp_position": variants["position"],
        "allele_1": variants["counted_allele"],
        "allele_2": variants["other_allele"],
    }
    properties = {name: values.to_numpy() for name, values in described.items()}
    bed = create_bed(f"{prefix}.bed", len(samples), len(variants), properties=properties)
    for chunk in chunks:
        for column in np.asarray(chunk).T:
            bed.write(np.nan_to_num(column, nan=-127).astype(np.int8))
    bed.close()  # not where a chunk fails: bed-reader would then complain of missing SNPs instead


def _read_table(path: Path, columns: list[str], numbers: list[str]) -> pd.DataFrame:
    rows = [line.split() for line in path.read_text(errors="replace").splitlines()]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(columns):
            raise FilesetError(f"{path}, line {number}: {len(row)} columns in place of {len(columns)}")
    table = pd.DataFrame(rows, columns=columns, dtype=str)
    for column in numbers:
        # whole numbers, which some programs write as 230802015.0
        values = pd.to_numeric(table[column], errors="coerce")
        faulty = values.isna() | (values % 1 != 0)
        if faulty.any():
            line = int(np.flatnonzero(faulty)[0])
            raise FilesetError(f"{path}, line {line + 1}: the {column} is {table[column][line]!r}, no whole number")
        table[column] = values.astype("int64")
    return table


def _check_bed(path: Path, n_variants: int, n_samples: int) -> None:
    with path.open("rb") as file:
        start = file.read(3)
    if start[:2] != MAGIC[:2]:
        raise FilesetError(f"{path} is no PLINK bed file (it does not start like one)")
    if start != MAGIC:
        raise FilesetError(f"{path} is sorted by person, as before PLINK 1; rewrite it with plink2 --make-bed")
    expected, found = 3 + n_variants * -(-n_samples // 4), path.stat().st_size
    if found != expected:
        what = "truncated, or of another bim or fam file" if found < expected else "of another bim or fam file"
        raise FilesetError(
            f"{path} is {what}: {found} bytes where {n_variants} SNPs of {n_samples} people take {expected}"
        )
