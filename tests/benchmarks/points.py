"""One stage at one size, in a process of its own: seconds and the memory it took at most.

``python -m tests.benchmarks.points STAGE '{"fc": [264, 264]}' N_SUBJECTS``
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np

from gcamccl_core.data.connectivity import estimate_connectivity
from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.lifelines import end_with_parent
from gcamccl_core.maps.activation import compute_maps
from gcamccl_core.maps.dataset import label_maps
from gcamccl_core.maps.selection import select_biomarkers
from gcamccl_core.model.epochs import Training
from gcamccl_core.model.recipe import Recipe

from .connectivity import draw_scans
from .data import network, noise_cohort, parts
from .large_cohort import most_mebibytes

METHOD = "guided_grad_cam"
LEAST_SECONDS = 1.0  # a stage that is over sooner runs again
MOST_RUNS = 5
LARGEST = {1: 750, 2: 100}  # what the warm-up is made of, by number of dimensions
Shapes = Mapping[str, tuple[int, ...]]


def train_epoch(shapes: Shapes, n: int) -> Callable[[], object]:
    """One epoch in bfloat16, batches of 4."""
    cohort = noise_cohort(n, shapes)
    net = network(cohort, np.arange(n), list(shapes))
    (train,) = parts(net, cohort, np.arange(n))
    training = Training(net, Recipe.demo(precision="bfloat16"), seed=0)
    return lambda: training._train(*train)


def map_everybody(shapes: Shapes, n: int) -> Callable[[], object]:
    """Guided Grad-CAM of both classes and all views."""
    cohort = noise_cohort(n, shapes)
    net = network(cohort, np.arange(n), list(shapes)).eval()
    return lambda: compute_maps(net, cohort, [METHOD], progress=False)


def correlate(shapes: Shapes, n: int) -> Callable[[], object]:
    """Correlations of scans of the first view's regions."""
    scans = draw_scans(n, next(iter(shapes.values()))[0])
    return lambda: estimate_connectivity(scans)


def simulate(shapes: Shapes, n: int) -> Callable[[], object]:
    """Simulate a study, whose views have the paper's sizes."""
    return lambda: simulate_cohort(n, progress=False)


def select(shapes: Shapes, n: int) -> Callable[[], object]:
    """Select from maps in memory."""
    cohort, rng = noise_cohort(n, shapes), np.random.default_rng(0)
    values = {view: rng.random((n, 2, 1, *shape), dtype=np.float32) for view, shape in shapes.items()}
    maps = label_maps(values, cohort, [METHOD], dict.fromkeys(shapes, None))
    return lambda: select_biomarkers(maps)


STAGES: dict[str, Callable[[Shapes, int], Callable[[], object]]] = {
    "training": train_epoch,
    "maps": map_everybody,
    "connectivity": correlate,
    "simulation": simulate,
    "selection": select,
}


def measure_point(stage: str, shapes: Shapes, n: int) -> dict[str, float]:
    """Run a stage once to warm up on a few subjects, then at its size.

    Returns
    -------
    dict
        ``seconds``, the median of a few runs, and ``mebibytes``, the most memory that the process held, its input
        included, less what it held before it had any.
    """
    small = {view: tuple(min(side, LARGEST[len(shape)]) for side in shape) for view, shape in shapes.items()}
    STAGES[stage](small, min(n, 20))()
    before = most_mebibytes()
    work = STAGES[stage](shapes, n)
    seconds: list[float] = []
    while not seconds or (sum(seconds) < LEAST_SECONDS and len(seconds) < MOST_RUNS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds), "mebibytes": most_mebibytes() - before}


if __name__ == "__main__":
    end_with_parent()
    wanted = {name: tuple(shape) for name, shape in json.loads(sys.argv[2]).items()}
    print(json.dumps(measure_point(sys.argv[1], wanted, int(sys.argv[3]))))
