# Threads wait asleep: awake, they halve the speed of a machine that has anything else to do.
# Tests run one process a core, each with one thread: half the time of one process with all cores.
# Every command makes the virtual environment itself when it is missing.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test check bench fuzz clean

setup: $(READY)

$(READY): requirements.txt requirements-dev.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	SAM2_BUILD_CUDA=0 $(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--no-deps --no-build-isolation sam2==1.1.0
	touch $@

demo: $(READY)
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m demo.run

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache

bench: $(READY)
	$(BIN)/python -m benchmarks.step

fuzz: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check atheris==3.0.0
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m fuzz.run --seconds $(or $(FUZZ_SECONDS),60)

clean:
	rm -rf $(VENV) build dist *.egg-info
