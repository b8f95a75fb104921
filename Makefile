# Deskhand: the same commands for a person and for .ci/run. `make help` lists them.
# Only python3 (3.11 or newer) is needed to start; everything else is put into .venv/ from hashed locks.

PYTHON ?= python3
PY := .venv/bin/python
N ?= 200

.DEFAULT_GOAL := help
.PHONY: help demo test check fix web docs pictures bench walk seeds kills power-cuts nightly promises lock runtime tools
FIGURES := .cache/figures

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

runtime: # what `deskhand` itself needs, nothing more
	@$(PYTHON) scripts/setup_venv.py runtime

tools: # the same and the test and lint tools
	@$(PYTHON) scripts/setup_venv.py dev

demo: runtime ## the main job from end to end, on this machine alone (MARK="..." KEEP=1)
	@$(PY) -m deskhand.testing.demo

test: tools ## every test; ends with what ran for real on this machine
	@$(PY) scripts/run_tests.py

check: tools ## lint, types, import walls, the rules of the repository, web lint and types
	@$(PY) scripts/run_checks.py

fix: tools ## let the tools repair what they can
	@.venv/bin/ruff check --fix --quiet; .venv/bin/ruff format

web: ## build the web app into the package
	@cd web && npm ci --no-audit --no-fund && npm run build

docs: tools ## write the generated reference pages
	@$(PY) -m deskhand.testing.docs

pictures: tools ## make the pictures of the README from a real hub in Chromium
	@$(PY) scripts/screenshots.py

bench: tools ## measure what the documents promise
	@$(PY) -m deskhand.testing.bench

seeds: tools ## N=200 simulated days with faults; a failure prints its seed
	@$(PY) -m deskhand.testing.seeds $(N)

kills: tools ## N=200 real processes killed with -9 at named points; a failure prints its seed
	@$(PY) -m tests.kills --kills $(N)

power-cuts: tools ## N=200 simulated power cuts under hub and journal; a failure prints its seed
	@$(PY) -m tests.powercut --cuts $(N)

nightly: export DESKHAND_FIGURES = $(FIGURES)
nightly: tools ## hours of it: 2,000 kills, ten minutes of kills, 1,000 power cuts, a million tasks
	@$(PY) -m tests.kills --kills 2000
	@$(PY) -m tests.kills --minutes 10 --tasks 20
	@$(PY) -m tests.powercut --cuts 1000
	@$(PY) -m deskhand.testing.seeds --tasks 1000000
	@N_BACKUPS=100 $(PY) -m pytest -q tests/contract/test_backup.py -k under_load
	@N_LIARS=100 $(PY) -m pytest -q tests/scenario/test_lying_hub.py -k no_effect
	@$(PY) -m deskhand.testing.promises $(FIGURES) && $(PY) -m deskhand.testing.docs

walk: tools ## from a clone to the first finished result on a paired phone, by the README, with a stopwatch
	@$(PY) -m scripts.walk

promises: export DESKHAND_FIGURES = $(FIGURES)
promises: test ## run every test and write docs/reference/promises.md from what it measured
	@$(PY) -m deskhand.testing.promises $(FIGURES) && $(PY) -m deskhand.testing.docs

lock: tools ## write the hashed locks again from pyproject.toml
	@scripts/lock
