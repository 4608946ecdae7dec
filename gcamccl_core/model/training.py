"""Train one network or many as in Table II: checked first, watched, resumed where killed, and never done twice."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from tqdm.std import tqdm

from gcamccl_core.data.checks import check_cohort, name_some, view_names, without_name
from gcamccl_core.data.cohort import Split, class_names
from gcamccl_core.model.additive import fit_additive
from gcamccl_core.model.checkpoint import read_tensors, write_tensors
from gcamccl_core.model.epochs import Training
from gcamccl_core.model.fitted import SUMMARY, Fitted, load_fitted, save_fitted
from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.scaling import Scaling
from gcamccl_core.model.setting_choice import divide
from gcamccl_core.provenance import fingerprint, hash_data, hash_module, resolve, stamp

PARTS = ("train", "validation", "test")
CHECKPOINT = "checkpoint.safetensors"


def fit(
    cohort: xr.Dataset,
    split: Split,
    recipe: Recipe,
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool = True,
    checkpoint_every: int = 10,
) -> Fitted:
    """Train the collaborative network on all of the cohort's views, by Eq. 12 or what the recipe takes instead.

    Parameters
    ----------
    cohort : xarray.Dataset
        A cohort; subjects whose label is -1 take no part.
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

    Examples
    --------
    >>> from gcamccl_core.data.cohort import make_split
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=60, seed=0)
    >>> fitted = fit(cohort, make_split(cohort), Recipe.demo(epochs=1), progress=False)
    >>> fitted.history["part"].tolist(), fitted.selected
    (['train', 'validation'], {'cross_entropy': 1, 'loss': 1})
    """
    return fit_many(cohort, [split], [seed], recipe, out, progress, checkpoint_every)[0]


def fit_many(
    cohort: xr.Dataset,
    splits: Sequence[Split],
    seeds: Sequence[int],
    recipe: Recipe,
    out: str | Path | None = None,
    progress: bool = True,
    checkpoint_every: int = 10,
) -> list[Fitted]:
    """Train one network per pair of split and seed; everything is checked before the first starts.

    Parameters
    ----------
    splits, seeds : sequences of equal length
        The i-th network is trained on the i-th split with the i-th seed.
    cohort, recipe, out, progress, checkpoint_every
        As in :func:`fit`.

    Returns
    -------
    list of Fitted
        In the order of the splits.
    """
    check_cohort(cohort)
    if len(splits) != len(seeds) or not seeds:
        raise ValueError(f"splits and seeds go in pairs, at least one; got {len(splits)} and {len(seeds)}")
    if checkpoint_every < 1:
        raise ValueError(f"checkpoint_every must be at least 1, got {checkpoint_every}")
    _check_fusion(cohort, splits, recipe)
    for split, seed in zip(splits, seeds, strict=True):
        _check_split(cohort, split, recipe)
        _check_fit(cohort, split, recipe, int(seed))
    data, code = (hash_data(cohort), hash_module(__name__, "model")) if out is not None else (None, None)
    fits: list[Fitted] = []
    bar = tqdm(zip(splits, seeds, strict=True), "networks", len(seeds), disable=not progress or len(seeds) == 1)
    for split, seed in bar:
        settings = {"recipe": asdict(recipe), "seed": int(seed), "split": _as_lists(split)}
        folder = None if out is None else resolve(out) / fingerprint(settings, data, code)
        if folder is None or not (folder / SUMMARY).is_file():
            fitted = _train(cohort, split, recipe, int(seed), folder, checkpoint_every, progress, nested=len(seeds) > 1)
            if folder is not None:
                save_fitted(fitted, folder, {**stamp(settings), "data": data})
                (folder / CHECKPOINT).unlink(missing_ok=True)
        fits.append(fitted if folder is None else load_fitted(folder, recipe, split, int(seed)))
    return fits


def _train(
    cohort: xr.Dataset,
    split: Split,
    recipe: Recipe,
    seed: int,
    folder: Path | None,
    checkpoint_every: int,
    progress: bool,
    nested: bool,
) -> Fitted:
    """Run the epochs, from the last checkpoint in the folder if there is one."""
    classes, label = class_names(cohort), cohort["label"].to_numpy().astype(np.int64)
    views = {name: cohort[name].shape[1:] for name in view_names(cohort)}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        n_outputs = len(classes) if recipe.fusion == "collaborative" else recipe.latent
        pathways = {name: recipe.image if len(shape) == 2 else recipe.vector for name, shape in views.items()}
        blocks = {name: gene_blocks(cohort[name]) for name, paths in pathways.items() if "blocks" in paths}
        names = classes if recipe.fusion == "collaborative" else None
        net = CollaborativeNet(
            views, n_outputs, recipe.dropout, recipe.output, pathways, recipe.combine, blocks, names
        ).fit_scaling(cohort, split.train)
        train, validation = (
            (net.prepare(cohort, part), torch.from_numpy(label[part])) for part in (split.train, split.validation)
        )
        linear = None
        if "linear" in recipe.image:
            groups = _groups_kept(cohort, split)
            linear = fit_additive(net, *train, recipe.agreement, recipe.gates, seed, groups)
        net.fit_standardisations(train[0])
        held_out, agreement = (None, None) if linear is None else (linear.held_out, linear.agreement)
        training = Training(net, recipe, seed, len(classes), held_out, agreement)
        if folder is not None and (folder / CHECKPOINT).is_file():
            training.restore(*read_tensors(folder / CHECKPOINT))
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
    nets = {rule: copy.deepcopy(net).eval() for rule in recipe.rules}
    for rule, selected in nets.items():
        selected.load_state_dict(training.weights[rule])
    settings = None if linear is None else {view: asdict(each) for view, each in linear.settings.items()}
    history = pd.DataFrame(training.history)
    return Fitted(nets, training.selected, history, recipe, split, seed, classes, settings, agreement)


def gene_blocks(view: xr.DataArray) -> list[int]:
    """Sizes of the runs of features of one gene; a feature without a gene is by itself.

    Parameters
    ----------
    view : xarray.DataArray of shape (n_subjects, n_features)
        With the coordinate ``<view>_gene`` along its features, in genomic order, if genes are known.

    Returns
    -------
    list of int
        They sum to the number of features.

    Examples
    --------
    >>> snp = xr.DataArray(np.zeros((2, 3)), dims=("subject", "variant"), name="snp")
    >>> gene_blocks(snp), gene_blocks(snp.assign_coords(snp_gene=("variant", ["NRXN1", "NRXN1", "CNTNAP2"])))
    ([1, 1, 1], [2, 1])
    """
    name = f"{view.name}_gene"
    if name not in view.coords:
        return [1] * view.shape[1]
    gene, nowhere = view[name].to_numpy().astype(str), without_name(view[name].to_numpy())
    starts = np.flatnonzero(np.r_[True, (gene[1:] != gene[:-1]) | nowhere[1:]])
    return np.diff(np.r_[starts, len(gene)]).tolist()


def _groups_kept(cohort: xr.Dataset, split: Split) -> np.ndarray | None:
    """Hand on the training subjects' groups if those who judge are of other groups: then folds keep them apart, too."""
    if "group" not in cohort:
        return None
    group = cohort["group"].to_numpy()
    judges = split.test if len(split.test) else split.validation
    elsewhere = group[np.asarray(judges, dtype=int)]
    return None if set(group[split.train]) & set(elsewhere) else group[split.train]


def _as_lists(split: Split) -> dict[str, list[int]]:
    return {part: np.asarray(getattr(split, part)).tolist() for part in PARTS}


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
    for name in view_names(cohort):
        if cohort[name].attrs.get("kind") == "genotype":  # no other kind may be missing
            Scaling(cohort[name].shape[1:]).fit(cohort[name].isel(subject=train))
    if "linear" in recipe.image:
        label = cohort["label"].to_numpy()[train].astype(np.int64)
        divide(label, len(classes), seed, _groups_kept(cohort, split), classes)


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
