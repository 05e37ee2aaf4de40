"""NumPy's ``.npy`` files, read within limits and without running anything."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyface3d.errors import InputError

_MAX_BYTES = 2**30


def read_npy(path: Path) -> NDArray[np.generic]:
    """The array of a file.

    Raises:
        InputError: it is missing, damaged, larger than 1 GiB, or holds objects.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path} is larger than {_MAX_BYTES >> 20} MiB; give a smaller array")
        return load_npy(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, TypeError, SyntaxError, MemoryError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not a numpy array of numbers ({error}); save it with numpy.save") from error


def load_npy(content: bytes) -> NDArray[np.generic]:
    """The array of an .npy file whose stated size fits its length; pickled objects are refused."""
    stream = BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"format {version} is not read")
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = read_header[version](stream)
    if dtype.hasobject or any(side < 0 for side in shape):
        raise ValueError("it holds objects")
    if int(np.prod(shape, dtype=object)) * dtype.itemsize != len(content) - stream.tell():
        raise ValueError("its length is not what its header says")
    stream.seek(0)
    return np.load(stream, allow_pickle=False)
