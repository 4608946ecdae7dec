"""Whether the quick setting costs accuracy: bfloat16 against the plain loop in single precision, split by split."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
import xarray as xr
from tqdm.std import tqdm

from gcamccl_core.data.cohort import Split, make_split
from gcamccl_core.data.fewer_regions import keep_regions
from gcamccl_core.model.epochs import Training
from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.scores import compare_paired

from .data import PAPER, network, parts, study
from .plain_network import PlainLoop, PlainNet, plain_twin

OURS, PEER = "ours, bfloat16", "plain loop"
N_REGIONS = 48  # networks of seconds
LEARNING_RATE = 1e-3  # with which they learn in so few epochs
MARGIN = 0.03  # that a mean difference must not fall below, as where the book compares methods


def measure(quick: bool = False) -> list[dict[str, object]]:
    """Train both on the same splits, from the same first weights, and compare their accuracy on the test parts.

    Returns
    -------
    list of dict
        One row: both accuracies, the difference and its 95 % interval, corrected for repeated splits.
    """
    cohort = keep_regions(study(120 if quick else 854), N_REGIONS)
    n_splits, epochs = (2, 1) if quick else (12, 12)
    rows = []
    for number in tqdm(range(n_splits), desc="accuracy", leave=False):
        split = make_split(cohort, seed=number)
        for method, accuracy in train_both(cohort, split, number, epochs).items():
            sizes = {"n_train": len(split.train), "n_test": len(split.test)}
            rows.append({"method": method, "split": number, "accuracy": accuracy, **sizes})
    what = f"accuracy, {N_REGIONS} regions, {n_splits} splits"
    return [{"key": "accuracy", "what": what, **compare_accuracy(pd.DataFrame(rows))}]


def compare_accuracy(table: pd.DataFrame) -> dict[str, object]:
    """Mean accuracies, their difference and its interval as a row of the table of ratios."""
    means = table.groupby("method")["accuracy"].mean()
    paired = compare_paired(table, OURS).iloc[0]
    return {
        "ours": OURS,
        "peer": PEER,
        "accuracy": means[OURS],
        "peer_accuracy": means[PEER],
        "difference": paired["difference"],
        "difference_low": paired["low"],
        "difference_high": paired["high"],
        "repeats": table["split"].nunique(),
    }


def train_both(cohort: xr.Dataset, split: Split, seed: int, epochs: int) -> dict[str, float]:
    """Accuracy on the test part of each way of training, at its epoch of least cross-entropy."""
    net = network(cohort, split.train, list(PAPER), seed=seed)
    train, validation, test = parts(net, cohort, split.train, split.validation, split.test)
    plain = plain_twin(net)
    recipe = Recipe.demo(epochs=epochs, patience=None, learning_rate=LEARNING_RATE, precision="bfloat16")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        training = Training(net, recipe, seed)
        loop = PlainLoop(plain, train, validation, learning_rate=LEARNING_RATE)
        for _ in range(epochs):
            training.run_epoch(train, validation)
            loop.run_epoch()
    net.load_state_dict(training.weights[recipe.select])
    plain.load_state_dict(loop.best)
    target = test[1].numpy()
    return {OURS: _accuracy_of_ours(net, test[0], target), PEER: _accuracy_of_plain(plain, test[0], target)}


def _accuracy_of_ours(net: CollaborativeNet, inputs: dict[str, torch.Tensor], target: np.ndarray) -> float:
    with torch.no_grad():
        return float((net.eval().predict_proba(inputs).argmax(dim=1).numpy() == target).mean())


def _accuracy_of_plain(net: PlainNet, inputs: dict[str, torch.Tensor], target: np.ndarray) -> float:
    with torch.no_grad():
        mean = torch.stack([each.softmax(dim=1) for each in net.eval()(*inputs.values())]).mean(dim=0)
    return float((mean.argmax(dim=1).numpy() == target).mean())
