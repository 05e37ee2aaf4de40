"""Published checkpoints into safetensors files with cards, and networks out of either."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from pyface3d.errors import AssetError, InputError
from pyface3d.io.checkpoints import Checkpoint, read_checkpoint, read_tensors
from pyface3d.io.weights import Asset, Card, card_of, write_weights
from pyface3d.networks.originals import (
    KeyMatch,
    find_networks,
    first_of,
    load_original,
    match_keys,
    original_of,
    own_shapes,
)
from pyface3d.networks.published import ORIGINALS

if TYPE_CHECKING:
    from pyface3d.io.torch_files import StoredTensor

_MAX_COMPANION_BYTES = 64 * 2**20
_HASH_STEP = 2**22
_MAX_SIZE = 4096
SIZES = "sizes"
"""Entry of a card's details: arguments of the network's class, where they are not the published ones."""

Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]


@dataclass(frozen=True)
class Found:
    """A network that a file has all the weights of.

    Attributes:
        entry: of the file; "" where the file itself is its state dict.
        match: how its keys become ours.
        stored: its tensors, not yet read.
    """

    entry: str
    match: KeyMatch
    stored: Mapping[str, StoredTensor]


def networks_in(checkpoint: Checkpoint, name: str | None = None, sizes: Mapping[str, Any] | None = None) -> list[Found]:
    """What networks a file holds.

    Args:
        checkpoint: the file.
        name: the only one wanted; whatever is known, when left out, parts that only training needs last: they count
            where there is nothing else.
        sizes: of the network ``name``, where they are not the published ones.

    Raises:
        InputError: ``name`` is no network whose published weights are known.
        AssetError: the file holds none; the message says which network comes closest and what does not fit.
    """
    if name is not None:
        original_of(name)
    found: list[Found] = []
    closest: KeyMatch | None = None
    for entry, stored in checkpoint.state_dicts.items():
        for match in find_networks(stored) if name is None else [match_keys(name, stored, sizes)]:
            if match.num_wrong == 0:
                found.append(Found(entry, match, stored))
            elif closest is None or match.num_wrong < closest.num_wrong:
                closest = match
    if not found:
        assert closest is not None
        if name is None and not closest.resembles:
            keys = list(next(iter(checkpoint.state_dicts.values())))
            raise AssetError(
                f"{checkpoint.path} holds no network that pyface3d knows ({', '.join(ORIGINALS)}); "
                f"its keys are {first_of(keys, 6)}"
            )
        what = "the weights of a known network" if name is None else f"the weights of {name}"
        raise AssetError(
            f"{checkpoint.path} does not hold {what}; closest is {closest.name} "
            f"({', '.join(ORIGINALS[closest.name].files)}): {closest.report()}; give the published file"
        )
    return [one for one in found if not ORIGINALS[one.match.name].only_trains] or found


def convert_checkpoint(
    path: Path,
    out: Path,
    name: str | None = None,
    licence: str | None = None,
    progress: Progress = lambda things, total, what: things,
) -> list[tuple[Found, Asset]]:
    """Write the networks of a published file as safetensors, each with a card.

    Args:
        path: the file as published.
        out: a folder, for ``<network>.safetensors`` of every network in the file; or a ``.safetensors`` file for one.
        name: the only network wanted; whatever the file holds, when left out.
        licence: terms under which the user has the file; what is known of it, when left out.
        progress: called with things to go through, their number, and a word for them.

    Raises:
        InputError: the file cannot be read, or holds several networks and ``out`` is one file.
        AssetError: it holds no known network, or a file that belongs beside it is missing.
        OutputError: a file cannot be written.
    """
    checkpoint = read_checkpoint(path)
    found = networks_in(checkpoint, name)
    single = out.suffix == ".safetensors"
    if single and len(found) > 1:
        names = ", ".join(f"{one.match.name} ({one.entry})" if one.entry else one.match.name for one in found)
        raise InputError(
            f"{path} holds several networks: {names}; choose one with --network, or give a folder for {out}"
        )
    beside = [companion_tensors(path, one.match) for one in found]  # before the long work
    checksum = _sha256(path, progress)
    written = []
    for one, companions in zip(found, beside, strict=True):
        original = ORIGINALS[one.match.name]
        keys = list(progress(one.match.keys.items(), len(one.match.keys), one.match.name))
        tensors = read_tensors(path, {own: one.stored[stored] for own, stored in keys}) | companions
        shapes = own_shapes(one.match.name)
        for own in shapes:  # stored but never run, and counters
            tensors.setdefault(own, torch.zeros(shapes[own]))
        target = out if single else out / f"{one.match.name}.safetensors"
        card = Card(
            target.stem,
            f"Weights of the network {one.match.name}, converted from {path.name}.",
            licence or f"{original.licence} (as known to pyface3d; not stated by who converted it)",
            f"{original.source}, file {path.name}",
            "pyface3d convert checkpoint",
            details={
                "network": one.match.name,
                "input": original.inputs,
                "entry": one.entry,
                "original_format": checkpoint.format,
                "original_sha256": checksum,
            },
        )
        written.append((one, write_weights(target, tensors, card)))
    return written


def companion_tensors(path: Path, match: KeyMatch) -> dict[str, Tensor]:
    """Tensors that a network needs from files beside the published one, and that ``match`` says are not in it.

    Raises:
        AssetError: a file is missing; the message names it.
        InputError: a file cannot be read or holds something else.
    """
    tensors = {}
    for key in match.beside:
        name, array_name = (ORIGINALS[match.name].companions or {})[key]
        beside, shape = path.with_name(name), own_shapes(match.name)[key]
        if not beside.is_file():
            raise AssetError(f"{match.name} needs {name} too, which comes with {path.name}; put it beside {path}")
        array = _read_array(beside, array_name)
        while array.ndim > len(shape) and len(array) == 1:
            array = array[0]
        if array.ndim == 1:
            array = array.reshape(-1, *(1 for _ in shape[1:]))  # one number a channel
        try:
            tensors[key] = torch.from_numpy(np.broadcast_to(array.astype(np.float32), shape).copy())
        except ValueError:
            raise InputError(f"{array_name} of {beside} must have the shape {shape}, got {array.shape}") from None
    return tensors


def _read_array(path: Path, name: str) -> np.ndarray[Any, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > _MAX_COMPANION_BYTES:
            raise InputError(f"{path} unpacks to {size >> 20} MiB; give the published file")
        with np.load(path, allow_pickle=False) as arrays:
            array = arrays[name]
    except InputError:
        raise
    except Exception as error:  # a damaged archive raises whatever zipfile or numpy stumble over
        raise InputError(f"{path} is not an .npz file with {name} ({error}); give the published file") from error
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} of {path} must be numbers, got {array.dtype}")
    return array


def load_network(path: Path, name: str | None = None) -> nn.Module:
    """A network with its weights, in evaluation mode, from a converted file or a published one.

    Args:
        path: ``.safetensors`` of ``pyface3d convert checkpoint`` or of a training, or the original file.
        name: the network wanted; what the card or the keys say, when left out.

    Raises:
        InputError: the file cannot be read, or holds several networks and none is named.
        AssetError: it does not hold the network, or is not the file of its card.
    """
    card = card_of(path)
    if card is not None:
        Asset(path, card).verify()
    sizes = {} if card is None else _sizes(path, card)
    checkpoint = read_checkpoint(path)
    found = networks_in(checkpoint, name or (card.details.get("network") if card and sizes else None), sizes)
    if len(found) > 1:
        names = ", ".join(one.match.name for one in found)
        raise InputError(f"{path} holds several networks ({names}); name one")
    (one,) = found
    tensors = read_tensors(path, {stored: one.stored[stored] for stored in one.match.keys.values()})
    return load_original(one.match.name, tensors | companion_tensors(path, one.match), sizes)


def _sizes(path: Path, card: Card) -> dict[str, Any]:
    """Sizes of a network that was trained smaller than the published one, as its card says them."""
    sizes = card.details.get(SIZES, {})
    numbers = [
        number
        for value in (sizes.values() if isinstance(sizes, dict) else ["?"])
        for number in (value if isinstance(value, list) else [value])
    ]
    if not all(isinstance(number, int) and 0 <= number <= _MAX_SIZE for number in numbers):
        raise AssetError(f"the card of {path} has sizes that no network has: {sizes!r}; write it again")
    return sizes


def _sha256(path: Path, progress: Progress) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        steps = -(-path.stat().st_size // _HASH_STEP)
        for _ in progress(range(steps), steps, "checksum"):
            digest.update(stream.read(_HASH_STEP))
    return digest.hexdigest()
