# `make demo` and `make test` need nothing but Python 3.11 or later and make.
PYTHON ?= python3
VENV ?= .venv
ROOT ?= runs
CLUSTER ?= build/slurm
# Empty: install Seedfold as its users do, so that changes of the working tree need another installation.
EDITABLE ?= --editable
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Many tests wait for a disk, and the slow ones for timers and schedulers: three and four at a time for two processors.
SIDE_BY_SIDE = $(shell $(PYTHON) -c "import os; print(3 * min(4, os.cpu_count() or 1) // 2)")
WAITING = $(shell $(PYTHON) -c "import os; print(2 * min(4, os.cpu_count() or 1))")
.PHONY: demo test test-slow test-all test-again test-faults bench lint cluster cluster-down clean

demo: $(READY)  ## run the digits study here and leave its tables and its report under runs/
	$(BIN)/seedfold launch --root $(ROOT) --wait experiment=digits
	$(BIN)/seedfold results --root $(ROOT) digits metrics
	$(BIN)/seedfold report --root $(ROOT) digits

test: $(READY)  ## the fast tests
	$(BIN)/python -m pytest -m "not slow" -n $(SIDE_BY_SIDE)

test-slow: $(READY)  ## the tests that take longer
	$(BIN)/python -m pytest -m "slow and not quiet" -n $(WAITING)

test-all: $(READY)  ## all tests in one go: the fast ones run while the long ones wait
	$(BIN)/python -m pytest -m "not quiet" -n $(WAITING) --junitxml build/tests.xml

test-again: $(READY)  ## those that failed last, one at a time
	$(BIN)/python -m pytest --last-failed --last-failed-no-failures none --maxfail 1

test-faults: $(READY)  ## what holds after faults; it says how soon something must be seen, so let nothing else run
	$(BIN)/python -m pytest -m quiet

bench: $(READY)  ## Seedfold beside its peers, one table; QUICK=1 takes small sizes
	$(BIN)/python -m benchmarks.run $(if $(QUICK),--quick)

cluster:  ## a real SLURM on this machine, for the tests and to play with; says how to use it
	$(PYTHON) tests/clusters/slurm/cluster.py up --folder $(CLUSTER)

cluster-down:  ## stop it; what it knows stays in build/slurm
	$(PYTHON) tests/clusters/slurm/cluster.py down --folder $(CLUSTER)

lint: $(READY)  ## linters and type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(EDITABLE) '.[test,images]'
	touch $@

clean:  ## remove the environment; runs/ stays
	rm -rf $(VENV)
