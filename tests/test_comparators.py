"""Table III's classifiers: features laid out as said, nothing learnt from the test part, scores in closed form."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.svm import SVC

from gcamccl_core.data.cohort import Split, assemble_cohort, make_split
from gcamccl_core.data.simulation import relabel_three_classes, simulate_cohort
from gcamccl_core.model.comparators import (
    COMPARATORS,
    choose_setting,
    compare,
    fit_comparator,
    rank_subjects,
)
from gcamccl_core.model.features import flatten_views, make_preparation, view_columns
from gcamccl_core.model.scores import score_predictions

BLOCKS = {"fc": slice(0, 60), "snp": slice(60, 80)}


def toy(n=120, strength=3.0, seed=0):
    """Two blocks of features in different units; the first five of each tell the classes apart."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 2
    features = rng.normal(size=(n, 80))
    features[:, [*range(5), *range(60, 65)]] += strength * label[:, None]
    return features * np.r_[np.full(60, 0.1), np.full(20, 7.0)], label


def toy_split(n=120):
    order = np.random.default_rng(1).permutation(n)
    return Split(order[:80], order[80:100], order[100:])


def toy_cohort(n=60, strength=0.5):
    rng = np.random.default_rng(0)
    ids = [f"s{i}" for i in range(n)]
    label = np.arange(n) % 2
    image = np.tile(np.eye(6), (n, 1, 1))
    noise = rng.uniform(-0.2, 0.2, (n, 6, 6))
    image += (noise + noise.swapaxes(1, 2)) * (1 - np.eye(6))
    image[:, 0, 1] += strength * label
    image[:, 1, 0] += strength * label
    views = {
        "fc": xr.DataArray(image, {"subject": ids}, ("subject", "roi_i", "roi_j"), attrs={"kind": "correlation"}),
        "age": xr.DataArray(rng.normal(size=(n, 3)), {"subject": ids}, ("subject", "measure")),
    }
    return assemble_cohort(views, dict(zip(ids, label, strict=True)))


def test_flattened_features_are_upper_triangles_and_vectors_side_by_side():
    cohort = toy_cohort()
    features = flatten_views(cohort, subjects=[4, 2])
    image = cohort["fc"].to_numpy()[4]
    expected = [*(image[i, j] for i in range(6) for j in range(i + 1, 6)), *cohort["age"].to_numpy()[4]]
    np.testing.assert_allclose(features[0], expected, rtol=1e-6)
    assert features.shape == (2, 18)
    np.testing.assert_array_equal(flatten_views(cohort, views=["age", "fc"])[:, 3:], flatten_views(cohort)[:, :15])


@pytest.mark.parametrize("name", COMPARATORS)
def test_every_method_finds_a_clear_difference_and_none_where_there_is_none(name):
    split = toy_split()
    features, label = toy()
    assert fit_comparator(name, features, label, split, BLOCKS).score(features[split.test], label[split.test]) >= 0.9
    noise, label = toy(strength=0.0)
    accuracy = fit_comparator(name, noise, label, split, BLOCKS).score(noise[split.test], label[split.test])
    assert 0.1 <= accuracy <= 0.9  # 20 subjects: 0.5 +- 0.11, four standard errors


@pytest.mark.parametrize("name", COMPARATORS)
def test_nothing_is_learnt_from_the_test_part(name):
    features, label = toy(strength=0.5)
    split = toy_split()
    before = fit_comparator(name, features, label, split, BLOCKS)
    altered, altered_label = features.copy(), label.copy()
    altered[split.test] = 1e3
    altered_label[split.test] = -1
    after = fit_comparator(name, altered, altered_label, split, BLOCKS)
    np.testing.assert_array_equal(before.predict(features), after.predict(features))


@pytest.mark.parametrize("name", COMPARATORS)
def test_the_validation_part_chooses_a_setting_and_fits_nothing(name):
    """With one setting to choose from, the validation part makes no difference."""
    features, label = toy(strength=0.5)
    split = toy_split()
    method = COMPARATORS[name]
    only = replace(method, grid={parameter: values[:1] for parameter, values in method.grid.items()})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(COMPARATORS, name, only)
        one = fit_comparator(name, features, label, split, BLOCKS)
        fewer = fit_comparator(name, features, label, replace(split, validation=split.validation[:9]), BLOCKS)
    np.testing.assert_array_equal(one.predict(features), fewer.predict(features))


def test_the_setting_that_ranks_the_validation_part_best_is_taken():
    features, _ = toy(strength=0.0)
    split, rng = toy_split(), np.random.default_rng(2)
    one, other = rng.random(120) < 0.5, rng.random(120) < 0.7
    features[:, 7], features[:, 70] = one, other
    by_one = fit_comparator("decision tree", features, one.astype(int), split, BLOCKS)
    by_both = fit_comparator("decision tree", features, (one & other).astype(int), split, BLOCKS)
    assert by_one[-1].max_depth == 1  # deeper ones rank as well, and the first of equals is taken
    assert by_both[-1].max_depth == 2


@pytest.mark.parametrize("gamma", [0.3, 1.0])
def test_the_kernel_by_matrix_products_is_that_of_libsvm(gamma):
    features, label = toy(strength=0.3)
    train, rest = np.arange(0, 60), np.arange(60, 120)
    prepared = make_preparation(BLOCKS, rotate=False).fit(features[train]).transform(features)
    kernel = next(one for one in COMPARATORS["RBF SVM"].grid["kernel"] if one.keywords == {"gamma": gamma})
    ours, libsvm = SVC(C=10, kernel=kernel, tol=1e-8), SVC(C=10, kernel="rbf", gamma=gamma, tol=1e-8)
    decisions = [one.fit(prepared[train], label[train]).decision_function(prepared[rest]) for one in (ours, libsvm)]
    np.testing.assert_allclose(*decisions, atol=1e-6)


def test_rotation_changes_no_linear_machine():
    features, label = toy(strength=0.5)
    train, rest = np.arange(0, 60), np.arange(60, 120)
    decisions = []
    for rotate in (False, True):
        preparation = make_preparation(BLOCKS, rotate)
        machine = SVC(kernel="linear", C=3.0, tol=1e-8).fit(preparation.fit_transform(features[train]), label[train])
        decisions.append(machine.decision_function(preparation.transform(features[rest])))
    np.testing.assert_allclose(decisions[0], decisions[1], atol=1e-5)


def test_views_weigh_in_by_the_root_of_their_size_whatever_their_units():
    features, _ = toy(strength=0.0)
    prepared = make_preparation(BLOCKS, rotate=False).fit_transform(features)
    weights = [(prepared[:, columns] ** 2).sum(axis=1).mean() for columns in BLOCKS.values()]
    np.testing.assert_allclose(weights, np.sqrt([60, 20]) / np.sqrt([60, 20]).sum())
    units = features * np.r_[np.full(60, 1e-3), np.full(20, 1e4)]
    np.testing.assert_allclose(make_preparation(BLOCKS, rotate=False).fit_transform(units), prepared)


def test_missing_genotypes_become_the_training_mean():
    features, label = toy()
    features[3, 62] = np.nan
    preparation = make_preparation(BLOCKS, rotate=False).fit(features[:100])
    holed = features[[110]].copy()
    holed[0, 62] = np.nan
    assert preparation.transform(holed)[0, 62] == pytest.approx(0, abs=1e-12)
    fit_comparator("linear SVM", features, label, toy_split(), BLOCKS)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.floats(-5, 5)), min_size=4, max_size=40))
def test_scores_agree_with_sklearn(pairs):
    label = np.array([0, 1, *(pair[0] for pair in pairs)])
    rank = np.array([-1.0, 1.0, *(pair[1] for pair in pairs)])
    predicted = (rank > 0).astype(int)
    scores = score_predictions(label, predicted, rank)
    assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(label, predicted))
    assert scores["sensitivity"] == pytest.approx(metrics.recall_score(label, predicted))
    assert scores["specificity"] == pytest.approx(metrics.recall_score(label, predicted, pos_label=0))
    assert scores["f1"] == pytest.approx(metrics.f1_score(label, predicted))
    assert scores["auc"] == pytest.approx(metrics.roc_auc_score(label, rank))


def test_compare_gives_one_tidy_row_per_method_and_split():
    cohort = toy_cohort(strength=0.5)
    splits = [make_split(cohort, seed=seed) for seed in (0, 1, 2)]
    table = compare(cohort, splits, progress=False)
    assert table.columns.tolist() == [
        *("method", "split", "n_train", "n_test", "accuracy", "sensitivity", "specificity", "f1", "auc")
    ]
    for row in table.itertuples():
        assert (row.n_train, row.n_test) == (len(splits[row.split].train), len(splits[row.split].test))
    assert sorted(map(tuple, table[["method", "split"]].to_numpy())) == sorted(
        (m, k) for m in COMPARATORS for k in range(3)
    )
    assert (table["auc"] > 0.7).all()
    alone = compare(cohort, splits, methods=["linear SVM"], views=["age"], progress=False)
    assert alone["accuracy"].mean() < 0.9


def test_views_alone_are_scored_as_if_there_were_no_other():
    cohort = toy_cohort(strength=0.1)
    splits, methods = [make_split(cohort, seed=seed) for seed in (0, 1)], ["linear SVM", "RBF SVM", "decision tree"]
    table = compare(cohort, splits, methods, seed=3, progress=False, views_alone=True)
    names = [name + look for look in ("", ", fc alone", ", age alone") for name in methods]
    assert table["method"].tolist() == names * 2
    for look, views in {"": None, ", fc alone": ["fc"], ", age alone": ["age"]}.items():
        alone = compare(cohort, splits, methods, views, seed=3, progress=False)
        chosen = table[table["method"].isin([name + look for name in methods])].reset_index(drop=True)
        assert chosen.assign(method=alone["method"]).equals(alone)
    one = compare(cohort, splits, methods, ["age"], progress=False, views_alone=True)
    assert one["method"].tolist() == methods * 2  # a single view is alone as it is


def test_columns_follow_the_views_asked_for():
    cohort = toy_cohort()
    assert view_columns(cohort) == {"fc": slice(0, 15), "age": slice(15, 18)}
    assert view_columns(cohort, ["age", "fc"]) == {"age": slice(0, 3), "fc": slice(3, 18)}


@pytest.mark.parametrize("name", COMPARATORS)
def test_ranks_rise_with_the_class_that_is_predicted(name):
    features, label = toy(strength=0.5)
    split = toy_split()
    model = fit_comparator(name, features, label, split, BLOCKS)
    rank, predicted = rank_subjects(model, features), model.predict(features)
    assert rank.shape == (120,)
    assert rank[predicted == 1].min() >= rank[predicted == 0].max()


@pytest.mark.parametrize("part", ["training", "validation"])
def test_settings_cannot_be_compared_on_one_class(part):
    features, label = toy()
    parts = {"training": (features[:80], label[:80]), "validation": (features[80:], label[80:])}
    parts[part] = (features[:10], np.ones(10, int))
    with pytest.raises(ValueError, match=f"between two classes; the {part} part holds 1"):
        choose_setting(COMPARATORS["decision tree"], parts["training"], parts["validation"])


def test_other_than_two_classes_are_refused():
    cohort = simulate_cohort(n_subjects=40)
    with pytest.raises(ValueError, match="two classes; the cohort has low, middle, high"):
        compare(relabel_three_classes(cohort), [make_split(cohort)])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"methods": ["linear svm"]}, "did you mean 'linear SVM'"),
        ({"views": ["snps"]}, "no view 'snps'; its views are fc"),
    ],
)
def test_unknown_names_are_refused(wrong, message):
    cohort = toy_cohort()
    with pytest.raises(ValueError, match=message):
        compare(cohort, [make_split(cohort)], **wrong)
