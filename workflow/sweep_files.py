"""Where the files of a sweep are; imports nothing of the core, since every job of a cluster reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SweepFolder:
    """The folder of a profile's sweep, ``runs/<profile>/sweep``.

    Examples
    --------
    >>> SweepFolder(Path("runs/sweep/sweep")).scores("clear-demo-split0-seed0").as_posix()
    'runs/sweep/sweep/scores/clear-demo-split0-seed0.json'
    """

    path: Path

    def executed(self, cell: str) -> Path:
        """Where a cell's executed notebook is."""
        return self.path / "cells" / f"{cell}.ipynb"

    def stamp(self, cell: str) -> Path:
        """Where it says what the executed notebook was made from."""
        return self.path / "cells" / f"{cell}.stamp.json"

    def scores(self, cell: str) -> Path:
        """Where a cell's scores are."""
        return self.path / "scores" / f"{cell}.json"

    def log(self, cell: str) -> Path:
        """Where what a cell said while it ran is."""
        return self.path / "logs" / f"{cell}.log"

    @property
    def slurm(self) -> Path:
        """Where Slurm writes what its jobs say, kept of those that failed."""
        return self.path / "slurm"

    def made_from(self, cell: str) -> Path:
        """Where it says what a cell would be made from now."""
        return self.path / "made_from" / f"{cell}.json"

    @property
    def plan(self) -> Path:
        """Names of the cells, and what each asks of a machine, for the jobs of a cluster."""
        return self.path / "plan.json"

    @property
    def table_made_from(self) -> Path:
        """Where it says what the table would be made from now."""
        return self.path / "made_from.json"

    @property
    def table(self) -> Path:
        """The scores of all cells."""
        return self.path / "table.csv"

    @property
    def summary(self) -> Path:
        """Means and spread of the scores."""
        return self.path / "summary.csv"

    @property
    def table_stamp(self) -> Path:
        """What made the table and its summary."""
        return self.path / "table.json"
