"""Get a verified local copy of an external file: from a mirror, from the cache, or from its address."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pooch
from requests.exceptions import RequestException
from tqdm import tqdm

from gcamccl_core.data.downloads import ResumingDownloader, WrongFileError
from gcamccl_core.data.external_files import (
    ExternalFile,
    ManifestError,
    manifest_folder,
    read_collections,
    read_manifest,
)
from gcamccl_core.disk_faults import StorageError, explain, require_writable


class UnavailableError(ManifestError):
    """A file that the manifest knows but that cannot be had from here."""


def cache_folder() -> Path:
    """Folder that keeps downloads: the environment variable GCAMCCL_CACHE, or the system's usual place."""
    return Path(os.environ.get("GCAMCCL_CACHE") or pooch.os_cache("gcamccl"))


def fetch(name: str) -> Path:
    """Return a verified local copy of an external file.

    Looked for in the folder that the environment variable GCAMCCL_MIRROR names, then in the cache, then at the file's
    address. Size and SHA-256 are checked every time.

    Parameters
    ----------
    name : str
        The file's name in the manifest.

    Returns
    -------
    pathlib.Path
        The file, in the mirror or in the cache.

    Raises
    ------
    ManifestError
        If the manifest has no such file (with the nearest names), or the copy found is truncated or altered.
    UnavailableError
        If no copy is here and the file cannot be downloaded; the message says what to do.
    StorageError
        If the download cannot be written: the disk is full or read-only. What has come is kept.

    Examples
    --------
    >>> fetch("gene_loc/glist-hg38")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    gcamccl_core.data.external_files.ManifestError: ...; did you mean 'gene_loc/glist-hg19'?
    """
    file = _look_up(name)
    found = _find(file)
    if found is not None:
        return _verified(found, file)
    if file.address is None:
        how = file.derived or file.how or f"It is {file.access}: {file.licence}."
        raise UnavailableError(f"'{name}' cannot be downloaded. {how.strip()} Its place: {cache_folder() / name}")
    return _download(file)


def verify(names: Iterable[str] | None = None) -> pd.DataFrame:
    """Tell the state of the local copies of external files; downloads nothing.

    Parameters
    ----------
    names : iterable of str, optional
        Files to look at; all of the manifest by default.

    Returns
    -------
    pandas.DataFrame
        One row per file: name, collection, status (``present``, ``absent``, ``corrupt``, or ``unchecked`` where the
        manifest knows no checksum), where (``mirror``, ``cache`` or empty), path, sha256_ok (missing where absent or
        unchecked), licence, access.
    """
    chosen = list(read_manifest()) if names is None else list(names)
    rows = []
    for file in tqdm([_look_up(name) for name in chosen], desc="verify", unit="file", leave=False, delay=2):
        found = _find(file)
        fault = None if found is None else _fault(found, file)
        rows.append(
            {
                "name": file.name,
                "collection": file.collection,
                "status": _status(file, found, fault),
                "where": "" if found is None else "mirror" if _mirrored(file) else "cache",
                "path": "" if found is None else str(found),
                "sha256_ok": pd.NA if found is None or file.sha256 is None else fault is None,
                "licence": file.licence,
                "access": file.access,
            }
        )
    return pd.DataFrame(rows).astype({"sha256_ok": "boolean"})


def region_table() -> pd.DataFrame:
    """Names, networks and coordinates of the 264 Power regions, one row each, in Power's order.

    Returns
    -------
    pandas.DataFrame
        Columns ``roi`` (unique name), ``number`` (1 to 264), ``region`` (gyrus), ``hemisphere`` (L, R, M), ``lobe``,
        ``network``, ``network_source``, ``aal``, and ``x``, ``y``, ``z`` in MNI mm.

    Examples
    --------
    >>> regions = region_table()
    >>> len(regions), regions["roi"].is_unique
    (264, True)
    """
    return pd.read_csv(manifest_folder() / "power264_regions.csv")


def region_abbreviations() -> dict[str, str]:
    """Abbreviations of Table IX, by the names that regions have in the region table.

    The paper's "Parahippocampa Gyrus" is listed as Parahippocampal Gyrus. Sub-Gyral, white matter below a gyrus, is no
    region of the table: what the paper's atlas calls so lies here in the nearest gyrus.

    Examples
    --------
    >>> region_abbreviations()["Inferior Occipital Gyrus"]
    'Inf_Occi'
    """
    table = pd.read_csv(manifest_folder() / "paper_table9.csv")
    return dict(zip(table["region"], table["abbreviation"], strict=True))


def _look_up(name: str) -> ExternalFile:
    files = read_manifest()
    if name not in files:
        near = difflib.get_close_matches(name, files, n=3, cutoff=0.5)
        near += [known for known in files if known.endswith(f"/{name}") and known not in near]
        hint = f"did you mean {' or '.join(repr(known) for known in near)}?" if near else "see data_manifest/README.md"
        raise ManifestError(f"the manifest has no file '{name}'; {hint}")
    return files[name]


def _mirrored(file: ExternalFile) -> Path | None:
    mirror = os.environ.get("GCAMCCL_MIRROR")
    if not mirror:
        return None
    if not Path(mirror).is_dir():
        raise ManifestError(f"GCAMCCL_MIRROR names {mirror}, which is no folder; correct it or unset it")
    path = Path(mirror) / file.name
    return path if path.is_file() else None


def _find(file: ExternalFile) -> Path | None:
    cached = cache_folder() / file.name
    return _mirrored(file) or (cached if cached.is_file() else None)


def _fault(path: Path, file: ExternalFile) -> str | None:
    """Say what is wrong with a copy; None if nothing is, or nobody can tell."""
    if file.size is None:
        return None
    size = path.stat().st_size
    if size != file.size:
        what = "truncated" if size < file.size else "too long"
        return f"it is {what}: {size} bytes instead of {file.size}"
    found = pooch.file_hash(str(path), alg="sha256")
    return None if found == file.sha256 else f"its SHA-256 is {found} instead of {file.sha256}"


def _status(file: ExternalFile, found: Path | None, fault: str | None) -> str:
    if found is None:
        return "absent"
    return "corrupt" if fault else "present" if file.sha256 else "unchecked"


def _verified(path: Path, file: ExternalFile) -> Path:
    fault = _fault(path, file)
    if fault:
        raise ManifestError(
            f"'{file.name}' ({path}) is not the file of the manifest: {fault}; delete it and fetch again"
        )
    return path


def _download(file: ExternalFile) -> Path:
    assert file.address is not None
    assert file.size is not None
    assert file.sha256 is not None
    target = cache_folder() / file.name
    part = target.with_name(f"{target.name}.part")
    try:
        require_writable(target.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        ResumingDownloader(part, file.size, file.sha256).download(file.address, target)
    except (RequestException, OSError) as fault:
        if (said := fault if isinstance(fault, StorageError) else explain(fault, target)) is not None:
            raise said from fault
        raise UnavailableError(
            f"'{file.name}' could not be downloaded from {file.address} ({type(fault).__name__}); connect this "
            "machine, or set GCAMCCL_MIRROR to a folder that holds the file"
        ) from fault
    except WrongFileError as fault:
        raise ManifestError(f"'{file.name}' from {file.address} is not the file of the manifest: {fault}") from fault
    return target


def describe(collection: str) -> str:
    """Say what a collection is, what it may be used for, and how one gets it.

    Raises
    ------
    ManifestError
        If the manifest has no such collection.

    Examples
    --------
    >>> print(describe("gene_positions").splitlines()[0])
    gene_positions (open)
    """
    known = read_collections()
    if collection not in known:
        near = difflib.get_close_matches(collection, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise ManifestError(f"the manifest has no collection {collection!r}; {hint}")
    entry = known[collection]
    lines = [f"{collection} ({entry['access']})", str(entry["purpose"]), f"Licence: {entry['licence']}"]
    lines += [f"Cite: {entry['citation']}"]
    lines += [f"How: {entry[field]}" for field in ("address", "derived", "how") if field in entry]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Print the state of the external files, or fetch some."""
    parser = argparse.ArgumentParser(prog="python -m gcamccl_core.data.manifest", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="files (or collections) to look at; default: all")
    parser.add_argument("--fetch", action="store_true", help="fetch the files first")
    parser.add_argument("--files", action="store_true", help="one line per file instead of per collection")
    parser.add_argument("--about", metavar="COLLECTION", help="say what a collection is, and how one gets it")
    options = parser.parse_args(arguments)
    missed: dict[str, str] = {}
    try:
        if options.about:
            print(describe(options.about))
            return 0
        files = read_manifest()
        chosen = [n for asked in options.names for n in [f for f in files if files[f].collection == asked] or [asked]]
        if options.fetch:
            for name in tqdm(chosen or list(files), desc="fetch", unit="file"):
                try:
                    fetch(name)
                except UnavailableError as fault:  # said once for a collection, and the others fetched
                    missed.setdefault(files[name].collection, str(fault))
        table = verify(chosen or None)
    except ManifestError as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 1
    count = table.pivot_table("name", "collection", "status", aggfunc="count", fill_value=0, sort=False)
    about = table.groupby("collection", sort=False)[["access", "licence"]].first()
    shown = table.set_index("name").drop(columns="path") if options.files else count.join(about)
    print(shown.to_string())
    for collection, said in missed.items():
        print(f"not to be had from here: {collection}: {said}", file=sys.stderr)
    for corrupt in table.loc[table["status"] == "corrupt", "path"]:
        print(f"corrupt: {corrupt}", file=sys.stderr)
    return int((table["status"] == "corrupt").any() or bool(missed and options.names))


if __name__ == "__main__":
    sys.exit(main())
