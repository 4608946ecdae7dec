"""Regimes: the populations that a simulated cohort can be drawn from, as data in one place."""

from __future__ import annotations

import difflib
from dataclasses import dataclass


@dataclass(frozen=True)
class Regime:
    r"""How strongly, and where, a simulated population ties connections and genotypes to cognition.

    Latent cognition is :math:`z = \sqrt{h}\,G + \sqrt{1-h}\,E`, the score :math:`100 + 15(a z + \sqrt{1-a^2}\,e)`, and
    the correlation of a planted connection changes by its effect for every standard deviation of z.

    Parameters
    ----------
    description : str
        One sentence for tables and figures.
    score_loading : float
        a, correlation of score and latent cognition; 0 makes the labels independent of everything.
    heritability : float
        h, share of the variance of latent cognition that the causal SNPs explain.
    high_effect, low_effect : float
        Change of correlation per standard deviation of z: connections planted for the high class rise with z, those
        for the low class fall.
    high_share, low_share : float
        Share of the candidate connections that are planted, drawn at random.
    placement : {"anatomical", "scattered"}
        Where connections are planted: at the paper's hubs and among default-mode and cingulate regions, or as many at
        random places.
    nuisance : float
        Scales what differs between subjects for other reasons (global signal, motion, smooth fields); 0 leaves
        the noise of estimation alone, at 1 a connection's standard deviation across subjects is about 0.09.
    population_seed : int
        Which SNP panel and which connections; cohorts of other seeds are other people of the same population.

    Raises
    ------
    ValueError
        If a share or correlation lies outside [0, 1] or an effect or the nuisance is negative.

    Examples
    --------
    >>> Regime("weak genes", heritability=0.2).heritability
    0.2
    """

    description: str
    score_loading: float = 0.85
    heritability: float = 0.42
    high_effect: float = 0.019
    low_effect: float = 0.015
    high_share: float = 0.6
    low_share: float = 0.3
    placement: str = "anatomical"
    nuisance: float = 1.0
    population_seed: int = 2021

    def __post_init__(self) -> None:
        for name in ("score_loading", "heritability", "high_share", "low_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        for name in ("high_effect", "low_effect", "nuisance"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


REGIMES: dict[str, Regime] = {
    "clear": Regime("Signal that a linear classifier finds, at the paper's places"),
    "realistic": Regime(
        "As hard as the paper's Table III: linear models and forests alike near 0.70",
        score_loading=0.66,
        high_effect=0.03,
        high_share=0.3,
        low_effect=0.022,
        low_share=0.15,
    ),
    "scattered": Regime("As strong as clear, on connections without spatial pattern", placement="scattered"),
    "null": Regime("Labels independent of everything", score_loading=0.0),
}


def find_regime(regime: str | Regime) -> Regime:
    """Look a regime up by name; one of your own is handed back as it is.

    Raises
    ------
    ValueError
        If there is no regime of that name; the message suggests the nearest one.

    Examples
    --------
    >>> find_regime("null").score_loading
    0.0
    >>> find_regime("claer")
    Traceback (most recent call last):
    ...
    ValueError: there is no regime 'claer'; did you mean 'clear'? Regimes are clear, realistic, scattered, null
    """
    if isinstance(regime, Regime):
        return regime
    if regime in REGIMES:
        return REGIMES[regime]
    near = difflib.get_close_matches(str(regime), REGIMES, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"there is no regime {regime!r}; {hint}Regimes are {', '.join(REGIMES)}")
