"""A simulated cohort with planted truth: what a notebook, a test or a new method can be held against."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import xarray as xr
from threadpoolctl import threadpool_limits
from tqdm.std import tqdm

from gcamccl_core.data.cohort import assemble_cohort, extreme_groups
from gcamccl_core.data.connectivity import estimate_connectivity
from gcamccl_core.data.planted_truth import add_planted_truth
from gcamccl_core.data.regimes import REGIMES, Regime, find_regime
from gcamccl_core.data.simulated_connectivity import Brain, draw_time_series, make_brain, subject_covariance
from gcamccl_core.data.simulated_genotypes import SnpPanel, draw_genotypes, make_panel
from gcamccl_core.data.simulated_pathways import CLASSES, make_pathways

__all__ = ["REGIMES", "Regime", "relabel_three_classes", "simulate_cohort"]

LOCAL_COUPLING = {"motion": 0.4, "youth": 0.002}  # per mm of motion, per year below the oldest age
CHUNK = 16  # scans held in memory at a time
OLDEST = 21.0  # years; the paper's participants are 8 to 21


def simulate_cohort(
    n_subjects: int = 854,
    regime: str | Regime = "clear",
    seed: int = 0,
    fraction: float = 0.2,
    progress: bool = True,
) -> xr.Dataset:
    r"""Simulate the paper's study: two views of the same people, a score, and the truth behind them.

    .. math:: z = \sqrt{h}\,G + \sqrt{1-h}\,E, \qquad \mathrm{score} = 100 + 15\,(a z + \sqrt{1-a^2}\,e)

    Latent cognition z ties both views to the score: G is the polygenic value of the 86 causal SNPs, and the
    correlation of every planted connection is linear in z. Panel, brain and truth belong to the regime and are the
    same for every ``seed`` and size; the seed draws the people, and the first n of a larger cohort are the same people.

    Parameters
    ----------
    n_subjects : int
        The paper has 854.
    regime : str or Regime
        ``"clear"``, ``"realistic"``, ``"scattered"``, ``"null"``, or one of your own.
    seed : int
        Another seed, other people.
    fraction : float
        Share of the subjects in each extreme group; the middle stays in the cohort with label -1.
    progress : bool
        Show a bar when the simulation takes more than a few seconds.

    Returns
    -------
    xarray.Dataset
        A checked cohort: views ``fc`` (subject, 264, 264) and ``snp`` (subject, 750), ``label``, ``score``,
        ``latent_cognition``, covariates ``age`` (years), ``sex``, ``motion`` (mm), descriptions along ``roi`` and
        ``locus``, and along ``target_class`` what was planted (``truth_fc``, ``truth_snp``) and what differs in the
        population because of it (``population_truth_fc``, ``population_truth_snp``).

    Raises
    ------
    ValueError
        If the regime is unknown or the cohort is too small for two classes.

    Examples
    --------
    >>> cohort = simulate_cohort(n_subjects=40, seed=1)
    >>> cohort["fc"].shape, cohort["snp"].shape, int((cohort["label"] >= 0).sum())
    ((40, 264, 264), (40, 750), 16)
    """
    if n_subjects < 1:
        raise ValueError(f"n_subjects must be at least 1, got {n_subjects}")
    population = find_regime(regime)
    panel, brain = make_panel(population.population_seed), make_brain(population)
    generators = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(n_subjects)]
    subjects = pd.Index([f"sim_{number:04d}" for number in range(1, n_subjects + 1)], name="subject")
    genotypes = draw_genotypes(panel, np.stack([rng.standard_normal((2, len(panel.table))) for rng in generators]))
    people = _draw_people(generators, subjects)
    share = population.heritability
    polygenic = (genotypes - 2 * panel.table["frequency"].to_numpy()) @ panel.weight
    latent = np.sqrt(share) * polygenic + np.sqrt(1 - share) * people.pop("rest").to_numpy()
    loading = population.score_loading
    score = 100 + 15 * (loading * latent + np.sqrt(1 - loading**2) * people.pop("error"))
    cohort = assemble_cohort(
        views={
            "fc": _draw_connectivity(brain, population, latent, people, generators, progress),
            "snp": _snp_view(genotypes, panel, subjects),
        },
        label=pd.Series(extreme_groups(score, fraction), index=subjects),
        classes=CLASSES,
        score=score,
        covariates=people,
        attrs=_describe(regime, population, panel, n_subjects, seed, fraction),
    )
    cohort["score"].attrs["long_name"] = "simulated score on the scale of WRAT (mean 100, standard deviation 15)"
    cohort["latent_cognition"] = ("subject", latent, {"role": "truth"})
    return add_planted_truth(_describe_regions(cohort, brain), population, panel, brain)


def _draw_people(generators: list[np.random.Generator], subjects: pd.Index) -> pd.DataFrame:
    """Draw what differs between people apart from their genes; independent of cognition, except for ``rest``."""
    rows = [
        {
            "rest": rng.standard_normal(),
            "error": rng.standard_normal(),
            "age": round(rng.uniform(8, OLDEST), 1),
            "sex": str(rng.choice(["female", "male"])),
            "motion": round(rng.gamma(4.0, 0.03), 3),
        }
        for rng in generators
    ]
    return pd.DataFrame(rows, index=subjects)


def _draw_connectivity(
    brain: Brain,
    population: Regime,
    latent: np.ndarray,
    people: pd.DataFrame,
    generators: list[np.random.Generator],
    progress: bool,
) -> xr.DataArray:
    """Scan everybody: a covariance of their own, 231 filtered samples of it, their correlation."""
    youth = OLDEST - people["age"]
    local = (LOCAL_COUPLING["motion"] * people["motion"] + LOCAL_COUPLING["youth"] * youth).to_numpy()
    values = np.empty((len(latent), *brain.base.shape), dtype=np.float32)
    bar = tqdm(total=len(latent), desc="scans", unit="subject", disable=not progress, delay=3, leave=False)
    with bar, threadpool_limits(1):  # sums in a fixed order: the same seed gives the same bits on any number of cores
        for start in range(0, len(latent), CHUNK):
            rows = range(start, min(start + CHUNK, len(latent)))
            scans = []
            for row in rows:
                rng = generators[row]
                covariance = subject_covariance(brain, latent[row], local[row], population.nuisance, rng)
                scans.append(draw_time_series(covariance, rng))
            values[rows.start : rows.stop] = estimate_connectivity(
                scans, subjects=list(people.index[rows.start : rows.stop])
            )
            bar.update(len(rows))
    names = brain.regions["roi"].to_numpy()
    coords = {"subject": people.index, "roi_i": names, "roi_j": names}
    return xr.DataArray(values, coords, ("subject", "roi_i", "roi_j"), attrs={"kind": "correlation"})


def _snp_view(genotypes: np.ndarray, panel: SnpPanel, subjects: pd.Index) -> xr.DataArray:
    """Describe the SNPs along ``locus``: in xarray a view cannot be called like one of its own dimensions."""
    described = ("gene", "chromosome", "position", "counted_allele", "block", "origin")
    coords = {"subject": subjects, "locus": panel.table["snp"].to_numpy()}
    coords |= {f"snp_{name}": ("locus", panel.table[name].to_numpy()) for name in described}
    return xr.DataArray(genotypes, coords, ("subject", "locus"), attrs={"kind": "genotype"})


def _describe_regions(cohort: xr.Dataset, brain: Brain) -> xr.Dataset:
    cohort = cohort.assign_coords(roi=brain.regions["roi"].to_numpy())
    for name in ("network", "region", "hemisphere", "lobe", "x", "y", "z"):
        cohort[f"roi_{name}"] = ("roi", brain.regions[name].to_numpy())
    return cohort


def _describe(
    regime: str | Regime, population: Regime, panel: SnpPanel, n_subjects: int, seed: int, fraction: float
) -> dict[str, object]:
    gene_sets, planted = make_pathways(panel, population.population_seed)
    has_truth = population.score_loading * population.heritability > 0
    parameters = {"n_subjects": n_subjects, "seed": seed, "fraction": fraction, "regime": asdict(population)}
    return {
        "source": "simulated",
        "access": "open",
        "genome_build": "simulated",
        "genome_note": "chromosomes, positions, blocks and counted alleles are simulated, of the paper's SNPs as well",
        "regime": regime if isinstance(regime, str) else "custom",
        "parameters": json.dumps(parameters),
        "gene_sets": json.dumps(gene_sets),
        "planted_gene_sets": json.dumps({name: terms if has_truth else [] for name, terms in planted.items()}),
    }


def relabel_three_classes(cohort: xr.Dataset) -> xr.Dataset:
    """Turn low, high and "not in this contrast" into the paper's three classes low, middle and high.

    Parameters
    ----------
    cohort : xarray.Dataset
        With the classes low and high; subjects labelled -1 become the middle class.

    Returns
    -------
    xarray.Dataset
        A copy with ``label`` 0, 1, 2. The truth along ``target_class`` stays that of low and high.

    Raises
    ------
    ValueError
        If the cohort's classes are not low and high.

    Examples
    --------
    >>> three = relabel_three_classes(simulate_cohort(n_subjects=40, seed=1))
    >>> three["label"].attrs["classes"], np.bincount(three["label"]).tolist()
    (['low', 'middle', 'high'], [8, 24, 8])
    """
    classes = list(np.atleast_1d(cohort["label"].attrs["classes"]))
    if classes != list(CLASSES):
        raise ValueError(f"the cohort's classes are {', '.join(map(str, classes))}; expected low, high")
    label = cohort["label"].to_numpy()
    relabelled = np.select([label == 0, label == 1], [0, 2], 1).astype(np.int8)
    return cohort.assign(label=("subject", relabelled, {"classes": ["low", "middle", "high"]}))
