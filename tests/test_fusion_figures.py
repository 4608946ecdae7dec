"""What batch size does to losses, as drawn: values, floors and accuracies where the tables have them."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from gcamccl_core.report.fusion_figures import (
    NAMES,
    alt_batch_accuracy,
    alt_batch_dependence,
    plot_batch_accuracy,
    plot_batch_dependence,
)
from gcamccl_core.report.labels import number

mpl.use("Agg")

SIZES = [4, 16, 64]
FLOOR = pd.DataFrame(
    {"batch_size": SIZES, "correlation": [1.5, 0.8, 0.3], "low": [1.1, 0.4, 0.1], "high": [1.9, 1.2, 0.5]}
)


@pytest.fixture
def dependence():
    rows = [
        (fusion, size, 0.7, sign * level / (1 + place), 0.1, bias / (1 + place))
        for fusion, sign, level, bias in (("dcca", -1, 1.6, 1.0), ("dcl", -1, 1.4, 0.8), ("collaborative", 1, 0.6, 0.0))
        for place, size in enumerate(SIZES)
    ]
    return pd.DataFrame(rows, columns=["fusion", "batch_size", "fit", "agreement", "agreement_sd", "gradient_bias"])


def lines(ax):
    return {line.get_label(): np.column_stack(line.get_data()) for line in ax.lines}


def test_terms_and_biases_are_drawn_loss_by_loss(dependence):
    left, middle, right = plot_batch_dependence(dependence, FLOOR).axes
    by_loss = {name: dependence[dependence["fusion"] == fusion] for fusion, name in NAMES.items()}
    for name in ("DCCA (Eq. 3)", "DCL (Eq. 4)"):  # losses are minus the correlations
        np.testing.assert_allclose(lines(left)[name][:, 1], -by_loss[name]["agreement"])
    np.testing.assert_allclose(lines(left)["pure noise, 95 % of batches"][:, 1], FLOOR["correlation"])
    np.testing.assert_allclose(lines(middle)["Eq. 12"][:, 1], by_loss["Eq. 12"]["agreement"])
    for name, rows in by_loss.items():
        np.testing.assert_allclose(lines(right)[name], rows[["batch_size", "gradient_bias"]])
    band = left.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(0.1)
    assert band[:, 1].max() == pytest.approx(1.9)
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["4", "16", "64"]


def test_words_say_the_ends_of_the_curves(dependence):
    said = alt_batch_dependence(dependence, FLOOR)
    assert "batches of 4 against all 64 subjects" in said
    assert f"DCCA (Eq. 3) {number(1.6)} against {number(1.6 / 3)}, gradient bias {number(1.0)};" in said
    assert f"Eq. 12 {number(0.6)} against {number(0.6 / 3)}, gradient bias {number(0.0)}." in said


def test_accuracies_are_means_over_the_splits_with_every_split_beside():
    rng = np.random.default_rng(0)
    rows = [(f, s, k, rng.uniform(0.5, 0.9)) for f in ("dcl", "collaborative") for s in SIZES for k in range(3)]
    table = pd.DataFrame(rows, columns=["fusion", "batch_size", "split", "accuracy"])
    ax = plot_batch_accuracy(table)
    for fusion in ("dcl", "collaborative"):
        mean = table[table["fusion"] == fusion].groupby("batch_size")["accuracy"].mean()
        np.testing.assert_allclose(lines(ax)[NAMES[fusion]][:, 1], mean)
        assert f"{number(mean[4])} with batches of 4" in alt_batch_accuracy(table)
    points = np.concatenate([each.get_offsets()[:, 1] for each in ax.collections])
    np.testing.assert_allclose(points, table["accuracy"])
    assert alt_batch_accuracy(table).startswith("Mean test accuracy over 3 splits.")
