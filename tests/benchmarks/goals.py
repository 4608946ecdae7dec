"""What ours may take at most, as a share of the peer's time, by the row of the table that it is judged in."""

from __future__ import annotations

GOALS = {"epoch_float32": 0.60, "epoch_bfloat16": 0.40, "maps": 0.33}
MEMORY, SUBJECTS = 4.0, 40_000  # GiB for so many people, whose cohort and maps stay on disk


def goal_of(key: str, quick: bool) -> dict[str, float]:
    """Give the goal as part of a row; none for sizes at which it was not set."""
    return {} if quick else {"goal": GOALS[key]}
