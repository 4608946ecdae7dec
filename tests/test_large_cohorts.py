"""Cohorts larger than memory: simulated to disk, opened where there is no room, measured from end to end."""

import json
import logging
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from small_cohorts import planted_cohort

from gcamccl_core import disk_faults, pieces
from gcamccl_core.data import simulated_study, sources
from gcamccl_core.data.cohort import (
    CohortError,
    check_cohort,
    load_cohort,
    make_split,
    open_on_disk,
    save_cohort,
    view_names,
)
from gcamccl_core.data.confounds import remove_confounds
from gcamccl_core.data.simulated_files import simulate_cohort_to
from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.data.sources import open_cohort
from gcamccl_core.provenance import hash_data, stamp
from tests.benchmarks import large_cohort


@pytest.fixture(scope="module")
def cohort():
    return planted_cohort(n=60, extra_view=True)


@pytest.fixture
def path(cohort, tmp_path):
    return save_cohort(cohort, tmp_path / "cohort.nc")


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
