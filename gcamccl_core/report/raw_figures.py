"""Figures of how raw files become views: what a scan gives back, and what each step of quality control removes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gcamccl_core.report.labels import capital, number
from gcamccl_core.report.style import GREY, INK, SEQUENTIAL, SMALL, axes_or_new, house_style, new_figure

NO_GENOTYPES = "no genotypes were read:\nplink2 is lacking"


@house_style()
def plot_recovered(planted: np.ndarray, found: np.ndarray, ax: Axes | None = None) -> Axes:
    """Draw connectivity as it was estimated from a scan against what was planted in it.

    Parameters
    ----------
    planted, found : array of shape (n_regions, n_regions)
        Correlations; the upper triangle is drawn.
    ax : Axes, optional
        Drawn on; made if None.

    Returns
    -------
    Axes

    Examples
    --------
    >>> plot_recovered(np.eye(3), np.eye(3)).get_xlabel()
    'correlation as planted'
    """
    ax = axes_or_new(ax, 3.2, 3.2)
    edges = np.triu_indices(len(planted), k=1)
    ax.hexbin(planted[edges], found[edges], gridsize=60, bins="log", mincnt=1, cmap=SEQUENTIAL, linewidths=0)
    low, high = min(planted[edges].min(), found[edges].min()), max(planted[edges].max(), found[edges].max())
    ax.plot([low, high], [low, high], color=INK, linewidth=0.7, linestyle=":")
    ax.set(xlabel="correlation as planted", ylabel="correlation from the scan")
    ax.text(0.98, 0.02, "brighter: more connections", fontsize=SMALL, color=GREY, ha="right", transform=ax.transAxes)
    return ax


def alt_recovered(planted: np.ndarray, found: np.ndarray) -> str:
    """Say in words what :func:`plot_recovered` shows."""
    edges = np.triu_indices(len(planted), k=1)
    alike = float(np.corrcoef(planted[edges], found[edges])[0, 1]) if len(planted) > 2 else 1.0
    apart = float(np.abs(planted[edges] - found[edges]).mean())
    return (
        f"Correlations of {len(edges[0])} connections from the scan against those planted: along the diagonal, they "
        f"correlate {number(alike)} and differ by {number(apart)} on average."
    )


@house_style()
def plot_what_is_left(people: pd.DataFrame, snps: pd.DataFrame | None = None) -> Figure:
    """Draw how many people, and how many SNPs, are left after every step from files to a cohort.

    Parameters
    ----------
    people : pandas.DataFrame
        ``step`` and ``people``, in the order of the steps.
    snps : pandas.DataFrame, optional
        ``step`` and ``snps``; where genotypes could not be read, None, and the panel says so.

    Returns
    -------
    Figure
        Two panels of bars, people on the left.

    Examples
    --------
    >>> people = pd.DataFrame({"step": ["in the table", "scanned"], "people": [20, 12]})
    >>> [ax.get_title("left") for ax in plot_what_is_left(people).axes]
    ['People', 'SNPs']
    """
    rows = max(len(people), 3 if snps is None else len(snps))
    fig = new_figure(0.2 * rows + 0.8)
    left, right = fig.subplots(1, 2)
    _draw_steps(left, people, "people")
    left.set_title("People")
    right.set_title("SNPs")
    if snps is None:
        right.text(0.5, 0.5, NO_GENOTYPES, ha="center", va="center", color=GREY, transform=right.transAxes)
        right.set_axis_off()
    else:
        _draw_steps(right, snps, "snps")
    return fig


def alt_what_is_left(people: pd.DataFrame, snps: pd.DataFrame | None = None) -> str:
    """Say in words what :func:`plot_what_is_left` shows.

    Examples
    --------
    >>> alt_what_is_left(pd.DataFrame({"step": ["in the table", "scanned"], "people": [20, 12]}))
    'What is left from files to a cohort. In the table: 20 people; scanned: 12 people. No genotypes were read.'
    """
    of_people = "; ".join(f"{row.step}: {row.people} people" for row in people.itertuples())
    of_snps = "No genotypes were read"
    if snps is not None:
        of_snps = "; ".join(f"{row.step}: {row.snps} SNPs" for row in snps.itertuples())
    return f"What is left from files to a cohort. {capital(of_people)}. {capital(of_snps)}."


def _draw_steps(ax: Axes, steps: pd.DataFrame, counted: str) -> None:
    """Draw a bar per step, from the top; a count of people says so, since a small one must be hidden by its words."""
    places = np.arange(len(steps))[::-1]
    ax.barh(places, steps[counted], color="#56B4E9", height=0.7)
    unit = " people" if counted == "people" else ""
    for place, count in zip(places, steps[counted], strict=True):
        ax.text(count, place, f" {count:,}{unit}", va="center", fontsize=SMALL, color=INK)
    ax.set_yticks(places, steps["step"])
    ax.set_xlabel("people left" if counted == "people" else "SNPs left")
    ax.set_xlim(0, 1.35 * max(1, steps[counted].max()))
    ax.set_ylim(-0.6, len(steps) - 0.4)
