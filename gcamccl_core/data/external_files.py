"""What the manifest (``data_manifest/manifest.yaml``) says about every external file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from gcamccl_core.provenance import project_root

ACCESS_CLASSES = ("open", "controlled")


class ManifestError(ValueError):
    """A file that the manifest does not know, or whose content is not what the manifest says."""


@dataclass(frozen=True)
class ExternalFile:
    """One file of the manifest.

    Parameters
    ----------
    name : str
        Its name for :func:`fetch`, and its path inside a mirror and inside the cache.
    size : int or None
        Bytes; None where nobody here has had the file yet.
    sha256 : str or None
        64 hexadecimal digits; None as well then.
    address : str or None
        Where it can be downloaded; None for a file made from others, which ``derived`` then explains, or one that is to
        be had by hand, as ``how`` says.
    collection, purpose, licence, access, citation, derived, how : str
        As the manifest states them for the file's collection.
    """

    name: str
    size: int | None
    sha256: str | None
    address: str | None
    collection: str
    purpose: str
    licence: str
    access: str
    citation: str
    derived: str
    how: str = ""


def manifest_folder() -> Path:
    """Folder with the manifest and the region table."""
    folder = project_root() / "data_manifest"
    if not (folder / "manifest.yaml").is_file():
        raise ManifestError(
            f"{folder} holds no manifest.yaml; work in a checkout of the project, installed with pip -e"
        )
    return folder


def read_collections() -> dict[str, dict[str, Any]]:
    """All entries of the manifest as they stand there, by the name of the collection.

    Raises
    ------
    ManifestError
        If the manifest is missing.

    Examples
    --------
    >>> read_collections()["pnc"]["access"]
    'controlled'
    """
    return dict(yaml.safe_load((manifest_folder() / "manifest.yaml").read_text()))


@cache
def read_manifest() -> dict[str, ExternalFile]:
    """All files of the manifest by name.

    Raises
    ------
    ManifestError
        If the manifest is missing, repeats a name or holds an unknown access class.

    Examples
    --------
    >>> read_manifest()["gene_loc/glist-hg19"].access
    'open'
    """
    folder = manifest_folder()
    files: dict[str, ExternalFile] = {}
    for collection, entry in read_collections().items():
        if entry["access"] not in ACCESS_CLASSES:
            raise ManifestError(f"'{collection}' has access class {entry['access']!r}; known are {ACCESS_CLASSES}")
        listed = dict(entry.get("files", {}))
        if "file_table" in entry:
            listed |= pd.read_csv(folder / entry["file_table"], index_col="name").to_dict("index")
        for name, file in listed.items():
            if name in files:
                raise ManifestError(f"the manifest lists '{name}' in '{files[name].collection}' and in '{collection}'")
            files[name] = ExternalFile(
                name=name,
                size=None if file.get("bytes") is None else int(file["bytes"]),
                sha256=file.get("sha256"),
                address=entry["address"].replace("{file}", name.rsplit("/", 1)[-1]) if "address" in entry else None,
                collection=collection,
                derived=entry.get("derived", ""),
                how=entry.get("how", ""),
                **{field: entry[field] for field in ("purpose", "licence", "access", "citation")},
            )
    return files
