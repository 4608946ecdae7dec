"""Two selected lists side by side: what is in both, and what lists of those sizes would share by chance."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from scipy.stats import hypergeom


@dataclass(frozen=True)
class Overlap:
    r"""What two lists share.

    Parameters
    ----------
    first, second, both : list of str
        Items of the first list alone, of the second alone, and of both, sorted.
    possible : int or None
        How many items either list could have held; None if nobody says.
    """

    first: list[str]
    second: list[str]
    both: list[str]
    possible: int | None = None

    @property
    def jaccard(self) -> float:
        r"""Jaccard index :math:`|A \cap B| / |A \cup B|`; NaN if both lists are empty."""
        union = len(self.first) + len(self.second) + len(self.both)
        return len(self.both) / union if union else float("nan")

    @property
    def expected(self) -> float | None:
        """Size of the overlap that two random lists of these sizes have on average; None if nobody says out of what."""
        if not self.possible:
            return None
        return (len(self.first) + len(self.both)) * (len(self.second) + len(self.both)) / self.possible

    @property
    def p_value(self) -> float | None:
        """Probability that two random lists of these sizes share as many items or more; None as for ``expected``."""
        if not self.possible:
            return None
        sizes = len(self.first) + len(self.both), len(self.second) + len(self.both)
        return float(hypergeom.sf(len(self.both) - 1, self.possible, *sizes))


def compare_lists(first: Collection[str], second: Collection[str], possible: int | None = None) -> Overlap:
    r"""Set two lists side by side.

    Of :math:`N` possible items a random list of :math:`a` shares on average :math:`a b / N` with one of :math:`b`; the
    number shared follows the hypergeometric distribution. Items that go together, as SNPs of one block or connections
    of one region, are shared more often than that.

    Parameters
    ----------
    first, second : collection of str
        Names, each once.
    possible : int, optional
        How many items either list could have held.

    Returns
    -------
    Overlap
        What is in either, and in both.

    Raises
    ------
    ValueError
        If the lists together hold more items than are possible.

    Examples
    --------
    >>> found = compare_lists(["a", "b", "c"], ["b", "c", "d"], possible=9)
    >>> found.both, found.jaccard, found.expected, round(found.p_value, 3)
    (['b', 'c'], 0.5, 1.0, 0.226)
    """
    one, other = set(first), set(second)
    if possible is not None and len(one | other) > possible:
        raise ValueError(f"the lists hold {len(one | other)} items together, of {possible} that are possible")
    return Overlap(sorted(one - other), sorted(other - one), sorted(one & other), possible)
