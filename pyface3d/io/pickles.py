"""Arrays out of Python's own file format, without running what is in it (see :mod:`pyface3d.io.pickle_machine`)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyface3d.errors import InputError
from pyface3d.io.pickle_machine import Name, PickledObject, PickleError, StatefulData, run_pickle

_MAX_BYTES = 512 * 2**20
_NUMBER_TYPE = re.compile(r"[<>|=]?([fiu][1248]|b1|\?)")


def read_pickle(path: Path) -> Any:
    """What a pickle holds: dictionaries, lists, tuples, texts, numbers, :class:`PickledArray`, and a
    :class:`~pyface3d.io.pickle_machine.PickledObject` for everything of a class that is not of Python or numpy.

    Raises:
        InputError: the file is missing, damaged, too large, or asks to run something.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path} is larger than {_MAX_BYTES >> 20} MiB; give the published file")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        return run_pickle(memoryview(data), PLAIN_ANSWERS)[0]
    except Exception as error:  # what a damaged pickle puts together fails in any way
        raise InputError(f"{path} is not a pickle of plain data ({error}); give the published file") from error


def read_pickled_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a pickled dictionary, for example 3DDFA_V2's ``bfm_noneck_v3.pkl``; entries of other kinds are
    left out.

    Raises:
        InputError: the file is missing, damaged, too large, or wants more than arrays, numbers and texts.
    """
    content = read_pickle(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a dictionary of arrays, got {type(content).__name__}")
    foreign = next((value for value in content.values() if isinstance(value, PickledObject)), None)
    if foreign is not None:
        raise InputError(
            f"{path} is not a pickle of plain arrays (it asks for {foreign.class_name}); give the published file"
        )
    try:
        return {str(key): value.array() for key, value in content.items() if _is_numbers(value)}
    except PickleError as error:
        raise InputError(f"{path} is damaged ({error}); give the published file") from error


def _is_numbers(value: Any) -> bool:
    return isinstance(value, PickledArray) and value.holds_numbers


class PickledType(StatefulData):
    """A numpy dtype: its code, and the byte order that comes as state."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any, *_: Any) -> None:
        self.code, self.order = code, "="

    def set_state(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "=", "|"):
            self.order = state[1]

    def dtype(self) -> np.dtype[Any] | None:
        """None where it is no plain number."""
        if not isinstance(self.code, str) or not _NUMBER_TYPE.fullmatch(self.code):
            return None
        dtype = np.dtype(self.code)
        return dtype.newbyteorder(self.order) if self.order in "<>" else dtype  # type: ignore[arg-type]


class PickledArray(StatefulData):
    """A numpy array as stored; :meth:`array` makes one of it, after checking that its bytes are as many as it says.

    Attributes:
        shape, data, fortran: its sizes, its bytes (a list where it is of objects), whether its first index is fastest.
        type: of its elements.
    """

    __slots__ = ("data", "fortran", "shape", "type")

    def __init__(self, *_: Any) -> None:
        self.shape: Any = (0,)
        self.data: Any = b""
        self.fortran = False
        self.type = PickledType("b1")

    def set_state(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise PickleError("the state of an array is none")
        self.shape, self.type, self.fortran, self.data = state[-4:]

    @classmethod
    def from_buffer(cls, data: Any, type_: Any, shape: Any, order: Any = "C") -> PickledArray:
        """How protocol 5 stores arrays."""
        self = cls()
        self.set_state((shape, type_, order == "F", data))
        return self

    @property
    def holds_numbers(self) -> bool:
        return isinstance(self.type, PickledType) and self.type.dtype() is not None

    def array(self) -> NDArray[Any]:
        """A read-only array in this machine's byte order.

        Raises:
            PickleError: it is of no numbers, or its bytes are not as many as its shape says.
        """
        dtype = self.type.dtype() if isinstance(self.type, PickledType) else None
        data = self.data.encode("latin1") if isinstance(self.data, str) else self.data
        if dtype is None or not isinstance(data, bytes):
            raise PickleError("an array is not of numbers")
        sizes = self.shape if isinstance(self.shape, tuple) else (self.shape,)
        if len(sizes) > 32 or not all(isinstance(n, int) and n >= 0 for n in sizes):
            raise PickleError("an array has no shape")
        if math.prod(sizes) * dtype.itemsize != len(data):
            raise PickleError(f"an array of shape {sizes} has {len(data)} bytes")
        flat = np.frombuffer(data, dtype)
        return flat.astype(dtype.newbyteorder("="), copy=False).reshape(sizes, order="F" if self.fortran else "C")


def _scalar(type_: Any, data: Any = None) -> Any:
    """A numpy number on its own."""
    one = PickledArray.from_buffer(data, type_, ())
    return one.array()[()].item() if one.holds_numbers else None


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """How old protocols write bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise PickleError(f"bytes are encoded as {encoding}")
    return text.encode("latin1")


def _bytes(data: Any = b"") -> bytes:
    if not isinstance(data, bytes):
        raise PickleError("bytes are made of something else")
    return data


def _dictionary(pairs: Any = ()) -> dict[Any, Any]:
    if isinstance(pairs, dict):
        return dict(pairs)
    if not all(len(pair) == 2 and isinstance(pair[0], str) for pair in pairs):
        raise PickleError("an ordered dictionary is not of pairs")
    return dict(pairs)


def _same(items: Any = ()) -> Any:
    """Sets, lists and the like out of one another: the items, whatever holds them."""
    return items


def _instance(of: Any, *_: Any) -> Any:
    """How protocols 0 and 1 make an object of a class; ``_`` is its base and the base's state."""
    if not isinstance(of, Name):
        raise PickleError("an object has no class")
    made = PLAIN_ANSWERS.get(of)
    return PickledObject(str(of), ()) if made is None else made()


_CORE = ("numpy.core", "numpy._core")
PLAIN_ANSWERS: Mapping[Name, Callable[..., Any]] = {
    **{Name(f"{core}.multiarray", "_reconstruct"): PickledArray for core in _CORE},
    **{Name(f"{core}.multiarray", "scalar"): _scalar for core in _CORE},
    **{Name(f"{core}.numeric", "_frombuffer"): PickledArray.from_buffer for core in _CORE},
    Name("numpy", "ndarray"): PickledArray,
    Name("numpy", "dtype"): PickledType,
    Name("_codecs", "encode"): _latin1,
    Name("collections", "OrderedDict"): _dictionary,
    **{Name(home, "dict"): _dictionary for home in ("builtins", "__builtin__")},
    **{
        Name(home, kind): _same
        for home in ("builtins", "__builtin__")
        for kind in ("set", "frozenset", "list", "tuple")
    },
    **{Name(home, "bytes"): _bytes for home in ("builtins", "__builtin__")},
    **{Name(home, "bytearray"): _same for home in ("builtins", "__builtin__")},
    **{Name(home, "_reconstructor"): _instance for home in ("copyreg", "copy_reg")},
}
