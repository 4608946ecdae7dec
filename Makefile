# The compendium's commands. `make book` and `make test` need Python 3.11 and make, nothing else.
PROFILE ?= demo
PYTHON ?= python3.11
VENV := .venv
STAMP := $(VENV)/installed
NOTEBOOKS := $(wildcard notebooks/*.ipynb)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help book test setup check data notebooks exercises results confirm sweep bench kills compare crate
.PHONY: slides print launch status clean
