# Each recipe sets itself up: a virtual environment, pinned dependencies, then the work.
PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: help setup fmt lint test test-again soak demo bench bench-peers clean
help:            ## list the recipes
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

setup: $(STAMP)  ## install EdgeKit with everything it needs into .venv

$(STAMP): pyproject.toml
	@echo "edgekit: setting up $(VENV): about 1 GB to download and 3.3 GB on disk (PyTorch for the CPU and the converters); once"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "edgekit: $(PYTHON) is not Python 3.11; install it, or name it: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL),) torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

fmt: setup       ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix --quiet .

lint: setup      ## ruff, mypy --strict and the import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

demo: setup      ## one model all the way: convert, roll out, watch, go back
	$(BIN)/edgekit demo

WORKERS ?= 3
test: setup      ## every test; files side by side, they wait more than they compute (WORKERS=3)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile || { test $$? -eq 1 && $(MAKE) --no-print-directory test-again; }

test-again: setup  ## what failed last, once more and alone; what passes now is unsteady: a fault to mend
	@echo "edgekit: UNSTEADY if they pass now: the tests named above ran beside others; once more, alone"
	$(BIN)/python -m pytest --last-failed --last-failed-no-failures none --exitfirst -p no:randomly

soak: setup      ## the long forms: hundreds of crash states and kills (half an hour and more)
	$(BIN)/python -m pytest -m soak

bench: setup     ## the short form of every benchmark; writes docs/benchmarks.md
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.page > docs/benchmarks.md

NNCF     := .venv-peers-nncf
OLIVE    := .venv-peers-olive
AIEDGE   := .venv-peers-ai-edge-quantizer
GOOSEBIT := .venv-peers-goosebit
MLSERVER := .venv-peers-mlserver

# A peer that cannot be installed stops no other: its rows say that it is not there.
python_of = $$(test -x $(1)/bin/python && echo $(1)/bin/python)
without = { rm -rf $@; echo "edgekit: no $@: benchmarks go on without this peer" >&2; }

bench-peers: setup $(NNCF) $(OLIVE) $(AIEDGE) $(GOOSEBIT) $(MLSERVER)  ## benchmarks with peers, each in an environment of its own
	EDGEKIT_OLIVE=$(call python_of,$(OLIVE)) EDGEKIT_QUANTIZER=$(call python_of,$(AIEDGE)) \
		EDGEKIT_NNCF=$(call python_of,$(NNCF)) EDGEKIT_GOOSEBIT=$(call python_of,$(GOOSEBIT)) \
		EDGEKIT_MLSERVER=$(call python_of,$(MLSERVER)) \
		$(BIN)/python -m benchmarks agent_http_peers conversion_peers int8_latency polls
	$(BIN)/python -m benchmarks.page > docs/benchmarks.md

$(NNCF):
	$(PYTHON) -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check nncf==3.4.0 onnx==1.23.2 onnxruntime==1.31.1 openvino==2026.4.1 || $(without)

$(OLIVE):
	$(PYTHON) -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL),) torch==2.13.0 \
		&& $@/bin/pip install --quiet --disable-pip-version-check olive-ai==0.13.0 requests==2.34.2 onnx==1.23.2 onnxruntime==1.31.1 || $(without)

$(AIEDGE):
	$(PYTHON) -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check ai-edge-quantizer==0.10.0 || $(without)

$(GOOSEBIT):
	$(PYTHON) -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check gooseBit==0.2.12 aerich || $(without)

$(MLSERVER):
	$(PYTHON) -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check mlserver==1.7.1 onnxruntime==1.31.1 || $(without)

clean:           ## remove what the recipes made
	rm -rf $(VENV) .venv-* demo-run build *.egg-info
