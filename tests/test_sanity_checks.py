"""The sanity checks: what the tables hold, what stays as it was, which labels are dealt out, and who passes."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_cohorts import planted_cohort
from small_networks import train_briefly

from gcamccl_core.maps.activation import compute_maps
from gcamccl_core.maps.random_weights import random_weights_like
from gcamccl_core.maps.sanity_checks import compare_maps, passes, permute_labels, randomisation, verdict
from gcamccl_core.model.networks import CollaborativeNet

VIEWS = {"fc": (20, 20), "snp": (60,)}
TRAIN, TEST = np.arange(30), np.arange(30, 36)
MEASURES = ["rank_correlation", "absolute_rank_correlation", "ssim"]


@pytest.fixture(scope="module")
def cohort():
    return planted_cohort(n=40)


@pytest.fixture(scope="module")
def net(cohort):
    torch.manual_seed(0)
    fresh = CollaborativeNet(VIEWS, dropout=0.1).fit_scaling(cohort, TRAIN)
    return train_briefly(fresh, cohort.isel(subject=TRAIN), steps=5)


@pytest.fixture(scope="module")
def table(net, cohort):
    methods = ["guided_backprop", "gradient"]
    return randomisation(net, cohort, methods, TEST, train=TRAIN, seeds=(3, 4), batch_size=4, progress=False)


def test_network_generator_and_gradients_stay_as_they_were(net, cohort):
    own = copy.deepcopy(net).train()
    own.heads["fc"].weight.grad = torch.ones_like(own.heads["fc"].weight)
    before, state = copy.deepcopy(own.state_dict()), torch.get_rng_state()
    original = cohort.copy(deep=True)
    randomisation(own, cohort, ["grad_cam"], TEST[:2], train=TRAIN, progress=False)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())
    assert all(module.training for module in own.modules())
    assert {name for name, p in own.named_parameters() if p.grad is not None} == {"heads.fc.weight"}
    assert cohort.identical(original)


def test_the_table_follows_every_view_to_its_own_input(table):
    keys = ["view", "target_class", "method", "stage", "layer", "seed"]
    assert table.columns.tolist() == [*keys, *MEASURES, "subjects"]
    one = table.query("target_class == 'low' and method == 'gradient' and seed == 4")
    for view, blocks in (("fc", 4), ("snp", 3)):
        rows = one[one["view"] == view]
        assert rows["stage"].tolist() == list(range(blocks + 2))
        assert rows["layer"].tolist() == ["untouched", "head", *[f"conv{n}" for n in range(blocks, 0, -1)]]
    assert not table.duplicated(keys).any()
    assert len(table) == 2 * 2 * 2 * (6 + 5)
    untouched, rest = table.query("stage == 0"), table.query("stage > 0")
    np.testing.assert_allclose(untouched[MEASURES], 1)
    assert (rest[MEASURES] < 1).all(axis=None)


def test_the_last_stage_is_the_comparison_with_the_untrained_control(net, cohort, table):
    maps, other = (
        compute_maps(each, cohort, ["guided_backprop", "gradient"], subjects=TEST, progress=False)
        for each in (net, random_weights_like(net, 4, net.prepare(cohort, TRAIN)))
    )
    expected = compare_maps(maps, other).query("view == 'fc'")[MEASURES]
    np.testing.assert_allclose(table.query("view == 'fc' and stage == 5 and seed == 4")[MEASURES], expected, atol=1e-5)


def test_a_seed_gives_the_same_table_again_and_another_seed_another(net, cohort, table):
    again = randomisation(net, cohort, ["gradient"], TEST, train=TRAIN, seeds=[4], batch_size=4, progress=False)
    same = table.query("method == 'gradient' and seed == 4").reset_index(drop=True)
    pd.testing.assert_frame_equal(again, same)
    other = table.query("method == 'gradient' and seed == 3").reset_index(drop=True)
    drawn = again["stage"] > 0
    assert not np.isclose(again.loc[drawn, "ssim"], other.loc[drawn, "ssim"]).any()


def test_guided_backpropagation_hardly_needs_weights_and_a_gradient_does(table):
    """As Adebayo et al. found; the gradient by its signs alone, since its size still follows the input's."""
    judged = passes(table).set_index(["method", "view"])
    assert (judged.loc["guided_backprop", "rank_correlation"] > 0.25).all()
    assert not judged.loc["guided_backprop", "passes"].any()
    assert judged.loc["gradient", "passes"].all()


def test_what_cannot_be_randomised_is_refused(net, cohort):
    for wrong, message in (
        ({"methods": ["cam"]}, "'cam' needs a classifier retrained for every randomised network; leave it out"),
        ({"seeds": ()}, r"seeds must list at least one integer, such as seeds=\(0, 1, 2\)"),
        (
            {"train": np.ones(40, dtype=bool)},
            "train must list integer positions of at least two subjects, .* no boolean",
        ),
        ({"train": [3]}, "train must list integer positions of at least two subjects"),
        ({"train": [3, 3, 4]}, "of at least two subjects, each once"),
        ({"train": [3, 40]}, "train must be positions from 0 to 39; got 3 to 40"),
        ({"methods": ["grad_cma"]}, "methods must list some of"),
    ):
        with pytest.raises(ValueError, match=message):
            randomisation(net, cohort, **{"subjects": TEST, "progress": False} | wrong)
    with pytest.raises(ValueError, match="depth must be a number of layers from the output, at least 0, got -1"):
        random_weights_like(net, depth=-1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 39), min_size=15, unique=True), st.integers(0, 99))
def test_permuted_labels_are_the_same_ones_among_the_same_subjects(cohort, subjects, seed):
    copied = permute_labels(cohort, subjects, seed)
    before, after = cohort["label"].to_numpy(), copied["label"].to_numpy()
    chosen = np.isin(np.arange(40), subjects)
    assert np.array_equal(before[~chosen], after[~chosen])
    assert np.array_equal(before == -1, after == -1)
    assert sorted(before[chosen]) == sorted(after[chosen])
    assert copied.identical(permute_labels(cohort, subjects, seed))
    assert copied.drop_vars("label").identical(cohort.drop_vars("label"))
    assert copied["label"].attrs == cohort["label"].attrs


def test_permuted_labels_are_others_and_the_cohort_keeps_its_own(cohort):
    before = cohort["label"].to_numpy().copy()
    labels = [permute_labels(cohort, range(40), seed)["label"].to_numpy() for seed in range(6)]
    assert len({tuple(label) for label in [before, *labels]}) == 7
    assert np.array_equal(cohort["label"], before)
    with pytest.raises(ValueError, match="subjects must hold at least two classes to permute; they hold high"):
        permute_labels(cohort, np.flatnonzero(before == 1))
    with pytest.raises(ValueError, match="at least two classes to permute; they hold none"):
        permute_labels(cohort, np.flatnonzero(before == -1))
    with pytest.raises(ValueError, match="subjects must be positions from 0 to 39; got -1 to 3"):
        permute_labels(cohort, [3, -1])


def test_a_network_trained_on_permuted_labels_has_other_maps(net, cohort):
    shuffled = permute_labels(cohort, TRAIN, seed=1)
    torch.manual_seed(0)
    other = CollaborativeNet(VIEWS, dropout=0.1).fit_scaling(shuffled, TRAIN)
    train_briefly(other, shuffled.isel(subject=TRAIN), steps=5)
    maps = [compute_maps(each, cohort, ["gradient"], subjects=TEST, progress=False) for each in (net, other)]
    same_first_weights = compare_maps(*maps)["rank_correlation"]
    assert (same_first_weights < 0.9).all()


def hand_made(last, absolute=None):
    """Two views of different depth; ``last`` gives the fully random network's correlations by method and seed."""
    rows = []
    for view, depth in (("fc", 2), ("snp", 1)):
        for method, by_seed in last.items():
            for seed, value in enumerate(by_seed):
                for stage in range(depth + 1):
                    found = value if stage == depth else 1.0
                    unsigned = absolute if absolute is not None and stage == depth else found
                    for target, shift in (("low", -0.02), ("high", 0.02)):
                        rows.append((view, target, method, stage, seed, found + shift, unsigned, found, 8))
    return pd.DataFrame(rows, columns=["view", "target_class", "method", "stage", "seed", *MEASURES, "subjects"])


def test_a_method_passes_by_its_mean_over_classes_and_seeds_at_the_last_stage():
    judged = passes(
        hand_made({"gradient": [0.05, 0.1, 0.15], "deconvnet": [0.4, 0.5, 0.6]}).sample(frac=1, random_state=1)
    )
    judged = judged.set_index(["view", "method"]).sort_index()
    for view in ("fc", "snp"):
        assert judged.loc[(view, "gradient"), "rank_correlation"] == pytest.approx(0.1)
        assert judged.loc[(view, "gradient"), "standard_error"] == pytest.approx(0.05 / np.sqrt(3))
        assert judged.loc[(view, "deconvnet"), "rank_correlation"] == pytest.approx(0.5)
        assert not judged.loc[(view, "deconvnet"), "passes"]
    lenient = passes(hand_made({"gradient": [0.03, 0.07]}), limit=0.06)
    assert lenient["passes"].all()
    assert not passes(hand_made({"gradient": [0.03, 0.07]}), limit=0.04)["passes"].any()


def test_signs_that_change_with_the_draw_do_not_cancel():
    judged = passes(hand_made({"grad_cam": [0.8, -0.8], "gradient": [0.05, -0.05]})).set_index("method")
    assert judged.loc["grad_cam", "rank_correlation"].to_list() == pytest.approx([0.8, 0.8])
    assert judged["passes"].to_dict() == {"grad_cam": False, "gradient": True}


def test_a_method_judged_by_few_subjects_says_so():
    table = hand_made({"gradient": [0.05], "grad_cam": [0.5]})
    table.loc[(table["method"] == "grad_cam") & (table["target_class"] == "high"), "subjects"] = 2
    assert "failed by grad_cam (0.50; of some subjects constant, judged by 2)" in verdict(table)


def test_the_verdict_says_in_one_line_per_view_who_passes():
    table = hand_made({"gradient": [-0.001], "deconvnet": [0.5], "grad_cam": [np.nan]})
    line = "passed by gradient (0.02); failed by deconvnet (0.50); not judged grad_cam (constant maps)."
    assert verdict(table).splitlines() == [f"fc: {line}", f"snp: {line}"]
    assert verdict(hand_made({"gradient": [0.02]}, absolute=0.4)).startswith(
        "fc: passed by gradient (0.02, 0.40 without"
    )
    assert not passes(table).query("method == 'grad_cam'")["passes"].any()


def test_a_table_that_is_none_of_randomisation_is_refused():
    with pytest.raises(ValueError, match="the table lacks seed, stage; pass what randomisation gives"):
        passes(hand_made({"gradient": [0.0]}).drop(columns=["stage", "seed"]))
