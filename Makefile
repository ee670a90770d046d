# Two commands do everything on a machine with Python 3.11+ and make: `make demo` and `make test`.
.PHONY: help setup demo demo-stop check test bench bench-train docs constraints clean
.DEFAULT_GOAL := help

PYTHON := $(shell for p in $(PYTHON) python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
STAMP := .venv/.installed
# uv does not read pip's settings: a local CPU wheel of torch is found through pip's find-links.
UV := UV_FIND_LINKS="$${UV_FIND_LINKS:-$${PIP_FIND_LINKS:-}}" $(BIN)/uv
TOOLKIT := $(BIN)/efficientai-toolkit
# One process for each core, at most 4: every one has its own Postgres, and all share one stack.
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$(( n < 4 ? n : 4 )))

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP) ## Make .venv with the pinned versions of constraints.txt

$(STAMP): constraints.txt pyproject.toml projects/drilling/pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed and was not found: install one, or run make PYTHON=/path/to/it"; exit 1; }
	@echo "Installing into .venv (about 2 GB of packages, once) …"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv || { rm -rf .venv; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@$(UV) pip install --python $(BIN)/python --constraint constraints.txt --compile-bytecode \
		--editable ".[mac]" --editable projects/drilling --group dev
	@touch $(STAMP)

demo: setup ## Start everything and run the drilling job end to end; LOGS=/folder takes your own logs
	@$(TOOLKIT) mlops:start
	@$(TOOLKIT) mlops:register projects/drilling
	@case "$(LOGS)" in /*|"") logs="$(LOGS)" ;; *) logs="$(CURDIR)/$(LOGS)" ;; esac; \
	cd projects/drilling && ../../$(TOOLKIT) drilling:demo $${logs:+--logs "$$logs"}

demo-stop: setup ## Stop every service
	@$(TOOLKIT) mlops:stop

check: setup ## Format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup ## All tests, with real services
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

bench: setup ## Measure against other tools (an hour; QUICK=1 SUITES=…); WRITE=1 renews docs/benchmarks.md
	$(BIN)/python -m tests.bench $(if $(WRITE),--write) $(if $(QUICK),--quick) $(SUITES)

bench-train: setup ## Train on 300 + 1,000 synthetic holes (under an hour) and store the figures that bench reads
	$(BIN)/python -m tests.bench.drilling_training

docs: setup ## Build the documentation into site/
	$(BIN)/mkdocs build --strict --quiet

constraints: setup ## Resolve anew and rewrite constraints.txt and pyproject's copy of it
	$(UV) pip compile --universal --python-version 3.11 --no-header --no-annotate --quiet --upgrade \
		pyproject.toml projects/drilling/pyproject.toml --group pyproject.toml:dev --all-extras -o build-constraints.txt
	$(BIN)/python scripts/pins.py build-constraints.txt
	@rm build-constraints.txt

clean: ## Remove .venv and what was built
	rm -rf .venv build site .mypy_cache .ruff_cache .pytest_cache
