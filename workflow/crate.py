"""Pack a run as a Research Object Crate, to archive and to cite: ``python -m workflow.crate demo``.

The crate is written to ``runs/<profile>/crate.zip`` by the profile "Process Run Crate": each executed chapter is an
action whose instrument is the source notebook, whose objects are parameters and data, and whose results are what it
made. Nothing is fetched for it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import yaml
from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from gcamccl_core.data.manifest import read_manifest
from gcamccl_core.disk_faults import StorageError
from gcamccl_core.kept_files import CHECKSUM, DamagedFileError, digest_file, whole_file
from gcamccl_core.provenance import CORE, hash_core, resolve
from gcamccl_core.report.disclosure import DisclosureError
from workflow.controlled import offered_files
from workflow.executed_runs import Run, RunError, find_run
from workflow.intact import BOOK_STAMP, fault_of, stamp_of
from workflow.profile import NOTEBOOKS, hash_notebook

VERSION = "1.1"  # of RO-Crate, on which version 0.5 of the profile is built
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
TERMS = "https://w3id.org/ro/terms/workflow-run/context"  # named, not fetched; knows sha256
NAME = "crate.zip"
ENVIRONMENT = ("constraints.txt", "environment.yml", "pyproject.toml", "CITATION.cff", "LICENSE", "README.md")
LICENCES = "https://spdx.org/licenses/"
KINDS = {".ipynb": "application/x-ipynb+json", ".csv": "text/csv", ".json": "application/json", ".html": "text/html"}
KINDS |= {".png": "image/png", ".svg": "image/svg+xml", ".yaml": "application/yaml", ".txt": "text/plain"}


def pack(run: Run, path: Path) -> dict[str, int]:
    """Write a run's crate.

    Parameters
    ----------
    run : Run
        With executed chapters that the workflow stamped.
    path : pathlib.Path
        The zip file to write, whole or not at all.

    Returns
    -------
    dict of str to int
        How many files of which kind are in it.

    Raises
    ------
    RunError
        If a chapter or something that it made is not what was written, or nobody can tell whose data they are.
    DisclosureError
        If chapters of a cohort under controlled access show people.
    """
    faults = [fault for each in run.chapters.values() if (fault := fault_of(each))]
    if faults:
        raise RunError(f"{faults[0]}; make book PROFILE={run.name} makes it again")
    run.refuse_to_disclose()
    with TemporaryDirectory() as folder:
        crate, counts = describe(run, Path(folder))
        with whole_file(path) as partial:
            shutil.copy(crate.write_zip(Path(folder) / NAME), partial)  # the library wants that ending
    return counts


def describe(run: Run, folder: Path) -> tuple[ROCrate, dict[str, int]]:
    """Put a crate together: what it holds, and how each piece was made; copies of the code go into ``folder``."""
    crate = ROCrate(version=VERSION)
    crate.metadata.extra_contexts.append(TERMS)
    cited = yaml.safe_load(Path("CITATION.cff").read_text())
    _describe_root(crate, run, cited)
    copy = shutil.copytree(CORE, folder / "gcamccl_core", ignore=shutil.ignore_patterns("__pycache__"))
    code = crate.add_dataset(copy, "gcamccl_core", properties={"name": "The core package, as it is now"})
    files = {name: _add(crate, Path(name), name) for name in ENVIRONMENT if Path(name).is_file()}
    settings = Path("profiles") / f"{run.name}.yaml"
    files |= {settings.as_posix(): _add(crate, settings, settings.as_posix())} if settings.is_file() else {}
    counts: dict[str, int] = {}
    actions = []
    for chapter, executed in run.chapters.items():
        action, made = _describe_chapter(crate, run, chapter, executed, code)
        actions.append(action)
        for each in made:
            kind = each.split("/")[0]
            counts[kind] = counts.get(kind, 0) + 1
    actions += _describe_book(crate, run, counts)
    crate.root_dataset["mentions"] = actions
    counts["settings and environment"] = len(files)
    return crate, counts


def _describe_root(crate: ROCrate, run: Run, cited: Mapping[str, Any]) -> None:
    """Say what the crate is, who made it, under which licence, and what to cite."""
    process = _entity(crate, PROFILE, "CreativeWork", name="Process Run Crate", version="0.5")
    licence = _entity(crate, f"{LICENCES}{cited['license']}", "CreativeWork", name=cited["license"])
    authors = [_author(crate, person) for person in cited["authors"]]
    paper = cited["preferred-citation"]
    article = _entity(
        crate,
        "#paper",
        "ScholarlyArticle",
        name=paper["title"],
        author=[_author(crate, person) for person in paper["authors"]],
        datePublished=str(paper["year"]),
        isPartOf=_entity(crate, "#journal", "Periodical", name=paper["journal"]),
    )
    dates = [date for stamp in _stamps(run).values() if (date := stamp.get("date"))]
    crate.name = f"{cited['title']}: the run '{run.name}'"
    crate.description = (
        f"Executed chapters of the compendium (version {cited['version']}) with the parameters of the profile "
        f"'{run.name}', their figures and tables, the rendered book, and the code and environment that made them."
    )
    crate.datePublished = max(dates)
    crate.license = licence
    crate.root_dataset["conformsTo"] = process
    crate.root_dataset["author"] = authors
    crate.root_dataset["citation"] = article
    crate.root_dataset["version"] = str(cited["version"])


def _author(crate: ROCrate, person: Mapping[str, str]) -> ContextEntity:
    name = person.get("name") or f"{person['given-names']} {person['family-names']}"
    kind = "Organization" if "name" in person else "Person"
    identifier = person.get("orcid") or f"#{name.replace(' ', '-').replace('.', '')}"
    return crate.dereference(identifier) or _entity(crate, identifier, kind, name=name)


def _stamps(run: Run) -> dict[str, dict[str, Any]]:
    return {chapter: stamp_of(path) for chapter, path in run.chapters.items()}


def _describe_chapter(
    crate: ROCrate, run: Run, chapter: str, executed: Path, code: Any
) -> tuple[ContextEntity, list[str]]:
    """Describe one execution; gives it, and the paths of what it made."""
    stamp = stamp_of(executed)
    source = NOTEBOOKS / f"{chapter}.ipynb"
    core = _describe_core(crate, str(stamp["core"]), stamp["versions"], code)
    instrument = _add(
        crate,
        source,
        f"source/{source.name}",
        name=f"Chapter {chapter}, {'changed since' if _changed(chapter, stamp) else 'before'} it was executed",
        softwareRequirements=core,
        also=("SoftwareSourceCode",),
    )
    values = [
        _entity(crate, f"#{chapter}/{name}", "PropertyValue", name=name, value=_plain(value))
        for name, value in run.parameters[chapter].items()
    ]
    offered = {path.relative_to(run.folder).as_posix() for path in offered_files(run.folder, [executed])}
    made = [name for name in stamp["files"] if name.split("/")[0] in ("notebooks", "figures") or name in offered]
    results = [_add(crate, run.folder / name, name, **_words(run.folder / name)) for name in made]
    results.append(_add(crate, executed.with_suffix(".stamp.json"), f"notebooks/{chapter}.stamp.json", name="Stamp"))
    return _entity(
        crate,
        f"#execution-of-{chapter}",
        "CreateAction",
        name=f"Execution of the chapter {chapter}",
        instrument=instrument,
        object=[*values, _describe_data(crate, run, chapter)],
        result=results,
        endTime=stamp["date"],
        actionStatus="http://schema.org/CompletedActionStatus",
    ), made


def _changed(chapter: str, stamp: Mapping[str, Any]) -> bool:
    source = NOTEBOOKS / f"{chapter}.ipynb"
    return hash_notebook(source) != stamp["notebook"]


def changed_since(run: Run) -> list[str]:
    """Name the chapters of a run whose cells or core have changed since, of which a crate holds another state."""
    return [
        chapter for chapter, stamp in _stamps(run).items() if _changed(chapter, stamp) or stamp["core"] != hash_core()
    ]


def _describe_core(crate: ROCrate, core: str, versions: Mapping[str, str], code: Any) -> ContextEntity:
    """Describe the software that a chapter ran on; by its hash, since two chapters may have run on two states of it."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    identifier = f"#gcamccl_core-{core}"
    requirements = [
        crate.dereference(f"#{name}-{version}")
        or _entity(crate, f"#{name}-{version}", "SoftwareApplication", name=name, softwareVersion=version)
        for name, version in versions.items()
    ]
    properties: dict[str, Any] = {"identifier": core, "softwareRequirements": requirements}
    if core == hash_core():  # else the copy in the crate is another
        properties["hasPart"] = code
    return crate.dereference(identifier) or _entity(
        crate,
        identifier,
        "SoftwareApplication",
        name=project["name"],
        softwareVersion=project["version"],
        description="Its identifier is the hash of what the code does, comments and layout left out.",
        **properties,
    )


def _describe_data(crate: ROCrate, run: Run, chapter: str) -> ContextEntity:
    """Describe whose data a chapter read: what they are, their licence, who may have them, and their hash."""
    given, stamp = run.parameters[chapter], run.stamps[chapter]
    cohort = str(given.get("study") or given.get("cohort") or "none")
    identifier = f"#data-{cohort.replace('/', '-')}-{stamp.get('data') or given.get('regime', '')}"
    about = _about_data(cohort, given)
    hashed = {"identifier": stamp["data"]} if stamp.get("data") not in (None, "None") else {}
    return crate.dereference(identifier) or _entity(crate, identifier, "Dataset", **about, **hashed)


def _about_data(cohort: str, given: Mapping[str, object]) -> dict[str, Any]:
    if cohort in ("simulated", "none") or ("study" in given and not given["study"]):
        regime = f", regime {given['regime']}" if "regime" in given else ""
        said = (
            "Made by the core from its seed; nobody's data." if cohort != "none" else "Published lists; nobody's data."
        )
        return {
            "name": f"{cohort} cohort{regime}",
            "description": said,
            "conditionsOfAccess": "open",
            "license": "none",
        }
    if cohort == "abide":
        files = [file for file in read_manifest().values() if file.name.startswith("abide/")]
        return {
            "name": "ABIDE I, connectivity and FreeSurfer measures; not in this crate",
            "license": files[0].licence,
            "conditionsOfAccess": files[0].access,
            "citation": files[0].citation,
        }
    path = resolve(cohort)
    attrs: dict[str, str] = {}
    if path.is_file():
        with h5py.File(path) as file:
            attrs = {name: str(file.attrs.get(name, "")) for name in ("source", "access", "licence", "citation")}
    return {
        "name": f"{cohort}; not in this crate",
        "description": attrs.get("source") or "a study of one's own",
        "conditionsOfAccess": attrs.get("access") or "controlled",
        "license": attrs.get("licence") or "not stated",
    }


def _describe_book(crate: ROCrate, run: Run, counts: dict[str, int]) -> list[ContextEntity]:
    """Describe the rendered book, if there is one; the checksums of its pages are in its own stamp."""
    html = run.folder / "html"
    if not (html / BOOK_STAMP).is_file():
        return []
    said = f"Begin at html/index.html; html/{BOOK_STAMP} holds the checksums of all its files."
    book = crate.add_dataset(html, "html", properties={"name": "The rendered book", "description": said})
    stamp = json.loads((html / BOOK_STAMP).read_text())
    counts["files of the book"] = len(stamp["files"])
    tool = _entity(crate, "#jupyter-book", "SoftwareApplication", name="Jupyter Book", url="https://jupyterbook.org")
    notebooks = [crate.dereference(f"notebooks/{chapter}.ipynb") for chapter in run.chapters]
    return [
        _entity(
            crate,
            "#rendering",
            "CreateAction",
            name="Rendering of the book",
            instrument=tool,
            object=notebooks,
            result=book,
            endTime=stamp["date"],
            actionStatus="http://schema.org/CompletedActionStatus",
        )
    ]


def _add(crate: ROCrate, path: Path, place: str, also: Iterable[str] = (), **about: Any) -> Any:
    """Add a file once, with its size, its checksum and what it is."""
    held = crate.dereference(place)
    if held is not None:
        return held
    digest = digest_file(path)
    kind = {"encodingFormat": KINDS[path.suffix]} if path.suffix in KINDS else {}
    size = {"contentSize": str(digest["bytes"]), CHECKSUM: digest[CHECKSUM]}
    kinds = {"@type": ["File", *also]} if also else {}
    return crate.add_file(path, place, properties={**kinds, "name": path.name, **kind, **size, **about})


def _words(path: Path) -> dict[str, str]:
    """Give a figure's caption and alt text."""
    about = path.with_suffix(".json")
    if path.suffix not in (".png", ".svg") or not about.is_file():
        return {}
    words = json.loads(about.read_text())
    return {"name": words.get("caption") or path.name, "description": words.get("alt", "")}


def _plain(value: object) -> object:
    return value if isinstance(value, bool | int | float | str) else json.dumps(value, default=str)


def _entity(crate: ROCrate, at: str, kind: str, /, **properties: Any) -> ContextEntity:
    """Add something that is no file."""
    entity = ContextEntity(crate, at, {"@type": kind})
    crate.add(entity)
    for name, value in properties.items():
        entity[name] = value
    return entity


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, pack, and say what is in the crate and how large it is."""
    parser = argparse.ArgumentParser(prog="python -m workflow.crate", description=__doc__.splitlines()[0])
    parser.add_argument("profile", help="a run that the workflow has executed")
    asked = parser.parse_args(arguments)
    try:
        run = find_run(asked.profile)
        path = run.folder / NAME
        counts = pack(run, path)
    except (RunError, DamagedFileError) as fault:
        sys.exit(f"cannot pack the run: {fault}")
    except DisclosureError as fault:
        sys.exit(
            f"cannot pack the run: {fault}. Its people are under controlled access: a crate holds what a book may "
            "show. Run the chapters named again with fewer or larger groups, or archive where the data may be."
        )
    except StorageError as fault:
        sys.exit(f"cannot pack the run: {fault.strerror}")
    print(f"{path}, {path.stat().st_size / 1e6:.1f} MB: {', '.join(f'{kind} ({n})' for kind, n in counts.items())}")
    print("Not in it: the cohort's data, models and maps, and what chapters keep beside their pages.")
    if "files of the book" not in counts:
        print(f"There is no rendered book in it: make book PROFILE={run.name}, then pack again.")
    if later := changed_since(run):
        print(
            f"Cells or core have changed since these were executed: {', '.join(later)}. The crate holds the code as it "
            f"is now; for one that belongs together, make book PROFILE={run.name} first."
        )
    if run.subjects is not None:
        print(
            "Its people are under controlled access. What is in it was searched for ids, counts of few and places, "
            "as for the book; pixels are not seen. Ask who gave you the data before you hand it on."
        )


if __name__ == "__main__":
    main()
