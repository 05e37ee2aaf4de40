"""Arrays and network weights out of Python's own file formats, without running what is in them.

A pickle is a program. Those read here may call nothing but what rebuilds a numpy array, so that the worst a file can
do is not to be read.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyface3d.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

_MAX_BYTES = 512 * 2**20


def read_pickled_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a pickled dictionary, for example 3DDFA_V2's ``bfm_noneck_v3.pkl``; entries of other kinds are
    left out.

    Raises:
        InputError: the file is missing, damaged, too large, or wants more than arrays, numbers and texts.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path} is larger than {_MAX_BYTES >> 20} MiB; give the published file")
        with path.open("rb") as stream:
            content = _ArrayUnpickler(stream, encoding="latin1").load()
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged pickle raises whatever its broken steps stumble over
        raise InputError(f"{path} is not a pickle of plain arrays ({error}); give the published file") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a dictionary of arrays, got {type(content).__name__}")
    arrays = {str(key): value for key, value in content.items() if isinstance(value, np.ndarray)}
    return {key: value for key, value in arrays.items() if value.dtype.kind in "fiu"}


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """A network's weights from a ``.pth`` file of torch: the state dict itself, or the entry ``state_dict``.

    Raises:
        InputError: the file is missing, damaged, or wants more than tensors.
    """
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged archive raises whatever zipfile or the unpickler stumble over
        raise InputError(f"{path} is not a weight file of torch ({error}); give the published file") from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise InputError(f"{path} must hold a state dict of tensors; give the published file")
    return {str(key): value for key, value in content.items()}


def _empty(*_: Any) -> NDArray[Any]:
    """The start of every pickled array; its shape, type and content come as state afterwards and must agree."""
    return np.ndarray((0,), np.int8)


def _latin1(text: str, encoding: str) -> bytes:
    """How old protocols write bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes are encoded as {encoding}")
    return text.encode("latin1")


class _ArrayUnpickler(pickle.Unpickler):
    """Refuses every name but those that rebuild numpy arrays."""

    _NAMES: Mapping[tuple[str, str], Any] = {
        ("numpy.core.multiarray", "_reconstruct"): _empty,
        ("numpy._core.multiarray", "_reconstruct"): _empty,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _latin1,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._NAMES[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None
