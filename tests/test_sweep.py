"""Grids of trainings: what is wrong is said first, what is done is kept, and scores are gathered in one order."""

import ast
import json
import os
import re

import nbformat
import numpy as np
import pandas as pd
import pytest
from sweep_checkout import ROOT, make_checkout, run_here

from gcamccl_core.kept_files import DamagedFileError, digest_file, write_sealed
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.scores import MEASURES, standard_error
from gcamccl_core.parameters import CATALOGUE, assigned_names
from workflow import status, sweep, sweep_slurm
from workflow.guard import RUNNER
from workflow.profile import Profile, ProfileError, read_profile
from workflow.sweep_grid import CELL, made_from, read_sweep
from workflow.sweep_slurm import ClusterError, slurm_options
from workflow.sweep_state import cell_states, sweep_states, table_made_from, table_state, write_plan
from workflow.sweep_table import gather, summarise_sweep, tidy

GRID = {
    "splits": 2,
    "seeds": [0, 7],
    "regimes": ["clear", "null"],
    "recipes": {"demo": {}, "short": {"base": "demo", "epochs": 1, "patience": None}},
    "parameters": {"n_subjects": 60, "regions_kept": 20},
}


def grid(**changes):
    return Profile("small", "Small", {}, {}, {**GRID, **changes})


@pytest.fixture(autouse=True)
def at_the_top(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_a_grid_has_every_combination_once_in_one_order():
    cells = read_sweep(grid()).cells
    assert len(cells) == len({cell.name for cell in cells}) == 2 * 2 * 2 * 2
    places = [tuple(cell.place[key] for key in ("regime", "recipe", "split", "training_seed")) for cell in cells]
    assert places[:5] == [
        ("clear", "demo", 0, 0),
        ("clear", "demo", 0, 7),
        ("clear", "demo", 1, 0),
        ("clear", "demo", 1, 7),
        ("clear", "short", 0, 0),
    ]
    assert cells[0].name == "clear-demo-split0-seed0"
    for cell in cells:
        assert cell.parameters["regime"] == cell.place["regime"]
        assert cell.parameters["n_subjects"] == 60
        made = getattr(Recipe, cell.parameters["recipe_base"])(**json.loads(cell.parameters["recipe_changes"]))
        assert made.epochs == (1 if cell.place["recipe"] == "short" else 33)


def test_the_profiles_own_values_reach_the_cells_and_those_of_the_section_win():
    given = {key: value for key, value in GRID.items() if key != "regimes"}
    shared = {"seed": 3, "n_subjects": 100, "regime": "null", "n_splits": 9}
    cells = read_sweep(Profile("small", "Small", shared, {}, given)).cells
    assert {(cell.parameters["seed"], cell.parameters["n_subjects"]) for cell in cells} == {(3, 60)}
    assert {cell.place["regime"] for cell in cells} == {"null"}


def test_a_cohort_that_is_not_simulated_has_no_regimes():
    changed = {key: value for key, value in GRID.items() if key != "regimes"}
    cells = read_sweep(
        Profile("a", "A", {}, {}, {**changed, "parameters": {"cohort": "abide", "label": "sex"}, "splits": 1})
    ).cells
    assert [cell.name for cell in cells][:2] == ["abide-demo-split0-seed0", "abide-demo-split0-seed7"]
    assert {cell.place["regime"] for cell in cells} == {""}
    with pytest.raises(ProfileError, match="the cohort is 'abide', and only the simulated one has regimes"):
        read_sweep(grid(parameters={"cohort": "abide", "label": "sex"}))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"split": 3}, r"unknown key of sweep 'split'; did you mean 'splits'\?"),
        ({"splits": 0}, "splits of sweep is how many, a whole number from 1, not 0"),
        ({"splits": True}, "whole number from 1, not True"),
        ({"seeds": [0, 0]}, "seeds of sweep is a list without repetitions"),
        ({"seeds": []}, "at least one"),
        ({"seeds": [-1]}, "seeds of sweep are whole numbers from 0"),
        ({"regimes": ["claer"]}, r"there is no regime 'claer'; did you mean 'clear'\?"),
        ({"recipes": ["dmeo"]}, r"recipe 'dmeo' has no known base 'dmeo'; did you mean 'demo'\?"),
        ({"recipes": {}}, "recipes of sweep is empty"),
        ({"recipes": {"a/b": {"base": "demo"}}}, "'a/b' names a recipe, and files; use letters"),
        (
            {"recipes": {"fast": {"base": "demo", "learningrate": 1}}},
            r"unknown value of recipe 'fast' 'learningrate'; did you mean 'learning_rate'\?",
        ),
        ({"recipes": {"odd": {"base": "demo", "batch_size": 1}}}, "recipe 'odd': batch_size must be at least 2"),
        (
            {"recipes": {"dcl": {"base": "demo", "fusion": "dcl", "select": "loss"}}},
            "recipe 'dcl': a network trained by dcl predicts no class",
        ),
        ({"parameters": {"n_subject": 60}}, r"unknown parameter of a sweep's cell 'n_subject'; did you mean 'n_subj"),
        ({"parameters": {"n_subjects": 3}}, "parameter 'n_subjects' is 3; allowed: int, 40 to"),
        ({"parameters": {"split": 1}}, "'split' is set by the grid; name splits, seeds, regimes, recipes in sweep"),
        ({"parameters": {"threads": 2}}, "as many threads as it has cpus; set cpus in resources"),
        ({"resources": {"memory": 4}}, r"unknown resource 'memory'"),
        ({"resources": {"runtime": "1h"}}, "resource 'runtime' is a whole number from 1, not '1h'"),
    ],
)
def test_what_is_wrong_with_a_grid_is_said_with_the_file(changes, complaint):
    with pytest.raises(ProfileError, match=complaint) as said:
        read_sweep(grid(**changes))
    assert str(said.value).startswith("profiles/small.yaml")


def test_a_profile_without_a_grid_is_refused_and_the_shipped_one_is_read(capsys):
    assert sweep.main(["demo"]) == 1
    assert "profiles/demo.yaml has no section 'sweep'" in capsys.readouterr().err
    shipped = read_sweep(read_profile("sweep"))
    assert len(shipped.cells) == 3 * 2 * 2 * 3
    assert shipped.resources["cpus"] == 1


def test_the_regime_null_may_be_written_as_yaml_reads_it():
    named = [cell.place["regime"] for cell in read_sweep(grid(regimes=["clear", None])).cells]
    assert named == [cell.place["regime"] for cell in read_sweep(grid()).cells]


def test_a_cell_computes_on_as_many_threads_as_it_has_cpus():
    assert {cell.parameters["threads"] for cell in read_sweep(grid(resources={"cpus": 4})).cells} == {4}
    assert {cell.parameters["threads"] for cell in read_sweep(grid()).cells} == {1}


def test_only_cells_whose_own_basis_changed_become_stale(tmp_path, monkeypatch):
    before = made_from(read_sweep(grid()))
    longer = {"demo": {}, "short": {"base": "demo", "epochs": 2, "patience": None}}
    after = made_from(read_sweep(grid(recipes=longer)))
    assert {name for name in before if before[name] != after[name]} == {name for name in before if "-short-" in name}
    assert made_from(read_sweep(grid(resources={"mem_mb": 9000, "runtime": 9}))) == before
    monkeypatch.setattr("workflow.sweep_grid.hash_module", lambda name, *rooms, without: f"another hash of {name}")
    assert all(made["core"] != before[name]["core"] for name, made in made_from(read_sweep(grid())).items())


def test_a_cohort_file_counts_by_its_content(tmp_path):
    cohort = tmp_path / "mine.nc"
    given = {"splits": 1, "parameters": {"cohort": str(cohort)}}
    found = []
    for content in (b"1", b"2", b"1"):
        cohort.write_bytes(content)
        found += [made["data"] for made in made_from(read_sweep(Profile("a", "A", {}, {}, given))).values()]
    assert found[0] == found[2] != found[1]


def scored(cells, values):
    rows = []
    for cell, value in zip(cells, values, strict=True):
        scores = dict.fromkeys(MEASURES, value)
        methods = [{"method": name, "n_train": 70, "n_test": 14, "epoch": 3, **scores} for name in ("fused", "alone")]
        rows.append({"scores": methods, "core": "0c", "data": f"0{len(str(cell.place['regime']))}", "versions": {}})
    return rows


def test_spread_over_splits_and_over_seeds_are_told_apart():
    cells = read_sweep(grid(regimes=["clear"], recipes=["demo"])).cells  # two splits, two seeds on each
    table = tidy(read_sweep(grid(regimes=["clear"], recipes=["demo"])), scored(cells, [0.5, 0.7, 0.8, 0.9]))
    assert table["split"].tolist() == [0] * 4 + [1] * 4
    assert table["training_seed"].tolist() == [0, 0, 7, 7] * 2
    found = summarise_sweep(table).query("method == 'fused' and measure == 'auc'").iloc[0]
    means = np.array([0.6, 0.85])
    assert found["mean"] == pytest.approx(means.mean())
    assert found["sd_splits"] == pytest.approx(means.std(ddof=1))
    assert found["sd_seeds"] == pytest.approx(np.sqrt((np.var([0.5, 0.7], ddof=1) + np.var([0.8, 0.9], ddof=1)) / 2))
    assert found["high"] - found["mean"] == pytest.approx(12.706205 * standard_error(means, 14 / 70), rel=1e-6)
    assert (found["n_splits"], found["n_seeds"]) == (2, 2)


def test_a_single_seed_has_no_spread_and_combinations_keep_their_order():
    asked = grid(seeds=[0], regimes=["null", "clear"])
    cells = read_sweep(asked).cells
    summary = summarise_sweep(tidy(read_sweep(asked), scored(cells, np.linspace(0, 1, len(cells)))))
    assert summary["sd_seeds"].isna().all()
    order = summary[["regime", "recipe"]].drop_duplicates().to_numpy().tolist()
    assert order == [["null", "demo"], ["null", "short"], ["clear", "demo"], ["clear", "short"]]


@pytest.fixture
def gathered(tmp_path, monkeypatch):
    """Fill a folder with what cells leave behind, and gather it."""
    monkeypatch.setattr(Profile, "run_folder", tmp_path / "runs" / "small")
    asked = read_sweep(grid())
    write_plan(asked)
    folder = asked.folder
    for cell, made in zip(asked.cells, scored(asked.cells, np.linspace(0.1, 0.9, len(asked.cells))), strict=True):
        executed = folder.executed(cell.name)
        executed.parent.mkdir(exist_ok=True)
        executed.write_text("{}")
        files = {executed.relative_to(folder.path).as_posix(): digest_file(executed)}
        write_sealed(folder.scores(cell.name), made)
        basis = json.loads(folder.made_from(cell.name).read_text())
        write_sealed(folder.stamp(cell.name), {**basis, "date": "2021", "files": files})
    gather(asked)
    return asked


def test_a_gathered_table_has_a_stamp_and_is_current_until_a_cell_is_not(gathered):
    stamp = json.loads(gathered.folder.table_stamp.read_text())
    assert {"core", "data", "versions", "parameters", "date", "machine", "cells"} <= set(stamp)
    assert stamp["parameters"]["seeds"] == [0, 7]
    assert len(pd.read_csv(gathered.folder.table)) == 2 * len(gathered.cells)
    assert table_state(gathered) == []
    assert sweep_states(grid())[-1] == (str(gathered.folder.table), [])
    assert len(sweep_states(grid())) == 2
    longer = {"demo": {}, "short": {"base": "demo", "epochs": 2, "patience": None}}
    states = dict(sweep_states(grid(recipes=longer)))
    stale = {path for path, changed in states.items() if changed == ["parameters"]}
    assert stale == {str(gathered.folder.executed(cell.name)) for cell in gathered.cells if "-short-" in cell.name}
    assert states[str(gathered.folder.table)] == ["cells"]


def test_a_cell_without_scores_is_missing_and_stops_the_gathering(gathered):
    lost = gathered.cells[3].name
    before = gathered.folder.table.read_bytes()
    gathered.folder.scores(lost).unlink()
    assert cell_states(gathered)[lost] is None
    with pytest.raises(FileNotFoundError, match=lost):
        gather(gathered)
    assert gathered.folder.table.read_bytes() == before


@pytest.mark.parametrize("kind", ["executed", "scores"])
def test_what_was_edited_by_hand_is_stale_and_is_made_again(gathered, kind):
    folder, name = gathered.folder, gathered.cells[5].name
    path = getattr(folder, kind)(name)
    path.write_text(path.read_text().replace("{", "{ ", 1).replace("0.", "1.", 1))
    assert {cell for cell, changed in cell_states(gathered).items() if changed != []} == {name}
    with pytest.raises(DamagedFileError, match=re.escape(path.name)):
        gather(gathered)
    write_plan(gathered)
    newer = {cell.name for cell in gathered.cells if is_newer(folder.made_from(cell.name), folder.executed(cell.name))}
    assert newer == {name}


def test_an_edited_table_is_stale_and_is_gathered_again(gathered):
    folder = gathered.folder
    before = folder.table.read_text()
    folder.table.write_text(before.replace("0.", "0.9", 1))
    assert table_state(gathered) == ["edited since it was made"]
    write_plan(gathered)
    assert is_newer(folder.table_made_from, folder.table_stamp)
    gather(gathered)
    assert folder.table.read_text() == before
    assert table_state(gathered) == []


def is_newer(path, other):
    return path.stat().st_mtime_ns > other.stat().st_mtime_ns


def test_what_a_table_is_made_from_names_its_cells():
    basis = made_from(read_sweep(grid()))
    assert set(table_made_from(basis)["cells"]) == set(basis)


ACCOUNTED = {"AccountingStorageType": "accounting_storage/slurmdbd", "MinJobAge": "300 sec"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (ACCOUNTED, []),
        ({**ACCOUNTED, "AccountingStorageType": "accounting_storage/none"}, ["squeue", "40"]),
        ({"AccountingStorageType": "(null)", "MinJobAge": "200 sec"}, ["squeue", "40"]),
    ],
)
def test_squeue_is_asked_where_slurm_keeps_no_accounts(settings, expected, monkeypatch, tmp_path):
    monkeypatch.setattr(sweep_slurm, "cluster_settings", lambda: settings)
    command = sweep.snakemake_command(read_sweep(grid()), "slurm")
    names = ["--slurm-status-command", "--slurm-init-seconds-before-status-checks"]
    assert [command[command.index(name) + 1] for name in names if name in command] == expected
    assert command[command.index("--executor") + 1] == "slurm"


def test_a_cluster_that_forgets_at_once_or_does_not_answer_is_refused(monkeypatch, tmp_path):
    for age in (0, 60, 199):  # a job that ends between two questions would be waited for without end
        forgetful = {"AccountingStorageType": "accounting_storage/none", "MinJobAge": f"{age} sec"}
        monkeypatch.setattr(sweep_slurm, "cluster_settings", lambda forgetful=forgetful: forgetful)
        with pytest.raises(ClusterError, match=f"forgets finished jobs after {age} sec"):
            slurm_options(tmp_path)
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="there is no command scontrol"):
        slurm_options(tmp_path)
    scontrol = tmp_path / "scontrol"
    scontrol.write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2\nexit 1\n")
    scontrol.chmod(0o755)
    with pytest.raises(ClusterError, match="Slurm does not answer: Unable to contact slurm controller"):
        slurm_options(tmp_path)


def test_other_executors_go_by_the_same_name_and_a_mistyped_one_is_refused(capsys):
    command = sweep.snakemake_command(
        read_sweep(grid()), "cluster-generic", "7", ["--cluster-generic-submit-cmd", "qsub"]
    )
    assert command[command.index("--executor") :][:4] == ["--executor", "cluster-generic", "--jobs", "7"]
    assert command[-4:] == ["--cluster-generic-submit-cmd", "qsub", "--", "sweep"]
    assert "slurm" in sweep.known_executors()
    with pytest.raises(SystemExit, match="2"):
        sweep.main(["sweep", "--executor", "slrum"])
    said = capsys.readouterr().err
    assert "no executor 'slrum' here; did you mean 'slurm'?" in said
    assert "snakemake-executor-plugin-slrum" in said


def test_processes_on_a_node_are_not_told_of_this_machines(monkeypatch):
    seen = []
    monkeypatch.setattr(sweep, "cell_states", lambda asked: {})
    monkeypatch.setattr(sweep, "run_to_the_end", lambda command, *signals: seen.append(RUNNER in os.environ) or 0)
    for executor in ("", "slurm"):
        monkeypatch.setenv(RUNNER, "1")
        assert sweep.run(read_sweep(grid()), [], executor) == 0
    assert seen == [True, False]


def test_on_this_machine_cells_ask_for_no_more_memory_than_it_has():
    command = sweep.snakemake_command(read_sweep(grid()), "", "3")
    assert command[command.index("--cores") + 1] == "3"
    assert int(command[command.index("--resources") + 1].removeprefix("mem_mb=")) > 500


def test_the_cell_notebook_is_built_as_a_chapter_is():
    notebook = nbformat.read(CELL, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code[0].metadata["tags"] == ["parameters"]
    assert all(isinstance(each, ast.AnnAssign) for each in ast.parse(code[0].source).body)
    assert all(re.search(r"\S  # \S", line) for line in code[0].source.splitlines())
    assert set(assigned_names(code[0].source)) <= set(CATALOGUE)
    assert "check_parameters(globals())" in code[1].source
    assert code[-1].source.endswith("stamp_table(parameters, data).T")
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


TINY = """sweep:
  recipes: {{short: {{base: demo, epochs: 1, patience: null}}, other: {{base: demo, epochs: 1, batch_size: {size}}}}}
  parameters: {{n_subjects: 60, regions_kept: 20, seed: {seed}}}
  resources: {{mem_mb: 1000, gres: "gpu:1", slurm_partition: none}}
"""


@pytest.mark.slow
def test_a_sweep_keeps_what_is_done_names_what_failed_and_goes_on(tmp_path):
    checkout = make_checkout(tmp_path / "checkout", tiny=TINY.format(size=500, seed=0))
    folder = checkout / "runs" / "tiny" / "sweep"
    failed = run_here(checkout, "workflow.sweep", "tiny")
    assert failed.returncode == 1, failed.stderr
    assert "clear-other-split0-seed0 failed, with the parameters {" in failed.stderr
    assert "16 training subjects are fewer than batch_size, 500; lower batch_size" in failed.stderr
    assert "log: runs/tiny/sweep/logs/clear-other-split0-seed0.log" in failed.stderr
    assert "clear-short-split0-seed0 failed" not in failed.stderr
    assert not (folder / "table.csv").exists()
    done = (folder / "cells" / "clear-short-split0-seed0.ipynb").stat().st_mtime_ns
    (checkout / "profiles" / "tiny.yaml").write_text(TINY.format(size=8, seed=0))
    went_on = run_here(checkout, "workflow.sweep", "tiny")
    assert went_on.returncode == 0, went_on.stderr
    assert "2 cells, 1 of them done" in went_on.stdout
    assert (folder / "cells" / "clear-short-split0-seed0.ipynb").stat().st_mtime_ns == done
    table = pd.read_csv(folder / "table.csv")
    assert table["recipe"].tolist() == ["short"] * 3 + ["other"] * 3
    assert table[list(MEASURES)].apply(lambda column: column.between(0, 1)).all(axis=None)
    (checkout / "workflow" / "sweeps" / "cell.ipynb").touch()
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.csv")}
    assert run_here(checkout, "workflow.sweep", "tiny").returncode == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.csv")} == times
    states = run_here(checkout, "workflow.status").stdout
    assert re.search(r"tiny/sweep/cells, 2 of 2 cells +current\n", states)
    assert re.search(r"tiny/sweep/table.csv +current\n", states)
    (checkout / "profiles" / "tiny.yaml").write_text(TINY.format(size=8, seed=1))
    states = run_here(checkout, "workflow.status").stdout
    assert re.search(r"clear-short-split0-seed0.ipynb +stale: parameters changed\n", states)
    assert re.search(r"tiny/sweep/table.csv +stale: cells changed\n", states)


def test_a_faulty_section_of_one_profile_hides_nothing_else_of_the_status(monkeypatch):
    monkeypatch.setattr(status, "read_profile", lambda name: grid(splits=0))
    monkeypatch.setattr(status, "sweep_states", read_sweep)
    ((path, state),) = status.sweep_rows("small")
    assert path == "runs/small/sweep"
    assert state.startswith("unknown: profiles/small.yaml: splits of sweep is how many")
