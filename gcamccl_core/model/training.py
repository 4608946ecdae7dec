"""Train one network or many as in Table II: checked first, watched, resumed where killed, and never done twice."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits
from tqdm.std import tqdm

from gcamccl_core.data.cohort import Split
from gcamccl_core.disk_faults import require_writable
from gcamccl_core.lifelines import end_with
from gcamccl_core.locks import hold_lock
from gcamccl_core.model.devices import choose_device
from gcamccl_core.model.fitted import Fitted, is_kept, load_fitted, save_fitted
from gcamccl_core.model.many_networks import train_together, why_not_stacked
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.single_training import CHECKPOINT, train_one
from gcamccl_core.model.training_checks import PARTS, check_trainings
from gcamccl_core.pieces import on_disk
from gcamccl_core.provenance import fingerprint, hash_data, hash_module, resolve, stamp


def fit(
    cohort: xr.Dataset,
    split: Split,
    recipe: Recipe,
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool = True,
    checkpoint_every: int = 10,
    device: str | torch.device | None = None,
) -> Fitted:
    """Train the collaborative network on all of the cohort's views, by Eq. 12 or what the recipe takes instead.

    Parameters
    ----------
    cohort : xarray.Dataset
        A cohort; subjects whose label is -1 take no part. One opened by :func:`.open_on_disk` is read a batch at a
        time, and on a CPU gives the same network to the bit.
    split : Split
        Positions to train on, to select the epoch with, and to keep for the test, which training never sees.
    recipe : Recipe
        Hyper-parameters.
    seed : int
        Of first weights, dropout and order of the subjects; torch's own generator is left as it was.
    out : path, optional
        Folder for models. Each training has its own folder there, named by a fingerprint of recipe, seed, split, data
        and code: a finished one is loaded, a killed one goes on from its last checkpoint and ends bit for bit where
        an uninterrupted one ends (on the same number of threads). Nothing is kept if None.
    progress : bool
        Show a progress bar.
    checkpoint_every : int
        Epochs between two checkpoints.
    device : str, optional
        Where to train, see :func:`.choose_device`: on a GPU if there is one. There Table IV's network is trained by
        captured steps, and dropout draws other numbers than on a CPU, see ``stacked_training.py``.

    Returns
    -------
    Fitted
        The network at the selected epoch, with its history.

    Raises
    ------
    CohortError
        If the cohort breaks its schema.
    ValueError
        If the split does not fit the cohort or the recipe, or a stored file is damaged.
    FloatingPointError
        If the loss is no longer finite.
    MemoryError
        If a cohort on disk must be held in memory for pathways beside the ConvNet, and there is no room.

    Examples
    --------
    >>> from gcamccl_core.data.cohort import make_split
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=60, seed=0)
    >>> fitted = fit(cohort, make_split(cohort), Recipe.demo(epochs=1), progress=False)
    >>> fitted.history["part"].tolist(), fitted.selected
    (['train', 'validation'], {'cross_entropy': 1, 'loss': 1})
    """
    return fit_many(cohort, [split], [seed], recipe, out, progress, checkpoint_every, device=device)[0]


def fit_many(
    cohort: xr.Dataset,
    splits: Sequence[Split],
    seeds: Sequence[int],
    recipe: Recipe,
    out: str | Path | None = None,
    progress: bool = True,
    checkpoint_every: int = 10,
    *,
    jobs: int | None = None,
    together: bool | None = None,
    device: str | torch.device | None = None,
) -> list[Fitted]:
    """Train one network per pair of split and seed; everything is checked before the first starts.

    A finished training in ``out`` is loaded, whichever way it was started. On a CPU several processes pay, on a GPU one
    stack of networks: a single small network keeps neither busy.

    Parameters
    ----------
    splits, seeds : sequences of equal length
        The i-th network is trained on the i-th split with the i-th seed.
    cohort, recipe, out, progress, checkpoint_every, device
        As in :func:`fit`.
    jobs : int, optional
        On a CPU, train in so many processes, each on one thread: the same to the bit for every number of them. One
        after the other in this process, on its threads, if None.
    together : bool, optional
        Train all as one stack of networks, see :func:`.train_together`; on a GPU if None, where the recipe allows it.

    Returns
    -------
    list of Fitted
        In the order of the splits.

    Raises
    ------
    ValueError
        As in :func:`fit`, and if the recipe cannot be trained together, or ``jobs`` is asked for beside it or on a GPU.

    Examples
    --------
    >>> from gcamccl_core.data.cohort import make_splits
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort, recipe = simulate_cohort(n_subjects=60, seed=0), Recipe.demo(epochs=1)
    >>> many = fit_many(cohort, make_splits(cohort, 2), [0, 1], recipe, progress=False, jobs=1, device="cpu")
    >>> [fitted.seed for fitted in many]
    [0, 1]
    """
    if checkpoint_every < 1:
        raise ValueError(f"checkpoint_every must be at least 1, got {checkpoint_every}")
    chosen = choose_device("cpu" if jobs is not None and device is None else device)
    if on_disk(cohort) and together is None:
        together = False  # a stack holds everybody's inputs
    stacked = _choose_way(recipe, chosen, jobs, together)
    check_trainings(cohort, splits, seeds, recipe)
    if out is not None:
        require_writable(resolve(out))
    data, code = (hash_data(cohort), hash_module(__name__, "model")) if out is not None else (None, None)
    planned = []
    for split, seed in zip(splits, seeds, strict=True):
        settings = {"recipe": asdict(recipe), "seed": int(seed), "split": _as_lists(split)}
        settings |= {"device": chosen.type, "stacked": stacked, "one_thread": jobs is not None}
        folder = None if out is None else resolve(out) / fingerprint(settings, data, code)
        planned.append(_Planned(split, int(seed), recipe, folder, {**settings, "data": data}))
    waiting = [plan for plan in planned if not plan.is_kept]
    made: dict[int, Fitted] = {}  # by the identity of the plan, of what is not kept in a folder
    if stacked and waiting:
        pairs = [(plan.split, plan.seed) for plan in waiting]

        def checkpoint_of(members: Sequence[int]) -> Path:
            """Name a stack by the networks in it, whichever these are when it goes on after a kill."""
            return (
                resolve(str(out))
                / f"stack_{fingerprint([str(waiting[member].folder) for member in members])}.safetensors"
            )

        named = None if out is None else checkpoint_of
        for number, fitted in train_together(cohort, pairs, recipe, named, checkpoint_every, progress, chosen):
            made[id(waiting[number])] = waiting[number].keep(fitted)
    else:
        work = _in_processes(cohort, waiting, checkpoint_every, jobs) if jobs is not None else None
        bar = tqdm(waiting, "networks", disable=not progress or len(seeds) == 1)
        for plan in bar:
            if work is not None:
                made[id(plan)] = next(work)
            else:
                made[id(plan)] = plan.train(cohort, checkpoint_every, progress, len(seeds) > 1, chosen)
    return [plan.load() if plan.is_kept else made[id(plan)] for plan in planned]


@dataclass(frozen=True, eq=False)
class _Planned:
    """One training that was asked for, and where it is kept."""

    split: Split
    seed: int
    recipe: Recipe
    folder: Path | None
    settings: dict[str, object]

    @property
    def is_kept(self) -> bool:
        return self.folder is not None and is_kept(self.folder)

    def train(
        self, cohort: xr.Dataset, checkpoint_every: int, progress: bool, nested: bool, device: torch.device
    ) -> Fitted:
        """Train and keep; if another process is at the same, wait for what it makes."""
        asked = (cohort, self.split, self.recipe, self.seed, self.folder, checkpoint_every, progress, nested, device)
        if self.folder is None:
            return train_one(*asked)
        lock = self.folder.with_name(f".{self.folder.name}.lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(lock, f"the training in {self.folder}", "fit", patience=None):
            fitted = self.load() if self.is_kept else self.keep(train_one(*asked))
            lock.unlink(missing_ok=True)  # whoever waits for it will train no more
        return fitted

    def keep(self, fitted: Fitted) -> Fitted:
        if self.folder is not None:
            made = {name: value for name, value in self.settings.items() if name != "data"}
            save_fitted(fitted, self.folder, {**stamp(made), "data": self.settings["data"]})
            (self.folder / CHECKPOINT).unlink(missing_ok=True)
        return fitted

    def load(self) -> Fitted:
        assert self.folder is not None
        return load_fitted(self.folder, self.recipe, self.split, self.seed)


def _choose_way(recipe: Recipe, device: torch.device, jobs: int | None, together: bool | None) -> bool:
    """Decide whether to train as one stack, or refuse what does not go together."""
    reason = why_not_stacked(recipe)
    if together and reason:
        raise ValueError(f"networks of this recipe cannot be trained together: {reason}; leave together out")
    stacked = (device.type == "cuda" and not reason) if together is None else together
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    if jobs is not None and (stacked or device.type == "cuda"):
        raise ValueError("jobs are processes on the CPU; leave jobs out, or pass device='cpu' and not together")
    return stacked


def _in_processes(
    cohort: xr.Dataset, planned: Sequence[_Planned], checkpoint_every: int, jobs: int
) -> Iterator[Fitted]:
    """Train in several processes, and hand out what is done in the order of the plans."""
    pool = Parallel(n_jobs=jobs, return_as="generator")
    yield from pool(delayed(_train_on_one_thread)(cohort, plan, checkpoint_every, os.getpid()) for plan in planned)


def _train_on_one_thread(cohort: xr.Dataset, plan: _Planned, checkpoint_every: int, worker_of: int) -> Fitted:
    """Train with sums in one order, whatever the number of processes."""
    end_with(worker_of)
    with _one_thread():
        return plan.train(cohort, checkpoint_every, progress=False, nested=True, device=torch.device("cpu"))


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def _as_lists(split: Split) -> dict[str, list[int]]:
    return {part: np.asarray(getattr(split, part)).tolist() for part in PARTS}
