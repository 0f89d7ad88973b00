# make demo | test | bench | lint | docs | proofs: each sets up everything on a fresh machine first.

PY ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test slow exhaustive bench lint docs proofs coq release-check

demo: $(STAMP)
	$(BIN)/conetheory demo

# a process for each core, each of one thread; a file stays in one process, so that what it shares is made once;
# compiled tests are kept, also where Python is told to keep none: to make them takes each process 10 s
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder

# the quick tests: every kind of check, rule, theory and network
test: $(STAMP)
	$(PYTEST)

# those that take seconds: whole commands, more structures; continuous integration runs them after the quick ones
slow: $(STAMP)
	$(PYTEST) -m 'slow and not exhaustive'

# by hand: all pairs of parameters, long cases, properties on thousands of examples; and the exact adversary on
# 10^4 networks (an hour at most; it continues where it stopped)
exhaustive: $(STAMP)
	HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-long} $(PYTEST) -m 'exhaustive or hypothesis'
	$(BIN)/python -m tests.certify.exhaustive

bench: $(STAMP)
	$(BIN)/python -m pytest -q --benchmark-only tests/benchmarks

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/basedpyright --pythonpath $(BIN)/python

# the site, into out/site; it needs no network, nor does its building
docs: $(STAMP)
	$(BIN)/python -c 'import mkdocs, mkdocstrings' 2>/dev/null || $(BIN)/python -m pip install --quiet --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

# wheel and sdist, built, installed where nothing else is, and used there
release-check: $(STAMP)
	.ci/release

proofs: coq
	$(PY) proofs/coq/check.py

# Coq for the formal proofs, where it is missing and can be installed
coq:
	@command -v coqc >/dev/null || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends coq >/dev/null; } || \
		echo "Coq could not be installed" >&2

# torch and torchvision are resolved in the same call, so that their versions fit
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PY) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@
