"""The figure of the paper's own pathways: as printed, tested anew, and with the panel that the SNPs came from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gcamccl_core.report.labels import join_words, number
from gcamccl_core.report.style import GREY, INK, house_style, new_figure

LEVEL = 0.05
WORDS = {
    "q_value": "printed",
    "our_q": "tested anew, annotated genome",
    "q_best": "panel, its other genes in no set",
    "q_genome": "panel, its other genes like the genome",
    "q_alike": "panel, its other genes like the listed ones",
    "q_listed": "one list against the other",
}
_LOOKS = {
    "q_value": (INK, "o", "white"),
    "our_q": ("#0072B2", "o", "#0072B2"),
    "q_best": ("#56B4E9", "v", "white"),
    "q_genome": ("#009E73", "^", "#009E73"),
    "q_alike": ("#D55E00", "s", "#D55E00"),
    "q_listed": ("#E69F00", "D", "#E69F00"),
}  # colour, marker, face


@house_style()
def plot_published_pathways(table: pd.DataFrame, fig: Figure | None = None) -> Figure:
    """Draw -log10 q of every printed row beside what our tests make of it.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per printed row, from :func:`.compare_with_published`: ``class``, ``pathway``, ``q_value``, ``our_q``
        (missing where not testable), and any of ``q_best``, ``q_genome`` and ``q_alike`` (``q_panel`` of
        :func:`.panel_outcome`, where the unknown genes are "none", "genome" and "alike") and ``q_listed`` (``our_q``
        with the background "listed").
    fig : Figure, optional
        Drawn on; made if None.

    Returns
    -------
    Figure
        One panel per class, one above the other on one scale. A pathway that no set here can test has a grey name with
        a dagger. What lies right of the dotted line is below q = 0.05.

    Raises
    ------
    ValueError
        If a needed column is missing, or there is no row.

    Examples
    --------
    >>> table = pd.DataFrame({"class": ["low"], "pathway": ["Translation"], "q_value": [7e-4], "our_q": [0.11]})
    >>> [label.get_text() for label in plot_published_pathways(table).axes[0].get_yticklabels()]
    ['Translation']
    """
    _check(table)
    classes = list(dict.fromkeys(table["class"]))
    counts = [int((table["class"] == name).sum()) for name in classes]
    fig = fig or new_figure(1.3 + 0.19 * sum(counts) + 0.25 * len(classes))
    axes = fig.subplots(len(classes), 1, squeeze=False, sharex=True, height_ratios=counts)[:, 0]
    for ax, name in zip(axes, classes, strict=True):
        _draw_rows(ax, table[table["class"] == name])
        ax.set_title(f"{name} ({'Table VII' if name == 'low' else 'Table VIII' if name == 'high' else 'printed'})")
    axes[-1].set_xlabel("$-\\log_{10} q$")
    _legend(fig, _measures(table))
    return fig


def alt_published_pathways(table: pd.DataFrame) -> str:
    """Say in words what :func:`plot_published_pathways` shows of this table.

    Examples
    --------
    >>> table = pd.DataFrame({"class": ["low"], "pathway": ["Translation"], "q_value": [7e-4], "our_q": [0.11]})
    >>> print(alt_published_pathways(table))
    Pathways of the paper's tables, minus log10 of q. Class low, 1 row: below q = 0.05 are 1 of 1 (printed) and 0 of 1 \
(tested anew, annotated genome); smallest printed q: Translation (7.0e-04).
    """
    _check(table)
    parts = []
    for name, rows in table.groupby("class", sort=False):
        shares = []
        for column in _measures(table):
            had = rows[column].dropna()
            shares.append(f"{int((had < LEVEL).sum())} of {len(had)} ({WORDS[column]})")
        first = rows.sort_values("q_value", kind="stable").iloc[0]
        text = f"Class {name}, {len(rows)} row{'' if len(rows) == 1 else 's'}: below q = 0.05 are {join_words(shares)}"
        untested = int(rows["our_q"].isna().sum())
        if untested:
            text += f"; {untested} cannot be tested with the gene sets at hand"
        parts.append(f"{text}; smallest printed q: {first['pathway']} ({number(float(first['q_value']))})")
    return f"Pathways of the paper's tables, minus log10 of q. {'. '.join(parts)}."


def _check(table: pd.DataFrame) -> None:
    lacking = [name for name in ("class", "pathway", "q_value", "our_q") if name not in table]
    if lacking:
        raise ValueError(f"the table has no column {join_words(lacking)}; pass what compare_with_published returns")
    if table.empty:
        raise ValueError("the table has no row to draw")


def _measures(table: pd.DataFrame) -> list[str]:
    return [column for column in WORDS if column in table]


def _draw_rows(ax: Axes, rows: pd.DataFrame) -> None:
    places = np.arange(len(rows))
    for column in _measures(rows):
        color, marker, face = _LOOKS[column]
        height = -np.log10(rows[column].to_numpy(dtype=float)) + 0.0  # no -0
        ax.plot(
            height, places, linestyle="", marker=marker, color=color, markerfacecolor=face, markersize=5,
            markeredgewidth=1, clip_on=False, label=WORDS[column], zorder=4 if column == "q_value" else 3,
        )  # fmt: skip
    ax.axvline(-np.log10(LEVEL), color=INK, linewidth=0.8, linestyle=":")
    ax.grid(axis="y", color="#e4e4e4", linewidth=0.7)
    ax.set_axisbelow(True)
    untested = rows["our_q"].isna().to_numpy()
    names = [_cut(str(name)) + (" †" if marked else "") for name, marked in zip(rows["pathway"], untested, strict=True)]
    ax.set_yticks(places, names)
    for label, marked in zip(ax.get_yticklabels(), untested, strict=True):
        label.set_color("#6b6b6b" if marked else INK)
    ax.update_datalim([(0, 0)])
    ax.autoscale_view()
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)


def _cut(name: str, limit: int = 46) -> str:
    short = name.removesuffix(" - Homo sapiens (human)")
    return short if len(short) <= limit else short[: limit - 1].rstrip() + "…"


def _legend(fig: Figure, measures: Sequence[str]) -> None:
    handles, labels = [], []
    for column in measures:
        color, marker, face = _LOOKS[column]
        handles.append(Line2D([], [], linestyle="", marker=marker, color=color, markerfacecolor=face, markersize=5))
        labels.append(WORDS[column])
    handles += [Line2D([], [], color=INK, linewidth=0.8, linestyle=":"), Line2D([], [], color=GREY, linestyle="")]
    labels += ["q = 0.05", "† no set here; panel by printed numbers"]
    fig.legend(handles, labels, loc="outside lower center", ncols=2, handletextpad=0.4)
