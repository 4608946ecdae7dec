"""Labels that stay readable: spread apart where they would overlap, shortened where they are long, joined in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import isotonic_regression

_DIRECTIONS = {"Superior": "Sup.", "Inferior": "Inf.", "Middle": "Mid.", "Medial": "Med."}
_DIRECTIONS |= {"Anterior": "Ant.", "Posterior": "Post."}


def spread_apart(positions: Sequence[float] | np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Move sorted positions as little as possible so that neighbours are a gap apart inside a range.

    Parameters
    ----------
    positions : array of shape (n,)
        Ascending.
    gap : float
        Least distance of neighbours; smaller if n of them would not fit in the range.
    low, high : float
        The range.

    Returns
    -------
    array of shape (n,)
        The least-squares answer, by isotonic regression.

    Examples
    --------
    >>> spread_apart([1.0, 1.0, 5.0], gap=1, low=0, high=6).tolist()
    [0.5, 1.5, 5.0]
    """
    count = len(positions)
    if count == 0:
        return np.zeros(0)
    gap = min(gap, (high - low) / max(count - 1, 1))
    offsets = gap * np.arange(count)
    fitted = isotonic_regression(np.asarray(positions, dtype=float) - offsets).x
    return np.clip(fitted, low, high - offsets[-1]) + offsets


def shorten_region(name: str, limit: int = 24) -> str:
    """Name of a region without the words that only say what kind of region it is, directions shortened.

    Examples
    --------
    >>> shorten_region("Middle Occipital Gyrus"), shorten_region("Inferior Parietal Lobule"), shorten_region("Insula")
    ('Mid. Occipital', 'Inf. Parietal', 'Insula')
    """
    words = [_DIRECTIONS.get(word, word) for word in str(name).split() if word not in ("Gyrus", "Lobule", "Nucleus")]
    short = " ".join(words) or str(name)
    return short if len(short) <= limit else short[: limit - 1].rstrip() + "…"


def join_words(words: Sequence[object]) -> str:
    """List in prose.

    Examples
    --------
    >>> join_words(["low", "middle", "high"])
    'low, middle and high'
    """
    texts = [str(word) for word in words]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}" if texts else "none"


def number(value: float) -> str:
    """Two or three digits that matter, as a reader would write them.

    Examples
    --------
    >>> number(0.7512), number(0.0000123), number(1234.5), number(3)
    ('0.751', '1.2e-05', '1,234', '3')
    """
    if not np.isfinite(value):
        return "missing"
    if value == 0 or 1e-3 <= abs(value) < 1000:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1e}"


def capital(text: str) -> str:
    """Begin a sentence, leaving the rest as it is.

    Examples
    --------
    >>> capital("area under the ROC curve")
    'Area under the ROC curve'
    """
    return text[:1].upper() + text[1:]
