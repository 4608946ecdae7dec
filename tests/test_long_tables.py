"""The scripts of the long tables, on trainings of seconds: what they compare, how they name it, what they keep."""

import inspect
import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from small_cohorts import planted_cohort

from gcamccl_core.data.cohort import make_splits
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.scores import MEASURES, compare_paired
from gcamccl_core.model.training import fit
from workflow.naming import signed
from workflow.tables import abide_ridge, batch_size, confounds, order, recipe

SOURCE = {"cohort": "simulated", "regime": "clear", "seed": 0}
SCRIPTS = (abide_ridge, batch_size, confounds, order, recipe)


@pytest.fixture
def cohort(monkeypatch):
    """A cohort whose networks take a second, in place of every cohort that a script would open."""
    small = planted_cohort(n=120, side=24, strength=2.0)
    for script in SCRIPTS:
        monkeypatch.setattr(script, "open_once", lambda **source: small)
    return small


@pytest.fixture
def trainings(monkeypatch):
    """Count the trainings that the scripts ask for."""
    asked = []

    def count(cohort, split, chosen, seed=0, **more):
        asked.append((chosen, seed, more.get("out")))
        return fit(cohort, split, chosen, seed=seed, **more)

    for script in (batch_size, order, recipe):
        monkeypatch.setattr(script, "fit", count)
    return asked


def test_every_recipe_is_scored_on_the_same_splits_and_compared_with_the_demo(cohort, trainings, tmp_path, monkeypatch):
    quick = {"epochs": 2, "batch_size": 16, "learning_rate": 1e-3}
    variants = {"demo": partial(Recipe.demo, **quick), "no dropout": partial(Recipe.demo, dropout=0.0, **quick)}
    monkeypatch.setattr(recipe, "VARIANTS", variants)
    make = partial(recipe.make, str(tmp_path), 1, SOURCE, 24, 3, 5)
    made = make()
    assert [(one.dropout, seed) for one, seed, _ in trainings] == [(d, s) for d in (0.2, 0.0) for s in (5, 6, 7)]
    assert made.table.groupby("method")["split"].apply(list).to_dict() == {"demo": [0, 1, 2], "no dropout": [0, 1, 2]}
    paired = compare_paired(made.table, "no dropout").set_index("method").loc["demo"]
    numbers = recipe.quote(made.table, {"n_splits": 3})
    assert numbers["recipe_no_dropout_less_demo"] == signed(paired["difference"])
    low, high = str(numbers["recipe_no_dropout_less_demo_interval"]).split(" to ")
    assert (float(low), float(high)) == pytest.approx((paired["low"], paired["high"]), abs=0.0051)
    trainings.clear()
    monkeypatch.setattr(recipe, "VARIANTS", {"demo": variants["demo"], "without dropout": variants["no dropout"]})
    again = make()  # another name for what was made before
    assert trainings == []
    assert set(again.table["method"]) == {"demo", "without dropout"}


def test_networks_see_features_in_other_orders_and_maps_come_back_in_the_first(
    cohort, trainings, tmp_path, monkeypatch
):
    """A map that is the number of the region, or of the SNP, is the same in every order once it is brought back."""
    region, locus = np.arange(24.0), np.arange(float(cohort.sizes["locus"]))
    named = cohort.assign_coords(region_number=("roi_i", region), locus_number=("locus", locus))
    named["roi_network"] = ("roi", ["Visual"] * 24)
    monkeypatch.setattr(order, "open_once", lambda **source: named)
    seen = []

    def numbers_for_maps(net, shuffled, methods, subjects, progress):
        seen.append((shuffled["region_number"].to_numpy(), shuffled["locus_number"].to_numpy()))
        sums = seen[-1][0][:, None] * 100 + seen[-1][0][None]
        label = shuffled["label"].to_numpy()[subjects]
        whole = (len(methods), len(label), 2)
        return xr.Dataset(
            {
                "fc_symmetric": (
                    ("map_method", "subject", "target_class", "roi_i", "roi_j"),
                    np.broadcast_to(np.maximum(sums, sums.T), (*whole, 24, 24)),
                ),
                "snp": (
                    ("map_method", "subject", "target_class", "locus"),
                    np.broadcast_to(seen[-1][1], (*whole, len(locus))),
                ),
                "label": ("subject", label),
            },
            coords={"map_method": list(methods)},
        )

    monkeypatch.setattr(order, "compute_maps", numbers_for_maps)
    made = order.make(str(tmp_path), 1, SOURCE, 24, 2, 0, 1e-3, 1)
    table = made.table
    assert table.groupby("kind", sort=False)["split"].apply(list).tolist() == [[0, 1]] * 4
    alike = table[[name for name in table if name.endswith("_alike")]]
    np.testing.assert_allclose(alike, 1)
    moved = [(bool((r != region).any()), bool((s != locus).any())) for r, s in seen]
    assert moved == [(False, False)] * 2 + [(True, False)] * 2 + [(False, True)] * 2 + [(True, True)] * 2
    assert order.quote(table, {"n_splits": 2})["order_cells"] == "3 x 3"
    assert all(out == f"{tmp_path}/models" for _, _, out in trainings)


def test_the_learning_rate_is_the_one_that_serves_the_validation_part(cohort, trainings, tmp_path):
    rates = [1e-6, 1e-2]
    made = batch_size.make(str(tmp_path), 1, SOURCE, 24, 2, 0, [16, 64], rates, 3)
    table = made.table
    assert len(trainings) == 3 * 2 * 2 * 2  # losses, sizes, splits, rates
    assert {chosen.batch_size for chosen, _, _ in trainings} == {16, 64}
    assert all(chosen.patience is None for chosen, _, _ in trainings)
    assert set(table["learning_rate"]) <= set(rates)
    by_loss = table.groupby("fusion")["reader"].unique().map(sorted).to_dict()
    assert by_loss == {"collaborative": ["SVM", "softmax"], "dcca": ["SVM"], "dcl": ["SVM"]}
    assert table["correlation"].between(-1, 1).all()
    means = table.groupby(["fusion", "batch_size", "reader"])["accuracy"].mean()
    numbers = batch_size.quote(table, {"n_splits": 2})
    assert numbers["batch_size_dcl_64_svm"] == f"{means['dcl', 64, 'SVM']:.2f}"
    ahead = means["collaborative", 16, "SVM"] - means["dcca", 16, "SVM"]
    assert numbers["batch_size_16_less_dcca"] == signed(ahead)
    trainings.clear()
    batch_size.make(str(tmp_path), 1, SOURCE, 24, 2, 0, [16, 64], rates, 3)
    assert trainings == []


def test_options_divide_and_clean_as_they_say(monkeypatch, tmp_path):
    """Every option's splits, with what is removed learnt from the training part of the split alone."""
    cohort = planted_cohort(n=200)
    group = np.repeat([f"site {number}" for number in range(10)], 20)
    cohort["group"] = ("subject", group)
    cohort["age"] = ("subject", np.linspace(8, 18, 200), {"role": "covariate"})
    for name in ("sex", "motion"):
        cohort[name] = ("subject", np.random.default_rng(len(name)).normal(size=200), {"role": "covariate"})
    asked = []

    def score(store, cleaned, split, number, seed, precision):
        removed = [str(name) for name in np.atleast_1d(cleaned["fc"].attrs.get("confounds_removed", []))]
        asked.append((number, seed, removed, {*group[split.train]} & {*group[split.test]}, {*group[split.test]}))
        return pd.DataFrame(
            [{"method": "gCAM-CCL", "split": number, "n_train": 7, "n_test": 3, **dict.fromkeys(MEASURES, 0.5)}]
        )

    monkeypatch.setattr(confounds, "open_once", lambda **source: cohort)
    monkeypatch.setattr(confounds, "score_methods", score)
    table = confounds.make(str(tmp_path), 1, "fiq", 2, 3, "float32").table
    n_sites = len(make_splits(cohort, 1, "leave one group out"))
    assert table.groupby("option", sort=False).size().tolist() == [2] * 6 + [n_sites]
    for option, (number, seed, removed, shared, tested) in zip(table["option"], asked, strict=True):
        assert seed == 3 + number
        assert removed == confounds.OPTIONS[option][1]
        assert bool(shared) == option.startswith("random")
        assert len(tested) == 1 or option != "leave one site out"


def test_what_removing_does_is_quoted_split_by_split():
    random = np.random.default_rng(0)
    parts = []
    for option, level in {
        "random splits": 0.7,
        "random splits, site removed": 0.6,
        "sites kept together": 0.55,
    }.items():
        values = {measure: level + random.normal(0, 0.02, 4) for measure in MEASURES}
        parts.append(pd.DataFrame({"option": option, "split": range(4), "n_train": 70, "n_test": 15, **values}))
    table = pd.concat(parts).assign(method="linear SVM")
    numbers = confounds.quote(table, {"n_splits": 4})
    assert numbers["confounds_n_splits"] == 4
    means = table.groupby("option")["auc"].mean()
    assert numbers["confounds_sites_kept_together_linear_svm_auc"] == f"{means['sites kept together']:.2f}"
    name = "confounds_random_splits_site_removed_less_random_splits_linear_svm"
    assert numbers[name] == signed(means["random splits, site removed"] - means["random splits"])
    both = table[table["option"] != "sites kept together"]
    row = compare_paired(both.assign(method=both["option"]), "random splits, site removed", "auc").iloc[0]
    assert numbers[f"{name}_interval"] == f"{signed(row['low'])} to {signed(row['high'])}"
    assert not any("kept_together_less" in each for each in numbers)


def test_the_ridge_predicts_nobody_it_was_fitted_on(cohort, tmp_path, monkeypatch):
    cohort["snp"] = cohort["snp"].fillna(0)
    made = abide_ridge.make(str(tmp_path), 1, ["fiq"], [1.0, 100.0], 5, 0)
    assert made.table["view"].tolist() == ["fc", "snp"]
    assert (made.table["n_subjects"] == int((cohort["label"] >= 0).sum())).all()
    assert made.table["auc"].max() > 0.8
    shuffled = cohort.copy(deep=True)
    shuffled["label"][:] = np.random.default_rng(0).permutation(cohort["label"].to_numpy())
    monkeypatch.setattr(abide_ridge, "open_once", lambda **source: shuffled)
    assert abs(abide_ridge.make(str(tmp_path), 1, ["fiq"], [1.0], 5, 0).table["auc"] - 0.5).max() < 0.25


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__.rsplit(".", 1)[-1])
def test_parameters_of_a_table_are_those_that_its_script_takes(script):
    for parameters in script.TABLES.values():
        json.dumps(parameters)
        inspect.signature(script.make).bind("store", 1, **parameters)
