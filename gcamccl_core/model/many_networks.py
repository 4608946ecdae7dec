"""Train many networks of Table IV at once, in stacks as large as the device holds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor
from tqdm.std import tqdm

from gcamccl_core.data.cohort import Split, class_names
from gcamccl_core.model.checkpoint import read_checkpoint, write_tensors
from gcamccl_core.model.fitted import Fitted
from gcamccl_core.model.initial_network import initial_network
from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.model.pathways import PUBLISHED
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.stacked_training import StackedTraining

SHARE_OF_MEMORY = 0.8  # of what is free on a GPU
COPIES = 6  # of the activations while training: themselves, their gradients, and what layers keep between


def why_not_stacked(recipe: Recipe) -> str | None:
    """Say why networks of a recipe cannot be trained as one stack; None if they can.

    Examples
    --------
    >>> why_not_stacked(Recipe.paper()), why_not_stacked(Recipe.features("dcca"))
    (None, 'its loss is dcca, not Eq. 12')
    """
    if recipe.fusion != "collaborative":
        return f"its loss is {recipe.fusion}, not Eq. 12"
    if not recipe.image == recipe.vector == PUBLISHED:
        return "it has other pathways than the ConvNet of Table IV"
    return None


def train_together(
    cohort: xr.Dataset,
    pairs: Sequence[tuple[Split, int]],
    recipe: Recipe,
    checkpoint_of: Callable[[Sequence[int]], Path] | None,
    checkpoint_every: int,
    progress: bool,
    device: torch.device,
) -> Iterator[tuple[int, Fitted]]:
    """Train one network per pair of split and seed; those whose parts are of the same sizes in one stack.

    Parameters
    ----------
    cohort, recipe, checkpoint_every, progress
        As in :func:`.fit_many`.
    pairs : sequence of (Split, int)
        A split and a seed per network.
    checkpoint_of : callable, optional
        Gives the path of the checkpoint of those pairs, by their numbers, that are trained as one stack; it is removed
        once all of these have been handed out, and so kept.
    device : torch.device
        Where to train; what is handed back is on the CPU.

    Yields
    ------
    tuple of int and Fitted
        The number of the pair, and its network; a stack's as soon as it is done.
    """
    for members in _stacks(cohort, pairs, recipe, device):
        checkpoint = None if checkpoint_of is None else checkpoint_of(members)
        chosen = [pairs[member] for member in members]
        found = _train_stack(cohort, chosen, recipe, checkpoint, checkpoint_every, progress, device)
        yield from zip(members, found, strict=True)
        if checkpoint is not None:
            checkpoint.unlink(missing_ok=True)


def _stacks(
    cohort: xr.Dataset, pairs: Sequence[tuple[Split, int]], recipe: Recipe, device: torch.device
) -> list[list[int]]:
    """Put together what has as many training and validation subjects, no more than fits into the device's memory."""
    alike: dict[tuple[int, int], list[int]] = {}
    for number, (split, _) in enumerate(pairs):
        alike.setdefault((len(split.train), len(split.validation)), []).append(number)
    most = len(pairs)
    if device.type == "cuda":
        with torch.random.fork_rng(devices=[]):
            net = initial_network(cohort, pairs[0][0], recipe)
        # views in units of their own are scaled by each network's training subjects: a copy for each
        own = sum(cohort[view].nbytes for view in net.views if cohort[view].attrs.get("kind") == "measure")
        one = bytes_per_network(net, recipe) + own
        most = max(1, int(SHARE_OF_MEMORY * torch.cuda.mem_get_info(device)[0] / one))
    return [members[start : start + most] for members in alike.values() for start in range(0, len(members), most)]


def bytes_per_network(net: CollaborativeNet, recipe: Recipe) -> int:
    """Memory that one more network takes while training, about: its activations of a batch, and its weights.

    Parameters
    ----------
    net : CollaborativeNet
        Of Table IV.
    recipe : Recipe
        Its batch size counts.

    Examples
    --------
    >>> 50e6 < bytes_per_network(CollaborativeNet({"fc": (264, 264), "snp": (750,)}), Recipe.paper()) < 500e6
    True
    """
    sizes: list[int] = []
    probe = copy.deepcopy(net).eval()
    for part in probe.modules():
        if not list(part.children()):
            part.register_forward_hook(lambda module, args, output: sizes.append(output.numel()))
    with torch.inference_mode():
        probe({view: torch.zeros(1, 1, *shape) for view, shape in net.views.items()})
    weights = sum(parameter.numel() for parameter in net.parameters())
    return 4 * (COPIES // 2 * recipe.batch_size * sum(sizes) + COPIES * weights)


def _train_stack(
    cohort: xr.Dataset,
    pairs: Sequence[tuple[Split, int]],
    recipe: Recipe,
    checkpoint: Path | None,
    checkpoint_every: int,
    progress: bool,
    device: torch.device,
) -> list[Fitted]:
    nets = []
    for split, seed in pairs:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            nets.append(initial_network(cohort, split, recipe))
    parts = [[np.asarray(split.train), np.asarray(split.validation)] for split, _ in pairs]
    used = np.unique(np.concatenate([np.concatenate(each) for each in parts]))
    train, validation = (
        torch.from_numpy(np.stack([np.searchsorted(used, each[which]) for each in parts])) for which in (0, 1)
    )
    target = torch.from_numpy(cohort["label"].to_numpy()[used].astype(np.int64))
    seeds = [seed for _, seed in pairs]
    inputs = _prepare(nets, cohort, used)
    training = StackedTraining(nets, recipe, seeds, inputs, target, train, validation, device)
    state = None if checkpoint is None else read_checkpoint(checkpoint)
    if state is not None:
        training.restore(*state)
    title = f"{len(pairs)} networks together" if len(pairs) > 1 else f"seed {seeds[0]}"
    with tqdm(total=recipe.epochs, initial=training.epoch, desc=title, disable=not progress) as bar:
        while any(going := training.going_on()):
            bar.set_postfix(going_on=sum(going)) if len(pairs) > 1 else None
            training.run_epoch()
            bar.update()
            if checkpoint is not None and training.epoch % checkpoint_every == 0:
                write_tensors(checkpoint, *training.state())
    return [_take_out(training, k, net, pairs[k], class_names(cohort)) for k, net in enumerate(nets)]


def _prepare(nets: Sequence[CollaborativeNet], cohort: xr.Dataset, subjects: np.ndarray) -> dict[str, Tensor]:
    """Prepare inputs by view: once where all networks scale and fill alike, otherwise one copy per network."""
    prepared = {}
    for view in nets[0].views:
        values = cohort[view].isel(subject=subjects)
        of_first = nets[0].scalings[view](values)
        states = [net.scalings[view].state_dict() for net in nets]
        names = ["center", "scale"] if not np.isnan(values.to_numpy()).any() else ["center", "scale", "fill"]
        alike = all(torch.equal(state[name], states[0][name]) for state in states for name in names)
        prepared[view] = of_first if alike else torch.stack([net.scalings[view](values) for net in nets])
    return prepared


def _take_out(
    training: StackedTraining, k: int, net: CollaborativeNet, pair: tuple[Split, int], classes: list[str]
) -> Fitted:
    """One network at its selected epochs, as if it had been trained by itself."""
    chosen = {}
    for rule in training.recipe.rules:
        chosen[rule] = copy.deepcopy(net).eval()
        weights = {name: each[k].cpu() for name, each in training.weights[rule].items()}
        chosen[rule].load_state_dict({**net.state_dict(), **weights})
    history = pd.DataFrame(training.history[k])
    return Fitted(chosen, training.selected[k], history, training.recipe, *pair, classes)
