"""Hubs: counts by hand, the draws against the exact distribution, and how often random lists seem to have one."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from scipy.stats import binomtest, hypergeom, rankdata

from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.maps import hubs
from gcamccl_core.maps.hubs import COLUMNS, KEEPS, find_hubs, knows_places, region_places
from gcamccl_core.maps.named_lists import planted_features

REGIONS = ["Cuneus", "Insula", "Uvula", "Lingual Gyrus", "Precuneus"]
OCCIPITAL = {"Lingual Gyrus", "Middle Occipital Gyrus", "Inferior Occipital Gyrus"}


def scattered_cohort(n=30, seed=0, regions=None, unnamed=()):
    """ROIs r0, r1, … at random places, every fifth of the same region."""
    region = np.resize(REGIONS, n).astype(object) if regions is None else np.array(regions, dtype=object)
    region[list(unnamed)] = np.resize(["", None, np.nan], len(unnamed))
    places = np.random.default_rng(seed).uniform(-60, 60, (3, n))
    known = {f"roi_{axis}": ("roi", row) for axis, row in zip("xyz", places, strict=True)}
    return xr.Dataset(coords={"roi": [f"r{k}" for k in range(n)], "roi_region": ("roi", region), **known})


def edge_list(pairs, target_class="high"):
    ends = [(f"r{i}", f"r{j}") for i, j in pairs]
    return pd.DataFrame(ends, columns=["roi_i", "roi_j"], dtype="str").assign(target_class=target_class)


def random_pairs(rng, n=30, size=40):
    every = list(combinations(range(n), 2))
    return [every[k] for k in rng.choice(len(every), size, replace=False)]


def by_region(table, target_class="high"):
    return table[table["target_class"] == target_class].set_index("region")


@pytest.fixture(scope="module")
def simulated():
    return simulate_cohort(n_subjects=40, progress=False)


def test_connections_are_counted_by_hand():
    """Of r0 … r6, r0 and r5 are in the cuneus, r1 and r6 in the insula."""
    pairs = [(0, 5), (5, 0), (0, 5), (0, 1), (5, 6), (1, 6), (1, 2)]
    for keeps in KEEPS:
        found = by_region(find_hubs(edge_list(pairs), scattered_cohort(7), keeps, 99))
        assert found["connections"].to_dict() == {
            "Cuneus": 3, "Insula": 4, "Uvula": 1, "Lingual Gyrus": 0, "Precuneus": 0
        }  # fmt: skip
        assert found["rois"].to_dict() == {"Cuneus": 2, "Insula": 2, "Uvula": 1, "Lingual Gyrus": 1, "Precuneus": 1}
        assert set(found["keeps"]) == {keeps}
        assert found.loc[["Lingual Gyrus", "Precuneus"], ["p_value", "p_adjusted"]].eq(1).all(axis=None)


def exact_counts(pairs, cohort):
    """Distribution of every region's count where as many connections of each length are drawn: 0, 1, … by region.

    Of the N connections of a length class K have an end in the region, n are drawn: a hypergeometric variable; classes
    are drawn apart, so that the distribution of their sum is a convolution.
    """
    n = cohort.sizes["roi"]
    places = np.stack([cohort[f"roi_{axis}"].to_numpy() for axis in "xyz"], axis=1)
    every = pd.DataFrame(combinations(range(n), 2), columns=["i", "j"])  # in the order of pdist
    every["length_class"] = pd.qcut(pdist(places), 10, labels=False)
    every["drawn"] = [pair in set(pairs) for pair in zip(every["i"], every["j"], strict=True)]
    region = cohort["roi_region"].to_numpy()
    found = {}
    for name in REGIONS:
        inside = np.flatnonzero(region == name)
        touches = every["i"].isin(inside) | every["j"].isin(inside)
        chances = np.ones(1)
        for number in range(10):
            of_class = every["length_class"] == number
            size, with_end, drawn = of_class.sum(), (of_class & touches).sum(), every.loc[of_class, "drawn"].sum()
            chances = np.convolve(chances, hypergeom.pmf(np.arange(drawn + 1), size, with_end, drawn))
        found[name] = chances
    return found


def test_draws_of_the_same_lengths_follow_the_exact_distribution():
    cohort, n_draws = scattered_cohort(unnamed=(4, 11, 17)), 3000
    pairs = random_pairs(np.random.default_rng(3))
    found = by_region(find_hubs(edge_list(pairs), cohort, "lengths", n_draws))
    assert found["p_value"].between(0.03, 0.97).sum() >= 3  # or nothing would be compared
    for name, chances in exact_counts(pairs, cohort).items():
        row, counts = found.loc[name], np.arange(len(chances))
        assert chances.sum() == pytest.approx(1)
        mean = chances @ counts
        deviation = np.sqrt(chances @ (counts - mean) ** 2)
        assert row["expected"] == pytest.approx(mean, abs=5 * deviation / np.sqrt(n_draws))
        tail = chances[row["connections"] :].sum()
        assert row["p_value"] == pytest.approx(tail, abs=5 * np.sqrt(tail * (1 - tail) / n_draws) + 1 / n_draws)
        lower, upper = (np.searchsorted(chances.cumsum(), level) for level in (0.025, 0.975))
        assert row["lower"] == pytest.approx(lower, abs=1)
        assert row["upper"] == pytest.approx(upper, abs=1)


def test_short_connections_are_held_against_short_ones():
    """Ten ROIs lie far from the others: the shortest connections could be theirs alone, the longest lead to them."""
    cohort = scattered_cohort(20, regions=["Insula"] * 10 + ["Cuneus"] * 10)
    cohort["roi_x"] = cohort["roi_x"] / 1000 + np.repeat([0.0, 500.0], 10)
    cohort["roi_y"], cohort["roi_z"] = cohort["roi_y"] / 1000, cohort["roi_z"] / 1000
    across = find_hubs(edge_list([(0, 10), (1, 11), (2, 12)]), cohort, n_draws=99)
    assert across["expected"].tolist() == [3, 3]
    assert across[["p_value", "p_adjusted"]].eq(1).all(axis=None)
    within = find_hubs(edge_list([(0, 1), (1, 2), (2, 3), (3, 4)]), cohort, n_draws=999)
    assert within["expected"].sum() == pytest.approx(4)
    assert within["expected"].tolist() == pytest.approx([2, 2], abs=0.5)


def test_p_values_are_those_of_westfall_and_young(monkeypatch):
    """The draws are given, and both formulas of the documentation are evaluated one region and draw at a time."""
    rng = np.random.default_rng(1)
    drawn = rng.poisson([2, 5, 0.5, 9, 3], (150, 5)) + rng.poisson(1, (150, 1))
    monkeypatch.setattr(hubs, "_draw_of_same_length", lambda *_: drawn)
    pairs = random_pairs(rng, size=18)
    table = by_region(find_hubs(edge_list(pairs), scattered_cohort(), n_draws=150)).loc[REGIONS]
    counts = np.vstack([table["connections"], drawn])  # what was found is draw 0
    p = np.array([[(counts[:, r] >= counts[b, r]).sum() / 151 for r in range(5)] for b in range(151)])
    for r, row in enumerate(table.itertuples()):
        assert row.p_value == pytest.approx(p[0, r])
        assert row.p_adjusted == pytest.approx(sum(p[b].min() <= p[0, r] for b in range(151)) / 151)
    np.testing.assert_allclose(table["expected"], drawn.mean(axis=0))
    np.testing.assert_allclose(table[["lower", "upper"]], np.quantile(drawn, [0.025, 0.975], axis=0).T)
    assert table["p_value"].nunique() > 2
    assert table["p_adjusted"].nunique() > 2


@pytest.mark.parametrize("keeps", KEEPS)
def test_adjusted_p_lies_between_p_and_bonferronis(keeps):
    for seed in range(5):
        pairs = random_pairs(np.random.default_rng(seed))
        table = find_hubs(edge_list(pairs), scattered_cohort(), keeps, 199)
        assert (table["p_adjusted"] >= table["p_value"] - 1e-12).all()
        assert (table["p_adjusted"] <= np.minimum(1, len(REGIONS) * table["p_value"]) + 1e-12).all()
        assert table["p_value"].is_monotonic_increasing
        assert table["p_adjusted"].is_monotonic_increasing
    alone = find_hubs(edge_list(pairs), scattered_cohort(regions=["Cuneus"] * 9 + [""] * 21), keeps, 199)
    assert alone["p_adjusted"].to_numpy() == pytest.approx(alone["p_value"].to_numpy())  # nothing to adjust for


@pytest.mark.parametrize("keeps", KEEPS)
def test_where_every_connection_was_selected_no_draw_differs(keeps):
    table = find_hubs(edge_list(combinations(range(12), 2)), scattered_cohort(12), keeps, 99)
    for column in ("expected", "lower", "upper"):
        assert table[column].tolist() == table["connections"].tolist()
    assert table[["p_value", "p_adjusted"]].eq(1).all(axis=None)


@pytest.mark.parametrize("keeps", KEEPS)
def test_every_draw_has_as_many_connections(keeps):
    """If every ROI is a region, every connection ends in two: the counts sum to twice their number, draw by draw."""
    cohort = scattered_cohort(regions=[f"region {k}" for k in range(30)])
    pairs = random_pairs(np.random.default_rng(0))
    table = find_hubs(edge_list(pairs), cohort, keeps, 199)
    assert table["connections"].sum() == 2 * len(pairs)
    assert table["expected"].sum() == pytest.approx(2 * len(pairs))


def test_places_are_permuted_and_distances_nearly_kept(simulated):
    places = region_places(simulated)[["x", "y", "z"]].to_numpy(float)
    moved = hubs._moved_places(places.tobytes(), len(places), 40, 0)
    assert moved.shape == (40, len(places))
    assert (np.sort(moved, axis=1) == np.arange(len(places))).all()  # so that all degrees are kept
    assert (moved != np.arange(len(places))).mean() > 0.9
    alike = [np.corrcoef(pdist(places), pdist(places[place]))[0, 1] for place in moved]
    assert min(alike) > 0.6
    shuffled = np.random.default_rng(0).permutation(len(places))
    assert abs(np.corrcoef(pdist(places), pdist(places[shuffled]))[0, 1]) < 0.2


def test_draws_that_keep_the_graph_keep_its_uneven_degrees():
    """A star has a hub wherever its centre lies: by its graph no region stands out much, by lengths one does."""
    cohort = scattered_cohort(regions=[f"region {k}" for k in range(30)])
    star = edge_list([(0, k) for k in range(1, 30)])
    lengths, graph = (by_region(find_hubs(star, cohort, keeps, 999)).loc["region 0"] for keeps in KEEPS)
    assert (lengths["connections"], graph["connections"]) == (29, 29)
    assert lengths["upper"] < 10
    assert lengths["p_value"] == pytest.approx(1 / 1000)  # the least there can be
    assert lengths["p_adjusted"] < 0.03  # the least of 30 regions
    assert graph["p_value"] > 0.02
    assert graph["p_adjusted"] > 0.3  # in every draw some region has the centre, most as improbable a one


def test_regions_are_hubs_by_their_graph_if_the_joined_rois_gather_in_them(simulated):
    region = simulated["roi_region"].to_numpy()
    rois = simulated["roi"].to_numpy()[region == "Lingual Gyrus"]
    others = simulated["roi"].to_numpy()[::9]
    ends = [(one, other) for one in rois for other in others if one != other]
    selected = pd.DataFrame(ends, columns=["roi_i", "roi_j"]).assign(target_class="high")
    for keeps in KEEPS:
        table = find_hubs(selected, simulated, keeps, 999)
        assert table.loc[0, "region"] == "Lingual Gyrus"
        assert table.loc[0, "p_adjusted"] < 0.05
        assert (table.loc[1:, "p_adjusted"] > 0.3).all()


def test_planted_hubs_are_found(simulated):
    table = by_region(find_hubs(planted_features(simulated), simulated, n_draws=999))
    assert table.loc[list(OCCIPITAL), "p_value"].to_numpy() == pytest.approx(1 / 1000)  # the least there can be
    assert (table.loc[list(OCCIPITAL), "p_adjusted"] <= len(table) / 1000).all()  # and the least of all regions
    assert table["p_adjusted"].ge(0.05).any()
    graph = by_region(find_hubs(planted_features(simulated), simulated, "graph", 999))
    assert (graph.loc[list(OCCIPITAL), "p_value"] < 0.1).all()


N_REGIONS = 20
CHANCE = {
    "apart": lambda rng, n: rng.poisson(30, (n, N_REGIONS)),
    "seldom": lambda rng, n: rng.poisson(0.3, (n, N_REGIONS)),  # most counts are tied
    "together": lambda rng, n: rng.poisson(10, (n, N_REGIONS)) + rng.poisson(20, (n, 1)),
    "unlike": lambda rng, n: rng.poisson(np.geomspace(0.1, 200, N_REGIONS), (n, N_REGIONS)),
    "shared": lambda rng, n: rng.multivariate_hypergeometric(
        [60] * N_REGIONS, 240, n
    ),  # of 1200 connections, each once
}


def least_adjusted(found, drawn):
    return hubs._judge(found, drawn)["p_adjusted"].min()


def least_of_draws_alone(found, drawn):
    """Set what was found against draws that are judged among themselves, so that it alone can be larger than all."""
    n_draws = len(drawn)
    share = (n_draws + 1 - rankdata(drawn, "min", axis=0)) / n_draws
    own = (drawn >= found).mean(axis=0)
    return (1 + (share.min(axis=1) <= own.min() + 1e-12).sum()) / (1 + n_draws)


@pytest.mark.parametrize("kind", CHANCE)
def test_each_of_many_draws_in_turn_has_a_hub_at_exactly_the_level(kind):
    """Of draws, each set against all others, a share of just p has a region with p or less, for all p that occur."""
    draws = CHANCE[kind](np.random.default_rng(0), 250)
    n = len(draws)
    smallest, former = (
        np.array([judge(draws[k], np.delete(draws, k, axis=0)) for k in range(n)])
        for judge in (least_adjusted, least_of_draws_alone)
    )
    assert smallest == pytest.approx(rankdata(smallest, "max") / n)
    assert len(set(smallest)) > 10
    assert (rankdata(former, "max") / n - former).max() > 0.01  # too many: not every formula meets this


def error_interval(smallest, level):
    return binomtest(int(np.less_equal(smallest, level).sum()), len(smallest)).proportion_ci(0.99)


@pytest.mark.parametrize("n_draws", [99, 200, 999])
@pytest.mark.parametrize("kind", CHANCE)
def test_lists_of_no_hubs_have_one_in_a_twentieth_of_all_cases_at_most(kind, n_draws):
    """By 300 independent repetitions, with draws too few for most hubs and with enough."""
    rng = np.random.default_rng(11)
    lists = [CHANCE[kind](rng, 1 + n_draws) for _ in range(300)]
    interval = error_interval([least_adjusted(one[0], one[1:]) for one in lists], 0.05)
    assert interval.low <= 0.05
    if n_draws == 999:
        assert interval.high >= 0.05  # not hardly ever, either


@pytest.mark.parametrize("kind", ["apart", "unlike", "shared"])
def test_draws_that_are_judged_alone_would_find_too_many(kind):
    rng = np.random.default_rng(11)
    lists = [CHANCE[kind](rng, 1 + 99) for _ in range(300)]
    assert error_interval([least_of_draws_alone(one[0], one[1:]) for one in lists], 0.05).low > 0.05
    assert error_interval([least_adjusted(one[0], one[1:]) for one in lists], 0.05).low == 0


def test_what_every_draw_has_somewhere_is_no_hub():
    """Each of 200 lists has a region in which it alone has connections; that of the first is no rarer a sight."""
    lists = 5 * np.eye(200, dtype=int)
    table = hubs._judge(lists[0], lists[1:])
    assert table["p_value"].tolist() == pytest.approx([1 / 200] + [1] * 199)
    assert table["p_adjusted"].tolist() == [1] * 200
    assert least_of_draws_alone(lists[0], lists[1:]) == 1 / 200


@pytest.mark.parametrize("keeps", KEEPS)
def test_random_lists_seldom_have_a_hub(keeps):
    """Lists drawn as the draws are, from the connections on: regions share few counts, so that many are tied."""
    cohort, rng, n_lists = scattered_cohort(), np.random.default_rng(5), 200
    lists = pd.concat([edge_list(random_pairs(rng, size=30), f"list {k}") for k in range(n_lists)])
    smallest = find_hubs(lists, cohort, keeps, 199).groupby("target_class")["p_adjusted"].min()
    assert len(smallest) == n_lists
    for level in (0.05, 0.1, 0.2):
        assert error_interval(smallest, level).low <= level
    assert error_interval(smallest, 0.2).high >= 0.15


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from(KEEPS))
def test_neither_order_nor_repetition_matters(seed, keeps):
    rng, cohort = np.random.default_rng(seed), scattered_cohort(15)
    pairs = random_pairs(rng, 15, 12)
    expected = find_hubs(edge_list(pairs), cohort, keeps, 99)
    turned = [pair[::-1] if rng.random() < 0.5 else pair for pair in pairs]
    repeated = [pairs[k] for k in rng.integers(0, 12, 5)]
    shuffled = edge_list(turned + repeated).sample(frac=1, random_state=seed % 1000)
    pd.testing.assert_frame_equal(find_hubs(shuffled, cohort, keeps, 99), expected)


@pytest.mark.parametrize("keeps", KEEPS)
def test_classes_are_tested_apart_in_the_order_in_which_they_come(keeps):
    rng, cohort = np.random.default_rng(2), scattered_cohort()
    of_high, of_low = edge_list(random_pairs(rng)), edge_list(random_pairs(rng, size=20), "low")
    gene = pd.DataFrame({"target_class": ["middle", "high"], "roi_i": [None, np.nan], "roi_j": None, "gene": "APP"})
    selected = pd.concat([gene, of_high, of_low], ignore_index=True)
    before = selected.copy()
    table = find_hubs(selected, cohort, keeps, 99)
    pd.testing.assert_frame_equal(selected, before)
    assert list(dict.fromkeys(table["target_class"])) == ["high", "low"]  # nobody counts in the middle class
    for name, alone in (("high", of_high), ("low", of_low)):
        of_class = table[table["target_class"] == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(of_class, find_hubs(alone, cohort, keeps, 99))


@pytest.mark.parametrize("keeps", KEEPS)
def test_the_seed_decides_and_nothing_else_is_drawn_from(keeps):
    cohort, selected = scattered_cohort(), edge_list(random_pairs(np.random.default_rng(0)))
    random = np.random.get_state()[1].tolist()  # noqa: NPY002
    one, same, other = (find_hubs(selected, cohort, keeps, 99, seed) for seed in (3, 3, 4))
    assert np.random.get_state()[1].tolist() == random  # noqa: NPY002
    pd.testing.assert_frame_equal(one, same)
    assert by_region(one)["expected"].to_dict() != by_region(other)["expected"].to_dict()
    assert by_region(one)["connections"].to_dict() == by_region(other)["connections"].to_dict()


def test_rois_without_a_region_belong_to_nobody():
    cohort = scattered_cohort(10, unnamed=(5, 6, 7))  # nobody's of "", None and not a number
    selected = edge_list([(5, 6), (5, 0), (7, 1), (6, 7)])
    for keeps in KEEPS:
        found = by_region(find_hubs(selected, cohort, keeps, 99))
        assert set(found.index) == set(REGIONS)
        assert found["connections"].sum() == 2
        assert found.loc[["Cuneus", "Insula"], "connections"].tolist() == [1, 1]
        assert found["rois"].sum() == 7


def test_ties_are_ordered_by_count_then_name():
    table = find_hubs(edge_list([(0, 5)]), scattered_cohort(10), "graph", 99)
    tied = table[table["p_value"] == 1]
    assert len(tied) == 4
    assert tied["region"].tolist() == sorted(tied["region"])


def test_an_empty_list_is_an_empty_table():
    for empty in (edge_list([]), pd.DataFrame({"target_class": ["high"], "roi_i": [None], "roi_j": [None]})):
        for keeps in KEEPS:
            table = find_hubs(empty, scattered_cohort(), keeps, 99)
            assert table.empty
            assert list(table.columns) == COLUMNS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keeps": "degrees"}, "keeps must be one of lengths, graph; got 'degrees'"),
        ({"n_draws": 98}, "n_draws must be at least 99, got 98"),
        ({"selected": edge_list([(0, 1), (2, 99), (77, 3)])}, "the cohort has no ROI r77, r99; pass connections of"),
        (
            {"cohort": scattered_cohort().drop_vars(["roi_y", "roi_region"])},
            "the cohort has no roi_region, roi_y; add regions and MNI coordinates in mm along 'roi'",
        ),
        (
            {"cohort": scattered_cohort(unnamed=range(30))},
            "no ROI of the cohort has a region; name them in 'roi_region'",
        ),
    ],
)
def test_impossible_requests_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        find_hubs(**{"selected": edge_list([(0, 1)]), "cohort": scattered_cohort(), **change})


def test_places_are_laid_out_by_roi():
    cohort = scattered_cohort(3, regions=["Cuneus", "Insula", "Uvula"], unnamed=(1,))
    places = region_places(cohort)
    assert places["region"].to_dict() == {"r0": "Cuneus", "r1": "", "r2": "Uvula"}
    for axis in "xyz":
        assert places[axis].tolist() == cohort[f"roi_{axis}"].to_numpy().tolist()


def test_places_are_known_if_a_region_has_a_name_and_all_coordinates_are_there():
    assert knows_places(scattered_cohort())
    assert knows_places(scattered_cohort(unnamed=range(1, 30)))
    assert not knows_places(scattered_cohort(unnamed=range(30)))
    for name in ("region", "x", "y", "z"):
        assert not knows_places(scattered_cohort().drop_vars(f"roi_{name}"))
