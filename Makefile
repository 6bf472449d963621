# The two commands of a newcomer are `make demo` and `make test`; both set up `.venv` first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test lint acceptance clean

setup: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	find . -name '*.nb[ci]' -not -path './.venv/*' -delete # a kernel does not notice that one it calls has changed
	$(BIN)/python -m bellbench.warm_up
	touch $@

demo: setup
	$(BIN)/bellbench run configs/nyc_swapping.yaml --seed 1

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

test: lint
	$(BIN)/pytest -n 2 --dist worksteal

# The figures of physics.md 5 to within its bands, over hours of simulated time (about 45 minutes).
acceptance: setup
	$(BIN)/pytest -m long -s tests/acceptance

clean:
	rm -rf .venv
