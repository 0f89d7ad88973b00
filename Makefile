# make demo | test | bench | lint | proofs: each sets up everything on a fresh machine first.

PY ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test exhaustive bench lint proofs coq

demo: $(STAMP)
	$(BIN)/conetheory demo

# a process for each core, each of one thread
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto

# the slow tests, and the exact adversary on 10^4 networks (an hour at most; it continues where it stopped)
exhaustive: $(STAMP)
	$(BIN)/python -m pytest -q -m slow
	$(BIN)/python -m tests.certify.exhaustive

bench: $(STAMP)
	$(BIN)/python -m pytest -q --benchmark-only tests/benchmarks

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

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
