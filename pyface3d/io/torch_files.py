"""Tensors as the files of torch (zip format, and the one before 1.6) and of safetensors store them, not yet read."""

from __future__ import annotations

import json
import math
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from pyface3d.errors import InputError
from pyface3d.io.pickle_machine import Answers, Name, PickleError, StatefulData, run_pickle
from pyface3d.io.pickles import PLAIN_ANSWERS

if TYPE_CHECKING:
    from torch import Tensor

# A pickle that holds this number is the first thing in a file of torch's old format, the format's version the second.
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001
_MAX_HEADER_BYTES = 64 * 2**20
_STORAGE_TYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
ITEM_BYTES = {
    **dict.fromkeys(("float64", "int64"), 8),
    **dict.fromkeys(("float32", "int32"), 4),
    **dict.fromkeys(("float16", "bfloat16", "int16"), 2),
    **dict.fromkeys(("int8", "uint8", "bool"), 1),
}


@dataclass(eq=False)
class Storage:
    """A run of numbers that tensors are views of; ``data`` is filled in after the pickle that names it."""

    dtype: str
    count: int
    data: memoryview | None = None
    checksum: int | None = None

    @property
    def size_bytes(self) -> int:
        return self.count * ITEM_BYTES[self.dtype]


@dataclass(frozen=True, eq=False)
class StoredTensor(StatefulData):
    """A tensor of a file, not yet read.

    Attributes:
        shape: its sizes.
        dtype: name of its type in torch, for example ``"float32"``.
    """

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    storage: Storage

    @property
    def dtype(self) -> str:
        return self.storage.dtype

    def set_state(self, state: Any) -> None:
        """Parameters of torch before 0.4 come with whether they want gradients, and their hooks: nothing to keep."""

    def read(self) -> Tensor:
        """A tensor of its own on the CPU.

        Raises:
            InputError: its bytes are not in the file, or not the ones that were written.
        """
        import torch

        storage = self.storage
        if storage.data is None or len(storage.data) != storage.size_bytes:
            raise InputError("a tensor's numbers are missing from the file; download it again")
        if storage.checksum is not None and zlib.crc32(storage.data) != storage.checksum:
            raise InputError("a tensor's numbers are damaged (checksum); download the file again")
        kind = getattr(torch, storage.dtype)
        try:
            if storage.count == 0:
                return torch.zeros(self.shape, dtype=kind)
            flat = torch.frombuffer(bytearray(storage.data), dtype=kind)
            return flat.as_strided(self.shape, self.stride, self.offset).clone(memory_format=torch.contiguous_format)
        except (RuntimeError, OverflowError, TypeError) as error:  # sizes that no tensor can have
            raise InputError(
                f"a tensor of shape {self.shape} cannot be made ({error}); download the file again"
            ) from None


def read_zip(stream: BinaryIO, data: memoryview) -> Any:
    """``NAME/data.pkl`` and, one file each, ``NAME/data/KEY``."""
    with zipfile.ZipFile(stream) as archive:
        files = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in files if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise PickleError("an archive without data.pkl")
        root = pickles[0].removesuffix("data.pkl")
        order = files.get(root + "byteorder")
        if order is not None and bytes(_stored(data, order)) != b"little":
            raise PickleError("written on a machine of the other byte order")
        storages: dict[str, Storage] = {}

        def persistent(identifier: Any) -> Any:
            kind, key, count = _identifier(identifier)
            if key not in storages:
                storages[key] = Storage(kind, count)
            return storages[key]

        content, _ = run_pickle(_stored(data, files[pickles[0]]), _answers(persistent), persistent=persistent)
        for key, storage in storages.items():
            info = files.get(f"{root}data/{key}")
            if info is None:
                raise PickleError(f"data/{key} is missing from the archive")
            storage.data, storage.checksum = _stored(data, info), info.CRC
            if len(storage.data) != storage.size_bytes:
                raise PickleError(f"data/{key} has {len(storage.data)} bytes for {storage.count} numbers")
    return content


def _stored(data: memoryview, info: zipfile.ZipInfo) -> memoryview:
    """Bytes of a file of an archive, which torch never compresses."""
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
        raise PickleError(f"{info.filename} is compressed or encrypted")
    header = bytes(data[info.header_offset : info.header_offset + 30])
    if len(header) != 30 or header[:4] != b"PK\x03\x04":
        raise PickleError(f"{info.filename} is not where the archive says")
    start = info.header_offset + 30 + sum(struct.unpack("<HH", header[26:]))
    if start + info.file_size > len(data):
        raise PickleError(f"{info.filename} ends too early")
    return data[start : start + info.file_size]


def read_legacy(data: memoryview) -> Any:
    """Pickles of a magic number, a version, the machine, the object and the storages' keys; then the storages."""
    if bytes(data[257:262]) == b"ustar":
        raise PickleError("the tar format of torch before 0.2; load and save it once with an old torch")
    magic, position = run_pickle(data, PLAIN_ANSWERS)
    if isinstance(magic, dict):
        return magic  # arrays of numpy in a dictionary, as converters from Caffe write weights
    if magic != _LEGACY_MAGIC:
        raise PickleError("it does not begin as one")
    version, position = run_pickle(data, {}, position)
    if version != _LEGACY_VERSION:
        raise PickleError(f"version {version!r} of the old format")
    machine, position = run_pickle(data, {}, position)
    if isinstance(machine, dict) and not machine.get("little_endian", True):
        raise PickleError("written on a machine of the other byte order")
    storages: dict[str, Storage] = {}
    views: list[tuple[Storage, Storage, int]] = []

    def persistent(identifier: Any) -> Any:
        if isinstance(identifier, tuple) and identifier[:1] == ("module",) and len(identifier) > 1:
            return identifier[1]  # a class with its source text beside it
        kind, key, count = _identifier(identifier)
        storage = storages.setdefault(key, Storage(kind, count))
        window = identifier[5] if len(identifier) > 5 else None
        if window is None:
            return storage
        _, offset, size = window
        if not (isinstance(offset, int) and isinstance(size, int) and 0 <= offset <= offset + size <= storage.count):
            raise PickleError("a view of a storage is outside it")
        views.append((view := Storage(storage.dtype, size), storage, offset))
        return view

    content, position = run_pickle(data, _answers(persistent), position, persistent)
    keys, position = run_pickle(data, {}, position)
    if not isinstance(keys, list) or set(map(str, keys)) != set(storages) or len(keys) != len(storages):
        raise PickleError("its storages are not those of its tensors")
    for key in map(str, keys):
        storage = storages[key]
        (count,) = struct.unpack("<q", bytes(data[position : position + 8]))
        position += 8
        if count != storage.count or position + storage.size_bytes > len(data):
            raise PickleError(f"storage {key} ends too early or is of another size")
        storage.data = data[position : position + storage.size_bytes]
        position += storage.size_bytes
    for view, storage, offset in views:
        assert storage.data is not None
        start = offset * ITEM_BYTES[view.dtype]
        view.data = storage.data[start : start + view.size_bytes]
    return content


def read_safetensors(data: memoryview) -> Any:
    """Eight bytes of length, a JSON header, the tensors."""
    (length,) = struct.unpack("<Q", bytes(data[:8]))
    if length > min(len(data) - 8, _MAX_HEADER_BYTES):
        raise PickleError("its header ends too early")
    names = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32"}
    names |= {"I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool"}
    tensors = {}
    for key, entry in json.loads(bytes(data[8 : 8 + length])).items():
        if key != "__metadata__":
            start, end = entry["data_offsets"]
            shape = _sizes(tuple(entry["shape"]))
            if not 0 <= start <= end <= len(data) - 8 - length:
                raise PickleError(f"{key} is outside the file")
            storage = Storage(names[entry["dtype"]], math.prod(shape), data[8 + length + start : 8 + length + end])
            if storage.size_bytes != end - start:
                raise PickleError(f"{key} has {end - start} bytes for {storage.count} numbers")
            tensors[key] = StoredTensor(shape, row_major(shape), 0, storage)
    return tensors


# ---- what stands in their pickles


def _identifier(identifier: Any) -> tuple[str, str, int]:
    """Type, key and count of ``("storage", type, key, location, count, …)``."""
    if not isinstance(identifier, tuple) or len(identifier) < 5 or identifier[0] != "storage":
        raise PickleError("it refers to something that is no storage")
    kind, key, count = identifier[1], identifier[2], identifier[4]
    dtype = _STORAGE_TYPES.get(kind.name) if isinstance(kind, Name) and kind.module.startswith("torch") else None
    if dtype is None or not isinstance(key, str | int) or not isinstance(count, int) or count < 0:
        raise PickleError(f"a storage of unknown type {kind}")
    return dtype, str(key), count


def _answers(persistent: Callable[[Any], Any]) -> Answers:
    def tensor(storage: Any, offset: Any = 0, size: Any = (), stride: Any = (), *_: Any) -> StoredTensor:
        size, stride = _sizes(size), _sizes(stride)
        if not isinstance(storage, Storage) or not isinstance(offset, int) or offset < 0 or len(size) != len(stride):
            raise PickleError("a tensor is not of a storage")
        last = offset + sum((n - 1) * step for n, step in zip(size, stride))
        if math.prod(size) > storage.count or (math.prod(size) and last >= storage.count):
            raise PickleError(f"a tensor of shape {size} is outside its storage")
        return StoredTensor(size, stride, offset, storage)

    def parameter(data: Any = None, *_: Any) -> StoredTensor | None:
        return data if isinstance(data, StoredTensor) else None

    return {
        **PLAIN_ANSWERS,
        Name("torch._utils", "_rebuild_tensor"): tensor,
        Name("torch._utils", "_rebuild_tensor_v2"): tensor,
        Name("torch._utils", "_rebuild_parameter"): parameter,
        Name("torch._utils", "_rebuild_parameter_with_state"): parameter,
        Name("torch.nn.parameter", "Parameter"): parameter,  # torch before 0.4, as the next
        Name("torch.autograd.variable", "Variable"): parameter,
        Name("torch", "Size"): lambda sizes=(): sizes,
    }


def _sizes(sizes: Any) -> tuple[int, ...]:
    if not isinstance(sizes, tuple) or len(sizes) > 16 or not all(isinstance(n, int) and n >= 0 for n in sizes):
        raise PickleError("the sizes of a tensor are none")
    return sizes


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[k + 1 :]) for k in range(len(shape)))
