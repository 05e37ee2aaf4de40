"""What tells two files apart."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pyface3d.errors import InputError

_BLOCK = 1 << 20


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal; the file is read in pieces.

    Raises:
        InputError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return digest.hexdigest()
