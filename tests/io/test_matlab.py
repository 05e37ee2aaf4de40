"""MATLAB files: scipy and h5py write them, ours reads the same; damage gives our error and costs little."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from pyface3d.errors import AssetError
from pyface3d.io.matlab import read_matlab

DTYPES = ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]


def content(dtype: str) -> np.ndarray:
    return np.arange(2 * 3 * 4).reshape(2, 3, 4).astype(dtype)


def same(ours: object, theirs: object) -> None:
    assert isinstance(ours, np.ndarray) and isinstance(theirs, np.ndarray)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("compressed", [False, True])
def test_level_5_as_scipy_writes_it(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "a.mat"
    arrays = {f"array_{dtype}": content(dtype) for dtype in DTYPES} | {"empty": np.zeros((0, 3)), "one": np.array(2.5)}
    nested = {"inner": {"deep": content("f4")}, "text": "a name"}
    left_out = {
        "cells": np.array([[1, "two"]], object),
        "z": np.array([1j]),
        "both": np.array([(1,), (2,)], [("a", "f8")]),
    }
    scipy.io.savemat(path, {**arrays, "table": nested, "word": "grün", **left_out}, do_compression=compressed)
    ours, theirs = read_matlab(path, "a test"), scipy.io.loadmat(path)
    for name in arrays:
        same(ours[name], theirs[name])
    same(ours["table"]["inner"]["deep"], content("f4"))
    assert "word" not in ours and "text" not in ours["table"]
    assert not set(left_out) & set(ours)


def test_numbers_stored_smaller_than_their_class(tmp_path: Path) -> None:
    """MATLAB stores a double array of small whole numbers as bytes; scipy never does, so this is made by hand."""
    for order, mark in (("<", b"IM"), (">", b"MI")):

        def element(kind: int, data: bytes, order: str = order) -> bytes:
            return struct.pack(f"{order}II", kind, len(data)) + data + b"\0" * (-len(data) % 8)

        small = struct.pack(f"{order}I", (2 << 16) | 1) if order == "<" else struct.pack(">HH", 2, 1)
        flags = element(6, struct.pack(f"{order}II", 6, 0))
        body = flags + element(5, struct.pack(f"{order}ii", 1, 3)) + small + b"ab\0\0" + element(2, bytes([1, 2, 200]))
        path = tmp_path / "small.mat"
        path.write_bytes(b"MATLAB 5.0".ljust(124) + struct.pack(f"{order}H", 0x0100) + mark + element(14, body))
        same(read_matlab(path, "a test")["ab"], np.array([[1.0, 2.0, 200.0]]))
        same(scipy.io.loadmat(path)["ab"].astype("f8"), np.array([[1.0, 2.0, 200.0]]))


def test_the_real_trim_tables(shared_data: Path) -> None:
    path = shared_data / "extreme3d" / "mod_struct_expr.mat"
    ours = read_matlab(path, "trim tables")["mod_struct"]
    theirs = scipy.io.loadmat(path, mat_dtype=True)["mod_struct"][0, 0]
    assert set(ours) == set(theirs.dtype.names)
    for name in theirs.dtype.names:
        same(ours[name], theirs[name])


def write_73(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """As MATLAB does: a text header of 512 bytes, columns first, a class at each dataset, structures as groups."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in arrays.items():
            dataset = file.create_dataset(name, data=np.asarray(value).T)
            dataset.attrs["MATLAB_class"] = np.bytes_(
                {"float64": "double", "float32": "single"}.get(str(value.dtype), str(value.dtype))
            )
        word = file.create_dataset("word", data=np.array([[ord(letter)] for letter in "name"], np.uint16))
        word.attrs["MATLAB_class"] = np.bytes_("char")
        file["self"] = h5py.SoftLink("/elsewhere")
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\x02IM")


def test_level_7_3_and_plain_hdf5(tmp_path: Path) -> None:
    value = content("f8")[0]
    write_73(tmp_path / "a.mat", {"a": value, "BFM/b": value.astype("f4")})
    found = read_matlab(tmp_path / "a.mat", "a test")
    same(found["a"], value)
    same(found["BFM"]["b"], value.astype("f4"))
    assert "word" not in found and "self" not in found
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"], file["text"] = value, "not a number"
    plain = read_matlab(tmp_path / "a.h5", "a test")
    assert list(plain) == ["a"]
    same(plain["a"], value)


def level_5_bytes() -> bytes:
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"BFM": {"faces": content("u2"), "text": "abc"}, "a": content("f8")})
    return stream.getvalue()


def bomb() -> bytes:
    zeros = zlib.compressobj(9)
    packed = b"".join(zeros.compress(bytes(1 << 20)) for _ in range(600)) + zeros.flush()
    return level_5_bytes()[:128] + struct.pack("<II", 15, len(packed)) + packed


def grower() -> bytes:
    """40 million bytes of zeros that say they are doubles."""
    count = 40_000_000
    flags = (
        struct.pack("<IIII", 6, 8, 6, 0)
        + struct.pack("<IIii", 5, 8, 1, count)
        + struct.pack("<IHH", 1 << 16 | 1, 97, 0)
    )
    body = flags + struct.pack("<II", 2, count) + bytes(count)
    packed = zlib.compress(struct.pack("<II", 14, len(body)) + body, 9)
    return level_5_bytes()[:128] + struct.pack("<II", 15, len(packed)) + packed


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no header of a MATLAB file"),
        (b"\x89PNG" + bytes(300), "no header of a MATLAB file"),
        (level_5_bytes()[:-20], "ends in the middle"),
        (level_5_bytes()[:128] + struct.pack("<II", 15, 4) + b"abcd", "a compressed variable is damaged"),
        (level_5_bytes()[:128] + struct.pack("<II", 14, 0xFFFFFFF8), "ends in the middle"),
        (level_5_bytes()[:128] + struct.pack("<II", 14, 8) + bytes(8), "numbers of the unknown type 0"),
        (bomb(), "unpacks into far more than its size"),
        (grower(), "unpacks into far more than its size"),
    ],
)
def test_damage_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "bad.mat"
    path.write_bytes(data)
    with pytest.raises(AssetError, match=rf"bad\.mat as a test \(.*{message}"):
        read_matlab(path, "a test")


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.mat", tmp_path):
        with pytest.raises(AssetError, match="there is no such file"):
            read_matlab(path, "a test")


def test_hdf5_that_promises_too_much(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", (1 << 20, 1 << 20), "f4", chunks=(1024, 1024))  # nothing is written: zeros on reading
    with pytest.raises(AssetError, match="unpacks into far more"):
        read_matlab(tmp_path / "a.h5", "a test")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        for index in range(40):
            file[f"g{index}"] = file["/"]  # groups that hold each other: 40^8 entries
    with pytest.raises(AssetError, match=r"unpacks into far more|too deep"):
        read_matlab(tmp_path / "b.h5", "a test")


@pytest.mark.parametrize("kind", ["level 5", "level 5 packed", "7.3"])
def test_fuzz(tmp_path: Path, kind: str) -> None:
    """Whatever bytes are changed or cut: a table or our error, never anything else."""
    path = tmp_path / "fuzz.mat"
    if kind == "7.3":
        write_73(path, {"a": content("f8")[0], "BFM/b": content("u2")[0]})
    else:
        scipy.io.savemat(
            path, {"BFM": {"b": content("u2"), "t": "x"}, "a": content("f8")}, do_compression="packed" in kind
        )
    good, rng = path.read_bytes(), np.random.default_rng(3)
    refused = 0
    for _ in range(150):
        data = bytearray(good)
        for _ in range(int(rng.integers(1, 6))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        path.write_bytes(bytes(data[: int(rng.integers(len(data)))] if rng.random() < 0.2 else data))
        try:
            assert isinstance(read_matlab(path, "a test"), dict)
        except AssetError:
            refused += 1
    assert refused > 15  # the changes do reach what is checked
