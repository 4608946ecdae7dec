"""Small cohorts whose classes differ in known places, and how trained networks are compared."""

import numpy as np
import torch
import xarray as xr

from gcamccl_core.data.cohort import assemble_cohort

CLASSES = {2: ["low", "high"], 3: ["low", "middle", "high"]}


def planted_cohort(n=120, side=20, length=60, n_classes=2, extra_view=False, seed=0, strength=1.0):
    """Classes differ in a block of connections and in the first SNPs; every fifth subject is outside the contrast."""
    rng = np.random.default_rng(seed)
    ids = [f"s{i:03d}" for i in range(n)]
    label = rng.permutation(np.arange(n) % n_classes)
    shift = strength * (label / (n_classes - 1) - 0.5)
    image = rng.normal(0, 0.15, (n, side, side))
    image[:, :6, 8:16] += 0.5 * shift[:, None, None]
    image = np.clip((image + image.swapaxes(1, 2)) / 2, -1, 1)
    image[:, range(side), range(side)] = 1
    frequency = np.full((n, length), 0.3)
    frequency[:, :15] += 0.4 * shift[:, None]
    snp = rng.binomial(2, np.clip(frequency, 0.05, 0.95)).astype("float32")
    snp[0, 3] = np.nan
    views = {
        "fc": xr.DataArray(
            image.astype("float32"),
            dims=("subject", "roi_i", "roi_j"),
            coords={"subject": ids},
            attrs={"kind": "correlation"},
        ),
        "snp": xr.DataArray(snp, dims=("subject", "locus"), coords={"subject": ids}, attrs={"kind": "genotype"}),
    }
    if extra_view:
        measure = rng.normal(0, 1, (n, 25)) + 2 * shift[:, None] * (np.arange(25) < 6)
        views["thickness"] = xr.DataArray(measure, dims=("subject", "measure"), coords={"subject": ids})
    label[::5] = -1
    return assemble_cohort(views, dict(zip(ids, label, strict=True)), classes=CLASSES[n_classes])


def same_weights(one, other):
    return all(
        torch.equal(one.net_at(rule).state_dict()[name], tensor)
        for rule in other.recipe.rules
        for name, tensor in other.net_at(rule).state_dict().items()
    )
