"""A small cohort, a small trained network and a tiny one with known gradients, shared by the tests of maps."""

from functools import lru_cache

import numpy as np
import torch
import xarray as xr
from torch import nn

from gcamccl_core.model.networks import CollaborativeNet

CLASSES = ["low", "middle", "high"]
SMALL = {"fc": (40, 40), "snp": (80,)}


def make_cohort(n=12, side=40, n_snps=80, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.uniform(-0.9, 0.9, (n, side, side)).astype("float32")
    genotypes = rng.integers(0, 3, (n, n_snps)).astype("float32")
    genotypes[1, 3] = np.nan
    regions = [f"region {i}" for i in range(side)]
    label = np.resize([0, 1, 2, -1], n)
    return xr.Dataset(
        {
            "fc": (("subject", "roi_i", "roi_j"), (images + images.swapaxes(1, 2)) / 2),
            "snp": (("subject", "locus"), genotypes),
            "label": ("subject", label, {"classes": CLASSES}),
            "roi_network": ("roi", ["visual", "motor"] * (side // 2)),
        },
        coords={
            "subject": [f"s{i}" for i in range(n)],
            "roi_i": regions,
            "roi_j": regions,
            "roi": regions,
            "locus": [f"rs{i}" for i in range(n_snps)],
            "snp_gene": ("locus", [f"G{i // 4}" for i in range(n_snps)]),
        },
    ).pipe(mark_views)


def mark_views(cohort):
    cohort["fc"].attrs = {"role": "view", "kind": "correlation"}
    cohort["snp"].attrs = {"role": "view", "kind": "genotype"}
    return cohort


def train_briefly(net, cohort, steps=20):
    """Enough steps that weights, biases and batch statistics have left their initial values."""
    inputs = net.prepare(cohort)
    target = torch.as_tensor(cohort["label"].to_numpy().astype("int64").clip(0))
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    net.train()
    for _ in range(steps):
        loss = sum(nn.functional.cross_entropy(logits, target) for logits in net(inputs).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    net.zero_grad(set_to_none=True)
    return net.eval()


@lru_cache(maxsize=1)
def trained_network():
    """Three classes, two views; make a deep copy before you change it."""
    cohort = make_cohort()
    torch.manual_seed(1)
    return train_briefly(CollaborativeNet(SMALL, n_classes=3).fit_scaling(cohort, range(12)), cohort)


class TinyNet(nn.Module):
    """y = W2 ReLU(W1 x) position by position, so that every gradient can be written down."""

    def __init__(self, first, second, functional=False):
        super().__init__()
        channels, length = second.shape[1:]
        conv = nn.Conv1d(1, channels, 1, bias=False)
        head = nn.Linear(channels * length, len(second), bias=False)
        conv.weight.data = torch.as_tensor(first).reshape(channels, 1, 1)
        head.weight.data = torch.as_tensor(second).flatten(1)
        parts = {"conv": conv} if functional == "only" else {"conv": conv, "relu": nn.ReLU()}
        self.encoders = nn.ModuleDict({"snp": nn.Sequential()})
        self.encoders["snp"].add_module("conv1", nn.Sequential())
        for name, part in parts.items():
            self.encoders["snp"].conv1.add_module(name, part)
        self.heads = nn.ModuleDict({"snp": head})
        self.views, self.n_classes, self.functional = {"snp": (length,)}, len(second), functional

    def layer_names(self, view):
        return ["conv1"]

    def default_layer(self, view):
        return "conv1"

    def forward(self, inputs):
        features = self.encoders["snp"](inputs["snp"])
        features = nn.functional.relu(features + 0.1) if self.functional else features
        return {"snp": self.heads["snp"](features.flatten(1))}


def tiny_network(**kwargs):
    """A network on a view of 6 features, its two weight matrices, and four subjects."""
    rng = np.random.default_rng(5)
    first, second, x = np.array([1.0, -2.0, 0.5]), rng.normal(size=(2, 3, 6)), rng.normal(size=(4, 6))
    return TinyNet(first, second, **kwargs), first, second, x, {"snp": torch.as_tensor(x)[:, None]}
