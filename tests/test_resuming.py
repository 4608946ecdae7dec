"""What training keeps: finished networks are loaded, killed trainings go on bit for bit, damage is named."""

import dataclasses
import signal
import subprocess
import sys
import time
import warnings

import pandas as pd
import pytest
import torch
from small_cohorts import planted_cohort, same_weights

from gcamccl_core.data.cohort import load_cohort, make_split, save_cohort
from gcamccl_core.disk_faults import StorageError
from gcamccl_core.kept_files import DamageWarning
from gcamccl_core.model.epochs import Training
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


def flip(path):
    """Change one bit in the middle of a file, which leaves its length and its format as they were."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-50])


@pytest.mark.parametrize("damage", [flip, cut])
@pytest.mark.parametrize("name", ["cross_entropy.safetensors", "loss.safetensors", "training.json"])
def test_a_damaged_training_is_named_kept_aside_and_trained_anew(cohort, split, fitted, tmp_path, name, damage):
    fit(cohort, split, RECIPE, 3, tmp_path, progress=False)
    (folder,) = tmp_path.iterdir()
    damage(folder / name)
    damaged = (folder / name).read_bytes()
    with pytest.warns(DamageWarning, match=rf"{folder.name}/{name} is .*kept aside as .*trained anew"):
        again = fit(cohort, split, RECIPE, 3, tmp_path, progress=False)
    assert same_weights(again, fitted)
    pd.testing.assert_frame_equal(again.history, fitted.history)
    assert (tmp_path / f".damaged-{folder.name}" / name).read_bytes() == damaged
    with warnings.catch_warnings(action="error"):
        fit(cohort, split, RECIPE, 3, tmp_path, progress=False)


@pytest.mark.parametrize("damage", [flip, cut])
def test_a_damaged_checkpoint_is_named_and_training_starts_from_the_beginning(
    cohort, split, fitted, tmp_path, damage, monkeypatch
):
    run_epoch = Training.run_epoch

    def killed(training, *parts):
        if training.epoch == 3:
            raise KeyboardInterrupt
        run_epoch(training, *parts)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "run_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            fit(cohort, split, RECIPE, 3, tmp_path, progress=False, checkpoint_every=1)
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    damage(folder / "checkpoint.safetensors")
    with pytest.warns(DamageWarning, match=rf"{folder.name}/checkpoint\.safetensors is .*starts from the beginning"):
        again = fit(cohort, split, RECIPE, 3, tmp_path, progress=False)
    assert same_weights(again, fitted)
    pd.testing.assert_frame_equal(again.history, fitted.history)


def test_a_folder_that_cannot_be_written_to_is_refused_before_training(cohort, split, tmp_path, monkeypatch):
    monkeypatch.setattr(Training, "run_epoch", lambda *_: pytest.fail("trained"))
    (tmp_path / "models").write_text("a file")
    with pytest.raises(StorageError, match=r"models is a file, and .*models would be a folder"):
        fit(cohort, split, RECIPE, 3, tmp_path / "models", progress=False)
