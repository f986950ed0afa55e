# Two commands do it all on a fresh machine: `make reproduce` and `make test`. Each makes .venv if it is missing.
PYTHON ?= python3
BIN := .venv/bin
# One thread a process: two processes train faster than one on two threads, and a run is the same wherever it is made.
export OMP_NUM_THREADS ?= 1
export PYTHONDONTWRITEBYTECODE = 1
NOTEBOOKS := $(sort $(shell find nbs -name '*.ipynb' -not -path '*/.ipynb_checkpoints/*'))
# Nothing waits without a limit: seconds for a cell of a notebook.
export CELL_SECONDS ?= 600

.PHONY: help reproduce test style notebooks readme docs serve browser playground hooks elsewhere reference variants same_seed null benchmark newest check clean

help: ## This list
	@grep -hE '^[a-z_]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

.venv/.made: settings.ini setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3,10))' || { echo 'Python 3.10 or newer is needed; name one: make PYTHON=python3.11 …'; exit 2; }
	@echo 'Making .venv and installing what is needed (one to three minutes) …'
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

reproduce: .venv/.made ## Train the chapter's three models and say whether its tables are reproduced
	@$(BIN)/rnnlm_reproduce $(ARGS)

test: .venv/.made ## Run every notebook from start to end, compare its outputs with the stored ones, then pytest
	@echo 'Running $(words $(NOTEBOOKS)) notebooks, each in a process of its own, two at a time …'
	@printf '%s\n' $(NOTEBOOKS) | xargs -P 2 -I{} sh -c \
	  'start=$$(date +%s); if $(BIN)/python tests/drift.py {} >{}.log 2>&1; then echo "ok   {} $$(($$(date +%s)-start)) s"; rm {}.log; else cat {}.log; rm {}.log; echo "FAIL {}"; exit 1; fi'
	@$(BIN)/pytest

# Training is chaotic in its rounding: what passes here has to pass where a processor adds up in another order.
elsewhere: ## Run `make test` with the rounding of an older processor
	@ATEN_CPU_CAPABILITY=default DNNL_MAX_CPU_ISA=SSE41 $(MAKE) --no-print-directory test

style: ## How the notebooks read, in numbers
	@$(PYTHON) tests/notebook_style.py

notebooks: .venv/.made ## Run every notebook in its own folder and store its outputs
	@$(BIN)/nbdev_export
	@set -e; for o in $(NOTEBOOKS); do echo $$o; $(BIN)/jupyter nbconvert --log-level ERROR --to notebook --execute --ExecutePreprocessor.timeout=$(CELL_SECONDS) --inplace $$o; done
	@$(BIN)/nbdev_clean
	@$(MAKE) --no-print-directory readme

readme: .venv/.made ## Make README.md from nbs/index.ipynb
	@$(BIN)/python docs/cells.py

docs: .venv/.made ## Build the documentation site into _docs
	@rm -rf _proc _docs && $(BIN)/python docs/pages.py
	@$(BIN)/sphinx-build -q -W --keep-going -E -c docs _proc _docs
	@echo 'Built: _docs/index.html'

serve: .venv/.made ## Show the site, and build it anew whenever a source changes
	@$(BIN)/python docs/pages.py
	@$(BIN)/sphinx-autobuild -q -c docs --port 0 --pre-build '$(BIN)/python docs/pages.py' --ignore '*/_proc/*' --watch nbs --watch rnnlm --watch docs _proc _docs

browser: .venv/.made ## Try the built site in Chromium: pages, links, search, themes, playground, accessibility
	@SITE_TEST=must $(BIN)/pytest tests/test_site.py

playground: .venv/.made ## Train the playground's model anew and write its weights: ten seconds
	@$(BIN)/python -c 'from rnnlm.playground import make_playground; print(make_playground())'

reference: .venv/.made ## Make the reference anew: 200 seeds of each model, half an hour on two cores; it resumes
	@$(BIN)/rnnlm_reproduce --models chapter --seeds 200 --first_seed 1000 --out results/reference --reference_to rnnlm/tables/reference.csv.gz

null: .venv/.made ## Make anew the runs that no bound was fitted on, which measure false alarms: 100 seeds of each model; it resumes
	@$(BIN)/rnnlm_reproduce --models chapter --seeds 100 --first_seed 3000 --out results/null --reference_to rnnlm/tables/null.csv.gz

variants: .venv/.made ## Make the runs of the mistakes and ablations anew: 24 seeds of each, forty minutes on two cores; it resumes
	@$(BIN)/rnnlm_reproduce --models variants --seeds 24 --first_seed 2000 --out results/variants --reference_to rnnlm/tables/variants.csv.gz

same_seed: .venv/.made ## Make anew the runs of the mistakes from four seeds of the reference; it resumes
	@$(BIN)/rnnlm_reproduce --models variants --seeds 4 --first_seed 1000 --out results/variants --reference_to rnnlm/tables/same_seed.csv.gz

benchmark: .venv/.made ## Time the chapter's code, ours and the floor side by side, and how cost grows: eight minutes on a quiet machine
	@$(BIN)/rnnlm_benchmark --parts fits,lstms,imports,growth --out rnnlm/tables/benchmark.json

# In an environment of its own, against the bounds in settings.ini: pip says that they are passed, and goes on.
NEWEST ?= torch fastai fastcore
newest: ## With the newest torch and fastai: is all still reproduced, and did a distribution move?
	@test -d .venv-newest || $(PYTHON) -m venv .venv-newest
	@.venv-newest/bin/python -m pip install -q --disable-pip-version-check .
	@.venv-newest/bin/python -m pip install -q --disable-pip-version-check --upgrade $(NEWEST)
	@.venv-newest/bin/rnnlm_reproduce --models chapter --seeds 16 --first_seed 0 --out results/newest; status=$$?; \
	  .venv-newest/bin/python -c 'import json, sys; v = json.load(open("results/newest/verdict.json")); m = v["made_with"]["moved"]; print("Moved:", ", ".join(m) or "nothing"); sys.exit(bool(m))' && exit $$status

hooks: .venv/.made ## For contributors: clean notebooks and merge them well
	@$(BIN)/nbdev_install_hooks

check: .venv/.made ## What must hold beside the tests: module, notebooks and README.md agree, the site builds
	@$(BIN)/python tests/in_sync.py
	@$(MAKE) --no-print-directory docs

clean: ## Remove what was made, but neither .venv nor results
	@rm -rf _proc _docs build dist *.egg-info
