"""What a batch run is given, as a list of pictures with an output name each."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from pyface3d.errors import InputError

PICTURE_SUFFIXES = frozenset([".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"])
"""What counts as a picture inside a folder; files that are named one by one are tried whatever they are called."""
_VIDEO_SUFFIXES = frozenset([".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"])
_MAX_LIST_BYTES = 256 << 20
# A file name may have 255 bytes; the longest ending is "_face99_foundation_frontal.ply".
_MAX_STEM_BYTES = 220
# Endings under which one picture's files could take another picture's name.
_OWN_ENDINGS = re.compile(
    r"(_face\d+)?(_overlay|_occlusion|_bump|_visible|_parts|_(foundation|withbump|sparsefull|final)_(frontal|aligned))?$"
)


@dataclass(frozen=True)
class Photo:
    """One input.

    Attributes:
        path: the picture; or, with ``error``, whatever was given.
        stem: beginning of the names of its output files, unique in the run.
        error: why there is nothing to read, or None.
    """

    path: Path
    stem: str
    error: str | None = None


def expand_inputs(inputs: Iterable[str | os.PathLike[str]], stdin: TextIO | None = None) -> list[Photo]:
    """Find the pictures behind the inputs of a command line, in the order given.

    Args:
        inputs: pictures, folders (their pictures by name, without sub-folders), patterns (``*``, ``?``, ``[…]``,
            ``**``), ``.txt`` lists (one picture a line, ``#`` begins a comment line; relative to the working folder,
            or else to the list's), and ``-`` for a list on standard input.
        stdin: read for ``-`` instead of standard input.

    Returns:
        One entry per picture. What cannot be found stands in the list with its ``error``, so that a run reports it
        and goes on. Stems are the file names less their last extension; a stem that is taken gets ``_2``, ``_3`` …
    """
    found: list[tuple[Path, str | None]] = []
    for entry in inputs:
        text = os.fspath(entry)
        try:
            found += [(path, None) for path in _expand(text, stdin or sys.stdin)]
        except InputError as error:
            found.append((Path(text), str(error)))
        except OSError as error:
            found.append((Path(text), f"{text} cannot be read: {error.strerror or error}"))
    stems = _unique_stems(path.name for path, _ in found)
    return [Photo(path, stem, error) for (path, error), stem in zip(found, stems, strict=True)]


def _expand(text: str, stdin: TextIO) -> list[Path]:
    if text == "-":
        return _listed(stdin.read(), "standard input", None)
    path = Path(text)
    if "\0" in text or not path.exists():
        if "\0" not in text and glob.has_magic(text):
            matches = sorted(Path(match) for match in glob.glob(text, recursive=True))
            pictures = [match for match in matches if match.is_file()]
            if pictures:
                return pictures
            raise InputError(f"no file matches the pattern {text}; check it, and quote it against the shell")
        raise InputError(f"{text} does not exist; give a picture, a folder, a pattern or a .txt list")
    if path.is_dir():
        pictures = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in PICTURE_SUFFIXES)
        pictures = [entry for entry in pictures if entry.is_file()]
        if not pictures:
            raise InputError(f"the folder {text} holds no pictures; give one with {_endings()} files")
        return pictures
    if path.suffix.lower() == ".txt":
        if path.stat().st_size > _MAX_LIST_BYTES:
            raise InputError(f"the list {text} is larger than {_MAX_LIST_BYTES >> 20} MB; split it")
        return _listed(path.read_bytes().decode("utf-8-sig", "surrogateescape"), f"the list {text}", path.parent)
    if path.suffix.lower() in _VIDEO_SUFFIXES:
        raise InputError(f"{text} is a video; this version reads pictures, so extract its frames first")
    return [path]


def _listed(text: str, name: str, folder: Path | None) -> list[Path]:
    if "\0" in text:
        raise InputError(f"{name} is not a text file; give one path a line")
    lines = (line.strip() for line in text.split("\n"))
    paths = [Path(line) for line in lines if line and not line.startswith("#")]
    if not paths:
        raise InputError(f"{name} names no pictures; give one path a line")
    if folder is not None:
        paths = [path if path.exists() or not (folder / path).exists() else folder / path for path in paths]
    return paths


def _unique_stems(names: Iterable[str]) -> Iterator[str]:
    wanted = [_stem(name) for name in names]
    # Compared without case, so that a run gives the same names on file systems that ignore it.
    bases = {stem.casefold() for stem in wanted}
    taken = {"report"}  # report.json is the run's own
    numbers: dict[str, int] = {}
    for stem in wanted:
        key = stem.casefold()
        base = _OWN_ENDINGS.sub("", key, count=1)
        candidate = stem
        if key in taken or (base != key and base in bases):
            number = numbers.get(key, 2)
            while f"{key}_{number}" in taken or f"{key}_{number}" in bases:
                number += 1
            candidate, numbers[key] = f"{stem}_{number}", number + 1
        taken.add(candidate.casefold())
        yield candidate


def _stem(name: str) -> str:
    """The name less its last extension, printable, and short enough to be followed by our endings."""
    name = os.fsencode(name).decode("utf-8", "replace")
    head, dot, _ = name.rpartition(".")
    stem = head if dot and head else name
    if not stem.strip(". "):
        stem = "picture"  # nothing, or only dots: no name for a file
    encoded = stem.encode()
    if len(encoded) > _MAX_STEM_BYTES:
        digest = hashlib.sha256(encoded).hexdigest()[:8]
        stem = encoded[: _MAX_STEM_BYTES - 9].decode("utf-8", "ignore") + "-" + digest
    return stem


def _endings() -> str:
    return ", ".join(sorted(PICTURE_SUFFIXES))
