# Every target creates the environment by itself: Python 3.11 or newer and a package index are all it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

MODEL ?= moe-llava-tiny llava-tiny
TASKS ?= pope
DATA ?= mini
OUT ?= results/runs
ARGS ?=
EXTRAS ?=
EXTRAS_READY := $(EXTRAS:%=$(READY)-%)

.PHONY: eval test lint table bench setup clean

eval: $(READY)
	@$(BIN)/moe-eval run $(MODEL) --tasks $(TASKS) --data $(DATA) --out $(OUT) $(ARGS)
	@$(BIN)/moe-eval table $(OUT)

test: $(READY) $(EXTRAS_READY)
	$(BIN)/pytest $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

table: $(READY)
	@$(BIN)/moe-eval table $(OUT) $(ARGS)

bench: $(READY)
	$(BIN)/python -m bench.generate $(ARGS)

setup: $(READY) $(EXTRAS_READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

# lmms-eval requires torchvision, which has no build for every torch: it comes alone, beside what it imports.
$(READY)-lmms: $(READY) requirements-lmms.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --requirement requirements-lmms.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps lmms-eval
	@touch $@

$(READY)-%: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$*]'
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
