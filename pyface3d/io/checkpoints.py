"""Weights out of the files that torch writes, old and new, without running what is in them.

Read are state dicts and whole pickled modules, alone or beside each other in a dictionary, in the zip format (since
torch 1.6) and in the one before it; and safetensors. Classes of a pickled module need not be installed: a module is
its ``_parameters``, ``_buffers`` and ``_modules``. Sizes are known before any tensor is read.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyface3d.errors import InputError
from pyface3d.io.pickle_machine import PickledObject, PickleError
from pyface3d.io.pickles import PickledArray
from pyface3d.io.torch_files import (
    ITEM_BYTES,
    Storage,
    StoredTensor,
    read_legacy,
    read_safetensors,
    read_zip,
    row_major,
)

if TYPE_CHECKING:
    from torch import Tensor

_MAX_BYTES = 8 * 2**30
_MAX_DEPTH, _MAX_MODULES = 64, 100_000
_OPTIMISERS = ("optimizer", "optimizer_state_dict", "opt", "G_optimizer", "D_optimizer")  # tensors, but no weights


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds.

    Attributes:
        path: the file.
        format: "zip", "legacy" or "safetensors".
        state_dicts: by entry of the file; "" where the file itself is one. Entries of entries are joined by dots.
        others: entries that are no weights (optimiser, epoch, …).
    """

    path: Path
    format: str
    state_dicts: Mapping[str, Mapping[str, StoredTensor]]
    others: tuple[str, ...]


def read_checkpoint(path: Path) -> Checkpoint:
    """The weights in a file, not yet read.

    Raises:
        InputError: the file is missing, damaged, too large, no weight file, or asks to run something.
    """
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            if not 0 < size <= _MAX_BYTES:
                raise InputError(f"{path} is empty or larger than {_MAX_BYTES >> 30} GiB; give the published file")
            data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
            if bytes(data[:4]) == b"PK\x03\x04":
                kind, content = "zip", read_zip(stream, data)
            elif path.suffix == ".safetensors":
                kind, content = "safetensors", read_safetensors(data)
            else:
                kind, content = "legacy", read_legacy(data)
        state_dicts: dict[str, dict[str, StoredTensor]] = {}
        others: list[str] = []
        _collect("", content, state_dicts, others, set())
        _check_total(state_dicts, size)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # what a damaged file puts together fails in any way
        raise InputError(f"{path} is not a weight file of torch ({error}); give the published file") from error
    if not state_dicts:
        instead = f" but {', '.join(other[:60] for other in others[:8])}" if others else ""
        raise InputError(f"{path} holds no weights{instead}; give another file")
    return Checkpoint(path, kind, state_dicts, tuple(others))


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The weights of a file that holds one network's: a state dict, a module, or one of them beside other things.

    Raises:
        InputError: as :func:`read_checkpoint`, or the file holds several.
    """
    found = read_checkpoint(path).state_dicts
    if len(found) > 1:
        raise InputError(f"{path} holds several state dicts ({', '.join(found)}); use 'pyface3d convert checkpoint'")
    return read_tensors(path, next(iter(found.values())))


def read_tensors(path: Path, stored: Mapping[str, StoredTensor]) -> dict[str, Tensor]:
    """Read tensors of the file ``path``.

    Raises:
        InputError: naming the file and the key of one that is damaged.
    """
    tensors = {}
    for key, value in stored.items():
        try:
            tensors[key] = value.read()
        except InputError as error:
            raise InputError(f"{path}: {key}: {error}") from None
    return tensors


def _collect(
    entry: str, content: Any, state_dicts: dict[str, dict[str, StoredTensor]], others: list[str], seen: set[int]
) -> None:
    """Every state dict in ``content``, by the entries that lead to it."""
    if id(content) in seen:
        return
    seen.add(id(content))
    if isinstance(content, PickledObject) and isinstance(content.state, dict) and "_modules" in content.state:
        state_dicts[entry] = dict(_module_tensors(content, "", [0], 0))
    elif isinstance(content, dict):
        own = {str(key): found for key, value in content.items() if (found := _as_tensor(value)) is not None}
        if own:
            state_dicts[entry] = own
        for key, value in content.items():
            inside = f"{entry}.{key}" if entry else str(key)
            if isinstance(value, dict | PickledObject) and entry.count(".") < 2 and str(key) not in _OPTIMISERS:
                _collect(inside, value, state_dicts, others, seen)
            elif str(key) not in own:
                others.append(inside)
    else:
        kind = content.class_name if isinstance(content, PickledObject) else type(content).__name__
        others.append(f"{entry} ({kind})" if entry else kind)


def _as_tensor(value: Any) -> StoredTensor | None:
    if isinstance(value, PickledArray) and value.holds_numbers:  # state dicts of arrays, as Caffe converters write them
        array = value.array()
        data = memoryview(array.astype(array.dtype.newbyteorder("<")).tobytes())
        if array.dtype.name in ITEM_BYTES:
            return StoredTensor(array.shape, row_major(array.shape), 0, Storage(array.dtype.name, array.size, data))
    return value if isinstance(value, StoredTensor) else None


def _module_tensors(
    module: PickledObject, prefix: str, count: list[int], depth: int
) -> Iterator[tuple[str, StoredTensor]]:
    """What ``state_dict()`` of a pickled module would give; ``count`` is how many modules were met."""
    count[0] += 1
    if depth > _MAX_DEPTH or count[0] > _MAX_MODULES:
        raise PickleError("its modules are nested without end")
    state = module.state if isinstance(module.state, dict) else {}
    unsaved = state.get("_non_persistent_buffers_set")
    unsaved = unsaved if isinstance(unsaved, list | tuple) else ()
    for group in ("_parameters", "_buffers"):
        for key, value in _entries(state.get(group)):
            if isinstance(value, StoredTensor) and not (group == "_buffers" and key in unsaved):
                yield prefix + key, value
    for key, value in _entries(state.get("_modules")):
        if isinstance(value, PickledObject):
            yield from _module_tensors(value, f"{prefix}{key}.", count, depth + 1)


def _entries(group: Any) -> list[tuple[str, Any]]:
    return [(str(key), value) for key, value in group.items()] if isinstance(group, dict) else []


def _check_total(state_dicts: dict[str, dict[str, StoredTensor]], size: int) -> None:
    """Tensors may share numbers, but a small file must not become a large memory."""
    total = sum(
        math.prod(value.shape) * ITEM_BYTES[value.dtype] for state in state_dicts.values() for value in state.values()
    )
    if total > 8 * size + 2**20:
        raise PickleError(f"its tensors would take {total >> 20} MiB")
