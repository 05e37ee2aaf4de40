"""What a long run over many files has done: one line of JSON per file, so that the next run can go on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyface3d.errors import InputError, OutputError

Row = dict[str, Any]


class Ledger:
    """Rows by file, appended as they are made.

    The first line says what the run was asked for. A run that resumes must be asked for the same; a last line that was
    cut short by a crash is forgotten.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], resume: bool) -> None:
        """Args:
            path: of the file; its folder is made when missing.
            settings: plain values on which the results depend.
            resume: go on with what the file has, if there is one.

        Raises:
            InputError: the file is of a run with other settings, or no such file.
            OutputError: it cannot be written.
        """
        self.path = path
        head = json.loads(json.dumps({"made_by": "pyface3d prepare", **settings}))
        self.rows: dict[str, Row] = {}
        lines = self._lines() if resume and path.is_file() else []
        if lines and lines[0] != head:
            differing = sorted(key for key in {*head, *lines[0]} if head.get(key) != lines[0].get(key))
            raise InputError(
                f"{path} is of a run with other settings ({', '.join(differing)}); leave out --resume, or choose "
                "another folder"
            )
        self.rows = {row["file"]: row for row in lines[1:]}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = path.open("w", encoding="utf-8")
            for line in (head, *self.rows.values()):
                self._write(line)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another folder") from error

    def add(self, file: str, **values: Any) -> None:
        """Note what became of ``file``; a later row of the same file replaces it."""
        self.rows[file] = {"file": file, **values}
        try:
            self._write(self.rows[file])
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}; free space") from error

    def close(self) -> None:
        self._stream.close()

    def _write(self, row: Mapping[str, Any]) -> None:
        # In ASCII, for names of files may hold bytes that are no UTF-8.
        self._stream.write(json.dumps(row, allow_nan=False) + "\n")
        self._stream.flush()

    def _lines(self) -> list[Row]:
        found: list[Row] = []
        try:
            for line in self.path.read_text(encoding="utf-8").splitlines():
                value = json.loads(line)
                if not isinstance(value, dict) or (found and not isinstance(value.get("file"), str)):
                    raise ValueError("a line is no row")
                found.append(value)
        except ValueError:  # of the decoder too: the end of a run that was cut short
            if not found:
                raise InputError(f"{self.path} is not of a run of pyface3d prepare; leave out --resume") from None
        return found


def refuse_overwriting(target: Path, source: Path) -> None:
    """Raise InputError where a result would take the place of the picture that it is made from."""
    if target.exists() and source.exists() and target.samefile(source):
        raise InputError(f"{source} would be written over by what is made of it; choose another output folder")
