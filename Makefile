# Everything a person types. Each target sets up .venv by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-slow check benchmark reproduce clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,flare]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/wardround demo

test: $(STAMP)
	$(BIN)/pytest

test-slow: $(STAMP)
	$(BIN)/pytest -m slow

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

benchmark: $(STAMP)
	$(BIN)/python benchmarks/run_all.py

# HOURS of one or two cores; needs HAM10000 below WARDROUND_DATA. Every run checkpoints: stop and go on as you like.
reproduce: $(STAMP)
	$(BIN)/python experiments/ham10000-federated/reproduce.py
	$(BIN)/python experiments/ham10000-sealed/run.py
	$(BIN)/python experiments/ham10000-private/run.py
	$(BIN)/python experiments/ham10000-private/sites.py
	$(BIN)/python experiments/compression/run.py
	$(BIN)/python experiments/next-hospital/run.py
	$(BIN)/python experiments/inversion-attacks/run.py
	$(BIN)/python experiments/inversion-defences/run.py
	$(BIN)/python experiments/split-segmentation/run.py
	$(BIN)/python experiments/split-restoration/run.py
	$(BIN)/python experiments/split-leakage/run.py
	$(BIN)/python experiments/privacy-audit/run.py
	$(BIN)/python experiments/five-keys/run.py
	$(BIN)/python experiments/fedgan-vanilla/run.py
	$(BIN)/python experiments/fedgan-backdoor/run.py
	$(BIN)/python experiments/fedgan-screens/run.py
	$(BIN)/python experiments/fedgan-screens/tables.py
	$(BIN)/python experiments/fedgan-screens/grid.py
	$(BIN)/python experiments/fedgan-utility/run.py
	$(BIN)/python experiments/diffusion/run.py
	$(BIN)/python experiments/robust-classification/run.py
	$(BIN)/python experiments/robust-classification/tables.py
	$(BIN)/python experiments/sealed-screening/run.py
	$(BIN)/python experiments/sealed-screening/tables.py

clean:
	rm -rf $(VENV) runs build dist
