"""The mathematics of the gCAM-CCL compendium, in four rooms: data, model, maps, report.

Imports run one way, ``data`` -> ``model`` -> ``maps`` -> ``report``; :mod:`gcamccl_core.provenance` and
:mod:`gcamccl_core.parameters` are the ground floor that every room may import.
"""
