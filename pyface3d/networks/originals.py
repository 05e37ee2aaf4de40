"""Published weights into our networks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pyface3d.errors import AssetError, InputError
from pyface3d.networks.published import ORIGINALS, Original

_COUNTERS = "*num_batches_tracked"  # of batch norms; old files lack them, and they mean nothing in evaluation
_SHOWN, _LONGEST = 24, 120  # keys in a message, and letters of one


class HasShape(Protocol):
    @property
    def shape(self) -> Any: ...


@dataclass(frozen=True)
class KeyMatch:
    """How the keys of a file fit a network.

    Attributes:
        name: of the network.
        keys: of the file, by ours.
        missing: keys of ours that the file lacks.
        unexpected: keys of the file that the network has no place for.
        wrong_shapes: what does not fit, in words.
        beside: keys of ours that come from another file (``Original.companions``) and are not here.
        left_out: keys of the file that belong to other parts of it.
    """

    name: str
    keys: Mapping[str, str]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    wrong_shapes: tuple[str, ...]
    beside: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def resembles(self) -> bool:
        """Whether at least half of what the network needs is in the file."""
        return len(self.keys) > len(self.missing) + len(self.wrong_shapes)

    @property
    def num_wrong(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.wrong_shapes)

    def report(self) -> str:
        """What is wrong, in one sentence."""
        lists = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.wrong_shapes}
        parts = [f"{len(keys)} {what}: {first_of(keys)}" for what, keys in lists.items() if keys]
        for key in self.beside:
            file, array = (original_of(self.name).companions or {})[key]
            parts.append(f"{key} is missing, which is {array} of {file}")
        return "; ".join(parts) or "all keys fit"


def first_of(keys: Sequence[str], count: int = _SHOWN) -> str:
    """The first few in one line."""
    return ", ".join(key[:_LONGEST] for key in keys[:count]) + (" …" if len(keys) > count else "")


def own_shapes(name: str, sizes: Mapping[str, Any] | None = None) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of a network's state dict; nothing is allocated.

    Args:
        name: of the network.
        sizes: other than the published ones, as `create_network` takes them.

    Raises:
        InputError: no published weights are known of such a network, or it has no such size.
    """
    return _own_shapes(name, json.dumps(dict(sizes or {}), sort_keys=True))


@cache
def _own_shapes(name: str, sizes: str) -> dict[str, tuple[int, ...]]:
    from pyface3d.networks import create_network

    original_of(name)
    with torch.device("meta"):
        network = create_network(name, **json.loads(sizes))
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def original_of(name: str) -> Original:
    """The published file of a network.

    Raises:
        InputError: there is none.
    """
    if name not in ORIGINALS:
        raise InputError(f"no published weights are known of {name!r}; there are those of {', '.join(ORIGINALS)}")
    return ORIGINALS[name]


def match_keys(name: str, state: Mapping[str, HasShape], sizes: Mapping[str, Any] | None = None) -> KeyMatch:
    """How the keys and shapes of a state dict fit the network ``name``; of tensors that are not yet read, too.

    ``sizes``: as of `own_shapes`.

    Where the file holds other networks beside it (keys without its prefix, when others have it), those are left out.

    Raises:
        InputError: no published weights are known of such a network.
    """
    original, wanted = original_of(name), own_shapes(name, sizes)
    bare = {stored: stored.removeprefix("module.") for stored in state}
    prefix = original.prefix if any(key.startswith(original.prefix) for key in bare.values()) else ""
    keys: dict[str, str] = {}
    wrong: dict[str, str] = {}
    unexpected, left_out = [], []
    for stored, key in bare.items():
        own = original.rename(key.removeprefix(prefix)) if key.startswith(prefix) else None
        if own is None:
            left_out.append(stored)
        elif own in wanted and tuple(state[stored].shape) == wanted[own]:
            keys[own] = stored
        elif own in wanted:
            wrong[own] = f"{stored} {tuple(state[stored].shape)}, not {wanted[own]}"
        elif not fnmatch(own, _COUNTERS):
            unexpected.append(stored)
    optional = (_COUNTERS, *original.optional)
    lacking = [key for key in wanted if key not in keys and key not in wrong]
    lacking = [key for key in lacking if not any(fnmatch(key, pattern) for pattern in optional)]
    companions = original.companions or {}
    return KeyMatch(
        name,
        keys,
        missing=tuple(key for key in lacking if key not in companions),
        unexpected=tuple(unexpected),
        wrong_shapes=tuple(wrong.values()),
        beside=tuple(key for key in lacking if key in companions),
        left_out=tuple(left_out),
    )


def find_networks(state: Mapping[str, HasShape], names: Sequence[str] = tuple(ORIGINALS)) -> list[KeyMatch]:
    """Which of the networks ``names`` a state dict has all the weights of; where it is none, the closest."""
    matches = sorted((match_keys(name, state) for name in names), key=lambda match: match.num_wrong)
    return [match for match in matches if match.num_wrong == 0] or matches[:1]


def load_original(name: str, state_dict: Mapping[str, Tensor], sizes: Mapping[str, Any] | None = None) -> nn.Module:
    """A network with published weights, in evaluation mode, without gradients.

    Args:
        name: of the network, for example ``"or3d_regressor"``.
        state_dict: as in the published file: prefixes, old spectral norm and counters are seen to. float16 becomes
            float32.
        sizes: of a network that is not as large as the published one, see `own_shapes`.

    Raises:
        InputError: no published weights are known of such a network.
        AssetError: keys are missing or unexpected, or of another shape; the message lists them.
    """
    from pyface3d.networks import create_network

    match = match_keys(name, state_dict, sizes)
    if match.num_wrong or match.beside:
        raise AssetError(f"the weights are not those of {name} ({', '.join(ORIGINALS[name].files)}): {match.report()}")
    network = create_network(name, **(sizes or {}))
    tensors = network.state_dict()
    for key in set(tensors) - set(match.keys):  # stored but never run: the same every time, rather than random
        tensors[key] = torch.zeros_like(tensors[key])
    network.load_state_dict({**tensors, **{own: state_dict[stored] for own, stored in match.keys.items()}})
    network.eval().requires_grad_(False)
    return network
