"""The exact trend test: equal to all divisions of the people, one by one, and right where Welch's t is not."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import ttest_ind

from gcamccl_core.maps.exact_tests import exact_trend


@pytest.mark.parametrize("genotypes", [[0, 1, 2, 0, 1, 2, 1], [0, 0, 0, 0, 2, 1, 1], [1] * 7, [2, 2, 0, 0, 0, 1, 0]])
@pytest.mark.parametrize("m", [2, 3, 5])
def test_it_counts_all_divisions(genotypes, m):
    genotypes = np.array(genotypes)
    sums = [genotypes[list(chosen)].sum() for chosen in combinations(range(len(genotypes)), m)]
    expected = np.mean(np.array(sums) >= genotypes[:m].sum())
    assert exact_trend(genotypes[:m], genotypes[m:]) == pytest.approx(expected)


def test_rare_alleles_and_unequal_classes_keep_the_level():
    random = np.random.default_rng(0)
    drawn = random.binomial(2, 0.05, (4000, 100))
    exact = np.array([exact_trend(row[:75], row[75:]) for row in drawn])
    welch = ttest_ind(drawn[:, :75], drawn[:, 75:], axis=1, equal_var=False, alternative="greater").pvalue
    assert (exact <= 0.01).mean() <= 0.01 + 3 * np.sqrt(0.01 / 4000)
    assert np.nanmean(welch <= 0.01) > 0.03


def test_what_is_no_genotype_is_refused():
    with pytest.raises(ValueError, match="0, 1 or 2 copies"):
        exact_trend(np.array([0.5, 1]), np.array([0, 2]))
