"""Fixtures that several test files share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def mirror() -> Callable[[str], Path]:
    """Path of a mirrored public file; skips the test where GCAMCCL_MIRROR is unset or lacks the file."""
    folder = os.environ.get("GCAMCCL_MIRROR")

    def locate(name: str) -> Path:
        if not folder:
            pytest.skip("GCAMCCL_MIRROR is not set: no folder of mirrored public files to test on")
        path = Path(folder) / name
        if not path.exists():
            pytest.skip(f"the mirror {folder} lacks {name}")
        return path

    return locate


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No mirror and an empty cache, whose folder is handed back."""
    monkeypatch.delenv("GCAMCCL_MIRROR", raising=False)
    monkeypatch.setenv("GCAMCCL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
