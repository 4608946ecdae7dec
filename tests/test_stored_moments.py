"""Moments read piece by piece: those of numpy for the whole array, to the bit."""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gcamccl_core import pieces
from gcamccl_core.model.scaling import Scaling, _Moments
from gcamccl_core.model.stored_moments import StoredMoments


def a_view(shape, seed=0, missing=0.0, kind="measure"):
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=shape) * rng.lognormal(0, 3, shape)).astype(np.float32)
    values[rng.random(shape) < missing] = np.nan
    dims = ("subject", "measure") if len(shape) == 2 else ("subject", "roi_i", "roi_j")
    coords = {"subject": [f"s{i}" for i in range(shape[0])]}
    return xr.DataArray(values, coords, dims, name="view", attrs={"kind": kind})


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 300), st.integers(1, 20)) | st.tuples(st.integers(1, 60), *[st.integers(1, 15)] * 2),
    st.integers(1, 40_000),
    st.sampled_from([0.0, 0.1]),
)
@example((1000, 1), 400, 0.0)
@example((77, 30, 30), 4000, 0.0)
def test_pieces_of_any_size_give_numpys_moments_to_the_bit(shape, piece, missing):
    view = a_view(shape, missing=missing)
    whole = _Moments(view)
    if whole.missing.any():
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE", piece)
        parts = StoredMoments(view)
        for name in ("missing", "mean", "spread", "constant"):
            np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name), strict=True)


@pytest.mark.parametrize(("shape", "kind"), [((90, 7), "measure"), ((90, 7), "genotype"), ((40, 9, 9), "measure")])
def test_a_scaling_learnt_from_disk_is_that_from_memory(tmp_path, monkeypatch, shape, kind):
    view = a_view(shape, missing=0.05 if kind == "genotype" else 0, kind=kind)
    view[:, 2] = 3.5  # a variable that does not vary, or rows of an image
    view.to_netcdf(tmp_path / "view.nc", engine="h5netcdf")
    monkeypatch.setattr(pieces, "PIECE", 1000)
    train = np.flatnonzero(np.arange(shape[0]) % 3)
    with xr.open_dataarray(tmp_path / "view.nc", engine="h5netcdf", cache=False) as stored:
        assert pieces.on_disk(stored)
        learnt = Scaling(shape[1:]).fit(stored.isel(subject=train))
    expected = Scaling(shape[1:]).fit(view.isel(subject=train))
    for name, buffer in expected.state_dict().items():
        assert torch.equal(learnt.state_dict()[name], buffer), name


def test_a_variable_that_nobody_has_is_named(tmp_path):
    view = a_view((10, 3), kind="genotype")
    view[:, 1] = np.nan
    view = view.assign_coords(measure=["a", "b", "c"])
    view.to_netcdf(tmp_path / "view.nc", engine="h5netcdf")
    with (
        xr.open_dataarray(tmp_path / "view.nc", engine="h5netcdf", cache=False) as stored,
        pytest.raises(ValueError, match="no training subject has a value of b; leave these out"),
    ):
        Scaling((3,)).fit(stored)
