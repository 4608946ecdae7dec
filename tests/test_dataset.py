"""The dataset of maps: what it holds, what is refused before it is made, and how it is written."""

import copy

import numpy as np
import pytest
import torch
import xarray as xr
from small_networks import SMALL, make_cohort, trained_network

from gcamccl_core.maps.activation import compute_maps
from gcamccl_core.maps.dataset import class_values, flatten_features, linkage_units, map_views
from gcamccl_core.model.networks import CollaborativeNet


@pytest.fixture(scope="module")
def cohort():
    return make_cohort()


@pytest.fixture
def net():
    return copy.deepcopy(trained_network())


def test_maps_carry_their_labels(net, cohort):
    maps = compute_maps(net, cohort, methods=["grad_cam"], progress=False)
    labelled = cohort.isel(subject=cohort["label"].to_numpy() >= 0)
    assert maps["fc"].dims == ("subject", "target_class", "map_method", "roi_i", "roi_j")
    assert maps["fc"].dtype == maps["snp"].dtype == np.float32
    for name in ("subject", "label", "roi_i", "locus", "snp_gene", "roi_network"):
        np.testing.assert_array_equal(maps[name], labelled[name])
    np.testing.assert_allclose(
        maps["fc_symmetric"], (maps["fc"].to_numpy() + maps["fc"].to_numpy().swapaxes(-1, -2)) / 2
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"methods": ["gradcam"]}, "grad_cam_relu.*gradcam"),
        ({"methods": "grad_cam"}, "must list"),
        ({"methods": []}, "must list"),
        ({"layers": {"eeg": "conv1"}}, "no view 'eeg'"),
        ({"layers": {"snp": "conv7"}}, "its layers are conv1, conv2, conv3"),
        ({"subjects": [0, 12]}, "from 0 to 11; got 0 to 12"),
        ({"subjects": np.ones(12, dtype=bool)}, "boolean mask"),
        ({"subjects": []}, "at least one"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_impossible_requests_are_refused(net, cohort, arguments, message):
    with pytest.raises(ValueError, match=message):
        compute_maps(net, cohort, progress=False, **arguments)


def test_another_number_of_classes_is_refused(net, cohort):
    two = cohort.copy()
    two["label"].attrs = {"classes": ["low", "high"]}
    with pytest.raises(ValueError, match="network has 3 classes, the cohort 2"):
        compute_maps(net, two, progress=False)


def test_a_diverged_network_is_an_error_that_names_subjects(net, cohort):
    with torch.no_grad():
        net.heads["fc"].weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="'fc' are not finite in 2 of 2 subjects: s0, s4"):
        compute_maps(net, cohort, subjects=[0, 4], methods=["grad_cam"], progress=False)


def test_maps_are_written_whole_or_not_at_all(net, cohort, tmp_path, monkeypatch):
    out = tmp_path / "maps" / "maps.nc"
    maps = compute_maps(net, cohort, subjects=[0, 1], out=out, progress=False)
    xr.testing.assert_identical(xr.load_dataset(out, engine="h5netcdf"), maps)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        compute_maps(net, cohort, out=out, progress=False)

    def cut_off(dataset, path, **_):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", cut_off)
    before = out.read_bytes()
    with pytest.raises(OSError, match="disk full"):
        compute_maps(net, cohort, subjects=[0], out=out, overwrite=True, progress=False)
    assert out.read_bytes() == before
    assert list(out.parent.iterdir()) == [out]


def test_symmetrised_maps_are_no_views_of_their_own(net, cohort):
    assert map_views(compute_maps(net, cohort, methods=["grad_cam"], subjects=[0], progress=False)) == ["fc", "snp"]


def test_features_are_the_upper_triangle_of_an_image_and_all_of_a_vector():
    image = np.arange(32).reshape(2, 4, 4)
    expected = [[image[s, i, j] for i in range(4) for j in range(i + 1, 4)] for s in range(2)]
    assert flatten_features(image, image=True).tolist() == expected
    assert flatten_features(image, image=False) is image


def test_a_cohort_whose_classes_are_in_another_order_is_refused(cohort):
    net = CollaborativeNet(SMALL, 3, classes=cohort["label"].attrs["classes"]).fit_scaling(cohort, range(12))
    compute_maps(net, cohort, ["gradient"], subjects=[0], progress=False)
    renamed = cohort.copy(deep=True)
    renamed["label"].attrs["classes"] = ["high", "low", "middle"]
    with pytest.raises(ValueError, match="the network's classes are low, middle, high, the cohort's high, low, middle"):
        compute_maps(net, renamed, ["gradient"], subjects=[0], progress=False)


def test_the_number_of_a_class_does_not_depend_on_which_classes_are_there(net, cohort):
    maps = compute_maps(net, cohort, ["gradient"], subjects=[0, 1, 2], progress=False)
    for some in (["high"], ["high", "low"]):
        chosen = maps.sel(target_class=some)
        np.testing.assert_array_equal(
            class_values(chosen, "snp", "high", "gradient"), class_values(maps, "snp", "high", "gradient")
        )


def test_features_without_a_block_are_units_of_their_own(cohort):
    block = np.array(["a", "a", "", None, "b"] + ["c"] * 75, dtype=object)
    units = linkage_units(cohort["snp"].assign_coords(snp_block=("locus", block)))
    assert units[:6].tolist() == [0, 0, 1, 2, 3, 4]
    assert linkage_units(cohort["snp"]) is None
