"""Figure of predicted probabilities against how often they came true."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from gcamccl_core.model.calibration import expected_calibration_error
from gcamccl_core.report.labels import join_words, number
from gcamccl_core.report.style import GREY, INK, SMALL, axes_or_new, house_style

COLORS, MARKERS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7"), ("o", "s", "^", "D")


@house_style()
def plot_reliability(tables: Mapping[str, pd.DataFrame], positive: str, ax: Axes | None = None) -> Axes:
    """Draw how often the positive class was true against the probability that was predicted for it.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        Of :func:`.reliability` or :func:`.pool_reliability`, by the model's name; at most four.
    positive : str
        Name of the positive class.
    ax : Axes, optional
        Drawn on; made if None.

    Returns
    -------
    Axes
        One line per model, its points as large as their bins; the diagonal is where probabilities are right.

    Raises
    ------
    ValueError
        If there are more models than looks.

    Examples
    --------
    >>> table = pd.DataFrame({"low": [0.0], "high": [0.1], "n": [4], "mean_probability": [0.05], "share": [0.25]})
    >>> plot_reliability({"network": table}, "high").get_ylabel()
    "share whose label is 'high'"
    """
    if len(tables) > len(COLORS):
        raise ValueError(f"at most {len(COLORS)} models can be told apart, got {len(tables)}")
    ax = axes_or_new(ax, 3.4, 3.8)
    ax.plot([0, 1], [0, 1], color=INK, linewidth=0.7, linestyle=":", label="right")
    for (name, table), color, marker in zip(tables.items(), COLORS, MARKERS, strict=False):
        error = f"{name} (error {number(expected_calibration_error(table))})"
        ax.plot(table["mean_probability"], table["share"], color=color, linewidth=1, label=error)
        sizes = 10 + 90 * table["n"] / table["n"].max()
        ax.scatter(
            table["mean_probability"], table["share"], sizes, color=color, marker=marker, linewidths=0, alpha=0.8
        )
    ax.set(
        xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=f"predicted probability of '{positive}'",
        ylabel=f"share whose label is '{positive}'",
    )  # fmt: skip
    ax.legend(loc="upper left")
    ax.text(1, 0.02, "size: number of subjects", fontsize=SMALL, color=GREY, ha="right")
    return ax


def alt_reliability(tables: Mapping[str, pd.DataFrame], positive: str) -> str:
    """Say in words what :func:`plot_reliability` shows."""
    said = []
    for name, table in tables.items():
        low, high = table.iloc[0], table.iloc[-1]
        said.append(
            f"{name}: of {low['n']:.0f} told {number(low['mean_probability'])}, {number(low['share'])} were; of "
            f"{high['n']:.0f} told {number(high['mean_probability'])}, {number(high['share'])}; expected calibration "
            f"error {number(expected_calibration_error(table))}"
        )
    return f"Share of subjects who were '{positive}' against the predicted probability. {join_words(said)}."
