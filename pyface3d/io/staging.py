"""Several files that appear together, or not at all."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pyface3d.errors import OutputError

_PREFIX, _SUFFIX = ".pyface3d-", ".part"


class StagedFiles:
    """Files being written to a hidden folder inside the one where they will appear."""

    def __init__(self, folder: Path, staging: Path) -> None:
        self._folder, self._staging = folder, staging
        self._names: list[str] = []
        self.written: list[Path] = []

    def path(self, name: str) -> Path:
        """Where to write the file that will be called ``name`` (which may have a folder in it)."""
        path = self._staging / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name not in self._names:
            self._names.append(name)
        return path

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a whole file. It is not forced to the disk: after a power cut, files may be there and empty."""
        self.path(name).write_bytes(data)

    def sizes(self) -> dict[str, int]:
        """Length in bytes of every file begun so far, by name."""
        return {name: (self._staging / name).stat().st_size for name in self._names}

    def _commit(self) -> None:
        """Move everything to its place. The last file vouches for the others, so its old version goes first."""
        if self._names:
            (self._folder / self._names[-1]).unlink(missing_ok=True)
        for name in self._names:
            target = self._folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self._staging / name, target)
            self.written.append(target)


@contextmanager
def staged_files(folder: str | os.PathLike[str]) -> Iterator[StagedFiles]:
    """Collect files and let them appear in ``folder`` when the block ends without an error.

    They are moved in the order in which they were begun: a reader who finds the last finds all. An exception, a full
    disk or a killed process leaves the files that were there before; what a killed process had staged is removed by
    the next `remove_stale`.

    Args:
        folder: made when missing.

    Raises:
        OutputError: naming ``folder`` and the system's reason (no permission, disk full, name too long).
    """
    folder = Path(folder)
    staging: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", suffix=_SUFFIX, dir=folder))
        files = StagedFiles(folder, staging)
        yield files
        files._commit()
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The error to raise when the system refuses to write to ``path``."""
    reason = error.strerror or str(error)
    return OutputError(f"cannot write to {path}: {reason}; free space, mend its permissions or choose another folder")


def remove_stale(folder: str | os.PathLike[str]) -> None:
    """Remove what processes that no longer run had staged in ``folder``."""
    pattern = re.compile(re.escape(_PREFIX) + r"(\d+)-.*" + re.escape(_SUFFIX))
    with suppress(OSError):
        for entry in os.scandir(folder):
            match = pattern.fullmatch(entry.name)
            if match and not _runs(int(match[1])):
                shutil.rmtree(entry.path, ignore_errors=True)


def _runs(process: int) -> bool:
    if process == os.getpid():  # an earlier process of the same number: containers hand out the same ones
        return False
    if os.name != "posix":  # elsewhere signal 0 is not a harmless question
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it runs, but is not ours
        return True
    return True
