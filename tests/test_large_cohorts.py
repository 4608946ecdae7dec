"""Cohorts on disk: written in pieces, opened with their views left there, the same as in memory, refused alike."""

import json
import logging
import re
from pathlib import Path

import h5netcdf
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from small_cohorts import planted_cohort

from gcamccl_core import disk_faults, pieces
from gcamccl_core.data import simulated_study, sources
from gcamccl_core.data.cohort import (
    CohortError,
    ViewInPieces,
    assemble_cohort,
    assemble_cohort_to,
    check_cohort,
    load_cohort,
    make_split,
    make_splits,
    open_on_disk,
    save_cohort,
    save_in_pieces,
    view_names,
)
from gcamccl_core.data.confounds import remove_confounds
from gcamccl_core.data.simulated_files import simulate_cohort_to
from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.data.sources import open_cohort
from gcamccl_core.provenance import fingerprint, hash_data, stamp
from tests.benchmarks import large_cohort


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


# --- simulation


@pytest.mark.parametrize(("n", "people"), [(41, 1024), (41, 7), (16, 1024)])
def test_a_cohort_simulated_to_disk_is_the_one_simulated_in_memory(tmp_path, monkeypatch, n, people):
    expected = simulate_cohort(n, "realistic", seed=5, fraction=0.3, progress=False)
    monkeypatch.setattr(simulated_study, "PEOPLE_AT_ONCE", people)
    path = simulate_cohort_to(tmp_path / "cohort.nc", n, "realistic", seed=5, fraction=0.3, progress=False)
    found = load_cohort(path)
    xr.testing.assert_identical(found, load_cohort(save_cohort(expected, tmp_path / "other.nc")))
    assert hash_data(found) == hash_data(expected) == hash_data(open_on_disk(path))
    assert view_names(found) == view_names(expected)
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_scans_are_never_held_together(tmp_path, monkeypatch):
    sizes = []
    append = simulated_study.estimate_connectivity

    def watched(scans, **options):
        sizes.append(len(scans))
        return append(scans, **options)

    monkeypatch.setattr(simulated_study, "estimate_connectivity", watched)
    simulate_cohort_to(tmp_path / "cohort.nc", 40, progress=False)
    assert sizes == [16, 16, 8]


def test_a_simulation_that_cannot_be_kept_is_refused_before_anybody_is_scanned(tmp_path, monkeypatch):
    path = tmp_path / "cohort.nc"
    path.write_bytes(b"mine")
    monkeypatch.setattr(simulated_study, "draw_time_series", None)  # a scan would fail
    with pytest.raises(FileExistsError, match="overwrite=True"):
        simulate_cohort_to(path, 40)
    monkeypatch.setattr(disk_faults, "free_bytes", lambda folder: 2**20)
    with pytest.raises(disk_faults.StorageError, match=r"new.nc takes .* MiB, its disk has 1.0 MiB left"):
        simulate_cohort_to(tmp_path / "new.nc", 40)
    with pytest.raises(ValueError, match="leaves the groups empty"):
        simulate_cohort_to(tmp_path / "new.nc", 2)
    with pytest.raises(ValueError, match="did you mean 'clear'"):
        simulate_cohort_to(tmp_path / "new.nc", 40, regime="clera")
    assert path.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [path]


# --- opening


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


# --- writing in pieces


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


# --- what takes a cohort


def test_a_file_that_is_large_for_the_memory_stays_on_disk_and_a_line_says_so(cohort, path, monkeypatch, caplog):
    with caplog.at_level(logging.WARNING):
        assert not pieces.on_disk(open_cohort(str(path)))
        assert caplog.text == ""
        monkeypatch.setattr(sources, "available_memory", lambda: 2 * path.stat().st_size)
        stored = open_cohort(str(path))
    assert pieces.on_disk(stored["fc"])
    assert f"{path} holds" in caplog.text
    assert "its views stay on disk" in caplog.text
    assert hash_data(stored) == hash_data(cohort)


def test_confounds_are_removed_where_there_is_room_and_refused_where_there_is_none(tmp_path, monkeypatch):
    whole = simulate_cohort(60, seed=1, progress=False)
    train = make_split(whole).train
    with open_on_disk(save_cohort(whole, tmp_path / "cohort.nc")) as stored:
        expected, found = (remove_confounds(each, train, ["age"]) for each in (whole, stored))
        xr.testing.assert_equal(found["fc"], expected["fc"])
        monkeypatch.setattr(pieces, "available_memory", lambda: 2**20)
        with pytest.raises(MemoryError, match=r"removing confounds from \d+ subjects: this takes .*isel\(subject"):
            remove_confounds(stored, train, ["age"])
        remove_confounds(whole, train, ["age"])


def test_the_memory_of_a_container_counts(tmp_path, monkeypatch):
    machine = pieces.available_memory()
    assert machine > 0
    files = {"/proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    4000 kB\n"}
    files |= {"/sys/fs/cgroup/memory.max": "max\n", "/sys/fs/cgroup/memory.stat": "anon 1000\nfile 5\n"}

    def read(path, *_, **__):
        return files[str(path)]

    monkeypatch.setattr(pieces.Path, "read_text", read)
    assert pieces.available_memory() == 4000 * 1024
    files["/sys/fs/cgroup/memory.max"] = "3000\n"
    assert pieces.available_memory() == 2000
    del files["/sys/fs/cgroup/memory.max"]
    assert pieces.available_memory() == 4000 * 1024


def test_a_cohort_in_memory_is_checked_as_before(cohort):
    broken = cohort.copy(deep=True)
    broken["fc"][[5, 40], 1, 2] = 0.9
    with pytest.raises(CohortError, match="asymmetric images in 2 of 60 subjects: s005, s040"):
        check_cohort(broken)
    assert json.loads(json.dumps(stamp({}, cohort)))["data"] == hash_data(cohort)


def test_the_code_on_the_page_runs(tmp_path, monkeypatch):
    page = (Path(__file__).parents[1] / "book" / "rerun.md").read_text()
    section = page.split("## Cohorts larger than memory")[1].split("\n## ")[0]
    simulated, own = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    small = simulated.replace("n_subjects=40_000", "n_subjects=60").replace("Recipe.demo()", "Recipe.demo(epochs=1)")
    namespace = {}
    exec(compile(small, "rerun.md", "exec"), namespace)
    whole = namespace["cohort"]
    (tmp_path / "large.nc").unlink()
    people = whole[["score"]].to_dataframe()
    for subject in people.index:
        np.save(f"{subject}.npy", whole["fc"].sel(subject=subject).to_numpy())
    label = pd.Series(whole["label"].to_numpy(), index=people.index)
    exec(compile(own, "rerun.md", "exec"), {"np": np, "people": people, "label": label, "regions": whole["roi_i"].data})
    found = open_on_disk("large.nc")
    np.testing.assert_array_equal(found["fc"][[3, 40]], whole["fc"][[3, 40]])
    assert found["roi_i"].to_numpy().tolist() == whole["roi_i"].to_numpy().tolist()


def test_every_step_of_the_measurement_works_on_a_small_cohort(tmp_path):
    for stage in large_cohort.STEPS:
        found = large_cohort.measure_step(stage, 60, tmp_path)
        assert set(found) == {"seconds", "mebibytes"}
        assert found["mebibytes"] > 50
    assert {each.name for each in tmp_path.iterdir()} == {"cohort.nc", "net.safetensors", "maps.nc"}


def test_a_step_that_fails_says_which(monkeypatch):
    monkeypatch.setattr(large_cohort, "STEPS", {"nothing": None})
    with pytest.raises(RuntimeError, match="nothing of 60 subjects failed:"):
        large_cohort.measure_cohort(60)
