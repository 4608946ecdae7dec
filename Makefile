# The compendium's commands. `make book` and `make test` need Python 3.11 and make, nothing else.
PROFILE ?= demo
PYTHON ?= python3.11
VENV := .venv
STAMP := $(VENV)/installed
NOTEBOOKS := $(wildcard notebooks/*.ipynb)
# Two files of tests at once, on a thread each. The notebooks come after them, one by one and on the threads that made
# their stored outputs: tests read the book that notebooks write, and last digits depend on the threads.
BESIDE := --numprocesses 2 --dist loadfile --durations 15

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help book test setup check data notebooks exercises results confirm sweep bench kills compare crate
.PHONY: slides print launch status clean

# Training allocates and frees the same large arrays at every step. Left alone, glibc hands each of them back to the
# kernel and asks for it again; told to keep memory, an epoch can be faster; how much differs
# between machines.
export MALLOC_MMAP_MAX_ := 0
export MALLOC_TRIM_THRESHOLD_ := 1073741824
export MALLOC_TOP_PAD_ := 268435456
# Threads that wait for one another spin, by default for so long that a second program on the machine makes training
# four times as slow; so short a wait costs nothing where there is none.
export GOMP_SPINCOUNT ?= 3000
# Sets of text would otherwise be in another order in every process.
export PYTHONHASHSEED := 0
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  PROFILE=name    one of $(basename $(notdir $(wildcard profiles/*.yaml))); $(PROFILE) unless given"

book: setup ## Execute the notebooks with a profile and render the book (PROFILE=demo)
	@python -m workflow.run book $(PROFILE)
	@echo "The book: runs/$(PROFILE)/html/index.html"

test: override PROFILE := demo
test: check book ## Everything that must hold: checks, the demo book, tests, docstring examples, notebooks
	@OMP_NUM_THREADS=1 python -m pytest $(BESIDE) tests gcamccl_core
	@python -m pytest --durations 15 --nbval-lax --nbval-current-env $(NOTEBOOKS)

setup: $(STAMP) ## Create .venv and install what constraints.txt pins

ifdef COHORT
check: setup ## Style, types and import layers only; with COHORT=path, whether a cohort will work
	@python -m gcamccl_core.report.preflight $(COHORT)
else
check: setup
	ruff check
	ruff format --check
	mypy
	lint-imports
endif

data: setup ## Fetch the external files that anyone may have, checked, and say of the others how to get them
	@python -m gcamccl_core.data.manifest --fetch

notebooks: override PROFILE := demo
notebooks: setup ## Execute the notebooks with the demo profile and keep their outputs in notebooks/
	@python -m workflow.run notebooks $(PROFILE)
	@python -m workflow.keep

exercises: setup ## Make notebooks/exercises/ from the worked solutions in notebooks/solutions/
	@python -m workflow.exercises

results: setup ## Compute the tables of long runs into results/ (hours; TABLE=name for one, JOBS=n processes)
	@python -m workflow.results $(TABLE) $(if $(JOBS),--jobs $(JOBS))

confirm: setup ## Make one split of every stale table again; if it comes out as stored, take the table for current
	@python -m workflow.results --confirm $(TABLE) $(if $(JOBS),--jobs $(JOBS))

sweep: setup ## Train over a grid of splits, seeds, regimes, recipes (PROFILE=sweep; EXECUTOR=slurm, JOBS=n, OPTIONS='...')
	@python -m workflow.sweep $(PROFILE) $(if $(EXECUTOR),--executor $(EXECUTOR)) $(if $(JOBS),--jobs $(JOBS)) $(if $(OPTIONS),-- $(OPTIONS))

bench: setup ## Time ours beside peers for the page on cost, half an hour on a quiet machine (BENCHMARK=name for one)
	@python -m tests.benchmarks $(BENCHMARK)

kills: setup ## Kill books, sweeps, trainings and downloads at random moments, and compare what the next run makes (minutes)
	@python -m tests.kill_loop

compare: setup ## Say what differs between two runs (A=demo B=mine: profiles, run folders or executed notebooks)
	@python -m workflow.compare $(A) $(B)

crate: setup ## Pack a run as a Research Object Crate to archive and cite (PROFILE=demo)
	@python -m workflow.crate $(PROFILE)

slides: book ## Make slides of every chapter, to be shown without a network: runs/$(PROFILE)/slides/index.html
	@python -m workflow.slides $(PROFILE)

print: book ## Print the book: one HTML file in runs/$(PROFILE)/print, and a PDF where Chromium is installed
	@python -m workflow.printout $(PROFILE)

launch: setup ## Offer Binder, Colab, JUPYTERHUB=address in pages (REPOSITORY=https://github.com/you/fork; REPOSITORY= ends it)
	@python -m workflow.launch $(if $(filter undefined,$(origin REPOSITORY)),,--repository '$(REPOSITORY)') \
	  $(if $(BRANCH),--branch '$(BRANCH)') $(if $(JUPYTERHUB),--jupyterhub '$(JUPYTERHUB)')

status: setup ## Say which notebooks, runs, cells of sweeps and tables are stale
	@python -m workflow.status

clean: ## Remove runs/ and caches; .venv and what `make results` has kept in runs/results stay
	[ ! -d runs ] || find runs -mindepth 1 -maxdepth 1 ! -name results -exec rm -rf {} +
	rm -rf .snakemake .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || \
	  { echo "This needs Python 3.11, and '$(PYTHON)' is not it: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	python -m pip install --quiet --constraint constraints.txt torch
	python -m pip install --quiet --constraint constraints.txt --editable '.[book,test]'
	@mkdir -p runs
	@touch $@
	@echo "Installed in $(VENV). Next: make book, or one chapter by papermill (README.md)"
