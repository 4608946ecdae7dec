"""The stamp at the foot of every page of a book, and the word at its top that it is stale.

A page is stamped after it is rendered: the words of a stamp are no part of what a reader searches for or downloads. The
stamp is also written as JSON, below ``_static/stamps`` of the book, from which :func:`page_states` tells later whether
the page is still what would be made now.
"""

from __future__ import annotations

import html as markup
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat

from gcamccl_core.provenance import fingerprint, hash_core, versions, what_changed, write_json
from gcamccl_core.report.shown_tables import tables_in_html
from workflow.assemble import BOOK, QUOTED, figure_words, glued_numbers
from workflow.intact import fault_of, stamp_of
from workflow.left_out import left_out
from workflow.profile import Profile, declared, hash_notebook, made_from, notebook_names, parameters_for
from workflow.quoted_tables import table_stamps, table_states, tables_of_names, tables_read_by

STAMPS = "_static/stamps"  # of a rendered book
NOTED = ("Python", "torch", "numpy", "scikit-learn", "nilearn")  # versions that a page shows; its file has all
ARTICLE = re.compile(r'<article class="bd-article"[^>]*>.*?</h1>', re.DOTALL)
FOOT = "</article>"
WORDS = {  # for what an executed notebook is made from, see workflow.profile.made_from
    "notebook": "the notebook's cells",
    "parameters": "the parameters",
    "core": "the core's code",
    "tables": "a table that it reads",
    "cohort": "the cohort",
    "study": "the files of the study",
    "data": "the data",
    "script": "the script that makes it",
    "versions": "versions of packages",
    "source": "the page's text",
}
Stamp = dict[str, Any]


class StampError(ValueError):
    """A rendered page that has no place for a stamp."""


def stamp_pages(profile: Profile, html: Path) -> list[Path]:
    """Put a stamp at the foot of every page of a rendered book, and a word at the top of those that are stale.

    Parameters
    ----------
    profile : Profile
        Whose executed notebooks the book was made of.
    html : pathlib.Path
        The rendered book; pages that no source made, as the index of terms, are left as they are.

    Returns
    -------
    list of pathlib.Path
        The stamps, as JSON.

    Raises
    ------
    StampError
        If a page has no title or no end of its text, where the two belong.
    """
    states = table_states()
    now = {name: made_from(profile, name) for name in notebook_names()}
    date = datetime.now(UTC).isoformat(timespec="seconds")
    written = []
    for page, stamp in describe_pages(profile, html, date).items():
        held = {**stamp, "stale": find_stale(profile, stamp, now, states)}
        _write_into(html / f"{page}.html", page, held)
        written.append(write_json(html / STAMPS / f"{page}.json", held))
    return written


def describe_pages(profile: Profile, html: Path, date: str) -> dict[str, Stamp]:
    """Say of every page of a rendered book what it comes from: its run, and the chapters and tables that it quotes."""
    stamps = table_stamps()
    chapters = {f"notebooks/{name}": name for name in notebook_names()}
    executed = {name: profile.run_folder / "notebooks" / f"{name}.ipynb" for name in chapters.values()}
    made_by = {number: name for name in executed for number in _names_made(profile, executed[name])}
    own = {name: _of_chapter(profile, name, executed[name]) for name in executed}
    opened = {name: tables_read_by(executed[name], own[name]["parameters"], stamps) for name in executed}
    found = {}
    for path in sorted(html.rglob("*.html")):
        page = path.relative_to(html).with_suffix("").as_posix()
        source = _source_of(profile, page)
        if page.startswith("_") or source is None:
            continue
        name = chapters.get(page)
        quoted = set(QUOTED.findall(_prose(source)))
        read = {*tables_of_names(quoted, stamps), *opened.get(str(name), [])}
        for number in quoted & set(made_by):  # a chapter names what it computes of a table after it
            read |= {table for table in opened[made_by[number]] if number.startswith(f"{table}_")}
        others = sorted({made_by[number] for number in quoted if number in made_by} - {name})
        tables = {table: {key: stamps[table].get(key) for key in ("core", "data", "date")} for table in sorted(read)}
        about = {"page": page, "profile": profile.name, "chapters": others, "tables": tables}
        about["source"] = _hash_source(source)
        found[page] = {**(own[name] if name else _of_prose(others, own, tables, date)), **about}
    return found


def _of_chapter(profile: Profile, name: str, executed: Path) -> Stamp:
    """Say what an executed notebook was made from; the hash of simulated data is in its own closing stamp alone."""
    basis = {key: value for key, value in stamp_of(executed).items() if key not in ("files", "sha256")}
    data = _closing_stamp(executed).get("data") or basis["data"]
    changed = {key: value for key, value in basis["parameters"].items() if key != "run_folder"}
    return {
        "date": basis.pop("date", None),
        "core": [basis["core"]],
        "data": [data] if data and data != "None" else [],
        "versions": basis["versions"],
        "parameters": {**declared(name), **parameters_for(profile, name)},
        "changed_parameters": changed,
        "executed": not left_out([executed]),
        "made_from": basis,
    }


def _of_prose(chapters: Iterable[str], own: Mapping[str, Stamp], tables: Mapping[str, Stamp], date: str) -> Stamp:
    """Say what a page without cells was made from: what it quotes; without that, the core that laid it out."""
    quoted = [own[name] for name in chapters]
    core = {core for stamp in quoted for core in stamp["core"]} or {hash_core()}
    data = {each for stamp in quoted for each in stamp["data"]} | {table["data"] for table in tables.values()}
    return {"date": date, "core": sorted(core), "data": sorted(filter(None, data)), "versions": versions()}


def _closing_stamp(executed: Path) -> dict[str, str]:
    """Read the stamp that a chapter shows in its last cells, by row; empty if it shows none."""
    for cell in reversed(nbformat.read(executed, as_version=4).cells):
        if cell.cell_type == "code" and "stamp_table(" in cell.source:
            shown = "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)
            return {row[0].text: row[1].text for table in tables_in_html(shown) for row in table.rows if len(row) == 2}
    return {}


def _names_made(profile: Profile, executed: Path) -> set[str]:
    """List the names for prose that a chapter makes: its glued numbers, and the words of its figures."""
    figures = figure_words(profile.run_folder / "figures")
    drawn = {Path(path).stem for path in stamp_of(executed)["files"] if path.startswith("figures/")}
    words = {f"figure_{name}_{part}" for name in drawn for part in ("alt", "caption")}
    return set(glued_numbers([executed])) | (words & set(figures))


def _source_of(profile: Profile, page: str) -> Path | None:
    """Find what a rendered page was made of: a page of prose, an executed chapter, or what was laid out for it."""
    laid_out = [profile.run_folder / "source" / f"{page}.{end}" for end in ("md", "ipynb")]
    places = [BOOK / f"{page}.md", profile.run_folder / f"{page}.ipynb", *laid_out]
    return next((path for path in places if path.is_file()), None)


def _prose(source: Path) -> str:
    if source.suffix == ".md":
        return source.read_text()
    return "\n".join(cell.source for cell in nbformat.read(source, as_version=4).cells if cell.cell_type == "markdown")


def _hash_source(source: Path) -> str:
    return fingerprint(source.read_text()) if source.suffix == ".md" else hash_notebook(source)


def find_stale(
    profile: Profile,
    stamp: Mapping[str, Any],
    now: Mapping[str, Mapping[str, object]],
    tables: Mapping[str, list[str]],
    made: Mapping[str, Mapping[str, object]] | None = None,
) -> dict[str, Any]:
    """Say what changed since a page was made: of itself, of the chapters and of the tables that it quotes.

    Parameters
    ----------
    profile : Profile
        Of the book.
    stamp : mapping
        Of the page.
    now : mapping
        What each chapter would be made from now, by name.
    tables : mapping
        What changed since each stored table was made, by name.
    made : mapping, optional
        What each chapter was made from, by name; unless given, that of the executed notebooks as they lie there.

    Returns
    -------
    dict
        ``page``, a list; ``chapters`` and ``tables``, lists by name. Without those that are current.
    """

    def of_chapter(name: str) -> list[str]:
        executed = profile.run_folder / "notebooks" / f"{name}.ipynb"
        if name not in now:
            return ["removed"]
        if made is None and fault_of(executed):
            return ["edited or damaged"]
        return what_changed(stamp_of(executed) if made is None else made.get(name, {}), now[name])

    own = of_chapter(Path(stamp["page"]).name) if "made_from" in stamp else []
    chapters = {name: changed for name in stamp["chapters"] if (changed := of_chapter(name))}
    quoted = {name: changed for name in stamp["tables"] if (changed := tables.get(name, ["removed"]))}
    found = {"page": own, "chapters": chapters, "tables": quoted}
    return {key: value for key, value in found.items() if value}


def page_states(profile: Profile) -> list[tuple[str, str]]:
    """List the pages of a rendered book that would be made otherwise now, each with why; for ``make status``."""
    html = profile.run_folder / "html"
    stamps = [json.loads(path.read_text()) for path in sorted((html / STAMPS).rglob("*.json"))]
    if not stamps:
        return []
    now = {name: made_from(profile, name) for name in notebook_names()}
    made = {Path(stamp["page"]).name: stamp["made_from"] for stamp in stamps if "made_from" in stamp}
    tables = table_states()
    rows = []
    for stamp in stamps:
        stale = find_stale(profile, stamp, now, tables, made)
        source = BOOK / f"{stamp['page']}.md"
        if source.is_file() and _hash_source(source) != stamp["source"]:
            stale["page"] = ["source"]
        if stale:
            rows.append(((html / f"{stamp['page']}.html").as_posix(), f"stale: {'; '.join(_reasons(stale))}"))
    return rows


def _reasons(stale: Mapping[str, Any]) -> list[str]:
    """Put what changed into words, tables with the same change together."""
    said = []
    if stale.get("page"):
        said.append(f"{_in_words(stale['page'])} changed since it was made")
    for kind in ("chapters", "tables"):
        alike: dict[str, list[str]] = {}
        for name, changed in stale.get(kind, {}).items():
            alike.setdefault(_in_words(changed), []).append(name)
        said += [f"it quotes stale {kind}: {', '.join(names)} ({changed} changed)" for changed, names in alike.items()]
    return said


def _in_words(changed: Iterable[str]) -> str:
    words = [WORDS.get(each, each) for each in changed]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _write_into(path: Path, page: str, stamp: Mapping[str, Any]) -> None:
    text = path.read_text()
    title = ARTICLE.search(text)
    if title is None or text.count(FOOT) != 1:
        raise StampError(f"{path} has no title or not one end of its text, so it cannot be stamped")
    place = text.index(FOOT)
    parts = [text[: title.end()], _warning(stamp), text[title.end() : place], _foot(page, stamp), text[place:]]
    path.write_text("".join(parts))


def _warning(stamp: Mapping[str, Any]) -> str:
    """Write what stands at the top of a stale page; nothing for one that is current."""
    stale = stamp["stale"]
    if not stale:
        return ""
    reasons = "".join(f"<li>{markup.escape(each[0].upper() + each[1:])}.</li>" for each in _reasons(stale))
    make = [f"make book PROFILE={stamp['profile']}"] * bool(stale.get("page") or stale.get("chapters"))
    make += ["make results"] * bool(stale.get("tables"))
    again = " and ".join(f"<code>{markup.escape(each)}</code>" for each in make)
    only = "" if stale.get("page") or stale.get("chapters") else " They are of stored tables, not of this run."
    return (
        '\n<div class="admonition warning page-stale">\n<p class="admonition-title">This page is stale</p>\n'
        f"<p>What some of its numbers were computed by has changed, and they were not computed again.{only} {again} "
        f"{'make' if len(make) > 1 else 'makes'} them again.</p>\n<ul>{reasons}</ul>\n</div>\n"
    )


def _foot(page: str, stamp: Mapping[str, Any]) -> str:
    """Write what stands at the foot of a page, for people; the link leads to all of it, for machines."""
    up = "../" * page.count("/")
    lines = [
        f"Run {_code(stamp['profile'])}, {'executed' if stamp.get('executed') else 'laid out'} "
        f'<time datetime="{stamp["date"]}">{stamp["date"]}</time>',
        f"core {_codes(stamp['core'])}",
        f"data {_codes(stamp['data'])}" if stamp["data"] else "no data",
        ", ".join(f"{name} {markup.escape(stamp['versions'][name.lower()])}" for name in NOTED),
    ]
    if "made_from" in stamp:
        changed = [f"{name} = {value!r}" for name, value in stamp["changed_parameters"].items()]
        lines.append(f"parameters changed: {_codes(changed)}" if changed else "all parameters at their defaults")
    link = f'<a href="{up}{STAMPS}/{page}.json">Stamp of this page (JSON)</a>'
    return (
        '\n<div class="page-stamp" role="note" aria-label="What this page comes from">\n'
        f"<p>{'; '.join(lines)}. {link}</p>\n{_quoted(stamp)}</div>\n"
    )


def _quoted(stamp: Mapping[str, Any]) -> str:
    """List the chapters and tables that a page quotes, folded, since there may be dozens."""
    kinds = {kind: list(stamp[kind]) for kind in ("chapters", "tables") if stamp[kind]}
    if not kinds:
        return ""
    counts = [f"{len(names)} {kind if len(names) > 1 else kind[:-1]}" for kind, names in kinds.items()]
    listed = "".join(f"<p>{kind.capitalize()}: {_codes(names)}</p>" for kind, names in kinds.items())
    return f"<details><summary>Quotes {' and '.join(counts)}</summary>{listed}</details>\n"


def _code(text: object) -> str:
    return f"<code>{markup.escape(str(text))}</code>"


def _codes(texts: Iterable[object]) -> str:
    return ", ".join(_code(text) for text in texts)
