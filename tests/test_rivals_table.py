"""The table of the published network's maps: every method, contrast and mean over trainings, with their controls."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from gcamccl_core.data.cohort import make_splits
from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.maps.activation import compute_maps
from gcamccl_core.maps.combined_maps import average_runs, contrast_classes
from gcamccl_core.maps.evidence import scorecard
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.training import fit
from workflow.tables import rivals

CLEAR = {"cohort": "simulated", "regime": "clear"}
RATE = 1e-2


@pytest.fixture(scope="module")
def simulated():
    return simulate_cohort(n_subjects=100, seed=0)


@pytest.fixture
def quick(simulated, monkeypatch):
    """Small cohorts, one epoch, few people and methods; hands back the recipe."""
    monkeypatch.setattr(rivals, "open_once", lambda **source: simulated)
    monkeypatch.setattr(rivals, "PER_CLASS", 2)
    monkeypatch.setattr(rivals, "BACKGROUND", 8)
    monkeypatch.setattr(rivals, "OF_PAPER", ("guided_backprop",))
    monkeypatch.setattr(rivals, "SIGNED", ("gradient", "expected_gradients"))
    monkeypatch.setattr(rivals, "CONTRASTED", ("guided_backprop", "gradient"))
    recipe = Recipe.demo(learning_rate=RATE, epochs=1, patience=None, precision="float32")
    demo = {"learning_rate": RATE, "precision": "bfloat16"}
    monkeypatch.setattr(rivals.Recipe, "demo", lambda **changes: {str(demo): recipe}[str(changes)])  # no other
    return recipe


def test_rows_are_what_the_scorecard_says_of_the_same_maps(simulated, quick, tmp_path, monkeypatch):
    table = rivals.make(str(tmp_path), 1, CLEAR, 1, 2, [RATE], 0, "subjects").table
    methods = {"guided_backprop", "gradient", "expected_gradients", "guided_backprop_contrast", "gradient_contrast"}
    of_networks = table[table["network"].isin([rivals.ONE, rivals.MEAN, rivals.RANDOM])]
    assert of_networks.groupby("network")["method"].agg(set).tolist() == [methods] * 3
    split = make_splits(simulated, 1, "subjects", 0)[0]
    with threadpool_limits(1):  # as pieces of tables are made
        nets = [fit(simulated, split, quick, seed, progress=False).net for seed in (0, rivals.APART)]
    label = simulated["label"].to_numpy()[split.test]
    few = np.concatenate([split.test[label == number][:2] for number in (0, 1)])
    maps = [contrast_classes(compute_maps(net, simulated, ["gradient"], subjects=few, progress=False)) for net in nets]
    for by_hand, network in ((maps[0], rivals.ONE), (average_runs(maps), rivals.MEAN)):
        scores = scorecard(by_hand, simulated).query("source == 'model' and view == 'fc' and target_class == 'low'")
        of_network = table[table["network"] == network]
        row = of_network.query("view == 'fc' and target_class == 'low' and method == 'gradient_contrast'")
        assert row["average_precision"].item() == pytest.approx(scores["average_precision"].item(), abs=1e-6)
    assert table.loc[table["network"] == rivals.RANDOM, "random_likeness"].isna().all()
    assert table.loc[table["network"] == rivals.ONE, "random_likeness"].between(0, 1).all()
    numbers = rivals.quote(table, {"source": CLEAR})
    mean = table.query("network == @rivals.ONE and view == 'snp' and method == 'gradient'")["auroc"].mean()
    assert numbers["rivals_clear_rate_1e_02_one_training_snp_gradient_auroc"] == f"{mean:.2f}"
    monkeypatch.setattr(rivals, "fit", None)  # what is kept is not trained again
    assert rivals.make(str(tmp_path), 1, CLEAR, 1, 2, [RATE], 0, "subjects").table.equals(table)


def test_parameters_are_plain():
    json.dumps(rivals.TABLES)


def test_what_the_book_says_of_the_stored_table():
    table = pd.read_csv(Path(__file__).parent.parent / "results" / "rivals_clear.csv").query("view == 'fc'")
    found = table.pivot_table("average_precision", ["learning_rate", "method"], "network")
    slow, fast = found.loc["rate 1e-04"], found.loc["rate 1e-02"]
    methods = fast[rivals.ONE].dropna().index
    assert (slow.loc[methods, rivals.ONE] - slow.loc[methods, rivals.RANDOM] < 0.03).all()
    more = fast.loc[methods, rivals.MEAN] - fast.loc[methods, rivals.ONE]
    assert (more > 0).all()
    assert more.idxmax() == "integrated_gradients"
    assert fast.loc[methods, rivals.MEAN].max() < 0.25 < fast.loc["t_test", "univariate"]
