"""How much of a map lights up, person by person, and the two tests, held against scipy and against counting."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, wilcoxon

from gcamccl_core.maps.activated_share import COLUMNS, PEOPLE, PERSON, activated_share, compare_shares
from gcamccl_core.maps.dataset import class_values
from gcamccl_core.maps.selection import select_biomarkers

CLASSES = ["low", "high", "middle"]
METHOD = "grad_cam_relu"


def make_maps(values, label, classes=CLASSES):
    """Maps (subject, class, feature) of measures, or (subject, class, i, j) of an image with its symmetrised one."""
    values = np.asarray(values, dtype=float)[:, :, None]
    dims = ("subject", "target_class", "map_method")
    features = ("measure",) if values.ndim == 4 else ("roi_i", "roi_j")
    variables = {"view": ((*dims, *features), values, {"role": "map"})}
    names = [f"f{number}" for number in range(values.shape[-1])]
    if values.ndim == 5:
        variables["view_symmetric"] = ((*dims, *features), (values + values.swapaxes(-1, -2)) / 2)
    coords = {"subject": [f"s{number:02d}" for number in range(len(values))], "map_method": [METHOD]}
    coords |= dict.fromkeys(features, names) | {"target_class": classes[: values.shape[1]]}
    return xr.Dataset(variables, coords=coords).assign_coords(label=("subject", label))


def random_maps(seed=0, n=21, n_classes=3, features=40):
    values = np.random.default_rng(seed).normal(size=(n, n_classes, features)) ** 3
    return make_maps(values, np.arange(n) % (n_classes + 1) - 1)


def test_shares_and_means_of_a_small_case_by_hand():
    """Above 5 % of the largest value: of 10 what is above 0.5, and 0.5 itself is not; below zero is nothing."""
    maps = make_maps([[[10, 0.5, 0.6, -40], [2, 2, 2, 2]], [[0, 0, -1, 0], [1, 0, 0, 0.05]]], [0, 1])
    table = activated_share(maps, "view")
    assert list(table.columns) == COLUMNS
    assert table.to_numpy().tolist() == [
        ["s00", "low", "low", 0.5, 11.1 / 4],
        ["s01", "high", "low", 0.0, 0.0],
        ["s00", "low", "high", 1.0, 2.0],
        ["s01", "high", "high", 0.25, 1.05 / 4],
    ]
    at = {level: activated_share(maps, "view", threshold=level)["share"].tolist() for level in (0, 0.06, 0.99)}
    assert at == {0: [0.75, 0, 1, 0.5], 0.06: [0.25, 0, 1, 0.25], 0.99: [0.25, 0, 1, 0.25]}


def test_of_an_image_the_symmetrised_upper_triangle_counts():
    image = np.zeros((1, 1, 4, 4))
    image[0, 0, 1, 0] = 2  # 1 in the symmetrised map
    image[0, 0, 0, 3], image[0, 0, 3, 0] = 4, -4  # cancels
    image[0, 0, 2, 2] = 1000  # the diagonal is no connection
    table = activated_share(make_maps(image, [0]), "view")
    assert table[["share", "mean_value"]].to_numpy().tolist() == [[1 / 6, 1 / 6]]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(1e-4, 1e4), min_size=21, max_size=21), st.floats(0, 0.9), st.integers(0, 2**16))
def test_the_size_of_a_subjects_map_does_not_matter(scales, threshold, seed):
    maps = random_maps(seed)
    scaled = maps.copy()
    scaled["view"] = maps["view"] * xr.DataArray(scales, dims="subject")
    scaled["view"].attrs = maps["view"].attrs
    plain, other = (activated_share(each, "view", threshold=threshold) for each in (maps, scaled))
    np.testing.assert_allclose(other["share"], plain["share"], atol=1 / 40 + 1e-12)  # a value at the threshold may move
    assert (other["share"] == plain["share"]).mean() > 0.9
    factor = np.tile(np.array(scales)[maps["label"].to_numpy() >= 0], 3)
    np.testing.assert_allclose(other["mean_value"], plain["mean_value"] * factor)


def test_it_is_the_standard_of_the_papers_rule():
    """In how many people features are kept, on average over features, is how many features light up, over people."""
    maps = random_maps()
    for threshold in (0.05, 0.3):
        selected = select_biomarkers(maps, threshold, frequency=0, method=METHOD)
        shares = activated_share(maps, "view", threshold=threshold)
        for name in CLASSES:
            own = shares[(shares["map_for"] == name) & (shares["class_of_person"] == name)]
            kept = selected.loc[selected["target_class"] == name, "frequency"]
            assert kept.sum() / 40 == pytest.approx(own["share"].mean())
            assert class_values(maps, "view", name, METHOD).mean() == pytest.approx(own["mean_value"].mean())


def test_everyone_with_a_label_has_one_value_per_map_and_others_none():
    maps = random_maps()
    table = activated_share(maps, "view")
    assert not table.duplicated(["subject", "map_for"]).any()
    label = maps["label"].to_numpy()
    labelled = maps["subject"].to_numpy()[label >= 0]
    for name in CLASSES:
        of_map = table[table["map_for"] == name]
        assert of_map["subject"].tolist() == labelled.tolist()
        assert of_map["class_of_person"].tolist() == [CLASSES[number] for number in label if number >= 0]


def test_classes_keep_their_people_in_another_order_and_where_maps_of_some_were_taken():
    maps = random_maps().assign_attrs(classes=CLASSES)
    full = activated_share(maps, "view").sort_values(["map_for", "subject"], ignore_index=True)
    turned = activated_share(maps.isel(target_class=[2, 0, 1]), "view")
    pd.testing.assert_frame_equal(turned.sort_values(["map_for", "subject"], ignore_index=True), full)
    some = activated_share(maps.sel(target_class=["high"]), "view")
    pd.testing.assert_frame_equal(some, full[full["map_for"] == "high"].reset_index(drop=True))


def test_p_values_are_scipys_and_everybody_counts_once():
    maps = random_maps(n=40)
    shares = activated_share(maps, "view")
    label = maps["label"].to_numpy()
    values = {name: class_values(maps, "view", name, METHOD, subjects="all") for name in CLASSES}
    lit = {name: (of > 0.05 * of.max(axis=1, keepdims=True)).mean(axis=1) for name, of in values.items()}
    tests = compare_shares(shares).set_index(["first", "second", "comparison"])
    assert len(tests) == 6
    for i, j in ((0, 1), (0, 2), (1, 2)):
        one, other = CLASSES[i], CLASSES[j]
        a, b = lit[one][label == i], lit[other][label == j]
        between = tests.loc[one, other, PEOPLE]
        u = mannwhitneyu(a, b)
        assert between["p_value"] == pytest.approx(u.pvalue)
        assert between["superiority"] == pytest.approx(u.statistic / (len(a) * len(b)))
        assert between[["n_first", "n_second"]].tolist() == [10, 10]
        assert between[["mean_first", "mean_second"]].tolist() == pytest.approx([a.mean(), b.mean()])
        pair = (label == i) | (label == j)
        a, b = lit[one][pair], lit[other][pair]
        within = tests.loc[one, other, PERSON]
        assert within["p_value"] == pytest.approx(wilcoxon(a, b).pvalue)
        assert within["superiority"] == pytest.approx((a > b).mean() + (a == b).mean() / 2)
        assert within[["n_first", "n_second"]].tolist() == [20, 20]
        assert within["difference"] == pytest.approx(a.mean() - b.mean())


def test_other_people_and_another_map_are_told_apart():
    """Where the map of a class is larger in everybody, both tests see it; where people differ, only the first one."""
    rng = np.random.default_rng(0)
    people = np.repeat([0.3, 0.6], 20) + rng.normal(0, 0.02, 40)
    rows = {"subject": [f"s{k}" for k in range(40)], "class_of_person": np.repeat(["low", "high"], 20)}
    of_people = pd.concat([pd.DataFrame({**rows, "map_for": name, "share": people}) for name in ("low", "high")])
    of_maps = of_people.assign(share=0.4 + 0.1 * of_people["map_for"].eq("high") + rng.normal(0, 0.02, 80))
    found = {
        what: compare_shares(shares).set_index("comparison")
        for what, shares in (("people", of_people), ("maps", of_maps))
    }
    assert found["people"].loc[PEOPLE, "p_value"] < 1e-6
    assert found["people"].loc[PEOPLE, "difference"] == pytest.approx(-0.3, abs=0.02)
    assert found["people"].loc[PERSON, ["difference", "superiority", "p_value"]].tolist() == [0, 0.5, 1]
    assert (found["maps"]["p_value"] < 1e-6).all()
    assert found["maps"]["difference"].tolist() == pytest.approx([-0.1, -0.1], abs=0.02)


def test_turning_classes_round_turns_differences_round():
    shares = activated_share(random_maps(n_classes=2), "view")
    forward, backward = (
        compare_shares(each).set_index("comparison")
        for each in (shares, shares.sort_values("map_for", kind="stable"))  # high before low
    )
    assert backward[["first", "second"]].to_numpy().tolist() == [["high", "low"]] * 2
    np.testing.assert_allclose(backward["difference"], -forward["difference"], atol=1e-15)
    np.testing.assert_allclose(backward["superiority"], 1 - forward["superiority"])
    np.testing.assert_allclose(backward["p_value"], forward["p_value"])


def test_mean_values_can_be_compared_as_well():
    shares = activated_share(random_maps(n_classes=2), "view")
    expected = compare_shares(shares.assign(share=shares["mean_value"]))
    pd.testing.assert_frame_equal(compare_shares(shares, "mean_value"), expected)


def test_a_class_without_people_is_compared_with_nobody():
    maps = random_maps(n_classes=3)
    few = maps.isel(subject=np.flatnonzero(maps["label"].to_numpy() != 2))
    tests = compare_shares(activated_share(few, "view")).set_index(["second", "comparison"]).loc["middle"]
    assert tests.loc[PEOPLE, ["difference", "p_value"]].isna().all(axis=None)
    assert tests.loc[PEOPLE, "n_second"].tolist() == [0, 0]
    assert tests.loc[PERSON, "p_value"].between(0, 1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 1.0}, "threshold must be at least 0 and below 1, got 1.0"),
        ({"threshold": -0.1}, "threshold must be at least 0 and below 1, got -0.1"),
        ({"view": "eeg"}, "no view 'eeg'; they have view"),
        ({"method": "lime"}, "no method 'lime'; they have grad_cam_relu"),
    ],
)
def test_impossible_requests_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        activated_share(random_maps(), **{"view": "view", **arguments})


def test_one_class_is_no_comparison():
    shares = activated_share(random_maps(), "view")
    with pytest.raises(ValueError, match="needs maps for at least two classes, got 1"):
        compare_shares(shares[shares["map_for"] == "low"])
