"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pyface3d.errors import OutputError


def _umask() -> int:
    """The process's file mode mask; the only portable way to read it is to set it and set it back."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


_UMASK = _umask()  # once, at import: switching it later would race with files other threads make


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a binary file that takes the name ``path`` only when the block ends without an error.

    The bytes go to a hidden file of the same folder, which is renamed over ``path`` at the end; a crash, a full disk
    or an exception leaves ``path`` as it was. Missing parent folders are made.

    Raises:
        OutputError: naming ``path`` and the system's reason (no permission, disk full, name too long).
    """
    path = Path(path)
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A short name of its own: NAME + suffix could pass the file system's limit where NAME alone does not.
        handle, name = tempfile.mkstemp(prefix=".pyface3d-", suffix=".part", dir=path.parent)
        part = Path(name)
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(part, 0o666 & ~_UMASK)  # mkstemp makes files that only their owner can read
        os.replace(part, path)
        part = None
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {path}: {reason}; free space or choose another output folder") from error
    finally:
        if part is not None:
            with suppress(OSError):
                part.unlink()
