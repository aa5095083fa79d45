# One word per job. Each target creates .venv and installs on first use; `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
HOUSE  := agents topics models
# Files of tests at once: those with a broker mostly wait.
JOBS   := 3

.DEFAULT_GOAL := help
.PHONY: help install demo test lint format bench simulate chaos requirements clean

help:            ## this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

install: $(STAMP) ## create .venv, install pinned and hashed dependencies, link the folders

$(STAMP): requirements-dev.txt pyproject.toml deploy/link_house.py
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Sidechain needs Python 3.11 or later; set PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing pinned dependencies into $(VENV) (first time: a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --force-reinstall .
	@$(BIN)/python deploy/link_house.py
	@touch $@

demo: $(STAMP)   ## broker, dry, wet, real traffic, proof at the end (PACK=web RATE=1500)
	@$(BIN)/sidechain demo $(if $(PACK),--pack $(PACK)) $(if $(RATE),--rate $(RATE))

test: lint       ## lint, then every test, with a real broker
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: $(STAMP)   ## ruff, mypy strict, import directions
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "run make format"; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(STAMP) ## let ruff format the code
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

bench: $(STAMP)  ## throughput against a plain copy, and latency, on a local broker
	@$(BIN)/sidechain bench dry
	@$(BIN)/sidechain bench latency

chaos: $(STAMP)  ## faults under load for half an hour (MINUTES=32 RATE=5000 SEED=…), report in chaos-report.md
	@$(BIN)/python -m tests.chaos.run --minutes $(or $(MINUTES),32) --rate $(or $(RATE),5000) $(if $(SEED),--seed $(SEED))

simulate: $(STAMP) ## ten thousand seeded schedules of the whole pipeline in memory (SEEDS=10000)
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),10000) --jobs 2

requirements:    ## compile requirements*.txt from pyproject.toml, hashes and no index address
	@$(BIN)/python -m piptools compile --quiet --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --strip-extras --allow-unsafe --output-file requirements.txt pyproject.toml
	@$(BIN)/python -m piptools compile --quiet --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --strip-extras --allow-unsafe --extra wet --extra onnx --extra local --extra analysis --extra dev --output-file requirements-dev.txt pyproject.toml
	@$(BIN)/python -m piptools compile --quiet --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --strip-extras --allow-unsafe --constraint requirements-dev.txt --extra wet --output-file deploy/requirements-wet.txt pyproject.toml
	@echo hatchling | $(BIN)/python -m piptools compile --quiet --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --strip-extras --allow-unsafe --no-annotate --constraint requirements-dev.txt --output-file deploy/requirements-build.txt -

clean:           ## remove .venv and caches
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
