"""The scorecard: perfect and useless maps get what they deserve, by hand-computed values, beside honest controls."""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind
from sklearn.metrics import average_precision_score, roc_auc_score

from gcamccl_core.maps.activation import compute_maps
from gcamccl_core.maps.class_scores import truth_of_class, univariate_scores
from gcamccl_core.maps.evidence import scorecard, verdict
from gcamccl_core.maps.random_weights import random_weights_like
from gcamccl_core.maps.recovery_measures import METRICS, auroc_within_block, share_of_best
from gcamccl_core.model.networks import CollaborativeNet

CLASSES = ["low", "high"]
SIDE, SNPS = 10, 12
BLOCK = np.repeat(np.arange(6), 2)


def make_cohort(n=30, seed=0):
    """Edge (0, 1) is stronger in the high class, (2, 3) in the low; SNP 0 speaks for high, SNP 4 for low."""
    rng = np.random.default_rng(seed)
    label = np.resize([0, 1, -1], n)
    fc = rng.normal(0, 0.1, (n, SIDE, SIDE))
    fc[label == 1, 0, 1] += 0.5
    fc[label == 0, 2, 3] += 0.5
    snp = rng.integers(0, 3, (n, SNPS)).astype("float32")
    snp[label == 1, 0], snp[label == 0, 0] = 2, np.nan_to_num(snp[label == 0, 0]) // 2
    truth_fc, truth_snp = np.zeros((2, SIDE, SIDE), dtype=bool), np.zeros((2, SNPS), dtype=bool)
    truth_fc[1, 0, 1] = truth_fc[1, 1, 0] = truth_fc[0, 2, 3] = truth_fc[0, 3, 2] = True
    truth_snp[1, 0] = truth_snp[0, 4] = True
    population_fc, population_snp = truth_fc.copy(), truth_snp.copy()
    population_fc[1, 0, 2] = population_fc[1, 2, 0] = population_snp[1, 6] = True
    regions = [f"region {i}" for i in range(SIDE)]
    edges, loci = ("target_class", "roi_i", "roi_j"), ("target_class", "locus")
    views = {"role": "view"}
    return xr.Dataset(
        {
            "fc": (("subject", "roi_i", "roi_j"), np.triu(fc) + np.triu(fc, 1).swapaxes(1, 2), views),
            "snp": (("subject", "locus"), snp, views | {"kind": "genotype"}),
            "label": ("subject", label, {"classes": CLASSES}),
            "truth_fc": (edges, truth_fc),
            "truth_snp": (loci, truth_snp),
            "population_truth_fc": (edges, population_fc),
            "population_truth_snp": (loci, population_snp),
        },
        coords={
            "subject": [f"s{i}" for i in range(n)],
            "roi_i": regions,
            "roi_j": regions,
            "locus": [f"rs{i}" for i in range(SNPS)],
            "snp_block": ("locus", BLOCK),
            "target_class": CLASSES,
        },
    )


def make_maps(cohort, fc, snp, methods=("grad_cam",)):
    """Maps from arrays (subject, class, method, *view shape)."""
    dims = ("subject", "target_class", "map_method")
    return xr.Dataset(
        {
            "fc": ((*dims, "roi_i", "roi_j"), fc, {"role": "map"}),
            "fc_symmetric": ((*dims, "roi_i", "roi_j"), (fc + fc.swapaxes(-1, -2)) / 2, {"role": "symmetric map"}),
            "snp": ((*dims, "locus"), snp, {"role": "map"}),
        },
        coords={name: cohort.coords[name] for name in ("subject", "roi_i", "roi_j", "locus", "snp_block")}
        | {"target_class": CLASSES, "map_method": list(methods), "label": cohort["label"].variable},
    )


@pytest.fixture(scope="module")
def cohort():
    return make_cohort()


@pytest.fixture
def perfect(cohort):
    n = cohort.sizes["subject"]
    fc, snp = (cohort[f"truth_{view}"].to_numpy().astype(float) for view in ("fc", "snp"))
    return make_maps(cohort, np.tile(fc[:, None], (n, 1, 1, 1, 1)), np.tile(snp[:, None], (n, 1, 1, 1)))


@pytest.fixture
def noise(cohort):
    rng = np.random.default_rng(3)
    n = cohort.sizes["subject"]
    return make_maps(cohort, rng.normal(size=(n, 2, 1, SIDE, SIDE)), rng.normal(size=(n, 2, 1, SNPS)))


def test_a_perfect_map_scores_one_everywhere(perfect, cohort):
    scores = scorecard(perfect, cohort).query("source == 'model'")
    assert len(scores) == 4
    assert (scores[["auroc", "average_precision", "precision_at_k"]] == 1).all(axis=None)
    assert (scores["false_discovery_at_k"] == 0).all()
    assert scores.set_index("view")["units"].to_dict() == {"fc": SIDE * (SIDE - 1) // 2, "snp": 6}


def test_scores_equal_those_computed_by_hand(noise, cohort):
    """Mean over the class's own subjects of the positive part; upper triangle; largest SNP of each block."""
    scores = scorecard(noise, cohort).query("source == 'model'").set_index(["view", "target_class"])
    members = cohort["label"].to_numpy() == 1
    upper = np.triu_indices(SIDE, k=1)
    edge = np.maximum(noise["fc_symmetric"].to_numpy()[members, 1, 0], 0).mean(axis=0)[upper]
    snp = np.maximum(noise["snp"].to_numpy()[members, 1, 0], 0).mean(axis=0).reshape(6, 2).max(axis=1)
    for view, score, planted in (
        ("fc", edge, cohort["truth_fc"].to_numpy()[1][upper]),
        ("snp", snp, cohort["truth_snp"].to_numpy()[1].reshape(6, 2).any(axis=1)),
    ):
        row = scores.loc[(view, "high")]
        assert row["auroc"] == pytest.approx(roc_auc_score(planted, score))
        assert row["average_precision"] == pytest.approx(average_precision_score(planted, score))
        assert row["precision_at_k"] == planted[np.argmax(score)]
        assert row["chance"] == planted.mean()


def test_false_discoveries_are_judged_by_the_population(cohort, perfect):
    """A map of the connection that only follows from the planted one recovers nothing but discovers nothing false."""
    fc = np.zeros_like(perfect["fc"])
    fc[:, 1, 0, 0, 2] = 1
    row = scorecard(make_maps(cohort, fc, perfect["snp"].to_numpy()), cohort).query(
        "view == 'fc' and source == 'model'"
    )
    high = row.set_index("target_class").loc["high"]
    assert (high["precision_at_k"], high["false_discovery_at_k"]) == (0, 0)


def test_only_the_positive_part_counts(cohort, perfect):
    negative = make_maps(cohort, -perfect["fc"].to_numpy(), -perfect["snp"].to_numpy())
    scores = scorecard(negative, cohort)
    model, chance = (
        scores.query("source == @source").set_index(["view", "target_class"])["average_precision"]
        for source in ("model", "chance")
    )
    assert model.to_dict() == chance.to_dict()


def test_chance_is_the_share_that_was_planted(noise, cohort):
    chance = scorecard(noise, cohort).query("source == 'chance'")
    assert (chance["auroc"] == 0.5).all()
    np.testing.assert_allclose(chance["average_precision"], chance["k"] / chance["units"])
    np.testing.assert_allclose(chance["precision_at_k"], chance["k"] / chance["units"])


def test_the_t_test_is_signed_by_class_and_uses_training_subjects_alone(noise, cohort):
    train = np.arange(20)
    scores = scorecard(noise, cohort, train=train).query("method == 't_test' and view == 'fc'")
    assert (scores["average_precision"] == 1).all()
    training = cohort.isel(subject=train)
    low, high = (training["fc"].to_numpy()[training["label"] == c, 0, 1] for c in (0, 1))
    for name, first, second in (("high", high, low), ("low", low, high)):
        statistic = univariate_scores(training, "fc", name, image=True)["t_test"][0]
        assert statistic == pytest.approx(ttest_ind(first, second, equal_var=False).statistic)
    changed = cohort.copy(deep=True)
    changed["fc"][20:] = 0
    assert (
        scorecard(noise, changed, train=train)
        .query("source == 'univariate'")
        .equals(scorecard(noise, cohort, train=train).query("source == 'univariate'"))
    )


def test_missing_genotypes_are_left_out_of_the_univariate_controls(cohort):
    missing = cohort.copy(deep=True)
    missing["snp"][3, 5] = np.nan
    scores = univariate_scores(missing, "snp", "high", image=False)
    label = missing["label"].to_numpy()
    assert scores["mean_value"][5] == pytest.approx(np.nanmean(missing["snp"].to_numpy()[label >= 0, 5]))
    assert np.isfinite(scores["t_test"]).all()


def test_controls_are_scored_like_the_model(noise, perfect, cohort):
    scores = scorecard(noise, cohort, controls={"random weights": perfect})
    assert (scores.query("source == 'random weights'")["average_precision"] == 1).all()
    assert set(scores["source"]) == {"model", "the other class", "random weights", "chance"}


def test_maps_for_the_other_class_in_the_same_subjects_are_a_control(noise, perfect, cohort):
    """A map that ignores the class finds as much when it is asked for the other one; a perfect map finds nothing."""
    both = cohort["truth_fc"].any("target_class").to_numpy()
    blind = perfect.copy(deep=True)
    blind["fc"][:] = blind["fc_symmetric"][:] = both
    scores = scorecard(blind, cohort).query("view == 'fc'").set_index(["source", "target_class"])
    for target_class in CLASSES:
        model, other = (scores.loc[(source, target_class)] for source in ("model", "the other class"))
        assert model["average_precision"] == other["average_precision"] == 0.5  # one of two that are equally high
    other = scorecard(perfect, cohort).query("source == 'the other class'")
    assert (other["auroc"] < 0.5).all()
    changed = noise.copy(deep=True)  # what the other subjects' maps hold does not matter
    changed["snp"][{"subject": (cohort["label"] != 1).to_numpy()}] = 0
    of_high = "source == 'the other class' and target_class == 'high' and view == 'snp'"
    assert scorecard(changed, cohort).query(of_high).equals(scorecard(noise, cohort).query(of_high))


def test_a_map_that_knows_the_networks_alone_stays_at_half_within_them(perfect, cohort):
    """All edges of the block that holds the planted one: nearly perfect overall, and blind within."""
    named = cohort.assign(roi_network=("roi", ["Visual"] * 4 + ["Default"] * 6))
    block = np.zeros((SIDE, SIDE))
    block[:4, :4] = 1
    knows_networks = perfect.copy(deep=True)
    knows_networks["fc"][:] = knows_networks["fc_symmetric"][:] = block
    scores = scorecard(knows_networks, named).query("source == 'model'").set_index("view")
    ties = 5  # with the planted edge; the other 39 are below
    np.testing.assert_allclose(scores.loc["fc", "auroc"], 1 - ties / 44 / 2)
    assert (scores.loc["fc", "auroc_within_block"] == 0.5).all()
    assert scores.loc["snp", "auroc_within_block"].isna().all()
    found = scorecard(perfect, named).query("source == 'model' and view == 'fc'")
    assert (found["auroc_within_block"] == 1).all()
    assert scorecard(perfect, cohort)["auroc_within_block"].isna().all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.sampled_from("abc")), min_size=1, max_size=12))
def test_the_area_within_blocks_is_a_chance_counted_by_hand(units):
    """Over the true units: the share of untrue ones of the same block that score less, ties by half."""
    score, truth, block = (np.array(column) for column in zip(*units, strict=True))
    shares = []
    for unit in np.flatnonzero(truth):
        rivals = score[(block == block[unit]) & ~truth]
        if len(rivals):
            shares.append(((rivals < score[unit]) + (rivals == score[unit]) / 2).mean())
    expected = np.mean(shares) if shares else np.nan
    assert auroc_within_block(score, truth, block) == pytest.approx(expected, nan_ok=True)


def test_a_class_that_nothing_was_planted_for_has_no_scores(noise, cohort):
    null = cohort.copy(deep=True)
    for name in ("truth_fc", "population_truth_fc"):
        null[name][:] = False
    scores = scorecard(noise, null).query("view == 'fc'")
    assert scores[METRICS].isna().all(axis=None)
    assert "fc: nothing was planted" in verdict(scorecard(noise, null))


def test_a_cohort_without_truth_is_refused(noise, cohort):
    with pytest.raises(ValueError, match=r"no truth_snp.*only simulations"):
        scorecard(noise, cohort.drop_vars("truth_snp"))
    with pytest.raises(ValueError, match="no population_truth_fc"):
        scorecard(noise, cohort.drop_vars("population_truth_fc"))


def test_maps_of_other_features_are_refused(noise, cohort):
    renamed = cohort.assign_coords(locus=[f"other{i}" for i in range(SNPS)])
    with pytest.raises(ValueError, match="differ along 'locus' of view 'snp'"):
        scorecard(noise, renamed)


def test_maps_without_subjects_of_a_class_are_refused(noise, cohort):
    with pytest.raises(ValueError, match="no subject of class 'high'"):
        scorecard(noise.isel(subject=[0, 3]), cohort)


def test_a_class_unknown_to_the_simulation_has_no_truth(cohort):
    assert not truth_of_class(cohort, "snp", "middle").any()
    assert truth_of_class(cohort, "fc", "high").sum() == 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=7), st.data())
def test_ties_count_by_expectation(units, data):
    """The share among the k best equals its mean over every order in which ties could have been broken."""
    score, truth = (np.array(column) for column in zip(*units, strict=True))
    k = data.draw(st.integers(1, len(units)))
    rng = np.random.default_rng(0)
    orders = [np.lexsort((rng.random(len(score)), -score))[:k] for _ in range(4000)]
    simulated = np.mean([truth[order].mean() for order in orders])
    assert share_of_best(score, truth, k) == pytest.approx(simulated, abs=0.05)


def test_random_weights_leave_the_original_and_the_generator_alone():
    torch.manual_seed(4)
    net = CollaborativeNet({"snp": (80,)})
    net.scalings["snp"].center.fill_(0.7)
    before, state = {k: v.clone() for k, v in net.state_dict().items()}, torch.get_rng_state()
    first, again, other = (random_weights_like(net, seed) for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], value) or value.isnan().all() for name, value in net.state_dict().items())
    weights = [candidate.encoders["snp"].conv1.conv.weight for candidate in (net, first, again, other)]
    assert torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[1], weights[0])
    assert not torch.equal(weights[1], weights[3])
    assert torch.equal(first.scalings["snp"].center, net.scalings["snp"].center)


def test_a_real_run_from_network_to_verdict(cohort):
    wide = cohort.reindex(locus=[*cohort["locus"].to_numpy(), *[f"x{i}" for i in range(68)]], fill_value=0)
    wide["snp"][:, SNPS:] = np.random.default_rng(1).integers(0, 3, (30, 68))
    torch.manual_seed(0)
    net = CollaborativeNet({"snp": (80,)}).fit_scaling(wide, range(20))
    maps, control = (
        compute_maps(each, wide, subjects=np.flatnonzero(wide["label"] >= 0), progress=False)
        for each in (net, random_weights_like(net))
    )
    scores = scorecard(maps, wide, train=range(20), controls={"random weights": control})
    assert len(scores) == 2 * (5 + 5 + 5 + 2 + 1)
    assert scores.drop(columns="auroc_within_block").notna().all(axis=None)  # SNPs have no networks
    line = verdict(scores, "guided_grad_cam")
    found = scores.query("source == 'model' and method == 'guided_grad_cam'")["average_precision"].mean()
    assert line.startswith(f"snp: guided_grad_cam has an average precision of {found:.2f}")
    assert "guided_grad_cam of random weights" in line
    assert "guided_grad_cam of the other class" in line
    assert "class_contrast" not in line


def test_the_verdict_says_who_wins(noise, perfect, cohort):
    good = verdict(scorecard(perfect, cohort, controls={"random weights": noise})).splitlines()
    bad = verdict(scorecard(noise, cohort, controls={"random weights": perfect})).splitlines()
    assert [line.split(":")[0] for line in good] == ["fc", "snp"]
    assert "1.00, above grad_cam of the other class" in good[0]
    assert "grad_cam of random weights" in good[0]
    assert "not above" not in good[0]
    assert "grad_cam of random weights (1.00)" in bad[0].split("not above")[-1]
    with pytest.raises(ValueError, match="no map method 'cam'"):
        verdict(scorecard(noise, cohort), "cam")


def test_networks_of_regions_are_found_by_name_whatever_the_order_of_the_image(noise, cohort):
    regions = cohort["roi_i"].to_numpy()
    network = np.array(["visual", "motor"])[np.arange(SIDE) % 2]
    named = cohort.assign_coords(roi=regions).assign(roi_network=("roi", network))
    order = np.random.default_rng(0).permutation(SIDE)
    scores = scorecard(noise, named)["auroc_within_block"]
    moved = scorecard(*(each.isel(roi_i=order, roi_j=order) for each in (noise, named)))["auroc_within_block"]
    assert scores.notna().any()
    np.testing.assert_allclose(moved, scores)
