"""The table of how many people which effect needs: its measures against closed forms, and what is quoted of it."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind
from sklearn.metrics import roc_auc_score

from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.model.smallest_effects import smallest_auc
from workflow.tables import power


@pytest.fixture(scope="module")
def cohort():
    return simulate_cohort(n_subjects=150, regime="clear", seed=5, progress=False)


@pytest.mark.parametrize("view", ["fc", "snp"])
def test_classes_are_compared_as_scipy_does(cohort, view):
    label = cohort["label"].to_numpy()
    low, high = (cohort[view].to_numpy()[label == number].astype(float) for number in (0, 1))
    d, p = power.compare_classes(cohort, view)
    expected = ttest_ind(high, low, axis=0)
    varies = ~np.isnan(expected.pvalue)
    np.testing.assert_allclose(p[varies], expected.pvalue[varies], rtol=1e-6)
    root = np.sqrt(len(low) * len(high) / (len(low) + len(high)))
    np.testing.assert_allclose((d * root)[varies], expected.statistic[varies], rtol=1e-6)


def test_effects_point_the_way_they_were_planted_and_vanish_without_any(cohort):
    assert power.measure_effects(cohort)["effect_fc"] > 0.2
    shuffled = cohort.assign(label=cohort["label"].copy(data=np.random.default_rng(0).permutation(cohort["label"])))
    assert abs(power.measure_effects(shuffled)["effect_fc"]) < 0.15
    assert power.discover(shuffled)["found"] < 0.01


def test_the_chance_to_see_an_area_is_that_of_the_smallest_one_that_can_be_seen():
    for n in (20, 100):
        assert power.chance_to_see(smallest_auc(n, n), n, n) == pytest.approx(0.8, abs=1e-6)
    assert power.chance_to_see(0.5, 50, 50) == power.LEVEL / 2
    assert power.chance_to_see(0.4, 50, 50) == power.LEVEL / 2
    assert power.chance_to_see(0.9, 0, 5) == power.LEVEL / 2


def test_the_chance_to_see_an_area_is_near_what_simulated_studies_show():
    generator = np.random.default_rng(0)
    label = np.repeat([0, 1], 40)
    scores = generator.normal(size=(2000, 80)) + 0.6 * label
    areas = np.array([roc_auc_score(label, each) for each in scores])
    error = np.sqrt((40 + 40 + 1) / (12 * 40 * 40))  # of the area where there is nothing
    seen = (areas - 0.5 > 1.96 * error).mean()
    assert power.chance_to_see(areas.mean(), 40, 40) == pytest.approx(seen, abs=0.05)


def test_a_study_is_the_beginning_of_a_larger_one_and_is_judged_by_other_people(tmp_path):
    table, data = power.grow_study(str(tmp_path), "clear", (60, 90), 60, 7, 0.0, (0.85, 0))
    assert list(table["n_subjects"].unique()) == [60, 90]
    assert set(table["method"]) == {
        power.BASELINE,
        power.RECOMMENDED,
        power.T_TEST,
    }  # the network is for another loading
    again, _ = power.grow_study(str(tmp_path), "clear", (60, 90), 60, 7, 0.0, (0.85, 0))
    pd.testing.assert_frame_equal(table, again)
    everyone = power.draw_people("clear", 0.85, 150, 7)
    assert everyone["subject"].to_numpy()[:60].tolist() == everyone["subject"].to_numpy()[:90].tolist()[:60]
    assert table.query("method != 't-test'")["auc"].between(0, 1).all()
    assert table.query("method == 't-test'")["found"].between(0, 1).all()
    assert len(data) == 16


def test_the_least_size_is_named_or_said_to_be_larger():
    by_size = pd.Series([0.1, 0.79, 0.85], index=[100, 200, 400])
    assert power._least(by_size, 0.8) == "400"
    assert power._least(by_size, 0.9) == "more than 400"
