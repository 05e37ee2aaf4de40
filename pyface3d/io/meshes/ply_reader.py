"""Reader of PLY files (text, little- and big-endian) that survives any bytes."""

from __future__ import annotations

import io
import os
import struct
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyface3d.errors import InputError
from pyface3d.io.meshes.files import read_bytes
from pyface3d.io.meshes.mesh import Array, Mesh

_SCALARS = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
_MAX_HEADER = 1 << 16
_MAX_PROPERTIES = 256
_MAX_TEXT = 256 << 20
_MAX_COORDINATE = 1e9  # mm; a thousand kilometres: beyond it float32 holds no face
_NUMBER_BYTES = b"0123456789+-.eEnNaAiIfFtTyY \t\r\n"  # numbers, and the words nan, inf, infinity
_STRUCT_CODES = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I"}


def read_ply(path: str | os.PathLike[str]) -> Mesh:
    """Read a PLY file; see `decode_ply`.

    Raises:
        InputError: the file cannot be read, or is not a PLY file this reader can trust.
    """
    return decode_ply(read_bytes(path), str(path))


def decode_ply(data: bytes, name: str = "the PLY data") -> Mesh:
    """The mesh in the bytes of a PLY file (text, little- or big-endian).

    Reads ``x y z``, ``nx ny nz``, ``red green blue``, ``source``, ``confidence`` and the triangles of
    ``vertex_indices`` or ``vertex_index``; a polygon becomes a fan of triangles; other properties are skipped.

    Args:
        data: the file's bytes. Sizes in its header are checked against their length before anything is allocated.
        name: what to call the data in an error.

    Raises:
        InputError: naming ``name`` and what is wrong with it.
    """
    try:
        text, start = _split_header(data)
        form, elements = _parse_header(text)
        source = _TextBody(data, start) if form == "ascii" else _BinaryBody(data, start, form)
        tables = {}
        for element in elements:
            tables[element.name] = source.read(element)
        return _mesh(tables)
    except (_Damaged, InputError) as error:
        raise InputError(f"{name} is not a PLY file that can be used: {error}") from None


class _Damaged(Exception):
    """What is wrong, for the one place that knows the file's name."""


@dataclass(frozen=True)
class _Property:
    name: str
    kind: str
    count_kind: str | None = None  # of a list


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: tuple[_Property, ...]


@dataclass(frozen=True)
class _Ragged:
    """Lists of different lengths, one after the other."""

    lengths: NDArray[np.int64]
    values: Array


_Table = dict[str, "Array | _Ragged"]


def _split_header(data: bytes) -> tuple[list[str], int]:
    if data[:4] not in (b"ply\n", b"ply\r"):
        raise _Damaged("it does not begin with the word 'ply'")
    lines: list[str] = []
    stream = io.BytesIO(data[:_MAX_HEADER])
    for line in stream:
        lines.append(line.decode("latin-1").strip())
        if lines[-1] == "end_header":
            return lines, stream.tell()
    raise _Damaged(f"its header has no 'end_header' within {_MAX_HEADER} bytes")


def _parse_header(lines: list[str]) -> tuple[str, list[_Element]]:
    form = ""
    elements: list[tuple[str, int, list[_Property]]] = []
    total = 0
    for line in lines[1:-1]:
        match line.split():
            case [] | ["comment" | "obj_info", *_]:
                continue
            case ["format", "ascii" | "binary_little_endian" | "binary_big_endian" as form, "1.0"]:
                continue
            case ["element", name, count] if count.isascii() and count.isdigit() and len(count) <= 10:
                elements.append((name, int(count), []))
            case ["property", kind, name] if kind in _SCALARS and elements:
                elements[-1][2].append(_Property(name, _SCALARS[kind]))
            case ["property", "list", count_kind, kind, name] if (
                elements and kind in _SCALARS and _SCALARS.get(count_kind, "f")[0] in "iu"
            ):
                elements[-1][2].append(_Property(name, _SCALARS[kind], _SCALARS[count_kind]))
            case _:
                raise _Damaged(f"its header has the line {line[:60]!r}, which the format does not know")
        total = sum(len(properties) for _, _, properties in elements)
        if total > _MAX_PROPERTIES or len(elements) > _MAX_PROPERTIES:
            raise _Damaged(f"its header names more than {_MAX_PROPERTIES} properties")
    if not form:
        raise _Damaged("its header names no format")
    for name, rows, properties in elements:
        if rows and not properties:
            raise _Damaged(f"its element {name[:40]!r} has {rows} rows of no properties")
        if len({entry.name for entry in properties}) != len(properties):
            raise _Damaged(f"its element {name[:40]!r} names a property twice")
    return form, [_Element(name, rows, tuple(properties)) for name, rows, properties in elements]


class _BinaryBody:
    """Reads elements one after the other from the bytes behind the header."""

    def __init__(self, data: bytes, start: int, form: str) -> None:
        self.data, self.position = data, start
        self.order = "<" if form == "binary_little_endian" else ">"

    def read(self, element: _Element) -> _Table:
        least = sum(np.dtype(entry.count_kind or entry.kind).itemsize for entry in element.properties)
        if element.count * least > len(self.data) - self.position:
            raise _Damaged(f"it ends before the {element.count} rows of its element {element.name[:40]!r}")
        if element.count == 0:
            return {entry.name: np.empty(0) for entry in element.properties}
        rows = self._uniform(element)
        if rows is not None:
            return rows
        return self._ragged(element)

    def _uniform(self, element: _Element) -> _Table | None:
        """All rows at once where every list is as long as in the first row; None where they are not."""
        layout: list[Any] = []
        sizes: list[int] = []
        at = self.position
        for k, entry in enumerate(element.properties):
            if entry.count_kind is None:
                layout.append((f"v{k}", self.order + entry.kind))
                at += np.dtype(entry.kind).itemsize
                continue
            size = self._number(entry.count_kind, at)
            at += np.dtype(entry.count_kind).itemsize + size * np.dtype(entry.kind).itemsize
            if at > len(self.data):
                raise _Damaged("it ends within a list")
            layout += [(f"n{k}", self.order + entry.count_kind), (f"v{k}", self.order + entry.kind, (size,))]
            sizes.append(size)
        dtype = np.dtype(layout)
        if element.count * dtype.itemsize > len(self.data) - self.position:
            if sizes:
                return None  # later rows may be shorter
            raise _Damaged(f"it ends before the {element.count} rows of its element {element.name[:40]!r}")
        rows = np.frombuffer(self.data, dtype, element.count, self.position)
        for k, entry in enumerate(element.properties):
            if entry.count_kind is not None and not (rows[f"n{k}"] == rows[f"n{k}"][0]).all():
                return None
        self.position += rows.nbytes
        return {entry.name: rows[f"v{k}"] for k, entry in enumerate(element.properties)}

    def _ragged(self, element: _Element) -> _Table:
        """Row by row, for lists of different lengths."""
        offsets: list[list[int]] = [[] for _ in element.properties]
        lengths: list[list[int]] = [[] for _ in element.properties]
        plan = [
            (np.dtype(entry.kind).itemsize, entry.count_kind, np.dtype(entry.count_kind or "u1").itemsize)
            for entry in element.properties
        ]
        at = self.position
        for _ in range(element.count):
            for k, (size, count_kind, count_size) in enumerate(plan):
                length = 1
                if count_kind is not None:
                    length = self._number(count_kind, at)
                    at += count_size
                offsets[k].append(at)
                lengths[k].append(length)
                at += size * length
        if at > len(self.data):
            raise _Damaged("it ends within a list")
        self.position = at
        raw = np.frombuffer(self.data, np.uint8)
        table: _Table = {}
        for k, entry in enumerate(element.properties):
            counts = np.array(lengths[k], np.int64)
            item = np.dtype(self.order + entry.kind)
            first = np.repeat(np.array(offsets[k], np.int64), counts)
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            begin = first + within * item.itemsize
            values = raw[begin[:, None] + np.arange(item.itemsize)].reshape(-1).view(item)
            table[entry.name] = values if entry.count_kind is None else _Ragged(counts, values)
        return table

    def _number(self, kind: str, at: int) -> int:
        if at < 0 or at + np.dtype(kind).itemsize > len(self.data):
            raise _Damaged("it ends within a list")
        (value,) = struct.unpack_from(self.order + _STRUCT_CODES[kind], self.data, at)
        if value < 0:
            raise _Damaged("it holds a list of negative length")
        return int(value)


class _TextBody:
    """Reads elements one after the other from the numbers behind the header."""

    def __init__(self, data: bytes, start: int) -> None:
        if len(data) - start > _MAX_TEXT:
            raise _Damaged(f"text files may have at most {_MAX_TEXT >> 20} MB, got {len(data) >> 20} MB")
        body = data[start:]
        if body.translate(None, _NUMBER_BYTES):
            raise _Damaged("its body holds something that is not a number")
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy warns, and stops, at what it cannot read
            try:
                self.values = np.fromstring(body, np.float64, sep=" ") if body.strip() else np.empty(0)
            except (DeprecationWarning, ValueError):
                raise _Damaged("its body holds something that is not a number") from None
        self.position = 0

    def read(self, element: _Element) -> _Table:
        if element.count * len(element.properties) > len(self.values) - self.position:
            raise _Damaged(f"it ends before the {element.count} rows of its element {element.name[:40]!r}")
        if all(entry.count_kind is None for entry in element.properties):
            width = len(element.properties)
            rows = self.values[self.position : self.position + element.count * width].reshape(element.count, -1)
            self.position += rows.size
            return {entry.name: rows[:, k] for k, entry in enumerate(element.properties)}
        return self._rows_with_lists(element)

    def _rows_with_lists(self, element: _Element) -> _Table:
        offsets: list[list[int]] = [[] for _ in element.properties]
        lengths: list[list[int]] = [[] for _ in element.properties]
        at, end = self.position, len(self.values)
        for _ in range(element.count):
            for k, entry in enumerate(element.properties):
                length = 1
                if entry.count_kind is not None:
                    given = self.values[at] if at < end else 0.0
                    length = int(given) if 0 <= given <= end else -1
                    if length != given:
                        raise _Damaged(f"it holds a list of length {given:g}")
                    at += 1
                offsets[k].append(at)
                lengths[k].append(length)
                at += length
        if at > end:
            raise _Damaged("it ends within a list")
        self.position = at
        table: _Table = {}
        for k, entry in enumerate(element.properties):
            counts = np.array(lengths[k], np.int64)
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            values = self.values[np.repeat(np.array(offsets[k], np.int64), counts) + within]
            table[entry.name] = values if entry.count_kind is None else _Ragged(counts, values)
        return table


def _mesh(tables: dict[str, _Table]) -> Mesh:
    vertex = tables.get("vertex")
    if vertex is None:
        raise _Damaged("it has no element 'vertex'")

    def columns(names: tuple[str, ...]) -> Array | None:
        found = [vertex.get(name) for name in names]
        if any(not isinstance(values, np.ndarray) or values.ndim != 1 for values in found):
            return None
        return np.stack([np.asarray(values, np.float64) for values in found], axis=1)

    verts = columns(("x", "y", "z"))
    if verts is None:
        raise _Damaged("its element 'vertex' has no properties x, y and z")
    if not (np.abs(verts) <= _MAX_COORDINATE).all():
        raise _Damaged(f"its coordinates must be finite and within ±{_MAX_COORDINATE:g}")
    colors = columns(("red", "green", "blue"))
    if colors is not None and getattr(vertex["red"], "dtype", None) in (np.float32, np.float64):
        colors = colors if colors.size and np.nanmax(colors) > 1 else colors * 255
    normals, source, confidence = columns(("nx", "ny", "nz")), columns(("source",)), columns(("confidence",))
    return Mesh(
        verts=verts.astype(np.float32),
        faces=_triangles(tables.get("face", {}), len(verts)),
        normals=None if normals is None else np.nan_to_num(normals.astype(np.float32)),
        colors=None if colors is None else _bytes(colors),
        source=None if source is None else _bytes(source[:, 0]),
        confidence=None if confidence is None else np.nan_to_num(confidence[:, 0]).clip(0, 1).astype(np.float32),
    )


def _bytes(values: Array) -> Array:
    return np.nan_to_num(values).clip(0, 255).round().astype(np.uint8)


def _triangles(face: _Table, num_verts: int) -> Array:
    polygons = face.get("vertex_indices", face.get("vertex_index"))
    if polygons is None:
        return np.empty((0, 3), np.int32)
    if isinstance(polygons, _Ragged):
        lengths, corners = polygons.lengths, polygons.values
    elif polygons.ndim == 2:
        lengths, corners = np.full(len(polygons), polygons.shape[1], np.int64), polygons.reshape(-1)
    elif not len(polygons):
        return np.empty((0, 3), np.int32)
    else:
        raise _Damaged("its faces are not lists of vertices")
    if not ((corners >= 0) & (corners < num_verts)).all():
        raise _Damaged(f"its faces must hold indices in [0, {num_verts})")
    fans = np.maximum(lengths - 2, 0)
    first = np.repeat(np.cumsum(lengths) - lengths, fans)
    step = np.arange(fans.sum()) - np.repeat(np.cumsum(fans) - fans, fans)
    return np.stack([corners[first], corners[first + step + 1], corners[first + step + 2]], axis=1).astype(np.int32)
