"""CCA before a classifier: scikit-learn's directions, learnt from the training part, labels never looked at."""

import numpy as np
import pytest
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA
from small_cohorts import planted_cohort

from gcamccl_core.data.cohort import make_split
from gcamccl_core.model.canonical import CanonicalVariables, compare_cca

COLUMNS = {"one": slice(0, 12), "other": slice(12, 20)}


def shared_signal(n=200, seed=0):
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, 2))
    views = [latent @ rng.normal(size=(2, size)) + rng.normal(size=(n, size)) for size in (12, 8)]
    return np.hstack(views)


def test_variables_are_those_of_cca_on_principal_components():
    features = shared_signal()
    found = CanonicalVariables(COLUMNS, n_components=5, n_pairs=2).fit(features[:150]).transform(features[150:])
    reductions = [PCA(5, random_state=0).fit(features[:150, columns]) for columns in COLUMNS.values()]
    reduced = [
        [pca.transform(features[rows, columns]) for pca, columns in zip(reductions, COLUMNS.values(), strict=True)]
        for rows in (slice(0, 150), slice(150, None))
    ]
    expected = np.hstack(CCA(n_components=2, max_iter=5000).fit(*reduced[0]).transform(*reduced[1]))
    np.testing.assert_allclose(found, expected, atol=1e-8)
    assert abs(np.corrcoef(found[:, 0], found[:, 2])[0, 1]) > 0.8


def test_labels_make_no_difference():
    features = shared_signal()
    with_labels = CanonicalVariables(COLUMNS).fit(features, np.arange(200) % 2).transform(features)
    np.testing.assert_array_equal(with_labels, CanonicalVariables(COLUMNS).fit(features).transform(features))


def test_few_subjects_or_features_give_fewer_components():
    variables = CanonicalVariables(COLUMNS, n_components=80, n_pairs=2).fit(shared_signal()[:30])
    assert [pca.n_components_ for pca in variables.reductions_] == [12, 8]


def test_views_that_share_the_label_are_told_apart_and_the_test_part_is_not_looked_at():
    cohort = planted_cohort(n=200, strength=2.0)
    split = make_split(cohort, seed=0)
    row = compare_cca(cohort, [split]).iloc[0]
    assert (row["method"], row["n_train"], row["n_test"]) == ("CCA+SVM", len(split.train), len(split.test))
    assert row["auc"] > 0.8
    exchanged = cohort.copy(deep=True)
    exchanged["label"][split.test] = 1 - cohort["label"][split.test]
    assert compare_cca(exchanged, [split])["auc"][0] == pytest.approx(1 - row["auc"])


def test_other_than_two_views_are_refused():
    with pytest.raises(ValueError, match="CCA joins two views; the cohort has fc, snp, thickness"):
        compare_cca(planted_cohort(extra_view=True), [])
    with pytest.raises(ValueError, match="CCA joins two views; there are 1: one"):
        CanonicalVariables({"one": slice(0, 12)}).fit(shared_signal())
