"""Simulated genotypes: a panel of 750 SNPs in linkage blocks around the paper's 91, and people drawn from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.special import ndtri

from gcamccl_core.provenance import project_root

N_SNPS = 750
FREQUENCIES = (0.05, 0.50)  # the paper keeps SNPs above a minor allele frequency of 5 % (section III-B)
BLOCK_SIZES = (3, 7)  # SNPs per gene; a gene with more of the paper's SNPs is as large as it needs to be
LINKAGE_LENGTH = 20_000  # base pairs over which the linkage of two neighbours falls to 1/e
NEIGHBOUR_GAPS = (1_000, 12_000)  # base pairs; the least keeps r² below the paper's pruning threshold of 0.9


@dataclass(frozen=True)
class SnpPanel:
    """The SNPs of a simulated population.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per SNP in the order of the genome: ``snp``, ``gene``, ``chromosome``, ``position``,
        ``counted_allele``, ``block`` (one per gene), ``origin`` ("paper" or "simulated"), ``listed_for`` ("low",
        "high", "both" for the paper's, else ""), ``frequency`` of the counted allele, ``linkage`` with the SNP before.
    weight : array of shape (n_snps,)
        Contribution of one counted allele to the polygenic value, in its standard deviations.
    shift : array of shape (n_snps,)
        Correlation of each SNP with the polygenic value in the whole population, in closed form.
    """

    table: pd.DataFrame
    weight: np.ndarray
    shift: np.ndarray


def paper_snps() -> pd.DataFrame:
    """Read the 91 SNPs of Tables V and VI: ``snp``, ``gene``, ``listed_for`` ("low", "high" or "both")."""
    return pd.read_csv(project_root() / "data_manifest" / "paper_snps.csv")


@lru_cache(maxsize=8)
def make_panel(population_seed: int) -> SnpPanel:
    r"""Lay out the panel and its causal effects; the same seed gives the same panel.

    The SNPs of Table V alone lower cognition with every counted (minor) allele, those of Table VI alone raise it; the
    five that both tables list have no effect, since an additive effect cannot speak for both classes. The polygenic
    value is :math:`G = \sum_j w_j (x_j - 2 p_j)`, with the weights scaled to a population variance of 1.

    Parameters
    ----------
    population_seed : int
        Another seed, other positions, frequencies and effect sizes.

    Returns
    -------
    SnpPanel
        750 SNPs in about 150 genes.

    Examples
    --------
    >>> panel = make_panel(2021)
    >>> len(panel.table), int((panel.table["origin"] == "paper").sum()), int((panel.weight != 0).sum())
    (750, 91, 86)
    """
    rng = np.random.default_rng([population_seed, 1])
    table = _lay_out(_members_by_gene(rng), rng)
    covariance = genotype_covariance(table)
    direction = table["listed_for"].map({"low": -1.0, "high": 1.0}).fillna(0.0).to_numpy()
    deviation = np.sqrt(np.diag(covariance))
    weight = direction * rng.uniform(0.5, 1.5, len(table)) / deviation
    weight /= np.sqrt(weight @ covariance @ weight)
    return SnpPanel(table, weight, covariance @ weight / deviation)


def _members_by_gene(rng: np.random.Generator) -> list[pd.DataFrame]:
    """Fill the paper's genes up to a block, then add simulated genes until the panel is full."""
    paper = paper_snps().assign(origin="paper")
    members = {str(gene): group for gene, group in paper.groupby("gene")}
    sizes = {gene: max(len(group), _draw_size(rng)) for gene, group in members.items()}
    while (missing := N_SNPS - sum(sizes.values())) > 0:
        sizes[f"SIM{len(sizes) - len(members) + 1:03d}"] = min(_draw_size(rng), missing)
    blocks = []
    for gene, size in sizes.items():
        known = members.get(gene, paper.iloc[:0])
        extra = pd.DataFrame({"snp": [""] * (size - len(known)), "gene": gene, "listed_for": "", "origin": "simulated"})
        blocks.append(pd.concat([known, extra]).sample(frac=1, random_state=rng))
    return blocks


def _draw_size(rng: np.random.Generator) -> int:
    return int(rng.integers(*BLOCK_SIZES, endpoint=True))


def _lay_out(blocks: list[pd.DataFrame], rng: np.random.Generator) -> pd.DataFrame:
    """Place the genes on 22 chromosomes at random and describe every SNP."""
    order = rng.permutation(len(blocks))
    chromosomes = np.sort(rng.integers(1, 23, len(blocks)))
    placed, end = [], 0
    for number, (index, chromosome) in enumerate(zip(order, chromosomes, strict=True)):
        block = blocks[index]
        first = number == 0 or chromosome != chromosomes[number - 1]
        start = (0 if first else end) + int(rng.integers(500_000, 5_000_000))
        gaps = rng.integers(*NEIGHBOUR_GAPS, len(block) - 1, endpoint=True)
        position = start + np.concatenate([[0], np.cumsum(gaps)])
        linkage = np.concatenate([[0.0], np.exp(-gaps / LINKAGE_LENGTH)])
        placed.append(block.assign(chromosome=chromosome, position=position, block=number, linkage=linkage))
        end = int(position[-1])
    table = pd.concat(placed, ignore_index=True)
    simulated = table["origin"] == "simulated"
    table.loc[simulated, "snp"] = [f"sim_rs{number:04d}" for number in range(1, simulated.sum() + 1)]
    return table.assign(
        frequency=rng.uniform(*FREQUENCIES, len(table)), counted_allele=rng.choice(list("ACGT"), len(table))
    )


def genotype_covariance(table: pd.DataFrame) -> np.ndarray:
    r"""Covariance of the genotypes in the population, in closed form.

    An allele is carried where a latent normal variable falls below a threshold t. For two SNPs whose latent variables
    correlate by :math:`\rho`, the two haplotypes of a person together give (Plackett 1954)

    .. math:: \mathrm{cov}(x_j, x_k) = \frac{1}{\pi}\int_0^{\arcsin\rho}
              \exp\Bigl(-\frac{t_j^2 - 2 t_j t_k\sin\theta + t_k^2}{2\cos^2\theta}\Bigr)\,d\theta.

    Parameters
    ----------
    table : pandas.DataFrame
        ``block``, ``linkage`` and ``frequency`` of every SNP, in the order of the genome.

    Returns
    -------
    array of shape (n_snps, n_snps)
        In squared allele counts; 0 between blocks, 2 p (1 - p) on the diagonal.
    """
    block, frequency = table["block"].to_numpy(), table["frequency"].to_numpy()
    threshold = ndtri(frequency)
    # Within a block the latent variables are a first-order autoregression: correlations multiply along the way.
    log_step = np.log(np.where(table["linkage"] > 0, table["linkage"], 1.0)).cumsum()
    j, k = np.nonzero((block[:, None] == block) & ~np.eye(len(table), dtype=bool))
    top = np.arcsin(np.exp(-np.abs(log_step[j] - log_step[k])))
    nodes, node_weights = np.polynomial.legendre.leggauss(40)
    angle = top[:, None] * (nodes + 1) / 2
    squares = (threshold[j] ** 2 + threshold[k] ** 2)[:, None] - 2 * (threshold[j] * threshold[k])[:, None] * np.sin(
        angle
    )
    covariance = np.diag(2 * frequency * (1 - frequency))
    covariance[j, k] = np.exp(-squares / (2 * np.cos(angle) ** 2)) @ node_weights * top / 2 / np.pi
    return covariance


def draw_genotypes(panel: SnpPanel, noise: np.ndarray) -> np.ndarray:
    """Turn independent normal noise into genotypes with the panel's allele frequencies and linkage.

    Parameters
    ----------
    panel : SnpPanel
        The population.
    noise : array of shape (n_subjects, 2, n_snps)
        Standard normal; the second axis holds a person's two haplotypes, drawn independently, so genotypes are in
        Hardy-Weinberg equilibrium.

    Returns
    -------
    array of shape (n_subjects, n_snps), float32
        Number of counted alleles: 0, 1 or 2.

    Examples
    --------
    >>> panel = make_panel(2021)
    >>> genotypes = draw_genotypes(panel, np.random.default_rng(0).standard_normal((5, 2, 750)))
    >>> genotypes.shape, sorted(set(genotypes.ravel().tolist()))
    ((5, 750), [0.0, 1.0, 2.0])
    """
    linkage = panel.table["linkage"].to_numpy()
    latent = np.array(noise, dtype=float)
    for snp in range(1, latent.shape[-1]):
        latent[..., snp] = linkage[snp] * latent[..., snp - 1] + np.sqrt(1 - linkage[snp] ** 2) * noise[..., snp]
    carried = latent < ndtri(panel.table["frequency"].to_numpy())
    return carried.sum(axis=1).astype(np.float32)
