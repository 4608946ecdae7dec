"""Cohorts of any size for benchmarks: the simulated study, and noise in its place where only the size counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from gcamccl_core.data.cohort import assemble_cohort
from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.model.networks import CollaborativeNet

PAPER = {"fc": (264, 264), "snp": (750,)}


@cache
def study(n_subjects: int = 854) -> xr.Dataset:
    """Simulate the paper's study, once per process."""
    return simulate_cohort(n_subjects, progress=False)


def noise_cohort(n_subjects: int, views: Mapping[str, Sequence[int]], seed: int = 0) -> xr.Dataset:
    """Cohort of two classes in which every view is noise: symmetric for images, genotypes for vectors."""
    rng = np.random.default_rng(seed)
    ids = [f"n{number:05d}" for number in range(n_subjects)]
    arrays = {}
    for name, shape in views.items():
        if len(shape) == 2:
            values = rng.random((n_subjects, *shape), dtype=np.float32)
            for image in values:
                image[:] = (image + image.T) / 2
                np.fill_diagonal(image, 1)
            dims, kind = ("subject", "roi_i", "roi_j"), "correlation"
        else:
            values = rng.integers(0, 3, (n_subjects, *shape)).astype(np.float32)
            dims, kind = ("subject", "locus"), "genotype"
        dims = dims if name in PAPER else (dims[0], *(f"{name}_{dim}" for dim in dims[1:]))
        coords = {dim: [f"{dim}{i}" for i in range(size)] for dim, size in zip(dims[1:], shape, strict=True)}
        arrays[name] = xr.DataArray(values, {"subject": ids, **coords}, dims, attrs={"kind": kind})
    return assemble_cohort(arrays, label=pd.Series(np.arange(n_subjects) % 2, index=ids))


def network(
    cohort: xr.Dataset, subjects: Sequence[int] | np.ndarray, views: Sequence[str], seed: int = 0
) -> CollaborativeNet:
    """Table IV's network of a cohort with its first weights, the same ones for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = CollaborativeNet({view: cohort[view].shape[1:] for view in views})
    return net.fit_scaling(cohort, subjects)


def parts(net: CollaborativeNet, cohort: xr.Dataset, *subjects: np.ndarray) -> list[tuple[dict[str, Tensor], Tensor]]:
    """Prepared inputs and class numbers of some groups of subjects."""
    label = torch.from_numpy(cohort["label"].to_numpy().astype(np.int64))
    return [(net.prepare(cohort, part), label[np.asarray(part)]) for part in subjects]
