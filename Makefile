# Every target creates the environment by itself: Python 3.11 or newer and a package index are all it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

MODEL ?= moe-llava-nano llava-nano
TASKS ?= all
DATA ?=
OUT ?= results/runs
RECIPE ?= nano
BASELINES ?= results/baselines
TOLERANCE ?= 3
ARGS ?=
EXTRAS ?=
EXTRAS_READY := $(EXTRAS:%=$(READY)-%)

RUN = $(BIN)/moe-eval run $(1) --tasks $(TASKS) $(if $(DATA),--data $(DATA)) --out $(OUT) $(ARGS)
# The nano models are too small for a pass to fill two cores: each has one, side by side. Others come one after the other.
SMALL = moe-llava-nano llava-nano
ANSWER = $(if $(and $(word 2,$(MODEL)),$(if $(ARGS)$(filter-out $(SMALL),$(MODEL)),,yes)),OMP_NUM_THREADS=1 $(MAKE) --no-print-directory --jobs 2 $(MODEL:%=answer-%),$(call RUN,$(MODEL)))
comma := ,

.PHONY: eval check train nano-tower nano-moe nano-dense test lint table figures report docs bench setup clean

eval: $(READY)
	@$(ANSWER)
	@$(BIN)/moe-eval table $(if $(filter-out all,$(TASKS)),$(foreach task,$(subst $(comma), ,$(TASKS)),$(OUT)/*/$(task)),$(OUT))

# The nano models' answers to mini against the committed ones: a regression gate over model, engine and scorers.
check: $(READY)
	@$(ANSWER)
	@code=0; for model in $(MODEL); do \
		$(BIN)/moe-eval check $(OUT)/$$model --against $(BASELINES)/$$model --tolerance $(TOLERANCE) \
			--junit $(OUT)/$$model.xml --markdown $(OUT)/$$model.md || code=$$?; \
	done; exit $$code

answer-%: $(READY)
	@$(call RUN,$*) --quiet

# RECIPE=nano makes both nano models from nothing, one thread each; others are a stage each (recipes/$(RECIPE).yaml).
train: $(READY) $(READY)-train $(if $(filter nano-easyvqa,$(RECIPE)),data/easyvqa/data.json)
ifeq ($(RECIPE),nano)
	@$(MAKE) --no-print-directory nano-tower
	@$(MAKE) --no-print-directory --jobs 2 nano-moe nano-dense
else ifeq ($(RECIPE),nano-ablations)
	@$(MAKE) --no-print-directory nano-tower
	@for stage in language stage1 stage2; do OMP_NUM_THREADS=1 $(BIN)/python -m moellava.train recipes/nano-moe-$$stage.yaml || exit $$?; done
	$(BIN)/python -m bench.nano_ablations $(ARGS)
else
	$(BIN)/python -m moellava.train recipes/$(RECIPE).yaml $(ARGS)
endif

nano-tower: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m moe_eval.mini.training data/nano
	OMP_NUM_THREADS=1 $(BIN)/python -m moellava.train recipes/nano-tower.yaml

nano-moe nano-dense: $(READY)
	@for stage in language stage1 stage2 stage3; do OMP_NUM_THREADS=1 $(BIN)/python -m moellava.train recipes/$@-$$stage.yaml || exit $$?; done

data/easyvqa/data.json: $(READY)-easy-vqa
	$(BIN)/python -m moe_eval.sources.training_data easyvqa package:train $(@D)

test: $(READY) $(EXTRAS_READY)
	$(BIN)/pytest --numprocesses auto $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

table: $(READY)
	@$(BIN)/moe-eval table $(OUT) $(ARGS)

figures: $(READY)
	@$(BIN)/moe-eval figures $(OUT) --out results/figures $(ARGS)

report: $(READY)
	@$(BIN)/moe-eval report $(OUT) --out results/report.html $(ARGS)

# The site of docs/: nothing in it is loaded from elsewhere. `python -m http.server -d build/site` shows it.
docs: $(READY) $(READY)-docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo build/site/index.html

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

# Gradio refuses the newest Pillow, with which it works: it comes alone, beside what it imports.
$(READY)-demo: $(READY) requirements-demo.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --requirement requirements-demo.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps gradio gradio-client hf-gradio safehttpx
	@touch $@

$(READY)-%: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$*]'
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
