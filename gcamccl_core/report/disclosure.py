"""Controlled data stay in: nothing that a book of such a cohort shows may point at a person."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import xarray as xr
from bs4 import BeautifulSoup, Tag

SMALLEST = 10  # people; a cell that counts fewer could be told who they are
SHORTEST = 4  # characters; a shorter id cannot be told from an ordinary number or word
PERSON = re.compile(r"(subject|subject_[12]|participant|participant_id|person|iid|fid)", re.IGNORECASE)
COUNT = re.compile(
    r"(n|people|persons|participants|subjects|samples|n_(train|validation|test|subjects|people|samples)"
    r"|number of (people|subjects))",
    re.IGNORECASE,
)
WHOLE = re.compile(r"(\d+)(\.0+)?")
ABSOLUTE = re.compile(r"file:/\S+|(?<![\w./<>~}-])(?:/[A-Za-z_][\w.-]*/|[A-Za-z]:\\)[^\s'\"<>)]*")
TAG = re.compile(r"<[^>]*>")


class DisclosureError(ValueError):
    """Something in the outputs of a controlled cohort points at a person, or at a place; the message says where."""


@dataclass(frozen=True)
class Disclosure:
    """One thing that must not be shown.

    Parameters
    ----------
    where : str
        Notebook and cell, or file.
    what : str
        In words.
    """

    where: str
    what: str


def is_controlled(cohort: xr.Dataset) -> bool:
    """Tell whether a cohort's people may not be shown one by one: ``attrs["access"]`` is ``"controlled"``.

    Examples
    --------
    >>> is_controlled(xr.Dataset(attrs={"access": "open"}))
    False
    """
    return cohort.attrs.get("access") == "controlled"


def find_disclosures(
    notebooks: Sequence[Path], figures: Path | None, subjects: Iterable[str], smallest: int = SMALLEST
) -> list[Disclosure]:
    """Search executed notebooks and figures for subjects, counts of few people, and places on a machine.

    Looked at are sources, printed text, tables and the words of figures (alt text, captions, SVG). Not seen are the
    pixels of a picture, and counts of people that are printed, or stand in a column that is not called after people: a
    chapter leaves these out itself where :func:`is_controlled` says so.

    Parameters
    ----------
    notebooks : sequence of Path
        Executed notebooks.
    figures : Path or None
        The folder of saved figures.
    subjects : iterable of str
        Ids of the cohort. Those of fewer than four characters are looked for with ``sub-`` before them, and as the
        first column of a table.
    smallest : int
        Tables may not count fewer people than this, unless none.

    Returns
    -------
    list of Disclosure
        Empty if nothing was found.
    """
    names = {str(name) for name in subjects}
    ids = _pattern(names)
    found: list[Disclosure] = []
    for path in notebooks:
        for number, cell in enumerate(json.loads(path.read_text())["cells"]):
            where = f"{path.stem}, cell {number}"
            found += _look(where, "".join(cell["source"]), ids, cell["cell_type"] == "code")
            for output in cell.get("outputs", []):
                for text in _texts(output):
                    found += _look(where, text, ids, True)
                for html in _html(output):
                    found += [Disclosure(where, what) for what in _tables(html, smallest, names)]
    for path in sorted(figures.glob("*")) if figures is not None and figures.is_dir() else ():
        if path.suffix in (".svg", ".json"):
            found += _look(path.name, path.read_text(), ids, path.suffix == ".json")
    return list(dict.fromkeys(found))


def refuse_disclosures(found: Sequence[Disclosure]) -> None:
    """Raise DisclosureError if anything was found.

    Examples
    --------
    >>> refuse_disclosures([Disclosure("03_training, cell 4", "names the subject sub-0007")])
    Traceback (most recent call last):
    gcamccl_core.report.disclosure.DisclosureError: controlled data would leave: 03_training, cell 4 names the ...
    """
    if found:
        said = "; ".join(f"{each.where} {each.what}" for each in found[:20])
        more = f"; and {len(found) - 20} more" if len(found) > 20 else ""
        raise DisclosureError(f"controlled data would leave: {said}{more}")


def _pattern(names: Iterable[str]) -> re.Pattern[str] | None:
    """One expression for all ids as whole words, alone or after ``sub-``, the longest first."""
    wanted = {f"sub-{name}" for name in names} | {name for name in names if len(name) >= SHORTEST}
    listed = sorted(wanted, key=lambda name: (-len(name), name))
    if not listed:
        return None
    return re.compile(rf"(?<![A-Za-z0-9])(?<!\d\.)({'|'.join(map(re.escape, listed))})(?![A-Za-z0-9])(?!\.\d)")


def _look(where: str, text: str, ids: re.Pattern[str] | None, paths: bool) -> Iterator[Disclosure]:
    """Subjects and, where asked, places in a text."""
    for name in dict.fromkeys(ids.findall(text)) if ids else ():
        yield Disclosure(where, f"names the subject {name}")
    for place in dict.fromkeys(ABSOLUTE.findall(TAG.sub(" ", text))) if paths else ():
        yield Disclosure(where, f"names the place {place}; give paths relative to the project")


def _texts(output: Mapping) -> Iterator[str]:
    """All words of an output: what was printed, its data but for pictures, and alt texts."""
    parts = [output.get("text", ""), *output.get("traceback", [])]
    parts += [value for kind, value in output.get("data", {}).items() if not kind.startswith("image/png")]
    parts.append(json.dumps(output.get("metadata", {})))
    for part in parts:
        yield part if isinstance(part, str) else "".join(map(str, part)) if isinstance(part, list) else json.dumps(part)


def _html(output: Mapping) -> Iterator[str]:
    html = output.get("data", {}).get("text/html", "")
    text = html if isinstance(html, str) else "".join(html)
    if "<table" in text:
        yield text


def _tables(html: str, smallest: int, subjects: Collection[str]) -> Iterator[str]:
    """Say of tables what in them is of one person, or of few."""
    for table in BeautifulSoup(html, "html.parser").find_all("table"):
        head, body = _grid(table.find("thead")), _grid(table.find("tbody"))
        columns = [[level for level in dict.fromkeys(levels) if level] for levels in zip(*head, strict=False)]
        of_person = [level for levels in columns for level in levels if PERSON.fullmatch(level)]
        first = [row[0] for row in body if row]
        if not of_person and len(first) > 2 and len(set(first) & set(subjects)) > 2:
            of_person = ["subject"]
        if of_person:
            yield f"has a table with a row for every {of_person[0]}"
        few = []
        for row in body:
            counts_row = bool(row) and COUNT.fullmatch(row[0]) is not None
            for levels, value in zip(columns, row, strict=False):
                counted = counts_row or any(COUNT.fullmatch(level) for level in levels)
                whole = WHOLE.fullmatch(value)
                if counted and whole is not None and 0 < int(whole[1]) < smallest:
                    few.append((row[0] if counts_row else " ".join(levels), value))
        for name, value in dict.fromkeys(few):
            yield f"counts {value} under '{name}', fewer than {smallest} people"


def _grid(part: Tag | None) -> list[list[str]]:
    """Lay out the cells of a table's head or body, those that span several rows or columns repeated."""
    grid: list[list[str]] = []
    pending: dict[tuple[int, int], str] = {}
    for number, row in enumerate(part.find_all("tr") if part is not None else ()):
        line: list[str] = []
        for cell in [*row.find_all(["th", "td"]), None]:
            while (number, len(line)) in pending:
                line.append(pending[number, len(line)])
            if cell is None:
                break
            text = cell.get_text(strip=True)
            for _ in range(_span(cell, "colspan")):
                for below in range(1, _span(cell, "rowspan")):
                    pending[number + below, len(line)] = text
                line.append(text)
        grid.append(line)
    return grid


def _span(cell: Tag, name: str) -> int:
    text = str(cell.get(name) or "1")
    return int(text) if text.isdigit() else 1
