"""The CUDA kernels on the CPU's tensors; see README.md beside this file."""

import ctypes
import importlib.machinery
import importlib.util
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pyface3d.ops import _kernels

with suppress(ImportError):  # where there is no fcntl there is no ucontext either
    from cuda_emulation import build


class Emulation:
    """The module of the CUDA kernels, and the order in which their threads run."""

    def __init__(self, path: Path) -> None:
        loader = importlib.machinery.ExtensionFileLoader("_cuda_emulated", str(path))
        spec = importlib.util.spec_from_loader("_cuda_emulated", loader)
        assert spec is not None
        self._module = importlib.util.module_from_spec(spec)
        loader.exec_module(self._module)
        self._controls = ctypes.CDLL(str(path))
        self._arrays: list[tuple[int, int, int]] = []
        self.checks = True
        self.schedule()

    def schedule(self, seed: int = 0, max_blocks: int = 2) -> None:
        """Order of the threads from now on: 0 as they are numbered, any other seed a random one."""
        self._controls.emulation_schedule(ctypes.c_uint64(seed), ctypes.c_int64(max_blocks))

    def address(self, tensor: Tensor) -> int:
        """Stands in for ``_kernels._address``: remembers what memory the next kernel may touch."""
        address = _real_address(tensor)
        self._arrays.append((address, tensor.numel() * tensor.element_size(), tensor.element_size()))
        return address

    def run(self, entry: str, values: list, sums: Sequence[Tensor | None], device: torch.device) -> None:
        """Stands in for ``_kernels._run_on_cpu`` and does what ``_run_on_cuda`` does."""
        workspaces = [_kernels._workspace(s) for s in sums]
        addresses = [0 if w is None else self.address(w) for w in workspaces]
        arrays, self._arrays = self._arrays, []
        columns = [(ctypes.c_size_t * len(arrays))(*column) for column in zip(*arrays)]
        self._controls.emulation_set_arrays(len(arrays), *columns, self.checks)
        getattr(self._module, entry)(*values, *addresses, 0)  # the default stream


_real_address = _kernels._address


def emulation() -> Emulation:
    """The module, built when it is first asked for; skips the test where that cannot be done."""
    if "build" not in globals() or build.compiler() is None:
        pytest.skip("running the CUDA kernels on the host needs Linux and GCC")
    made = _emulation_or_error()
    if isinstance(made, str):
        pytest.fail(f"the CUDA sources do not build for the host: {made}", pytrace=False)
    return made


@cache
def _emulation_or_error() -> Emulation | str:
    try:
        return Emulation(build.build())
    except (RuntimeError, ImportError) as error:  # said by every test, tried once
        return str(error)


def install(patch: pytest.MonkeyPatch) -> Emulation:
    """Until the patch is undone every op on CPU tensors runs its CUDA kernels."""
    emulated = emulation()
    emulated.schedule()
    patch.setattr(_kernels, "_run_on_cpu", emulated.run)
    patch.setattr(_kernels, "_address", emulated.address)
    return emulated
