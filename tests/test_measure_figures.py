"""The figure of a vector of measures shows the standardised differences, and names the widest."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from gcamccl_core.data.cohort import assemble_cohort
from gcamccl_core.report.measure_figures import alt_measures, plot_measures

mpl.use("Agg")


@pytest.fixture
def cohort():
    rng = np.random.default_rng(0)
    ids, label = [f"s{i}" for i in range(60)], np.arange(60) % 2
    values = rng.normal(1000, 50, (60, 20))
    values[:, 4] += 200 * label
    values[:, 9] -= 100 * label
    names = [f"measure {i}" for i in range(20)]
    view = xr.DataArray(values, dims=("subject", "measure"), coords={"subject": ids, "measure": names})
    return assemble_cohort({"morphometry": view}, pd.Series(label, index=ids))


def test_points_are_the_differences_in_standard_deviations(cohort):
    ax = plot_measures(cohort, "morphometry")
    drawn = ax.collections[0].get_offsets()[:, 1]
    values, label = cohort["morphometry"].to_numpy(), cohort["label"].to_numpy()
    low, high = values[label == 0], values[label == 1]
    pooled = np.sqrt((low.var(axis=0, ddof=1) + high.var(axis=0, ddof=1)) / 2)
    np.testing.assert_allclose(drawn, np.sort((high.mean(axis=0) - low.mean(axis=0)) / pooled))


def test_the_widest_are_named_in_the_figure_and_in_words(cohort):
    named = [text.get_text() for text in plot_measures(cohort, "morphometry").texts]
    assert {"measure 4", "measure 9"} <= set(named)
    assert "Widest: measure 4" in alt_measures(cohort, "morphometry")


def test_names_are_apart_and_on_the_page(cohort):
    ax = plot_measures(cohort, "morphometry")
    ax.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == 8
    assert all(box.x1 <= ax.figure.bbox.x1 + 1 for box in boxes)
    assert all(sum(box.overlaps(other) for other in boxes) == 1 for box in boxes)  # with itself
