# Every target makes the virtual environment the first time, so only Python 3.11 or newer is needed.
PYTHON ?= $(firstword $(foreach p,python3.13 python3.12 python3.11 python3.14 python3 python,$(shell \
	$(p) -c 'import sys; sys.version_info >= (3, 11) and print("$(p)")' 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin

QUICK := $(filter --quick,$(ARGS))

.PHONY: race test lint format notebooks bench clean

race: $(VENV)/.race  ## train a network on handwritten digits with several optimizers
	$(BIN)/gradtx race $(ARGS)

test: $(VENV)/.dev  ## run the tests and all examples in the documentation; ARGS=--exhaustive runs all of them, optimized
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

lint: $(VENV)/.dev  ## check style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

format: $(VENV)/.dev  ## fix the style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

notebooks: $(VENV)/.notebooks  ## open the guide in Jupyter
	$(BIN)/jupyter lab notebooks $(ARGS)

bench: $(VENV)/.bench  ## measure speed, memory, accuracy and common claims, and write the tables of docs/measurements.md; --quick writes nothing
	@for name in step inputs accuracy claims; do \
		$(BIN)/python benchmarks/$$name.py $(if $(QUICK),--quick,--json benchmarks/results/$$name.json) || exit 1; \
	done
	$(if $(QUICK),,$(BIN)/python benchmarks/tables.py)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "gradtx needs Python 3.11 or newer; give its path as PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu, install python3-venv" >&2; exit 1; }

# There is one stamp for each extra. A stamp is made again if the requirements change.
$(VENV)/.%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
