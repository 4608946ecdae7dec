"""A checkout of its own, in which sweeps run without touching this one's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def make_checkout(folder: Path, **profiles: str) -> Path:
    """Copy what a sweep needs, with these profiles and no chapters."""
    for name in ("workflow", "gcamccl_core", "data_manifest"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("notebooks", "profiles"):
        (folder / name).mkdir()
    for name, text in profiles.items():
        (folder / "profiles" / f"{name}.yaml").write_text(text)
    return folder


def run_here(checkout: Path, module: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    """Run a module of the checkout, whose own core comes before the one that is installed."""
    command = [sys.executable, "-m", module, *arguments]
    given = {"cwd": checkout, "env": environment_of(checkout, **variables)}
    return subprocess.run(command, capture_output=True, text=True, timeout=3600, **given)


def environment_of(checkout: Path, **variables: str) -> dict[str, str]:
    """Give the variables with which programs find this Python, and the checkout's core."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, **variables, "PYTHONPATH": str(checkout), "PYTHONHASHSEED": "0"}
