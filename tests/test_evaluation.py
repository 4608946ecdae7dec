"""Networks scored on their own test part, in the comparators' columns."""

from dataclasses import replace

import numpy as np
import pytest
from small_cohorts import planted_cohort

from gcamccl_core.data.cohort import make_split
from gcamccl_core.model.comparators import compare
from gcamccl_core.model.evaluation import evaluate
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.training import fit_many


@pytest.fixture(scope="module")
def trained():
    cohort = planted_cohort(n=120, strength=2.0)
    splits = [make_split(cohort, seed=k) for k in range(2)]
    recipe = Recipe(epochs=6, learning_rate=1e-3, patience=None)
    return cohort, splits, fit_many(cohort, splits, [0, 0], recipe, progress=False)


def test_accuracy_is_the_share_of_right_predictions_on_the_test_part(trained):
    cohort, splits, fitted = trained
    table = evaluate(fitted, cohort).query("method == 'gCAM-CCL'").set_index("split")["accuracy"]
    for k, (split, one) in enumerate(zip(splits, fitted, strict=True)):
        predicted = one.predict_proba(cohort, split.test).to_numpy().argmax(axis=1)
        assert table[k] == pytest.approx((predicted == cohort["label"].to_numpy()[split.test]).mean())


def test_only_the_test_subjects_count(trained):
    cohort, splits, fitted = trained
    changed = cohort.copy(deep=True)
    changed["snp"][splits[0].train] = 0
    assert evaluate(fitted[:1], changed).equals(evaluate(fitted[:1], cohort))


def test_the_table_joins_the_comparators(trained):
    cohort, splits, fitted = trained
    assert list(evaluate(fitted, cohort)) == list(compare(cohort, splits[:1], ["decision tree"], progress=False))


def test_the_other_rule_scores_the_other_network(trained):
    cohort, splits, fitted = trained
    one = replace(fitted[0], nets={**fitted[0].nets, "loss": fitted[1].nets["cross_entropy"]})
    by_hand = one.nets["loss"].predict_proba(one.nets["loss"].prepare(cohort, splits[0].test)).detach().numpy()
    label = cohort["label"].to_numpy()[splits[0].test]
    found = evaluate([one], cohort, select="loss", views_alone=False)["accuracy"].item()
    assert found == pytest.approx((by_hand.argmax(axis=1) == label).mean())


def test_three_classes_have_no_sensitivity():
    cohort = planted_cohort(n=90, n_classes=3)
    fitted = fit_many(cohort, [make_split(cohort)], [0], Recipe(epochs=1), progress=False)
    with pytest.raises(ValueError, match="need two classes; the network has low, middle, high"):
        evaluate(fitted, cohort)


def test_a_network_that_saw_the_answer_beats_chance(trained):
    cohort, _, fitted = trained
    assert np.mean(evaluate(fitted, cohort).query("method == 'gCAM-CCL'")["auc"]) > 0.6
