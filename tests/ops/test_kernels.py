"""How the native modules are found: instruction sets, a missing build, a machine without a driver."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from op_case import SMALL, mesh
from op_cases import CASES

from pyface3d import ops
from pyface3d.errors import Pyface3dError
from pyface3d.ops import _kernels

HERE = Path(__file__).resolve().parent
SUPPORTED = _kernels.import_module("pyface3d._cpu_baseline").supported()

# Writes what every case answers, and its gradients, to the file named by the first argument.
_ANSWERS = """
import sys, torch
from op_case import SMALL, mesh
from op_cases import CASES
from test_ops import gradients, made
answers = {}
for case in CASES:
    for dtype in (torch.float32, torch.float64):
        tensors = made(case, dtype)
        answers[case.name, str(dtype)] = (
            *case.call(tensors, mesh(SMALL)), *(gradients(case, tensors, mesh(SMALL)) if case.differentiable else ())
        )
torch.save(answers, sys.argv[1])
from pyface3d.ops._kernels import cpu_kernels
print(cpu_kernels().__name__)
"""


def python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    variables = {**os.environ, "PYTHONPATH": path, **environment}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=variables, capture_output=True, text=True, timeout=280
    )


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_gives_the_same_answers(isa, tmp_path):
    """Contraction is off and every sum has a fixed order, so the sets may differ by rounding at most."""
    if isa not in SUPPORTED:
        pytest.skip(f"this processor has no {isa}")
    done = python(_ANSWERS, str(tmp_path / "answers.pt"), PYFACE3D_ISA=isa)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == f"pyface3d._cpu_{isa}"
    answers = torch.load(tmp_path / "answers.pt", weights_only=True)
    assert len(answers) == 2 * len(CASES)
    for case in CASES:
        for dtype in (torch.float32, torch.float64):
            tensors = {name: t.to(dtype) if t.is_floating_point() else t for name, t in case.inputs(SMALL).items()}
            here = case.call(tensors, mesh(SMALL))
            for found, expected in zip(answers[case.name, str(dtype)], here):
                torch.testing.assert_close(found, expected, equal_nan=True, msg=lambda m, c=case: f"{c.name}: {m}")


def test_an_instruction_set_the_machine_lacks_is_an_error(monkeypatch):
    monkeypatch.setenv("PYFACE3D_ISA", "sse9")
    _kernels.cpu_kernels.cache_clear()
    try:
        with pytest.raises(Pyface3dError, match=r"PYFACE3D_ISA=sse9 cannot run here; this machine offers .*baseline"):
            _kernels.cpu_kernels()
    finally:
        _kernels.cpu_kernels.cache_clear()


def test_missing_kernels_say_how_to_build_them(monkeypatch):
    def missing(name: str):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(_kernels, "import_module", missing)
    _kernels.cpu_kernels.cache_clear()
    try:
        with pytest.raises(Pyface3dError, match=r"cannot be loaded .*pip install"):
            ops.face_normals(torch.zeros(1, 4, 3), ops.Topology(torch.tensor([[0, 1, 2]]), 4))
    finally:
        _kernels.cpu_kernels.cache_clear()


def test_a_set_that_was_not_built_falls_back_to_the_next(monkeypatch):
    real = _kernels.import_module

    def without_vectors(name: str):
        if name in ("pyface3d._cpu_avx512", "pyface3d._cpu_avx2"):
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr(_kernels, "import_module", without_vectors)
    monkeypatch.delenv("PYFACE3D_ISA", raising=False)
    _kernels.cpu_kernels.cache_clear()
    try:
        assert _kernels.cpu_kernels().__name__ == "pyface3d._cpu_baseline"
    finally:
        _kernels.cpu_kernels.cache_clear()


def test_cuda_kernels_are_imported_only_when_asked_for():
    done = python(
        "import sys, torch, pyface3d.ops as ops\n"
        "ops.face_normals(torch.rand(1, 3, 3), ops.Topology(torch.tensor([[0, 1, 2]]), 3))\n"
        "assert 'pyface3d._cuda' not in sys.modules\n"
        "from pyface3d.ops._kernels import cuda_state\n"
        "print(cuda_state())"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("CUDA kernels")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA driver")
def test_the_cuda_module_loads_without_a_driver_and_says_so():
    module = pytest.importorskip("pyface3d._cuda", reason="built without CUDA")
    assert module.device_count() == 0
    assert "no usable driver or device: the CPU serves" in _kernels.cuda_state()


def test_a_build_without_cuda_is_said_once(monkeypatch, recwarn):
    def missing(name: str):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(_kernels, "import_module", missing)
    _kernels.cuda_kernels.cache_clear()
    try:
        for _ in range(3):
            assert _kernels.cuda_kernels() is None
        assert _kernels.cuda_state().startswith("CUDA kernels not built")
        assert [
            str(w.message) for w in recwarn if "without CUDA kernels, the CPU serves" in str(w.message)
        ].__len__() == 1
    finally:
        _kernels.cuda_kernels.cache_clear()


def test_both_modules_offer_the_same_entry_points():
    cuda = pytest.importorskip("pyface3d._cuda", reason="built without CUDA")
    names = {name for name in dir(_kernels.cpu_kernels()) if name.endswith(("_f32", "_f64"))}
    assert names == {name for name in dir(cuda) if name.endswith(("_f32", "_f64"))}
    assert len(names) > 20
