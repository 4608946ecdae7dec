"""The verdicts on the page of claims hold in the tables and outputs that it quotes."""

import json
from pathlib import Path

import pandas as pd
import pytest

from gcamccl_core.model.scores import compare_paired, summarise
from workflow.assemble import glued_numbers

ROOT = Path(__file__).parent.parent
OURS = "gCAM-CCL"


@pytest.fixture(scope="module")
def clear():
    return pd.read_csv(ROOT / "results" / "classification_clear.csv")


@pytest.fixture(scope="module")
def paired(clear):
    return compare_paired(clear[~clear["method"].str.endswith("alone")], OURS).set_index("method")


@pytest.fixture(scope="module")
def numbers():
    found = {}
    for path in (ROOT / "results").glob("*.json"):
        found |= json.loads(path.read_text())["numbers"]
    return found | glued_numbers(sorted((ROOT / "notebooks").glob("*.ipynb")))


def test_every_method_was_scored_on_twenty_splits(clear):
    assert (clear.groupby("method")["split"].nunique() == 20).all()


@pytest.mark.parametrize("method", ["linear SVM", "logistic regression", "random forest", "MLP+SVM"])
def test_the_network_does_not_outperform(paired, method):
    assert paired.loc[method, "high"] < 0


@pytest.mark.parametrize("method", ["CCL+SVM", "CCL+RF", "CCL by Eq. 12+SVM", "CCL by Eq. 12+RF"])
def test_no_difference_is_seen_between_the_softmax_and_other_readers(paired, method):
    assert paired.loc[method, "p_value"] > 0.05


@pytest.mark.parametrize("method", [OURS, "linear SVM"])
def test_no_gain_by_fusion_is_shown(clear, method):
    assert compare_paired(clear, method).set_index("method").loc[f"{method}, fc alone", "p_value"] > 0.05


def test_intervals_of_sensitivity_and_specificity_overlap(clear):
    summary = summarise(clear).query("method == @OURS").set_index("measure")
    low = summary.loc[["sensitivity", "specificity"], "low"].max()
    assert low < summary.loc[["sensitivity", "specificity"], "high"].min()


def test_the_loss_of_subjects_has_no_bias_and_the_losses_of_sets_have(numbers):
    assert {float(numbers[f"fusion_bias_collaborative_{size}"]) for size in (4, 16)} == {0}
    assert min(float(numbers[f"fusion_bias_{fusion}_4"]) for fusion in ("dcl", "dcca")) > 0.5
    assert float(numbers["fusion_cca_train"]) > 2 * float(numbers["fusion_cca_test"])


def test_convnets_have_far_fewer_parameters(numbers):
    convnet, perceptron = (
        int(numbers[f"fusion_{name}_weights"].replace(",", "")) for name in ("convnet", "perceptron")
    )
    assert 5 * convnet < perceptron


def test_eq_10_makes_the_maps_of_two_classes_alike(numbers):
    assert float(numbers["maps_likeness_grad_cam_relu"]) > 0.9 > float(numbers["maps_likeness_grad_cam"])
