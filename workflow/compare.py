"""Say what differs between two runs: ``python -m workflow.compare demo mine``.

Printed, and written as Markdown and as one HTML file to ``runs/compare/<A>-<B>/``.
"""

from __future__ import annotations

import argparse
import base64
import html as markup
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from gcamccl_core.disk_faults import StorageError
from gcamccl_core.kept_files import whole_file
from gcamccl_core.report.disclosure import DisclosureError, find_disclosures, refuse_disclosures
from gcamccl_core.report.small_counts import hide_small_counts
from workflow.differences import (
    compare_figures,
    compare_files,
    compare_numbers,
    compare_selections,
    compare_settings,
    lay_out_selections,
)
from workflow.executed_runs import Run, RunError, find_run
from workflow.profile import RUNS

FOLDER = RUNS / "compare"
REPORT = "compare"
PRINTED = 30  # rows of a table in the terminal; the files hold all
CLOSE = "hidden: fewer than ten apart"
STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { border-bottom: 1px solid #888; padding: .25rem .6rem; text-align: left; vertical-align: top; }
td { overflow-wrap: anywhere; }
.pair { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); }
figure { margin: 0; }
img { background: #fff; max-width: 100%; }
"""


@dataclass
class Section:
    """One part of a report: a title, what to know about it, a table, names to unfold, and pairs of pictures."""

    title: str
    text: list[str] = field(default_factory=list)
    table: pd.DataFrame | None = None
    names: list[tuple[str, list[str]]] = field(default_factory=list)
    pictures: list[tuple[str, Path, Path]] = field(default_factory=list)


def compare(first: str, second: str) -> list[Section]:
    """Set two runs side by side.

    Parameters
    ----------
    first, second : str
        As :func:`workflow.executed_runs.find_run` takes them.

    Returns
    -------
    list of Section
        The report. If a run is of people under controlled access, counts of few are hidden in it, and numbers that
        differ by few.

    Raises
    ------
    RunError
        If a run is not there, has no executed chapters, or both are the same.
    DisclosureError
        If a run of people under controlled access shows what its book would be refused for.
    """
    one, other = find_run(first), find_run(second)
    if {path.resolve() for path in one.chapters.values()} == {path.resolve() for path in other.chapters.values()}:
        raise RunError(f"{first} and {second} are the same run, {one.folder}")
    for run in (one, other):
        run.refuse_to_disclose()
    sections = [
        _about(one, other),
        _settings(one, other),
        _numbers(one, other),
        _selections(one, other),
        _figures(one, other),
        Section("Tables", table=compare_files(one, other)),
    ]
    if one.subjects is not None or other.subjects is not None:
        for section in sections:
            if section.table is not None:
                section.table = hide_few(section.table)
    return sections


def hide_few(table: pd.DataFrame) -> pd.DataFrame:
    """Hide counts of few people in a table of a report, and two counts that differ by few: they would tell it, too.

    Examples
    --------
    >>> rows = [("01_cohort", "people", "240", "237", "-3"), ("03_training", "auc", "0.7", "0.8", "+0.1")]
    >>> hide_few(pd.DataFrame(rows, columns=["chapter", "number", "A", "B", "difference"]))["difference"].tolist()
    ['hidden: fewer than ten apart', '+0.1']
    """
    names = [str(name) for name in table.columns[: 2 if "number" in table else 1]]
    hidden = hide_small_counts(table.set_index(names)).reset_index()
    if "difference" in hidden:
        plain = table.assign(difference=table["difference"].str.lstrip("+-")).set_index(names)[["difference"]]
        close = (hide_small_counts(plain) != plain)["difference"].to_numpy()
        hidden.loc[close, ["A", "B", "difference"]] = CLOSE
    return hidden


def _about(one: Run, other: Run) -> Section:
    both = [chapter for chapter in one.chapters if chapter in other.chapters]
    said = [
        f"A is {one.name}, {len(one.chapters)} executed chapters; B is {other.name}, {len(other.chapters)}.",
        f"In both: {', '.join(both) or 'none'}.",
    ]
    for letter, run, rest in (("A", one, other), ("B", other, one)):
        alone = [chapter for chapter in run.chapters if chapter not in rest.chapters]
        said += [f"In {letter} alone: {', '.join(alone)}."] if alone else []
    if not both:
        said.append("No chapter is in both, so there are no numbers to compare.")
    return Section("Runs", said)


def _settings(one: Run, other: Run) -> Section:
    table = compare_settings(one, other)
    unstamped = [
        f"{chapter} ({letter})"
        for letter, run in (("A", one), ("B", other))
        for chapter, stamp in run.stamps.items()
        if not stamp
    ]
    said = [] if len(table) else ["Parameters, core, data and versions are the same in all chapters of both."]
    said += [f"Without a closing stamp, so compared by parameters alone: {', '.join(unstamped)}."] if unstamped else []
    return Section("Parameters, core, data, versions", said, table if len(table) else None)


def _numbers(one: Run, other: Run) -> Section:
    table, same = compare_numbers(one, other)
    return Section("Key numbers", [f"{same} are the same, {len(table)} differ."], table if len(table) else None)


def _selections(one: Run, other: Run) -> Section:
    found, missing = compare_selections(one, other)
    said = [
        "By chance: the mean overlap of two random lists of these sizes, and the probability that they share as many "
        "or more. What goes together (SNPs of one block, connections of one region) is shared more often than that; "
        "so is what two runs on the same people select.",
        *(f"Not compared: {each}." for each in missing),
    ]
    names = []
    for title, target_class, both in found:
        parts = (("A only", both.first), ("B only", both.second), ("both", both.both))
        names += [(f"{title}, {target_class}: {part} ({len(items)})", items) for part, items in parts if items]
    table = lay_out_selections(found)
    return Section("Connections, regions, genes, pathways", said, table if len(table) else None, names)


def _figures(one: Run, other: Run) -> Section:
    table = compare_figures(one, other)
    a, b = ({path.stem: path for path in run.figures()} for run in (one, other))
    unlike = [name for name, state in zip(table["figure"], table["state"], strict=True) if state == "differs"]
    pairs = [(name, a[name], b[name]) for name in unlike if {a[name].suffix, b[name].suffix} == {".png"}]
    said = [f"{(table['state'] == 'same').sum()} are the same, {len(unlike)} differ."]
    rest = table[table["state"] != "same"]
    return Section("Figures", said, rest if len(rest) else None, pictures=pairs)


def in_text(sections: Iterable[Section], title: str, most: int | None = None) -> str:
    """Write a report as Markdown; with ``most``, tables are cut at so many rows, and names left out, for a terminal."""
    lines = [f"# {title}"]
    for section in sections:
        lines += ["", f"## {section.title}", "", *section.text]
        if section.table is not None:
            lines += ["", *_lay_out(section.table if most is None else section.table.head(most))]
            if most is not None and len(section.table) > most:
                lines.append(f"… and {len(section.table) - most} more rows in the report")
        if most is None:
            for summary, items in section.names:
                lines += ["", f"{summary}: {', '.join(items)}"]
    return "\n".join(lines) + "\n"


def _lay_out(table: pd.DataFrame) -> list[str]:
    cells = [[str(name) for name in table], *(list(map(str, row)) for row in table.itertuples(index=False))]
    cells = [[text.replace("|", r"\|").replace("\n", " ") for text in row] for row in cells]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    rows = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    return [rows[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *rows[1:]]


def in_html(sections: Iterable[Section], title: str) -> str:
    """Write a report as one page that loads nothing: its pictures are inside."""
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{markup.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>",
        f"<h1>{markup.escape(title)}</h1>",
    ]
    for section in sections:
        parts.append(f"<h2>{markup.escape(section.title)}</h2>")
        parts += [f"<p>{markup.escape(text)}</p>" for text in section.text]
        if section.table is not None:
            shown = section.table.to_html(index=False, border=0, escape=True)
            name = markup.escape(section.title)
            parts.append(f'<div class="wide" role="region" aria-label="{name}" tabindex="0">{shown}</div>')
        for summary, items in section.names:
            listed = ", ".join(map(markup.escape, items))
            parts.append(f"<details><summary>{markup.escape(summary)}</summary><p>{listed}</p></details>")
        for name, a, b in section.pictures:
            parts.append(
                f"<h3>{markup.escape(name)}</h3>\n<div class='pair'>{_picture('A', a)}{_picture('B', b)}</div>"
            )
    return "\n".join([*parts, "</main>\n</body>\n</html>\n"])


def _picture(letter: str, path: Path) -> str:
    words = path.with_suffix(".json")
    alt = json.loads(words.read_text()).get("alt", "") if words.is_file() else ""
    inside = base64.b64encode(path.read_bytes()).decode()
    alt = markup.escape(f"{letter}: {alt or path.stem}")
    return f'<figure><img src="data:image/png;base64,{inside}" alt="{alt}"><figcaption>{letter}</figcaption></figure>'


def write(first: str, second: str) -> tuple[Path, list[Section]]:
    """Write a report of two runs, and hand back its folder; of controlled people only after a last search.

    Raises
    ------
    RunError, DisclosureError
        As :func:`compare`; nothing is left then.
    """
    sections = compare(first, second)
    runs = [find_run(each) for each in (first, second)]
    title = f"{runs[0].name} (A) beside {runs[1].name} (B)"
    folder = FOLDER / "-".join(run.name for run in runs)
    page, text = folder / f"{REPORT}.html", folder / f"{REPORT}.md"
    with whole_file(page) as partial:
        partial.write_text(in_html(sections, title))
    with whole_file(text) as partial:
        partial.write_text(in_text(sections, title))
    subjects = set().union(*(run.subjects or () for run in runs))
    try:
        refuse_disclosures(find_disclosures([], None, subjects, files=[page]) if subjects else [])
    except DisclosureError:
        shutil.rmtree(folder)
        raise
    return folder, sections


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, print the report and say where it lies, or say why there is none."""
    parser = argparse.ArgumentParser(prog="python -m workflow.compare", description=__doc__.splitlines()[0])
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help="a profile's name, a run folder, or an executed notebook"
    )
    asked = parser.parse_args(arguments)
    if len(asked.runs) != 2:
        parser.error("name two runs: make compare A=demo B=mine")
    try:
        folder, sections = write(*asked.runs)
    except (RunError, DisclosureError) as fault:
        sys.exit(f"cannot compare: {fault}")
    except StorageError as fault:
        sys.exit(f"cannot compare: {fault.strerror}")
    print(in_text(sections, folder.name, PRINTED), end="")
    print(f"\nThe whole report: {folder / REPORT}.html, and .md")


if __name__ == "__main__":
    main()
