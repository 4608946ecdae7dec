"""Benchmarks: ours and a peer by turns in one run, with the machine's own limits beside them; ``make bench``."""
