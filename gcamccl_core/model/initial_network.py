"""The network that a training starts from: first weights drawn, scaling fitted on the training subjects."""

from __future__ import annotations

import numpy as np
import xarray as xr

from gcamccl_core.data.checks import view_names, without_name
from gcamccl_core.data.cohort import Split, class_names
from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.model.recipe import Recipe


def initial_network(cohort: xr.Dataset, split: Split, recipe: Recipe) -> CollaborativeNet:
    """Build a recipe's network for a cohort; first weights come from torch's global generator, which the caller seeds.

    Parameters
    ----------
    cohort : xarray.Dataset
        A cohort.
    split : Split
        Whose training subjects the scaling is fitted on.
    recipe : Recipe
        Pathways, dropout, and how logits become a prediction.

    Examples
    --------
    >>> from gcamccl_core.data.cohort import make_split
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=40, seed=0)
    >>> initial_network(cohort, make_split(cohort), Recipe.demo()).classes
    ['low', 'high']
    """
    classes = class_names(cohort)
    views = {name: cohort[name].shape[1:] for name in view_names(cohort)}
    n_outputs = len(classes) if recipe.fusion == "collaborative" else recipe.latent
    pathways = {name: recipe.image if len(shape) == 2 else recipe.vector for name, shape in views.items()}
    blocks = {name: gene_blocks(cohort[name]) for name, paths in pathways.items() if "blocks" in paths}
    names = classes if recipe.fusion == "collaborative" else None
    net = CollaborativeNet(views, n_outputs, recipe.dropout, recipe.output, pathways, recipe.combine, blocks, names)
    return net.fit_scaling(cohort, split.train)


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
