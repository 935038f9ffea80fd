# Every target but help and clean first makes the environment, if it is missing or stale.

# The interpreter the environment is made from (3.10 or newer), and where the environment goes.
PYTHON3 ?= python3
VENV ?= .venv
UPSTREAM ?= .venv-upstream
PYTHON := $(VENV)/bin/python

# PyPI's torch for Linux is a CUDA build of several GB. Without a GPU, take the small one:
#     make install TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
EXTRAS ?= onedl,lite,consistency,metrics,dev
WHEEL_EXTRAS ?= onedl,lite,consistency,metrics,safetensors
CONSTRAINTS := requirements/constraints.txt
TORCH = $(shell grep '^torch==' $(CONSTRAINTS))
STAMP := $(VENV)/.installed

# Further arguments of pytest and of the demo, e.g. make test PYTEST_ARGS="-x tests/ops"
PYTEST_ARGS ?=
# Processes that share the tests (tests/conftest.py); 0: run them in pytest's own, e.g. to debug
WORKERS ?= 2
PYTEST := $(PYTHON) -m pytest -n $(WORKERS) --dist loadgroup
DEMO_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-all mutate promises test-upstream results wheel lint format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Make the environment .venv with pinned versions, and install this package and its weights into it

$(STAMP): setup.py pyproject.toml condseg_mmseg/version.py $(CONSTRAINTS) $(wildcard condseg_mmseg/ops/csrc/*) \
		$(wildcard weights/pyproject.toml weights/condseg_mmseg_weights/*.*)
	@test -x $(PYTHON) || $(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "$(PYTHON3) is not Python 3.10 or newer; name one: make install PYTHON3=python3.11"; exit 1; }
	test -x $(PYTHON) || $(PYTHON3) -m venv $(VENV)
ifneq ($(TORCH_INDEX),)
	$(PYTHON) -m pip install --no-deps --index-url $(TORCH_INDEX) $(TORCH)
endif
	$(PYTHON) -m pip install -c $(CONSTRAINTS) -e '.[$(EXTRAS)]' $(wildcard ./weights)
	@touch $@

demo: install ## Generate data, train a small ConDSeg on it, score it, draw its predictions
	$(PYTHON) -m condseg_mmseg demo $(DEMO_ARGS)

test: install ## Run the tests, but for the slow ones
	$(PYTEST) -m "not slow" $(PYTEST_ARGS)

test-slow: install ## Run the slow tests only
	$(PYTEST) -m slow $(PYTEST_ARGS)

test-all: install ## Run all tests
	$(PYTEST) $(PYTEST_ARGS)

mutate: install ## Change the package in some 30 places, one at a time: a test must notice each
	$(PYTHON) tools/dev/mutate.py

promises: install ## Run the tests of docs/reliability.md in full, up to an hour, and write their figures there
	$(PYTHON) tools/dev/promises.py

test-upstream: ## Run the tests on upstream OpenMMLab, in an environment of its own; the first time compiles mmcv
	test -x $(UPSTREAM)/bin/python || $(PYTHON3) -m venv $(UPSTREAM)
	$(UPSTREAM)/bin/pip install -q "setuptools<81" wheel ninja $(TORCH) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
	test -d $(UPSTREAM)/lib/python*/site-packages/mmcv || $(UPSTREAM)/bin/pip install --no-build-isolation "mmcv==2.1.0"
	$(UPSTREAM)/bin/pip install -q -c $(CONSTRAINTS) -e '.[openmmlab,lite,consistency,metrics,dev]' ./weights
	$(UPSTREAM)/bin/python -m pytest $(PYTEST_ARGS)

results: install ## Rebuild the tables of docs/results, and README's, from the committed scores
	$(PYTHON) tools/dev/results.py

wheel: install ## Build both wheels, install them into a fresh environment, and run them in another folder
	rm -rf dist
	$(PYTHON) -m build --wheel
	$(PYTHON) -m build --wheel weights --outdir dist
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
		$(PYTHON3) -m venv "$$folder/env" && \
		"$$folder/env/bin/pip" install -q -c $(CONSTRAINTS) "$$(echo dist/condseg_mmseg-*.whl)[$(WHEEL_EXTRAS)]" dist/condseg_mmseg_weights-*.whl && \
		cd "$$folder" && PATH="$$folder/env/bin:$$PATH" && \
		condseg check --environment && condseg configs && condseg demo --quick && \
		python -c 'from condseg_mmseg.apis import pretrained; pretrained()'

lint: install ## Check style, formatting and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

format: install ## Fix what ruff can fix by itself
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

clean: ## Remove caches and build products (not .venv, not work_dirs)
	rm -rf build dist *.egg-info weights/build weights/*.egg-info .pytest_cache .ruff_cache .mypy_cache
	find condseg_mmseg configs tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
