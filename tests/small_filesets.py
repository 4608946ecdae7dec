"""Small PLINK filesets for tests, written by bed-reader."""

import shutil

import numpy as np
import pytest
from bed_reader import to_bed

plink2 = pytest.mark.skipif(shutil.which("plink2") is None, reason="plink2 is not installed")
plink1 = pytest.mark.skipif(shutil.which("plink1.9") is None, reason="plink1.9, to compare with, is not installed")


def write_fileset(prefix, values, **changes):
    """Write genotypes (people, SNPs) of counted alleles, NaN where missing, with ids that can be replaced."""
    values = np.asarray(values, dtype=float)
    n, m = values.shape
    properties = {
        "fid": ["0"] * n,
        "iid": [f"p{number}" for number in range(n)],
        "sid": [f"rs{number}" for number in range(m)],
        "chromosome": ["1"] * m,
        "bp_position": 1000 * np.arange(1, m + 1),
        "allele_1": ["A"] * m,
        "allele_2": ["G"] * m,
    }
    prefix.parent.mkdir(parents=True, exist_ok=True)
    to_bed(f"{prefix}.bed", values, properties={**properties, **changes})
    return prefix


def draw_genotypes(n, frequencies, seed=0):
    """Genotypes in Hardy-Weinberg equilibrium and without linkage."""
    return np.random.default_rng(seed).binomial(2, frequencies, (n, len(frequencies))).astype(float)
