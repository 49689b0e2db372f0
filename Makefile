# What a newcomer types. Everything is set up in .venv; CORES=4 make demo uses four cores.
PYTHON ?= python3
CORES ?= all
BIN := .venv/bin
SNAKEMAKE := PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores $(CORES)

.PHONY: help setup phantom demo test lint real
help:
	@echo "make demo   set up, make a phantom stack and run the workflow on it, two iterations"
	@echo "make test   set up and run all tests"
	@echo "make real   run the two real configurations on the data of BLOCKFACE_DATA"
	@echo "make lint   format and lint checks"
	@echo "make setup  only set up (.venv)"

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Blockface needs Python 3.11 or newer; this is " + sys.version)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[workflow,test]"
	touch .venv/ready

phantom: setup
	$(BIN)/python tests/demo/make_demo.py

demo: phantom
	$(SNAKEMAKE) --config iteration=0
	$(BIN)/python tests/demo/annotate.py --iteration 0
	$(SNAKEMAKE)
	@echo "Done. Open results/demo/iter_01/report.html"

# two files at a time, the longest first; who tests the demo goes on to slurm, which needs it too
test: setup lint
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 25 \
	  tests/real tests/demo tests/slurm tests/memory tests/workflow tests/unit tests/scripts

# the workflow is linted as it is shipped, with the demo's configuration
lint: phantom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile workflow
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --lint

.venv/benchmarks: .venv/ready
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[benchmarks]"
	touch .venv/benchmarks

real: setup .venv/benchmarks
	$(BIN)/python tests/real/run.py --cores $(CORES)
