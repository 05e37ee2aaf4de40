"""Fixtures every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run in parallel processes, one thread each

import pytest
import torch
from cuda_emulation.emulation import install
from op_table import (  # noqa: F401  hooks of pytest
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_runtest_logreport,
    pytest_sessionfinish,
)

ROOT = Path(__file__).resolve().parents[1]


def shared_data_path() -> Path:
    """The folder of real photos and models that sits beside the project, never inside it."""
    return Path(os.environ.get("PYFACE3D_TEST_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    path = shared_data_path()
    if not path.is_dir():
        pytest.skip("the test data folder (../shared/data or PYFACE3D_TEST_DATA) is not on this machine")
    return path


@pytest.fixture(params=["cpu", "cuda-emulated", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the tensors are. "cuda-emulated" runs the CUDA sources on the CPU, see tests/cuda_emulation."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    if request.param == "cuda-emulated":
        install(monkeypatch)
        return "cpu"
    return request.param


@pytest.fixture(params=[torch.float32, torch.float64], ids=["f32", "f64"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param


@pytest.fixture
def threads_put_back() -> Iterator[None]:
    """The command line computes on one thread and says so to the libraries; what runs after the test should not."""
    before, environment = torch.get_num_threads(), dict(os.environ)
    yield
    torch.set_num_threads(before)
    for name in set(os.environ) - set(environment):
        del os.environ[name]
