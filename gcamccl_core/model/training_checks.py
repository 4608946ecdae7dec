"""What is refused before a training starts: splits, recipes and cohorts that do not go together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from gcamccl_core.data.checks import check_cohort, name_some, view_names
from gcamccl_core.data.cohort import Split, class_names
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.scaling import Scaling
from gcamccl_core.model.setting_choice import divide
from gcamccl_core.model.streamed_inputs import require_whole

PARTS = ("train", "validation", "test")


def check_trainings(cohort: xr.Dataset, splits: Sequence[Split], seeds: Sequence[int], recipe: Recipe) -> None:
    """Check all that can be checked of some trainings before the first starts.

    Parameters
    ----------
    cohort, splits, seeds, recipe
        As in :func:`.fit_many`.

    Raises
    ------
    CohortError
        If the cohort breaks its schema.
    ValueError
        If splits and seeds do not go in pairs, or a split does not fit the cohort or the recipe.
    MemoryError
        If a cohort on disk must be held in memory for the recipe's pathways, and there is no room.
    """
    check_cohort(cohort)
    if len(splits) != len(seeds) or not seeds:
        raise ValueError(f"splits and seeds go in pairs, at least one; got {len(splits)} and {len(seeds)}")
    _check_fusion(cohort, splits, recipe)
    for split, seed in zip(splits, seeds, strict=True):
        _check_split(cohort, split, recipe)
        _check_fit(cohort, split, recipe, int(seed))


def groups_kept(cohort: xr.Dataset, split: Split) -> np.ndarray | None:
    """Hand on the training subjects' groups if those who judge are of other groups: then folds keep them apart, too."""
    if "group" not in cohort:
        return None
    group = cohort["group"].to_numpy()
    judges = split.test if len(split.test) else split.validation
    elsewhere = group[np.asarray(judges, dtype=int)]
    return None if set(group[split.train]) & set(elsewhere) else group[split.train]


def _check_fusion(cohort: xr.Dataset, splits: Sequence[Split], recipe: Recipe) -> None:
    """Refuse what DCL and DCCA cannot be computed on."""
    if recipe.fusion == "collaborative":
        return
    views = view_names(cohort)
    if len(views) != 2:
        raise ValueError(f"{recipe.fusion} joins two views; the cohort has {len(views)}: {name_some(views)}")
    for split in splits:
        if len(split.validation) < 2 * recipe.latent:
            raise ValueError(
                f"{len(split.validation)} validation subjects are fewer than twice latent, {2 * recipe.latent}; "
                "lower latent or give the validation part more"
            )


def _check_fit(cohort: xr.Dataset, split: Split, recipe: Recipe, seed: int) -> None:
    """Refuse training subjects that lack a feature altogether, or cannot be divided into folds."""
    train, classes = split.train, class_names(cohort)
    if not recipe.is_published:
        require_whole(cohort, train, "pathways beside the ConvNet")
    for name in view_names(cohort):
        if cohort[name].attrs.get("kind") == "genotype":  # no other kind may be missing
            Scaling(cohort[name].shape[1:]).fit(cohort[name].isel(subject=train))
    if "linear" in recipe.image:
        label = cohort["label"].to_numpy()[train].astype(np.int64)
        divide(label, len(classes), seed, groups_kept(cohort, split), classes)


def _check_split(cohort: xr.Dataset, split: Split, recipe: Recipe) -> None:
    """Refuse positions that cannot be trained on, before anything starts."""
    label, ids = cohort["label"].to_numpy(), cohort["subject"].to_numpy()
    taken = np.zeros(len(label), dtype=int)
    for part in PARTS:
        positions = np.asarray(getattr(split, part))
        if positions.ndim != 1 or not (np.issubdtype(positions.dtype, np.integer) or positions.size == 0):
            raise ValueError(f"split.{part} must be a list of integer positions, got {positions.dtype}")
        positions = positions.astype(int)  # an empty list comes as floats
        outside = positions[(positions < 0) | (positions >= len(label))]
        if len(outside):
            raise ValueError(f"split.{part} points outside the {len(label)} subjects: {name_some(outside)}")
        unlabelled = ids[positions][label[positions] < 0]
        if len(unlabelled):
            raise ValueError(f"split.{part} holds subjects outside the contrast (label -1): {name_some(unlabelled)}")
        np.add.at(taken, positions, 1)
    if len(split.train) < recipe.batch_size and recipe.has_epochs:
        raise ValueError(
            f"{len(split.train)} training subjects are fewer than batch_size, {recipe.batch_size}; lower batch_size"
        )
    if not len(split.validation) and recipe.has_epochs:
        raise ValueError("split.validation is empty; the epoch is selected on it")
    lacking = sorted(set(label[label >= 0]) - set(label[split.train]))
    if lacking:
        names = class_names(cohort)
        raise ValueError(f"split.train has no subject of class {name_some(names[int(each)] for each in lacking)}")
    if (taken > 1).any():
        raise ValueError(f"the split uses subjects more than once: {name_some(ids[taken > 1])}")
