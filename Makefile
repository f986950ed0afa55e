# Two commands do it all on a fresh machine: `make reproduce` and `make test`. Each makes .venv if it is missing.
PYTHON ?= python3
# LOCKED=1: an environment of its own, with the very files that the published numbers were made with
export VENV := $(if $(LOCKED),.venv-locked,.venv)
export LOCKED
BIN := $(VENV)/bin
# One thread a process: two processes train faster than one on two threads, and a run is the same wherever it is made.
export OMP_NUM_THREADS ?= 1
NOTEBOOKS := $(sort $(shell find nbs -name '*.ipynb' -not -path '*/.ipynb_checkpoints/*'))
# What needs no site: `make browser` runs the others.
TESTS := tests/test_notebooks.py $(filter-out tests/test_notebooks.py tests/test_site.py %_browser.py,$(sort $(wildcard tests/test_*.py)))
# Nothing waits without a limit: seconds for a cell of a notebook.
export CELL_SECONDS ?= 600

.PHONY: help reproduce lock test mutants style notebooks readme docs serve wasm seeds gates browser playground hooks elsewhere reference variants same_seed null capsule capsule_draft capsule_survey golden table3 surveys beyond benchmark newest package from_nothing workflows check clean

help: ## This list
	@grep -hE '^[a-z0-9_]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

$(VENV)/.made: settings.ini setup.py pyproject.toml .ci/install $(if $(LOCKED),requirements.lock)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3,10))' || { echo 'Python 3.10 or newer is needed; name one: make PYTHON=python3.11 …'; exit 2; }
	@test -z '$(LOCKED)' || $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3,11))' || { echo 'The lock is for Python 3.11; name one: make LOCKED=1 PYTHON=python3.11 …'; exit 2; }
	@echo 'Making $(VENV) and installing what is needed (one to three minutes) …'
	@$(PYTHON) -m venv $(VENV)
	@.ci/install
	@touch $@

lock: $(VENV)/.made ## Write requirements.lock anew from what is installed in .venv, with a hash of each file
	@$(BIN)/python -m pip freeze --exclude-editable | grep -v ' @ ' >$(VENV)/constraints.txt
	@UV_FIND_LINKS="$${UV_FIND_LINKS:-$$PIP_FIND_LINKS}" $(BIN)/uv pip compile -q setup.py .ci/build.in -c $(VENV)/constraints.txt --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -o requirements.lock
	@echo 'Written: requirements.lock'

reproduce: $(VENV)/.made ## Train the chapter's three models and say whether its tables are reproduced
	@$(BIN)/rnnlm_reproduce $(ARGS)

# Two at a time; ARGS='-k lstm' selects. Notebooks come first: they take longest, and the end is better balanced by small tests.
test: $(VENV)/.made ## Run every notebook and compare its outputs with the stored ones, and the tests of the module
	@$(BIN)/pytest -n 2 --dist worksteal --durations 15 --junitxml results/tests.xml $(TESTS) $(ARGS)

# Training is chaotic in its rounding: what passes here has to pass where a processor adds up in another order.
elsewhere: ## Run `make test` with the rounding of an older processor
	@ATEN_CPU_CAPABILITY=default DNNL_MAX_CPU_ISA=SSE41 $(MAKE) --no-print-directory test

mutants: $(VENV)/.made ## Break rnnlm in the ways that tests/mutants.yaml lists and see which tests notice: half an hour; it resumes
	@$(BIN)/python tests/mutants.py $(ARGS)

style: ## No line of code over 100 columns, no statements joined by semicolons
	@$(PYTHON) tests/style.py

notebooks: $(VENV)/.made ## Run every notebook in its own folder and store its outputs
	@$(BIN)/nbdev_export
	@set -e; for o in $(NOTEBOOKS); do echo $$o; $(BIN)/jupyter nbconvert --log-level ERROR --to notebook --execute --ExecutePreprocessor.timeout=$(CELL_SECONDS) --inplace $$o; done
	@$(BIN)/nbdev_clean
	@$(MAKE) --no-print-directory readme

readme: $(VENV)/.made ## Make README.md from nbs/index.ipynb
	@$(BIN)/python docs/cells.py

docs: $(VENV)/.made ## Build the documentation site into _docs
	@$(BIN)/python docs/build.py
	@echo 'Built: _docs/index.html'

serve: $(VENV)/.made ## Show the site, and build it anew whenever a source changes
	@$(BIN)/python docs/pages.py
	@$(BIN)/sphinx-autobuild -q -d _proc/.doctrees -c docs --port 0 --pre-build '$(BIN)/python docs/pages.py' --ignore '*/_proc/*' --watch nbs --watch rnnlm --watch docs _proc _docs

wasm: $(VENV)/.made ## Compile the kernel that trains in the browser, and write what its page needs
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[wasm]'
	@$(BIN)/python docs/train/build.py $(ARGS)

seeds: $(VENV)/.made ## Write what the explorer of the seeds needs
	@$(BIN)/python docs/seeds/build.py

gates: $(VENV)/.made ## Measure what "Inside the LSTM as you type" needs, after `make playground`: a minute
	@$(BIN)/python -W ignore docs/gates/build.py

browser: $(VENV)/.made ## Try the built site in Chromium: pages, links, search, themes, playground, accessibility (AXE=kinds: of one page of each kind)
	@SITE_TEST=must AXE=$(AXE) $(BIN)/pytest -n 3 --dist loadfile --durations 10 tests/test_site.py $(wildcard tests/test_*_browser.py) $(ARGS)

playground: $(VENV)/.made ## Train the playground's model anew and write its weights: ten seconds
	@$(BIN)/python -c 'from rnnlm.playground import make_playground; print(make_playground())'

reference: $(VENV)/.made ## Make the reference anew: 200 seeds of each model, half an hour on two cores; it resumes
	@$(BIN)/rnnlm_reproduce --models chapter --seeds 200 --first_seed 1000 --out results/reference --reference_to rnnlm/tables/reference.csv.gz

null: $(VENV)/.made ## Make anew the runs that no bound was fitted on, which measure false alarms: 100 seeds of each model; it resumes
	@$(BIN)/rnnlm_reproduce --models chapter --seeds 100 --first_seed 3000 --out results/null --reference_to rnnlm/tables/null.csv.gz

variants: $(VENV)/.made ## Make the runs of the mistakes and ablations anew: 24 seeds of each, forty minutes on two cores; it resumes
	@$(BIN)/rnnlm_reproduce --models variants --seeds 24 --first_seed 2000 --out results/variants --reference_to rnnlm/tables/variants.csv.gz

same_seed: $(VENV)/.made ## Make anew the runs of the mistakes from four seeds of the reference; it resumes
	@$(BIN)/rnnlm_reproduce --models variants --seeds 4 --first_seed 1000 --out results/variants --reference_to rnnlm/tables/same_seed.csv.gz

# The binaries of early 2020, for Linux on x86-64, in environments of their own. -E -s: no package from elsewhere gets in.
CAPSULE := results/capsule
capsule: $(VENV)/.made ## The printed Tables 0, 1 and 2 to the last digit, with torch 1.4.0 and Python 3.8
	@$(BIN)/python capsule/make_env.py
	@mkdir -p $(CAPSULE) && $(BIN)/python -c 'from rnnlm.data import human_numbers, tokenize; print(*tokenize(human_numbers()))' >$(CAPSULE)/words.txt
	@.venv-capsule/bin/python -B -E -s capsule/run.py --words $(CAPSULE)/words.txt --out $(CAPSULE)/printed.csv $(ARGS)
	@$(BIN)/python capsule/compare.py $(CAPSULE)/printed.csv

capsule_draft: $(VENV)/.made ## The four tables of the authors' draft of 2020-02-12, with torch 1.3.1 and Python 3.7
	@$(BIN)/python capsule/make_env.py --draft
	@mkdir -p $(CAPSULE) && $(BIN)/python -c 'from rnnlm.data import human_numbers, tokenize; print(*tokenize(human_numbers()))' >$(CAPSULE)/words.txt
	@.venv-capsule-draft/bin/python -B -E -s capsule/run.py --words $(CAPSULE)/words.txt --out $(CAPSULE)/draft.csv --models 'draft LMModel4,draft LMModel5,draft LMModel6,draft LMModel7' $(ARGS)
	@$(BIN)/python capsule/compare.py $(CAPSULE)/draft.csv

capsule_survey: $(VENV)/.made ## Make rnnlm/tables/capsule.csv anew: other kernels, threads, torch; half an hour, it resumes
	@$(BIN)/python capsule/make_env.py && $(BIN)/python capsule/make_env.py --draft
	@$(BIN)/python capsule/survey.py

# Each setting adds up in another order, as another processor would.
golden: $(VENV)/.made ## Make rnnlm/tables/golden.csv anew: how far the golden runs scatter over seven kinds of arithmetic; eight minutes
	@rm -f rnnlm/tables/golden.csv
	@run() { name=$$1; shift; env "$$@" $(BIN)/python -W ignore -c "from rnnlm.digits import scatter; scatter('$$name')"; }; set -e; \
	  run 'as it is'; run 'ATen default' ATEN_CPU_CAPABILITY=default; run 'ATen AVX2' ATEN_CPU_CAPABILITY=avx2; \
	  run 'oneDNN AVX2' DNNL_MAX_CPU_ISA=AVX2; run 'oneDNN SSE4.1' DNNL_MAX_CPU_ISA=SSE41; run 'MKL AVX2' MKL_ENABLE_INSTRUCTIONS=AVX2; \
	  run 'all SSE' ATEN_CPU_CAPABILITY=default DNNL_MAX_CPU_ISA=SSE41 MKL_ENABLE_INSTRUCTIONS=SSE4_2

table3: $(VENV)/.made ## Go on looking for the state of Table 3 for an hour; it resumes
	@$(BIN)/python -W ignore -c 'from rnnlm.table3 import search; search(seconds=3600)'

surveys: $(VENV)/.made ## Make what the notebooks on readers and chaos show; each resumes
	@for o in readers chaos; do $(BIN)/python -W ignore -c "from rnnlm.$$o import survey; survey()"; done

beyond: $(VENV)/.made ## Make what the notebooks of nbs/beyond show: all surveys there; each resumes, two and a half hours of one core in all
	@for o in generation errors generalise text; do $(BIN)/python -W ignore -c "from rnnlm.$$o import survey; survey()"; done
	@$(BIN)/python -W ignore -c 'from rnnlm.results import costs; costs()'

benchmark: $(VENV)/.made ## Time the chapter's code, ours and the floor side by side, and how cost grows: eight minutes on a quiet machine
	@$(BIN)/rnnlm_benchmark --parts fits,lstms,imports,growth --out rnnlm/tables/benchmark.json

package: $(VENV)/.made ## Build the package and use it as a stranger would; ARGS='--resolution lowest-direct' or '--python python3.13'
	@$(BIN)/python tests/package.py $(ARGS)

from_nothing: $(VENV)/.made ## Time the way from a fresh clone to the verdict, installed by pip and by uv in turns: ten minutes
	@$(BIN)/python .ci/from_nothing $(ARGS)

# In an environment of its own, against the bounds in settings.ini: pip says that they are passed, and goes on.
NEWEST ?= torch fastai fastcore
newest: ## With the newest torch and fastai: is all still reproduced, and did a distribution move?
	@test -d .venv-newest || $(PYTHON) -m venv .venv-newest
	@.venv-newest/bin/python -m pip install -q --disable-pip-version-check .
	@.venv-newest/bin/python -m pip install -q --disable-pip-version-check --upgrade $(NEWEST)
	@.venv-newest/bin/rnnlm_reproduce --models chapter --seeds 16 --first_seed 0 --out results/newest; status=$$?; \
	  .venv-newest/bin/python -c 'import json, sys; v = json.load(open("results/newest/verdict.json")); m = v["made_with"]["moved"]; print("Moved:", ", ".join(m) or "nothing"); sys.exit(bool(m))' && exit $$status

hooks: $(VENV)/.made ## For contributors: clean notebooks and merge them well
	@$(BIN)/nbdev_install_hooks

# actionlint, which needs a download from elsewhere, runs in .github/workflows/test.yaml
workflows: $(VENV)/.made ## Do the workflows and issue forms follow their schemas, and is none of them unsafe?
	@$(BIN)/zizmor --offline --quiet --no-progress .github/workflows
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yaml
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*))
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml

check: $(VENV)/.made ## What must hold beside the tests: module, notebooks and README.md agree, the site builds, twice alike
	@$(MAKE) --no-print-directory style workflows
	@$(BIN)/python tests/in_sync.py
	@$(MAKE) --no-print-directory wasm ARGS=--check
	@$(BIN)/python tests/same_bytes.py

clean: ## Remove what was made, but neither .venv nor results
	@rm -rf _proc _docs build dist *.egg-info
