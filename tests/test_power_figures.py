"""Figures of how many people a study needs: drawn as tabled, and said in words that agree."""

import itertools

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from gcamccl_core.model.smallest_effects import smallest_auc, smallest_difference
from gcamccl_core.report.power_figures import (
    alt_growing_study,
    alt_smallest_effects,
    name_strengths,
    plot_growing_study,
    plot_smallest_effects,
)

mpl.use("Agg")
TESTS = {"one test": 1, "many tests": 1000}


@pytest.fixture
def table():
    random = np.random.default_rng(0)
    rows = []
    for loading, n, split in itertools.product((0.3, 0.9), (100, 400), range(3)):
        shared = {"loading": loading, "n_subjects": n, "split": split, "effect_fc": loading / 2}
        for method in ("linear SVM", "gCAM-CCL, recommended"):
            rows.append(shared | {"method": method, "auc": random.uniform(0.5, 0.9), "power": random.uniform()})
        rows.append(shared | {"method": "t-test", "found": random.uniform()})
    return pd.DataFrame(rows)


def test_lines_are_means_over_cohorts(table):
    axes = plot_growing_study(table).axes
    for ax, measure in zip(axes, ("auc", "power", "found"), strict=True):
        lines = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_marker() in "os"]
        means = table.dropna(subset=[measure]).groupby(["loading", "method", "n_subjects"])[measure].mean()
        drawn = {tuple(np.round(line.get_ydata(), 9)) for line in lines}
        assert drawn == {tuple(part.round(9)) for _, part in means.groupby(["loading", "method"])}


def test_strengths_are_named_by_the_effect_that_the_largest_study_shows(table):
    table.loc[table["n_subjects"] == 100, "effect_fc"] = 9.0
    assert name_strengths(table) == {0.3: "d = 0.15", 0.9: "d = 0.45"}
    words = alt_growing_study(table)
    auc = table[(table["method"] == "linear SVM") & (table["loading"] == 0.9) & (table["n_subjects"] == 400)]["auc"]
    assert "with effects of d = 0.45" in words
    assert f"to {auc.mean():.2f}" in words


def test_what_cannot_be_drawn_is_refused(table):
    with pytest.raises(ValueError, match="lacks the columns power"):
        plot_growing_study(table.drop(columns="power"))
    many = pd.concat([table.assign(loading=table["loading"] + step) for step in (0, 1)])
    with pytest.raises(ValueError, match="at most 3 strengths"):
        plot_growing_study(many)


def test_smallest_effects_are_the_closed_forms_with_the_level_shared_out():
    left, right = plot_smallest_effects([20, 80], TESTS, 40).axes
    curves = {line.get_label(): line.get_ydata() for line in left.lines}
    for name, count in TESTS.items():
        np.testing.assert_allclose(curves[name], [smallest_difference(n, n, 0.05 / count) for n in (20, 80)])
    np.testing.assert_allclose(right.lines[0].get_ydata(), [smallest_auc(n, n) for n in (20, 80)])
    words = alt_smallest_effects([20, 80], TESTS, 40)
    assert f"from {smallest_auc(20, 20):.2f} to {smallest_auc(80, 80):.2f}" in words
    assert words.endswith("Here are 40.")
