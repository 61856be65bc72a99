# `make demo` is the way in; every verb sets up .venv when it has to.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help setup demo test exhaustive lint types check docs bench page clean

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(READY): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv (torch is large; once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(READY)

setup: $(READY) ## make .venv and install the zoo into it

demo: $(READY) ## train four sizes on real images with no network, print the board, write the page
	@$(BIN)/python train.py sweeps=demo
	@$(BIN)/zoo board digits
	@$(BIN)/zoo page --out site
	@echo "open site/index.html in a browser"

test: $(READY) ## run the tests (two workers, one thread each)
	@$(BIN)/python -m pytest -n 2 --dist loadgroup

exhaustive: $(READY) ## check every combination of the groups that decide a result, one by one (hours)
	@$(BIN)/python -m pytest -m exhaustive -n 2 tests/test_conf.py

lint: $(READY) ## check style
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY) ## check types
	@$(BIN)/mypy

check: lint types test ## everything that has to hold before a commit

docs: $(READY) ## make the site of the docs in build/docs; a dead link ends it
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "open build/docs/index.html in a browser; mkdocs serve has a search"

bench: $(READY) ## measure the zoo against what it must not be slower than
	@$(BIN)/python -m benchmarks

page: $(READY) ## write the static page of all boards to site/
	@$(BIN)/zoo page --out site

clean: ## remove what the verbs made, records excepted
	rm -rf .venv site build/docs .pytest_cache .mypy_cache .ruff_cache .hypothesis
