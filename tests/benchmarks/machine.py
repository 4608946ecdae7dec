"""The machine's own limits, and its name: how fast it multiplies matrices and copies memory."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
from threadpoolctl import threadpool_info

SETTINGS = ("MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "OMP_NUM_THREADS")
PACKAGE, PROJECT = "tests.benchmarks", Path(__file__).parents[2]  # how other processes find the benchmarks
DTYPES = ("float32", "bfloat16", "float64")
TRIES = 5


def measure(quick: bool = False) -> list[dict[str, object]]:
    """Measure both limits.

    Returns
    -------
    list of dict
        One row per type of number, in GFLOP/s, and one for memory, in GB/s read and written.
    """
    size = 256 if quick else 3072
    rows: list[dict[str, object]] = []
    for dtype in DTYPES:
        found = {"rate": matrix_rate(dtype, size), "unit": "GFLOP/s"}
        rows.append({"key": f"limit_{dtype}", "what": f"matrix product, {dtype}", **found})
    copied = copy_rate(2**22 if quick else 2**29)
    return [*rows, {"key": "limit_memory", "what": "copy of memory", "rate": copied, "unit": "GB/s"}]


def matrix_rate(dtype: str, size: int) -> float:
    """GFLOP/s of a product of two square matrices, the best of a few."""
    one, other = (torch.rand(size, size).to(getattr(torch, dtype)) for _ in range(2))
    return 2 * size**3 / _least_seconds(lambda: one @ other) / 1e9


def copy_rate(n_bytes: int) -> float:
    """GB/s that a copy of a large array reads and writes, the best of a few."""
    source = torch.ones(n_bytes, dtype=torch.uint8)
    target = torch.empty_like(source)
    return 2 * n_bytes / _least_seconds(lambda: target.copy_(source)) / 1e9


def _least_seconds(work: Callable[[], object]) -> float:
    work()
    seconds = []
    for _ in range(TRIES):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def describe_machine() -> dict[str, object]:
    """Name the processor, cores, memory, threads and settings that decide how long things take."""
    blas = sorted(
        {f"{pool['internal_api']} {pool['version']} ({pool['num_threads']} threads)" for pool in threadpool_info()}
    )
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": torch.get_num_threads(),
        "thread_pools": blas,
        "settings": {name: os.environ[name] for name in SETTINGS if name in os.environ},
    }


def name_machine() -> str:
    """Name the machine in a few words, as in every row of the table."""
    known = describe_machine()
    return f"{known['processor']}, {known['cores']} cores, {known['memory_gib']} GiB"


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
