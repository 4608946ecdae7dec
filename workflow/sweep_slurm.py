"""What Snakemake's executor for Slurm must be told of this cluster."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

FIRST_WAIT = 40  # seconds before the first question, the executor's own
LEAST_MEMORY = 200  # seconds that Slurm must know a finished job: the executor asks every three minutes at the latest


class ClusterError(RuntimeError):
    """Slurm cannot be asked; the message says what it said."""


def slurm_options(logs: Path) -> list[str]:
    """Options for Snakemake: whom to ask how jobs are, how soon, and where Slurm writes what they say.

    A cluster without accounting keeps no record that ``sacct`` could read, though the command is there; then
    ``squeue`` is asked, which knows a finished job for ``MinJobAge`` seconds.

    Parameters
    ----------
    logs : Path
        The folder for what Slurm's jobs say.

    Raises
    ------
    ClusterError
        If Slurm's controller does not answer, or forgets finished jobs before they can be asked for.
    """
    settings = cluster_settings()
    options = ["--slurm-logdir", str(logs.absolute())]
    if settings.get("AccountingStorageType", "").removeprefix("accounting_storage/") not in ("none", "(null)", ""):
        return options
    kept = re.match(r"\d+", settings.get("MinJobAge", ""))
    if kept and int(kept[0]) < LEAST_MEMORY:
        raise ClusterError(
            f"this cluster has no accounting and forgets finished jobs after {settings['MinJobAge']} (MinJobAge in "
            "slurm.conf): how they ended might never be known. Ask for MinJobAge=300, Slurm's default"
        )
    return [*options, "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", str(FIRST_WAIT)]


def cluster_settings() -> dict[str, str]:
    """Read Slurm's settings from its controller.

    Raises
    ------
    ClusterError
        If there is no Slurm here, or its controller does not answer.
    """
    try:
        asked = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        raise ClusterError("there is no command scontrol: start the sweep where Slurm's commands are") from None
    except subprocess.TimeoutExpired:
        raise ClusterError("scontrol show config got no answer within a minute") from None
    if asked.returncode:
        raise ClusterError(f"Slurm does not answer: {asked.stderr.strip()}")
    pairs = (line.split("=", 1) for line in asked.stdout.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, value in pairs}
