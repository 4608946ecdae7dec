"""Coordinates of the genome are of a build: which one a file has is known or asked for, never guessed."""

from __future__ import annotations

from pathlib import Path

GENOME_BUILDS = {
    "GRCh36": ("NCBI36", "hg18", "b36"),
    "GRCh37": ("hg19", "b37"),
    "GRCh38": ("hg38", "b38"),
    "simulated": (),
}


class GenomeBuildError(ValueError):
    """A genome build that is unknown, not given, or not that of another file."""


def name_build(build: str) -> str:
    """Give a build's name in the Genome Reference Consortium's way.

    Parameters
    ----------
    build : str
        By any of its names, in capitals or not.

    Raises
    ------
    GenomeBuildError
        If there is no such build.

    Examples
    --------
    >>> name_build("hg19")
    'GRCh37'
    """
    for name, others in GENOME_BUILDS.items():
        if build.lower() in {name.lower(), *(other.lower() for other in others)}:
            return name
    known = "; ".join(f"{name} ({', '.join(others)})" for name, others in GENOME_BUILDS.items() if others)
    raise GenomeBuildError(f"no genome build {build!r}; known are {known}")


def build_of(prefix: str | Path, stated: str | None = None) -> str:
    """Tell the genome build of a fileset: as stated, or as the file ``<prefix>.build`` beside it says.

    Parameters
    ----------
    prefix : path
        Of the fileset, without an ending.
    stated : str, optional
        The build, if it is known.

    Raises
    ------
    GenomeBuildError
        If nobody says so, or the two differ.
    """
    beside = Path(f"{prefix}.build")
    written = name_build(beside.read_text().strip()) if beside.is_file() else None
    if stated is None and written is None:
        raise GenomeBuildError(
            f"which genome build are the positions of {prefix} on? Pass genome_build='GRCh37' (hg19) or another, or "
            f"write it into {beside.name} beside it; positions alone do not tell"
        )
    if stated is not None and written is not None and name_build(stated) != written:
        raise GenomeBuildError(f"{prefix} is said to be on {name_build(stated)}, but {beside.name} says {written}")
    return name_build(stated) if stated is not None else str(written)


def write_build(prefix: str | Path, build: str) -> Path:
    """Write the build of a fileset beside it, for :func:`build_of`."""
    path = Path(f"{prefix}.build")
    path.write_text(f"{name_build(build)}\n")
    return path
