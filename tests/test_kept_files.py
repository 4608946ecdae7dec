"""Files are whole or not there, damage is found when they are read, and a disk that refuses says what to do."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from gcamccl_core.disk_faults import StorageError, explain, require_room, require_writable
from gcamccl_core.kept_files import (
    DamagedFileError,
    DamageWarning,
    digest_folder,
    find_damage,
    partial_suffix,
    read_sealed,
    remove_leftovers,
    whole_file,
    write_sealed,
)
from gcamccl_core.model.checkpoint import read_tensors, write_tensors
from gcamccl_core.provenance import write_json
from gcamccl_core.store import DATASET, TABLE, cached


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one MiB, mounted for the time of a test where one may."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def files_below(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


WRITERS = {
    "json": lambda folder: write_json(folder / "a.json", ["a" * 20] * 100_000),
    "tensors": lambda folder: write_tensors(folder / "a.safetensors", {"a": torch.zeros(500_000)}, {}),
    "table": lambda folder: cached(folder, "t", 1, lambda: pd.DataFrame({"a": np.arange(3e5)}), TABLE),
    "dataset": lambda folder: cached(folder, "d", 1, lambda: xr.Dataset({"a": ("x", np.arange(3e5))}), DATASET),
    "text": lambda folder: write_text(folder / "a.txt"),
}
KEPT = {"json": "a.json", "tensors": "a.safetensors", "text": "a.txt"}


def write_text(path):
    with whole_file(path) as partial:
        partial.write_text("a" * 2_000_000)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_said_and_what_was_there_is_as_it_was(small_disk, kind):
    (small_disk / KEPT.get(kind, "other")).write_bytes(b"as it was")
    with pytest.raises(StorageError, match=f"{small_disk}/.*make room") as caught:
        WRITERS[kind](small_disk)
    assert caught.value.errno == errno.ENOSPC
    assert "partial" not in str(caught.value)
    assert files_below(small_disk) == {KEPT.get(kind, "other"): b"as it was"}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_read_only_disk_is_said_before_anything_is_computed(small_disk, kind):
    (small_disk / "other").write_bytes(b"as it was")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StorageError, match=f"{small_disk}/.*read-only.*choose another folder") as caught:
        WRITERS[kind](small_disk)
    assert caught.value.errno == errno.EROFS
    with pytest.raises(StorageError, match="read-only"):
        cached(small_disk, "t", 2, lambda: pytest.fail("computed"))
    assert files_below(small_disk) == {"other": b"as it was"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_faults_of_a_disk_leave_the_former_file(tmp_path, number):
    path = write_json(tmp_path / "a.json", 1)

    def write_half():
        with whole_file(path) as partial:
            partial.write_text("ha")
            raise OSError(number, os.strerror(number), str(partial))

    with pytest.raises(StorageError, match=r"a\.json cannot be written: .*start again") as caught:
        write_half()
    assert caught.value.errno == number
    assert files_below(tmp_path) == {"a.json": b"1\n"}


def test_a_fault_of_another_kind_or_of_a_file_elsewhere_is_left_as_it_is(tmp_path):
    read = PermissionError(errno.EACCES, "Permission denied", "/elsewhere/scan.nii")
    assert explain(read, tmp_path / "a") is None
    assert explain(KeyError("os error 28"), tmp_path / "a") is None
    assert explain(OSError("no number"), tmp_path / "a") is None
    assert explain(RuntimeError("file write failed: errno = 28, error message"), tmp_path / "a").errno == errno.ENOSPC


def test_a_folder_of_somebody_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(StorageError, match=r"deep/er cannot be written: you may not write there"):
        require_writable(tmp_path / "deep/er")


def test_room_is_asked_for_before_writing(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10 * 2**20}))
    require_room(tmp_path / "a.nc", 8e6)
    with pytest.raises(StorageError, match=r"a\.nc takes 1[0-9]\.\d MiB, its disk has 10\.0 MiB left"):
        require_room(tmp_path / "a.nc", 10e6)


@given(st.dictionaries(st.text(max_size=4), st.integers() | st.floats() | st.text(max_size=4), max_size=4), st.data())
def test_a_sealed_file_gives_back_what_it_was_given_or_nothing(tmp_path_factory, content, data):
    content.pop("sha256", None)
    path = write_sealed(tmp_path_factory.mktemp("sealed") / "stamp.json", content)
    assert json.dumps(read_sealed(path), sort_keys=True) == json.dumps(content, sort_keys=True)
    text = bytearray(path.read_bytes())
    where = data.draw(st.integers(0, len(text) - 1))
    text[where] = data.draw(st.integers(33, 126).filter(lambda other: other != text[where]))
    path.write_bytes(text)
    try:
        assert json.dumps(read_sealed(path)) == json.dumps(content)  # a blank that says nothing
    except DamagedFileError as fault:
        assert str(path) in str(fault)  # noqa: PT017


def test_files_without_a_checksum_are_refused(tmp_path):
    for content in ("{}", "[1]", "{", '{"sha256": 1}'):
        (tmp_path / "stamp.json").write_text(content)
        with pytest.raises(DamagedFileError, match=r"stamp\.json"):
            read_sealed(tmp_path / "stamp.json")


def test_damage_is_named_by_file_and_kind(tmp_path):
    for name in ("a", "b/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"content")
    recorded = digest_folder(tmp_path)
    assert list(recorded) == ["a", "b/c"]
    assert find_damage(tmp_path, recorded) is None
    for damage, said in (
        (b"conten", "truncated: 6 bytes instead of 7"),
        (b"kontent", "SHA-256"),
        (b"8" * 8, "too long"),
    ):
        (tmp_path / "b/c").write_bytes(damage)
        assert f"{tmp_path / 'b/c'} is " in find_damage(tmp_path, recorded)
        assert said in find_damage(tmp_path, recorded)
    (tmp_path / "b/c").unlink()
    assert find_damage(tmp_path, recorded) == f"{tmp_path / 'b/c'} is missing"


@given(where=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_bit_of_stored_tensors_can_change_unnoticed(tmp_path_factory, where, bit):
    path = tmp_path_factory.mktemp("tensors") / "a.safetensors"
    tensors = {"a": torch.arange(5.0), "b": torch.tensor(3), "c": torch.zeros(0, 2, dtype=torch.bfloat16)}
    write_tensors(path, tensors, {"epoch": 1})
    content = bytearray(path.read_bytes())
    content[where % len(content)] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"a\.safetensors is .*delete it and train anew"):
        read_tensors(path)


@pytest.mark.parametrize("name", ["table.csv", "stamp.json"])
def test_a_damaged_artefact_is_set_aside_and_made_anew(tmp_path, name):
    calls = []

    def make():
        calls.append(1)
        return pd.DataFrame({"a": [1.0, 2.0]})

    first = cached(tmp_path, "tables", 0, make, TABLE)
    path = next(tmp_path.glob(f"tables/*/{name}"))
    path.write_text(path.read_text().replace("1", "7", 1))
    damaged = path.read_bytes()
    with pytest.warns(DamageWarning, match=rf"{name} is damaged.*kept aside as .*made anew"):
        again = cached(tmp_path, "tables", 0, make, TABLE)
    pd.testing.assert_frame_equal(again, first)
    assert len(calls) == 2
    assert (path.parent.parent / f".damaged-{path.parent.name}" / name).read_bytes() == damaged


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    program = "from gcamccl_core.kept_files import partial_suffix; print(partial_suffix())"
    dead = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    for name in (f".a{dead}", f".b{partial_suffix()}", ".c.elsewhere-1.partial", "d.partial"):
        (tmp_path / name).write_text("ha")
    (tmp_path / f".e{dead}").mkdir()
    (Path(tmp_path) / f".e{dead}" / "half").write_text("ha")
    assert {path.name for path in remove_leftovers(tmp_path)} == {f".a{dead}", f".e{dead}"}
    assert len(list(tmp_path.iterdir())) == 3
