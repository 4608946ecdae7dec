"""The people of a simulated study: drawn with their genes and scores, then scanned a few at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from threadpoolctl import threadpool_limits
from tqdm.std import tqdm

from gcamccl_core.data.cohort import extreme_groups
from gcamccl_core.data.connectivity import estimate_connectivity
from gcamccl_core.data.planted_truth import add_planted_truth
from gcamccl_core.data.regimes import Regime, find_regime
from gcamccl_core.data.simulated_connectivity import Brain, draw_time_series, make_brain, subject_covariance
from gcamccl_core.data.simulated_genotypes import SnpPanel, draw_genotypes, make_panel
from gcamccl_core.data.simulated_pathways import CLASSES, make_pathways

LOCAL_COUPLING = {"motion": 0.4, "youth": 0.002}  # per mm of motion, per year below the oldest age
CHUNK = 16  # scans held in memory at a time
PEOPLE_AT_ONCE = 1024  # genotypes drawn together; their noise in double precision is then 12 MB
GENOME_NOTE = "chromosomes, positions, blocks and counted alleles are simulated, of the paper's SNPs as well"
OLDEST = 21.0  # years; the paper's participants are 8 to 21


@dataclass(frozen=True)
class Study:
    """Everybody of a simulated study before the scan.

    Parameters
    ----------
    population : Regime
        How score, cognition and genes hang together.
    panel, brain : SnpPanel, Brain
        Of the population.
    seed : int
        That drew the people.
    generators : list of numpy.random.Generator
        One per person; what the scan will draw comes next.
    people : pandas.DataFrame
        ``age``, ``sex`` and ``motion`` by subject.
    genotypes : array of shape (n, 750), float32
    latent : array of shape (n,)
        Latent cognition, in standard deviations.
    score : pandas.Series of shape (n,)
    """

    population: Regime
    panel: SnpPanel
    brain: Brain
    seed: int
    generators: list[np.random.Generator]
    people: pd.DataFrame
    genotypes: np.ndarray
    latent: np.ndarray
    score: pd.Series

    @property
    def subjects(self) -> pd.Index:
        """Ids."""
        return self.people.index

    @property
    def image_coords(self) -> dict[str, np.ndarray]:
        """Names of the regions along both sides of an image."""
        names = self.brain.regions["roi"].to_numpy()
        return {"roi_i": names, "roi_j": names}

    @property
    def genotype_view(self) -> xr.DataArray:
        """The SNPs, described along ``locus``: in xarray a view cannot be called like one of its own dimensions."""
        described, table = ("gene", "chromosome", "position", "counted_allele", "block", "origin"), self.panel.table
        coords = {"subject": self.subjects, "locus": table["snp"].to_numpy()}
        coords |= {f"snp_{name}": ("locus", table[name].to_numpy()) for name in described}
        return xr.DataArray(self.genotypes, coords, ("subject", "locus"), attrs={"kind": "genotype"})

    def tables(self, fraction: float) -> dict[str, Any]:
        """Label, classes, score and covariates, as :func:`.assemble_cohort` takes them."""
        label = pd.Series(extreme_groups(self.score.to_numpy(), fraction), index=self.subjects)
        return {"label": label, "classes": CLASSES, "score": self.score, "covariates": self.people}

    def attrs(self, regime: str | Regime, fraction: float) -> dict[str, object]:
        """Where the cohort comes from, and its gene sets."""
        gene_sets, planted = make_pathways(self.panel, self.population.population_seed)
        has_truth = self.population.score_loading * self.population.heritability > 0
        size, population = len(self.subjects), asdict(self.population)
        parameters = {"n_subjects": size, "seed": self.seed, "fraction": fraction, "regime": population}
        return {
            "source": "simulated",
            "access": "open",
            "genome_build": "simulated",
            "genome_note": GENOME_NOTE,
            "regime": regime if isinstance(regime, str) else "custom",
            "parameters": json.dumps(parameters),
            "gene_sets": json.dumps(gene_sets),
            "planted_gene_sets": json.dumps({name: terms if has_truth else [] for name, terms in planted.items()}),
        }

    def describe(self, cohort: xr.Dataset) -> xr.Dataset:
        """Add what is known of score, cognition and regions, and the planted truth."""
        cohort["score"].attrs["long_name"] = "simulated score on the scale of WRAT (mean 100, standard deviation 15)"
        cohort["latent_cognition"] = ("subject", self.latent, {"role": "truth"})
        cohort = cohort.assign_coords(roi=self.brain.regions["roi"].to_numpy())
        for name in ("network", "region", "hemisphere", "lobe", "x", "y", "z"):
            cohort[f"roi_{name}"] = ("roi", self.brain.regions[name].to_numpy())
        return add_planted_truth(cohort, self.population, self.panel, self.brain)


def draw_study(n_subjects: int, regime: str | Regime, seed: int) -> Study:
    """Draw the people of a study, all but their scans.

    Raises
    ------
    ValueError
        If the regime is unknown or there are no subjects.
    """
    if n_subjects < 1:
        raise ValueError(f"n_subjects must be at least 1, got {n_subjects}")
    population = find_regime(regime)
    panel, brain = make_panel(population.population_seed), make_brain(population)
    generators = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(n_subjects)]
    subjects = pd.Index([f"sim_{number:04d}" for number in range(1, n_subjects + 1)], name="subject")
    genotypes = np.empty((n_subjects, len(panel.table)), dtype=np.float32)
    for start in range(0, n_subjects, PEOPLE_AT_ONCE):
        rows = slice(start, start + PEOPLE_AT_ONCE)
        noise = np.stack([rng.standard_normal((2, len(panel.table))) for rng in generators[rows]])
        genotypes[rows] = draw_genotypes(panel, noise)
    people = _draw_people(generators, subjects)
    share = population.heritability
    polygenic = (genotypes - 2 * panel.table["frequency"].to_numpy()) @ panel.weight
    latent = np.sqrt(share) * polygenic + np.sqrt(1 - share) * people.pop("rest").to_numpy()
    loading = population.score_loading
    score = 100 + 15 * (loading * latent + np.sqrt(1 - loading**2) * people.pop("error"))
    return Study(population, panel, brain, seed, generators, people, genotypes, latent, score)


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


def scan_people(study: Study, progress: bool = True) -> Iterator[tuple[slice, np.ndarray]]:
    """Scan everybody once: a covariance of their own, 231 filtered samples of it, their correlation.

    Parameters
    ----------
    study : Study
        Its generators move on.
    progress : bool
        Show a bar when it takes more than a few seconds.

    Yields
    ------
    rows : slice
        Positions of the next few subjects.
    connectivity : array of shape (k, 264, 264), float32
        Theirs.
    """
    youth = OLDEST - study.people["age"]
    local = (LOCAL_COUPLING["motion"] * study.people["motion"] + LOCAL_COUPLING["youth"] * youth).to_numpy()
    brain, latent, subjects = study.brain, study.latent, list(study.subjects)
    with tqdm(total=len(latent), desc="scans", unit="subject", disable=not progress, delay=3, leave=False) as bar:
        for start in range(0, len(latent), CHUNK):
            rows = range(start, min(start + CHUNK, len(latent)))
            scans = []
            with threadpool_limits(1):  # sums in a fixed order: the same bits on any number of cores
                for row in rows:
                    rng = study.generators[row]
                    covariance = subject_covariance(brain, latent[row], local[row], study.population.nuisance, rng)
                    scans.append(draw_time_series(covariance, rng))
                connectivity = estimate_connectivity(scans, subjects=subjects[rows.start : rows.stop])
            yield slice(rows.start, rows.stop), connectivity
            bar.update(len(rows))
