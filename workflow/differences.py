"""What differs between two runs: settings, numbers, selected lists, tables and figures, each as a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from gcamccl_core.kept_files import CHECKSUM, digest_file
from gcamccl_core.report.list_overlap import Overlap, compare_lists
from workflow.executed_runs import Run

VISIBLE = 16  # of 255 by which a pixel's colour must differ to count
ABSENT = "–"


@dataclass(frozen=True)
class NamedLists:
    """One kind of list that a chapter selects.

    Parameters
    ----------
    title : str
        What is listed, and by which rule.
    table : str
        Name of the table (CSV) that holds it.
    chapter : str
        Who makes the table.
    names : str
        The column with the items' names.
    keep : callable
        Takes the table and the chapter's parameters; gives those rows that are selected.
    possible : callable
        Takes the table and all glued numbers of a run; gives the items that might have been selected, as their number
        or as names, or None.
    """

    title: str
    table: str
    chapter: str
    names: str
    keep: Callable[[pd.DataFrame, Mapping[str, object]], pd.DataFrame]
    possible: Callable[[pd.DataFrame, Mapping[str, str]], set[str] | int | None]


def _pairs(numbers: Mapping[str, str]) -> int | None:
    n = _count(numbers, "regions_of_image")
    return n * (n - 1) // 2 if n else None


def _count(numbers: Mapping[str, str], name: str) -> int | None:
    return int(numbers[name]) if numbers.get(name, "").isdigit() and int(numbers[name]) else None


def _splits(parameters: Mapping[str, object]) -> float:
    return float(str(parameters.get("n_splits", 1)))


def _confirmed(level: str) -> Callable[[pd.DataFrame, Mapping[str, object]], pd.DataFrame]:
    return lambda table, _: table[(table["source"] == "confirmed") & (table["level"] == level) & (table["share"] > 0.5)]


def _of_level(level: str, numbers: Mapping[str, str]) -> int | None:
    counts = {"connection": _pairs(numbers), "gene": _count(numbers, "genes_panel")}
    return counts.get(level, _count(numbers, "genes_features"))


LISTS = (
    NamedLists(
        "Connections by the paper's rule, in most splits",
        "connections",
        "05_regions",
        "feature",
        lambda table, given: table[table["splits"] > _splits(given) / 2],
        lambda _, numbers: _pairs(numbers),
    ),
    NamedLists(
        "Regions that are hubs (adjusted p < 0.05)",
        "hubs",
        "05_regions",
        "region",
        lambda table, _: table[
            (table["list"] == "trained") & (table["p_adjusted"] < 0.05) & (table["connections"] > table["expected"])
        ],
        lambda table, _: set(table["region"]),
    ),
    NamedLists(
        "Features of the vector view by the paper's rule, in at least half of the splits",
        "vector_features",
        "06_genes_and_pathways",
        "feature",
        lambda table, given: table[table["splits"] >= _splits(given) / 2],
        lambda _, numbers: _count(numbers, "genes_features"),
    ),
    NamedLists(
        "Genes of these features",
        "vector_features",
        "06_genes_and_pathways",
        "gene",
        lambda table, given: table[table["splits"] >= _splits(given) / 2],
        lambda _, numbers: _count(numbers, "genes_panel"),
    ),
    NamedLists(
        "Pathways (gene sets with q < 0.05)",
        "gene_sets",
        "06_genes_and_pathways",
        "term",
        lambda table, _: table[table["q_value"] < 0.05],
        lambda table, _: set(table["term"]),
    ),
    NamedLists(
        "Features confirmed on other people, first split of the recommended model",
        "confirmed",
        "10_recommended_model",
        "feature",
        lambda table, _: table,
        lambda _, __: None,
    ),
    *(
        NamedLists(
            f"{level}s confirmed on other people in most splits".capitalize().replace("Snps", "SNPs"),
            "returns",
            "13_what_returns",
            "name",
            _confirmed(level),
            lambda _, numbers, level=level: _of_level(level, numbers),
        )
        for level in ("connection", "SNP", "feature", "gene")
    ),
)


def compare_settings(one: Run, other: Run) -> pd.DataFrame:
    """List parameters, core, data and versions that differ, chapters with the same difference in one row.

    Returns
    -------
    pandas.DataFrame
        ``what``, ``chapters``, ``A`` and ``B``.
    """
    found: dict[tuple[str, str, str], list[str]] = {}
    for chapter in _common(one, other):
        sides = [_settings(run, chapter) for run in (one, other)]
        for name in dict.fromkeys([*sides[0], *sides[1]]):
            values = tuple(side.get(name, ABSENT) for side in sides)
            if values[0] != values[1]:
                found.setdefault((name, *values), []).append(chapter)
    every = _common(one, other)
    rows = [
        (name, "all" if chapters == every and len(every) > 1 else ", ".join(chapters), a, b)
        for (name, a, b), chapters in found.items()
    ]
    return pd.DataFrame(rows, columns=["what", "chapters", "A", "B"])


def _settings(run: Run, chapter: str) -> dict[str, str]:
    stamp = run.stamps[chapter]
    plain = {f"parameter {name}": str(value) for name, value in run.parameters[chapter].items()}
    hashes = {f"{name} (hash)": str(stamp[name]) for name in ("core", "data") if stamp.get(name)}
    machine = {"machine": stamp["machine"]} if stamp.get("machine") else {}
    return {**plain, **hashes, **{f"version of {k}": v for k, v in stamp.get("versions", {}).items()}, **machine}


def _common(one: Run, other: Run) -> list[str]:
    return [chapter for chapter in one.chapters if chapter in other.chapters]


def compare_numbers(one: Run, other: Run) -> tuple[pd.DataFrame, int]:
    """List the glued numbers that differ, or that one run lacks, and count those that are the same.

    Returns
    -------
    table : pandas.DataFrame
        ``chapter``, ``number``, ``A``, ``B``, and ``difference``, B less A where both are numbers.
    same : int
        How many are equal.
    """
    rows, same = [], 0
    for chapter in _common(one, other):
        a, b = one.numbers[chapter], other.numbers[chapter]
        for name in dict.fromkeys([*a, *b]):
            if a.get(name) == b.get(name):
                same += 1
            else:
                rows.append((chapter, name, a.get(name, ABSENT), b.get(name, ABSENT), _less(a.get(name), b.get(name))))
    return pd.DataFrame(rows, columns=["chapter", "number", "A", "B", "difference"]), same


def _less(a: str | None, b: str | None) -> str:
    try:
        values = [float(str(text).replace(",", "")) for text in (a, b)]
    except ValueError:
        return ""
    decimals = max(len(str(text).partition(".")[2]) for text in (a, b))
    return f"{values[1] - values[0]:+.{decimals}f}" if all(map(math.isfinite, values)) else ""


def compare_selections(one: Run, other: Run) -> tuple[list[tuple[str, str, Overlap]], list[str]]:
    """Compare the lists of connections, regions, genes and pathways that two runs selected, class by class.

    Returns
    -------
    found : list of (title, class, Overlap)
        For every list that both runs have.
    missing : list of str
        What could not be compared, and why.
    """
    found, missing = [], []
    for kind in LISTS:
        tables = [_read(run, kind) for run in (one, other)]
        lacking = [name for name, table in zip(("A", "B"), tables, strict=True) if table is None]
        if lacking:
            missing.append(f"{kind.title}: {' and '.join(lacking)} saved no table {kind.table}.csv")
            continue
        kept = [
            kind.keep(table, run.parameters.get(kind.chapter, {}))
            for table, run in zip(tables, (one, other), strict=True)
        ]
        classes = dict.fromkeys(str(name) for table in tables for name in table["target_class"])
        possible = _possible(kind, tables, (one, other))
        for name in classes:
            lists = [set(part.loc[part["target_class"] == name, kind.names].dropna().astype(str)) for part in kept]
            if any(lists) or kind.table != "returns":
                usable = possible if possible is None or len(set.union(*lists)) <= possible else None
                found.append((kind.title, name, compare_lists(*lists, usable)))
    return found, missing


def _read(run: Run, kind: NamedLists) -> pd.DataFrame | None:
    """Read a run's table if it is there with the columns that a list needs; a controlled cohort's holds "<10"."""
    path = {path.stem: path for path in run.tables()}.get(kind.table)
    if path is None:
        return None
    table = pd.read_csv(path)
    for column in ("splits", "connections", "expected", "p_adjusted", "q_value", "share"):
        if column in table:
            table[column] = pd.to_numeric(table[column], errors="coerce")
    return table if {"target_class", kind.names} <= set(table) else None


def _possible(kind: NamedLists, tables: Iterable[pd.DataFrame], runs: Iterable[Run]) -> int | None:
    """How many items both lists were chosen from: what both runs could have selected; None if one does not say."""
    said = []
    for table, run in zip(tables, runs, strict=True):
        numbers = {name: value for each in run.numbers.values() for name, value in each.items()}
        said.append(kind.possible(table, numbers))
    if any(each is None for each in said):
        return None
    if all(isinstance(each, set) for each in said):
        return len(said[0] | said[1])
    return max(said) if len(set(said)) == 1 else None


def lay_out_selections(found: Iterable[tuple[str, str, Overlap]]) -> pd.DataFrame:
    """One row per list and class: how many are selected in A only, in B only and in both, beside chance."""
    rows = []
    for title, name, both in found:
        chance = [ABSENT, ABSENT] if both.expected is None else [f"{both.expected:.1f}", f"{both.p_value:.2g}"]
        jaccard = ABSENT if math.isnan(both.jaccard) else f"{both.jaccard:.2f}"
        rows.append((title, name, len(both.first), len(both.second), len(both.both), jaccard, *chance))
    columns = ["list", "target_class", "A only", "B only", "both", "Jaccard", "both by chance", "p_value"]
    return pd.DataFrame(rows, columns=columns)


def compare_files(one: Run, other: Run) -> pd.DataFrame:
    """Compare the tables (CSV) that both runs offer: ``table``, ``state``, rows of each, and rows that are the same."""
    a, b = ({path.stem: path for path in run.tables()} for run in (one, other))
    rows = []
    for name in sorted(a | b):
        if name not in a or name not in b:
            rows.append((name, "in A alone" if name in a else "in B alone", *[ABSENT] * 3))
            continue
        lines = [path.read_text().splitlines()[1:] for path in (a[name], b[name])]
        same = len(set(lines[0]) & set(lines[1]))
        state = "same" if a[name].read_bytes() == b[name].read_bytes() else "differs"
        rows.append((name, state, len(lines[0]), len(lines[1]), same))
    return pd.DataFrame(rows, columns=["table", "state", "rows in A", "rows in B", "rows in both"])


def compare_figures(one: Run, other: Run) -> pd.DataFrame:
    """Compare figures by their checksums, and pictures of one size by their pixels.

    Returns
    -------
    pandas.DataFrame
        ``figure``, ``state`` and ``pixels``, the share of pixels that differ visibly.
    """
    a, b = ({path.stem: path for path in run.figures()} for run in (one, other))
    rows = []
    for name in [*a, *(name for name in b if name not in a)]:
        if name not in a or name not in b:
            rows.append((name, "in A alone" if name in a else "in B alone", ABSENT))
        elif digest_file(a[name])[CHECKSUM] == digest_file(b[name])[CHECKSUM]:
            rows.append((name, "same", "0 %"))
        else:
            rows.append((name, "differs", _pixels(a[name], b[name])))
    return pd.DataFrame(rows, columns=["figure", "state", "pixels"])


def _pixels(a: Path, b: Path) -> str:
    """Say which share of pixels differs by more than a little in a colour."""
    if {a.suffix, b.suffix} != {".png"}:
        return "not compared (no PNG of both)"
    pictures = []
    for path in (a, b):
        with Image.open(path) as picture:
            pictures.append(np.asarray(picture.convert("RGB"), dtype=np.int16))
    if pictures[0].shape != pictures[1].shape:
        sizes = [f"{picture.shape[1]}x{picture.shape[0]}" for picture in pictures]
        return f"other size: {sizes[0]}, {sizes[1]}"
    share = float((np.abs(pictures[0] - pictures[1]).max(axis=2) > VISIBLE).mean())
    return f"{share:.1%}".replace("%", " %")
