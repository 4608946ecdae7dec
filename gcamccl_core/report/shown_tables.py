"""Tables as a reader sees them: in HTML, in Markdown, in plain text, or before they are shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd
from bs4 import BeautifulSoup, Tag

NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?\*?")
STARTS = re.compile(r"[+<-]?\d")
RULE = re.compile(r"[\s|:+=-]+")  # the line below a head
BAR = re.compile(r"%\||\[\d\d:\d\d[<,]")  # a progress bar looks like a row, and is none


class Cell(NamedTuple):
    """What a cell says, and whether it names its row."""

    text: str
    is_name: bool


@dataclass(frozen=True)
class ShownTable:
    """A table laid out: cells that span several rows or columns are repeated.

    Parameters
    ----------
    columns : list of tuple of str
        The names above every column, from the top; that of the index, too.
    rows : list of list of Cell
        From the top, each from the left.
    """

    columns: list[tuple[str, ...]]
    rows: list[list[Cell]]


def tables_in_html(html: str) -> Iterator[ShownTable]:
    """Find the tables of a page.

    Examples
    --------
    >>> table, = tables_in_html("<table><tr><th>low</th></tr><tr><td>12</td></tr></table>")
    >>> table
    ShownTable(columns=[('low',)], rows=[[Cell(text='12', is_name=False)]])
    """
    for table in BeautifulSoup(html, "html.parser").find_all("table"):
        grid = _grid(table)
        head = table.find("thead")
        n_head = 0 if head is None else len(head.find_all("tr"))
        while n_head < len(grid) and all(cell.is_name for cell in grid[n_head]):
            n_head += 1
        yield _lay_out([[cell.text for cell in row] for row in grid[:n_head]], grid[n_head:])


def tables_in_text(text: str) -> Iterator[ShownTable]:
    r"""Find tables that were printed: fields apart by two blanks or more, or by bars; an empty line ends a table.

    Examples
    --------
    >>> [table] = tables_in_text("site  low  high\n   a   12     3")
    >>> table.columns, table.rows[0][2]
    ([('site',), ('low',), ('high',)], Cell(text='3', is_name=False))
    """
    block: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if not line.strip():
            if block:
                yield _of_fields(block)
            block = []
        elif not RULE.fullmatch(line) and not BAR.search(line):
            piped = line.count("|") > 1
            fields = line.strip().strip("|").split("|") if piped else re.split(r"\s{2,}|\t", line.rstrip())
            if piped or len(fields) > 1:
                block.append([field.strip() for field in fields])


def table_of(frame: pd.DataFrame) -> ShownTable:
    """Lay out a table that is still to be shown.

    Examples
    --------
    >>> table_of(pd.DataFrame({"low": [12]}, index=["train"]))
    ShownTable(columns=[('',), ('low',)], rows=[[Cell(text='train', is_name=True), Cell(text='12', is_name=False)]])
    """
    index, top = frame.index.to_frame(), frame.columns.to_frame()
    names = ["" if name is None else str(name) for name in frame.index.names]
    columns = [(name,) for name in names] + [tuple(map(str, levels)) for levels in top.itertuples(index=False)]
    rows = [
        [Cell(str(name), True) for name in levels] + [Cell(str(value), False) for value in values]
        for levels, values in zip(index.itertuples(index=False), frame.itertuples(index=False), strict=True)
    ]
    return ShownTable(columns, rows)


def _lay_out(head: list[list[str]], rows: list[list[Cell]]) -> ShownTable:
    """Name the columns; where no cell is marked as the name of its row, the first is, unless it is a number."""
    columns = [tuple(dict.fromkeys(filter(None, levels))) for levels in zip(*head, strict=False)]
    width = max(map(len, rows), default=0)
    columns += [()] * (width - len(columns))
    named = [
        [Cell(row[0].text, not NUMBER.fullmatch(row[0].text)), *row[1:]]
        if row and not any(cell.is_name for cell in row)
        else row
        for row in rows
    ]
    return ShownTable(columns, named)


def _of_fields(block: list[list[str]]) -> ShownTable:
    """Make a table of printed fields: lines without a number are its head; a name is missing above the index."""
    n_head = next((place for place, line in enumerate(block) if any(map(STARTS.match, line[1:] or line))), len(block))
    head, body = block[:n_head], block[n_head:]
    if all(not line[0] for line in body):  # aligned to the right, without an index
        body = [line[1:] for line in body]
    width = max(map(len, body), default=0)
    last = head[-1][-width:] if head and body else []
    if last and len(last) < width:  # names may be one blank apart
        words = [""] * (not last[0]) + " ".join(last).split()
        last = words if len(words) == width else last
    head = [[*[""] * (width - len(last)), *last]]
    has_index = bool(last) and (len(last) < width or not last[0])
    rows = [
        [Cell(text, place == 0 and (has_index or not NUMBER.fullmatch(text))) for place, text in enumerate(line)]
        for line in ([*[""] * (width - len(line)), *line] for line in body)
    ]
    return _lay_out(head, rows)


def _grid(table: Tag) -> list[list[Cell]]:
    """Lay out all cells, those that span several rows or columns repeated."""
    grid: list[list[Cell]] = []
    pending: dict[tuple[int, int], Cell] = {}
    for number, row in enumerate(table.find_all("tr")):
        line: list[Cell] = []
        for tag in [*row.find_all(["th", "td"]), None]:
            while (number, len(line)) in pending:
                line.append(pending[number, len(line)])
            if tag is None:
                break
            cell = Cell(tag.get_text(" ", strip=True), tag.name == "th")
            for _ in range(_span(tag, "colspan")):
                for below in range(1, _span(tag, "rowspan")):
                    pending[number + below, len(line)] = cell
                line.append(cell)
        grid.append(line)
    return grid


def _span(cell: Tag, name: str) -> int:
    text = str(cell.get(name) or "1")
    return int(text) if text.isdigit() else 1
