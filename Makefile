# make compare: the default study, from nothing to its report. make test: the tests. Both make .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: compare test test-slow parity lint clean

compare: .venv/installed
	$(BIN)/python -m experiments.study --config=configs/studies/families.py --workdir=runs/families

test: .venv/installed-test
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadscope

test-slow: .venv/installed-test
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist load -m slow

# Ours against transformers on torch, and against the lm-evaluation-harness, all of which this installs. A CPU build of
# torch is enough.
parity: .venv/installed-parity
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadscope -m parity

lint: .venv/installed-test
	$(BIN)/ruff check .

clean:
	rm -rf .venv *.egg-info

.venv/installed: setup.cfg constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "arch_zoo needs Python 3.11 or newer, and $(PYTHON) is %d.%d; name another: make PYTHON=python3.12" % sys.version_info[:2])'
	@echo "installing into .venv, once (a minute or two)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

.venv/installed-test: .venv/installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@

.venv/installed-parity: .venv/installed-test
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[parity,tokenizers,harness]'
	@touch $@
