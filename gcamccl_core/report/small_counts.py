"""Counts of few people: what a table or a text says that counts fewer than ten of them, found or hidden.

**The rule.** Every whole number from 1 to 9 in a table counts people (also written ``3.0``, ``3 (25 %)``, ``3 / 12`` or
``3 of 12``), unless

1. the name of its column or of its row is on the list ``NO_PEOPLE``, and neither speaks of people; or
2. it is written with decimals, and there are fractions in its column and in its row: a measurement that happens to be
   whole, such as a mean age of 9.00 years; or
3. it is written with decimals, no name of its column or row speaks of people or counting, and one is on the list
   ``MEASURES``, or its column holds fractions, none beyond 1: a share or a likeness.

So a column ``low`` with a 3 is found, since nobody can tell from the name that it counts no people; a column ``splits``
with a 3 is not. A chapter that counts something else gives its column a name that is on the list; one that counts
people hides what is small, with :func:`gcamccl_core.report.disclosure.mask_small_counts`. A name joins the list
only if it can never count people.

In a text, a number below ten counts people if ``subjects``, ``people``, ``persons``, ``participants``, ``individuals``
or ``patients`` (or one of them) follows, at once or after one word, as in "4 test subjects" or "1 of 60 people"; if it
follows ``n =``; if it ends "mean of 8" or "mean of all 8"; or in "of 8 told" a probability. In the words of a
dictionary, ``{'low': 3}``, and under the name of a glued number, the list decides. Numbers that are spelled out ("three
people") are not found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import singledispatch
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from gcamccl_core.report.shown_tables import NUMBER, ShownTable, table_of

SMALLEST = 10  # people; a cell that counts fewer could be told who they are

NO_PEOPLE = (  # names of columns and rows, in small letters, blanks for underscores; * stands for anything
    # settings, and where in a run we are; "this run" heads the stamp, settings and versions of programs
    *("this run", "seed", "split", "splits", "n splits", "training n splits", "epoch", "epochs", "*epoch ours"),
    *("*epoch paper", "fold", "jobs", "batch size", "k", "c", "exponent", "rank"),
    # parts of networks and models
    *("layer", "layers", "parameters", "parameters *", "model parameters*", "weights", "components", "*toy classes"),
    *("*toy views", "fusion cca components"),
    # features: regions, connections, SNPs, genes, and how many of them were selected or planted
    *(
        "regions",
        "n regions",
        "features",
        "features *",
        "n features",
        "cohort features *",
        "connections",
        "connections *",
        "snps",
    ),
    *(
        "snps removed",
        "flipped",
        "swapped",
        "selected",
        "selected by *",
        "selection clear *",  # quoted from a stored table of simulated cohorts
        "regions selected *",
        "genes selected *",
        "on purpose",
    ),
    *("in the population", "genes", "gene sets", "overlap", "set size", "terms tested", "planted"),
    *("genes significant terms", "genes significant planted", "genes planted terms"),
    *("rois", "expected", "lower", "upper"),  # of hubs: ROIs and connections
    # runs, methods and files that were counted
    *("runs", "n runs", "names", "always"),
    *("n cohorts", "trust published failed", "genotype files", "checks"),
)
MEASURES = (  # names of scores, shares and likenesses, and of other measurements
    *("accuracy", "auc", "sensitivity", "specificity", "f1", "auroc", "average precision", "precision", "frequency"),
    *("p value", "q value", "p adjusted", "correlation", "agreement", "confidence", "deletion", "insertion"),
    *("translation", "sfnr"),
)
PEOPLE = r"subjects?|people|persons?|participants?|individuals?|patients?"
OF_PEOPLE = re.compile(rf"\b({PEOPLE}|samples?|scans?|members?)\b")
COUNTING = re.compile(rf"\b({PEOPLE}|samples?|scans?|members?|counts?|number|size|n)\b")
COUNT = re.compile(r"(\d{1,3})(\.0+)?(?:\s*(?:\(|/|of\b).*)?", re.DOTALL)
WORDS = re.compile(
    rf"(?<![\w.,/–-])(\d{{1,3}})(?= (?:of (?:[a-z]+ |\d[\d,]* )?|[a-z]+ )?(?:{PEOPLE})\b)"
    r"|(?<=\bn = )(\d{1,3})\b(?![.,]?\d)|(?<=\bn=)(\d{1,3})\b(?![.,]?\d)"
    r"|(?<=\bmean of )(\d{1,3})\b(?![.,]?\d| \w)|(?<=\bmean of all )(\d{1,3})\b(?![.,]?\d)"
    r"|(?<=\bof )(\d{1,3})(?= told\b)",
    re.IGNORECASE,
)
KEYED = re.compile(r"['\"]([^'\"\n]{1,60})['\"]: ?(?:np\.int64\()?(\d{1,3})\)?(?=\s*[,}])")


def counts_no_people(names: Iterable[str]) -> bool:
    """Tell whether one of these names of a row or column is on the list ``NO_PEOPLE``, and none speaks of people.

    Examples
    --------
    >>> counts_no_people(["train", "n_splits"]), counts_no_people(["low"]), counts_no_people(["selected", "subjects"])
    (True, False, False)
    """
    plain = [_plain(name) for name in names]
    listed = any(fnmatchcase(name, known) for name in plain for known in NO_PEOPLE)
    return listed and not any(OF_PEOPLE.search(name) for name in plain)


def small_cells(table: ShownTable, smallest: int = SMALLEST) -> Iterator[tuple[int, int]]:
    """Find the cells of a table that count fewer people than that, by the rule above: row and column, from 0.

    Examples
    --------
    >>> list(small_cells(table_of(pd.DataFrame({"low": [3], "epoch": [3]}))))
    [(0, 1)]
    """
    of_columns = [
        _numbers([row[place].text for row in table.rows if place < len(row)]) for place in range(len(table.columns))
    ]
    for number, row in enumerate(table.rows):
        of_row = _numbers([cell.text for cell in row if not cell.is_name])
        row_names = [cell.text for cell in row if cell.is_name]
        for place, cell in enumerate(row):
            found = COUNT.fullmatch(cell.text)
            if found is None or not 0 < int(found[1]) < smallest:
                continue
            above = list(table.columns[place])
            if cell.is_name:  # an index may count: sizes of groups that were counted in turn
                if any(COUNTING.search(_plain(name)) for name in above) and not counts_no_people(above):
                    yield number, place
                continue
            names = above + row_names
            fractions = any(value % 1 for value in of_columns[place])
            among = fractions and any(value % 1 for value in of_row)
            share = fractions and max(map(abs, of_columns[place])) <= 1
            counting = any(COUNTING.search(_plain(name)) for name in names)
            measured = among or (not counting and (share or any(_plain(name) in MEASURES for name in names)))
            if not (found[2] and measured) and not counts_no_people(names):
                yield number, place


def few_in_table(table: ShownTable, smallest: int = SMALLEST) -> Iterator[str]:
    """Say of every small count in a table where it stands."""
    for number, place in small_cells(table, smallest):
        row = table.rows[number]
        names = ", ".join(cell.text for cell in row if cell.is_name and cell is not row[place])
        in_row = f" in row '{names}'" if names else ""
        yield f"counts {row[place].text} under '{' '.join(table.columns[place])}'{in_row}, fewer than {smallest} people"


def few_in_words(text: str, smallest: int = SMALLEST) -> Iterator[str]:
    """Say of every small count of people in a text how it reads."""
    for found in WORDS.finditer(text):
        if 0 < int(found[0]) < smallest:
            around = text[max(0, found.start() - 20) : found.end() + 20]
            yield f"counts {found[0]} people, fewer than {smallest}, in '{' '.join(around.split())}'"


def few_by_name(text: str, smallest: int = SMALLEST) -> Iterator[str]:
    """Say of every small count in a dictionary under which name it stands."""
    for name, value in KEYED.findall(text):
        yield from few_as(name, value, smallest)


def few_as(name: str, value: str, smallest: int = SMALLEST) -> Iterator[str]:
    """Say whether a number of this name counts few people.

    Examples
    --------
    >>> list(few_as("cohort_test", "4")), list(few_as("training_n_splits", "4"))
    (["counts 4 under 'cohort_test', fewer than 10 people"], [])
    """
    if value.isdigit() and 0 < int(value) < smallest and not counts_no_people([name]):
        yield f"counts {value} under '{name}', fewer than {smallest} people"


@singledispatch
def hide_small_counts(shown: object) -> Any:
    """Write "<10" for every count of few people in a text, a dictionary, a table, or the words of a figure (in place).

    Examples
    --------
    >>> hide_small_counts("low, 8 subjects; high, 12 subjects; 3 networks (n = 8)")
    'low, <10 subjects; high, 12 subjects; 3 networks (n < 10)'
    """
    raise TypeError(f"no rule says how to hide counts in {type(shown).__name__}")


@hide_small_counts.register
def _(shown: str) -> str:
    hidden = WORDS.sub(lambda found: f"<{SMALLEST}" if 0 < int(found[0]) < SMALLEST else found[0], shown)
    return re.sub(r"\bn ?= ?<", "n < ", hidden)


@hide_small_counts.register
def _(shown: tuple) -> tuple:
    return tuple(hide_small_counts(each) for each in shown)


@hide_small_counts.register
def _(shown: dict) -> dict:
    column = pd.Series(shown, dtype=object).to_frame("")
    return dict(zip(shown, hide_small_counts(column)[""], strict=True))


@hide_small_counts.register
def _(shown: pd.DataFrame) -> pd.DataFrame:
    few, n_names = set(small_cells(table_of(shown))), shown.index.nlevels
    hidden = shown.astype(object)
    for row in range(len(shown)):
        for column in range(shown.shape[1]):
            value = shown.iloc[row, column]
            if (row, column + n_names) in few:
                hidden.iloc[row, column] = f"<{SMALLEST}"
            elif isinstance(value, str):
                hidden.iloc[row, column] = hide_small_counts(value)
    return hidden


@hide_small_counts.register
def _(shown: Figure) -> Figure:
    for words in shown.findobj(Text):
        assert isinstance(words, Text)
        words.set_text(hide_small_counts(words.get_text()))
    return shown


@hide_small_counts.register
def _(shown: Axes) -> Axes:
    hide_small_counts(shown.get_figure(root=True))
    return shown


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").split())


def _numbers(texts: Sequence[str]) -> list[float]:
    return [float(text.rstrip("*")) for text in texts if NUMBER.fullmatch(text)]
