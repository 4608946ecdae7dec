"""The scripts of the recommended model's tables, on small cohorts: whose splits, what they compare, what they keep."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from small_cohorts import planted_cohort

from gcamccl_core.data.cohort import assemble_cohort, make_splits
from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.model.calibration import expected_calibration_error, pool_reliability
from gcamccl_core.model.comparators import COMPARATORS, fit_comparator
from gcamccl_core.model.evaluation import evaluate
from gcamccl_core.model.features import flatten_views, make_preparation, view_columns
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.training import fit
from workflow.tables import calibration, classification, recommended, recovery, selection

CLEAR = {"cohort": "simulated", "regime": "clear"}


@pytest.fixture
def opened(monkeypatch):
    """Small cohorts in place of every cohort that a script would open, and a list of their seeds."""
    seeds = []

    def open_small(**source):
        seeds.append(source["seed"])
        return planted_cohort(n=100, strength=1.5, seed=source["seed"])

    for script in (recommended, calibration):
        monkeypatch.setattr(script, "open_once", open_small)
    return seeds


def test_every_variant_is_scored_on_the_splits_of_table_iii(opened, tmp_path, monkeypatch):
    quick = {name: recommended.VARIANTS[name] for name in (recommended.RECOMMENDED, "without agreement")}
    monkeypatch.setattr(recommended, "VARIANTS", quick)
    variants = [*quick, recommended.REFITTED, recommended.GATED]
    made = recommended.make(str(tmp_path), 1, CLEAR, 2, 3, "subjects", False, variants)
    assert set(opened) == {3}
    apart = made.table["method"].str.contains("alone|refitted|SVM")
    together = made.table[~apart]
    assert together["method"].tolist() == list(quick) * 2
    alone = {f"{recommended.RECOMMENDED}, {view} alone" for view in ("fc", "snp")}
    refitted = {f"{name}, refitted" for name in (recommended.RECOMMENDED, *COMPARATORS)}
    gated = {recommended.GATED, f"{recommended.GATED}, refitted"}
    assert set(made.table.loc[apart, "method"]) == alone | refitted | gated
    cohort = planted_cohort(n=100, strength=1.5, seed=3)
    split = make_splits(cohort, 1, "subjects", 4)[0]
    by_hand = fit(cohort, split, Recipe.recommended(), seed=4, progress=False)
    row = together.query("method == @recommended.RECOMMENDED and split == 1").iloc[0]
    assert row["auc"] == pytest.approx(evaluate([by_hand], cohort)["auc"].iloc[0], abs=1e-6)
    validation = by_hand.history.query("part == 'validation'")["cross_entropy"].item()
    assert row["validation_cross_entropy"] == pytest.approx(validation, abs=1e-5)
    monkeypatch.setattr(recommended, "fit", None)  # what is kept is not trained again
    monkeypatch.setattr(recommended, "fit_comparator", None)
    monkeypatch.setattr(recommended, "choose_setting", None)
    pd.testing.assert_frame_equal(
        recommended.make(str(tmp_path), 1, CLEAR, 2, 3, "subjects", False, variants).table, made.table
    )


def test_refitted_methods_learn_from_both_parts_and_never_from_the_test_part(opened):
    cohort = planted_cohort(n=100, strength=1.5, seed=3)
    split = make_splits(cohort, 1, "subjects", 3)[0]
    found = recommended.score_refitted(cohort, split, 3).set_index("method")
    assert set(found["n_train"]) == {len(split.train) + len(split.validation)}
    features, label = flatten_views(cohort), cohort["label"].to_numpy()
    both = np.concatenate([split.train, split.validation])
    chosen = fit_comparator("linear SVM", features, label, split, view_columns(cohort))[-1]
    by_hand = make_pipeline(make_preparation(view_columns(cohort), True), SVC(kernel="linear", C=chosen.C))
    by_hand.fit(features[both], label[both])
    auc = roc_auc_score(label[split.test], by_hand.decision_function(features[split.test]))
    assert found.loc["linear SVM", "auc"] == pytest.approx(auc)
    changed = cohort.copy(deep=True)
    changed["label"][split.test] = 1 - changed["label"][split.test]
    other = recommended.score_refitted(changed, split, 3).set_index("method")
    np.testing.assert_allclose(other["auc"], 1 - found["auc"])  # the same ranks, held against the opposite


def test_without_gates_the_plain_classifier_is_that_of_table_iii(monkeypatch):
    cohort = planted_cohort(n=100, strength=0.7, seed=5)
    split = make_splits(cohort, 1, "subjects", 5)[0]
    monkeypatch.setattr(recommended, "EXPONENTS", (0.0,))
    found = recommended.score_gated(cohort, split).set_index("method")
    features, blocks, label = flatten_views(cohort), view_columns(cohort), cohort["label"].to_numpy()
    plain = fit_comparator("linear SVM", features, label, split, blocks, 0)
    rank = plain.decision_function(features[split.test])
    assert found.loc[recommended.GATED, "auc"] == pytest.approx(roc_auc_score(label[split.test], rank))
    assert found["n_train"].tolist() == [len(split.train), len(split.train) + len(split.validation)]


def test_gates_of_the_plain_classifier_do_not_see_the_test_part():
    cohort = planted_cohort(n=100, strength=0.7, seed=5)
    split = make_splits(cohort, 1, "subjects", 5)[0]
    turned = cohort.copy(deep=True)
    turned["label"][split.test] = 1 - turned["label"][split.test]
    auc, of_turned = (recommended.score_gated(each, split)["auc"] for each in (cohort, turned))
    np.testing.assert_allclose(auc, 1 - of_turned)  # only the verdict turns, not the ranking


def test_gates_help_where_few_features_matter(monkeypatch):
    rng, label = np.random.default_rng(0), np.arange(120) % 2
    measure = rng.normal(size=(120, 3000))
    measure[:, :5] += label[:, None]
    ids = [f"s{number:03d}" for number in range(120)]
    view = xr.DataArray(measure, dims=("subject", "measure"), coords={"subject": ids})
    cohort = assemble_cohort({"thickness": view}, dict(zip(ids, label, strict=True)), classes=["low", "high"])
    split = make_splits(cohort, 1, "subjects", 0)[0]
    gated = recommended.score_gated(cohort, split)["auc"][0]
    monkeypatch.setattr(recommended, "EXPONENTS", (0.0,))
    assert gated > recommended.score_gated(cohort, split)["auc"][0] + 0.1


def test_cohorts_of_their_own_have_seeds_of_their_own(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(recommended, "VARIANTS", {recommended.RECOMMENDED: Recipe.recommended})
    variants = [recommended.RECOMMENDED, recommended.REFITTED]
    made = recommended.make(str(tmp_path), 1, CLEAR, 3, 5, "subjects", True, variants)
    assert opened == [5, 5, 6, 6, 7, 7]
    assert len(made.data) == 3


def test_tables_have_the_parameters_of_table_iii():
    for name, parameters in classification.TABLES.items():
        ours = recommended.TABLES[name.replace("classification", "recommended")]
        assert all(ours[key] == parameters[key] for key in ours.keys() - {"variants"})
    seeds = {parameters["seed"] for name, parameters in recommended.TABLES.items() if "fresh" in name}
    assert min(seeds) >= 100  # no cohort of any other table


def test_bins_hold_every_test_subject_once(opened, tmp_path):
    made = calibration.make(str(tmp_path), 1, CLEAR, 2, 0, "subjects")
    cohort = planted_cohort(n=100, strength=1.5, seed=0)
    sizes = [len(split.test) for split in make_splits(cohort, 2, "subjects", 0)]
    assert made.table.groupby("split")["n"].sum().tolist() == sizes
    numbers = calibration.quote(made.table, {"source": CLEAR})
    error = expected_calibration_error(pool_reliability(made.table))
    assert numbers == {"calibration_clear_error": f"{error:.2f}"}


@pytest.fixture(scope="module")
def simulated():
    return simulate_cohort(n_subjects=100, seed=0)


def test_maps_are_measured_beside_weights_a_t_test_and_random_weights(simulated, tmp_path, monkeypatch):
    monkeypatch.setattr(recovery, "open_once", lambda **source: simulated)
    monkeypatch.setattr(recovery, "DRAWS", 1)
    table = recovery.make(str(tmp_path), 1, CLEAR, 1, 0, "subjects").table
    names = {"EVERYONE", "UNSEEN", "TRAINED", "OWN", "OTHERS", "OTHERS_UNSEEN", "WEIGHTS", "LINEAR", "T_TEST", "RANDOM"}
    assert set(table["method"]) == {getattr(recovery, name) for name in names}
    assert (table.groupby(["view", "target_class"])["method"].nunique() == len(names)).all()
    means = table[table["view"] == "fc"].groupby("method")[["average_precision", "random_likeness"]].mean()
    assert means.loc[recovery.EVERYONE, "average_precision"] > 2 * means.loc[recovery.RANDOM, "average_precision"]
    judged = {recovery.EVERYONE, recovery.UNSEEN, recovery.OWN, recovery.OTHERS, recovery.WEIGHTS}
    assert set(means.index[means["random_likeness"].notna()]) == judged
    numbers = recovery.quote(table, recovery.TABLES["recovery_clear"])
    of_row = table.query("view == 'fc' and target_class == 'low' and method == @recovery.T_TEST")
    assert numbers["recovery_clear_fc_low_t_test_auroc"] == f"{of_row['auroc'].item():.2f}"


def test_selections_are_counted_by_cohort_and_judged_by_the_population(tmp_path, monkeypatch):
    seeds = []

    def open_small(**source):
        seeds.append(source["seed"])
        return simulate_cohort(n_subjects=100, seed=source["seed"])

    monkeypatch.setattr(selection, "open_once", open_small)
    made = selection.make(str(tmp_path), 1, "clear", 2, 7, 0.5, 0.05)
    assert seeds == [7, 8]
    assert made.table.groupby("split")["view"].apply(list).tolist() == [["fc", "snp"]] * 2
    assert (made.table["n_false"] <= made.table["n_selected"]).all()
    numbers = selection.quote(made.table, {"regime": "clear", "rate": 0.5})
    total = made.table.groupby("split")["n_selected"].sum()
    assert numbers["selection_clear_all"] == f"{total.mean():.1f}"
    assert numbers["selection_clear_all_any"] == f"{(total > 0).mean():.2f}"


def test_a_share_that_is_nought_in_every_cohort_has_an_upper_bound():
    counts = {"n_selected": [3, 2, 4, 1], "n_false": [0, 0, 0, 0]}
    table = pd.DataFrame({"split": [0, 1, 2, 3], "view": "fc", **counts})
    upper = 1 - 0.025 ** (1 / 4)  # exact, of a binomial with no success in four
    assert (
        selection.quote(table, {"regime": "clear", "rate": 0.1})["selection_clear_fc_false_share_interval"]
        == f"0.00 to {upper:.2f}"
    )


@pytest.mark.parametrize("script", [calibration, recommended, recovery, selection])
def test_parameters_are_plain(script):
    json.dumps(script.TABLES)
    assert all(parameters["n_splits"] >= 20 for parameters in script.TABLES.values())
