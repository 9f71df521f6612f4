# Needs Python >= 3.11 and make; everything else is installed into .venv, once.
PYTHON ?= python3
BIN := .venv/bin
# Two processes with one thread each: what a test trains takes one core, and libraries that take all disturb each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
INSTALLED := .venv/.installed

.PHONY: demo test fast lint clean

demo: $(INSTALLED)  ## train the sample part, inspect its test images, print the verdicts
	$(BIN)/lineside demo

test: $(INSTALLED) lint  ## the whole suite, the slow end-to-end tests included
	$(PYTEST)

fast: $(INSTALLED)  ## the fast core of the suite
	$(PYTEST) -m "not slow"

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lineside needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	@echo "Installing lineside and what it needs into .venv, once; this may take minutes and about 6 GB."
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv dist
