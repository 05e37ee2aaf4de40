"""Reading a whole file within a limit."""

from __future__ import annotations

import os
from pathlib import Path

from pyface3d.errors import InputError

MAX_MESH_BYTES = 1 << 30
"""The largest mesh file that is read, in bytes."""


def read_bytes(path: str | os.PathLike[str], limit: int = MAX_MESH_BYTES) -> bytes:
    """The bytes of a regular file.

    Raises:
        InputError: there is no such file, it is a folder or device, it cannot be read, or it is larger than ``limit``.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise InputError(f"{path} does not exist")
        if not path.is_file():
            raise InputError(f"{path} is not a file")
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte, and InputError itself
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > limit:
        raise InputError(f"{path} is larger than {limit} bytes, the most that is read")
    return data
