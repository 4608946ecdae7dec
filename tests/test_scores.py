"""Scores over splits: intervals and tests by hand, by scipy, at the edges of the rule, and under no difference."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gcamccl_core.model.scores import (
    NOT_WORSE_MARGIN,
    compare_paired,
    judge_chance,
    score_predictions,
    standard_error,
    summarise,
)

SCORES = st.lists(st.tuples(*[st.integers(0, 40)] * 2), min_size=3, max_size=25)


def as_table(scores, n_train=70, n_test=15, measure="accuracy"):
    rows = [(name, k, n_train, n_test, v) for name, values in scores.items() for k, v in enumerate(values)]
    return pd.DataFrame(rows, columns=["method", "split", "n_train", "n_test", measure])


def draw_splits(rng, n_splits=20, share=15 / 70):
    """Differences without a mean whose splits share subjects: correlated as n_test / (n_test + n_train)."""
    rho = share / (1 + share)
    return 0.05 * (np.sqrt(rho) * rng.normal() + np.sqrt(1 - rho) * rng.normal(size=n_splits))


def test_standard_error_by_hand():
    scores = np.array([0.6, 0.8, 1.0, 0.8])  # variance 0.08 / 3
    assert standard_error(scores, 0) == pytest.approx((0.08 / 12) ** 0.5)
    assert standard_error(scores, 0.25) == pytest.approx((0.08 / 6) ** 0.5)
    assert standard_error(scores, 0) == pytest.approx(stats.sem(scores))
    assert np.isnan(standard_error(scores[:1], 0.25))


def test_summary_by_hand_in_the_order_of_the_methods():
    table = as_table({"SVM": [0.6, 0.8, 1.0, 0.8], "RF": [0.5, 0.5, 0.5, 0.5], "A": [0.5, 0.7, 0.6, 0.6]})
    table["auc"] = 1 - table["accuracy"]
    found = summarise(table)
    assert list(found.columns) == ["method", "measure", "mean", "low", "high", "n_splits"]
    assert [*found["method"]] == ["SVM", "SVM", "RF", "RF", "A", "A"]
    assert [*found["measure"]] == ["accuracy", "auc"] * 3
    reach = 3.18245 * ((1 / 4 + 15 / 70) * 0.08 / 3) ** 0.5  # Student's t of three degrees of freedom
    assert found.loc[0, ["mean", "low", "high"]].tolist() == pytest.approx([0.8, 0.8 - reach, 0.8 + reach], abs=1e-6)
    assert found.loc[1, ["mean", "low", "high"]].tolist() == pytest.approx([0.2, 0.2 - reach, 0.2 + reach], abs=1e-6)
    assert found.loc[2, ["mean", "low", "high"]].tolist() == pytest.approx([0.5] * 3)
    assert set(found["n_splits"]) == {4}


def test_independent_cohorts_need_no_correction_and_a_single_split_has_no_interval():
    values = np.array([0.6, 0.8, 1.0, 0.8])
    row = summarise(as_table({"SVM": values}), independent=True).iloc[0]
    assert (row["low"], row["high"]) == pytest.approx(stats.t.interval(0.95, 3, values.mean(), stats.sem(values)))
    single = summarise(as_table({"SVM": [0.7]})).iloc[0]
    assert single["mean"] == 0.7
    assert np.isnan([single["low"], single["high"]]).all()


@settings(max_examples=50, deadline=None)
@given(SCORES)
def test_without_shared_subjects_it_is_scipys_paired_t_test_and_with_them_it_is_wider(pairs):
    a, b = np.array(pairs).T / 40
    plain = compare_paired(as_table({"A": a, "B": b}, n_test=0), "A").iloc[0]
    corrected = compare_paired(as_table({"A": a, "B": b}), "A").iloc[0]
    assert plain["difference"] == pytest.approx((a - b).mean())
    if np.ptp((a - b).round(9)) > 0:
        expected = stats.ttest_rel(a, b)
        assert plain["p_value"] == pytest.approx(expected.pvalue, abs=1e-9)
        assert (plain["low"], plain["high"]) == pytest.approx(tuple(expected.confidence_interval()))
        assert corrected["high"] - corrected["low"] > plain["high"] - plain["low"]
        assert corrected["p_value"] >= plain["p_value"]


def test_every_other_method_is_compared_in_the_order_of_the_table():
    rng = np.random.default_rng(0)
    scores = {name: 0.7 + 0.05 * rng.normal(size=10) for name in ("RF", "ours", "SVM", "A")}
    found = compare_paired(as_table(scores).sort_values("split", kind="stable", ascending=False), "ours")
    assert [*found["method"]] == ["RF", "SVM", "A"]
    np.testing.assert_allclose(found["p_adjusted"], np.minimum(1, 3 * found["p_value"]))
    back = compare_paired(as_table(scores), "A").set_index("method").loc["ours"]
    there = found.set_index("method").loc["A"]
    assert (back["difference"], back["p_value"]) == pytest.approx((-there["difference"], there["p_value"]))
    assert (back["low"], back["high"]) == pytest.approx((-there["high"], -there["low"]))


def with_bound(mean, bound, n=20, share=15 / 70):
    """Scores of two methods whose mean difference and its one-sided 95 % bound are as wanted."""
    pattern = np.tile([1.0, -1.0], n // 2)
    spread = (mean - bound) / stats.t.ppf(0.95, n - 1) / standard_error(pattern, share)
    return as_table({"ours": 0.5 + mean + spread * pattern, "other": np.full(n, 0.5)})


@pytest.mark.parametrize(
    ("mean", "bound", "not_worse"),
    [
        (0.01, -NOT_WORSE_MARGIN + 1e-6, True),
        (0.01, -NOT_WORSE_MARGIN - 1e-6, False),
        (0.0, -NOT_WORSE_MARGIN + 1e-6, True),
        (-1e-6, -NOT_WORSE_MARGIN + 1e-6, False),  # surely within the margin, and yet behind
        (0.05, 0.01, True),
    ],
)
def test_not_worse_is_a_mean_not_behind_and_a_bound_within_the_margin(mean, bound, not_worse):
    found = compare_paired(with_bound(mean, bound), "ours").iloc[0]
    assert found["not_worse"] == not_worse
    assert NOT_WORSE_MARGIN == 0.03


def test_equal_means_are_not_behind_and_equal_scores_not_different_for_all_their_rounding():
    behind = compare_paired(as_table({"ours": [0.7, 0.6, 0.9] * 7, "other": [0.8, 0.8, 0.6] * 7}, 700, 1), "ours")
    assert behind["difference"].item() == 0
    assert 0.1 + 0.2 != 0.3
    same = compare_paired(as_table({"ours": [0.1 + 0.2] * 4, "other": [0.3] * 4}), "ours").iloc[0]
    assert same[["difference", "low", "high", "p_value"]].tolist() == [0, 0, 0, 1]
    assert same["not_worse"]


def test_a_difference_that_never_varies_is_certain():
    found = compare_paired(as_table({"A": [0.75] * 5, "B": [0.5] * 5}), "A").iloc[0]
    assert found[["difference", "low", "high", "p_value", "p_adjusted"]].tolist() == [0.25, 0.25, 0.25, 0, 0]


def test_one_split_compares_nothing():
    found = compare_paired(as_table({"A": [0.75], "B": [0.5]}), "A").iloc[0]
    assert found["difference"] == 0.25
    assert found[["low", "high", "p_value", "p_adjusted"]].isna().all()
    assert not found["not_worse"]


def test_what_cannot_be_compared_is_refused():
    table = as_table({"A": [0.7, 0.8, 0.9], "B": [0.6, 0.7, 0.8]})
    with pytest.raises(ValueError, match="no scores of 'C'; there are A, B"):
        compare_paired(table, "C")
    with pytest.raises(ValueError, match=r"scored on the same splits; some lack B$"):
        compare_paired(table.iloc[:-1], "A")
    with pytest.raises(ValueError, match=r"one row per method and split is expected; some are there twice: A$"):
        compare_paired(pd.concat([table, table.iloc[:1]]), "A")
    unmeasured = table.assign(accuracy=table["accuracy"].where(table["method"] == "A"))
    with pytest.raises(ValueError, match=r"some lack B$"):
        compare_paired(unmeasured, "A")


def test_of_repeated_splits_without_a_difference_one_in_twenty_looks_like_one():
    rng = np.random.default_rng(0)
    corrected, plain = [], []
    for _ in range(400):
        table = as_table({"A": 0.7 + draw_splits(rng), "B": np.full(20, 0.7)})
        corrected.append(compare_paired(table, "A")["p_value"].item() < 0.05)
        plain.append(compare_paired(table.assign(n_test=0), "A")["p_value"].item() < 0.05)
    assert np.mean(corrected) == pytest.approx(0.05, abs=0.033)  # three standard errors
    assert np.mean(plain) > 0.25  # what the correction is for


def test_chance_is_judged_by_scipys_t_test_for_as_many_methods_as_there_are():
    rng = np.random.default_rng(0)
    scores = {"SVM": 0.5 + 0.1 * rng.normal(size=20), "A": 0.62 + 0.1 * rng.normal(size=20)}
    found = judge_chance(as_table(scores, measure="auc"))
    assert list(found.columns) == ["method", "mean", "low", "high", "n_cohorts", "p_value", "p_adjusted"]
    assert [*found["method"]] == ["SVM", "A"]
    for row in found.itertuples():
        expected = stats.ttest_1samp(scores[row.method], 0.5)
        assert row.p_value == pytest.approx(expected.pvalue)
        assert row.p_adjusted == pytest.approx(min(1, 2 * expected.pvalue))
        assert (row.low, row.high) == pytest.approx(tuple(expected.confidence_interval()))
        assert row.n_cohorts == 20
    other = judge_chance(as_table(scores), measure="accuracy", chance=0.62)
    assert other["p_value"].tolist() == pytest.approx([stats.ttest_1samp(v, 0.62).pvalue for v in scores.values()])


def test_sensitivity_is_the_recall_of_class_1_and_boolean_predictions_count_as_classes():
    label, rank = np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.2, 0.9, 0.8, 0.3])
    expected = {"accuracy": 3 / 5, "sensitivity": 1 / 2, "specificity": 2 / 3, "f1": 1 / 2, "auc": 4 / 6}
    assert score_predictions(label, rank > 0.5, rank) == pytest.approx(expected)
    assert score_predictions(label, np.zeros(5, int), rank)["f1"] == 0
