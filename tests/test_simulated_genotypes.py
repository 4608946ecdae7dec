"""The SNP panel and the people drawn from it, held against population genetics in closed form."""

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import chi2, multivariate_normal

from gcamccl_core.data.simulated_genotypes import draw_genotypes, genotype_covariance, make_panel, paper_snps

N_PEOPLE = 12_000


@pytest.fixture(scope="module")
def panel():
    return make_panel(2021)


@pytest.fixture(scope="module")
def genotypes(panel):
    return draw_genotypes(panel, np.random.default_rng(0).standard_normal((N_PEOPLE, 2, 750)))


def test_the_papers_snps_are_all_there_and_the_others_say_that_they_are_simulated(panel):
    table, paper = panel.table, paper_snps()
    assert (len(paper), paper["gene"].nunique(), len(table), table["snp"].nunique()) == (91, 58, 750, 750)
    ours = table[table["origin"] == "paper"].set_index("snp")["gene"].sort_index()
    assert ours.to_dict() == paper.set_index("snp")["gene"].to_dict()
    simulated = table[table["origin"] == "simulated"]
    assert simulated["snp"].str.startswith("sim_rs").all()
    new_genes = set(table["gene"]) - set(paper["gene"])
    assert new_genes
    assert all(gene.startswith("SIM") for gene in new_genes)


def test_blocks_are_genes_in_the_order_of_the_genome(panel):
    table = panel.table
    assert (table.groupby("gene")["block"].nunique() == 1).all()
    assert (table.groupby("block")["gene"].nunique() == 1).all()
    assert table["block"].is_monotonic_increasing
    assert (table.groupby("chromosome")["position"].diff().dropna() > 0).all()
    assert table["chromosome"].is_monotonic_increasing


def test_allele_frequencies_are_the_panels(panel, genotypes):
    frequency = panel.table["frequency"].to_numpy()
    assert frequency.min() >= 0.05
    assert frequency.max() <= 0.50
    error = np.sqrt(frequency * (1 - frequency) / (2 * N_PEOPLE))
    assert np.abs((genotypes.mean(axis=0) / 2 - frequency) / error).max() < 5


def test_genotypes_are_in_hardy_weinberg_equilibrium(panel, genotypes):
    frequency = panel.table["frequency"].to_numpy()
    expected = N_PEOPLE * np.stack([(1 - frequency) ** 2, 2 * frequency * (1 - frequency), frequency**2])
    observed = np.stack([(genotypes == dosage).sum(axis=0) for dosage in (0, 1, 2)])
    statistic = ((observed - expected) ** 2 / expected).sum(axis=0)  # two degrees of freedom: the frequency is known
    assert statistic.mean() == pytest.approx(2, abs=0.4)
    assert chi2.sf(statistic, 2).min() > 1e-6


def test_linkage_decays_within_blocks_and_ends_at_their_borders(panel, genotypes):
    r = np.corrcoef(genotypes, rowvar=False)
    block = panel.table["block"].to_numpy()
    same = block[:, None] == block
    lag = np.abs(np.subtract.outer(np.arange(750), np.arange(750)))
    by_lag = [np.mean(r[same & (lag == d)] ** 2) for d in (1, 2, 3, 4)]
    assert by_lag == sorted(by_lag, reverse=True)
    assert by_lag[0] > 0.15
    assert np.abs(r[~same]).max() < 6 / np.sqrt(N_PEOPLE)
    assert (r[same & (lag > 0)] ** 2).max() < 0.9  # the paper prunes above


def test_covariance_in_closed_form_is_that_of_the_people(panel, genotypes):
    covariance = genotype_covariance(panel.table)
    sampled = np.cov(genotypes, rowvar=False)
    variance = np.diag(covariance)
    error = np.sqrt((np.outer(variance, variance) + covariance**2) / N_PEOPLE)
    assert np.abs((sampled - covariance) / error).max() < 7
    assert np.linalg.eigvalsh(covariance)[0] > 0


def test_covariance_of_two_neighbours_agrees_with_the_bivariate_normal_distribution(panel):
    table = panel.table
    covariance = genotype_covariance(table)
    for second in np.flatnonzero(table["linkage"] > 0)[:5]:
        p, q = table["frequency"].iloc[[second - 1, second]]
        r = table["linkage"].iloc[second]
        both = multivariate_normal(cov=[[1, r], [r, 1]]).cdf(ndtri([p, q]))
        assert covariance[second - 1, second] == pytest.approx(2 * (both - p * q), abs=1e-6)


def test_causal_effects_follow_the_papers_tables(panel):
    sign = np.sign(panel.weight)
    wanted = panel.table["listed_for"].map({"low": -1, "high": 1, "both": 0, "": 0})
    np.testing.assert_array_equal(sign, wanted)
    assert (wanted == -1).sum() == 40
    assert (wanted == 1).sum() == 46


def test_polygenic_value_is_standardised_and_shift_is_its_correlation(panel, genotypes):
    polygenic = (genotypes - 2 * panel.table["frequency"].to_numpy()) @ panel.weight
    assert polygenic.mean() == pytest.approx(0, abs=5 / np.sqrt(N_PEOPLE))
    assert polygenic.var() == pytest.approx(1, abs=8 / np.sqrt(N_PEOPLE))
    sampled = [np.corrcoef(column, polygenic)[0, 1] for column in genotypes.T]
    assert np.abs(sampled - panel.shift).max() < 5 / np.sqrt(N_PEOPLE)


def test_another_population_has_another_panel_with_the_same_paper_snps(panel):
    other = make_panel(7).table
    assert set(other["snp"][other["origin"] == "paper"]) == set(paper_snps()["snp"])
    assert not np.array_equal(other["frequency"], panel.table["frequency"])
