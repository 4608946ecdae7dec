"""Controlled data stay in: nothing that a book of such a cohort shows may point at a person.

A chapter hides what is of one person, or counts few (:func:`is_controlled`, :func:`mask_small_counts`,
:func:`average_people`); the search looks at what was made all the same. What counts people is said in
:mod:`.small_counts`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from gcamccl_core.report.shown_tables import ShownTable, table_of, tables_in_html, tables_in_text
from gcamccl_core.report.small_counts import (
    SMALLEST,
    few_as,
    few_by_name,
    few_in_table,
    few_in_words,
    hide_small_counts,
)

SHORTEST = 4  # characters; a shorter id cannot be told from an ordinary number or word
PERSON = re.compile(r"(subject|subject_[12]|participant|participant_id|person|iid|fid)", re.IGNORECASE)
FOLDER = r"(?:[\w.-]*[A-Za-z_][\w.-]*/|\d[\w.-]*/[\w.-]*[A-Za-z_])"  # has a letter, unlike a fraction or a date
ABSOLUTE = re.compile(
    rf"file:/\S+|(?<![\w./<>~}}-])(?:/{FOLDER}|[A-Za-z]:\\)[^\s'\"<>)]*|(?<![\w./<>}}])~[\w-]*/[A-Za-z0-9_.][^\s'\"<>)]*"
)
TAG = re.compile(r"<[^>]*>")
SCRIPT = re.compile(r"<(script|style)\b.*?</\1>", re.DOTALL | re.IGNORECASE)
WITHIN = re.compile(r"</?(?:a|b|code|em|i|small|span|strong)\b[^>]*>")  # tags that may stand inside a phrase
SPOKEN = re.compile(r'\b(?:title|alt|aria-label|content)="([^"]*)"')  # for readers who cannot see
NOTE = re.compile(r"<!--(.*?)-->", re.DOTALL)  # in an SVG the words of which the paths below are drawn
DRAWN = re.compile(r'\s(?:d|points|transform|style|x|y|x1|x2|y1|y2|width|height|viewBox|xlink:href)="[^"]*"')
NUMBERED = ""  # among the ids: some are mere numbers, so that the number of a row may be a person
HOW = "What to do: 'When a book is refused' in book/rerun.md"
GLUED = "application/papermill.record/text/plain"

Shown = TypeVar("Shown")


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
    """Tell whether a cohort's people may not be shown one by one: unless ``attrs["access"]`` is ``"open"``.

    Whatever does not say that it is open is controlled, as in the search; simulated cohorts and ABIDE say so.

    Examples
    --------
    >>> is_controlled(xr.Dataset(attrs={"access": "open"})), is_controlled(xr.Dataset())
    (False, True)
    """
    return str(cohort.attrs.get("access", "")) != "open"


def mask_small_counts(shown: Shown, data: xr.Dataset) -> Shown:
    """Write "<10" for what counts fewer than ten people, if the cohort is controlled; else give back what was given.

    Parameters
    ----------
    shown : DataFrame, dict, str, Figure, Axes, or tuple of these
        What is about to be shown. By the rule of :mod:`.small_counts`, cells of a table, values of a dictionary, and
        counts in words are hidden; of a figure, those in its words, in place.
    data : xarray.Dataset
        The cohort.

    Returns
    -------
    same as shown
        The same, or with "<10" in it.

    Examples
    --------
    >>> mask_small_counts({"train": 28, "test": 6, "n_splits": 3}, xr.Dataset(attrs={"access": "controlled"}))
    {'train': 28, 'test': '<10', 'n_splits': 3}
    """
    return hide_small_counts(shown) if is_controlled(data) else shown


def average_people(figure: Figure, data: xr.Dataset) -> Figure:
    """Draw the mean of people in place of a strip with a row for everyone, if the cohort is controlled.

    Parameters
    ----------
    figure : Figure
        Changed in place: its images whose vertical axis is called "subject".
    data : xarray.Dataset
        The cohort.

    Returns
    -------
    Figure
        The same.
    """
    for ax in figure.axes if is_controlled(data) else ():
        if ax.get_ylabel() == "subject":
            ax.set_ylabel("mean")
            for image in ax.images:
                rows = image.get_array()
                assert rows is not None
                image.set_data(rows.mean(axis=0, keepdims=True))
    return figure


def find_disclosures(
    notebooks: Sequence[Path],
    figures: Path | None,
    subjects: Iterable[str],
    smallest: int = SMALLEST,
    files: Sequence[Path] = (),
) -> list[Disclosure]:
    """Search executed notebooks, figures and the files of a page for subjects, counts of few people, and places.

    Looked at are sources, printed text, tables (HTML, Markdown, printed and CSV), glued numbers, and the words of
    figures (alt text, captions, SVG) and of views to turn, without their scripts. What counts people is decided by the
    rule of :mod:`.small_counts`. Not seen are the pixels of a picture, numbers in words ("four people"), and what can
    be computed from several numbers; a chapter leaves these out itself where :func:`is_controlled` says so.

    Parameters
    ----------
    notebooks : sequence of Path
        Executed notebooks.
    figures : Path or None
        The folder of saved figures.
    subjects : iterable of str
        Ids of the cohort; zeros that they begin with may be missing, or more of them be there. Those of fewer than
        four characters are looked for after ``sub-``, ``subject`` or ``participant``, and as the first column of a
        table.
    smallest : int
        Fewer people than this may not be counted, unless none.
    files : sequence of Path
        What the pages offer: tables to download (CSV), and views to turn (HTML).

    Returns
    -------
    list of Disclosure
        Empty if nothing was found.
    """
    stored = {str(name) for name in subjects}
    names = {_bare(name) for name in stored}
    ids = _patterns(names)
    if any(name.isdigit() for name in stored):
        names |= {NUMBERED}
    found: list[Disclosure] = []
    for path in notebooks:
        for number, cell in enumerate(json.loads(path.read_text())["cells"]):
            where, source = f"{path.stem}, cell {number}", "".join(cell["source"])
            said = [*_names(source, ids), *(_places(source) if cell["cell_type"] == "code" else ())]
            for output in cell.get("outputs", []):
                said += _in_output(output, smallest, names, ids)
            found += [Disclosure(where, what) for what in said]
    for path in sorted(figures.glob("*")) if figures is not None and figures.is_dir() else ():
        if path.suffix in (".svg", ".json"):
            text = DRAWN.sub("", path.read_text())
            words = TAG.sub(" ", NOTE.sub(r"\1", text)) if path.suffix == ".svg" else text
            said = [*_names(text, ids), *few_in_words(words, smallest)]
            said += [*_places(text), *few_by_name(text, smallest)] if path.suffix == ".json" else []
            found += [Disclosure(path.name, what) for what in said]
    for path in files:
        of_file = _in_csv if path.suffix == ".csv" else _in_view
        found += [Disclosure(path.name, what) for what in of_file(path, smallest, names, ids)]
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
        raise DisclosureError(f"controlled data would leave: {said}{more}. {HOW}")


def _bare(name: str) -> str:
    """Take an id without ``sub-`` and without the zeros it begins with."""
    return name.removeprefix("sub-").lstrip("0") or "0"


def _patterns(names: Collection[str]) -> list[re.Pattern[str]]:
    """One expression for ids as whole words, another for those that are too short to stand alone."""
    ends = r"(?:\.0+)?(?![A-Za-z0-9])(?!\.\d)"
    long = [name for name in names if len(name) >= SHORTEST]
    listed = {
        size: "|".join(map(re.escape, sorted(of, key=len, reverse=True)))
        for size, of in (("long", long), ("all", names))
    }
    alone = rf"(?<![A-Za-z0-9])(?<!\d\.)((?:sub-)?0*(?:{listed['long']})){ends}"
    after = r"(?:(?:subjects?|participants?|iid)[-_=#:]{0,2} ?['\"]?|(?=sub))"
    counting = r"(?!(?<=s: )\d+ (?!and\b|or\b)[A-Za-z])"  # "60 subjects: 30 low, 30 high" names nobody
    called = rf"(?<![A-Za-z]){after}{counting}((?:sub[-_ ]?)?0*(?:{listed['all']})){ends}"
    return [re.compile(alone)] * bool(long) + [re.compile(called, re.IGNORECASE)] * bool(names)


def _names(text: str, ids: Sequence[re.Pattern[str]]) -> Iterator[str]:
    for name in dict.fromkeys(name for pattern in ids for name in pattern.findall(text)):
        yield f"names the subject {name}"


def _places(text: str) -> Iterator[str]:
    for place in dict.fromkeys(ABSOLUTE.findall(TAG.sub(" ", text))):
        yield f"names the place {place}; give paths relative to the project"


def _in_output(
    output: Mapping, smallest: int, subjects: Collection[str], ids: Sequence[re.Pattern[str]]
) -> Iterator[str]:
    """Say what in an output is of one person, of few, or of a place."""
    texts = {kind: _text(value) for kind, value in output.get("data", {}).items() if not kind.startswith("image/png")}
    texts["printed"] = _text(output.get("text", "")) + "\n".join(output.get("traceback", []))
    about = json.dumps(output.get("metadata", {}))
    for kind, text in [*texts.items(), ("about", about)]:
        yield from _names(text, ids)
        yield from _places(text)
        yield from few_in_words(WITHIN.sub("", text) if kind == "text/html" else text, smallest)
    tables = list(tables_in_html(texts.get("text/html", "")))
    glued = output.get("metadata", {}).get("scrapbook", {}).get("name")
    if glued:
        yield from few_as(glued, texts.get(GLUED, texts.get("text/plain", "")).strip("'\""), smallest)
        return
    for kind in ("printed", "text/markdown", *(() if tables else ("text/plain",))):
        tables += tables_in_text(texts.get(kind, ""))
        yield from few_by_name(texts.get(kind, ""), smallest)
    yield from few_by_name(texts.get("application/json", ""), smallest)
    for table in tables:
        yield from _in_table(table, smallest, subjects)


def _in_csv(path: Path, smallest: int, subjects: Collection[str], ids: Sequence[re.Pattern[str]]) -> Iterator[str]:
    """Say what in a table to download is of one person, of few, or of a place."""
    text = path.read_text()
    if not text.strip():
        return
    shown = pd.read_csv(path, dtype=str, keep_default_na=False)
    yield from _names(text, ids)
    for cell in dict.fromkeys([*shown.columns, *shown.to_numpy().ravel()]):
        yield from _places(cell)
    yield from _in_table(table_of(shown.set_index(shown.columns[0])), smallest, subjects)


def _in_view(path: Path, smallest: int, subjects: Collection[str], ids: Sequence[re.Pattern[str]]) -> Iterator[str]:
    """Say what a view to turn tells of people or places, its scripts and styles left out."""
    page = SCRIPT.sub("", path.read_text())
    words = "\n".join([TAG.sub("\n", WITHIN.sub("", page)), *SPOKEN.findall(page)])
    yield from _names(words, ids)
    yield from _places(words)
    yield from few_in_words(words, smallest)


def _in_table(table: ShownTable, smallest: int, subjects: Collection[str]) -> Iterator[str]:
    yield from list(_of_person(table, subjects)) or few_in_table(table, smallest)


def _text(value: object) -> str:
    return (
        value if isinstance(value, str) else "".join(map(str, value)) if isinstance(value, list) else json.dumps(value)
    )


def _of_person(table: ShownTable, subjects: Collection[str]) -> Iterator[str]:
    """Say of a table that it has a row for everyone."""
    of_person = [level for levels in table.columns for level in levels if PERSON.fullmatch(level)]
    first = [row[0].text for row in table.rows if row]
    names = {_bare(name) for name in first if NUMBERED in subjects or not name.isdigit()}  # else a number is a row's
    if not of_person and len(names & set(subjects)) > 2:
        of_person = ["subject"]
    if of_person and first:
        yield f"has a table with a row for every {of_person[0]}"
