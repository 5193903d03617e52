# The two commands of the project are `make book` and `make test`; `make help` lists the rest.
PYTHON ?= python3
PROFILE ?= quick
DATA ?= simulated
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
BIN := .venv/bin
# Two processes of one thread each; threads beside processes wait for each other.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile
# Where the recordings are, or go to: below it ptb-xl/ and ecg-arrhythmia/.
export ECGREPRO_DATA ?= $(CURDIR)/data

.DEFAULT_GOAL := help
.PHONY: help book test lint stress data notebooks format browser clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

book: .venv/installed  ## run the study and build the book [PROFILE=quick DATA=simulated CORES=all]
	@$(BIN)/ecgrepro run --profile $(PROFILE) --data $(DATA) --cores $(CORES)

test: .venv/installed browser lint  ## everything that a change must pass: lint, types, tests, notebooks, the book in a browser
	$(PYTEST) tests --doctest-modules ecgrepro -m "not slow" --cov --cov-report term:skip-covered --cov-fail-under 80
	$(PYTEST) tests -m slow --durations 15
	$(PYTEST) --nbval --nbval-sanitize-with notebooks/sanitize.cfg notebooks

lint: .venv/installed  ## format, lint, layers, types, spelling, workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile
	$(BIN)/lint-imports
	$(BIN)/pyright
	$(BIN)/codespell
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

stress: .venv/installed  ## the long harnesses, ten times as long: kills at random moments, simulated studies
	$(BIN)/python -m pytest tests -m stress --stress 10

data: .venv/installed  ## download both data sets from PhysioNet, verified, to $ECGREPRO_DATA or data/
	$(BIN)/ecgrepro data download ptb-xl
	$(BIN)/ecgrepro data download chapman
	@echo "next: make book DATA=real PROFILE=lite"

notebooks: .venv/installed  ## execute the stored notebooks again, in the smoke profile
	$(BIN)/ecgrepro run --profile smoke --cores $(CORES)
	$(BIN)/ecgrepro store --run-dir runs/smoke-simulated

format: .venv/installed  ## format code and notebooks
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt -q Snakefile

# The environment is rebuilt when a pin changes.
.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "ecgrepro needs Python 3.11 or newer: name one with make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { echo "cannot make a virtual environment: install Python's venv module (Debian: apt install python3-venv)"; exit 1; }
	@echo "installing the environment (about 1.6 GB, a few minutes)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

# The browser tests use an installed Chromium or Chrome; on Debian, as root, it is installed.
browser:
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
	    command -v $$name >/dev/null && exit 0; done; \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    echo "installing chromium"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; \
	  else echo "no Chromium or Chrome found: the browser tests will be skipped"; fi

clean:  ## remove the environment and all runs
	rm -rf .venv runs *.egg-info
