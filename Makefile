# `make` alone lists what can be made. Every target sets up what it needs first, and can be run again.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
CONFIG := var/sallyport.yaml
PYTEST_WORKERS ?= 2
# Checked by the linters: everything of ours that is Python.
PYTHON_FOLDERS := appliance authenticators hsm webui tests hardware-tests bench scripts

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## Set everything up and start the appliance here, with its state in var/
	@scripts/setup run
	@$(BIN)/python -m scripts.trial $(CONFIG)
	@echo "Starting with $(CONFIG); Ctrl-C stops it."
	@exec $(BIN)/sallyport start --config $(CONFIG) --welcome

.PHONY: demo
demo: setup-test ## Play the whole story once on throw-away state: sign-up, login, ssh, scp, sftp, replay
	@$(BIN)/python -m scripts.demo

.PHONY: test
test: setup-test ## Run the whole test suite; ARGS='tests/hsm -k pin' runs a part
	$(BIN)/pytest -n $(PYTEST_WORKERS) --dist loadfile $(ARGS)

.PHONY: lint
lint: setup-test ## Check style, types and who may import whom
	$(BIN)/ruff check $(PYTHON_FOLDERS)
	$(BIN)/ruff format --check $(PYTHON_FOLDERS)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

.PHONY: hardware-test
hardware-test: ## Run the authenticator scenarios on software keys, over PC/SC and USB
	@scripts/setup hardware
	@hardware-tests/run $(ARGS)

.PHONY: bench
bench: setup-test ## Run the benchmarks; ARGS='policy --json' runs one
	@bench/run $(ARGS)

.PHONY: docs
docs: setup-test ## Make docs/configuration.md and docs/cli.md from their sources
	@$(BIN)/python -m scripts.reference

.PHONY: screenshots
screenshots: setup-test ## Take the pictures of the README from the running product
	@$(BIN)/python -m scripts.screenshots

.PHONY: man
man: setup-test ## Make the manual pages in build/man
	@$(BIN)/python -m scripts.manual build/man

.PHONY: lock
lock: setup-test ## Lock the newest allowed versions of all dependencies, with their hashes
	@scripts/lock

.PHONY: clean
clean: ## Remove what was built and cached here; the state in var/ and .venv stay
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*
	find $(PYTHON_FOLDERS) -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: setup-test
setup-test:
	@scripts/setup test
