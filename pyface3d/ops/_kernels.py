"""Finds the native modules and calls their entry points: device, dtype, threads and stream in one place."""

import os
import warnings
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

from pyface3d.errors import Pyface3dError

_SUFFIX = {torch.float32: "_f32", torch.float64: "_f64"}


@cache
def cpu_kernels() -> ModuleType:
    """The CPU module for the best instruction set of this machine; PYFACE3D_ISA=baseline|avx2|avx512 forces one."""
    try:
        supported = import_module("pyface3d._cpu_baseline").supported()
    except ImportError as error:
        raise Pyface3dError(
            f"the CPU kernels of pyface3d cannot be loaded ({error}); build them with `pip install .` "
            "or `python setup.py build_ext --inplace`"
        ) from error
    wanted = os.environ.get("PYFACE3D_ISA", "").lower()
    if wanted:
        if wanted not in supported:
            raise Pyface3dError(f"PYFACE3D_ISA={wanted} cannot run here; this machine offers {', '.join(supported)}")
        supported = [wanted]
    for isa in supported:
        try:
            return import_module(f"pyface3d._cpu_{isa}")
        except ImportError:
            continue
    raise Pyface3dError(f"none of the CPU kernel modules {supported} was built; run `pip install .` again")


@cache
def cuda_kernels() -> ModuleType | None:
    """The CUDA module, or None (said once) when it was not built."""
    try:
        return import_module("pyface3d._cuda")
    except ImportError as error:
        warnings.warn(f"pyface3d was built without CUDA kernels, the CPU serves ({error})", stacklevel=2)
        return None


def cuda_state() -> str:
    """One sentence on whether CUDA tensors can be used, for people."""
    module = cuda_kernels()
    if module is None:
        return "CUDA kernels not built (no nvcc at install time, or PYFACE3D_CUDA=off)"
    if module.device_count() == 0:
        return "CUDA kernels built, but this machine has no usable driver or device: the CPU serves"
    return f"CUDA kernels built, {module.device_count()} device(s)"


def launch(name: str, *args: Tensor | int | float | bool | None, sums: Sequence[Tensor | None] = ()) -> None:
    """Runs kernel ``name`` on tensors (all on one device, contiguous) and scalars; None is a null address.

    The first floating tensor decides the precision. CPU kernels get torch's thread count, CUDA kernels the
    current stream of the tensors' device. ``sums`` names the outputs to which threads of the CUDA kernel add (those of
    the CPU add in order): for each it gets a workspace where torch asks for deterministic algorithms, else null.
    """
    tensors = [a for a in args if isinstance(a, Tensor)]
    dtype = next(t.dtype for t in tensors if t.is_floating_point())
    values = [_address(a) if isinstance(a, Tensor) else 0 if a is None else a for a in args]
    run = _run_on_cpu if tensors[0].device.type == "cpu" else _run_on_cuda
    run(name + _SUFFIX[dtype], values, sums, tensors[0].device)


_Values = list[int | float | bool]


def _run_on_cpu(entry: str, values: _Values, sums: Sequence[Tensor | None], device: torch.device) -> None:
    getattr(cpu_kernels(), entry)(*values, torch.get_num_threads())


def _run_on_cuda(entry: str, values: _Values, sums: Sequence[Tensor | None], device: torch.device) -> None:
    module = cuda_kernels()
    if module is None:
        raise Pyface3dError(f"{entry} was called on {device}, but pyface3d has no CUDA kernels; see `pyface3d doctor`")
    with torch.cuda.device(device):
        workspaces = [_workspace(s) for s in sums]
        addresses = [0 if w is None else _address(w) for w in workspaces]
        getattr(module, entry)(*values, *addresses, torch.cuda.current_stream(device).cuda_stream)


def _workspace(sums: Tensor | None) -> Tensor | None:
    """Room for the fixed-point sums of csrc/cuda/sums.cuh where torch asks for deterministic algorithms."""
    if sums is None or not torch.are_deterministic_algorithms_enabled():
        return None
    return torch.empty(1 + 2 * sums.numel(), dtype=torch.int64, device=sums.device)


def _address(tensor: Tensor) -> int:
    assert tensor.is_contiguous(), "kernels take dense tensors; the public function makes them so"
    return tensor.data_ptr()
