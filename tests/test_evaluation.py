"""Networks scored on their own test part, in the comparators' columns."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from small_cohorts import planted_cohort

from gcamccl_core.data.cohort import make_split
from gcamccl_core.model.comparators import compare
from gcamccl_core.model.evaluation import evaluate, evaluate_features
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


def test_features_are_read_by_a_machine_and_a_forest_on_every_split(trained):
    cohort, splits, fitted = trained
    table = evaluate_features(fitted, cohort, "CCL")
    assert table["method"].tolist() == ["CCL+SVM", "CCL+RF"] * 2
    assert table["split"].tolist() == [0, 0, 1, 1]
    assert list(table) == list(compare(cohort, splits[:1], ["decision tree"], progress=False))
    sizes = [(len(splits[k].train), len(splits[k].test)) for k in table["split"]]
    assert list(zip(table["n_train"], table["n_test"], strict=True)) == sizes
    assert table["auc"].mean() > 0.7
    assert set(evaluate_features(fitted[:1], cohort, "mine")["method"]) == {"mine+SVM", "mine+RF"}


def test_the_machine_on_features_is_the_best_on_the_validation_part(trained):
    cohort, splits, fitted = trained
    features, label, split = fitted[0].features(cohort).to_numpy(), cohort["label"].to_numpy(), splits[0]
    fits = [
        make_pipeline(StandardScaler(), SVC(kernel="linear", C=penalty)).fit(features[split.train], label[split.train])
        for penalty in (0.001, 0.01, 0.1, 1.0)
    ]
    by_validation = [
        roc_auc_score(label[split.validation], m.decision_function(features[split.validation])) for m in fits
    ]
    best = fits[int(np.argmax(by_validation))]  # the first of equals
    row = evaluate_features(fitted[:1], cohort).iloc[0]
    assert row["accuracy"] == pytest.approx(best.score(features[split.test], label[split.test]))
    assert row["auc"] == pytest.approx(roc_auc_score(label[split.test], best.decision_function(features[split.test])))


def test_readers_of_features_learn_nothing_from_the_test_part(trained, monkeypatch):
    """What reaches the scoring is fitted before: the same predictions whatever the test subjects are labelled."""
    cohort, splits, fitted = trained
    predictions = []

    def keep(model, features, label, split, number):
        known = np.isfinite(features).all(axis=1)  # of the people in the split; no others are passed through
        predictions.append(np.where(known, model.predict(np.nan_to_num(features)), -1))
        return {"split": number}

    monkeypatch.setattr("gcamccl_core.model.evaluation.score_on_test", keep)
    evaluate_features(fitted[:1], cohort)
    changed = cohort.copy(deep=True)
    changed["label"][splits[0].test] = 1 - changed["label"][splits[0].test]
    changed["snp"][splits[0].test] = 0
    evaluate_features(fitted[:1], changed)
    rest = np.concatenate([splits[0].train, splits[0].validation])
    for before, after in zip(predictions[:2], predictions[2:], strict=True):
        np.testing.assert_array_equal(before[rest], after[rest])
        assert set(before[rest]) == {0, 1}


def test_readers_of_features_tell_two_classes_apart():
    cohort = planted_cohort(n=90, n_classes=3)
    fitted = fit_many(cohort, [make_split(cohort)], [0], Recipe(epochs=1), progress=False)
    with pytest.raises(ValueError, match="between two classes; the training part holds 3"):
        evaluate_features(fitted, cohort)
