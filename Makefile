# Verbs of the project. `make demo` and `make test` set everything up by themselves.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
IMPORT := .venv-import
STAMP  := $(VENV)/.installed
PROTOS := $(wildcard protos/retouch/v1/*.proto)
STUBS  := clients/python

.DEFAULT_GOAL := help
.PHONY: help setup demo drill test k8s-check test-import fmt lint types protos dashboards draw-dashboards bench up clean

help:            ## list the verbs
	@grep -E '^[a-z0-9-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 18

setup: $(STAMP)  ## make .venv with the client, the server, Triton and the tools

$(STAMP): pyproject.toml clients/python/pyproject.toml requirements/no-deps.txt requirements/constraints.txt
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 14), "Retouch needs CPython 3.11 to 3.13; set PYTHON=…"'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements/constraints.txt -e 'clients/python[profile]' -e '.[triton,dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r requirements/no-deps.txt
	touch $@

demo: setup      ## edit and upscale a real photograph through a local Triton; writes out/demo/
	$(BIN)/python -m benchmarks.demo

test: setup      ## run every test
	$(BIN)/python -m pytest -q

k8s-check: setup ## build and check everything under k8s/ and docker/; part of test
	$(BIN)/python -m pytest -q tests/k8s

test-import:     ## run the tests of importing models, in an environment of their own with torch (5.8 GB)
	test -x $(IMPORT)/bin/python || $(PYTHON) -m venv $(IMPORT)
	$(IMPORT)/bin/pip install --quiet --disable-pip-version-check -c requirements/constraints.txt -e clients/python -e '.[triton,import,dev]'
	$(IMPORT)/bin/pip install --quiet --disable-pip-version-check --no-deps -r requirements/no-deps.txt
	$(IMPORT)/bin/python -m pytest -q tests/importing

fmt: setup       ## format Python and protos
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/buf format -w protos

lint: setup      ## ruff, buf and the import rules
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check .
	$(BIN)/buf lint protos
	$(BIN)/lint-imports

types: setup     ## pyright, strict on the packages
	$(BIN)/pyright

protos: setup    ## make the stubs again
	$(BIN)/python -m grpc_tools.protoc -I protos --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
	  --python_out=$(STUBS) --mypy_out=quiet:$(STUBS) $(PROTOS:protos/%=%)
	$(BIN)/python -m grpc_tools.protoc -I protos --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	  --grpc_python_out=$(STUBS) --mypy_grpc_out=quiet:$(STUBS) $(filter %_service.proto,$(PROTOS:protos/%=%))

dashboards: setup  ## make the dashboards' JSON and the PrometheusRules again
	$(BIN)/python -m k8s.monitoring.source

draw-dashboards: setup  ## put load on a service and draw its dashboards into docs/dashboards/
	$(BIN)/python -m benchmarks.dashboards

bench: setup     ## run every benchmark
	$(BIN)/python -m benchmarks all

drill: setup     ## restart and kill every server under load, with Prometheus watching (5 minutes; needs Debian's prometheus)
	$(BIN)/python -m benchmarks.drill --plot out/drill.png

up: setup        ## serve until stopped
	$(BIN)/retouch up

clean:           ## remove what the verbs made
	rm -rf $(VENV) $(IMPORT) out var .pytest_cache .ruff_cache .hypothesis .import_linter_cache
