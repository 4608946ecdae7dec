"""Tables of long runs: made small here, stamped, stale when what made them changes, and taken up where they stopped."""

import json
import os
import re
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from small_cohorts import planted_cohort
from threadpoolctl import threadpool_info, threadpool_limits

from gcamccl_core.data.manifest import UnavailableError
from gcamccl_core.data.sources import open_cohort
from gcamccl_core.disk_faults import StorageError
from gcamccl_core.kept_files import read_sealed, write_sealed
from gcamccl_core.locks import hold_lock
from gcamccl_core.model.comparators import COMPARATORS
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.scores import MEASURES, compare_paired, summarise
from gcamccl_core.provenance import fingerprint, hash_data, versions
from gcamccl_core.store import TABLE, cached
from workflow import cohorts, results
from workflow.naming import signed
from workflow.tables import classification
from workflow.units import Made, run_units

STORED = Path(__file__).parent.parent / "results"
SCRIPT = """'What it makes.'
from gcamccl_core.data.cohort import make_split
import pandas as pd
from workflow.units import Made

TABLES = {"steps": {"n_splits": 3}, "jumps": {"n": 2}}
ACROSS_SPLITS = "_of_all"


def make(store, jobs, n_splits=0, n=0):
    table = pd.DataFrame({"split": range(n_splits or n), "half": 0.5, "share_of_all": 1 / (n_splits or n)})
    return Made(table, ["0a", "1b"])


def quote(table, parameters):
    return {"n_steps": len(table), **parameters}
"""


def load_script(folder, source=SCRIPT, name="steps_script"):
    """Import source text as a module whose source can be read."""
    path = folder / f"{name}.py"
    path.write_text(source)
    module = ModuleType(name)
    module.__file__ = str(path)
    exec(compile(source, path, "exec"), vars(module))
    return module


@pytest.fixture
def script(tmp_path, monkeypatch):
    """One script of two tables, the only one there is, and a core that stands still."""
    module = load_script(tmp_path)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(results, "STORE", str(tmp_path / "store"))
    monkeypatch.setattr(results, "hash_module", lambda name, *rooms, without: f"hash of {name}")
    monkeypatch.setattr(results, "tables", lambda: dict.fromkeys(module.TABLES, module))
    return module


def test_a_table_is_current_until_its_script_the_core_or_its_parameters_change(script, tmp_path, monkeypatch):
    assert results.changes("steps", script) is None
    results.compute("steps", script, jobs=2)
    assert results.changes("steps", script) == []
    assert results.changes("jumps", script) is None
    monkeypatch.setitem(script.TABLES, "steps", {"n_splits": 4})
    assert results.changes("steps", script) == ["parameters"]
    monkeypatch.setattr(results, "hash_module", lambda name, *rooms, without: f"another hash of {name}")
    assert results.changes("steps", script) == ["core", "parameters"]
    monkeypatch.undo()
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(results, "hash_module", lambda name, *rooms, without: f"hash of {name}")
    explained = load_script(
        tmp_path, SCRIPT.replace("What it makes.", "Why.").replace("\ndef", "\n# how\ndef"), "explained"
    )
    otherwise = load_script(tmp_path, SCRIPT.replace("0.5", "0.25"), "otherwise")
    assert results.changes("steps", explained) == []
    assert results.changes("steps", otherwise) == ["script"]


def test_a_stamp_says_what_made_the_table_and_holds_its_numbers(script):
    path = results.compute("steps", script, jobs=2)
    pd.testing.assert_frame_equal(pd.read_csv(path)[["split", "half"]], pd.DataFrame({"split": range(3), "half": 0.5}))
    held = json.loads(path.with_suffix(".json").read_text())
    assert held["parameters"] == {"n_splits": 3}
    assert held["numbers"] == {"n_steps": 3, "n_splits": 3}
    assert {"core", "script", "date", "machine", "versions"} < set(held)
    assert held["data"] == fingerprint(["0a", "1b"])


@pytest.mark.parametrize("lost", ["steps.csv", "steps.json"])
def test_a_table_without_its_stamp_or_a_stamp_without_its_table_is_missing(script, lost):
    path = results.compute("steps", script)
    (path.parent / lost).unlink()
    assert results.changes("steps", script) is None


def test_a_table_whose_writing_failed_is_as_it_was(script, monkeypatch):
    path = results.compute("steps", script)
    before = {each.name: each.read_bytes() for each in path.parent.iterdir()}

    def fail(table, path, **_):
        path.write_text("ha")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    with pytest.raises(StorageError, match=r"steps\.csv cannot be written: the disk is full"):
        results.compute("steps", script)
    assert {each.name: each.read_bytes() for each in path.parent.iterdir()} == before


@pytest.mark.parametrize("name", ["steps.csv", "steps.json"])
def test_an_edited_table_is_neither_current_nor_confirmed(script, name, tmp_path, capsys):
    path = results.compute("steps", script)
    edited = path.parent / name
    edited.write_text(edited.read_text().replace("3", "7", 1))
    assert results.EDITED in results.changes("steps", script)
    with pytest.raises(results.UnconfirmedError, match=rf"{name} is damaged.*make it again, without --confirm"):
        results.confirm("steps", script, str(tmp_path / "nothing"))
    results.main(["steps"])
    assert re.search(rf"steps\.csv is stale: .*{results.EDITED}\n", capsys.readouterr().out)
    assert results.changes("steps", script) == []


def test_a_table_that_another_process_makes_is_left_out_and_the_others_made(script, tmp_path, capsys):
    (tmp_path / "store").mkdir()
    with (
        hold_lock(tmp_path / "store" / ".lock-steps", "results/steps.csv", "make results"),
        pytest.raises(SystemExit, match="left out, another process makes them: steps"),
    ):
        results.main([])
    assert f"left out: results/steps.csv is in use: process {os.getpid()}" in capsys.readouterr().out
    assert results.changes("steps", script) is None
    assert results.changes("jumps", script) == []


def test_the_command_makes_what_is_not_current_and_says_why(script, capsys, monkeypatch):
    results.main(["steps", "--jobs", "1"])
    assert re.search(r"^results/steps.csv is missing\nwrote .*steps.csv\n$", capsys.readouterr().out)
    results.main([])
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["results/steps.csv is current", "results/jumps.csv is missing"]
    monkeypatch.setitem(script.TABLES, "steps", {"n_splits": 5})
    results.main(["--jobs", "1"])
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "results/steps.csv is stale: parameters"
    assert said[-1] == "results/jumps.csv is current"
    results.main(["jumps", "--force"])
    assert capsys.readouterr().out.startswith("results/jumps.csv is current\nwrote ")


def test_an_unknown_table_is_refused_with_those_there_are(script, capsys):
    with pytest.raises(SystemExit, match="2"):
        results.main(["steps", "leaps"])
    assert "no table leaps; tables are steps, jumps" in capsys.readouterr().err
    assert not results.RESULTS.exists()


def test_a_table_whose_data_cannot_be_had_is_left_out_and_the_others_made(script, capsys, monkeypatch):
    def make(store, jobs, n_splits=0, n=0):
        if n_splits == 3:
            raise UnavailableError("scans.zip cannot be had from here")
        return Made(pd.DataFrame({"split": range(n)}), [])

    monkeypatch.setattr(script, "make", make)
    results.main([])
    said = capsys.readouterr().out
    assert "results/steps.csv left out, its data cannot be had here: scans.zip cannot be had from here" in said
    assert sorted(path.name for path in results.RESULTS.iterdir()) == ["jumps.csv", "jumps.json"]


@pytest.fixture
def stale(script, monkeypatch):
    """A table of three splits, and a core that has changed since."""
    path = results.compute("steps", script)
    monkeypatch.setattr(results, "hash_module", lambda name, *rooms, without: f"another hash of {name}")
    monkeypatch.setattr(results, "TRIED", 2)  # so that a row can be lost and others left
    assert results.changes("steps", script) == ["core"]
    return path


def test_a_stale_table_is_confirmed_by_splits_that_come_out_as_stored(script, stale, capsys):
    before = stale.read_bytes()
    results.main(["steps", "--confirm"])
    assert capsys.readouterr().out.splitlines() == [
        "results/steps.csv is stale: core",
        f"confirmed {stale}",
    ]
    assert results.changes("steps", script) == []
    assert stale.read_bytes() == before
    held = json.loads(stale.with_suffix(".json").read_text())
    assert held["confirmed"]["splits"] == 2
    assert held["numbers"] == {"n_steps": 3, "n_splits": 3}


def test_tables_that_are_confirmed_share_what_they_have_in_common_and_nothing_made_before(
    script, tmp_path, capsys, monkeypatch
):
    stores = []
    make = script.make
    monkeypatch.setattr(script, "make", lambda store, *a, **k: (stores.append(Path(store)), make(store, *a, **k))[1])
    monkeypatch.setattr(script, "TABLES", {"steps": {"n_splits": 3}, "strides": {"n_splits": 3}})
    results.main([])
    monkeypatch.setattr(results, "hash_module", lambda name, *rooms, without: f"another hash of {name}")
    results.main(["--confirm"])
    assert stores[0] == stores[1] == Path(results.STORE)
    assert stores[2] == stores[3] != stores[0]
    assert not stores[2].exists()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            lambda table: table.replace(0.5, 0.500002),
            r"steps\.csv, split 0: half comes out as 0\.500002, stored is 0\.5;",
        ),
        (lambda table: table.assign(split=table["split"] + 7), r"split 7: no such row is stored; make the table again"),
        (lambda table: table.assign(half=np.nan), r"split 0: half comes out as nan, stored is 0\.5"),
        (lambda table: table.assign(third=1 / 3), r"steps\.csv lacks the column third; make the table again"),
        (lambda table: table.iloc[1:], r"steps\.csv has rows of split 0 that are not made any more"),
        (lambda table: table.iloc[:0], r"steps\.csv has no row to compare"),
    ],
)
def test_a_table_that_comes_out_otherwise_stays_stale_and_the_command_fails(
    script, stale, capsys, monkeypatch, change, complaint
):
    make, stamp = script.make, stale.with_suffix(".json").read_bytes()
    monkeypatch.setattr(script, "make", lambda *a, **k: Made(change(make(*a, **k).table), []))
    with pytest.raises(SystemExit, match="not confirmed: steps"):
        results.main(["steps", "jumps", "--confirm"])
    said = capsys.readouterr().out
    assert re.search(complaint, said)
    assert said.splitlines()[-1] == "results/jumps.csv is missing"  # nothing to confirm, and hours to make
    assert stale.with_suffix(".json").read_bytes() == stamp
    assert sorted(path.name for path in results.RESULTS.iterdir()) == ["steps.csv", "steps.json"]


def test_other_parameters_or_a_table_without_splits_cannot_be_confirmed(script, stale, tmp_path, monkeypatch):
    monkeypatch.setitem(script.TABLES, "steps", {"n_splits": 4})
    with pytest.raises(results.UnconfirmedError, match=r"steps\.csv was made with other parameters; make it again"):
        results.confirm("steps", script, str(tmp_path / "nothing"))
    results.compute("jumps", script)
    with pytest.raises(results.UnconfirmedError, match=r"jumps\.csv has no splits to try"):
        results.confirm("jumps", script, str(tmp_path / "nothing"))


def make_number(store, number):
    """Keep a table of one number, as a unit of work in a process of its own."""
    return cached(store, "numbers", number, lambda: pd.DataFrame({"number": [number]}), TABLE)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_stamp_names_the_versions_that_made_the_pieces(script, tmp_path, monkeypatch, jobs):
    store = str(tmp_path / "store")
    run_units(partial(make_number, store), [1, 2], 1)
    kept = next(Path(store).glob("numbers/*/stamp.json"))
    made_with = read_sealed(kept)
    made_with["versions"]["torch"] = "0.0.1"  # as if this piece had been made elsewhere
    write_sealed(kept, made_with)

    def make(store, jobs, n):
        return Made(pd.concat(run_units(partial(make_number, str(tmp_path / "store")), [1, 2], jobs)), [])

    monkeypatch.setattr(script, "make", make)
    held = json.loads(results.compute("jumps", script, jobs).with_suffix(".json").read_text())["versions"]
    assert held["torch"] == f"0.0.1, {versions()['torch']}"
    assert held["numpy"] == versions()["numpy"]


def test_a_piece_from_before_a_package_was_listed_does_not_stop_the_table():
    seen = [{"torch": "2.13.0", "captum": "0.9.0"}, {"torch": "2.11.0"}]
    assert results.list_versions(seen) == {"torch": "2.11.0, 2.13.0", "captum": "0.9.0"}


def test_scripts_share_no_name_of_a_table(monkeypatch):
    monkeypatch.chdir(STORED.parent)
    known = results.tables()
    scripts = {script.__name__: script for script in known.values()}
    assert len(known) == sum(len(script.TABLES) for script in scripts.values())
    for name, script in known.items():
        json.dumps(script.TABLES[name])  # or its stamp would not be found equal
        assert results.made_from(name, script)["parameters"] == script.TABLES[name]


SMALL = {
    **classification.SHARED,
    "source": {"cohort": "simulated", "regime": "clear", "n_subjects": 160},
    "n_splits": 3,
    "precision": "float32",
    "learning_rates": [1e-4, 1e-3],
    "dcca": True,
}


def scores(methods, number=0):
    rng = np.random.default_rng(number)
    rows = [(name, 0, 70, 15, *rng.uniform(0.5, 1, 5).round(3)) for name in methods]
    return pd.DataFrame(rows, columns=["method", "split", "n_train", "n_test", *MEASURES])


@pytest.fixture
def scored(monkeypatch):
    """Take the cohort for granted and every classifier for cheap; hand back what was called."""
    calls = []
    cohort = planted_cohort()
    monkeypatch.setattr(classification, "open_once", lambda seed, **source: calls.append(("open", seed)) or cohort)
    monkeypatch.setattr(classification, "hash_module", lambda name, *rooms: name)

    def networks(train, cohort, seed, precision):
        calls.append(("networks", seed))
        return scores(["gCAM-CCL", "CCL+SVM"], seed)

    def dcca(train, cohort, seed, precision):
        calls.append(("dcca", seed))
        return scores(["DCCA+SVM"], seed)

    def cca(cohort, splits, seed):
        return scores(["CCA+SVM"], seed)

    def chosen(train, cohort, precision, learning_rates):
        calls.append(("choice", train.keywords["seed"]))
        return scores([classification.CHOSEN])

    def compare(cohort, splits, seed, **rest):
        calls.append(("comparators", seed))
        return scores(["linear SVM"], seed)

    monkeypatch.setattr(classification, "_score_networks", networks)
    monkeypatch.setattr(classification, "_score_chosen", chosen)
    monkeypatch.setattr(classification, "_score_dcca", dcca)
    monkeypatch.setattr(classification, "compare_cca", cca)
    monkeypatch.setattr(classification, "compare", compare)
    return calls


def test_splits_are_scored_once_each_with_a_seed_of_their_own(scored, tmp_path):
    made = classification.make(str(tmp_path), 1, **SMALL)
    table, numbers = made.table, classification.quote(made.table, SMALL)
    assert set(made.data) == {hash_data(planted_cohort())}
    assert table["split"].tolist() == [k for k in range(3) for _ in range(6)]
    methods = ["gCAM-CCL", "CCL+SVM", "DCCA+SVM", classification.CHOSEN, "CCA+SVM", "linear SVM"]
    assert table["method"].tolist() == methods * 3
    assert [seed for what, seed in scored if what == "open"] == [0, 0, 0]
    assert numbers["classification_clear_n_splits"] == 3
    scored.clear()
    again = classification.make(str(tmp_path), 1, **SMALL)
    pd.testing.assert_frame_equal(again.table, table)
    assert {what for what, _ in scored} == {"open"}
    classification.make(str(tmp_path), 1, **{**SMALL, "seed": 10, "independent": True})
    assert [seed for what, seed in scored[3:] if what == "open"] == [10, 11, 12]
    assert [seed for what, seed in scored[3:] if what == "comparators"] == [10, 11, 12]


def test_a_run_killed_between_splits_goes_on_without_doing_any_again(scored, tmp_path, monkeypatch):
    compare = classification.compare

    def killed(cohort, splits, seed, **rest):
        if seed == 2:
            raise KeyboardInterrupt
        return compare(cohort, splits, seed, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(classification, "compare", killed)
        with pytest.raises(KeyboardInterrupt):
            classification.make(str(tmp_path), 1, **SMALL)
    assert [call for call in scored if call[0] == "networks"] == [("networks", k) for k in range(3)]
    scored.clear()
    classification.make(str(tmp_path), 1, **SMALL)
    left = [("comparators", 2), ("choice", 2), ("dcca", 2)]
    assert [call for call in scored if call[0] != "open"] == left


def test_numbers_for_the_prose_are_named_by_table_method_and_measure():
    table = pd.concat([scores(["gCAM-CCL", "CCL by Eq. 12+SVM"], k).assign(split=k) for k in range(4)])
    numbers = classification.quote(table, SMALL)
    rows = summarise(table).set_index(["method", "measure"])
    auc = rows.loc[("CCL by Eq. 12+SVM", "auc")]
    assert numbers["classification_clear_ccl_by_eq_12_svm_auc"] == f"{auc['mean']:.2f}"
    assert numbers["classification_clear_ccl_by_eq_12_svm_auc_interval"] == f"{auc['low']:.2f} to {auc['high']:.2f}"
    ahead = rows.loc[("gCAM-CCL", "accuracy"), "mean"] - rows.loc[("CCL by Eq. 12+SVM", "accuracy"), "mean"]
    assert numbers["classification_clear_ours_less_ccl_by_eq_12_svm"] == f"{ahead:+.2f}"
    paired = compare_paired(table, "gCAM-CCL").iloc[0]
    expected = f"{signed(paired['low'])} to {signed(paired['high'])}"
    assert numbers["classification_clear_ours_less_ccl_by_eq_12_svm_interval"] == expected
    assert numbers["classification_clear_ours_less_ccl_by_eq_12_svm_p"] == f"{paired['p_adjusted']:.2f}"
    auc = compare_paired(table, "gCAM-CCL", "auc").iloc[0]
    assert numbers["classification_clear_ours_less_ccl_by_eq_12_svm_auc"] == signed(auc["difference"])
    assert len(numbers) == 1 + 2 * 2 * 5 + 2 * 3 + 4
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in numbers)


def test_rates_chosen_are_counted_and_single_views_are_not_compared_with_all():
    methods = ["gCAM-CCL", "gCAM-CCL, fc alone", classification.CHOSEN]
    table = pd.concat([scores(methods, k).assign(split=k) for k in range(3)])
    table["learning_rate"] = [np.nan, np.nan, 1e-3, np.nan, np.nan, 1e-4, np.nan, np.nan, 1e-3]
    numbers = classification.quote(table, SMALL)
    assert (numbers["classification_clear_chose_1e_03"], numbers["classification_clear_chose_1e_04"]) == (2, 1)
    assert f"classification_clear_ours_less_{classification.slug(classification.CHOSEN)}" in numbers
    assert not any("less_gcam_ccl_fc_alone" in name for name in numbers)


def test_what_the_network_does_with_the_classes_and_with_its_views_is_quoted():
    random = np.random.default_rng(0)
    n, positive = 1000, 0.2
    rows = []
    for split in range(4):
        for method, level in {"gCAM-CCL": 0.3, "gCAM-CCL, fc alone": 0.2, "gCAM-CCL, snp alone": 0.25}.items():
            sensitivity, specificity = level + random.uniform(0, 0.1), 0.9 + random.uniform(0, 0.05)
            accuracy = positive * sensitivity + (1 - positive) * specificity
            rows.append((method, split, 5 * n, n, sensitivity, specificity, accuracy))
    columns = ["method", "split", "n_train", "n_test", "sensitivity", "specificity", "accuracy"]
    table = pd.DataFrame(rows, columns=columns)
    numbers = classification.quote_network(table, independent=False)
    assert numbers["larger_class"] == "80 %"
    ours = table[table["method"] == "gCAM-CCL"]
    assert numbers["sensitivity_less_specificity"] == signed((ours["sensitivity"] - ours["specificity"]).mean())
    means = table.groupby("method")["accuracy"].mean()
    better = means[["gCAM-CCL, fc alone", "gCAM-CCL, snp alone"]].max()
    assert numbers["gcam_ccl_less_better_view"] == signed(means["gCAM-CCL"] - better)


def test_cohorts_of_their_own_need_no_correction():
    table = pd.concat([scores(["gCAM-CCL", "linear SVM"], k).assign(split=k) for k in range(5)])
    name = "classification_clear_ours_less_linear_svm_interval"
    kinds = ({**SMALL, "independent": independent} for independent in (False, True))
    intervals = [classification.quote(table, kind)[name] for kind in kinds]
    (low, high), (lower, higher) = ([float(end) for end in str(each).split(" to ")] for each in intervals)
    assert (high - low) / (higher - lower) == pytest.approx(np.sqrt((1 / 5 + 15 / 70) / (1 / 5)), rel=0.05)


def test_methods_keep_names_of_their_own_as_parts_of_numbers_names():
    methods = [*COMPARATORS, *(f"{name}, {view} alone" for name in COMPARATORS for view in ("fc", "snp"))]
    methods += ["CCA+SVM", "DCCA+SVM", "DCCA+RF"]
    methods += [
        "gCAM-CCL",
        "gCAM-CCL, epoch by Eq. 12",
        classification.CHOSEN,
        "CCL+SVM",
        "CCL+RF",
        "CCL by Eq. 12+SVM",
        "CCL by Eq. 12+RF",
    ]
    assert len({classification.slug(name) for name in methods}) == len(methods)


def test_one_real_split_scores_every_method_of_table_iii(tmp_path, monkeypatch):
    for recipe in ("demo", "features"):
        monkeypatch.setattr(Recipe, recipe, partial(getattr(Recipe, recipe), epochs=1, batch_size=32))
    cohort = open_cohort(**SMALL["source"], seed=0, progress=False)
    split = classification.make_splits(cohort, 1, "subjects", 7)[0]
    table = classification.score_methods(str(tmp_path), cohort, split, 4, 7, "float32", [1e-4, 1e-3])
    looks = ["", ", fc alone", ", snp alone"]
    ours = [*(f"gCAM-CCL{look}" for look in looks), "gCAM-CCL, epoch by Eq. 12", "CCL+SVM", "CCL+RF"]
    ours += ["CCL by Eq. 12+SVM", "CCL by Eq. 12+RF", classification.CHOSEN, "CCA+SVM"]
    assert table["method"].tolist() == [*ours, *(f"{name}{look}" for look in looks for name in COMPARATORS)]
    assert set(table["split"]) == {4}
    assert table.drop(columns="learning_rate").notna().all(axis=None)
    assert table.set_index("method")["learning_rate"].dropna().index.tolist() == [classification.CHOSEN]
    assert table[list(MEASURES)].map(lambda score: 0 <= score <= 1).all(axis=None)


@pytest.mark.parametrize("jobs", [1, 2])
def test_units_come_back_in_their_order_however_long_each_takes(jobs):
    units = [range(3_000_000), range(4), range(3), range(2)]
    assert run_units(sum, units, jobs) == [4_499_998_500_000, 6, 3, 1]


def test_a_fault_in_a_unit_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        run_units(partial(divmod, 1), [1, 0, 2], 1)


def test_cohorts_are_opened_on_one_thread(monkeypatch):
    """Or the same seed would give another cohort, in its last bits, to a run with another number of jobs."""
    threads = []

    def look(**source):
        threads.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return xr.Dataset()

    monkeypatch.setattr(cohorts, "open_cohort", look)
    with threadpool_limits(2):
        cohorts.open_once.__wrapped__(cohort="simulated", seed=0)
    assert set(threads) == {1}


def test_every_stored_table_has_its_stamp_and_is_what_it_says():
    for path in STORED.glob("*.csv"):
        stamp = path.with_suffix(".json")
        held = json.loads(stamp.read_text())
        assert "numbers" in held
        assert results.edit_of(stamp) is None
        assert "sha256" in held, f"{stamp} holds no checksum; write it with workflow.results.write_stamp"


@pytest.mark.parametrize("name", sorted(results.tables()))
def test_stale_tables_are_named(name):
    """Skipped, with the reason, where a number may no longer be what the code gives."""
    changed = results.changes(name, results.tables()[name])
    assert changed is not None, f"results/{name}.csv is missing: make results TABLE={name}"
    if changed:
        pytest.skip(f"results/{name}.csv is stale: {', '.join(changed)}; make confirm TABLE={name}")
