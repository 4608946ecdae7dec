"""One training from first weights to the selected ones, watched, and resumed from its checkpoint where killed."""

from __future__ import annotations

import copy
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor
from tqdm.std import tqdm

from gcamccl_core.data.cohort import Split, class_names
from gcamccl_core.model.additive import fit_additive
from gcamccl_core.model.checkpoint import read_checkpoint, write_tensors
from gcamccl_core.model.epochs import Part, Training, move_part
from gcamccl_core.model.fitted import Fitted
from gcamccl_core.model.initial_network import initial_network
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.streamed_inputs import prepare_inputs
from gcamccl_core.model.training_checks import groups_kept

CHECKPOINT = "checkpoint.safetensors"


def train_one(
    cohort: xr.Dataset,
    split: Split,
    recipe: Recipe,
    seed: int,
    folder: Path | None,
    checkpoint_every: int,
    progress: bool,
    nested: bool,
    device: torch.device,
) -> Fitted:
    """Run the epochs, from the last checkpoint in the folder if there is one.

    Parameters
    ----------
    cohort, split, recipe, seed, checkpoint_every, progress
        As in :func:`.fit`.
    folder : pathlib.Path, optional
        Of this training alone, for its checkpoint.
    nested : bool
        Whether the progress bar is one of several, and goes when it is full.
    device : torch.device
        Where the epochs run; what is handed back is on the CPU.
    """
    classes, label = class_names(cohort), cohort["label"].to_numpy().astype(np.int64)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            torch.cuda.manual_seed(seed)
        net, whole = initial_network(cohort, split, recipe), not recipe.is_published
        train: Part = prepare_inputs(net, cohort, split.train, whole), torch.from_numpy(label[split.train])
        validation: Part = prepare_inputs(net, cohort, split.validation), torch.from_numpy(label[split.validation])
        tensors = {view: each for view, each in train[0].items() if isinstance(each, Tensor)}
        linear = None
        if "linear" in recipe.image:
            groups = groups_kept(cohort, split)
            linear = fit_additive(net, tensors, train[1], recipe.agreement, recipe.gates, seed, groups)
        net.fit_standardisations(tensors)
        held_out, agreement = (None, None) if linear is None else (linear.held_out, linear.agreement)
        training = Training(net.to(device), recipe, seed, len(classes), held_out, agreement)
        train, validation = (move_part(part, device) for part in (train, validation))
        state = None if folder is None else read_checkpoint(folder / CHECKPOINT)
        if state is not None:
            training.restore(*state)
        elif linear is not None:
            training.record_start(train, validation)
        bar = tqdm(
            total=recipe.epochs,
            initial=training.epoch,
            desc=f"seed {seed}",
            leave=not nested,
            disable=not progress or training.finished,
        )
        with bar:
            while not training.finished:
                training.run_epoch(train, validation)
                last = training.history[-1]
                shown = {} if last["accuracy"] is None else {"accuracy": f"{last['accuracy']:.2f}"}
                bar.set_postfix(loss=f"{training.history[-2]['loss']:.3f}", **shown)
                bar.update()
                if folder is not None and training.epoch % checkpoint_every == 0:
                    write_tensors(folder / CHECKPOINT, *training.state())
    nets = {rule: copy.deepcopy(net).cpu().eval() for rule in recipe.rules}
    for rule, selected in nets.items():
        selected.load_state_dict(training.weights[rule])
    settings = None if linear is None else {view: asdict(each) for view, each in linear.settings.items()}
    history = pd.DataFrame(training.history)
    return Fitted(nets, training.selected, history, recipe, split, seed, classes, settings, agreement)
