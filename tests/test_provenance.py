"""Fingerprints tell content apart and nothing else; the store survives killing, racing and repetition."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from gcamccl_core import provenance
from gcamccl_core.locks import hold_lock
from gcamccl_core.provenance import (
    CORE,
    code_of,
    fingerprint,
    hash_core,
    hash_data,
    hash_module,
    imported_modules,
    stamp,
    stamp_table,
    what_changed,
)
from gcamccl_core.store import DATASET, TABLE, cached

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@dataclass(frozen=True)
class Settings:
    rate: float = 0.1


@given(PLAIN, PLAIN)
def test_fingerprints_agree_exactly_where_the_content_does(one, other):
    assert (fingerprint(one) == fingerprint(other)) == (json.dumps(one) == json.dumps(other) or one is other)


def test_long_tables_and_arrays_that_differ_in_the_middle_differ():
    values = np.arange(100_000.0)
    changed = values.copy()
    changed[50_000] += 1
    for wrap in (np.asarray, pd.Series, lambda v: pd.DataFrame({"a": v}), lambda v: xr.DataArray(v, dims="a")):
        assert fingerprint(wrap(values)) != fingerprint(wrap(changed))
        assert fingerprint(wrap(values)) == fingerprint(wrap(values.copy()))


def test_numpy_scalars_tuples_and_dataclasses_count_by_content():
    assert fingerprint(np.float64(0.5), (1, 2)) == fingerprint(0.5, [1, 2])
    assert fingerprint(Settings()) == fingerprint(Settings(0.1)) != fingerprint(Settings(0.2))


def test_what_cannot_be_told_apart_by_content_is_refused():
    with pytest.raises(TypeError, match="cannot fingerprint a function"):
        fingerprint({"make": fingerprint_nothing})


def fingerprint_nothing():
    """Stands for any object whose text names an address."""


def small_cohort() -> xr.Dataset:
    measure = xr.DataArray([[1.0, 2], [2, 1], [3, 3]], dims=("subject", "measure"), attrs={"role": "view"})
    label = xr.DataArray(np.array([0, 1, 1], np.int8), dims="subject", attrs={"classes": ["low", "high"]})
    return xr.Dataset({"m": measure, "label": label}, coords={"subject": ["a", "b", "c"]}, attrs={"source": "hand"})


def test_a_cohort_keeps_its_hash_through_netcdf_and_loses_it_with_any_change(tmp_path):
    cohort = small_cohort()
    cohort.to_netcdf(tmp_path / "c.nc", engine="h5netcdf")
    assert hash_data(xr.load_dataset(tmp_path / "c.nc", engine="h5netcdf")) == hash_data(cohort)
    other_value, other_class, other_name = small_cohort(), small_cohort(), small_cohort()
    other_value["m"][0, 0] = 9
    other_class["label"].attrs["classes"] = ["low", "top"]
    other_name["subject"] = ["a", "b", "d"]
    assert len({hash_data(each) for each in (cohort, other_value, other_class, other_name)}) == 4


def test_the_last_bit_of_a_persons_latent_cognition_does_not_count_but_a_planted_connection_does():
    """The bit depends on the number of threads; networks would all be trained again on a machine with another."""
    cohort = small_cohort().assign(
        latent_cognition=("subject", [0.1, 0.2, 0.3], {"role": "truth"}),
        truth_m=("measure", [True, False], {"role": "truth"}),
    )
    other_bit, other_truth = cohort.copy(deep=True), cohort.copy(deep=True)
    other_bit["latent_cognition"][0] = np.nextafter(0.1, 1)
    other_truth["truth_m"][1] = True
    assert hash_data(other_bit) == hash_data(cohort)
    assert hash_data(other_truth) != hash_data(cohort)
    assert hash_data(cohort.drop_vars("latent_cognition")) != hash_data(cohort)


def test_the_hash_of_the_core_is_of_its_code(tmp_path, monkeypatch):
    room = tmp_path / "data"
    room.mkdir()
    (room / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(provenance, "CORE", tmp_path)
    first = hash_core()
    (room / "a.py").write_text('"""Say why."""\nx = 1  # one\n')
    documented = hash_core("data")
    (room / "a.py").write_text('"""Say it better."""\n\nx = 1\n')
    assert hash_core("data") == documented
    (room / "a.py").write_text("x = 2\n")
    assert hash_core() != first
    with pytest.raises(FileNotFoundError, match="no room 'kitchen'"):
        hash_core("kitchen")


@pytest.fixture
def small_core(tmp_path, monkeypatch):
    """Three modules that import one another in a chain, the last by a function; and one that nobody imports."""
    core = tmp_path / "gcamccl_core"
    sources = {
        "maps/top.py": "from gcamccl_core.model.middle import f\ny = f()\n",
        "model/middle.py": "def f():\n    from gcamccl_core.data.base import x\n    return x\n",
        "data/base.py": "'Why.'\nimport numpy\nx = 1\n",
        "data/unrelated.py": "z = 1\n",
    }
    for name, source in sources.items():
        (core / name).parent.mkdir(parents=True, exist_ok=True)
        (core / name).write_text(source)
    monkeypatch.setattr(provenance, "CORE", core)
    monkeypatch.setattr(provenance, "_read_once", Path.read_text)  # every look is that of another process
    return core


def test_code_that_changes_under_a_running_process_is_not_taken_for_its_own(small_core, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(provenance, "CORE", small_core)
    first = hash_module("gcamccl_core.maps.top")
    (small_core / "data/base.py").write_text("x = 2\n")
    assert hash_module("gcamccl_core.maps.top") == first


def test_the_hash_of_a_module_is_of_the_code_that_it_reaches(small_core):
    first = hash_module("gcamccl_core.maps.top")
    (small_core / "data/unrelated.py").write_text("z = 2\n")
    (small_core / "data/base.py").write_text('"""What it is."""\n\nimport numpy\n\nx = 1  # one\n')
    assert hash_module("gcamccl_core.maps.top") == first
    for name, source in {"data/base.py": "x = 2\n", "model/middle.py": "f = int\n", "maps/top.py": "y = 0\n"}.items():
        before = (small_core / name).read_text()
        (small_core / name).write_text(source)
        assert hash_module("gcamccl_core.maps.top") != first
        (small_core / name).write_text(before)
    assert hash_module("gcamccl_core.maps.top") == first


def test_the_hash_of_a_module_can_leave_out_rooms_but_looks_through_them(small_core):
    by_room = {room: hash_module("gcamccl_core.maps.top", room) for room in ("data", "model")}
    (small_core / "data/base.py").write_text("x = 2\n")
    assert hash_module("gcamccl_core.maps.top", "model") == by_room["model"]
    assert hash_module("gcamccl_core.maps.top", "data") != by_room["data"]


def test_the_hash_of_a_module_can_leave_out_modules_and_what_only_they_reach(small_core):
    without = {"gcamccl_core.model.middle"}
    first = hash_module("gcamccl_core.maps.top", without=without)
    (small_core / "model/middle.py").write_text("from gcamccl_core.data.base import x\nf = int\n")
    (small_core / "data/base.py").write_text("x = 2\n")
    assert hash_module("gcamccl_core.maps.top", without=without) == first
    (small_core / "maps/top.py").write_text("y = 0\n")
    assert hash_module("gcamccl_core.maps.top", without=without) != first


def test_modules_that_import_one_another_come_to_an_end(small_core):
    (small_core / "data/base.py").write_text("from gcamccl_core.maps.top import y\nx = 1\n")
    assert len({hash_module(f"gcamccl_core.{name}") for name in ("maps.top", "model.middle", "data.base")}) == 1


def test_a_module_that_is_not_there_is_named(small_core):
    with pytest.raises(FileNotFoundError, match=r"the core has no module 'gcamccl_core\.maps\.bottom'"):
        hash_module("gcamccl_core.maps.bottom")
    (small_core / "data/base.py").write_text("from gcamccl_core.data import unrelated\n")
    with pytest.raises(FileNotFoundError, match=r"the core has no module 'gcamccl_core\.data'"):
        hash_module("gcamccl_core.maps.top")


def test_every_import_inside_the_core_is_one_that_is_followed():
    """Other ways to import, ``from gcamccl_core import x`` or ``from . import x``, would go unnoticed."""
    for path in [*CORE.rglob("*.py"), *(CORE.parent / "workflow" / "tables").glob("*.py")]:
        source = path.read_text()
        nodes = list(ast.walk(ast.parse(source)))
        plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        assert not [name for name in plain if name.startswith("gcamccl_core")], path
        froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
        assert not [node for node in froms if node.level or node.module == "gcamccl_core"], path
        for name in imported_modules(source):
            assert CORE.joinpath(*name.split(".")[1:]).with_suffix(".py").is_file(), (path, name)


def test_code_keeps_strings_that_are_not_docstrings():
    assert code_of("def f():\n    'doc'\n    return 'value'") == "def f():\n    pass\n    return 'value'"


def test_a_stamp_is_equal_for_equal_runs_and_its_table_holds_one_row(monkeypatch):
    monkeypatch.setattr(provenance, "hash_core", lambda: "1f2e")  # someone may be editing the core meanwhile
    one, other = stamp({"seed": 1}, small_cohort()), stamp({"seed": 1}, small_cohort())
    assert what_changed(one, other) == []
    assert what_changed(one, stamp({"seed": 2}, small_cohort())) == ["parameters"]
    table = stamp_table({"seed": 1}, small_cohort())
    assert len(table) == 1
    assert table.loc["this run", ["seed", "core", "data"]].tolist() == [1, one["core"], one["data"]]


def test_the_first_and_the_second_call_give_the_same_values(tmp_path):
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=50), "name": list("ab") * 25})
    first, second = (cached(tmp_path, "tables", {"a": 1}, lambda: frame, TABLE) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    np.testing.assert_array_equal(first["x"], frame["x"])
    held = json.loads(next(tmp_path.glob("tables/*/stamp.json")).read_text())
    assert held["parameters"] == {"kind": "tables", "key": {"a": 1}}


def test_another_key_is_another_artefact_and_a_fault_leaves_nothing(tmp_path):
    def fail():
        raise RuntimeError("no")

    for seed in (0, 1):
        made = cached(tmp_path, "maps", seed, lambda seed=seed: xr.Dataset({"x": seed}), DATASET)
        assert int(made["x"]) == seed
    with pytest.raises(RuntimeError, match="no"):
        cached(tmp_path, "maps", 2, fail)
    with pytest.raises(ValueError, match="reset_index"):
        cached(tmp_path, "tables", 3, lambda: pd.DataFrame({"a": [1]}, index=["s"]), TABLE)
    assert len(list(tmp_path.glob("*/*"))) == 2


SLOW_SAVE = """
import sys, time
from pathlib import Path
from gcamccl_core.store import Format, cached

def save(value, folder):
    (folder / "half.txt").write_text(value[:2])
    Path(sys.argv[1], "writing").touch()
    time.sleep(float(sys.argv[2]))
    (folder / "half.txt").write_text(value)

print(cached(sys.argv[1], "texts", "key", lambda: "whole", Format(save, lambda f: (f / "half.txt").read_text())))
"""


def start(tmp_path, seconds: float) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SLOW_SAVE, str(tmp_path), str(seconds)], stdout=subprocess.PIPE, text=True
    )


def test_a_process_killed_while_writing_leaves_nothing_that_looks_finished(tmp_path):
    killed = start(tmp_path, 60)
    while not (tmp_path / "writing").exists():
        assert killed.poll() is None
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    left = list((tmp_path / "texts").iterdir())
    assert len(left) == 1
    assert left[0].name.startswith(".")
    assert start(tmp_path, 0).communicate()[0] == "whole\n"
    assert [path.name[0] != "." for path in (tmp_path / "texts").iterdir()] == [True]


def test_two_processes_that_make_the_same_at_once_both_get_it(tmp_path):
    both = [start(tmp_path, 0.5) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == ["whole\n", "whole\n"]
    assert len(list((tmp_path / "texts").iterdir())) == 1


def test_of_two_processes_that_find_the_same_damage_one_sets_it_aside(tmp_path):
    assert start(tmp_path, 0).communicate()[0] == "whole\n"
    (artefact,) = (tmp_path / "texts").iterdir()
    (artefact / "half.txt").write_text("altered")
    (tmp_path / "writing").unlink()
    lock = artefact.with_name(f".lock-{artefact.name}")
    with hold_lock(lock, "the artefact", "a test"):  # both find the damage, and wait
        both = [start(tmp_path, 0) for _ in range(2)]
        time.sleep(4)
        assert (artefact / "half.txt").read_text() == "altered"
    assert [process.communicate()[0] for process in both] == ["whole\n", "whole\n"]
    names = {path.name for path in (tmp_path / "texts").iterdir()}
    assert names == {artefact.name, f".damaged-{artefact.name}", lock.name}
    assert (tmp_path / "texts" / f".damaged-{artefact.name}" / "half.txt").read_text() == "altered"
    assert (artefact / "half.txt").read_text() == "whole"
