"""Training by DCL and DCCA, and in half precision: learns, hands out features, refuses what cannot be computed."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from small_cohorts import planted_cohort

from gcamccl_core.data.cohort import make_split
from gcamccl_core.model.epochs import Training
from gcamccl_core.model.evaluation import evaluate
from gcamccl_core.model.losses import canonical_correlations, dcca_loss, fusion_terms
from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.training import fit, fit_many

FEATURES = Recipe.features("dcl", epochs=12, batch_size=16, learning_rate=3e-4)


# its validation part of 14 is below eight times the latent size, which is said once more in every epoch
pytestmark = pytest.mark.filterwarnings("ignore:14 subjects are fewer than eight times:UserWarning")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def cohort():
    return planted_cohort(strength=2.0)


@pytest.fixture(scope="module")
def split(cohort):
    return make_split(cohort, seed=1)


@pytest.fixture(scope="module")
def trained(cohort, split):
    recipes = {"dcl": FEATURES, "dcca": dataclasses.replace(FEATURES, fusion="dcca", learning_rate=1e-2)}
    return {fusion: fit(cohort, split, recipe, seed=3, progress=False) for fusion, recipe in recipes.items()}


@pytest.mark.parametrize("fusion", ["dcl", "dcca"])
def test_the_loss_falls_and_no_classifier_is_spoken_of(trained, fusion):
    history = trained[fusion].history
    assert history[["cross_entropy", "accuracy"]].isna().all(axis=None)
    assert np.isfinite(history[["loss", "fit", "agreement"]].to_numpy(float)).all()
    train = history.query("part == 'train'")["loss"].to_numpy()
    assert train[-3:].mean() < train[:3].mean() - 0.1
    assert history["agreement"].between(-2, 0).all()
    assert (history["fit"] == 0).all() == (fusion == "dcca")


@pytest.mark.parametrize("fusion", ["dcl", "dcca"])
def test_the_epoch_is_that_of_the_least_loss_and_the_kept_network_has_it(trained, cohort, split, fusion):
    one = trained[fusion]
    validation = one.history.query("part == 'validation'").set_index("epoch")["loss"]
    assert one.selected == {"loss": validation.idxmin()}
    with torch.inference_mode():
        outputs = one.net(one.net.prepare(cohort, split.validation))
    assert [tuple(each.shape) for each in outputs.values()] == [(len(split.validation), one.recipe.latent)] * 2
    target = torch.from_numpy(cohort["label"].to_numpy()[split.validation]).float()
    fit_, agreement = fusion_terms(fusion, outputs, target)
    as_one_batch = one.recipe.batch_size / len(target)  # DCL's is a sum over subjects; DCCA has no fit
    assert (as_one_batch * fit_ + agreement).item() == pytest.approx(validation.min(), rel=1e-4)


def test_dcca_finds_what_the_views_share_in_subjects_it_never_saw(trained, cohort, split):
    one, held_out = trained["dcca"], np.concatenate([split.validation, split.test])
    with torch.inference_mode():
        outputs = one.net(one.net.prepare(cohort, held_out))
    z1, z2 = outputs.values()
    shuffled = z2[torch.randperm(len(z2), generator=torch.Generator().manual_seed(0))]
    assert canonical_correlations(z1, z2)[0] > 0.75
    assert canonical_correlations(z1, shuffled)[0] < 0.6


def test_features_are_64_per_view_in_the_order_of_the_cohort_and_tell_the_classes(trained, cohort, split):
    one = trained["dcl"]
    table = one.features(cohort)
    assert list(table.columns) == [f"{view} {number}" for view in ("fc", "snp") for number in range(64)]
    assert list(table.index) == list(cohort["subject"].to_numpy())
    assert table.index.name == "subject"
    assert (table >= 0).all(axis=None)
    with torch.inference_mode():
        by_hand = one.net.features(one.net.prepare(cohort))
    np.testing.assert_allclose(table.filter(like="snp"), by_hand["snp"], rtol=1e-5, atol=1e-6)
    chosen = one.features(cohort.drop_vars("label"), [7, 2])
    np.testing.assert_allclose(chosen, table.iloc[[7, 2]], rtol=1e-5, atol=1e-6)
    label = cohort["label"].to_numpy()
    reader = LogisticRegression(max_iter=1000).fit(table.iloc[split.train], label[split.train])
    held_out = np.concatenate([split.validation, split.test])
    assert reader.score(table.iloc[held_out], label[held_out]) > 0.8


@pytest.mark.parametrize("fusion", ["dcl", "dcca"])
def test_what_has_no_classifier_predicts_no_class(trained, cohort, split, fusion):
    message = rf"a network trained by {fusion} has no classifier; give its features\(\) to one"
    for ask in (lambda: trained[fusion].predict_proba(cohort, split.test), lambda: evaluate([trained[fusion]], cohort)):
        with pytest.raises(ValueError, match=message):
            ask()
    with pytest.raises(ValueError, match="rule must be loss, got 'cross_entropy'"):
        trained[fusion].net_at("cross_entropy")


def test_three_classes_are_regressed_on_a_column_each():
    cohort = planted_cohort(n=150, n_classes=3, strength=2.0)
    split = make_split(cohort, seed=0)
    one = fit(cohort, split, dataclasses.replace(FEATURES, epochs=2), progress=False)
    last = one.history.query("part == 'validation'").set_index("epoch")["fit"][one.selected["loss"]]
    with torch.inference_mode():
        outputs = one.net(one.net.prepare(cohort, split.validation))
    columns = torch.from_numpy(np.eye(3)[cohort["label"].to_numpy()[split.validation]])
    residuals = fusion_terms("dcl", outputs, columns)[0].item() * FEATURES.batch_size / len(columns)
    assert last == pytest.approx(residuals, rel=1e-4)


def test_parts_of_unlike_sizes_have_like_losses():
    """The same people twice over: no more to explain in each, so DCL records the same loss."""
    net = CollaborativeNet({"fc": (24, 24), "snp": (60,)}, n_classes=2)
    training = Training(net, FEATURES, seed=0)
    generator = torch.Generator().manual_seed(0)
    outputs = {view: torch.randn(20, 2, generator=generator) for view in ("fc", "snp")}
    target = torch.arange(20) % 2
    for copies in (1, 2, 5):
        training._record("validation", {v: z.repeat(copies, 1) for v, z in outputs.items()}, target.repeat(copies))
    losses = [row["loss"] for row in training.history]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-4)


def test_the_weight_of_agreement_is_that_of_the_correlation(cohort, split):
    one = fit(cohort, split, dataclasses.replace(FEATURES, epochs=1, agreement=0.25), progress=False)
    np.testing.assert_allclose(one.history["loss"], one.history["fit"] + 0.25 * one.history["agreement"], rtol=1e-6)


@pytest.mark.parametrize(("n_train", "seen"), [(48, 48), (47, 32), (40, 32)])
def test_a_last_batch_too_small_for_correlations_is_left_out(cohort, split, monkeypatch, n_train, seen):
    sizes = []

    def count(z1, z2, *rest):
        sizes.append(len(z1))
        return dcca_loss(z1, z2, *rest)

    monkeypatch.setattr("gcamccl_core.model.losses.dcca_loss", count)
    recipe = dataclasses.replace(FEATURES, epochs=1)
    assert recipe.smallest_batch == 16
    fit(cohort, dataclasses.replace(split, train=split.train[:n_train]), recipe, progress=False)
    *steps, whole, validation = sizes
    assert steps == [16] * (seen // 16)
    assert (whole, validation) == (seen, len(split.validation))


def test_what_dcl_and_dcca_cannot_be_computed_on_is_refused_before_anything_starts(cohort, split, tmp_path):
    three = planted_cohort(n=60, extra_view=True)
    cases = [
        (three, make_split(three), "dcl", "dcl joins two views; the cohort has 3: fc, snp, thickness"),
        (cohort.drop_vars("snp"), split, "dcca", "dcca joins two views; the cohort has 1: fc"),
        (
            cohort,
            dataclasses.replace(split, validation=split.validation[:3]),
            "dcl",
            "3 validation subjects are fewer than twice latent, 4; lower latent or give the validation part more",
        ),
    ]
    for data, division, fusion, message in cases:
        with pytest.raises(ValueError, match=message):
            fit(data, division, dataclasses.replace(FEATURES, fusion=fusion), out=tmp_path / "kept", progress=False)
    assert not (tmp_path / "kept").exists()


def test_bfloat16_ends_near_single_precision_and_keeps_single_precision_weights(cohort, split, tmp_path):
    held_out, label = np.concatenate([split.validation, split.test]), cohort["label"].to_numpy()
    right, weights = {}, {}
    for precision in ("float32", "bfloat16"):
        recipe = Recipe(epochs=8, learning_rate=1e-3, patience=None, precision=precision)
        one = fit(cohort, split, recipe, seed=3, out=tmp_path, progress=False)
        right[precision] = (one.predict_proba(cohort, held_out).to_numpy().argmax(axis=1) == label[held_out]).mean()
        weights[precision] = one.net.state_dict()
    assert right["float32"] > 0.8
    assert right["bfloat16"] == pytest.approx(right["float32"], abs=0.1)
    floating = {name: each for name, each in weights["bfloat16"].items() if each.is_floating_point()}
    assert {each.dtype for each in floating.values()} == {torch.float32}
    assert any(not torch.equal(each, weights["float32"][name]) for name, each in floating.items())


def test_dcl_in_bfloat16_trains_and_takes_its_loss_in_single_precision(cohort, split):
    half = dataclasses.replace(FEATURES, epochs=1, precision="bfloat16")
    histories = [
        fit(cohort, split, recipe, seed=3, progress=False).history
        for recipe in (dataclasses.replace(half, precision="float32"), half)
    ]
    single, rounded = (history.query("part == 'train'")["loss"].item() for history in histories)
    assert rounded == pytest.approx(single, rel=0.02)
    assert rounded != single


def test_networks_of_different_losses_have_folders_of_their_own(cohort, split, tmp_path):
    for recipe in (FEATURES, dataclasses.replace(FEATURES, fusion="dcca")):
        fit_many(cohort, [split], [0], dataclasses.replace(recipe, epochs=1), tmp_path, progress=False)
    folders = sorted(tmp_path.iterdir())
    assert len(folders) == 2
    assert all(sorted(f.name for f in folder.iterdir()) == ["loss.safetensors", "training.json"] for folder in folders)
