"""What training keeps: finished networks are loaded, killed trainings go on bit for bit, damage is named."""

import dataclasses
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
from small_cohorts import planted_cohort, same_weights

from gcamccl_core.data.cohort import load_cohort, make_split, save_cohort
from gcamccl_core.model.network_files import load_net
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.training import fit, fit_many

RECIPE = Recipe(epochs=4, learning_rate=1e-3, patience=None)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Sums depend on the number of threads; so do comparisons bit for bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def cohort():
    return planted_cohort()


@pytest.fixture(scope="module")
def split(cohort):
    return make_split(cohort, seed=1)


@pytest.fixture(scope="module")
def fitted(cohort, split):
    return fit(cohort, split, RECIPE, seed=3, progress=False)


@pytest.mark.parametrize(
    "recipe",
    [
        dataclasses.replace(RECIPE, epochs=40, learning_rate=1e-4),
        Recipe.recommended(image=("convolution", "linear"), epochs=40, patience=None),
        Recipe.features("dcl", epochs=60, batch_size=16, patience=None),
    ],
    ids=["collaborative", "beside linear pathways", "dcl"],
)
@pytest.mark.filterwarnings("ignore:14 subjects are fewer than eight times:UserWarning")
def test_killed_training_resumes_bit_for_bit(cohort, split, recipe, tmp_path):
    whole = fit(cohort, split, recipe, seed=5, progress=False)
    path, out = save_cohort(cohort, tmp_path / "cohort.nc"), tmp_path / "models"
    parts = {part: positions.tolist() for part, positions in vars(split).items()}
    program = f"""
import torch
from gcamccl_core.data.cohort import Split, load_cohort
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.training import fit
torch.set_num_threads(1)
fit(load_cohort({str(path)!r}), Split(**{parts!r}), {recipe!r}, 5, {str(out)!r}, False, 3)
"""
    process = subprocess.Popen([sys.executable, "-c", program])
    while process.poll() is None and not list(out.glob("*/checkpoint.safetensors")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not list(out.glob("*/training.json"))
    resumed = fit(load_cohort(path), split, recipe, 5, out, progress=False)
    assert same_weights(resumed, whole)
    assert resumed.selected == whole.selected
    pd.testing.assert_frame_equal(resumed.history, whole.history)
    assert len(list(out.iterdir())) == 1


def test_finished_training_is_loaded(cohort, split, fitted, tmp_path, monkeypatch):
    first = fit(cohort, split, RECIPE, 3, tmp_path, progress=False)
    (folder,) = tmp_path.iterdir()
    files = ["cross_entropy.safetensors", "loss.safetensors", "training.json"]
    assert sorted(file.name for file in folder.iterdir()) == files
    monkeypatch.setattr("gcamccl_core.model.epochs.Training.run_epoch", lambda *_: pytest.fail("trained again"))
    again = fit(cohort, split, RECIPE, 3, tmp_path, progress=False)
    for kept in (first, again):
        assert same_weights(kept, fitted)
        pd.testing.assert_frame_equal(kept.history, fitted.history)
        assert (kept.selected, kept.classes) == (fitted.selected, fitted.classes)
    inputs = fitted.net.prepare(cohort, split.test)
    alone = load_net(folder / "cross_entropy.safetensors")
    assert torch.equal(alone.predict_proba(inputs), fitted.net.predict_proba(inputs))


def test_whatever_matters_gets_a_folder_of_its_own(cohort, split, tmp_path):
    recipe = dataclasses.replace(RECIPE, epochs=1)
    changed = cohort.copy(deep=True)
    changed["snp"][1, 1] = 2 - changed["snp"][1, 1]
    changed["snp"][1, 2] = (changed["snp"][1, 2] + 1) % 3
    smaller = dataclasses.replace(split, test=split.test[:-1])
    fit_many(cohort, [split, split, smaller, split], [0, 1, 0, 0], recipe, tmp_path, progress=False)
    fit(cohort, split, dataclasses.replace(recipe, select="loss"), 0, tmp_path, progress=False)
    fit(changed, split, recipe, 0, tmp_path, progress=False)
    assert len(list(tmp_path.iterdir())) == 5  # the fourth of six is the first again


@pytest.mark.parametrize("name", ["cross_entropy.safetensors", "training.json", "checkpoint.safetensors"])
def test_damaged_files_are_named(cohort, split, tmp_path, name):
    fit(cohort, split, RECIPE, 0, tmp_path, progress=False)
    (folder,) = tmp_path.iterdir()
    if name == "checkpoint.safetensors":  # as a kill would have left it, then damaged
        (folder / "loss.safetensors").rename(folder / name)
        (folder / "training.json").unlink()
    (folder / name).write_bytes((folder / name).read_bytes()[:-50])
    with pytest.raises(ValueError, match=rf"{folder.name}/{name} is truncated or not ours; delete"):
        fit(cohort, split, RECIPE, 0, tmp_path, progress=False)
