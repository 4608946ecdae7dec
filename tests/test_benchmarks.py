"""The benchmarks' harness, untimed: ours and the peers compute the same, rows are kept, and the page quotes them."""

import ast
import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch

from gcamccl_core.locks import hold_lock
from gcamccl_core.model.losses import collaborative_loss
from gcamccl_core.model.networks import CollaborativeNet
from tests.benchmarks import __main__ as runner
from tests.benchmarks import (
    accuracy,
    book,
    connectivity,
    growth,
    maps,
    plain_network,
    points,
    selection,
    simulation,
    timing,
    training,
)
from tests.benchmarks.data import network, noise_cohort, parts
from tests.benchmarks.goals import goal_of
from tests.benchmarks.growth_figure import describe, draw
from tests.benchmarks.machine import describe_machine, measure, name_machine
from tests.benchmarks.plain_network import PlainLoop, PlainNet, plain_loss, plain_twin
from tests.benchmarks.quote import judge_linear, quote_growth, quote_ratios
from workflow import benchmarks
from workflow.profile import tables_read

ROOT = Path(__file__).parent.parent
SHAPES = {"fc": (48, 48), "snp": (420,)}
MACHINE = {"name": "a machine", "threads": 2}


@pytest.fixture(scope="module")
def cohort():
    return noise_cohort(12, SHAPES)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmarks, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(runner, "RESULTS", tmp_path / "results")
    return tmp_path / "results"


def ratio_row(key="maps", ratio=0.25, **more):
    row = {"key": key, "what": "all maps", "ours": "ours", "peer": "theirs", "seconds": 2.0, "peer_seconds": 8.0}
    return row | {"ratio": ratio, "ratio_low": ratio - 0.05, "ratio_high": ratio + 0.05, "repeats": 3, **more}


def growth_rows(power=1.0, dimension="subjects", stage="maps"):
    sizes = [100, 300, 900]
    rows = [{"seconds": 0.01 * n**power, "mebibytes": 2.0 * n, "size": n, "n_subjects": n} for n in sizes]
    return [{"stage": stage, "dimension": dimension, **row} for row in rows]


@pytest.mark.parametrize("n_views", [1, 2, 3])
def test_the_plain_loss_is_eq_12(n_views):
    torch.manual_seed(0)
    logits = [torch.randn(5, 2) for _ in range(n_views)] if n_views > 1 else [torch.randn(5, 2)] * 1
    target = torch.tensor([0, 1, 1, 0, 1])
    if n_views == 1:
        expected = torch.nn.functional.cross_entropy(logits[0], target)
        assert collaborative_loss({"fc": logits[0]}, target).item() == pytest.approx(expected.item())
        return
    ours = collaborative_loss({f"v{k}": each for k, each in enumerate(logits)}, target)
    assert plain_loss(logits, target).item() == pytest.approx(ours.item(), rel=1e-5)


def test_the_plain_network_has_the_papers_size_and_our_logits(cohort):
    net = CollaborativeNet({"fc": (264, 264), "snp": (750,)})
    assert sum(each.numel() for each in PlainNet(net.views).parameters()) == sum(e.numel() for e in net.parameters())
    small = network(cohort, range(12), list(SHAPES)).eval()
    inputs = small.prepare(cohort)
    with torch.no_grad():
        ours, plain = small(inputs), plain_twin(small).eval()(*inputs.values())
    for mine, theirs in zip(ours.values(), plain, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), atol=1e-5)


def test_training_steps_are_those_of_the_plain_loop_and_a_difference_is_found(cohort, monkeypatch):
    (train,) = parts(network(cohort, range(12), list(SHAPES)), cohort, np.arange(12))
    training.check_agreement(train)
    monkeypatch.setattr(plain_network, "plain_loss", lambda logits, target: 0.5 * plain_loss(logits, target))
    with pytest.raises(AssertionError):
        training.check_agreement(train)


def test_the_plain_loop_keeps_the_weights_of_its_least_cross_entropy(cohort):
    net = network(cohort, range(12), list(SHAPES))
    train, validation = parts(net, cohort, np.arange(8), np.arange(8, 12))
    loop = PlainLoop(plain_twin(net), train, validation, learning_rate=1e-2)
    loop.run_epoch()
    first = {name: tensor.clone() for name, tensor in loop.best.items()}
    loop.least = -np.inf
    loop.run_epoch()
    assert all(torch.equal(loop.best[name], tensor) for name, tensor in first.items())
    assert len(loop.loss) == 4


def test_maps_are_captums(cohort, monkeypatch):
    net = network(cohort, range(12), list(SHAPES)).eval()
    maps.check_agreement(net, cohort, np.arange(3))
    captum = maps.captum_maps(maps.own_branches(net), net, cohort, [0, 1], batch_size=1)
    assert captum["fc"].shape == (2, 2, 3, 48, 48)
    monkeypatch.setattr(maps, "METHODS", ("grad_cam_relu", *maps.METHODS[1:]))
    with pytest.raises(AssertionError, match="grad_cam_relu"):
        maps.check_agreement(net, cohort, np.arange(3))


def test_flops_of_maps_are_one_way_forward_and_one_back_per_class():
    cohort = noise_cohort(2, {"snp": (420,)})
    net = network(cohort, [0, 1], ["snp"]).eval()
    lengths = [(1, 16, 31, 390), (16, 32, 31, 35), (32, 64, 5, 1)]  # in, out, kernel, positions
    forward = sum(2 * i * o * k * n for i, o, k, n in lengths) + 2 * 64 * 2
    assert maps.count_flops(net, cohort, [0, 1]) == 2 * 3 * forward


def test_connectivity_is_nilearns():
    connectivity.check_agreement(connectivity.draw_scans(3, n_regions=12))


def test_the_plain_simulation_draws_the_same_people():
    simulation.check_agreement(12)


def test_the_plain_selection_selects_the_same_features():
    chosen = selection.noise_maps(10, n_regions=10, n_snps=30)
    selection.check_agreement(chosen)


def test_accuracies_are_compared_split_by_split(monkeypatch):
    scores = {accuracy.OURS: [0.8, 0.7, 0.9], accuracy.PEER: [0.8, 0.8, 0.9]}
    rows = [(m, k, 70, 15, v) for m, values in scores.items() for k, v in enumerate(values)]
    table = pd.DataFrame(rows, columns=["method", "split", "n_train", "n_test", "accuracy"])
    row = accuracy.compare_accuracy(table)
    assert row["difference"] == pytest.approx(-0.1 / 3)
    assert row["difference_low"] < row["difference"] < row["difference_high"]
    assert (row["accuracy"], row["peer_accuracy"], row["repeats"]) == (pytest.approx(0.8), pytest.approx(2.5 / 3), 3)


def test_both_ways_of_training_are_judged_on_the_test_part():
    from gcamccl_core.data.cohort import make_split

    cohort = noise_cohort(60, SHAPES)
    found = accuracy.train_both(cohort, make_split(cohort), seed=0, epochs=1)
    assert set(found) == {accuracy.OURS, accuracy.PEER}
    assert all(0 <= each <= 1 for each in found.values())


def test_contestants_run_by_turns_and_the_warm_up_does_not_count():
    calls = []
    seconds = timing.alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=2)
    assert calls == ["a", "b"] * 3
    assert seconds.shape == (2, 2)


def test_a_ratio_is_of_one_turn():
    found = timing.compare(pd.DataFrame({"ours": [1.0, 2, 6], "theirs": [2.0, 2, 8]}), "ours", "theirs")
    assert (found["ratio"], found["ratio_low"], found["ratio_high"]) == (0.75, 0.5, 1.0)
    assert (found["seconds"], found["peer_seconds"]) == (2, 2)


def test_exponents_are_found_with_their_interval():
    table = pd.DataFrame([*growth_rows(2.0, "regions"), *growth_rows(1.0)])
    fits = growth.exponents(table).set_index(["dimension", "quantity"])
    assert fits.loc[("regions", "seconds"), "exponent"] == pytest.approx(2)
    assert fits.loc[("subjects", "seconds"), "exponent"] == pytest.approx(1)
    assert fits.loc[("regions", "mebibytes"), ["exponent", "low", "high"]].tolist() == pytest.approx([1, 1, 1])
    noisy = table.assign(seconds=table["seconds"] * [1, 2, 1, 2, 1, 2])
    wide = growth.exponents(noisy).query("dimension == 'regions' and quantity == 'seconds'").iloc[0]
    assert wide["low"] < wide["exponent"] < wide["high"]


def test_growth_spans_what_is_promised():
    sizes = {}
    for stage, dimension, size, shapes, n in growth.points():
        sizes.setdefault((stage, dimension), []).append(size)
        assert n == size or dimension != "subjects"
        assert dimension != "views" or len(shapes) == size
    assert min(sizes["maps", "regions"]) == 100
    assert max(sizes["maps", "regions"]) == 1000
    assert (min(sizes["training", "SNPs"]), max(sizes["training", "SNPs"])) == (750, 98_804)
    assert (min(sizes["training", "views"]), max(sizes["training", "views"])) == (2, 6)
    assert {stage for stage, dimension in sizes if dimension == "subjects"} == set(points.STAGES)


@pytest.mark.parametrize("stage", sorted(points.STAGES))
def test_every_stage_runs_at_a_size_of_its_own(stage):
    found = points.measure_point(stage, {"fc": (48, 48), "snp": (420,)}, 20)
    assert found["seconds"] > 0
    assert found["mebibytes"] >= 0


def test_a_point_that_was_measured_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "STORE", tmp_path)
    runs = []

    def run(command, **more):
        runs.append(command)
        return type("Done", (), {"returncode": 0, "stdout": '{"seconds": 1.5, "mebibytes": 2.0}\n', "stderr": ""})

    monkeypatch.setattr(growth.subprocess, "run", run)
    first = growth.measure_apart("maps", {"fc": [48, 48]}, 4)
    assert growth.measure_apart("maps", {"fc": [48, 48]}, 4) == first == {"seconds": 1.5, "mebibytes": 2.0}
    growth.measure_apart("maps", {"fc": [48, 48]}, 5)
    assert len(runs) == 2


def test_the_machine_is_named():
    assert describe_machine()["cores"] >= 1
    assert re.fullmatch(r".+, \d+ cores, \d+ GiB", name_machine())
    rows = measure(quick=True)
    assert {row["key"] for row in rows} == {"limit_float32", "limit_bfloat16", "limit_float64", "limit_memory"}
    assert all(row["rate"] > 0 for row in rows)


def test_rows_replace_those_of_the_same_benchmark_alone(folder):
    benchmarks.keep("maps", [ratio_row()], MACHINE, quote_ratios)
    benchmarks.keep(
        "training", [ratio_row("epoch_bfloat16", 0.5, goal=0.4)], {**MACHINE, "name": "another"}, quote_ratios
    )
    benchmarks.keep("maps", [ratio_row(ratio=0.2)], MACHINE, quote_ratios)
    table = pd.read_csv(folder / "benchmarks.csv")
    assert table["benchmark"].tolist() == ["training", "maps"]
    assert table["ratio"].tolist() == [0.5, 0.2]
    assert table["machine"].tolist() == ["another", "a machine"]
    stamp = json.loads((folder / "benchmarks.json").read_text())
    assert list(stamp["made_from"]) == ["maps", "training"]
    assert stamp["made_from"]["maps"]["machine"] == MACHINE
    assert {"script", "core", "versions", "date"} <= set(stamp["made_from"]["maps"])
    assert sorted(path.name for path in folder.iterdir()) == ["benchmarks.csv", "benchmarks.json"]


def test_a_benchmark_is_stale_when_its_script_or_the_machine_is_another(folder, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert benchmarks.changes("maps") is None
    benchmarks.keep("maps", [ratio_row()], MACHINE, quote_ratios)
    assert benchmarks.changes("maps", "a machine") == []
    assert benchmarks.changes("maps", "another machine") == ["machine"]
    monkeypatch.setattr(benchmarks, "_hash_once", lambda module: "another")
    assert benchmarks.changes("maps") == ["core"]
    monkeypatch.setattr(benchmarks, "_sources", lambda name: {"maps": "1 + 1"})
    assert benchmarks.changes("maps") == ["script", "core"]
    states = dict(benchmarks.states())
    assert states["results/benchmarks.csv, maps"] == ["script", "core"]
    assert states["results/benchmarks.csv, training"] is None


def test_an_edited_table_is_said_to_be_and_not_added_to(folder, monkeypatch):
    monkeypatch.chdir(ROOT)
    path = benchmarks.keep("maps", [ratio_row()], MACHINE, quote_ratios)
    path.write_text(path.read_text().replace("0.25", "0.15"))
    assert benchmarks.changes("maps") == ["edited since it was made"]
    monkeypatch.setattr(runner.subprocess, "run", lambda *a, **k: pytest.fail("measured"))
    with pytest.raises(ValueError, match=r"benchmarks\.csv.* or remove both and measure everything again"):
        runner.main(["maps"])
    runner.main(["--quote"])
    assert benchmarks.changes("maps") == []
    assert json.loads((folder / "benchmarks.json").read_text())["numbers"]["cost_maps_ratio"] == "0.15"


def test_no_notebook_reads_the_tables_of_benchmarks(monkeypatch):
    """Or measuring again would make chapters stale."""
    monkeypatch.chdir(ROOT)
    notebooks = sorted(ROOT.glob("notebooks/*.ipynb"))
    assert not {path.stem for name in notebooks for path in tables_read(name)} & {"benchmarks", "growth"}
    assert [path.name for path in notebooks if re.search(r"(benchmarks|growth)\.csv", path.read_text())] == []


def test_what_a_benchmark_imports_beside_it_counts(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert {"maps", "timing", "machine", "data"} <= set(benchmarks._sources("maps"))
    assert "plain_network" not in benchmarks._sources("connectivity")


def test_every_benchmark_of_the_list_can_be_measured():
    for name in benchmarks.TABLE_OF:
        source = ROOT / benchmarks.BENCHMARKS / f"{name}.py"
        functions = [node.name for node in ast.parse(source.read_text()).body if isinstance(node, ast.FunctionDef)]
        assert runner.MEASURE in functions, name


def test_quoted_ratios_say_whether_a_goal_is_met():
    rows = [
        {"benchmark": "machine", "key": "limit_memory", "what": "copy of memory", "rate": 91.2, "unit": "GB/s"},
        {"benchmark": "maps", **ratio_row(goal=0.33, rate=60.0, unit="GFLOP/s", share_of_limit=0.6)},
        {"benchmark": "training", **ratio_row("epoch_bfloat16", 0.45, goal=0.4)},
    ]
    accuracy_row = {"accuracy": 0.81, "peer_accuracy": 0.8, "difference": 0.01, "repeats": 12}
    interval = {"difference_low": -0.02, "difference_high": 0.04}
    rows.append({"benchmark": "accuracy", "key": "accuracy", "what": "accuracy", **accuracy_row, **interval})
    table = pd.DataFrame(rows).assign(machine="a machine")
    made = {"date": "2026-11-27T12:00:00", "machine": MACHINE}
    numbers = quote_ratios(table, {"maps": made, "training": {**made, "date": "2026-11-28T12:00:00"}})
    assert numbers["cost_maps_ratio"] == "0.25"
    assert numbers["cost_maps_range"] == "0.20 to 0.30"
    assert numbers["cost_maps_verdict"] == "met"
    assert numbers["cost_epoch_bfloat16_verdict"] == "**not met**"
    assert numbers["cost_maps_share"] == "60%"
    assert numbers["cost_limit_memory"] == "91 GB/s"
    assert numbers["cost_dates"] == "2026-11-27 to 2026-11-28"
    assert numbers["cost_accuracy_verdict"] == "the interval includes no difference"
    lines = str(numbers["cost_table"]).splitlines()
    assert lines[2] == "| all maps | ours | theirs | 2 | 8 | 0.25 (0.20 to 0.30) | 0.33 | 60% |"
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) == 4


def test_a_goal_is_judged_at_its_size_alone():
    table = pd.DataFrame([{"benchmark": "maps", **ratio_row()}]).assign(machine="m")
    numbers = quote_ratios(table, {"maps": {"date": "2026-11-27", "machine": MACHINE}})
    assert (numbers["cost_maps_goal"], numbers["cost_maps_verdict"]) == ("0.33", "not tried at its size")
    assert goal_of("maps", quick=True) == {}
    assert goal_of("maps", quick=False) == {"goal": 0.33}
    assert judge_linear(growth.exponents(pd.DataFrame(growth_rows()[:2]))) == "nothing can be said from so few sizes"


def test_a_loss_of_accuracy_is_not_passed_over():
    row = {"accuracy": 0.7, "peer_accuracy": 0.8, "difference": -0.1, "repeats": 12, "key": "accuracy"}
    table = pd.DataFrame([{"benchmark": "accuracy", "machine": "m", "what": "", **row}])
    table = table.assign(ratio=np.nan, difference_low=-0.15, difference_high=-0.05)
    numbers = quote_ratios(table, {"accuracy": {"date": "2026-11-27", "machine": MACHINE}})
    assert "**excludes** no difference" in str(numbers["cost_accuracy_verdict"])
    assert "does not exclude a loss of more than 0.03" in str(numbers["cost_accuracy_verdict"])


def test_quoted_growth_has_a_table_and_words_for_the_figure(tmp_path):
    rows = [*growth_rows(), *growth_rows(2.0, "regions"), *growth_rows(1.2, "regions", "training")]
    streamed = [{**row, "stage": "simulation", "mebibytes": 3000.0} for row in growth_rows()]
    table = pd.DataFrame(rows).assign(benchmark="growth", machine="m")
    table = pd.concat([table, pd.DataFrame(streamed).assign(benchmark="large_cohort", machine="m")])
    numbers = quote_growth(table, {})
    assert numbers["cost_growth_maps_regions"] == "2.00 (2.00 to 2.00)"
    assert "| training | 100 to 900 regions |" in str(numbers["cost_growth_table"])
    assert "with regions: maps 2.00, training 1.20" in str(numbers["cost_growth_alt"])
    assert numbers["cost_streamed_subjects"] == "900"
    assert numbers["cost_streamed_verdict"] == "not tried at its size"
    assert numbers["cost_growth_linear"] == "none of them grows faster than linearly, as far as the intervals tell"
    assert numbers["cost_streamed_memory"] == "2.9 GiB"
    path = draw(table[table["benchmark"] == "growth"], tmp_path / "growth.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert describe(growth.exponents(table.iloc[:3])).endswith("with subjects: maps 1.00.")


@pytest.mark.parametrize(("n", "gibibytes", "verdict"), [(40_000, 3.9, "met"), (40_000, 4.1, "**not met**")])
def test_the_goal_for_large_cohorts_is_judged_at_its_size(n, gibibytes, verdict):
    sizes = [n // 4, n // 2, n]
    rows = [{"stage": "simulate", "dimension": "subjects", "size": size, "seconds": size / 100} for size in sizes]
    table = pd.DataFrame(rows).assign(benchmark="large_cohort", machine="m", mebibytes=gibibytes * 1024)
    assert quote_growth(table, {})["cost_streamed_verdict"] == verdict


def test_growth_above_linear_is_said():
    fits = growth.exponents(pd.DataFrame(growth_rows(1.5)))
    assert judge_linear(fits) == "**faster than linear**: seconds of maps"


def test_papermills_times_are_summed(tmp_path):
    paths = []
    for number, seconds in enumerate((1.5, 2.25)):
        made = nbformat.v4.new_notebook(metadata={"papermill": {"duration": seconds}})
        paths.append(tmp_path / f"{number}.ipynb")
        nbformat.write(made, paths[-1])
    assert book.papermill_seconds(paths) == 3.75


def test_without_a_current_book_there_is_nothing_to_make_again(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(book, "executed_state", lambda profile, name: (f"runs/{profile}/{name}", "missing"))
    with pytest.raises(book.NotMadeError, match=r"runs/demo/01_cohort is missing, and \d+ more; `make book` first"):
        book.require_book(tmp_path)


def test_a_copy_of_the_project_has_its_run_and_not_the_others(tmp_path):
    root = tmp_path / "here"
    for name in ("runs/demo/a", "runs/results/b", ".git/c", ".venv/d", "book/e", "book/__pycache__/f"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    copy = book.copy_project(root, tmp_path / "there")
    files = {path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()}
    assert {name for name in files if not name.startswith(".venv")} == {"runs/demo/a", "book/e"}
    assert (copy / ".venv").resolve() == root / ".venv"
    assert (copy / "book/e").stat().st_mtime_ns == (root / "book/e").stat().st_mtime_ns


def test_a_quick_run_shows_its_rows_and_keeps_nothing(folder, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    runner.main(["machine", "--quick", "--threads", "1"])
    assert "copy of memory" in capsys.readouterr().out
    assert not folder.exists()


def test_what_is_there_is_not_measured_again(folder, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    benchmarks.keep("machine", measure(quick=True), {**MACHINE, "name": name_machine()}, quote_ratios)
    monkeypatch.setattr(runner.subprocess, "run", lambda *a, **k: pytest.fail("measured again"))
    runner.main(["machine"])
    assert "results/benchmarks.csv has it, by this code and machine" in capsys.readouterr().out


def test_an_unknown_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit):
        runner.main(["trainings"])
    assert "no benchmark trainings; benchmarks are machine, training" in capsys.readouterr().err


def test_two_runs_of_the_benchmarks_at_once_are_refused(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(runner.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(runner, "run", lambda *a: pytest.fail("measured"))
    with (
        hold_lock(tmp_path / runner.LOCK, "time", "make bench"),
        pytest.raises(SystemExit, match="measure one another"),
    ):
        runner.main(["machine"])
