"""Landmarks from and to files: those of the originals, of annotation sets, and of other detectors.

Points come back in pixels with the middle of the first pixel at (0.5, 0.5). Files differ in what they call that middle:

| file | content | first middle |
|---|---|---|
| ``.pts`` with a ``version:`` line | iBUG annotation, one point a line between braces | 1 |
| ``.pts``, ``.txt`` without it | one ``x y`` a line (Extreme 3D Faces, DECA) | 0 |
| ``.npy`` | (68, 2), (2, 68) or with a third column, which is dropped | 0 |
| ``.csv`` | ``name,x0,y0,…,x67,y67`` a row (FOCUS), or one ``x,y`` a line | 0 |
| ``.txt`` with names | ``name xl yl xr yr xn yn …`` a row: five points (occlusion-robust regressor, CFR-GAN) | 0 |
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.crops import check_landmarks
from pyface3d.errors import InputError
from pyface3d.io.arrays import load_npy
from pyface3d.io.atomic import atomic_file

_MAX_BYTES = 512 * 2**20  # a list of 10^6 rows of 68 points fits
_MAX_ONE_FACE_BYTES = 2**20
_SIZES = (5, 68)
_READ_SUFFIXES = (".npy", ".pts", ".txt", ".csv")


def read_landmarks(
    path: str | os.PathLike[str], image_name: str | None = None, *, first_pixel: float | None = None
) -> NDArray[np.float32]:
    """The landmarks of one face.

    Args:
        path: a ``.pts``, ``.txt``, ``.csv`` or ``.npy`` file; see the module's table.
        image_name: which row of a list of many pictures; compared whole first, then by the file's name alone.
        first_pixel: what the file calls the middle of the first pixel, where it is not what the table says.

    Returns:
        (68, 2) float32 px; (5, 2) from a list of five points.

    Raises:
        InputError: the file is missing, damaged, of another kind, or has no such row.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return _shifted(_from_npy(path), 0.0, first_pixel, path)
    if suffix not in _READ_SUFFIXES:
        raise InputError(f"{path} must end in .pts, .txt, .csv or .npy to be read as landmarks")
    text = _read_text(path)
    if _is_list(text):
        return _pick(_parse_list(text, path, first_pixel), image_name, path)
    if len(text) > _MAX_ONE_FACE_BYTES:
        raise InputError(f"{path} is too long for the landmarks of one face; give one file per face")
    if re.match(r"\s*version\s*:", text):
        body = re.search(r"\{([^}]*)\}", text)
        if body is None:
            raise InputError(f"{path} has no points between braces; export the annotation again")
        return _shifted(_from_lines(body.group(1), path), 1.0, first_pixel, path)
    return _shifted(_from_lines(text, path), 0.0, first_pixel, path)


def read_landmarks_of(picture: Path, folder: Path) -> NDArray[np.float32]:
    """The landmarks that a folder has of a picture, (68, 2) or (5, 2) px.

    Raises:
        InputError: it has none, or they cannot be read.
    """
    for suffix in _READ_SUFFIXES:
        path = folder / f"{picture.stem}{suffix}"
        if path.is_file():
            return read_landmarks(path, picture.name)
    raise InputError(f"{picture} has no landmarks in {folder} ({picture.stem}.npy, .pts, .txt or .csv)")


def read_landmark_list(
    path: str | os.PathLike[str], *, first_pixel: float | None = None
) -> dict[str, NDArray[np.float32]]:
    """All rows of a list of pictures and landmarks (``.csv`` of FOCUS, ``.txt`` of the aligners).

    Returns:
        By picture name as written: (68, 2) or (5, 2) float32 px.

    Raises:
        InputError: the file is missing or a row is damaged; the message says which.
    """
    path = Path(path)
    return _parse_list(_read_text(path), path, first_pixel)


def read_landmark_rows(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[np.float32]], dict[str, str]]:
    """The rows of a list as `read_landmark_list` gives them, and what is wrong with those that cannot be read.

    Returns:
        (68, 2) or (5, 2) float32 px by picture name; and by "FILE line N" the message of each bad line, a name that
        stands there twice among them.

    Raises:
        InputError: the file is missing or is not text.
    """
    path = Path(path)
    rows: dict[str, NDArray[np.float32]] = {}
    problems: dict[str, str] = {}
    for number, line in _filled_lines(_read_text(path)):
        where = f"{path} line {number}"
        try:
            name, points = _parse_row(line, where, None)
            if name in rows:
                raise InputError(f"{where} lists {name} again; remove one of the two lines")
            rows[name] = points
        except InputError as error:
            problems[where] = str(error)
    return rows, problems


def write_landmarks(path: str | os.PathLike[str], points: NDArray[np.floating]) -> None:
    """Write the landmarks of one face so that `read_landmarks` gives them back.

    Args:
        path: ends in ``.npy`` (float32, first pixel's middle at 0), ``.pts`` (iBUG, at 1) or ``.csv`` (``x,y`` a line,
            at 0).
        points: (68, 2) px, first pixel's middle at (0.5, 0.5).

    Raises:
        InputError: another ending, or points that are not finite or of another shape.
        OutputError: the file cannot be written.
    """
    path, points = Path(path), check_landmarks(points)
    writers = {".npy": _npy_bytes, ".pts": _pts_bytes, ".csv": _csv_bytes}
    if path.suffix.lower() not in writers:
        raise InputError(f"{path} must end in .npy, .pts or .csv to be written as landmarks")
    with atomic_file(path) as stream:
        stream.write(writers[path.suffix.lower()](points))


def write_landmark_list(path: str | os.PathLike[str], rows: Mapping[str, NDArray[np.floating]]) -> None:
    """Write the landmarks of many pictures (68, 2) px, by name, as the CSV list that `read_landmark_list` reads.

    Raises:
        InputError: a name has a comma or a line break.
        OutputError: the file cannot be written.
    """
    lines = []
    for name, points in rows.items():
        if any(letter in name for letter in ",\r\n"):
            raise InputError(f"the picture's name {name!r} has a comma or a line break; rename it, or write .npy files")
        lines.append(",".join([name, *(f"{value:.4f}" for value in (check_landmarks(points) - 0.5).flatten())]))
    with atomic_file(Path(path)) as stream:
        stream.write(("\n".join(lines) + "\n").encode())


def _npy_bytes(points: NDArray[np.float64]) -> bytes:
    stream = BytesIO()
    np.save(stream, (points - 0.5).astype(np.float32))
    return stream.getvalue()


def _pts_bytes(points: NDArray[np.float64]) -> bytes:
    rows = "".join(f"{x:.4f} {y:.4f}\n" for x, y in points + 0.5)
    return f"version: 1\nn_points: {len(points)}\n{{\n{rows}}}\n".encode()


def _csv_bytes(points: NDArray[np.float64]) -> bytes:
    return "".join(f"{x:.4f},{y:.4f}\n" for x, y in points - 0.5).encode()


def _is_list(text: str) -> bool:
    """Whether rows start with a name: the first filled line's first field is no number (nor a .pts header)."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    fields = _fields(first)
    return len(fields) > 1 and not _is_number(fields[0]) and not re.match(r"\s*version\s*:", first)


def _parse_list(text: str, path: Path, first_pixel: float | None) -> dict[str, NDArray[np.float32]]:
    rows = dict(_parse_row(line, f"{path} line {number}", first_pixel) for number, line in _filled_lines(text))
    if not rows:
        raise InputError(f"{path} holds no landmarks; give a file with at least one row")
    return rows


def _filled_lines(text: str) -> list[tuple[int, str]]:
    """Lines by number from 1, without empty ones and comments."""
    lines = enumerate(text.splitlines(), 1)
    return [(number, line) for number, line in lines if line.strip() and not line.lstrip().startswith("#")]


def _parse_row(line: str, where: str, first_pixel: float | None) -> tuple[str, NDArray[np.float32]]:
    name, *values = _fields(line)
    if len(values) not in {2 * size for size in _SIZES}:
        raise InputError(f"{where} must hold a name and 10 or 136 numbers, got {len(values)} numbers")
    return name, _shifted(_numbers(values, where).reshape(-1, 2), 0.0, first_pixel, where)


def _pick(rows: Mapping[str, NDArray[np.float32]], image_name: str | None, path: Path) -> NDArray[np.float32]:
    if image_name is None:
        if len(rows) == 1:
            return next(iter(rows.values()))
        raise InputError(f"{path} lists {len(rows)} pictures; say which one with image_name")
    if image_name in rows:
        return rows[image_name]
    wanted = PurePosixPath(image_name).name
    matches = [name for name in rows if PurePosixPath(name).name == wanted]
    if len(matches) != 1:
        found = "no row" if not matches else f"{len(matches)} rows"
        raise InputError(f"{path} has {found} for {image_name}; check the names in the list")
    return rows[matches[0]]


def _from_lines(text: str, path: Path) -> NDArray[np.float64]:
    rows = [_fields(line) for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if len(rows) not in _SIZES or any(len(row) not in (2, 3) for row in rows):
        raise InputError(f"{path} must hold 68 lines of 'x y', got {len(rows)} lines")
    return np.stack([_numbers(row[:2], os.fspath(path)) for row in rows])


def _from_npy(path: Path) -> NDArray[np.float64]:
    try:
        size = path.stat().st_size
        if size > _MAX_ONE_FACE_BYTES:
            raise InputError(f"{path} is too long for the landmarks of one face; give one file per face")
        points = load_npy(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, TypeError, SyntaxError, MemoryError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not a numpy array of numbers ({error}); save it with numpy.save") from error
    points = np.squeeze(points)
    if points.ndim == 2 and points.shape[0] in (2, 3) and points.shape[1] in _SIZES:
        points = points.T
    if points.ndim != 2 or points.shape[0] not in _SIZES or points.shape[1] not in (2, 3):
        raise InputError(f"{path} must hold an array of shape (68, 2), got {points.shape}")
    if points.dtype.kind not in "fiu":
        raise InputError(f"{path} must hold real numbers, got {points.dtype}")
    return points[:, :2].astype(np.float64)


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if len(content) > _MAX_BYTES:
        raise InputError(f"{path} is larger than {_MAX_BYTES >> 20} MiB; split the list")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file; give landmarks as .pts, .txt, .csv or .npy") from error


def _fields(line: str) -> list[str]:
    """Fields of a line: by commas where there are any (names may hold blanks), else by blanks."""
    return [field.strip() for field in line.split(",")] if "," in line else line.split()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(fields: list[str], where: str) -> NDArray[np.float64]:
    try:
        return np.array([float(field) for field in fields])
    except ValueError as error:
        raise InputError(f"{where} holds something that is no number ({error}); correct it") from error


def _shifted(
    points: NDArray[np.float64], usual: float, first_pixel: float | None, where: Path | str
) -> NDArray[np.float32]:
    """Points with the first pixel's middle at 0.5, as float32, after checking that they are finite and sane."""
    first = usual if first_pixel is None else first_pixel
    moved = (points + (0.5 - first)).astype(np.float32)
    if not (np.abs(moved) < 1e6).all():  # false for NaN too
        raise InputError(f"{where} holds coordinates that are no pixels (NaN, infinite or above a million)")
    return moved
