"""VCF files as PLINK filesets, from which everything else goes on."""

from __future__ import annotations

import gzip
from pathlib import Path

from gcamccl_core.data.external_tools import run_tool
from gcamccl_core.data.filesets import Fileset, FilesetError, open_fileset
from gcamccl_core.data.genome_builds import name_build, write_build
from gcamccl_core.data.whole_folders import write_folder

# the empty block with which every whole file of bgzip ends
END_BLOCK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def convert_vcf(vcf: str | Path, out: str | Path, genome_build: str) -> Fileset:
    """Turn a VCF into a PLINK fileset: SNPs with two alleles, calls as they are, dosages without a call rounded.

    Half a call, as ``0/.``, is read as a missing one, for nobody knows the other allele: NaN, unless a dosage stands
    beside it.

    Parameters
    ----------
    vcf : path
        Plain or compressed.
    out : path
        Folder to make, with the fileset ``genotypes``. It appears whole or not at all.
    genome_build : str
        Of the VCF's positions.

    Returns
    -------
    Fileset
        The counted allele is the alternative one (ALT). A SNP without an id is named by its place and alleles.

    Raises
    ------
    FileExistsError
        If ``out`` is there already.
    FilesetError
        If there is no such file, it does not start like a VCF, or is truncated.
    GenomeBuildError, MissingToolError, ToolError
        If the build is unknown, plink2 is missing, or it fails.
    """
    vcf, build = Path(vcf), name_build(genome_build)
    fields = _check(vcf)
    with write_folder(out) as folder:
        which = ["--snps-only", "just-acgt", "--max-alleles", 2, "--set-missing-var-ids", "@:#:$r:$a"]
        read = ["dosage=DS", "--hard-call-threshold", 0.499999] if "DS" in fields else []
        arguments = ["--vcf", vcf, *read, "--const-fid", "0", "--vcf-half-call", "m", *which]
        run_tool("plink2", [*arguments, "--make-bed", "--out", folder / "genotypes"])
        (folder / "genotypes.log").unlink(missing_ok=True)
        write_build(folder / "genotypes", build)
    return open_fileset(Path(out) / "genotypes")


def _check(vcf: Path) -> set[str]:
    """Read a VCF to its end, for plink2 takes one that is cut off between two SNPs for whole; give its fields."""
    if not vcf.is_file():
        raise FilesetError(f"there is no file {vcf}")
    compressed = _check_blocks(vcf)
    try:
        with gzip.open(vcf, "rb") if compressed else vcf.open("rb") as file:
            start = line = file.readline()
            header = []
            while line.startswith(b"##"):
                header.append(line)
                line = file.readline()
            while file.read(1 << 24):
                pass
    except (EOFError, OSError) as fault:
        raise FilesetError(f"{vcf} is truncated or damaged ({fault})") from fault
    if not start.startswith(b"##fileformat=VCF"):
        raise FilesetError(f"{vcf} is no VCF: its first line is {start[:40]!r}")
    fields = {
        name for name in ("GT", "DS") if any(each.startswith(f"##FORMAT=<ID={name},".encode()) for each in header)
    }
    if not fields:
        raise FilesetError(f"{vcf} describes neither genotypes (GT) nor dosages (DS) in its header")
    return fields


def _check_blocks(vcf: Path) -> bool:
    """Whether a VCF is compressed; cut between two blocks of bgzip it would decompress without a complaint."""
    with vcf.open("rb") as file:
        start = file.read(12)
        if not start.startswith(b"\x1f\x8b"):
            return False
        # by RFC 1952: flag 4 announces an extra field, of a length in bytes 10 and 11
        extra = file.read(int.from_bytes(start[10:12], "little")) if len(start) == 12 and start[3] & 4 else b""
        if b"BC\x02\x00" in extra:
            file.seek(max(0, vcf.stat().st_size - len(END_BLOCK)))
            if file.read() != END_BLOCK:
                raise FilesetError(f"{vcf} is truncated: the empty block is missing with which bgzip ends a file")
    return True
