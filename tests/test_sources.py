"""Cohorts by name, by path, and the words said when there is none."""

import pytest
import xarray as xr

from gcamccl_core.data.cohort import save_cohort
from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.data.sources import open_cohort


def test_a_name_gives_the_simulated_cohort():
    xr.testing.assert_identical(
        open_cohort("simulated", regime="null", n_subjects=40, seed=3), simulate_cohort(40, "null", 3)
    )


def test_a_path_gives_the_file_whatever_the_label(tmp_path):
    cohort = simulate_cohort(40, seed=1)
    path = save_cohort(cohort, tmp_path / "mine.nc")
    assert open_cohort(str(path), label="sex")["label"].to_numpy().tolist() == cohort["label"].to_numpy().tolist()


@pytest.mark.parametrize(("cohort", "label"), [("simulated", "fiq"), ("abide", "wrat")])
def test_a_label_of_the_other_cohort_is_refused_with_the_right_ones(cohort, label):
    with pytest.raises(ValueError, match=rf"the {cohort} cohort has no label '{label}'; choose (wrat|fiq, diagnosis)"):
        open_cohort(cohort, label=label)


def test_what_is_neither_a_name_nor_a_file_is_said_with_a_suggestion():
    with pytest.raises(FileNotFoundError, match="did you mean 'simulated'"):
        open_cohort("simulate")
