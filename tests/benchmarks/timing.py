"""Ours and its peers by turns in one process, and the ratio of their times from turn to turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import pandas as pd
from tqdm.std import tqdm


def alternate(
    contestants: Mapping[str, Callable[[], object]], repeats: int, warm_up: bool = True, label: str = "turns"
) -> pd.DataFrame:
    """Let every contestant run in turn, again and again, so that all of them meet the same state of the machine.

    Parameters
    ----------
    contestants : mapping of str to callable
        What to time, by name.
    repeats : int
        Turns that count.
    warm_up : bool
        Whether a turn that does not count goes before.
    label : str
        Of the progress bar.

    Returns
    -------
    pandas.DataFrame
        Seconds, one row per turn, one column per contestant.
    """
    rows = []
    total = (repeats + warm_up) * len(contestants)
    with tqdm(total=total, desc=label, leave=False) as bar:
        for turn in range(repeats + warm_up):
            seconds = {}
            for name, run in contestants.items():
                start = time.perf_counter()
                run()
                seconds[name] = time.perf_counter() - start
                bar.update()
            if turn >= warm_up:
                rows.append(seconds)
    return pd.DataFrame(rows)


def compare(seconds: pd.DataFrame, ours: str, peer: str) -> dict[str, object]:
    """Summarise two columns of :func:`alternate`: medians, and the median, least and largest ratio of a turn."""
    ratio = seconds[ours] / seconds[peer]
    return {
        "ours": ours,
        "peer": peer,
        "seconds": seconds[ours].median(),
        "peer_seconds": seconds[peer].median(),
        "ratio": ratio.median(),
        "ratio_low": ratio.min(),
        "ratio_high": ratio.max(),
        "repeats": len(seconds),
    }


def share_of_limit(amount: float, seconds: float, limit: float, unit: str = "GFLOP/s") -> dict[str, object]:
    """Say what rate was reached and which share of the machine's own that is; ``amount`` in 10^9 of the unit."""
    rate = amount / seconds
    return {"rate": rate, "limit": limit, "unit": unit, "share_of_limit": rate / limit}
