# `make demo` runs a small example, `make test` runs the tests.
# Each target creates the virtual environment it needs; only Python 3.11+ has to be installed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SECONDS := 300

.PHONY: demo test coverage docs faults lint fuzz gpu clean

demo: $(VENV)/.installed ## generate data, train a network, search it, and write an HTML page
	ANALYZE_HOME=$(CURDIR)/demo $(BIN)/analyze demo

# The checks of `make lint` run beside the tests, which often wait. Their output is printed at the end.
test: $(VENV)/.installed-test ## run all tests, on SQLite and PostgreSQL, with real Redis servers and workers
	$(MAKE) --no-print-directory lint > lint.txt 2>&1 & linting=$$!; \
		$(BIN)/python -m pytest; code=$$?; \
		wait $$linting; linted=$$?; cat lint.txt; rm -f lint.txt; \
		exit $$((code ? code : linted))

coverage: $(VENV)/.installed-test ## run all tests and report which branches they run; takes a third longer
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest; code=$$?; \
		$(BIN)/coverage combine --quiet 2> /dev/null; \
		rm -f .coverage.*; \
		$(BIN)/coverage report; \
		exit $$code

docs: $(VENV)/.installed-docs ## build the documentation in site/; needs no network, apart from the installation
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "file://$(CURDIR)/site/index.html"

# FAULTS=databases: every fault on every database, but with one kind of job, chosen at random.
# SEED: the seed printed at the end of an earlier run, to repeat the same faults with the same jobs.
FAULTS ?= long
SEED ?=
ROUNDS ?= 1
faults: $(VENV)/.installed-test ## inject every fault into every kind of job on every database, ROUNDS times (slow)
	$(BIN)/python -m pytest tests/faults --dist load --faults $(FAULTS) --rounds $(ROUNDS) $(SEED:%=--seed %)

lint: $(VENV)/.installed-test ## check style, types, and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fuzz: $(VENV)/.installed-test ## run each fuzzer for SECONDS or EXAMPLES, and print a summary
	rm -f fuzz.txt
	FUZZ_SECONDS=$(if $(EXAMPLES),,$(SECONDS)) FUZZ_EXAMPLES=$(EXAMPLES) FUZZ_REPORT=$(CURDIR)/fuzz.txt \
		$(BIN)/python -m pytest -m fuzz --timeout 0 tests/hostile; code=$$?; cat fuzz.txt; exit $$code

MINUTES := 8
# IMAGES: a VOC data set or a folder of JPEG files; by default images are generated.
IMAGES ?=
gpu: $(VENV)/.installed-test ## run tests, benchmarks and profiles on a GPU; see docs/operations/gpu.md
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

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) demo site fuzz.txt lint.txt gpu-report .coverage .coverage.* \
		.pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
