"""Maps written batch by batch: those of the same request in memory, whole or not at all, selected from in pieces."""

import copy

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import make_cohort, trained_network

from gcamccl_core import disk_faults, pieces
from gcamccl_core.data.cohort import open_on_disk, save_cohort
from gcamccl_core.maps import cohort_maps, selection, stored_maps
from gcamccl_core.maps.cohort_maps import compute_maps
from gcamccl_core.maps.dataset import class_values, map_views, write_maps
from gcamccl_core.maps.selection import select_biomarkers
from gcamccl_core.maps.stored_maps import open_maps, size_of_maps
from gcamccl_core.provenance import hash_data

METHODS = ["grad_cam", "guided_grad_cam"]


@pytest.fixture(scope="module")
def cohort():
    return make_cohort(n=20).assign_coords(site=("subject", [f"site {i % 3}" for i in range(20)]))


@pytest.fixture
def net():
    return copy.deepcopy(trained_network())


@pytest.fixture
def streaming(monkeypatch):
    monkeypatch.setattr(cohort_maps, "HELD", 0)


def test_maps_written_in_batches_are_those_held_in_memory(net, cohort, tmp_path, monkeypatch):
    request = {"methods": METHODS, "subjects": [3, 1, 8, 0, 19], "batch_size": 2, "progress": False}
    expected = compute_maps(net, cohort, out=tmp_path / "small.nc", **request)
    assert not pieces.on_disk(expected)
    monkeypatch.setattr(cohort_maps, "HELD", 0)
    found = compute_maps(net, cohort, out=tmp_path / "large.nc", **request)
    assert pieces.on_disk(found["fc_symmetric"])
    assert not any(pieces.on_disk(coordinate) for coordinate in found.coords.values())
    assert map_views(found) == ["fc", "snp"]
    assert hash_data(found) == hash_data(expected) == hash_data(xr.load_dataset(tmp_path / "small.nc"))
    xr.testing.assert_identical(xr.load_dataset(tmp_path / "large.nc", engine="h5netcdf"), expected)


@pytest.mark.usefixtures("streaming")
def test_a_background_is_told_and_a_cohort_on_disk_gives_the_same_maps(net, cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE", 10_000)
    request = {"methods": ["expected_gradients"], "background": [0, 1], "steps": 2, "progress": False}
    expected = compute_maps(net, cohort, **request)
    with open_on_disk(save_cohort(cohort, tmp_path / "cohort.nc")) as stored:
        found = compute_maps(net, stored, out=tmp_path / "maps.nc", **request)
    assert found.attrs["background"] == expected.attrs["background"]
    assert hash_data(found) == hash_data(expected)


@pytest.mark.usefixtures("streaming")
def test_a_request_that_fails_leaves_the_file_as_it_was(net, cohort, tmp_path, monkeypatch):
    out = tmp_path / "maps.nc"
    compute_maps(net, cohort, METHODS, subjects=[0], out=out, progress=False)
    before = out.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        compute_maps(net, cohort, METHODS, subjects=[0, 1], out=out, progress=False)
    broken = cohort.copy(deep=True)
    broken["fc"][4] = np.inf
    with pytest.raises(ValueError, match="not finite in 1 of 2 subjects: s4"):
        compute_maps(net, broken, METHODS, None, [0, 1, 2, 4, 5], 2, out, overwrite=True, progress=False)
    monkeypatch.setattr(disk_faults, "free_bytes", lambda path: 1000)
    with pytest.raises(disk_faults.StorageError, match=r"maps.nc takes .* MiB, its disk has 0.0 MiB left; make room"):
        compute_maps(net, cohort, METHODS, out=out, overwrite=True, progress=False)
    assert out.read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]


def test_maps_too_large_for_memory_are_refused_without_a_file(net, cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "available_memory", lambda: 1000)
    with pytest.raises(MemoryError, match=r"the maps of 15 subjects: this takes .*pass out='maps.nc'"):
        compute_maps(net, cohort, METHODS, progress=False)


@pytest.mark.usefixtures("streaming")
def test_one_batch_at_a_time_is_held(net, cohort, tmp_path, monkeypatch):
    sizes = []
    label_maps = stored_maps.label_maps

    def watched(values, *rest):
        sizes.append({len(array) for array in values.values()})
        return label_maps(values, *rest)

    monkeypatch.setattr(stored_maps, "label_maps", watched)
    compute_maps(net, cohort, METHODS, subjects=range(7), batch_size=3, out=tmp_path / "maps.nc", progress=False)
    assert sizes == [{3}, {3}, {1}]


def test_the_size_of_maps_is_that_of_their_values(net, cohort):
    maps = compute_maps(net, cohort, METHODS, subjects=[0, 1], progress=False)
    assert size_of_maps(net.views, 2, 3, 2) == sum(variable.nbytes for variable in maps.data_vars.values())


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file of maps .*nowhere.nc"):
        open_maps(tmp_path / "nowhere.nc")


def random_maps(n, seed):
    rng = np.random.default_rng(seed)
    dims = ("subject", "target_class", "map_method")
    image = rng.normal(size=(n, 2, 1, 6, 6)).astype(np.float32)
    variables = {
        "fc": ((*dims, "roi_i", "roi_j"), image, {"role": "map"}),
        "fc_symmetric": ((*dims, "roi_i", "roi_j"), (image + image.swapaxes(3, 4)) / 2, {"role": "symmetric map"}),
        "snp": ((*dims, "locus"), rng.normal(size=(n, 2, 1, 9)).astype(np.float32), {"role": "map"}),
    }
    coords = {
        "subject": [f"s{i}" for i in range(n)],
        "target_class": ["low", "high"],
        "map_method": ["guided_grad_cam"],
        "roi_i": [f"r{i}" for i in range(6)],
        "roi_j": [f"r{i}" for i in range(6)],
        "locus": [f"rs{i}" for i in range(9)],
        "label": ("subject", np.arange(n) % 2),
    }
    return xr.Dataset(variables, coords, {"classes": ["low", "high"]})


@settings(max_examples=15, deadline=None)
@given(st.integers(4, 30), st.integers(1, 20), st.sampled_from(["class", "all"]), st.integers(0, 99))
def test_selecting_from_disk_in_pieces_is_selecting_in_memory(tmp_path_factory, n, at_once, subjects, seed):
    maps = random_maps(n, seed)
    request = {"frequency": 0.3, "subjects": subjects}
    expected = select_biomarkers(maps, **request)
    with (
        pytest.MonkeyPatch.context() as patch,
        open_maps(write_maps(maps, tmp_path_factory.mktemp("maps") / "maps.nc")) as stored,
    ):
        patch.setattr(selection, "SUBJECTS_AT_ONCE", at_once)
        found = select_biomarkers(stored, **request)
        assert pieces.on_disk(stored["fc"])
        np.testing.assert_array_equal(
            class_values(stored, "fc", "low", "guided_grad_cam"), class_values(maps, "fc", "low", "guided_grad_cam")
        )
    keys = ["view", "target_class", "feature"]
    # where means of unlike sums differ in the last digit, ranks of equal frequency may change places
    found, expected = (each.sort_values(keys, ignore_index=True).drop(columns="rank") for each in (found, expected))
    pd.testing.assert_frame_equal(found.drop(columns="mean_value"), expected.drop(columns="mean_value"))
    np.testing.assert_allclose(found["mean_value"], expected["mean_value"], rtol=1e-6)
    assert found["mean_value"].dtype == expected["mean_value"].dtype


def test_no_more_than_a_piece_of_the_maps_is_read(tmp_path, monkeypatch):
    maps = random_maps(30, 0)
    sizes = []
    to_numpy = xr.DataArray.to_numpy

    def watched(array):
        if array.ndim > 1 and pieces.on_disk(array):
            sizes.append(len(array))
        return to_numpy(array)

    monkeypatch.setattr(selection, "SUBJECTS_AT_ONCE", 4)
    monkeypatch.setattr(xr.DataArray, "to_numpy", watched)
    with open_maps(write_maps(maps, tmp_path / "maps.nc")) as stored:
        select_biomarkers(stored)
    assert max(sizes) == 4
    assert sum(sizes) == 2 * 30  # both views of everybody, each once


def test_pieces_are_refused_what_the_whole_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(selection, "SUBJECTS_AT_ONCE", 2)
    maps = random_maps(6, 0)
    with open_maps(write_maps(maps, tmp_path / "maps.nc")) as stored:
        with pytest.raises(ValueError, match="no method 'cam'"):
            select_biomarkers(stored, method="cam")
        with pytest.raises(ValueError, match="no subject of class 'high'"):
            select_biomarkers(stored, label=np.zeros(6))
