"""The simulated cohort: its schema, its determinism, and that what is said to be planted is there and nothing else."""

import json

import numpy as np
import pytest
import xarray as xr
from nilearn.connectome import ConnectivityMeasure
from sklearn.covariance import EmpiricalCovariance

from gcamccl_core.data import simulated_study
from gcamccl_core.data.cohort import check_cohort, load_cohort, save_cohort, view_names
from gcamccl_core.data.regimes import REGIMES, Regime
from gcamccl_core.data.simulated_genotypes import make_panel
from gcamccl_core.data.simulation import relabel_three_classes, simulate_cohort

TRUTHS = ("truth_fc", "truth_snp", "population_truth_fc", "population_truth_snp")
UPPER = np.triu_indices(264, k=1)


@pytest.fixture(scope="module")
def large():
    return simulate_cohort(n_subjects=400, seed=11, progress=False)


@pytest.fixture(scope="module")
def small():
    return simulate_cohort(n_subjects=40, seed=11)


def t_values(features, variable):
    """Student's t of the correlation of every column with a variable."""
    x = (features - features.mean(axis=0)) / features.std(axis=0)
    y = (variable - variable.mean()) / variable.std()
    r = y @ x / len(y)
    return r * np.sqrt((len(y) - 2) / (1 - r**2))


def test_schema(small):
    check_cohort(small)
    assert view_names(small) == ["fc", "snp"]
    assert small["fc"].dims == ("subject", "roi_i", "roi_j")
    assert small["snp"].dims == ("subject", "locus")
    assert {small["fc"].dtype, small["snp"].dtype} == {np.dtype("float32")}
    assert (small["fc"].attrs["kind"], small["snp"].attrs["kind"]) == ("correlation", "genotype")
    for name in ("network", "region", "hemisphere", "lobe", "x", "y", "z"):
        assert small[f"roi_{name}"].dims == ("roi",)
    for name in ("gene", "chromosome", "position", "counted_allele", "block", "origin"):
        assert small.coords[f"snp_{name}"].dims == ("locus",)
    for name in ("roi", "roi_i", "roi_j"):
        assert small.indexes[name].equals(small.indexes["roi"])
        assert small.indexes[name].is_unique
    assert small.indexes["target_class"].tolist() == small["label"].attrs["classes"] == ["low", "high"]
    for name in ("age", "sex", "motion"):
        assert small[name].attrs["role"] == "covariate"
    assert small.attrs["genome_build"] == "simulated"
    assert small.sel(locus="rs1642763")["snp_gene"] == "ATP1B2"


def test_what_is_saved_is_what_is_loaded(small, tmp_path):
    xr.testing.assert_identical(load_cohort(save_cohort(small, tmp_path / "cohort.nc")), small)


def test_same_seed_same_bits_other_seed_other_people_same_truth(small):
    xr.testing.assert_identical(simulate_cohort(n_subjects=40, seed=11), small)
    other = simulate_cohort(n_subjects=40, seed=12)
    assert not np.array_equal(other["fc"], small["fc"])
    for name in TRUTHS:
        xr.testing.assert_identical(other[name], small[name])


def test_a_smaller_cohort_is_the_beginning_of_a_larger_one(large, small):
    for name in ("fc", "snp", "score", "age", "latent_cognition"):
        np.testing.assert_array_equal(large[name][:40], small[name])
    for name in TRUTHS:
        xr.testing.assert_identical(large[name], small[name])


def test_connectivity_is_nilearns_estimate_of_the_series_drawn(monkeypatch):
    drawn = []
    draw = simulated_study.draw_time_series

    def draw_and_keep(*arguments):
        drawn.append(draw(*arguments))
        return drawn[-1]

    monkeypatch.setattr(simulated_study, "draw_time_series", draw_and_keep)
    cohort = simulate_cohort(n_subjects=20, seed=3)
    expected = ConnectivityMeasure(EmpiricalCovariance(), kind="correlation", standardize=None).fit_transform(drawn)
    np.testing.assert_allclose(cohort["fc"], expected, atol=1e-6)


def test_labels_are_the_extremes_of_the_score_and_the_middle_stays(large):
    label, score = large["label"].to_numpy(), large["score"].to_numpy()
    assert np.bincount(label + 1).tolist() == [240, 80, 80]
    assert score[label == 0].max() < score[label == -1].min() < score[label == -1].max() < score[label == 1].min()
    assert score.mean() == pytest.approx(100, abs=3)
    assert score.std() == pytest.approx(15, abs=2)


def test_latent_factor_ties_score_and_genes_as_the_regime_says(large):
    regime, panel = REGIMES["clear"], make_panel(REGIMES["clear"].population_seed)
    polygenic = (large["snp"].to_numpy() - 2 * panel.table["frequency"].to_numpy()) @ panel.weight
    error = 4 / np.sqrt(400)
    latent = large["latent_cognition"].to_numpy()
    assert np.corrcoef(latent, large["score"])[0, 1] == pytest.approx(regime.score_loading, abs=error)
    assert np.corrcoef(latent, polygenic)[0, 1] == pytest.approx(np.sqrt(regime.heritability), abs=error)
    for covariate in ("age", "motion"):
        assert abs(np.corrcoef(latent, large[covariate])[0, 1]) < error


def test_planted_connections_move_with_cognition_and_the_others_do_not(large):
    low, high = large["truth_fc"].to_numpy()[:, UPPER[0], UPPER[1]]
    others = ~(low | high)
    edges = large["fc"].to_numpy()[:, UPPER[0], UPPER[1]]
    edges = edges - edges[:, others].mean(
        axis=1, keepdims=True
    )  # global signal, which chance ties to anything a little
    t = t_values(edges, large["latent_cognition"].to_numpy())
    assert t[high].mean() > 3
    assert t[low].mean() < -2
    assert np.mean(t[others] ** 2) == pytest.approx(1, abs=0.25)
    assert np.mean(np.abs(t[others]) > 3.3) < 0.01  # 0.001 expected of independent connections


def test_causal_snps_move_with_cognition_their_neighbours_with_them_and_the_others_do_not(large):
    t = t_values(large["snp"].to_numpy(), large["latent_cognition"].to_numpy())
    low, high = large["truth_snp"].to_numpy()
    assert t[low].mean() < -1
    assert t[high].mean() > 1
    regime = REGIMES["clear"]
    expected = np.sqrt(400 * regime.heritability) * make_panel(regime.population_seed).shift  # neighbours as well
    assert np.polyfit(expected, t, 1)[0] == pytest.approx(1, abs=0.25)
    unmoved = ~large["population_truth_snp"].any("target_class").to_numpy()
    assert np.mean(t[unmoved] ** 2) == pytest.approx(1, abs=0.3)


def test_population_truth_holds_the_planted_truth_and_stays_inside_its_blocks(small):
    block = small["snp_block"].to_numpy()
    causal_blocks = set(block[small["truth_snp"].any("target_class")])
    reached = small["population_truth_snp"].any("target_class").to_numpy()
    assert set(block[reached]) == causal_blocks
    assert reached.sum() > small["truth_snp"].sum()
    np.testing.assert_array_equal(small["population_truth_fc"], small["truth_fc"])
    assert not (small["truth_snp"].all("target_class")).any()


def test_null_labels_know_nothing_of_brain_and_genes():
    null = REGIMES["null"]
    here = simulate_cohort(n_subjects=30, regime=null, seed=5)
    elsewhere = simulate_cohort(n_subjects=30, regime=Regime("other genes", 0.0, 0.9, population_seed=99), seed=5)
    assert not np.array_equal(here["snp"], elsewhere["snp"])
    np.testing.assert_array_equal(here["label"], elsewhere["label"])
    for name in TRUTHS:
        assert not here[name].any()
    assert json.loads(here.attrs["planted_gene_sets"]) == {"low": [], "high": []}
    assert len(json.loads(here.attrs["gene_sets"])) == 40


def test_null_views_have_no_association_with_the_labels():
    null = simulate_cohort(n_subjects=200, regime="null", seed=6, fraction=0.5)
    label = null["label"].to_numpy().astype(float)
    t = t_values(null["snp"].to_numpy(), label)
    assert np.mean(t**2) == pytest.approx(1, abs=0.25)
    t = t_values(null["fc"].to_numpy()[:, UPPER[0], UPPER[1]], label)
    assert np.mean(np.abs(t) > 3.3) < 0.01


def test_planted_gene_sets_are_of_genes_in_the_cohort(small):
    gene_sets, planted = (json.loads(small.attrs[name]) for name in ("gene_sets", "planted_gene_sets"))
    assert {gene for members in gene_sets.values() for gene in members} <= set(small["snp_gene"].to_numpy())
    assert set(planted["low"] + planted["high"]) < set(gene_sets)
    assert planted["low"]
    assert planted["high"]


def test_three_classes(small):
    three = check_cohort(relabel_three_classes(small))
    assert three["label"].attrs["classes"] == ["low", "middle", "high"]
    for old, new in {0: 0, -1: 1, 1: 2}.items():
        assert (three["label"].to_numpy()[small["label"] == old] == new).all()
    assert small["label"].attrs["classes"] == ["low", "high"]
    with pytest.raises(ValueError, match="low, middle, high; expected low, high"):
        relabel_three_classes(three)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"regime": "clera"}, "did you mean 'clear'"),
        ({"n_subjects": 0}, "n_subjects must be at least 1"),
        ({"n_subjects": 2}, "leaves the groups empty"),
        ({"n_subjects": 40, "fraction": 0.7}, "fraction must be above 0 and at most 0.5"),
    ],
)
def test_impossible_requests_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        simulate_cohort(**wrong)
