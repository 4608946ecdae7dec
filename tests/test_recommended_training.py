"""Training with linear pathways: they are fitted first and stand, others learn beside them, epoch 0 counts."""

import numpy as np
import pytest
import torch
from small_cohorts import planted_cohort, same_weights

from gcamccl_core.data.cohort import Split, make_split
from gcamccl_core.model.initial_network import gene_blocks
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.training import fit
from gcamccl_core.model.training_checks import groups_kept

PARTS = {"image": ("rows", "linear"), "vector": ("blocks", "linear"), "batch_size": 16}


@pytest.fixture(scope="module")
def cohort():
    cohort = planted_cohort(n=150, strength=1.5)
    gene = np.repeat(np.arange(12), 5)
    return cohort.assign_coords(snp_gene=("locus", gene.astype(str)))


@pytest.fixture(scope="module")
def split(cohort):
    return make_split(cohort, seed=1)


@pytest.fixture(scope="module")
def fitted(cohort, split):
    return fit(cohort, split, Recipe.recommended(), progress=False)


def test_a_network_of_linear_pathways_has_no_epochs(fitted):
    assert fitted.selected == {"cross_entropy": 0, "loss": 0}
    assert fitted.history["epoch"].tolist() == [0, 0]
    assert fitted.history["part"].tolist() == ["train", "validation"]


def test_it_finds_what_was_planted(cohort, split, fitted):
    proba = fitted.predict_proba(cohort, split.test)
    assert (proba.to_numpy().argmax(axis=1) == cohort["label"].to_numpy()[split.test]).mean() > 0.8
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    weight = fitted.net.pathways["fc"]["linear"].weight[1] * fitted.net.pathways["fc"]["linear"].gate
    planted = torch.zeros(20, 20, dtype=torch.bool)
    planted[:6, 8:16] = planted[8:16, :6] = True
    assert weight[planted].mean() > 5 * weight[~planted].abs().mean()


def test_the_history_scores_training_subjects_by_fits_that_had_not_seen_them(cohort, split, fitted):
    seen = fitted.predict_proba(cohort, split.train).to_numpy()
    label = cohort["label"].to_numpy()[split.train]
    of_seen = -np.log(seen[np.arange(len(label)), label]).mean()
    assert fitted.history["cross_entropy"].iloc[0] > 1.2 * of_seen


def test_the_test_part_has_no_influence(cohort, split, fitted):
    changed = cohort.copy(deep=True)
    changed["fc"][split.test] = 0.0
    changed["label"][split.test] = 1 - changed["label"][split.test]
    assert same_weights(fit(changed, split, Recipe.recommended(), progress=False), fitted)


def test_linear_pathways_stand_while_others_learn(cohort, split, fitted):
    both = fit(cohort, split, Recipe.recommended(**PARTS, epochs=3, learning_rate=1e-2, patience=None), progress=False)
    assert both.history["epoch"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    for view in ("fc", "snp"):
        for name in ("weight", "gate", "bias"):
            stood, alone = (getattr(each.net.pathways[view]["linear"], name) for each in (both, fitted))
            assert torch.equal(stood, alone)
    last = fit(
        cohort, split, Recipe.recommended(**PARTS, epochs=3, learning_rate=1e-2, patience=None, select="loss"),
        progress=False,
    )  # fmt: skip
    assert last.selected == both.selected
    for rule in ("cross_entropy", "loss"):
        looked = both.history.query("part == 'validation'").set_index("epoch")[rule]
        assert both.selected[rule] == looked.idxmin()


def test_where_other_pathways_only_harm_epoch_0_is_selected(cohort, split, fitted):
    wild = fit(cohort, split, Recipe.recommended(**PARTS, epochs=2, learning_rate=30.0), progress=False)
    assert wild.selected["cross_entropy"] == 0
    proba = wild.predict_proba(cohort, split.test)
    np.testing.assert_allclose(proba, fitted.predict_proba(cohort, split.test), atol=1e-5)


def test_without_epochs_the_validation_part_may_be_empty_and_has_no_influence(cohort, split, fitted):
    nobody = Split(split.train, np.array([], dtype=int), split.test)
    found = fit(cohort, nobody, Recipe.recommended(), progress=False)
    assert same_weights(found, fitted)
    assert found.history["part"].tolist() == ["train"]
    with pytest.raises(ValueError, match=r"split\.validation is empty"):
        fit(cohort, nobody, Recipe.recommended(**PARTS), progress=False)


def test_a_finished_training_is_loaded(cohort, split, fitted, tmp_path, monkeypatch):
    first = fit(cohort, split, Recipe.recommended(), out=tmp_path, progress=False)
    monkeypatch.setattr("gcamccl_core.model.single_training.fit_additive", None)
    assert same_weights(fit(cohort, split, Recipe.recommended(), out=tmp_path, progress=False), first)
    assert same_weights(first, fitted)


def test_three_classes_and_three_views():
    cohort = planted_cohort(n=150, n_classes=3, extra_view=True, strength=2.5)
    split = make_split(cohort, seed=0)
    found = fit(cohort, split, Recipe.recommended(), progress=False)
    proba = found.predict_proba(cohort, split.test).to_numpy()
    assert proba.shape[1] == 3
    assert (proba.argmax(axis=1) == cohort["label"].to_numpy()[split.test]).mean() > 0.5


def test_a_view_may_be_named_like_a_pathway(cohort, split):
    """What is fitted beforehand is told by what it is, not by its name."""
    renamed = cohort.rename({"snp": "linear"})
    recipe = Recipe.demo(epochs=1, learning_rate=1e-2, batch_size=16)
    one, other = (fit(each, split, recipe, progress=False) for each in (renamed, cohort))
    assert torch.equal(one.net.heads["linear"].weight, other.net.heads["snp"].weight)
    assert one.linear is None


def test_what_the_folds_chose_is_kept(cohort, split, fitted, tmp_path):
    for found in (fitted, fit(cohort, split, Recipe.recommended(), out=tmp_path, progress=False)):
        assert set(found.linear) == {"fc", "snp"}
        assert set(found.linear["fc"]) == {"exponent", "penalty"}
        assert found.agreement in (0.0, 1.0)
        history = found.history  # of the loss that was minimised
        np.testing.assert_allclose(history["loss"], history["fit"] + found.agreement * history["agreement"])


def test_blocks_are_runs_of_a_gene_or_single_features(cohort):
    assert gene_blocks(cohort["snp"]) == [5] * 12
    assert gene_blocks(cohort["snp"].drop_vars("snp_gene")) == [1] * 60


def test_folds_keep_groups_whole_where_the_split_does(cohort):
    grouped = cohort.assign(group=("subject", np.repeat(list("abcdef"), 25)))
    whole, broken = (
        Split(np.arange(50), np.arange(50, 75), np.arange(75, 100)),
        Split(np.arange(60), np.arange(75, 100), np.arange(60, 75)),
    )
    assert set(groups_kept(grouped, whole)) == {"a", "b"}
    assert groups_kept(grouped, broken) is None
    elsewhere = Split(np.arange(60), np.arange(60, 75), np.arange(75, 100))  # the validation part may share groups
    assert set(groups_kept(grouped, elsewhere)) == {"a", "b", "c"}
    assert groups_kept(cohort, whole) is None
