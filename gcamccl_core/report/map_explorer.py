"""Threshold, frequency and class as sliders over the maps of a run: a page by itself, which needs no network."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from gcamccl_core.data.splits import Split
from gcamccl_core.kept_files import whole_file
from gcamccl_core.maps.selection import select_biomarkers
from gcamccl_core.provenance import resolve
from gcamccl_core.report.explorer_numbers import THRESHOLDS, Networks, NoExplorerError, Numbers, explorer_numbers
from gcamccl_core.report.page_files import VIEWS, embed_views

TEMPLATE = Path(__file__).with_suffix(".html")
LAYOUT = "d1f27e2d3fa89bd1"  # fingerprint of the template: a change of it makes chapters stale
LARGEST = 1_500_000  # bytes of a page
FEWER_THRESHOLDS = (*THRESHOLDS[:10], 0.12, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
TITLE = "The selection rule with sliders"


def explore_maps(
    networks: Networks,
    people: Sequence[xr.Dataset],
    splits: Sequence[Split],
    threshold: float = 0.05,
    frequency: float = 0.7,
) -> str:
    """Make a page on which threshold, frequency, class and view of the selection can be moved.

    It shows which features :func:`.select_biomarkers` selects with the same numbers, in which regions or genes they
    lie, and, of a simulated cohort, how many are right, beside the other networks and a t-test.

    Parameters
    ----------
    networks : mapping of str to sequence of xarray.Dataset
        By name, the one in question first, maps of its test subjects in every split, from :func:`.compute_maps`.
    people : sequence of xarray.Dataset
        The cohort as each split sees it.
    splits : sequence of Split
        Whose training subjects the t-test is of.
    threshold, frequency : float
        Where the sliders begin.

    Returns
    -------
    str
        HTML below 1.5 MB, the same for the same input; everything is inside, and the page is forbidden to load
        anything. Of many features the thresholds have wider steps, and in the end the first split is shown alone.

    Raises
    ------
    NoExplorerError
        If even that is too large, or the cohort is controlled and too few of its people were mapped.
    ValueError
        If the networks are not of the same splits.

    Examples
    --------
    >>> from gcamccl_core.data.cohort import make_splits
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> from gcamccl_core.maps.activation import compute_maps
    >>> from gcamccl_core.model.networks import CollaborativeNet
    >>> cohort = simulate_cohort(n_subjects=60, seed=0, progress=False)
    >>> splits = make_splits(cohort, 1, "subjects", 0)
    >>> net = CollaborativeNet({"snp": cohort["snp"].shape[1:]}).fit_scaling(cohort, splits[0].train)
    >>> maps = compute_maps(net, cohort, methods=["guided_grad_cam"], subjects=splits[0].test, progress=False)
    >>> page = explore_maps({"untrained": [maps]}, [cohort], splits)
    >>> page.count('type="range"'), "https:" in page
    (2, False)
    """
    first = {name: maps[:1] for name, maps in networks.items()}
    for shown, steps in ((networks, THRESHOLDS), (networks, FEWER_THRESHOLDS), (first, FEWER_THRESHOLDS)):
        count = len(next(iter(shown.values())))
        numbers = explorer_numbers(shown, people[:count], splits[:count], threshold, frequency, steps)
        page = _write_page(numbers, _in_words(shown, numbers))
        if len(page.encode()) < LARGEST:
            return page
    raise NoExplorerError(
        f"a page with sliders over these maps would have {len(page.encode()) / 1e6:.1f} MB, and more than "
        f"{LARGEST / 1e6} is too much for a reader; give maps of fewer features, classes or methods"
    )


def offer_explorer(
    networks: Networks,
    people: Sequence[xr.Dataset],
    splits: Sequence[Split],
    run_folder: str | Path,
    threshold: float = 0.05,
    frequency: float = 0.7,
) -> None:
    """Write :func:`explore_maps` into ``<run folder>/views`` and show it in a frame; if it cannot be made, say why."""
    try:
        page = explore_maps(networks, people, splits, threshold, frequency)
    except NoExplorerError as fault:
        print(f"No page with sliders: {fault}.")
        return
    path = resolve(run_folder) / VIEWS / "map_explorer.html"
    with whole_file(path) as partial:
        partial.write_text(page, encoding="utf-8", newline="\n")
    embed_views({"threshold, frequency and class": path}, caption=TITLE, height=980)


def _in_words(networks: Networks, numbers: Numbers) -> str:
    """Say what is selected at first, for readers whose browser runs no scripts."""
    begin = numbers["begin"]
    threshold, frequency = numbers["thresholds"][begin["threshold"]], numbers["frequencies"][begin["frequency"]]
    name, maps = next(iter(networks.items()))
    method = numbers["methods"][0]["name"]
    selected = select_biomarkers(maps[0], threshold, frequency, method)
    rows = []
    for view in numbers["views"]:
        for target_class in numbers["classes"]:
            count = ((selected["view"] == view["name"]) & (selected["target_class"] == target_class)).sum()
            rows.append(f"{view['label']}, {target_class}: {count} of {view['features']} selected")
    words = f"This page needs scripts. At threshold {threshold} and frequency {frequency}, {name}, first split: "
    return html.escape(words + "; ".join(rows) + ".")


def _write_page(numbers: Numbers, words: str) -> str:
    """Put title, words and numbers in their places in the template."""
    page = TEMPLATE.read_text(encoding="utf-8")
    data = json.dumps(numbers, separators=(",", ":")).replace("<", "\\u003c")  # no name can end the script
    for place, content in (("<!--title-->", TITLE), ("<!--words-->", words), ("/*numbers*/", data)):
        page = page.replace(place, content)
    return page
