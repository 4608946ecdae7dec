"""Labels that stay readable: spread apart where they would overlap, shortened where they are long, joined in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import isotonic_regression

_DIRECTIONS = {"Superior": "Sup.", "Inferior": "Inf.", "Middle": "Mid.", "Medial": "Med."}
_DIRECTIONS |= {"Anterior": "Ant.", "Posterior": "Post."}
_SHORT = {  # words of regions where there is little room, cut as the paper's Table IX cuts them
    "Frontal": "Front.",
    "Temporal": "Temp.",
    "Parietal": "Pariet.",
    "Occipital": "Occip.",
    "Cingulate": "Cing.",
    "Paracentral": "Paracent.",
    "Parahippocampal": "Parahipp.",
    "Supramarginal": "Supramarg.",
}


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


def spread_around(angles: Sequence[float] | np.ndarray, gap: float) -> np.ndarray:
    """Move angles as little as possible so that neighbours on the circle are a gap apart.

    Parameters
    ----------
    angles : array of shape (n,)
        Degrees, in any order.
    gap : float
        Least distance of neighbours; smaller if n of them would not fit around the circle.

    Returns
    -------
    array of shape (n,)
        Degrees, each by its own angle, in the same order around the circle, which is cut where it is emptiest.

    Examples
    --------
    >>> spread_around([0, 0, 180], gap=20).tolist()
    [-10.0, 10.0, -180.0]
    """
    turned = np.asarray(angles, dtype=float) % 360
    if len(turned) < 2:
        return turned
    order = np.argsort(turned, kind="stable")
    ascending = turned[order]
    steps = np.diff(ascending, append=ascending[0] + 360)
    widest = int(steps.argmax())
    around = np.concatenate([ascending[widest + 1 :] - 360, ascending[: widest + 1]])
    gap = min(gap, 360 / len(around))
    low = around[0] - steps[widest] / 2 + gap / 2
    spread = np.empty(len(around))
    spread[np.roll(order, -widest - 1)] = spread_apart(around, gap, low=low, high=low + 360 - gap)
    return spread


def shorten_region(name: str, limit: int = 24, narrow: bool = False) -> str:
    """Name of a region without the words that only say what kind of region it is, directions shortened.

    Parameters
    ----------
    name : str
        Words divided by spaces or underscores.
    limit : int
        Most characters; what is longer ends in "…".
    narrow : bool
        Whether to cut the longest words of lobes and gyri as well.

    Examples
    --------
    >>> shorten_region("Middle Occipital Gyrus"), shorten_region("Inferior Parietal Lobule"), shorten_region("Insula")
    ('Mid. Occipital', 'Inf. Parietal', 'Insula')
    >>> shorten_region("Middle Occipital Gyrus", narrow=True), shorten_region("Inferior_Occipital_L_1", narrow=True)
    ('Mid. Occip.', 'Inf. Occip. L 1')
    """
    known = _DIRECTIONS | (_SHORT if narrow else {})
    every = str(name).replace("_", " ").split()
    words = [known.get(word, word) for word in every if word not in ("Gyrus", "Lobule", "Nucleus")]
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
