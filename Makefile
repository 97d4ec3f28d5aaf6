# make demo | test | lint | bench | faults | mutants | fuzz | msal-suite | sanitize | valgrind | clean. Set PYTHON (3.11 or newer) and VENV to choose others than the first found.
MAKEFLAGS += --no-print-directory
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml setup.py $(wildcard ext/*) $(shell find src -name '*.py' -o -name '*.pyi' -o -name py.typed)
export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test lint bench faults mutants fuzz msal-suite sanitize valgrind clean

demo: $(VENV)/.installed
	@$(BIN)/warmtoken demo $(DEMO_FLAGS)

test: $(VENV)/.installed $(VENV)/.group-test
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest $(TEST_FLAGS)

lint: $(VENV)/.installed $(VENV)/.group-lint $(VENV)/.group-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(VENV)/.installed $(VENV)/.group-bench
	$(BIN)/python -m benches $(BENCH_FLAGS)

# Hours of faults, and one rule after the other taken out (docs/reliability.md).
faults: export WARMTOKEN_FAULTS = nightly
faults: $(VENV)/.installed $(VENV)/.group-test
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -s -o timeout=3600 -o faulthandler_timeout=0 tests/faults tests/flows/test_model.py $(TEST_FLAGS)

mutants: $(VENV)/.installed $(VENV)/.group-test
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python scripts/mutants.py

# Hostile texts for the importer of MSAL caches, guided by coverage; FUZZ_FLAGS go to libFuzzer.
fuzz: FUZZ_FLAGS ?= -runs=1000000 -max_len=6000
fuzz: $(VENV)/.installed $(VENV)/.group-test $(VENV)/.group-fuzz
	$(BIN)/python tests/fuzz/msal_import.py $(FUZZ_FLAGS)

# MSAL Python's own tests, with its cache and with ours.
msal-suite: $(VENV)/.installed $(VENV)/.group-test
	$(BIN)/python scripts/msal_suite

# The tests with AddressSanitizer and UBSan in the extension; those of the engine under memcheck.
sanitize: export WARMTOKEN_CFLAGS = -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g -O1
sanitize: export LDFLAGS = -fsanitize=address,undefined
valgrind: export WARMTOKEN_CFLAGS = -g -O1
sanitize valgrind:
	@$(MAKE) VENV=.venv-$@ .venv-$@/.installed .venv-$@/.group-test
	@scripts/$@.sh .venv-$@ $(TEST_FLAGS)

clean:
	rm -rf $(VENV) .venv-sanitize .venv-valgrind build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks

$(VENV)/.made: scripts/make_venv.sh
	@scripts/make_venv.sh $(VENV)
	@touch $@

# What earlier builds left in build/lib would be installed too, also modules that are no more.
$(VENV)/.installed: $(VENV)/.made $(SOURCES)
	@rm -rf build/lib* build/bdist*
	@$(BIN)/python -m pip install --quiet .
	@touch $@

$(VENV)/.group-%: $(VENV)/.made pyproject.toml
	@$(BIN)/python -m pip install --quiet --group $*
	@touch $@
