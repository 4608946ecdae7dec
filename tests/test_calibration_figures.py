"""The reliability figure: points where the table says, and words that agree."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from gcamccl_core.model.calibration import expected_calibration_error, reliability
from gcamccl_core.report.calibration_figures import alt_reliability, plot_reliability
from gcamccl_core.report.labels import number

mpl.use("Agg")


@pytest.fixture
def tables():
    random = np.random.default_rng(0)
    probability = random.uniform(size=300)
    label = (random.uniform(size=300) < probability).astype(int)
    return {"recommended": reliability(label, probability), "published": reliability(label, probability**3)}


def test_points_and_lines_are_the_tables(tables):
    ax = plot_reliability(tables, "high")
    drawn = [line for line in ax.lines if len(line.get_xdata()) > 2]
    for line, points, table in zip(drawn, ax.collections, tables.values(), strict=True):
        np.testing.assert_allclose(line.get_xdata(), table["mean_probability"])
        np.testing.assert_allclose(line.get_ydata(), table["share"])
        np.testing.assert_allclose(points.get_offsets(), table[["mean_probability", "share"]])
        assert points.get_sizes().argmax() == table["n"].to_numpy().argmax()
    for (name, table), text in zip(tables.items(), ax.get_legend().get_texts()[1:], strict=True):
        assert text.get_text() == f"{name} (error {number(expected_calibration_error(table))})"


def test_words_name_the_ends_and_the_error(tables):
    said = alt_reliability(tables, "high")
    for name, table in tables.items():
        assert f"{name}: of {table['n'].iloc[0]} told {number(table['mean_probability'].iloc[0])}" in said
        assert f"calibration error {number(expected_calibration_error(table))}" in said


def test_five_models_cannot_be_told_apart(tables):
    with pytest.raises(ValueError, match="at most 4 models"):
        plot_reliability({str(k): pd.DataFrame() for k in range(5)}, "high")
