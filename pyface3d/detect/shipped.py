"""Networks whose weights ship: loaded when first asked for and once per device, laid out to answer fast."""

from __future__ import annotations

from collections.abc import Mapping
from functools import _lru_cache_wrapper, lru_cache
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

Predictor = TypeVar("Predictor", covariant=True)
Network = TypeVar("Network", bound="nn.Module")


class FromWeights(Protocol[Predictor]):
    """Makes a predictor of a network's weights, on a device."""

    def __call__(self, weights: Mapping[str, Tensor], device: str) -> Predictor: ...


def shipped_predictor(asset: str, made: FromWeights[Predictor]) -> _lru_cache_wrapper[Predictor]:
    """``load(device="cpu")``: the predictor with the shipped weights of ``asset``.

    It raises an `AssetError` where they are missing, damaged, or of another network.
    """

    @lru_cache(maxsize=4)
    def load(device: str = "cpu") -> Predictor:
        from pyface3d.io.weights import load_weights

        return made(load_weights(asset), device)

    return load


def ready_to_ask(network: Network, device: str) -> Network:
    """The network in evaluation mode on a device, channels last: a quarter to a third less time on a CPU."""
    return network.to(device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
