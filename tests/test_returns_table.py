"""The table of what returns: lists of every split and start, kept, counted, and what the book says of them."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from gcamccl_core import provenance
from gcamccl_core.data.cohort import make_splits
from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.maps.activation import compute_maps
from gcamccl_core.maps.named_lists import name_planted, name_selection
from gcamccl_core.maps.selection import select_biomarkers
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.training import fit
from gcamccl_core.provenance import hash_data
from workflow.tables import returns

CLEAR = {"cohort": "simulated", "regime": "clear"}
RESULTS = Path(__file__).parent.parent / "results"
GROUPS = ["view", "target_class", "level"]
HUBS = {"hub": "hub", "hub, degrees kept": "hub_degrees_kept"}  # levels, as names of numbers have them
SOURCES = [returns.PAPER, returns.RANDOM, returns.FIRST, returns.CONFIRMED]


@pytest.fixture(scope="module")
def simulated():
    return simulate_cohort(n_subjects=60, seed=0, progress=False)


@pytest.fixture(scope="module")
def quick(simulated):
    """Small cohort, one epoch; hands back the recipe of the paper's network."""
    recipes = {
        "demo": Recipe.demo(epochs=1, patience=None, precision="float32"),
        "recommended": Recipe.recommended(epochs=1, patience=None, precision="float32"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "code_of", cache(provenance.code_of))  # of the same text the same
        patch.setattr(returns, "open_once", lambda **source: simulated)
        patch.setattr(returns.Recipe, "demo", lambda **changes: {"bfloat16": recipes["demo"]}[changes["precision"]])
        patch.setattr(returns.Recipe, "recommended", lambda: recipes["recommended"])
        yield recipes["demo"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def made(quick, store):
    return returns.make(str(store), 1, CLEAR, 1, 2, "bfloat16", 0, "subjects")


def runs_of(store, count=2):
    with threadpool_limits(1):  # as pieces of tables are made
        return [returns.list_run(str(store), CLEAR, "bfloat16", 0, "subjects", (0, k))[0] for k in range(count)]


def test_pieces_are_kept_and_not_made_again(simulated, made, store, monkeypatch):
    assert len(list((store / "returns").glob("*"))) == 2 * 2  # starts, and makers of lists
    for name in ("fit", "compute_maps", "activation_patterns"):
        monkeypatch.setattr(returns, name, None)
    one, data = returns.list_run(str(store), CLEAR, "bfloat16", 0, "subjects", (0, 1))
    assert data == hash_data(simulated)
    assert list(one.columns) == ["view", "target_class", "level", "name", "source"]
    assert not one.duplicated().any()
    again = returns.make(str(store), 1, CLEAR, 1, 2, "bfloat16", 0, "subjects")
    pd.testing.assert_frame_equal(again.table, made.table)
    assert again.data == made.data == [hash_data(simulated)]
    with pytest.raises(TypeError):  # of another split nothing is kept
        returns.list_run(str(store), CLEAR, "bfloat16", 0, "subjects", (1, 0))


def test_lists_are_those_of_the_papers_rule_on_test_subjects(simulated, quick, made, store):
    split = make_splits(simulated, 1, "subjects", 0)[0]
    with threadpool_limits(1):
        net = fit(simulated, split, quick, returns.APART, progress=False).net  # of the second start
        maps = compute_maps(net, simulated, ["guided_grad_cam"], subjects=split.test, progress=False)
    expected = name_selection(select_biomarkers(maps), simulated)
    run = runs_of(store)[1]
    found = run[run["source"] == returns.PAPER].drop(columns="source")
    assert found.to_numpy().tolist() == expected.to_numpy().tolist() != []
    other = runs_of(store)[0]
    assert not other.equals(run)


def naive(runs, source):
    """Names by view, class and level, with the numbers of the runs that found them."""
    found = {}
    for number, run in enumerate(runs):
        for row in run[run["source"] == source].itertuples():
            found.setdefault((row.view, row.target_class, row.level), {}).setdefault(row.name, set()).add(number)
    return found


def check_against_recount(table, runs, cohort):
    known = set(name_planted(cohort)[[*GROUPS, "name"]].itertuples(index=False, name=None))
    levels = {level for *_, level, _ in known}
    for source in SOURCES:
        rows, recount = table[table["source"] == source], naive(runs, source)
        assert set(rows[GROUPS].itertuples(index=False, name=None)) == set(recount)
        for keys, of_group in rows.groupby(GROUPS):
            names = recount[keys]
            best = sorted(names, key=lambda name: (-len(names[name]), name))
            assert of_group["name"].tolist() == best[: returns.KEPT]
            assert of_group["runs"].tolist() == [len(names[name]) for name in best[: returns.KEPT]]
            assert of_group["names"].eq(len(names)).all()
            assert of_group["always"].eq(sum(len(of) >= 0.9 * len(runs) for of in names.values())).all()
            assert of_group["n_runs"].eq(len(runs)).all()
            if keys[2] not in levels:
                assert of_group[["planted", "planted_share"]].isna().all(axis=None)
                continue
            right = [(*keys, name) in known for name in names]
            weight = [len(of) for of in names.values()]
            assert of_group["planted"].tolist() == [(*keys, name) in known for name in best[: returns.KEPT]]
            assert of_group["planted_share"].to_numpy() == pytest.approx(np.dot(right, weight) / sum(weight), abs=1e-6)


def test_the_table_is_a_naive_recount_of_its_runs(simulated, made, store):
    check_against_recount(made.table, runs_of(store), simulated)
    assert made.table.groupby([*GROUPS, "source"]).size().max() == returns.KEPT  # and some lists were cut


def random_runs(cohort, n_runs=11):
    """Runs that choose at random among planted names and others, at levels of planted names and at others."""
    rng, known = np.random.default_rng(0), name_planted(cohort)
    others = known.head(60).assign(name=[f"no such name {k}" for k in range(60)])
    networks = pd.DataFrame({"view": "fc", "target_class": "low", "level": "network", "name": [*"abc"]})
    several = known[known["level"] != "connection"]
    some = known[known["level"] == "connection"].sample(100, random_state=0)
    pool = pd.concat([several, some, others, networks], ignore_index=True)
    runs = []
    for _ in range(n_runs):
        chosen = [pool[rng.random(len(pool)) < rng.choice([0.3, 0.9, 1])].assign(source=source) for source in SOURCES]
        runs.append(pd.concat(chosen, ignore_index=True))
    return runs


def test_counts_shares_and_what_was_planted_follow_the_runs(simulated):
    runs = random_runs(simulated)
    table = returns.summarise(runs, simulated)
    check_against_recount(table, runs, simulated)
    assert table.groupby([*GROUPS, "source"]).size().max() == returns.KEPT
    assert {0, 1} <= set(table["planted"].dropna())
    assert table.loc[table["level"] == "network", "planted"].isna().all()
    for name in ("low", "high"):
        asked = f"source == '{returns.FIRST}' and level == 'connection' and target_class == '{name}'"
        sizes = [len(run.query(asked)) for run in runs]
        assert table.query(asked)["expected"].to_numpy() == pytest.approx(np.mean(sizes) / (264 * 263 / 2))
    of_snp = table[(table["source"] == returns.FIRST) & (table["level"] == "SNP")]
    assert (of_snp["expected"] < 1).all()
    assert table.loc[table["level"].isin(["gene", *HUBS, "gene set"]), "expected"].isna().all()


def test_lists_that_no_run_has_are_no_rows(simulated):
    runs = [run[run["source"] != returns.CONFIRMED] for run in random_runs(simulated, 2)]
    table = returns.summarise(runs, simulated)
    assert list(dict.fromkeys(table["source"])) == [returns.PAPER, returns.RANDOM, returns.FIRST]


def test_of_a_cohort_without_a_truth_nobody_says_what_was_planted(simulated):
    runs = random_runs(simulated, 3)
    table = returns.summarise(runs, simulated.drop_vars(["truth_fc", "truth_snp"]))
    assert {"planted", "planted_share"}.isdisjoint(table)
    with_truth = returns.summarise(runs, simulated)[table.columns.tolist()]
    pd.testing.assert_frame_equal(table, with_truth)
    numbers = returns.quote(table, returns.TABLES["returns_abide_fiq"])
    assert not [name for name in numbers if name.endswith("planted_share")]
    assert "returns_abide_fiq_first_of_the_recommended_map_fc_low_network_names" in numbers


def test_numbers_for_prose_are_those_of_the_table(simulated):
    table = returns.summarise(random_runs(simulated), simulated)
    numbers = returns.quote(table, {"source": CLEAR, "of_splits": 7, "n_starts": 3})
    assert [numbers[f"returns_clear_n_{what}"] for what in ("runs", "splits", "starts")] == [21, 7, 3]
    prefix = "returns_clear_the_paper_s_rule_random_weights_fc_high_connection"
    rows = table.query(
        "source == @returns.RANDOM and view == 'fc' and target_class == 'high' and level == 'connection'"
    )
    assert numbers[f"{prefix}_names"] == rows["names"].iloc[0]
    assert numbers[f"{prefix}_always"] == rows["always"].iloc[0]
    assert numbers[f"{prefix}_planted_share"] == f"{rows['planted_share'].iloc[0]:.2f}"
    assert "returns_clear_the_paper_s_rule_fc_low_network_planted_share" not in numbers  # nobody knows
    assert numbers[f"{prefix}_first"] == rows["name"].iloc[0]
    assert numbers[f"{prefix}_first_share"] == f"{rows['share'].iloc[0]:.2f}"
    for kind, named in HUBS.items():
        of_first = table[(table["source"] == returns.FIRST) & (table["target_class"] == "high")]
        of_hub = of_first[of_first["level"] == kind]
        assert len(of_hub) > 0
        prefix = f"returns_clear_first_of_the_recommended_map_fc_high_{named}"
        assert numbers[f"{prefix}_names"] == of_hub["names"].iloc[0]
        for name, share in zip(of_hub["name"], of_hub["share"], strict=True):
            assert numbers[f"{prefix}_{name.lower().replace(' ', '_')}"] == f"{share:.2f}"
    json.dumps(numbers)


def test_parameters_are_plain():
    json.dumps(returns.TABLES)


def stored(name):
    return pd.read_csv(RESULTS / f"returns_{name}.csv"), json.loads((RESULTS / f"returns_{name}.json").read_text())


@pytest.mark.parametrize("name", ["clear", "abide_fiq"])
def test_stored_tables_hold_what_their_numbers_say(name):
    table, stamp = stored(name)
    assert stamp["numbers"] == returns.quote(table, returns.TABLES[f"returns_{name}"])
    assert list(dict.fromkeys(table["source"])) == SOURCES
    assert table["n_runs"].eq(20).all()
    np.testing.assert_allclose(table["share"], table["runs"] / 20)
    sizes = table.groupby(["source", *GROUPS]).agg(rows=("name", "size"), names=("names", "first"))
    assert (sizes["rows"] == sizes["names"].clip(upper=returns.KEPT)).all()
    assert ("planted" in table) == (name == "clear")


def hubs(table, source, target_class="high"):
    of_list = table[(table["level"] == "hub") & (table["source"] == source) & (table["target_class"] == target_class)]
    return of_list.set_index("name")["share"]


def test_what_the_book_says_of_the_stored_table():
    """The occipital hubs return in every run of the recommended map, and the paper's rule has one hub of its own."""
    table, _ = stored("clear")
    occipital = ["Lingual Gyrus", "Middle Occipital Gyrus", "Inferior Occipital Gyrus"]
    assert hubs(table, returns.FIRST)[occipital].eq(1).all()
    first = table.query("source == @returns.FIRST and level == 'hub' and target_class == 'high'")
    assert first["planted_share"].eq(1).all()
    for source in (returns.PAPER, returns.RANDOM):
        of_list = hubs(table, source)
        assert of_list["Inferior Frontal Gyrus"] >= 0.9
        assert of_list.drop("Inferior Frontal Gyrus").max() < 0.9
        assert of_list.reindex(occipital, fill_value=0).max() < 0.5
    # Hubs that return under the paper's rule do so for a network that has learnt nothing, in ABIDE as well.
    real, _ = stored("abide_fiq")
    for name in ("low", "high"):
        paper, random = (hubs(real, source, name) for source in (returns.PAPER, returns.RANDOM))
        assert paper.idxmax() == random.idxmax()
        assert min(paper.max(), random.max()) >= 0.8
