# The two commands of a newcomer are `make demo` and `make test`; both set up `.venv` first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test lint tools acceptance clean

setup: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	find . -name '*.nb[ci]' -not -path './.venv/*' -delete # a kernel does not notice that one it calls has changed
	$(BIN)/python -m bellbench.warm_up
	touch $@

demo: setup
	$(BIN)/bellbench run configs/nyc_swapping.yaml --seed 1 $(OPTIONS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# A real MQTT broker and a browser: tests that need them say loudly when they are not there.
tools:
	@missing=; for tool in mosquitto chromium; do \
	  PATH="$$PATH:/usr/sbin" command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	if [ -n "$$missing" ]; then \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $$missing >/dev/null \
	    || echo "could not install$$missing: their tests will be skipped"; \
	  else echo "install$$missing for the tests that need them; they will be skipped"; fi; fi

test: lint tools
	$(BIN)/pytest -n 3 --dist worksteal

# The figures of physics.md 5 to within its bands, over hours of simulated time (about 45 minutes).
acceptance: setup
	$(BIN)/pytest -m long -s tests/acceptance

clean:
	rm -rf .venv
