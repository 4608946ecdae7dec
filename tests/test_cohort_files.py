"""Cohort files: views written in pieces and left on disk, the same as in memory, refused in the same words."""

import h5netcdf
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from small_cohorts import planted_cohort

from gcamccl_core import pieces
from gcamccl_core.data.cohort import (
    CohortError,
    ViewInPieces,
    assemble_cohort,
    assemble_cohort_to,
    load_cohort,
    make_splits,
    open_on_disk,
    save_cohort,
    save_in_pieces,
    view_names,
)
from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.provenance import fingerprint, hash_data, stamp


@pytest.fixture(scope="module")
def cohort():
    return planted_cohort(n=60, extra_view=True)


@pytest.fixture
def path(cohort, tmp_path):
    return save_cohort(cohort, tmp_path / "cohort.nc")


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(pieces, "PIECE", 10_000)  # six images of 20 regions


@pytest.fixture
def reads(monkeypatch):
    """Bytes read at a time of views on disk."""
    sizes = []
    asarray = np.asarray

    def watched(array, *rest, **options):
        if isinstance(array, xr.DataArray | xr.Variable) and pieces.on_disk(array):
            sizes.append(array.nbytes)
        return asarray(array, *rest, **options)

    monkeypatch.setattr(np, "asarray", watched)
    return sizes


@pytest.mark.usefixtures("small_pieces")
def test_views_stay_on_disk_and_everything_else_is_in_memory(cohort, path):
    with open_on_disk(path) as stored:
        assert {name for name, each in stored.variables.items() if pieces.on_disk(each)} == set(view_names(cohort))
        assert view_names(stored) == view_names(cohort)
        for name in view_names(cohort):
            picked = stored[name].isel(subject=[40, 3])
            assert pieces.on_disk(picked)
            np.testing.assert_array_equal(picked.to_numpy(), cohort[name].to_numpy()[[40, 3]])
            assert pieces.on_disk(stored[name])  # what was read is not kept
        assert hash_data(stored) == hash_data(cohort) == stamp({}, stored)["data"]
        assert fingerprint(stored["fc"]) == fingerprint(cohort["fc"])
        for split, expected in zip(make_splits(stored, 2), make_splits(cohort, 2), strict=True):
            np.testing.assert_array_equal(split.test, expected.test)


def test_checking_and_fingerprints_read_a_piece_at_a_time(cohort, path, small_pieces, reads):
    with open_on_disk(path) as stored:
        hash_data(stored)
    assert len(reads) > 2 * 60 * 20 * 20 * 4 / pieces.PIECE
    assert max(reads) <= pieces.PIECE


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 20_000), st.integers(0, 2**16))
def test_fingerprints_do_not_depend_on_pieces(tmp_path_factory, piece, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    values = rng.choice([np.nan, 0.0, -0.0, 1.5], (n, 7, 7)).astype(rng.choice(["float32", "float64"]))
    dataset = xr.Dataset({"fc": (("subject", "i", "j"), values, {"role": "view"}), "age": ("subject", np.arange(n))})
    path = tmp_path_factory.mktemp("data") / "data.nc"
    dataset.to_netcdf(path, engine="h5netcdf")
    expected = hash_data(dataset)
    with pytest.MonkeyPatch.context() as patch, xr.open_dataset(path, engine="h5netcdf", cache=False) as stored:
        patch.setattr(pieces, "PIECE", piece)
        assert hash_data(stored) == hash_data(dataset) == expected
        assert hash_data(dataset.transpose("j", "i", "subject").transpose("subject", "i", "j")) == expected


def test_a_missing_or_truncated_file_is_said(path, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no cohort file .*nowhere.nc"):
        open_on_disk(tmp_path / "nowhere.nc")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CohortError, match="cannot be read as netCDF; it may be truncated"):
        open_on_disk(path)


FAULTS = {
    "missing": ("fc", (slice(7, 9), 0, 1), np.nan),
    "infinite": ("fc", (50, 2, 2), np.inf),
    "asymmetric": ("fc", (30, 0, 1), 0.9),
    "beyond": ("fc", (59, 4, 4), 1.5),
    "genotype": ("snp", (12, 3), 3.0),
    "measure": ("thickness", (0, 0), -np.inf),
}


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("fault", [*FAULTS, "two faults", "no variance", "label", "repeated ids"])
def test_what_is_refused_in_memory_is_refused_on_disk_in_the_same_words(cohort, path, fault):
    with h5netcdf.File(path, "a") as file:
        for name, place, value in (
            [FAULTS["beyond"], FAULTS["missing"]]
            if fault == "two faults"
            else ([FAULTS[fault]] if fault in FAULTS else [])
        ):
            file.variables[name][place] = value
        if fault == "no variance":
            file.variables["snp"][...] = 1
        if fault == "label":
            file.variables["label"][3] = 7
        if fault == "repeated ids":
            file.variables["subject"][4] = "s000"
    with pytest.raises(CohortError) as whole:
        load_cohort(path)
    with pytest.raises(CohortError) as parts:
        open_on_disk(path)
    assert str(parts.value) == str(whole.value)


def in_pieces(view, at_once=7):
    """Describe a view of a cohort in memory as one that comes in pieces."""
    values = view.to_numpy()
    chunks = (values[start : start + at_once] for start in range(0, len(values), at_once))
    coords = {name: each.variable for name, each in view.coords.items() if name != "subject"}
    subjects = [str(name) for name in view["subject"].to_numpy()]
    return ViewInPieces(subjects, view.dims[1:], view.shape[1:], chunks, view.attrs["kind"], coords)


def test_a_cohort_of_views_in_pieces_is_the_one_assembled_in_memory(tmp_path):
    whole = simulate_cohort(40, seed=2, progress=False)
    ids = whole["subject"].to_index()
    label = pd.Series(whole["label"].to_numpy(), index=ids)
    tables = {"score": whole["score"].to_series(), "covariates": whole[["age", "sex"]].to_dataframe()}
    tables |= {"attrs": {"source": "here"}, "group": pd.Series([f"site {i % 3}" for i in range(40)], index=ids)}
    views = {"fc": whole["fc"].drop_attrs().assign_attrs(kind="correlation"), "snp": whole["snp"]}
    expected = assemble_cohort(views, label, **tables)
    path = assemble_cohort_to(tmp_path / "a.nc", {"fc": in_pieces(views["fc"]), "snp": views["snp"]}, label, **tables)
    found = open_on_disk(path)
    assert hash_data(found) == hash_data(expected)
    assert view_names(found) == ["fc", "snp"]
    with pytest.raises(FileExistsError):
        assemble_cohort_to(path, {"fc": in_pieces(views["fc"])}, label)


def test_a_cohort_on_disk_is_saved_without_being_held(cohort, path, tmp_path, small_pieces, reads):
    with open_on_disk(path) as stored:
        reads.clear()
        chosen = stored.isel(subject=np.arange(0, 60, 2)).assign(
            age=("subject", np.arange(30.0), {"role": "covariate"})
        )
        copied = save_cohort(chosen, tmp_path / "half.nc")
    assert max(reads) <= pieces.PIECE
    expected = cohort.isel(subject=slice(0, 60, 2)).assign(age=chosen["age"])
    xr.testing.assert_identical(
        load_cohort(copied)[view_names(cohort)], load_cohort(path).isel(subject=slice(0, 60, 2))[view_names(cohort)]
    )
    assert hash_data(load_cohort(copied)) == hash_data(expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "connectivity"}, "kind 'connectivity'; known kinds are"),
        ({"dims": ("roi_i",), "shape": (20,)}, r"a piece of 'fc' is of shape \(7, 20, 20\)"),
        ({"shape": (20, 19)}, "not square"),
        ({"shape": (19, 19)}, r"a piece of 'fc' is of shape \(7, 20, 20\); expected \(any, \(19, 19\)\)"),
        ({"dtype": "int8"}, "holds float32; expected int8"),
        ({"subjects": [f"s{i:03d}" for i in reversed(range(60))]}, "others than the cohort's, or in another order"),
        ({"pieces": ()}, "the pieces of 'fc' end after 0 of 60 entries"),
        ({"pieces": [np.zeros((61, 20, 20))]}, "room for 60 entries; its pieces hold more, 61"),
    ],
)
def test_views_that_do_not_fit_are_refused_and_nothing_is_left(cohort, tmp_path, change, message):
    view = in_pieces(cohort["fc"])
    fields = {name: getattr(view, name) for name in ("subjects", "dims", "shape", "pieces", "kind", "dtype")} | change
    with pytest.raises(ValueError, match=message):
        save_in_pieces(cohort.drop_vars(view_names(cohort)), {"fc": ViewInPieces(**fields)}, tmp_path / "cohort.nc")
    assert list(tmp_path.iterdir()) == []


def test_a_faulty_piece_stops_the_writing_at_once(cohort, tmp_path):
    view, asked = cohort["fc"].copy(deep=True), []
    view[8, 3, 3] = np.nan

    def read():
        for start in range(0, 60, 5):
            asked.append(start)
            yield view.to_numpy()[start : start + 5]

    broken = ViewInPieces([*view["subject"].to_numpy()], view.dims[1:], view.shape[1:], read(), "correlation")
    with pytest.raises(CohortError, match=r"missing \(NaN\) or infinite values in 1 of 60 subjects: s008"):
        save_in_pieces(cohort.drop_vars(view_names(cohort)), {"fc": broken}, tmp_path / "cohort.nc")
    assert asked == [0, 5]
    assert list(tmp_path.iterdir()) == []


def test_tables_are_checked_before_any_piece_is_asked_for(cohort, tmp_path):
    def read():
        raise AssertionError("asked")
        yield

    ids = [*cohort["subject"].to_numpy()]
    view = ViewInPieces(ids, ["measure"], [3], read())
    label = dict.fromkeys(ids, 0)
    with pytest.raises(CohortError, match="at least two classes"):
        assemble_cohort_to(tmp_path / "a.nc", {"x": view}, label)
    with pytest.raises(CohortError, match="do not match: 'label' lacks s005"):
        assemble_cohort_to(tmp_path / "a.nc", {"x": view}, {name: 0 for name in ids if name != "s005"})
    with pytest.raises(CohortError, match="at least one view"):
        save_in_pieces(cohort.drop_vars(view_names(cohort)), {}, tmp_path / "a.nc")
    with pytest.raises(CohortError, match="named like another variable"):
        save_in_pieces(cohort.drop_vars(view_names(cohort)), {"label": view}, tmp_path / "a.nc")
