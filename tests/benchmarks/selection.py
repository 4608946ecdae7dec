"""The selection rule of section III-D against the same rule written out subject by subject with numpy and pandas."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.maps.dataset import label_maps
from gcamccl_core.maps.selection import select_biomarkers

from .data import PAPER, noise_cohort
from .timing import alternate, compare

OURS, PEER = "ours", "plain loop in numpy and pandas"
METHOD = "guided_grad_cam"


def noise_maps(n_subjects: int, n_regions: int = 264, n_snps: int = 750, seed: int = 0) -> xr.Dataset:
    """Maps of noise in which some features stand out in most people, so that some are selected."""
    cohort = noise_cohort(n_subjects, {"fc": (n_regions, n_regions), "snp": (n_snps,)}, seed)
    rng = np.random.default_rng(seed)
    values = {}
    for view in PAPER:
        array = rng.random((n_subjects, 2, 1, *cohort[view].shape[1:]), dtype=np.float32) ** 2 - np.float32(0.001)
        values[view] = array * (0.2 + rng.random(cohort[view].shape[1:], dtype=np.float32))
    return label_maps(values, cohort, [METHOD], {"fc": "conv3", "snp": "conv2"})


def plain_selection(maps: xr.Dataset, threshold: float = 0.05, frequency: float = 0.7) -> pd.DataFrame:
    """Write the rule out: for each class and subject, what is above its share of the subject's maximum."""
    tables = []
    for view in PAPER:
        image = view == "fc"
        names = maps["roi_i" if image else "locus"].to_numpy()
        for number, name in enumerate(maps["target_class"].to_numpy()):
            kept, total, people = 0, 0, 0
            for subject in range(maps.sizes["subject"]):
                if maps["label"].to_numpy()[subject] != number:
                    continue
                one = maps[view][subject, number, 0].to_numpy()
                if image:
                    one = (one + one.T) / 2
                    one = one[np.triu_indices(len(one), k=1)]
                one = np.clip(one, 0, None)
                kept = kept + (one > threshold * one.max())
                total, people = total + one, people + 1
            ends = np.triu_indices(len(names), k=1)
            features = [f"{names[i]} -- {names[j]}" for i, j in zip(*ends, strict=True)] if image else list(names)
            table = pd.DataFrame({"feature": features, "frequency": kept / people, "mean_value": total / people})
            table = table[table["frequency"] > frequency].assign(view=view, target_class=name)
            tables.append(table.sort_values(["frequency", "mean_value", "feature"], ascending=[False, False, True]))
    return pd.concat(tables, ignore_index=True)


def measure(quick: bool = False) -> list[dict[str, object]]:
    """Time the selection from maps that are in memory.

    Returns
    -------
    list of dict
        Rows of the table of ratios.
    """
    maps = noise_maps(20 if quick else 342)
    check_agreement(maps)
    contestants = {OURS: partial(select_biomarkers, maps), PEER: partial(plain_selection, maps)}
    seconds = alternate(contestants, 1 if quick else 5, label="selection")
    what = f"selection rule, {maps.sizes['subject']} subjects, 2 views"
    return [{"key": "selection", "what": what, **compare(seconds, OURS, PEER)}]


def check_agreement(maps: xr.Dataset) -> None:
    """Raise AssertionError unless both select the same features."""
    ours, plain = select_biomarkers(maps), plain_selection(maps)
    columns = ["view", "target_class", "feature", "frequency"]
    assert len(ours)
    order = ["view", "target_class", "feature"]
    pd.testing.assert_frame_equal(
        ours[columns].sort_values(order, ignore_index=True),
        plain[columns].sort_values(order, ignore_index=True),
        check_dtype=False,
    )
