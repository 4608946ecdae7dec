"""The scikit-learn classifier: keeps its conventions, is the training it wraps, and comes back from disk the same."""

import dataclasses
import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate, permutation_test_score
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from small_cohorts import planted_cohort, same_weights

from gcamccl_core.maps.activation import compute_maps
from gcamccl_core.model import single_training
from gcamccl_core.model.columns import View, locate_views, read_views
from gcamccl_core.model.comparators import flatten_views
from gcamccl_core.model.estimator import GCAMCCLClassifier
from gcamccl_core.model.holdout import hold_out
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.training import fit

VIEWS = {"fc": View((0, 190), kind="correlation", image=True), "snp": View((190, 250), kind="genotype")}
NAMES = [f"edge{i}" for i in range(190)] + [f"rs{i}" for i in range(60)]
BY_NAME = {
    "fc": View(NAMES[:190], kind="correlation", image=True),
    "snp": View(NAMES[190:], kind="genotype"),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Sums depend on the number of threads; so do comparisons bit for bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def quick(views=VIEWS, **changes):
    return GCAMCCLClassifier(
        **{"views": views, "recipe": "demo", "epochs": 2, "learning_rate": 1e-3, "batch_size": 8, **changes}
    )


def labelled(n_classes=2, **changes):
    cohort = planted_cohort(n=90, n_classes=n_classes, **changes)
    return cohort.isel(subject=cohort["label"].to_numpy() >= 0)


@pytest.fixture(scope="module")
def cohort():
    return labelled()


@pytest.fixture(scope="module")
def table(cohort):
    features = flatten_views(cohort)
    features[3, 200] = np.nan  # a missing genotype
    return features


@pytest.fixture(scope="module")
def words(cohort):
    return np.array(["low", "high"])[cohort["label"].to_numpy()]


@pytest.fixture(scope="module")
def model(table, words):
    return quick().fit(table, words)


# scikit-learn's own checks, on one vector view; none is expected to fail
@parametrize_with_checks(
    [GCAMCCLClassifier(), GCAMCCLClassifier(recipe="demo", epochs=4, learning_rate=1e-2, batch_size=8)]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_clone_and_parameters():
    model = quick(recipe=Recipe.demo(momentum=0.5), dropout=0.1)
    copied = clone(model)
    assert copied.get_params() == model.get_params()
    assert copied.views == VIEWS
    assert copied is not model
    copied.set_params(learning_rate=0.5, agreement=0.0)
    assert (copied.learning_rate, copied.agreement, model.agreement) == (0.5, 0.0, None)
    assert "views=" in repr(model)
    assert quick().__sklearn_tags__().input_tags.allow_nan
    assert not quick(views=None).__sklearn_tags__().input_tags.allow_nan


def test_single_values_replace_the_recipes(table, words):
    model = quick(recipe="paper", epochs=np.int64(1), dropout=0.3, agreement=0.5).fit(table, words)
    expected = Recipe.paper(epochs=1, learning_rate=1e-3, batch_size=8, dropout=0.3, agreement=0.5)
    assert model.fitted_.recipe == expected
    assert model.n_iter_ == 1


def test_it_is_the_training_that_it_wraps(cohort):
    table, label = flatten_views(cohort), cohort["label"].to_numpy()
    model = quick(random_state=3).fit(table, label)
    recipe = Recipe.demo(epochs=2, learning_rate=1e-3, batch_size=8)
    by_hand = fit(cohort, model.fitted_.split, recipe, seed=3, progress=False)
    assert same_weights(model.fitted_, by_hand)
    np.testing.assert_allclose(model.predict_proba(table), by_hand.predict_proba(cohort), rtol=1e-5)


def test_the_default_is_the_recommended_recipe(cohort):
    table, label = flatten_views(cohort), cohort["label"].to_numpy()
    model = GCAMCCLClassifier(VIEWS, random_state=3).fit(table, label)
    by_hand = fit(cohort, model.fitted_.split, Recipe.recommended(), seed=3, progress=False)
    assert same_weights(model.fitted_, by_hand)
    assert model.n_iter_ == 0
    assert len(model.fitted_.split.train) == len(label)  # it sets no rows aside
    np.testing.assert_allclose(model.predict_proba(table), by_hand.predict_proba(cohort), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["epochs", "learning_rate", "batch_size", "dropout"])
def test_values_that_would_change_nothing_are_refused(table, words, name):
    with pytest.raises(ValueError, match=f"{name} would change nothing"):
        GCAMCCLClassifier(VIEWS, **{name: 1}).fit(table, words)
    GCAMCCLClassifier({"snp": VIEWS["snp"]}, agreement=0.5).fit(table, words)


def test_maps_of_the_default_can_be_computed(table, words):
    model = GCAMCCLClassifier(VIEWS).fit(table, words)
    maps = compute_maps(model.fitted_.net, model.to_cohort(table[:4]), subjects=range(4), progress=False)
    assert maps["map_method"].to_numpy().tolist() == ["gradient", "gradient_x_input", "class_contrast"]


def test_groups_reach_the_folds_of_the_linear_pathways(table, words, monkeypatch):
    asked = []
    fit_additive = single_training.fit_additive
    monkeypatch.setattr(single_training, "fit_additive", lambda *args: asked.append(args[-1]) or fit_additive(*args))
    groups = np.repeat(np.arange(12), 6)
    model = GCAMCCLClassifier(VIEWS).fit(table, words, groups=groups)
    assert asked[0].tolist() == groups[model.fitted_.split.train].astype(str).tolist()


def test_learns_what_was_planted():
    cohort = planted_cohort(n=200, strength=2.0)
    cohort = cohort.isel(subject=cohort["label"].to_numpy() >= 0)
    table, label = flatten_views(cohort), cohort["label"].to_numpy()
    model = quick(epochs=6, batch_size=4).fit(table[:120], label[:120])
    assert model.score(table[120:], label[120:]) > 0.8


def test_cross_validation_and_permutation(table, words):
    scores = cross_validate(quick(), table, words, cv=2, scoring=["accuracy", "roc_auc", "neg_log_loss"])
    for name in ("accuracy", "roc_auc", "neg_log_loss"):
        assert np.isfinite(scores[f"test_{name}"]).all()
    score, permuted, p = permutation_test_score(quick(epochs=1), table, words, cv=2, n_permutations=2, random_state=0)
    assert 0 <= score <= 1
    assert len(permuted) == 2
    assert p >= 1 / 3


def test_grid_search_in_a_pipeline(table, words):
    pipeline = Pipeline([("nothing", "passthrough"), ("net", quick(epochs=1))])
    search = GridSearchCV(pipeline, {"net__learning_rate": [1e-4, 1e-2]}, cv=2).fit(table, words)
    assert set(search.cv_results_["param_net__learning_rate"]) == {1e-4, 1e-2}
    assert (
        search.best_estimator_.named_steps["net"].fitted_.recipe.learning_rate
        == search.best_params_["net__learning_rate"]
    )
    by_views = GridSearchCV(quick(epochs=1), {"views": [VIEWS, {"snp": VIEWS["snp"]}]}, cv=2).fit(table, words)
    assert len(by_views.cv_results_["params"]) == 2


def test_groups_stay_whole(table, words):
    groups = np.repeat(np.arange(12), 6)
    model = quick(epochs=1).fit(table, words, groups=groups)
    split = model.fitted_.split
    assert not set(groups[split.train]) & set(groups[split.validation])
    assert len(split.train) + len(split.validation) == len(words)
    within = {"groups": groups, "cv": GroupKFold(3), "params": {"groups": groups}}
    found = cross_validate(quick(epochs=1), table, words, **within, return_estimator=True, return_indices=True)
    for fold, rows in zip(found["estimator"], found["indices"]["train"], strict=True):
        inside = fold.fitted_.split
        assert not set(groups[rows][inside.train]) & set(groups[rows][inside.validation])
    with config_context(enable_metadata_routing=True):
        cross_validate(
            quick(epochs=1).set_fit_request(groups=True), table, words, cv=GroupKFold(3), params={"groups": groups}
        )


def test_rows_are_set_aside_in_proportion(words, model):
    split = model.fitted_.split
    assert len(split.test) == 0
    assert sorted([*split.train, *split.validation]) == list(range(len(words)))
    share = [(words[split.validation] == name).sum() / (words == name).sum() for name in ("low", "high")]
    np.testing.assert_allclose(share, 0.15, atol=0.02)
    train, validation = hold_out(np.array([0, 0, 1, 1, 1]), 0.15, 0, ["a", "b"])
    assert (len(train), len(validation)) == (3, 2)


def test_column_order_does_not_matter_where_views_name_columns(table, words, model):
    frame = pd.DataFrame(table, columns=NAMES)
    shuffled = frame[list(np.random.default_rng(0).permutation(NAMES))].assign(age=1.0)
    one, other = quick(BY_NAME).fit(frame, words), quick(BY_NAME).fit(shuffled, words)
    assert one.feature_names_in_.tolist() == NAMES
    np.testing.assert_array_equal(one.predict_proba(frame), other.predict_proba(shuffled))
    np.testing.assert_array_equal(one.predict_proba(frame), one.predict_proba(frame[NAMES[::-1]]))
    np.testing.assert_array_equal(one.predict_proba(frame), model.predict_proba(table))
    assert same_weights(one.fitted_, other.fitted_)
    with pytest.raises(ValueError, match="feature names should match"):
        one.predict(frame.rename(columns={"rs3": "rs999"}))
    with pytest.raises(ValueError, match="must be in the same order"):
        quick().fit(frame, words).predict(frame[NAMES[::-1]])


@pytest.mark.parametrize(
    ("labels", "kind"),
    [(["b", "a", "c"], "U"), ([7, -2, 3], "i"), ([1.5, 0.5, 2.0], None), (pd.Series(["x", "y", "z"]), "O")],
)
def test_any_labels_and_three_classes(labels, kind):
    cohort = labelled(n_classes=3)
    y = np.asarray(labels)[cohort["label"].to_numpy()]
    table = flatten_views(cohort)
    if kind is None:
        with pytest.raises(ValueError, match="continuous"):
            quick().fit(table, y)
        return
    model = quick(epochs=1).fit(table, y)
    assert model.classes_.dtype.kind == kind
    assert model.classes_.tolist() == sorted(labels)
    proba = model.predict_proba(table)
    assert proba.shape == (len(y), 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_array_equal(model.predict(table), model.classes_[proba.argmax(axis=1)])
    np.testing.assert_allclose(model.decision_function(table), np.log(proba))


def test_decision_is_the_log_odds(table, model):
    proba = model.predict_proba(table)
    decision = model.decision_function(table)
    np.testing.assert_allclose(decision, np.log(proba[:, 1] / proba[:, 0]), atol=1e-12)
    np.testing.assert_array_equal(model.predict(table), model.classes_[(decision > 0).astype(int)])


def test_random_state_decides_and_nothing_else_is_disturbed(table, words):
    before, labels = table.copy(), words.copy()
    torch.manual_seed(11)
    state = torch.get_rng_state()
    first, again, other = (quick(random_state=seed).fit(table, words) for seed in (5, 5, 6))
    first.predict(table)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(table, before)
    np.testing.assert_array_equal(words, labels)
    assert same_weights(first.fitted_, again.fitted_)
    assert not same_weights(first.fitted_, other.fitted_)
    drawn = [quick(random_state=np.random.RandomState(1)).fit(table, words) for _ in range(2)]
    assert same_weights(drawn[0].fitted_, drawn[1].fitted_)


def test_rows_outside_have_no_influence(table, words, model):
    kept = np.arange(len(words)) % 3 > 0
    one = quick().fit(table[kept], words[kept])
    changed = table.copy()
    changed[~kept] = 0
    assert same_weights(one.fitted_, quick().fit(changed[kept], words[kept]).fitted_)


def test_maps_of_new_rows(table, words, model):
    frame = pd.DataFrame(table, columns=NAMES, index=[f"s{i}" for i in range(len(table))])
    named = quick(BY_NAME, epochs=1).fit(frame, words)
    cohort = named.to_cohort(frame[:4])
    assert cohort["label"].to_numpy().tolist() == [-1] * 4
    maps = compute_maps(named.fitted_.net, cohort, methods=["grad_cam"], subjects=range(4), progress=False)
    assert maps["fc"].shape == (4, 2, 1, 20, 20)
    assert maps["snp_column"].to_numpy()[:2].tolist() == ["rs0", "rs1"]
    assert maps["target_class"].to_numpy().tolist() == ["high", "low"]
    assert maps["subject"].to_numpy().tolist() == ["s0", "s1", "s2", "s3"]
    with_labels = model.to_cohort(table[:6], words[:6])
    np.testing.assert_array_equal(model.classes_[with_labels["label"].to_numpy()], words[:6])
    assert compute_maps(model.fitted_.net, with_labels, ["grad_cam"], progress=False).sizes["subject"] == 6
    with pytest.raises(ValueError, match="y holds middle; the classes are high, low"):
        model.to_cohort(table[:1], ["middle"])


@pytest.mark.parametrize("labels", [("low", "high"), (3, -1), (True, False), (1.0, 2.0)])
def test_comes_back_from_disk_the_same_without_pickle(table, cohort, labels, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("pickle was used")

    y = np.array(labels)[cohort["label"].to_numpy()]
    frame = pd.DataFrame(table, columns=NAMES)
    model = quick(BY_NAME, learning_rate=np.float32(1e-3), recipe=Recipe.demo(momentum=0.8)).fit(frame, y)
    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    folder = model.save(tmp_path / "kept")
    loaded = GCAMCCLClassifier.load(folder)
    monkeypatch.undo()
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}
    for method in ("predict", "predict_proba", "decision_function"):
        np.testing.assert_array_equal(getattr(loaded, method)(frame), getattr(model, method)(frame))
    assert loaded.classes_.dtype == model.classes_.dtype
    assert loaded.get_params() == model.get_params()
    assert (loaded.views_, loaded.n_iter_, loaded.n_features_in_) == (model.views_, 2, 250)
    np.testing.assert_array_equal(loaded.fitted_.split.train, model.fitted_.split.train)
    pd.testing.assert_frame_equal(loaded.fitted_.history, model.fitted_.history)
    assert same_weights(clone(loaded).fit(frame, y).fitted_, model.fitted_)


def test_keeping_what_was_fitted_and_refusing_to_overwrite(table, words, tmp_path):
    model = quick(views=None, epochs=1, random_state=np.random.RandomState(2)).fit(np.nan_to_num(table), words)
    folder = model.save(tmp_path)
    assert GCAMCCLClassifier.load(folder).views is None
    assert GCAMCCLClassifier.load(folder).random_state == model.fitted_.seed
    with pytest.raises(FileExistsError, match="is not an empty folder; choose another or pass overwrite=True"):
        model.save(folder)
    (folder / "notes.txt").write_text("mine")
    model.save(folder, overwrite=True)
    assert (folder / "notes.txt").read_text() == "mine"
    text = (folder / "classifier.json").read_text()
    (folder / "classifier.json").write_text(text[:100])
    with pytest.raises(ValueError, match=r"classifier.json is truncated or not ours; save the classifier anew"):
        GCAMCCLClassifier.load(folder)
    (folder / "classifier.json").write_text(json.dumps({"parameters": {}}))
    with pytest.raises(ValueError, match="truncated or not ours"):
        GCAMCCLClassifier.load(folder)
    (folder / "classifier.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no classifier in .*: it has no classifier.json"):
        GCAMCCLClassifier.load(folder)
    model.classes_ = np.array([None, "a"], dtype=object)
    with pytest.raises(TypeError, match="labels of type NoneType cannot be kept"):
        model.save(tmp_path / "other")


def test_not_fitted(table, tmp_path):
    for method in ("predict", "predict_proba", "decision_function", "to_cohort"):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            getattr(quick(), method)(table)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        quick().save(tmp_path / "none")


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ({}, "views must map at least one view's name to its columns"),
        ([("fc", 3)], "views must map at least one view's name to its columns"),
        ({"label": 3}, "no view can be called 'label'; choose another name"),
        ({3: 3}, "no view can be called 3"),
        ({"fc": "edge1"}, "columns must be a list of column names, a slice or .* got 'edge1'"),
        ({"fc": slice(0, 10, 2)}, "columns must be a list of column names"),
        ({"fc": (5, 5)}, "columns must be a list of column names"),
        ({"fc": [1, 2, 3]}, "columns must be a list of column names"),
        ({"fc": True}, "columns must be a list of column names"),
        ({"fc": (240, 260)}, "view 'fc' takes columns 240 to 260, but X has 250 columns"),
        ({"fc": 200, "snp": 60}, "view 'snp' takes columns 200 to 260, but X has 250 columns"),
        ({"fc": (0, 100), "snp": (90, 250)}, "views 'fc' and 'snp' share columns"),
        ({"fc": ["edge0", "edge1"]}, "view 'fc' names its columns, but X has no column names; give a DataFrame"),
        ({"fc": View((0, 191), image=True)}, "191 columns, .* side 20 has 190, side 21 has 210"),
        ({"fc": VIEWS["fc"], "age": (190, 191)}, "view 'age' of size 1 is too small"),
        ({"fc": View((0, 250), kind="genotype")}, "view 'fc' has genotypes other than 0, 1, 2 or NaN in column 0, 1"),
        ({"fc": VIEWS["fc"], "snp": (190, 250)}, "view 'snp' has NaN, which only genotypes may be, in column 200;"),
        ({"snp": View((190, 250), kind="correlation")}, r"view 'snp' has NaN"),
        ({"snp": View((201, 250), kind="correlation")}, r"view 'snp' has correlations beyond \[-1, 1\] in column 201"),
    ],
)
def test_views_that_do_not_fit_are_refused(table, words, views, message):
    with pytest.raises(ValueError, match=message):
        quick(views=views).fit(table, words)


def test_named_views_that_do_not_fit_are_refused(table, words):
    frame = pd.DataFrame(table, columns=NAMES)
    with pytest.raises(ValueError, match="view 'snp' names columns that X does not have: rs77, rs78"):
        quick(views={"snp": ["rs1", "rs77", "rs78"]}).fit(frame, words)
    with pytest.raises(ValueError, match="view 'snp' lists columns more than once"):
        quick(views={"snp": ["rs1", "rs1"]}).fit(frame, words)
    with pytest.raises(ValueError, match="X has columns of the same name: rs0; rename them"):
        locate_views(read_views({"snp": ["rs0", "rs1"]}), 3, ["rs0", "rs1", "rs0"])
    with pytest.raises(ValueError, match="in column rs10;"):
        quick(views={"fc": BY_NAME["fc"], "snp": NAMES[190:]}).fit(frame, words)
    with pytest.raises(ValueError, match="kind must be correlation, genotype, measure, got 'snps'"):
        View(3, kind="snps")
    with pytest.raises(ValueError, match="genotypes are no image"):
        View(3, kind="genotype", image=True)


def test_forms_of_columns_that_mean_the_same():
    assert View(slice(0, 5)) == View((0, 5)) == View([np.int64(0), 5])
    assert View(slice(None)) == View((0, None))
    assert View(["a", "b"]) == View(pd.Index(["a", "b"]).to_numpy())
    assert len({View(np.int32(3)), View(3)}) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": "best"}, "recipe must be .*'recommended'.* or a Recipe, got 'best'"),
        ({"recipe": Recipe.features("dcl")}, "fusion='dcl' trains no classifier"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"dropout": 1.0}, "dropout must be from 0 to below 1"),
        ({"batch_size": 500}, "training subjects are fewer than batch_size, 500; lower batch_size"),
        ({"validation_fraction": 1.0}, "validation_fraction must be above 0 and below 1, got 1.0"),
        ({"random_state": "seven"}, "cannot be used to seed"),
    ],
)
def test_parameters_out_of_range_are_refused(table, words, changes, message):
    with pytest.raises(ValueError, match=message):
        quick(**changes).fit(table, words)


def test_rows_that_do_not_fit_are_refused(table, words, model):
    scarce = (words == "high") | (np.arange(len(words)) == (words == "low").argmax())
    with pytest.raises(ValueError, match=r"too few rows of class low \(1\); every class needs at least 2"):
        quick().fit(table[scarce], words[scarce])
    with pytest.raises(ValueError, match="y holds one class alone, 'low'"):
        quick().fit(table[words == "low"], words[words == "low"])
    with pytest.raises(ValueError, match="cannot be divided in two parts that both hold every class"):
        quick().fit(table, words, groups=words)
    with pytest.raises(ValueError, match="groups holds missing values"):
        quick().fit(table, words, groups=[None, *words[1:]])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        quick().fit(table, words, groups=words[1:])
    with pytest.raises(ValueError, match="X has 249 features, but GCAMCCLClassifier is expecting 250 features"):
        model.predict(table[:, 1:])
    wrong = table.copy()
    wrong[2, 4] = np.nan
    with pytest.raises(ValueError, match="view 'fc' has NaN, which only genotypes may be, in column 4;"):
        model.predict(wrong)
    wrong[2, 4] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        model.predict(wrong)
    wrong[2, 4] = 0
    wrong[1, 199] = 7
    with pytest.raises(ValueError, match="view 'snp' has genotypes other than 0, 1, 2 or NaN in column 199;"):
        model.predict(wrong)


def test_views_set_after_fitting_do_not_change_predictions(table, words, model):
    before = model.predict_proba(table)
    try:
        model.set_params(views=None)
        np.testing.assert_array_equal(model.predict_proba(table), before)
    finally:
        model.set_params(views=VIEWS)
    assert dataclasses.is_dataclass(model.views_["fc"])


def test_a_fit_that_fails_leaves_no_network_behind(table, words):
    model = quick(epochs=1).fit(table, words)
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        model.set_params(learning_rate=1e30).fit(table, words)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        model.predict(table)


def test_progress_is_shown_only_if_wanted(table, words, capsys):
    quick(epochs=1).fit(table, words)
    assert capsys.readouterr().err == ""
    quick(epochs=1, progress=True).fit(table, words)
    assert "seed 0: 100%" in capsys.readouterr().err
