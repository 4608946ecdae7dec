"""A training step and an epoch of the paper's network against a plain PyTorch loop of the same network."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from gcamccl_core.data.cohort import make_split
from gcamccl_core.model.epochs import Part, Training
from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.model.recipe import Recipe

from .data import PAPER, network, parts, study
from .goals import goal_of
from .machine import PACKAGE, PROJECT, SETTINGS, matrix_rate
from .plain_network import PlainLoop, PlainNet, plain_twin
from .timing import alternate, compare, share_of_limit

OURS = {"ours, float32": "float32", "ours, bfloat16": "bfloat16"}
PEER, BY_ITSELF = "plain loop", "plain loop in a process of its own"


def measure(quick: bool = False) -> list[dict[str, object]]:
    """Time passes over the training part (per step) and whole epochs.

    The plain loop runs beside ours, with the same settings of the process, and once more in a process of its own as a
    shell starts it, without what the Makefile sets for the allocation of memory.

    Returns
    -------
    list of dict
        Rows of the table of ratios.
    """
    cohort = study(120 if quick else 854)
    split, views, repeats = make_split(cohort), list(PAPER), 1 if quick else 7
    net = network(cohort, split.train, views)
    train, validation = parts(net, cohort, split.train, split.validation)
    check_agreement(train)
    flops = count_flops(train)
    loop = PlainLoop(plain_twin(net), train, validation)
    ours = {
        name: Training(network(cohort, split.train, views), Recipe.demo(precision=precision), seed=0)
        for name, precision in OURS.items()
    }
    steps = int(np.ceil(len(train[1]) / 4))
    passes = {PEER: loop.run_steps, **{name: _pass_of(each, train) for name, each in ours.items()}}
    per_step = alternate(passes, repeats, label="training steps") / steps
    epochs = {PEER: loop.run_epoch, **{name: _epoch_of(each, train, validation) for name, each in ours.items()}}
    with _process_of_its_own(len(cohort["subject"])) as alone:
        per_epoch = alternate({**epochs, BY_ITSELF: alone}, repeats, label="training epochs")
    limits = {name: matrix_rate(precision, 512 if quick else 3072) for name, precision in OURS.items()}
    rows = []
    for name in OURS:
        found = compare(per_step, name, PEER)
        reached = share_of_limit(flops / 1e9, float(per_step[name].median()), limits[name])
        rows.append({"key": f"step_{OURS[name]}", "what": "training step, 4 subjects", **found, **reached})
        size = f"training epoch, {len(train[1])} subjects, {len(validation[1])} to judge"
        key = f"epoch_{OURS[name]}"
        rows.append({"key": key, "what": size, **compare(per_epoch, name, PEER), **goal_of(key, quick)})
        rows.append({"key": f"{key}_apart", "what": size, **compare(per_epoch, name, BY_ITSELF)})
    return rows


def check_agreement(train: Part, steps: int = 5) -> None:
    """Raise AssertionError unless both come to the same weights from the same start, without dropout and chance."""
    inputs, target = {view: values[:4] for view, values in train[0].items()}, train[1][:4]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = CollaborativeNet({view: values.shape[2:] for view, values in inputs.items()}, dropout=0.0)
    plain = plain_twin(net)
    training = Training(net, Recipe.demo(dropout=0.0, learning_rate=1e-3), seed=0)
    loop = PlainLoop(plain, (inputs, target), (inputs, target), learning_rate=1e-3)
    losses = []
    for _ in range(steps):
        training.run_epoch((inputs, target), (inputs, target))
        loop.run_steps()
        losses.append(training.history[-2]["loss"])
    np.testing.assert_allclose(losses, loop.loss, rtol=1e-4)
    twin = plain_twin(net).state_dict()
    for name, tensor in plain.state_dict().items():
        np.testing.assert_allclose(tensor.numpy(), twin[name].numpy(), rtol=1e-3, atol=1e-4, err_msg=name)


def count_flops(train: Part, batch_size: int = 4) -> float:
    """Floating-point operations of one step, forward and back, as torch counts them by the shapes of the layers."""
    inputs = [values[:batch_size] for values in train[0].values()]
    plain = PlainNet({view: values.shape[2:] for view, values in train[0].items()})
    with FlopCounterMode(display=False) as counter:
        sum(each.sum() for each in plain(*inputs)).backward()
    return float(counter.get_total_flops())


def _pass_of(training: Training, train: Part) -> Callable[[], object]:
    return lambda: training._train(*train)


def _epoch_of(training: Training, train: Part, validation: Part) -> Callable[[], None]:
    return lambda: training.run_epoch(train, validation)


@contextmanager
def _process_of_its_own(n_subjects: int) -> Iterator[Callable[[], None]]:
    """Start a process that runs an epoch of the plain loop whenever it is asked to."""
    surroundings = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    surroundings["OMP_NUM_THREADS"] = str(torch.get_num_threads())
    command = [sys.executable, "-m", f"{PACKAGE}.plain_process", str(n_subjects)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=surroundings, cwd=PROJECT
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def run_epoch() -> None:
            process.stdin.write("epoch\n")
            process.stdin.flush()
            if not process.stdout.readline():
                raise RuntimeError("the process with the plain loop has ended; its message is above")

        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the process with the plain loop did not start; its message is above")
        yield run_epoch
        process.stdin.close()
