"""Figures of the views: mean connectivity, allele frequencies and linkage, before any model is trained."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from gcamccl_core.data.cohort import class_names
from gcamccl_core.report.labels import join_words, number
from gcamccl_core.report.matrix import arrange, arrange_regions, draw_brackets, draw_matrix
from gcamccl_core.report.style import (
    DIVERGING,
    GREY,
    INK,
    SEQUENTIAL,
    axes_or_new,
    class_looks,
    house_style,
    new_figure,
    pretty,
)


@house_style()
def plot_mean_connectivity(cohort: xr.Dataset, view: str = "fc", fig: Figure | None = None) -> Figure:
    """Draw the mean image of every class on one scale, and the last class minus the first.

    Parameters
    ----------
    cohort : xarray.Dataset
        Holds the image view and, if its regions are to be bracketed, ``roi_network``.
    view : str
        Name of the image view.
    fig : Figure, optional
        Drawn on; made if None.

    Returns
    -------
    Figure
        One panel per class, then the difference.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=40, progress=False)
    >>> [ax.get_title("left") for ax in plot_mean_connectivity(cohort).axes[:3]]
    ['low (mean)', 'high (mean)', 'high − low']
    """
    means = _class_means(cohort, view)
    classes = class_names(cohort)
    fig = fig or new_figure(2.6)
    axes = fig.subplots(1, len(classes) + 1)
    arrangement = arrange_regions(cohort, str(cohort[view].dims[1]))
    off_diagonal = ~np.eye(means.shape[-1], dtype=bool)
    images = []
    for panels, values, titles in (
        (axes[:-1], means, [f"{name} (mean)" for name in classes]),
        (axes[-1:], means[-1:] - means[:1], [f"{classes[-1]} − {classes[0]}"]),
    ):
        limit = float(np.quantile(np.abs(values[:, off_diagonal]), 0.995))
        norm = Normalize(-limit, limit)
        for ax, matrix, title in zip(panels, values, titles, strict=True):
            images.append(draw_matrix(ax, matrix, arrangement, norm, DIVERGING))
            ax.set_title(title)
        unit = "correlation" if cohort[view].attrs.get("kind") == "correlation" else "value"
        label = unit if len(images) <= len(classes) else f"difference of {unit}"
        fig.colorbar(images[-1], ax=list(panels), location="bottom", label=label, aspect=30, shrink=0.85, extend="both")
    draw_brackets(axes[0], arrangement)
    return fig


def alt_mean_connectivity(cohort: xr.Dataset, view: str = "fc") -> str:
    """Say in words what :func:`plot_mean_connectivity` shows of this cohort."""
    means, classes = _class_means(cohort, view), class_names(cohort)
    off_diagonal = ~np.eye(means.shape[-1], dtype=bool)
    levels = [f"{number(mean[off_diagonal].mean())} ({name})" for name, mean in zip(classes, means, strict=True)]
    difference = (means[-1] - means[0])[off_diagonal]
    stronger = classes[-1] if difference.mean() > 0 else classes[0]
    return (
        f"Mean {pretty(view)} of {means.shape[-1]} regions, one image per class on one colour scale, regions ordered "
        f"by network. Average off the diagonal: {join_words(levels)}. In {classes[-1]} minus {classes[0]}, "
        f"from {number(difference.min())} to {number(difference.max())}, the class {stronger} is stronger on average."
    )


@house_style()
def plot_allele_frequency(cohort: xr.Dataset, view: str = "snp", ax: Axes | None = None) -> Axes:
    """Draw every SNP's frequency of the counted allele in the last class against that in the first.

    Parameters
    ----------
    cohort : xarray.Dataset
        Holds the genotype view, coded 0, 1, 2, NaN for a missing call, and ``truth_<view>`` if SNPs were planted.
    view : str
        Name of the genotype view.
    ax : Axes, optional
        Drawn on; made if None.

    Returns
    -------
    Axes
        One point per SNP.
    """
    frequency, classes = _class_means(cohort, view) / 2, class_names(cohort)
    ax = axes_or_new(ax, 3.3, 3.6)
    ax.axline((0, 0), slope=1, color=INK, linewidth=0.7, linestyle=":")
    planted = _planted(cohort, view)
    rest = ~planted.any(axis=0)
    ax.scatter(frequency[0, rest], frequency[-1, rest], s=7, color=GREY, alpha=0.6, linewidths=0, label="other SNPs")
    for (name, look), chosen in zip(class_looks(classes).items(), planted, strict=True):
        if chosen.any():
            ax.scatter(
                frequency[0, chosen], frequency[-1, chosen], s=16, marker=look.marker, color=look.color,
                edgecolors="white", linewidths=0.4, label=f"planted for {name}",
            )  # fmt: skip
    top = 1.05 * float(np.nanmax(frequency))
    ax.set(xlim=(0, top), ylim=(0, top), aspect="equal", title="Frequency of the counted allele")
    ax.set(xlabel=f"in class {classes[0]}", ylabel=f"in class {classes[-1]}")
    ax.legend(loc="upper left", handletextpad=0.2, borderaxespad=0.1)
    return ax


def alt_allele_frequency(cohort: xr.Dataset, view: str = "snp") -> str:
    """Say in words what :func:`plot_allele_frequency` shows of this cohort."""
    frequency, classes = _class_means(cohort, view) / 2, class_names(cohort)
    difference = frequency[-1] - frequency[0]
    widest = int(np.nanargmax(np.abs(difference)))
    snp = str(cohort[view][cohort[view].dims[1]].to_numpy()[widest])
    planted = [f"{chosen.sum()} for {name}" for name, chosen in zip(classes, _planted(cohort, view), strict=True)]
    marked = f" Planted SNPs are marked: {join_words(planted)}." if _planted(cohort, view).any() else ""
    return (
        f"Scatter of {frequency.shape[1]} allele frequencies, class {classes[-1]} against {classes[0]}, from "
        f"{number(np.nanmin(frequency))} to {number(np.nanmax(frequency))}. The widest difference is "
        f"{number(difference[widest])} at {snp}.{marked}"
    )


@house_style()
def plot_linkage(r2: pd.DataFrame, blocks: pd.Series, first: int = 60, fig: Figure | None = None) -> Figure:
    """Draw the squared correlation of the first SNPs, bracketed by block, and its distribution over all pairs.

    Parameters
    ----------
    r2 : pandas.DataFrame of shape (n_snps, n_snps)
        Squared correlation of dosages, in genome order; ``cohort["snp"].to_pandas().corr() ** 2``.
    blocks : pandas.Series
        Linkage block, or gene, of every SNP, by SNP.
    first : int
        How many SNPs the image shows.
    fig : Figure, optional
        Drawn on; made if None.

    Returns
    -------
    Figure
        The image, then the histogram.

    Examples
    --------
    >>> names = ["rs1", "rs2", "rs3"]
    >>> r2 = pd.DataFrame([[1, 0.4, 0], [0.4, 1, 0], [0, 0, 1]], names, names)
    >>> figure = plot_linkage(r2, pd.Series(["A", "A", "B"], names, name="gene"))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['A', 'B']
    """
    fig = fig or new_figure(3.1)
    left, right = fig.subplots(1, 2, width_ratios=[1.25, 1])
    values, group = r2.to_numpy(), str(blocks.name or "block").removeprefix("snp_")
    few = min(first, len(values))
    arrangement = arrange(blocks.loc[r2.index[:few]].astype(str).to_numpy(), sort=False)
    image = draw_matrix(left, values[:few, :few], arrangement, Normalize(0, 1), SEQUENTIAL)
    left.set_title(f"First {few} of {len(values)} SNPs, by {group}")
    fig.colorbar(image, ax=left, location="right", label="linkage, $r^2$", aspect=25, shrink=0.8)
    within, between = _pairs(r2, blocks)
    bins = np.linspace(0, 1, 41)
    right.hist(between, bins, color="#c9c9c9", label="different " + group)
    right.hist(within, bins, histtype="step", color=INK, linewidth=1.2, label="same " + group)
    right.set(yscale="log", xlim=(0, 1), xlabel="linkage, $r^2$", ylabel="pairs of SNPs (log scale)", title="All pairs")
    right.legend(loc="upper right")
    draw_brackets(left, arrangement)
    return fig


def alt_linkage(r2: pd.DataFrame, blocks: pd.Series) -> str:
    """Say in words what :func:`plot_linkage` shows of these SNPs."""
    within, between = _pairs(r2, blocks)
    group = str(blocks.name or "block").removeprefix("snp_")
    averages = [number(float(np.nanmean(pairs))) if len(pairs) else "no pair" for pairs in (within, between)]
    return (
        f"Squared correlation of {len(r2)} SNPs: an image of the first, with bright squares along the diagonal, and "
        f"a histogram of all pairs. Average for two SNPs of the same {group} {averages[0]}, of different {averages[1]}."
    )


def _pairs(r2: pd.DataFrame, blocks: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Values of all pairs within a block, and of all other pairs."""
    names = blocks.loc[r2.index].to_numpy()
    rows, columns = np.triu_indices(len(names), k=1)
    same, values = names[rows] == names[columns], r2.to_numpy()[rows, columns]
    return values[same], values[~same]


def _class_means(cohort: xr.Dataset, view: str) -> np.ndarray:
    """Mean of a view over the subjects of every class, missing values left out: (n_classes, *view shape)."""
    label = cohort["label"].to_numpy()
    return np.stack(
        [
            cohort[view].isel(subject=np.flatnonzero(label == which)).mean("subject").to_numpy()
            for which in range(len(class_names(cohort)))
        ]
    )


def _planted(cohort: xr.Dataset, view: str) -> np.ndarray:
    """Which features were planted for every class: (n_classes, n_features); none in a real cohort."""
    classes = class_names(cohort)
    if f"truth_{view}" in cohort:
        return cohort[f"truth_{view}"].sel(target_class=classes).to_numpy().astype(bool)
    return np.zeros((len(classes), cohort[view].shape[1]), dtype=bool)
