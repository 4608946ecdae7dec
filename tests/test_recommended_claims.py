"""What the book says of the recommended model holds in the tables that it quotes."""

import json
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import binomtest

from gcamccl_core.model.comparators import COMPARATORS
from gcamccl_core.model.scores import compare_paired, summarise
from gcamccl_core.report.comparison_tables import compare_with_best

RESULTS = Path(__file__).parent.parent / "results"
OURS = "gCAM-CCL, recommended"
CLASSICAL = list(COMPARATORS)


def scores(name):
    return pd.read_csv(RESULTS / f"recommended_{name}.csv")


def against_classical(name):
    """The recommended model on the splits of Table III, beside the classical method with the best mean."""
    others = pd.read_csv(RESULTS / f"classification_{name}.csv")
    joined = pd.concat([scores(name), others[others["method"].isin(CLASSICAL)]])
    return compare_with_best({name: joined}, OURS, CLASSICAL).set_index("measure")


@pytest.mark.parametrize("path", sorted(RESULTS.glob("recommended_*.csv")), ids=lambda path: path.stem)
def test_every_variant_was_scored_on_twenty_splits(path):
    assert (pd.read_csv(path).groupby("method")["split"].nunique() == 20).all()


@pytest.mark.parametrize("regime", ["clear", "realistic"])
def test_on_fresh_cohorts_it_is_above_every_classical_method(regime):
    refitted = [f"{method}, refitted" for method in CLASSICAL]
    table = {"fresh": scores(f"fresh_{regime}")}
    found = compare_with_best(table, f"{OURS}, refitted", refitted, ["fresh"])
    assert (found["low"] > 0).all()
    assert (found["p_adjusted"] < 0.05).all()
    gated = ["linear SVM with gates, refitted"]
    found = compare_with_best(table, f"{OURS}, refitted", gated, ["fresh"], measures=["auc"])
    assert (found["low"] > 0).all()


def compare_variants(name):
    table = scores(name)
    variants = table[~table["method"].str.contains(", .* alone$|, refitted$")]
    return compare_paired(variants, OURS, "auc").set_index("method")


@pytest.mark.parametrize("regime", ["clear", "realistic", "scattered"])
def test_gates_bring_what_is_gained_on_simulated_people(regime):
    found = compare_variants(regime)
    for method in ("without gates", "rows and blocks alone"):
        assert found.loc[method, "low"] > 0
        assert found.loc[method, "p_adjusted"] < 0.05
    for method in ("without agreement", "with rows and blocks", "linear SVM with gates"):
        assert found.loc[method, "low"] < 0 < found.loc[method, "high"]
    assert against_classical(regime).loc["auc", "low"] > 0


@pytest.mark.parametrize("measure", ["accuracy", "auc"])
def test_on_scattered_it_is_above_every_classical_method(measure):
    row = against_classical("scattered").loc[measure]
    assert row["low"] > 0
    assert row["p_adjusted"] < 0.001


def test_where_there_is_nothing_it_is_at_chance():
    found = summarise(scores("null"), independent=True).set_index(["method", "measure"]).loc[OURS]
    for measure in ("accuracy", "auc"):
        assert found.loc[measure, "low"] < 0.5 < found.loc[measure, "high"]


@pytest.mark.parametrize("task", ["abide_fiq", "abide_diagnosis", "abide_sex", "abide_age"])
def test_on_abide_no_part_can_be_told_from_nothing_but_kernels_alone(task):
    found = compare_variants(task)
    parts = found.drop("linear SVM with gates")  # a machine of its own, no part
    behind = set(parts.index[(parts["low"] > 0) | (parts["high"] < 0)])
    assert behind == ({"rows and blocks alone"} if task in ("abide_diagnosis", "abide_sex") else set())
    assert ((against_classical(task)["low"] < 0) & (against_classical(task)["high"] > 0)).all()


@pytest.mark.parametrize("name", ["clear", "realistic", "scattered", "abide_fiq", "abide_diagnosis", "fresh_realistic"])
def test_a_gain_over_the_better_view_is_not_shown(name):
    table = scores(name)
    alone = [method for method in table["method"].unique() if method.startswith(OURS) and method.endswith(" alone")]
    independent = [name] if name.startswith("fresh") else []
    found = compare_with_best({name: table}, OURS, alone, independent, measures=["auc"])
    assert (found["low"] < 0).all()


def test_a_gain_over_the_better_view_is_shown_on_fresh_cohorts():
    alone = [f"{OURS}, {view} alone" for view in ("fc", "snp")]
    assert (compare_with_best({"fresh": scores("fresh_clear")}, OURS, alone, ["fresh"])["low"] > 0).all()


@pytest.mark.parametrize("task", ["abide_age", "abide_sex"])
def test_a_gain_over_the_better_view_is_shown_where_both_know_much(task):
    alone = [f"{OURS}, {view} alone" for view in ("fc", "morphometry")]
    found = compare_with_best({task: scores(task)}, OURS, alone, measures=["auc"])
    assert (found["low"] > 0).all()
    assert (found["p_adjusted"] < 0.05).all()


def test_on_intelligence_it_is_not_ahead():
    assert (against_classical("abide_fiq")["difference"] < 0).all()


@pytest.mark.parametrize("task", ["abide_diagnosis", "abide_age"])
def test_on_the_other_tasks_it_is_not_worse(task):
    assert against_classical(task)["not_worse"].all()


def test_on_sex_it_is_not_worse_in_area_and_a_little_behind_in_accuracy():
    found = against_classical("abide_sex")
    assert found.loc["auc", "not_worse"]
    assert not found.loc["accuracy", "not_worse"]
    assert found.loc["accuracy", "low"] < found.loc["accuracy", "difference"] < 0 < found.loc["accuracy", "high"]


@pytest.fixture(scope="module")
def recovered():
    table = pd.read_csv(RESULTS / "recovery_clear.csv")
    return table.groupby(["view", "method", "target_class"]).mean(numeric_only=True)


def test_its_maps_find_the_planted_connections_and_snps_of_clear(recovered):
    connections = recovered.loc["fc"].loc["pattern over everyone"]
    assert (connections["average_precision"] >= 0.90).all()
    assert (connections["auroc_within_block"] >= 0.97).all()
    snps = recovered.loc["snp"]["average_precision"]
    assert (snps.loc["pattern of the other views' score"] >= snps.loc["t-test"]).all()
    weights = recovered.loc["fc"].loc["weights"]
    assert (weights["average_precision"] < connections["average_precision"]).all()


@pytest.mark.parametrize("regime", ["realistic", "scattered"])
@pytest.mark.parametrize(
    ("view", "method"), [("fc", "pattern over everyone"), ("snp", "pattern of the other views' score")]
)
def test_on_the_other_regimes_its_maps_find_more_than_a_linear_models_weights(regime, view, method):
    table = pd.read_csv(RESULTS / f"recovery_{regime}.csv")
    found = table[table["view"] == view].groupby(["method", "target_class"])["average_precision"].mean()
    for other in ("weights without gates and agreement", "t-test"):
        assert (found[method] > found[other]).all()
    alike = table[(table["view"] == view) & (table["method"] == method)]["random_likeness"]
    assert alike.mean() <= 0.10


def test_its_maps_do_not_outlive_the_weights(recovered):
    for view, method in (("fc", "pattern over everyone"), ("snp", "pattern of the other views' score")):
        assert (recovered.loc[view].loc[method]["random_likeness"] <= 0.10).all()


def test_selections_on_null_keep_their_promise():
    stamp = json.loads((RESULTS / "selection_null.json").read_text())
    table = pd.read_csv(RESULTS / "selection_null.csv").groupby("split")["n_selected"].sum()
    assert len(table) == 100
    assert binomtest(int((table > 0).sum()), 100).proportion_ci().high <= stamp["parameters"]["rate"]


def test_selections_on_clear_keep_their_promise():
    stamp = json.loads((RESULTS / "selection_clear.json").read_text())
    table = pd.read_csv(RESULTS / "selection_clear.csv").groupby("split")[["n_selected", "n_false"]].sum()
    assert len(table) == 100
    share = table["n_false"] / table["n_selected"].clip(lower=1)
    assert share.mean() + 1.96 * share.sem() < stamp["parameters"]["rate"]


@pytest.mark.parametrize("path", sorted(RESULTS.glob("calibration_*.json")), ids=lambda path: path.stem)
def test_probabilities_come_true_about_as_often_as_they_say(path):
    (error,) = json.loads(path.read_text())["numbers"].values()
    assert float(error) <= 0.05
