"""Small cohorts, maps and tables whose figures can be checked by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import xarray as xr

CLASSES = ("low", "high", "middle")
NETWORKS = ["Visual", "Auditory", "Uncertain", "Visual", "Default mode", "Auditory", "Visual", "Default mode"]
REGIONS = ["Cuneus", "Insula", "Uvula", "Lingual Gyrus", "Precuneus", "Insula", "Lingual Gyrus", "Middle Frontal Gyrus"]
LOBES = ["Occipital", "Insula", "Cerebellum", "Occipital", "Parietal", "Insula", "Occipital", "Frontal"]


def example_cohort(n_classes=2, n_subjects=24):
    """Views fc (8 regions) and snp (12), labels -1 … n_classes - 1 in turn; class 1 has stronger connections."""
    rng = np.random.default_rng(0)
    rois = [f"roi_{number}" for number in range(8)]
    label = np.arange(n_subjects) % (n_classes + 1) - 1
    noise = rng.uniform(-0.2, 0.2, (n_subjects, 8, 8)) + 0.3 * (label == 1)[:, None, None]
    fc = (noise + noise.swapaxes(1, 2)) / 2
    fc[:, range(8), range(8)] = 1
    cohort = xr.Dataset(
        {
            "fc": (("subject", "roi_i", "roi_j"), fc.astype("float32"), {"role": "view", "kind": "correlation"}),
            "snp": (
                ("subject", "locus"),
                rng.integers(0, 3, (n_subjects, 12)).astype("float32"),
                {"role": "view", "kind": "genotype"},
            ),
            "label": ("subject", label, {"classes": list(CLASSES[:n_classes])}),
            "score": ("subject", 100.0 + 10 * label + rng.normal(size=n_subjects)),
            "age": ("subject", rng.uniform(8, 21, n_subjects), {"role": "covariate"}),
            "sex": ("subject", np.where(np.arange(n_subjects) % 2, "female", "male"), {"role": "covariate"}),
            "roi_network": ("roi", NETWORKS),
            "roi_region": ("roi", REGIONS),
            "roi_lobe": ("roi", LOBES),
            "roi_x": ("roi", np.linspace(-50, 50, 8)),
            "roi_y": ("roi", np.linspace(-90, 40, 8)),
            "roi_z": ("roi", np.linspace(-20, 50, 8)),
            "truth_snp": (("target_class", "locus"), np.eye(n_classes, 12, dtype=bool)),
        },
        coords={
            "subject": [f"s{number:02d}" for number in range(n_subjects)],
            "roi": rois,
            "roi_i": rois,
            "roi_j": rois,
            "locus": [f"rs{number}" for number in range(12)],
            "snp_gene": ("locus", [f"GENE{number // 3}" for number in range(12)]),
            "snp_block": ("locus", np.arange(12) // 3),
            "target_class": list(CLASSES[:n_classes]),
        },
    )
    cohort["snp"][0, 0] = np.nan
    cohort.attrs["access"] = "open"
    return cohort


def example_maps(n_classes=2, signed=False):
    """Maps of the example cohort whose fc map is, for every subject, class number + 1, and 3 more at (0, 3)."""
    cohort = example_cohort(n_classes)
    rng = np.random.default_rng(1)
    n, methods = cohort.sizes["subject"], ["grad_cam", "guided_grad_cam"]
    fc = np.ones((n, n_classes, 2, 8, 8)) * np.arange(1, n_classes + 1)[:, None, None, None]
    fc[..., 0, 3] += 3
    fc[:, :, 1] /= 100
    if signed:
        fc[..., 1, 2] = -5
    coords = {name: cohort[name] for name in ("subject", "roi_i", "roi_j", "locus", "snp_block")}
    coords |= {name: cohort[name].variable for name in ("label", "roi_network")}
    return xr.Dataset(
        {
            "fc": (("subject", "target_class", "map_method", "roi_i", "roi_j"), fc, {"role": "map"}),
            "snp": (("subject", "target_class", "map_method", "locus"), rng.uniform(0, 1, (n, n_classes, 2, 12))),
        },
        coords=coords | {"roi": cohort["roi"], "target_class": list(CLASSES[:n_classes]), "map_method": methods},
    )


def example_method_maps(n_classes=2):
    """Maps of the example cohort by five methods, whose sizes are far apart; deconvnet has both signs."""
    maps = example_maps(n_classes)
    sizes = {"cam": 1.0, "grad_cam": 1e-3, "deconvnet": -1e-2, "guided_backprop": 1e-5, "guided_grad_cam": 1e-8}
    size = xr.DataArray(list(sizes.values()), coords={"map_method": list(sizes)})
    scaled = maps.isel(map_method=0, drop=True)
    for view in ("fc", "snp"):
        of_methods = scaled[view] * size
        scaled[view] = of_methods.transpose("subject", "target_class", "map_method", ...)
    scaled["fc"].loc[{"map_method": "deconvnet", "roi_i": "roi_1", "roi_j": "roi_2"}] = 0.5
    return scaled


def example_connections(pairs=(("low", 0, 1), ("high", 0, 3), ("high", 3, 6), ("high", 3, 4))):
    """Selected connections: class and two region numbers each; frequencies fall from 1."""
    rows = [
        {
            "view": "fc", "target_class": target_class, "feature": f"roi_{i} -- roi_{j}", "roi_i": f"roi_{i}",
            "roi_j": f"roi_{j}", "region_i": REGIONS[i], "region_j": REGIONS[j], "network_i": NETWORKS[i],
            "network_j": NETWORKS[j], "frequency": 1 - 0.05 * place, "mean_value": 0.1,
        }
        for place, (target_class, i, j) in enumerate(pairs)
    ]  # fmt: skip
    return pd.DataFrame(
        rows, columns=list(rows[0]) if rows else ["view", "target_class", "roi_i", "roi_j", "frequency"]
    )


def example_training(shift=0, epochs=5):
    """A training whose validation accuracy rises by 0.1 per epoch from 0.5."""
    epoch = np.arange(1, epochs + 1)
    parts = [
        pd.DataFrame(
            {"epoch": epoch, "part": part, "loss": 1.5 - 0.1 * epoch, "fit": 0.7, "agreement": 0.7,
             "cross_entropy": 0.7 - 0.01 * epoch + 0.1 * shift, "accuracy": 0.4 + 0.1 * epoch}
        )
        for part in ("train", "validation")
    ]  # fmt: skip
    return SimpleNamespace(history=pd.concat(parts), selected={"cross_entropy": 4 + shift, "loss": 2})


def example_scores():
    """Accuracy and the like of two methods on three splits."""
    return pd.DataFrame(
        [
            {"method": method, "split": split, "accuracy": level + 0.01 * split, "sensitivity": level,
             "specificity": level - 0.1, "f1": level}
            for method, level in (("gCAM-CCL", 0.7), ("linear SVM", 0.8))
            for split in range(3)
        ]
    )  # fmt: skip


def example_scorecard(classes=("low", "high")):
    """A scorecard in which, for the last class, the t-test beats every map by far."""
    rows = []
    for view in ("fc", "snp"):
        for target_class in classes:
            far = 0.9 if target_class == classes[-1] else 0.15
            for source, method, value in (
                ("model", "grad_cam", 0.2), ("model", "guided_grad_cam", 0.3), ("random weights", "grad_cam", 0.1),
                ("random weights", "guided_grad_cam", 0.12), ("univariate", "t_test", far), ("chance", "chance", 0.05),
            ):  # fmt: skip
                rows.append((view, target_class, source, method, value, 0.5 + value / 2))
    return pd.DataFrame(rows, columns=["view", "target_class", "source", "method", "average_precision", "auroc"])
