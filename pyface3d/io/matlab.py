"""MATLAB's ``.mat`` files and plain HDF5 files, read within limits and without running anything.

Level 5 files (``save`` up to ``-v7``) are parsed here, because a reader of files from outside has to check every
length before it trusts one; ``-v7.3`` files are HDF5 and read by h5py. Real numbers and 1 x 1 structures come back;
texts, cells, sparse and complex matrices, objects and functions are left out.

Source of the format: MathWorks, "MAT-File Format" (R2023), chapter 1.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyface3d.errors import AssetError

if TYPE_CHECKING:
    import h5py

Fields = dict[str, Any]
"""Arrays by name; a structure is such a table again."""

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_STRUCTURE, _COMPLEX = 2, 0x0800
_NAMED_CLASSES = frozenset(
    ["double", "single", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "logical"]
)
_MAX_DEPTH, _MAX_FIELDS = 8, 4096
_UNPACKED_PER_BYTE, _ALWAYS_UNPACKED = 64, 64 << 20  # a small file may not unpack into gigabytes
_COST_OF_ENTRY = 4096
_NAME_WITHIN = 512  # bytes from the start of a variable


class _Damaged(Exception):
    """What is wrong with a file, in a few words."""


def read_matlab(path: Path, what: str) -> Fields:
    """Everything readable in a ``.mat`` or HDF5 file.

    Args:
        path: the file.
        what: what it should be, for the messages.

    Returns:
        By name: arrays of their class (a MATLAB array is at least (1, 1)), 1 x 1 structures and HDF5 groups as tables.
        Datasets that MATLAB wrote into HDF5 are turned back from its column order, so that both kinds of file give the
        same arrays.

    Raises:
        AssetError: the file is missing, damaged, of another kind, or would unpack into far more than its size.
    """
    try:
        if not path.is_file():
            raise _Damaged("there is no such file")
        with path.open("rb") as stream:
            start = stream.read(_HEADER)
            stream.seek(512)
            behind_header = stream.read(8)
        if start.startswith(_HDF5_SIGNATURE) or behind_header == _HDF5_SIGNATURE:
            return _read_hdf5(path)
        return _read_level5(path.read_bytes())
    except _Damaged as problem:
        raise AssetError(f"cannot read {path} as {what} ({problem}); get the file again") from None
    except OSError as error:
        raise AssetError(f"cannot read {path}: {error.strerror or error}; check the file") from error


def matlab_names(path: Path) -> frozenset[str]:
    """Names of the variables of a ``.mat`` or HDF5 file without reading them; empty where it is none of these."""
    try:
        data = path.read_bytes()
        if data.startswith(_HDF5_SIGNATURE) or data[512:520] == _HDF5_SIGNATURE:
            import h5py

            with h5py.File(path, "r") as file:
                return frozenset(file)
        order = _byte_order(data)
        return frozenset(_name(kind, content, order) for kind, content in _elements(memoryview(data)[_HEADER:], order))
    except Exception:  # a look only: the reader says what is wrong
        return frozenset()


def _name(kind: int, content: memoryview, order: str) -> str:
    """Of one variable, from the beginning of its element."""
    if kind == _COMPRESSED:
        start = zlib.decompressobj().decompress(content, _NAME_WITHIN)
        content = memoryview(start)[8:]  # behind the tag of the element within
    parts = _elements(content, order, whole=False)
    for what in ("flags", "dimensions"):
        _next(parts, what)
    return bytes(_next(parts, "name")[1]).decode("latin1")


def _byte_order(data: bytes) -> str:
    if len(data) < _HEADER or data[126:128] not in (b"IM", b"MI"):
        raise _Damaged("it has no header of a MATLAB file of level 5 or 7.3")
    order = "<" if data[126:128] == b"IM" else ">"
    if struct.unpack_from(f"{order}H", data, 124)[0] >> 8 != 1:
        raise _Damaged("it has no header of a MATLAB file of level 5 or 7.3")
    return order


def _read_level5(data: bytes) -> Fields:
    order = _byte_order(data)
    budget = [_ALWAYS_UNPACKED + _UNPACKED_PER_BYTE * len(data)]
    found: Fields = {}
    for kind, content in _elements(memoryview(data)[_HEADER:], order):
        if kind == _COMPRESSED:
            unpacked = _inflated(content, budget[0])
            _spend(budget, len(unpacked))
            inner = next(_elements(memoryview(unpacked), order), None)
            if inner is None:
                raise _Damaged("a compressed variable is empty")
            kind, content = inner
        if kind != _MATRIX:
            continue
        name, value = _matrix(content, order, budget, 0)
        if name and value is not None:
            found[name] = value
    return found


def _elements(data: memoryview, order: str, whole: bool = True) -> Iterator[tuple[int, memoryview]]:
    """Type and content of the elements that fill ``data``; without ``whole`` of those that begin it."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        begin = at + 8
        if kind >> 16:  # a small element: its size and up to 4 bytes in the tag itself
            kind, size, begin = kind & 0xFFFF, kind >> 16, at + 4
            if size > 4:
                raise _Damaged("the length of an element is wrong")
            at += 8
        else:
            # Everything but compressed elements is filled up to a multiple of 8 bytes.
            at = begin + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if begin + size > len(data):
            raise _Damaged("it ends in the middle of an element")
        yield kind, data[begin : begin + size]
    if whole and at < len(data):
        raise _Damaged("it ends in the middle of an element")


def _inflated(content: memoryview, limit: int) -> bytes:
    packer = zlib.decompressobj()
    try:
        unpacked = packer.decompress(content, max(limit, 1))
    except zlib.error as error:
        raise _Damaged(f"a compressed variable is damaged: {error}") from None
    if not packer.eof:
        too_much = len(unpacked) >= limit
        raise _Damaged("it unpacks into far more than its size" if too_much else "a compressed variable is cut short")
    return unpacked


def _matrix(content: memoryview, order: str, budget: list[int], depth: int) -> tuple[str, Any]:
    """Name and value of one array; the value is None for kinds that are left out."""
    parts = _elements(content, order)
    flags = _numbers(_next(parts, "flags"), order)
    if len(flags) < 1:
        raise _Damaged("an array has no flags")
    shape = tuple(int(size) for size in _numbers(_next(parts, "dimensions"), order))
    if len(shape) < 2 or min(shape) < 0 or len(shape) > 32:
        raise _Damaged(f"an array has the dimensions {shape[:8]}")
    name = bytes(_next(parts, "name")[1]).decode("latin1")
    kind = int(flags[0]) & 0xFF
    if kind == _STRUCTURE:
        return name, _structure(parts, shape, order, budget, depth)
    if kind not in _CLASSES or int(flags[0]) & _COMPLEX:
        return name, None
    values = _numbers(_next(parts, "content"), order)
    if len(values) != math.prod(shape):
        raise _Damaged(f"array {name!r} of shape {shape} holds {len(values)} values")
    _spend(budget, len(values) * np.dtype(_CLASSES[kind]).itemsize)  # numbers may be stored smaller than they are
    return name, values.astype(_CLASSES[kind], copy=False).reshape(shape, order="F")


def _structure(
    parts: Iterator[tuple[int, memoryview]], shape: tuple[int, ...], order: str, budget: list[int], depth: int
) -> Any:
    if depth >= _MAX_DEPTH:
        raise _Damaged("structures lie too deep within each other")
    if math.prod(shape) != 1:
        return None
    width = _numbers(_next(parts, "field length"), order)
    names = bytes(_next(parts, "field names")[1])
    if len(width) != 1 or not 0 < int(width[0]) <= 4096 or len(names) % int(width[0]):
        raise _Damaged("the names of a structure's fields are damaged")
    count = len(names) // int(width[0])
    if count > _MAX_FIELDS:
        raise _Damaged(f"a structure has {count} fields")
    table: Fields = {}
    for index in range(count):
        raw = names[index * int(width[0]) : (index + 1) * int(width[0])]
        kind, content = _next(parts, "field")
        if kind != _MATRIX:
            raise _Damaged("a structure's field is no array")
        if len(content) == 0:  # how an empty field is written
            continue
        _, value = _matrix(content, order, budget, depth + 1)
        if value is not None:
            table[raw.split(b"\0", 1)[0].decode("latin1")] = value
    return table


def _spend(budget: list[int], size: int) -> None:
    budget[0] -= size
    if budget[0] < 0:
        raise _Damaged("it unpacks into far more than its size")


def _next(parts: Iterator[tuple[int, memoryview]], what: str) -> tuple[int, memoryview]:
    part = next(parts, None)
    if part is None:
        raise _Damaged(f"an array has no {what}")
    return part


def _numbers(part: tuple[int, memoryview], order: str) -> NDArray[Any]:
    kind, content = part
    if kind not in _STORED:
        raise _Damaged(f"numbers of the unknown type {kind}")
    dtype = np.dtype(order + _STORED[kind])
    if len(content) % dtype.itemsize:
        raise _Damaged("the length of an element is wrong")
    return np.frombuffer(content, dtype).astype(dtype.newbyteorder("="), copy=False)


def _read_hdf5(path: Path) -> Fields:
    import h5py

    budget = [_ALWAYS_UNPACKED + _UNPACKED_PER_BYTE * path.stat().st_size]
    try:
        with h5py.File(path, "r") as file:
            return _group(file, budget, 0)
    except _Damaged:
        raise
    except MemoryError:
        raise _Damaged("it unpacks into far more than its size") from None
    except Exception as error:  # libhdf5 reports damage through half a dozen exception types
        raise _Damaged(f"HDF5: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from None


def _group(group: Mapping[str, Any], budget: list[int], depth: int) -> Fields:
    import h5py

    if depth >= _MAX_DEPTH:
        raise _Damaged("groups lie too deep within each other")
    if len(group) > _MAX_FIELDS:
        raise _Damaged(f"a group has {len(group)} entries")
    found: Fields = {}
    for name in group:
        _spend(budget, _COST_OF_ENTRY)  # groups may hold each other
        link = group.get(name, getlink=True)  # type: ignore[call-overload]
        if not isinstance(link, h5py.HardLink) or name.startswith("#"):  # other files, and MATLAB's own references
            continue
        entry = group[name]
        if isinstance(entry, h5py.Group):
            found[name] = _group(entry, budget, depth + 1)
        elif isinstance(entry, h5py.Dataset) and (value := _dataset(entry, budget)) is not None:
            found[name] = value
    return found


def _dataset(entry: h5py.Dataset, budget: list[int]) -> Any:
    if entry.dtype.kind not in "fiu" or entry.shape is None:
        return None
    _spend(budget, math.prod(entry.shape) * entry.dtype.itemsize)
    written_as = entry.attrs.get("MATLAB_class")
    value = np.asarray(entry[()])
    if written_as is None:
        return value
    if bytes(written_as).decode("latin1") not in _NAMED_CLASSES or "MATLAB_empty" in entry.attrs:
        return None
    return np.ascontiguousarray(value.T)
