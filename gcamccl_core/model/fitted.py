"""A trained network and how it came about: what it predicts, and how it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.data.checks import name_some
from gcamccl_core.data.cohort import Split
from gcamccl_core.kept_files import (
    DamagedFileError,
    digest_file,
    read_sealed,
    refuse_damage,
    set_aside,
    write_sealed,
)
from gcamccl_core.model.epochs import HISTORY_COLUMNS, predict_logits
from gcamccl_core.model.network_files import load_net, save_net
from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.streamed_inputs import prepare_inputs

SUMMARY = "training.json"


@dataclass(frozen=True)
class Fitted:
    """A trained network and how it came about.

    Parameters
    ----------
    nets : dict of str to CollaborativeNet
        In eval mode, at the epoch that each rule selects: ``"cross_entropy"`` and ``"loss"``, see :class:`.Recipe`.
    selected : dict of str to int
        Those epochs, counted from 1; 0 is what fitted linear pathways say before the first.
    history : pandas.DataFrame
        One row per epoch and part (``"train"``, ``"validation"``): ``loss``, its terms ``fit`` and ``agreement``,
        ``cross_entropy`` and ``accuracy`` of the fused prediction (missing with DCL and DCCA, which predict none).
        Training rows are as seen while training, with dropout; of epoch 0, by fits that had not seen the subject.
    recipe, split, seed
        What it was trained with.
    classes : list of str
        Names of the classes.
    linear : dict of str to dict, optional
        Of linear pathways: by view, the ``exponent`` of the gates and the ``penalty`` that were chosen.
    agreement : float, optional
        Of linear pathways: the weight of the second term of Eq. 12 that was chosen, the recipe's or 0.
    """

    nets: dict[str, CollaborativeNet]
    selected: dict[str, int]
    history: pd.DataFrame
    recipe: Recipe
    split: Split
    seed: int
    classes: list[str]
    linear: dict[str, dict[str, float]] | None = None
    agreement: float | None = None

    @property
    def net(self) -> CollaborativeNet:
        """The network at the epoch that the recipe's rule selects."""
        return self.nets[self.recipe.select]

    def net_at(self, rule: str) -> CollaborativeNet:
        """Return the network at the epoch that a rule selects, ``"cross_entropy"`` or ``"loss"``."""
        if rule not in self.nets:
            raise ValueError(f"rule must be {' or '.join(self.nets)}, got {rule!r}")
        return self.nets[rule]

    def predict_proba(
        self, cohort: xr.Dataset, subjects: Sequence[int] | np.ndarray | None = None, views: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Class probabilities, fused over the views.

        Parameters
        ----------
        cohort : xarray.Dataset
            Holds the network's views; needs no label.
        subjects : array of int, optional
            Positions along ``subject``; all if None.
        views : sequence of str, optional
            The views to fuse; all if None.

        Returns
        -------
        pandas.DataFrame
            Index ``subject``, one column per class; rows sum to 1.

        Raises
        ------
        ValueError
            If there is no such view, or the network was trained by DCL or DCCA and has no classifier.
        """
        if self.recipe.fusion != "collaborative":
            raise ValueError(f"a network trained by {self.recipe.fusion} has no classifier; give its features() to one")
        logits = predict_logits(self.net, prepare_inputs(self.net, cohort, subjects))
        unknown = set(views or ()) - set(logits)
        if unknown:
            raise ValueError(f"the network has no view {name_some(sorted(unknown))}; it has {name_some(logits)}")
        chosen = {view: logits[view] for view in views or logits}
        ids = cohort["subject"].to_numpy() if subjects is None else cohort["subject"].to_numpy()[np.asarray(subjects)]
        proba = self.net.fuse(chosen).exp().cpu().numpy()
        return pd.DataFrame(proba, index=pd.Index(ids, name="subject"), columns=self.classes)

    def features(self, cohort: xr.Dataset, subjects: Sequence[int] | np.ndarray | None = None) -> pd.DataFrame:
        """Flattened features of all views, for a classifier of one's own.

        Parameters
        ----------
        cohort, subjects
            As in :meth:`predict_proba`.

        Returns
        -------
        pandas.DataFrame
            Index ``subject``, 64 columns per view, named ``"<view> <number>"``; not negative.
        """
        found = predict_logits(self.net, prepare_inputs(self.net, cohort, subjects), features=True)
        ids = cohort["subject"].to_numpy() if subjects is None else cohort["subject"].to_numpy()[np.asarray(subjects)]
        columns = [f"{view} {number}" for view, values in found.items() for number in range(values.shape[1])]
        values = np.concatenate([each.cpu().numpy() for each in found.values()], axis=1)
        return pd.DataFrame(values, index=pd.Index(ids, name="subject"), columns=columns)


def save_fitted(fitted: Fitted, folder: Path, made: dict[str, object]) -> None:
    """Keep a finished training in a folder; the summary comes last, says that all is there, and knows its checksums.

    Parameters
    ----------
    fitted : Fitted
        A finished training.
    folder : pathlib.Path
        Of this training alone.
    made : dict
        Its stamp.
    """
    for rule, net in fitted.nets.items():
        save_net(net, folder / f"{rule}.safetensors")
    history = fitted.history.to_dict("records")
    held = {
        "selected": fitted.selected,
        "classes": fitted.classes,
        "history": history,
        "linear": fitted.linear,
        "agreement": fitted.agreement,
        "files": {f"{rule}.safetensors": digest_file(folder / f"{rule}.safetensors") for rule in fitted.nets},
    }
    write_sealed(folder / SUMMARY, {"stamp": made, **held})


def load_fitted(folder: Path, recipe: Recipe, split: Split, seed: int) -> Fitted:
    """Read back what :func:`save_fitted` kept.

    Raises
    ------
    DamagedFileError
        If a file is truncated, altered or missing; the message names it.
    """
    summary = _read_summary(folder)
    nets = {rule: load_net(folder / f"{rule}.safetensors") for rule in recipe.rules}
    history, selected, classes = pd.DataFrame(summary["history"]), summary["selected"], summary["classes"]
    linear, agreement = summary["linear"], summary["agreement"]
    return Fitted(nets, selected, history[HISTORY_COLUMNS], recipe, split, seed, classes, linear, agreement)


def is_kept(folder: Path) -> bool:
    """Whether a folder holds a finished training; one that is damaged is set aside, with a warning."""
    if not (folder / SUMMARY).is_file():
        return False
    try:
        _read_summary(folder)
    except DamagedFileError as fault:
        set_aside(folder, fault, "the network is trained anew")
        return False
    return True


def _read_summary(folder: Path) -> dict[str, Any]:
    try:
        summary = read_sealed(folder / SUMMARY)
        refuse_damage(folder, summary["files"])
    except KeyError as fault:
        raise DamagedFileError(f"{folder / SUMMARY} is truncated or not ours: it lists no files") from fault
    return summary
