"""Simulated pathways: gene sets that travel with a simulated cohort, so enrichment has a truth and needs no network."""

from __future__ import annotations

import numpy as np

from gcamccl_core.data.simulated_genotypes import SnpPanel

CLASSES = ("low", "high")
PLANTED_PER_CLASS = 4
N_DECOYS = 32
SET_SIZES = (8, 16)  # genes
CAUSAL_SHARE = 0.75  # of a planted pathway's genes


def make_pathways(panel: SnpPanel, population_seed: int) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Draw gene sets of the panel's genes: some rich in causal genes of one class, the others drawn at random.

    Parameters
    ----------
    panel : SnpPanel
        The population's SNPs; a gene is causal for a class if one of its SNPs speaks for that class.
    population_seed : int
        Another seed, other sets.

    Returns
    -------
    gene_sets : dict of str to list of str
        Genes by term; the terms say that they are simulated and do not give the answer away.
    planted : dict of str to list of str
        Terms by class.

    Examples
    --------
    >>> from gcamccl_core.data.simulated_genotypes import make_panel
    >>> gene_sets, planted = make_pathways(make_panel(2021), 2021)
    >>> len(gene_sets), {name: len(terms) for name, terms in planted.items()}
    (40, {'low': 4, 'high': 4})
    """
    rng = np.random.default_rng([population_seed, 3])
    genes = panel.table["gene"].unique()
    drawn: list[tuple[str | None, list[str]]] = []
    for name, sign in zip(CLASSES, (-1, 1), strict=True):
        causal = np.unique(panel.table["gene"][np.sign(panel.weight) == sign])
        others = np.setdiff1d(genes, causal)
        for _ in range(PLANTED_PER_CLASS):
            size = int(rng.integers(*SET_SIZES, endpoint=True))
            n_causal = round(CAUSAL_SHARE * size)
            members = [rng.choice(causal, n_causal, replace=False), rng.choice(others, size - n_causal, replace=False)]
            drawn.append((name, sorted(np.concatenate(members).tolist())))
    for _ in range(N_DECOYS):
        drawn.append(
            (None, sorted(rng.choice(genes, int(rng.integers(*SET_SIZES, endpoint=True)), replace=False).tolist()))
        )
    gene_sets: dict[str, list[str]] = {}
    planted: dict[str, list[str]] = {name: [] for name in CLASSES}
    for number, index in enumerate(rng.permutation(len(drawn)), start=1):
        name, members_of_term = drawn[index]
        gene_sets[f"Simulated pathway {number:02d}"] = members_of_term
        if name is not None:
            planted[name].append(f"Simulated pathway {number:02d}")
    return gene_sets, planted
