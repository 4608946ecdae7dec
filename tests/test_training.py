"""Training: learns, selects, refuses bad input before it starts, and leaves nothing disturbed."""

import dataclasses

import numpy as np
import pytest
import torch
import xarray as xr
from small_cohorts import planted_cohort, same_weights

from gcamccl_core.data.cohort import CohortError, make_split
from gcamccl_core.model.initial_network import gene_blocks
from gcamccl_core.model.losses import collaborative_loss
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.training import fit, fit_many

QUICK = Recipe(epochs=8, learning_rate=1e-3, patience=None)
TINY = Recipe(epochs=4, learning_rate=1e-3, patience=None)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Sums depend on the number of threads; so do comparisons bit for bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def cohort():
    return planted_cohort()


@pytest.fixture(scope="module")
def split(cohort):
    return make_split(cohort, seed=1)


@pytest.fixture(scope="module")
def fitted(cohort, split):
    return fit(cohort, split, QUICK, seed=3, progress=False)


def accuracy(fitted, cohort, subjects, views=None):
    predicted = fitted.predict_proba(cohort, subjects, views).to_numpy().argmax(axis=1)
    return (predicted == cohort["label"].to_numpy()[subjects]).mean()


def test_learns_what_was_planted(cohort, split, fitted):
    train = fitted.history.query("part == 'train'").set_index("epoch")
    assert train["loss"].iloc[-1] < 0.8 * train["loss"].iloc[0]
    held_out = np.concatenate([split.validation, split.test])
    assert accuracy(fitted, cohort, held_out) > 0.8
    for view in ("fc", "snp"):
        assert accuracy(fitted, cohort, held_out, [view]) > 0.65


@pytest.mark.parametrize(("n_classes", "extra_view"), [(3, False), (2, True), (3, True)])
def test_three_classes_and_three_views(n_classes, extra_view):
    cohort = planted_cohort(n=150, n_classes=n_classes, extra_view=extra_view, strength=2.0)
    split = make_split(cohort, seed=0)
    fitted = fit(cohort, split, QUICK, progress=False)
    held_out = np.concatenate([split.validation, split.test])
    proba = fitted.predict_proba(cohort, held_out)
    assert proba.shape == (len(held_out), n_classes)
    assert list(fitted.net.views) == ["fc", "snp", "thickness"][: 2 + extra_view]
    assert accuracy(fitted, cohort, held_out) > 1 / n_classes + 0.25


@pytest.mark.parametrize("changes", [{"output": "sigmoid"}, {"agreement": 0.0}, {"momentum": 0.0}])
def test_other_recipes_learn_too(cohort, split, changes):
    fitted = fit(cohort, split, dataclasses.replace(QUICK, learning_rate=3e-3, **changes), progress=False)
    train = fitted.history.query("part == 'train'")["loss"]
    assert train.iloc[-1] < train.iloc[0]
    assert fitted.net.output == changes.get("output", "softmax")


def test_one_view_alone_and_nobody_to_test_on(cohort, split):
    fitted = fit(cohort.drop_vars("snp"), dataclasses.replace(split, test=[]), TINY, progress=False)
    assert list(fitted.net.views) == ["fc"]
    assert (fitted.history["agreement"] == 0).all()


def test_history_is_what_the_selected_network_says(cohort, split, fitted):
    assert list(fitted.history["epoch"]) == [epoch for epoch in range(1, 9) for _ in range(2)]
    validation = fitted.history.query("part == 'validation'").set_index("epoch")
    target = torch.from_numpy(cohort["label"].to_numpy()[split.validation].astype("int64"))
    for rule in ("cross_entropy", "loss"):
        assert fitted.selected[rule] == validation[rule].idxmin()
        net = fitted.net_at(rule)
        assert not net.training
        row = validation.loc[fitted.selected[rule]]
        with torch.inference_mode():
            inputs = net.prepare(cohort, split.validation)
            loss = collaborative_loss(net(inputs), target).item()
            proba = net.predict_proba(inputs)
        assert loss == pytest.approx(row["loss"], rel=1e-5)
        assert -proba[range(len(target)), target].log().mean().item() == pytest.approx(row["cross_entropy"], rel=1e-5)
        assert (proba.argmax(1) == target).double().mean().item() == pytest.approx(row["accuracy"])
    assert fitted.net is fitted.net_at("cross_entropy")
    np.testing.assert_allclose(fitted.history["loss"], fitted.history["fit"] + fitted.history["agreement"])


def test_select_chooses_the_network(cohort, split, fitted):
    papers = fit(cohort, split, dataclasses.replace(QUICK, select="loss"), seed=3, progress=False)
    assert papers.selected == fitted.selected
    assert papers.net is papers.net_at("loss")
    assert same_weights(papers, fitted)
    with pytest.raises(ValueError, match="rule must be cross_entropy or loss"):
        fitted.net_at("accuracy")


def test_early_stopping_counts_epochs_without_a_new_least():
    cohort = planted_cohort(n=60, strength=0.0)
    recipe = Recipe(epochs=60, learning_rate=1e-2, patience=3)
    fitted = fit(cohort, make_split(cohort), recipe, progress=False)
    last = fitted.history["epoch"].max()
    assert last < 60
    assert last == fitted.selected["cross_entropy"] + 3


def test_prediction_is_a_table_of_named_subjects(cohort, split, fitted):
    proba = fitted.predict_proba(cohort.drop_vars("label"), split.test)
    assert list(proba.columns) == ["low", "high"]
    assert list(proba.index) == list(cohort["subject"].to_numpy()[split.test])
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    both = [fitted.predict_proba(cohort, split.test, [view]) for view in ("fc", "snp")]
    np.testing.assert_allclose((both[0] + both[1]) / 2, proba, rtol=1e-5)
    assert len(fitted.predict_proba(cohort)) == cohort.sizes["subject"]
    with pytest.raises(ValueError, match="no view eeg; it has fc, snp"):
        fitted.predict_proba(cohort, split.test, ["eeg"])


def test_neither_test_nor_unlabelled_subjects_matter(cohort, split, fitted):
    changed = cohort.copy(deep=True)
    outside = np.setdiff1d(np.arange(cohort.sizes["subject"]), np.concatenate([split.train, split.validation]))
    changed["snp"][outside] = 2 - changed["snp"][outside]
    changed["fc"][outside] = -changed["fc"][outside]
    assert same_weights(fit(changed, split, QUICK, seed=3, progress=False), fitted)


def test_seed_decides_and_the_callers_generator_is_left_alone(cohort, split):
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first = fit(cohort, split, TINY, seed=1, progress=False)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    again, other = fit_many(cohort, [split, split], [1, 2], TINY, progress=False)
    assert same_weights(first, again)
    assert not same_weights(first, other)


def test_last_batch_of_one_is_left_out(cohort, split):
    odd = dataclasses.replace(split, train=split.train[:41])  # ten batches of four, and one
    fitted = fit(cohort, odd, TINY, progress=False)
    train = fitted.history.query("part == 'train'")
    np.testing.assert_allclose(train["accuracy"] * 40, (train["accuracy"] * 40).round())


def positions(*numbers):
    return np.array(numbers, dtype=int)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": positions(1, 2, 3)}, "3 training subjects are fewer than batch_size, 4; lower batch_size"),
        ({"validation": positions(1, 500)}, "split.validation points outside the 120 subjects: 500"),
        ({"test": positions(-1)}, "split.test points outside the 120 subjects: -1"),
        ({"validation": positions(0, 1)}, r"split.validation holds subjects outside the contrast \(label -1\): s000"),
        ({"validation": positions()}, "split.validation is empty"),
        ({"test": np.array([1.5])}, "split.test must be a list of integer positions, got float64"),
        ({"train": "one class"}, "split.train has no subject of class high"),
        ({"test": "train"}, "the split uses subjects more than once: s"),
    ],
)
def test_splits_that_do_not_fit_are_refused_before_anything_starts(cohort, split, changes, message, tmp_path):
    label = cohort["label"].to_numpy()
    words = {"one class": np.flatnonzero(label == 0)[:8], "train": split.train[:2]}
    changes = {part: words.get(value, value) if isinstance(value, str) else value for part, value in changes.items()}
    with pytest.raises(ValueError, match=message):
        fit(cohort, dataclasses.replace(split, **changes), TINY, out=tmp_path / "models", progress=False)
    assert not (tmp_path / "models").exists()


def test_a_bad_cohort_is_refused(cohort, split):
    bad = cohort.copy(deep=True)
    bad["fc"][2, 1, 1] = np.nan
    with pytest.raises(CohortError, match=r"view 'fc' has missing .* s002"):
        fit(bad, split, TINY, progress=False)


def test_splits_and_seeds_go_in_pairs(cohort, split):
    with pytest.raises(ValueError, match="splits and seeds go in pairs, at least one; got 1 and 2"):
        fit_many(cohort, [split], [0, 1], TINY)
    with pytest.raises(ValueError, match="checkpoint_every must be at least 1, got 0"):
        fit(cohort, split, TINY, checkpoint_every=0)


def test_diverging_training_says_so(cohort, split):
    with pytest.raises(FloatingPointError, match=r"no longer finite in epoch 1; lower learning_rate \(1e\+30\)"):
        fit(cohort, split, dataclasses.replace(TINY, learning_rate=1e30), progress=False)


def test_progress_is_shown_only_if_wanted(cohort, split, capsys):
    fit(cohort, split, TINY, progress=False)
    assert capsys.readouterr().err == ""
    fit(cohort, split, TINY, seed=4)
    shown = capsys.readouterr().err
    assert "seed 4: 100%" in shown
    assert "loss=" in shown
    assert "accuracy=" in shown


def test_what_stops_a_later_split_is_said_before_the_first_starts(cohort, split, tmp_path):
    lacking = cohort.copy(deep=True)
    other = make_split(cohort, seed=2)
    alone = np.setdiff1d(other.train, split.train)
    lacking["snp"][np.setdiff1d(np.arange(cohort.sizes["subject"]), np.setdiff1d(split.train, other.train)), 5] = np.nan
    assert len(alone)
    with pytest.raises(ValueError, match="no training subject has a value of"):
        fit_many(lacking, [split, other], [0, 1], QUICK, tmp_path, progress=False)
    assert not list(tmp_path.iterdir())


def test_features_without_a_gene_are_no_gene_together():
    snp = xr.DataArray(np.zeros((2, 6)), dims=("subject", "locus"), name="snp")
    for nothing in ("", None):
        gene = np.array(["A", nothing, nothing, "B", "B", nothing], dtype=object)
        assert gene_blocks(snp.assign_coords(snp_gene=("locus", gene))) == [1, 1, 1, 2, 1]
