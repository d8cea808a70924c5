# make compare: the default study, from nothing to its report. make test: the tests. Both make .venv first.
PYTHON ?= python3
BIN := .venv/bin
QUIETLY := --quiet --disable-pip-version-check --constraint constraints.txt

# Tests that start programs wait for them, and those of Slurm for Slurm: one worker more than there are processors.
WORKERS := -n $(shell $(PYTHON) -c 'import os; print(min(8, os.cpu_count() + 1))')

.PHONY: compare test test-slow parity parity-and-slow lint install-all clean

compare: .venv/installed
	$(BIN)/python -m experiments.study --config=configs/studies/families.py --workdir=runs/families

test: .venv/installed-test
	$(BIN)/python -m pytest $(WORKERS) --dist loadscope

test-slow: .venv/installed-test
	$(BIN)/python -m pytest $(WORKERS) --dist loadgroup -m slow

# Ours against transformers on torch, and against the lm-evaluation-harness, all of which this installs. A CPU build of
# torch is enough.
parity: .venv/installed-parity
	$(BIN)/python -m pytest $(WORKERS) --dist loadscope -m parity

# Both at once, for CI.
parity-and-slow: .venv/installed-parity
	$(BIN)/python -m pytest $(WORKERS) --dist loadgroup -m 'parity or slow'

lint: .venv/installed-test
	$(BIN)/ruff check .

clean:
	rm -rf .venv *.egg-info

# Everything in one go, for CI: three installations, one after the other, take longer.
install-all: .venv/bin/python
	$(BIN)/python -m pip install $(QUIETLY) --no-compile --editable '.[test,parity,tokenizers,harness]'
	touch .venv/installed .venv/installed-test .venv/installed-parity

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "arch_zoo needs Python 3.11 or newer, and $(PYTHON) is %d.%d; name another: make PYTHON=python3.12" % sys.version_info[:2])'
	@$(PYTHON) -m venv .venv

.venv/installed: setup.cfg constraints.txt | .venv/bin/python
	@echo "installing into .venv, once (a minute or two)"
	@$(BIN)/python -m pip install $(QUIETLY) --editable .
	@touch $@

.venv/installed-test: .venv/installed
	@$(BIN)/python -m pip install $(QUIETLY) --editable '.[test]'
	@touch $@

.venv/installed-parity: .venv/installed-test
	@$(BIN)/python -m pip install $(QUIETLY) --editable '.[parity,tokenizers,harness]'
	@touch $@
