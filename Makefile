# On a fresh machine: `make demo` shows what this is for, `make test` passes the tests.
# Both make their own virtual environment; they need Python 3.11+ and nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SECONDS := 300

.PHONY: demo test faults lint fuzz gpu clean

demo: $(VENV)/.installed ## generate data, train, search, and leave a page
	ANALYZE_HOME=$(CURDIR)/demo $(BIN)/analyze demo

test: $(VENV)/.installed-test lint ## every test, on SQLite and PostgreSQL, with a real Redis and real workers
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest; code=$$?; \
		$(BIN)/coverage combine --quiet; \
		echo "Branch coverage: $$($(BIN)/coverage report --format total) %. \`$(BIN)/coverage report\` lists the modules."; \
		exit $$code

# SEED is what the last lines of a run say; with it the same faults meet the same jobs again.
SEED ?=
ROUNDS ?= 1
faults: $(VENV)/.installed-test ## every fault with every kind of job on every database, ROUNDS times: takes long
	$(BIN)/python -m pytest tests/faults --dist load --faults long --rounds $(ROUNDS) $(SEED:%=--seed %)

lint: $(VENV)/.installed-test ## style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fuzz: $(VENV)/.installed-test ## hostile input for SECONDS a fuzzer, or EXAMPLES of it; how much it was is said at the end
	rm -f fuzz.txt
	FUZZ_SECONDS=$(if $(EXAMPLES),,$(SECONDS)) FUZZ_EXAMPLES=$(EXAMPLES) FUZZ_REPORT=$(CURDIR)/fuzz.txt \
		$(BIN)/python -m pytest -m fuzz --timeout 0 tests/hostile; code=$$?; cat fuzz.txt; exit $$code

MINUTES := 8
# IMAGES: a VOC data set or a folder of JPEG files; without it objects are drawn.
IMAGES ?=
gpu: $(VENV)/.installed-test ## everything that should run on a GPU: tests, benchmarks, profiles; see docs/gpu.md
	$(BIN)/python -m benchmarks.gpu --minutes $(MINUTES) $(IMAGES:%=--images %)

$(VENV)/.created:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "unitscope needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV) demo fuzz.txt gpu-report .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
