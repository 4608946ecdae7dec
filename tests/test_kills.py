"""A short kill loop of trainings and downloads, what it compares, and the numbers that it quotes."""

import json
import random
import sys

import numpy as np
import pandas as pd
import pytest

from gcamccl_core.kept_files import write_sealed
from tests.kill_loop import COLUMNS, disturb, finish, wait_for_end
from tests.kill_scenarios import Scenario, download_scenario, training_scenario
from tests.run_artefacts import artefacts, differences
from workflow import kills

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent ended")


@linux
@pytest.mark.slow
def test_killed_trainings_end_as_undisturbed_ones(tmp_path):
    scenario = training_scenario(tmp_path / "models")
    rows = pd.DataFrame(disturb(scenario, 2, random.Random(1), tmp_path / "log"), columns=COLUMNS)
    assert len(rows) == 2
    assert rows["artefacts"].eq(9).all()  # of three trainings, two networks and what is said of them
    assert rows["different"].eq(0).all()
    assert rows["left"].eq(0).all()


@linux
@pytest.mark.slow
def test_killed_downloads_end_as_undisturbed_ones(tmp_path):
    with download_scenario(tmp_path / "cache") as scenario:
        rows = pd.DataFrame(disturb(scenario, 3, random.Random(2), tmp_path / "log"), columns=COLUMNS)
    assert rows["artefacts"].eq(1).all()  # the file, and nothing beside it
    assert rows["different"].eq(0).all()


UNEQUAL = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
again = folder.exists()
folder.mkdir(exist_ok=True)
time.sleep(1.5)
(folder / "result.txt").write_text("another" if again else "one")
"""


@linux
def test_the_loop_finds_what_a_kill_has_changed(tmp_path, capsys):
    scenario = Scenario("spoiled", [sys.executable, "-c", UNEQUAL, str(tmp_path / "made")], tmp_path / "made", tmp_path)
    kinds = random.Random(0)
    rows = list(disturb(scenario, 3, kinds, tmp_path / "log"))
    assert len(rows) == 3
    assert any(row["different"] for row in rows), "no kill came after the folder was there"
    assert "spoiled, cycle" in capsys.readouterr().err


@linux
def test_the_loop_names_a_process_that_a_kill_has_left_and_ends_it(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.kill_loop.GRACE", 0.5)
    scenario = Scenario("left", ["sleep", "60"], tmp_path, tmp_path)
    process = scenario.start(tmp_path / "log")
    assert wait_for_end(process, {process.pid: "sleep 60 "}) == ["sleep 60 "]
    assert process.poll() == -9


def test_a_run_that_fails_undisturbed_is_said(tmp_path):
    scenario = Scenario("failing", [sys.executable, "-c", "raise SystemExit('no data')"], tmp_path / "x", tmp_path)
    with pytest.raises(RuntimeError, match="a run of the failing failed: no data"):
        finish(scenario, tmp_path / "log")


def write_run(folder, when, value):
    (folder / "models").mkdir(parents=True)
    write_sealed(folder / "models" / "training.json", {"date": f"2026-11-27T11:0{when}:48+00:00", "loss": value})
    np.savez_compressed(folder / "models" / "series.npz", signal=np.full(3, value), stamp=np.array(when))
    page = f"<p>made 2026-11-27T11:0{when}:48+00:00, {value}</p>"
    (folder / "page.html").write_text(page)
    (folder / ".lock").write_text(str(when))
    return artefacts(folder)


def test_runs_that_found_the_same_at_other_times_are_the_same_and_others_are_not(tmp_path):
    one, later = write_run(tmp_path / "one", 1, 0.5), write_run(tmp_path / "later", 2, 0.5)
    other = write_run(tmp_path / "other", 1, 0.25)
    assert differences(one, later) == []
    assert differences(one, other) == ["models/series.npz", "models/training.json", "page.html"]
    assert ".lock" not in one


def test_the_table_is_kept_with_its_numbers_and_is_stale_when_what_it_tested_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(kills, "TABLE", tmp_path / "kills.csv")
    row = {"kind": "book", "cycle": 0, "victim": "make", "seconds": 1.5, "processes": 6, "left": 0}
    rows = [{**row, "finished": True, "artefacts": 90, "different": 0}] * 2
    rows.append({**rows[0], "kind": "download", "artefacts": 1, "different": 1})
    assert kills.changes() is None
    kills.keep(pd.DataFrame(rows), {"seed": 0})
    assert kills.changes() == []
    numbers = json.loads((tmp_path / "kills.json").read_text())["numbers"]
    assert (numbers["kills"], numbers["kills_book"], numbers["kills_download"]) == (3, 2, 1)
    assert (numbers["kills_runs"], numbers["kills_runs_finished"]) == (2, 2)
    assert (numbers["kills_artefacts"], numbers["kills_different"]) == (91, 1)
    (tmp_path / "kills.csv").write_text("edited")
    assert kills.changes() == ["edited since it was made"]
    monkeypatch.setattr(kills, "TESTED", kills.TESTED[:-1])
    assert "tested" in kills.changes()
