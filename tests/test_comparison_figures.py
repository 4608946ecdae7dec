"""Table III on the page: every interval, difference and view where the scores put it, and words that agree."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gcamccl_core.model.scores import MEASURES, compare_paired, summarise
from gcamccl_core.report.comparison_figures import alt_intervals, plot_intervals
from gcamccl_core.report.comparison_tables import (
    compare_with_best,
    lay_out_differences,
    lay_out_options,
    lay_out_scores,
    views_alone,
)
from gcamccl_core.report.labels import number

mpl.use("Agg")

LEVELS = {"gCAM-CCL": 0.55, "linear SVM": 0.8, "linear SVM, fc alone": 0.75, "linear SVM, snp alone": 0.65}
PAPER = pd.DataFrame({"method": ["gCAM-CCL", "CCL+SVM"], "accuracy": [0.75, 0.74]})


def scores(shift=0.0, n_splits=6):
    """Every measure of every method, around its level."""
    rng = np.random.default_rng(int(100 * shift))
    rows = [
        (method, k, 70, 15, *(level + shift + rng.normal(0, 0.02, len(MEASURES))))
        for method, level in LEVELS.items()
        for k in range(n_splits)
    ]
    return pd.DataFrame(rows, columns=["method", "split", "n_train", "n_test", *MEASURES])


def summaries(*cohorts):
    return pd.concat(summarise(scores(0.01 * number)).assign(cohort=cohort) for number, cohort in enumerate(cohorts))


def drawn(ax):
    """Means and intervals by row, as drawn."""
    means = {int(line.get_ydata()[0]): line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"}
    bars = {
        int(line.get_ydata()[0]): tuple(line.get_xdata())
        for line in ax.lines
        if line.get_marker() == "None" and len(set(line.get_ydata())) == 1
    }
    return means, bars


@pytest.mark.parametrize("n_cohorts", [1, 3, 8])
def test_every_interval_stands_in_the_panel_of_its_cohort(n_cohorts):
    cohorts = [f"cohort_{number}" for number in range(n_cohorts)]
    summary = summaries(*cohorts)
    figure = plot_intervals(summary, measure="auc")
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title() or ax.get_title(loc="left") for ax in shown] == [c.replace("_", " ") for c in cohorts]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(LEVELS)
    for ax, cohort in zip(shown, cohorts, strict=True):
        rows = summary[(summary["cohort"] == cohort) & (summary["measure"] == "auc")].reset_index()
        means, bars = drawn(ax)
        assert len(means) == len(bars) == len(LEVELS)
        for place, row in rows.iterrows():
            assert means[place] == pytest.approx(row["mean"])
            assert bars[place] == pytest.approx((row["low"], row["high"]))


def test_the_papers_scores_stand_only_beside_cohorts_like_its_own():
    figure = plot_intervals(summaries("clear", "null"), PAPER, beside=["clear"])
    diamonds = [[line for line in ax.lines if line.get_marker() == "D"] for ax in figure.axes]
    assert [len(found) for found in diamonds] == [1, 0]
    assert diamonds[0][0].get_xdata() == [0.75]  # the one method that both have, in the first row
    assert diamonds[0][0].get_ydata() == [0]


def test_words_name_the_best_and_ours():
    said = alt_intervals(summaries("clear"), PAPER)
    means = scores().groupby("method")["accuracy"].mean()
    assert f"best linear SVM {number(means['linear SVM'])}" in said
    assert f"gCAM-CCL {number(means['gCAM-CCL'])}" in said
    assert "best gCAM-CCL 0.75" in said


def test_table_iii_gives_means_intervals_and_the_papers_numbers():
    table = scores()
    laid_out = lay_out_scores(table, PAPER)
    assert laid_out.index.tolist() == list(LEVELS)
    assert laid_out["here"].columns.tolist() == list(MEASURES)
    values = table.query("method == 'linear SVM'")["f1"]
    reach = stats.t.ppf(0.975, 5) * np.sqrt((1 / 6 + 15 / 70) * values.var())
    expected = f"{values.mean():.2f} ({values.mean() - reach:.2f} to {values.mean() + reach:.2f})"
    assert laid_out.loc["linear SVM", ("here", "f1")] == expected
    assert laid_out.loc["gCAM-CCL", ("paper", "accuracy")] == "0.75"
    assert laid_out.loc["linear SVM", ("paper", "accuracy")] == ""
    assert "paper" not in lay_out_scores(table).columns.get_level_values(0)


def test_stars_mark_what_the_corrected_test_says_times_the_number_of_methods():
    rng = np.random.default_rng(0)
    table = scores()
    table["accuracy"] += rng.normal(0, 0.05, len(table))
    laid_out = lay_out_differences({"shared": table, "own": table}, "gCAM-CCL", independent=["own"])
    corrected = compare_paired(table, "gCAM-CCL").set_index("method")
    plain = compare_paired(table.assign(n_test=0), "gCAM-CCL").set_index("method")
    for cohort, paired in (("shared", corrected), ("own", plain)):
        for method, row in paired.iterrows():
            mark = "*" if row["p_value"] * 3 < 0.05 else ""
            assert laid_out.loc[method, cohort] == f"{row['difference']:+.2f}{mark}"
    wide = table.pivot_table(index="split", columns="method", values="accuracy")
    t = stats.ttest_rel(wide["gCAM-CCL"], wide["linear SVM, snp alone"])
    assert plain.loc["linear SVM, snp alone", "p_value"] == pytest.approx(t.pvalue)


def test_a_cohort_without_a_method_leaves_its_place_empty():
    fewer = scores().query("method != 'linear SVM, snp alone'")
    laid_out = lay_out_differences({"all": scores(), "fewer": fewer}, "gCAM-CCL")
    assert laid_out.loc["linear SVM, snp alone", "fewer"] == ""
    assert laid_out.loc["linear SVM, snp alone", "all"] != ""


def test_the_hardest_of_the_others_is_the_one_compared_with():
    table, others = scores(), ["linear SVM, fc alone", "linear SVM, snp alone", "decision tree"]
    found = compare_with_best({"shared": table, "own": table}, "gCAM-CCL", others, ["own"]).set_index(
        ["task", "measure"]
    )
    assert set(found.index) == {(task, measure) for task in ("shared", "own") for measure in ("accuracy", "auc")}
    means = table.groupby("method")[["accuracy", "auc"]].mean()
    for (task, measure), row in found.iterrows():
        best = means.loc[others[:2], measure].idxmax()
        wide = table.pivot_table(index="split", columns="method", values=measure)
        between = wide["gCAM-CCL"] - wide[best]
        error = np.sqrt((1 / 6 + (15 / 70 if task == "shared" else 0)) * between.var())
        assert row["best_other"] == best
        assert row["mean"] == pytest.approx(means.loc["gCAM-CCL", measure])
        assert row["difference"] == pytest.approx(between.mean())
        assert row["p_value"] == pytest.approx(2 * stats.t.sf(abs(between.mean()) / error, 5))
        assert row["p_adjusted"] == pytest.approx(min(1, 2 * row["p_value"]))
        bound = between.mean() - stats.t.ppf(0.95, 5) * error
        assert row["not_worse"] == (between.mean() >= 0 and bound > -0.03)
    assert set(
        compare_with_best({"a": table, "b": table.query("method == 'gCAM-CCL'")}, "gCAM-CCL", others)["task"]
    ) == {"a"}
    with pytest.raises(ValueError, match="no table has any of decision tree, forest; there are own"):
        compare_with_best({"own": table}, "gCAM-CCL", ["decision tree", "forest"])
    with pytest.raises(ValueError, match="no scores of 'CCA'"):
        compare_with_best({"own": table}, "CCA", others)


def test_options_are_held_against_the_same_splits_without_them():
    table = scores().query("method in ['gCAM-CCL', 'linear SVM']")
    removed = table.assign(auc=table["auc"] - 0.1 + 0.01 * table["split"], option="random splits, site removed")
    other = scores(0.2, n_splits=3).query("method in ['gCAM-CCL', 'linear SVM']").assign(option="sites kept together")
    laid_out = lay_out_options(pd.concat([table.assign(option="random splits"), removed, other]))
    assert laid_out.columns.tolist() == ["random splits, site removed"]  # nothing was removed from sites kept together
    assert laid_out.index.tolist() == ["gCAM-CCL", "linear SVM"]
    ours = pd.concat([frame[frame["method"] == "linear SVM"].assign(method=name)
                      for name, frame in {"without": table, "with": removed}.items()])  # fmt: skip
    row = compare_paired(ours, "with", "auc").iloc[0]
    assert laid_out.loc["linear SVM"].item() == f"{row['difference']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})"


def test_views_stand_beside_both_together():
    found = views_alone({"clear": scores(), "other": scores(0.1)}, "accuracy")
    means = scores().groupby("method")["accuracy"].mean()
    assert found.index.tolist() == ["linear SVM"]  # the network of this table was not scored view by view
    assert found.columns.tolist() == [(c, v) for c in ("clear", "other") for v in ("together", "fc", "snp")]
    assert found.loc["linear SVM", ("clear", "together")] == pytest.approx(means["linear SVM"])
    assert found.loc["linear SVM", ("clear", "snp")] == pytest.approx(means["linear SVM, snp alone"])
