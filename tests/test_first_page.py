"""The verdicts in words on the first page and the model card hold in the tables that they stand beside."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from gcamccl_core.model.scores import compare_paired
from workflow.assemble import glued_numbers

ROOT = Path(__file__).parent.parent
OURS, RECOMMENDED, SVM = "gCAM-CCL", "gCAM-CCL, recommended", "linear SVM"


@pytest.fixture(scope="module")
def numbers():
    stored = {
        name: str(value)
        for path in (ROOT / "results").glob("*.json")
        for name, value in json.loads(path.read_text()).get("numbers", {}).items()
    }
    return stored | glued_numbers(sorted((ROOT / "notebooks").glob("*.ipynb")))


def interval(text):
    low, high = re.fullmatch(r"([+-]?\d*\.?\d+) to ([+-]?\d*\.?\d+)", text).groups()
    return float(low), float(high)


def test_the_network_is_above_a_coin_if_its_rate_is_chosen_and_below_the_linear_machine(numbers):
    assert interval(numbers["classification_clear_gcam_ccl_learning_rate_chosen_accuracy_interval"])[0] > 0.5
    assert interval(numbers["classification_clear_gcam_ccl_accuracy_interval"])[0] < 0.5
    table = pd.read_csv(ROOT / "results/classification_clear.csv")
    assert compare_paired(table[table["method"].isin([OURS, SVM])], OURS)["high"].item() < 0


def test_fusion_is_not_shown_to_be_better_than_the_better_view(numbers):
    low, high = interval(numbers["classification_clear_gcam_ccl_less_better_view_interval"])
    assert low < 0 < high


def test_the_recommended_model_is_ahead_on_simulated_people_and_not_shown_to_be_on_abide(numbers):
    for regime in ("clear", "realistic"):
        assert interval(numbers[f"recommended_fresh_{regime}_auc_less_best_refitted_interval"])[0] > 0
    for task in ("fiq", "diagnosis", "sex", "age"):
        assert interval(numbers[f"recommended_abide_{task}_auc_less_best_refitted_interval"])[0] <= 0
    ours, plain = (
        numbers[name] for name in ("recommended_clear_gcam_ccl_recommended_auc", "classification_clear_linear_svm_auc")
    )
    assert float(ours) > float(plain)


def test_its_map_finds_most_of_what_was_planted_and_more_than_the_published_maps(numbers):
    pattern = float(numbers["recovery_clear_fc_high_pattern_over_everyone_average_precision"])
    assert pattern > 0.5
    assert pattern > float(numbers["recovery_clear_fc_high_t_test_average_precision"])


def test_its_selection_keeps_its_bound(numbers):
    assert float(numbers["selection_clear_fc_false_share"]) <= float(numbers["selection_clear_rate"])
    assert interval(numbers["selection_null_all_any_interval"])[0] <= float(numbers["selection_null_rate"])
