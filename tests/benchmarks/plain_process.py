"""The plain loop in a process of its own: one epoch per line read, one line written when it is done."""

from __future__ import annotations

import sys

from gcamccl_core.data.cohort import make_split
from gcamccl_core.lifelines import end_with_parent

from .data import PAPER, network, parts, study
from .plain_network import PlainLoop, plain_twin


def main(n_subjects: int) -> None:
    """Prepare, say so, and run an epoch per line until the input ends."""
    cohort = study(n_subjects)
    split = make_split(cohort)
    net = network(cohort, split.train, list(PAPER))
    loop = PlainLoop(plain_twin(net), *parts(net, cohort, split.train, split.validation))
    print("ready", flush=True)
    for _ in sys.stdin:
        loop.run_epoch()
        print("done", flush=True)


if __name__ == "__main__":
    end_with_parent()
    main(int(sys.argv[1]))
