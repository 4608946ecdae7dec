"""Training and predicting from disk: the same to the bit as in memory, and never more than a batch is read."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from small_cohorts import planted_cohort, same_weights

from gcamccl_core import pieces
from gcamccl_core.data.cohort import make_split, open_on_disk, save_cohort
from gcamccl_core.model.epochs import SUBJECTS_AT_ONCE
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.streamed_inputs import StreamedView, prepare_inputs
from gcamccl_core.model.training import fit, fit_many

RECIPE = Recipe.demo(epochs=3, learning_rate=1e-3)


@pytest.fixture(scope="module")
def cohort():
    return planted_cohort(extra_view=True)


@pytest.fixture(scope="module")
def path(cohort, tmp_path_factory):
    return save_cohort(cohort, tmp_path_factory.mktemp("cohort") / "cohort.nc")


@pytest.fixture
def stored(path, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE", 20_000)  # a dozen images
    with open_on_disk(path) as opened:
        yield opened


@pytest.fixture
def reads(monkeypatch):
    """Subjects read at a time from views on disk."""
    sizes = []
    to_numpy = xr.DataArray.to_numpy

    def watched(array):
        if array.ndim > 1 and pieces.on_disk(array):
            sizes.append(len(array))
        return to_numpy(array)

    monkeypatch.setattr(xr.DataArray, "to_numpy", watched)
    return sizes


@pytest.mark.parametrize("recipe", [RECIPE, Recipe.features(epochs=2, batch_size=8), Recipe.demo(epochs=1)])
def test_a_cohort_on_disk_trains_the_same_network_to_the_bit(cohort, stored, recipe):
    if recipe.fusion == "dcl":
        cohort, stored = (each.drop_vars("thickness") for each in (cohort, stored))
    split = make_split(cohort, seed=1)
    expected, found = (fit(each, split, recipe, seed=3, progress=False) for each in (cohort, stored))
    pd.testing.assert_frame_equal(found.history, expected.history)
    assert same_weights(found, expected)
    pd.testing.assert_frame_equal(found.features(stored), expected.features(cohort))
    if recipe.fusion == "collaborative":
        pd.testing.assert_frame_equal(found.predict_proba(stored), expected.predict_proba(cohort))
        subjects = [7, 3, 100, 3]
        pd.testing.assert_frame_equal(
            found.predict_proba(stored, subjects, ["fc"]), expected.predict_proba(cohort, subjects, ["fc"])
        )


def test_no_more_than_a_batch_is_read_while_training_and_predicting(stored, reads):
    fitted = fit(stored, make_split(stored, seed=1), RECIPE, progress=False)
    fitted.predict_proba(stored)
    assert max(reads) <= SUBJECTS_AT_ONCE
    assert min(reads) <= RECIPE.batch_size
    assert pieces.on_disk(stored["fc"])  # nothing was kept


def test_what_is_kept_of_one_way_is_found_by_the_other(cohort, stored, tmp_path, reads):
    split = make_split(cohort, seed=1)
    one = fit(cohort, split, RECIPE, out=tmp_path, progress=False)
    other = fit(stored, split, RECIPE, out=tmp_path, progress=False)
    assert same_weights(one, other)
    assert len([each for each in tmp_path.iterdir() if each.is_dir()]) == 1


@pytest.mark.slow
def test_processes_read_the_file_themselves(cohort, stored):
    split = make_split(cohort, seed=1)
    for each in zip(
        *(fit_many(data, [split] * 2, [0, 1], RECIPE, progress=False, jobs=2) for data in (cohort, stored)), strict=True
    ):
        assert same_weights(*each)


def test_a_view_on_disk_is_picked_from_like_a_tensor(cohort, stored):
    net = fit(cohort, make_split(cohort, seed=1), Recipe.demo(epochs=1), progress=False).net
    subjects = np.array([50, 2, 9, 77, 30])
    tensors, streamed = (prepare_inputs(net, each, subjects) for each in (cohort, stored))
    for name, tensor in tensors.items():
        view = streamed[name]
        assert isinstance(tensor, torch.Tensor)
        assert isinstance(view, StreamedView)
        assert len(view) == len(tensor) == 5
        for positions in ([0], [4, 1, 1], [3, 0, 2, 4]):
            assert torch.equal(view[torch.tensor(positions)], tensor[positions])
        assert view.to(torch.device("meta"))[torch.tensor([1])].device.type == "meta"
    for name, tensor in prepare_inputs(net, stored, subjects, whole=True).items():
        assert torch.equal(tensor, tensors[name])
    with pytest.raises(ValueError, match="expects view 'fc'"):
        prepare_inputs(net, stored.isel(roi_i=slice(10), roi_j=slice(10)))


def test_pathways_that_need_everybody_are_trained_where_there_is_room_and_refused_where_there_is_none(
    cohort, stored, monkeypatch
):
    split, recipe = make_split(cohort, seed=1), Recipe.recommended()
    expected, found = (fit(each, split, recipe, progress=False) for each in (cohort, stored))
    assert same_weights(found, expected)
    monkeypatch.setattr(pieces, "available_memory", lambda: 2**20)
    fit(cohort, split, recipe, progress=False)
    with pytest.raises(
        MemoryError, match=r"beside the ConvNet to 67 training subjects: this takes .* MiB.*1.0 MiB are free"
    ):
        fit(stored, split, recipe, progress=False)
    fit(stored, split, Recipe.demo(epochs=1), progress=False)
