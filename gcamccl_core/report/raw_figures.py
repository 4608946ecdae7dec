"""Figures of how raw files become views: what a scan gives back, and what each step of quality control removes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from gcamccl_core.report.labels import number
from gcamccl_core.report.style import GREY, INK, SEQUENTIAL, SMALL, axes_or_new, house_style


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
def plot_steps(steps: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how many SNPs are left after every step.

    Parameters
    ----------
    steps : pandas.DataFrame
        ``step`` and ``snps``, in the order of the steps.
    ax : Axes, optional
        Drawn on; made if None.

    Returns
    -------
    Axes

    Examples
    --------
    >>> plot_steps(pd.DataFrame({"step": ["as given", "autosomes"], "snps": [10, 8]})).get_xlabel()
    'SNPs left'
    """
    ax = axes_or_new(ax, 5.0, 0.28 * len(steps) + 0.7)
    places = np.arange(len(steps))[::-1]
    ax.barh(places, steps["snps"], color="#56B4E9", height=0.7)
    for place, snps in zip(places, steps["snps"], strict=True):
        ax.text(snps, place, f" {snps:,}", va="center", fontsize=SMALL, color=INK)
    ax.set_yticks(places, steps["step"])
    ax.set_xlabel("SNPs left")
    ax.set_xlim(0, steps["snps"].max() * 1.15)
    return ax


def alt_steps(steps: pd.DataFrame) -> str:
    """Say in words what :func:`plot_steps` shows."""
    said = "; ".join(f"{row.step}: {row.snps}" for row in steps.itertuples())
    return f"Number of SNPs left after each step. {said}."
