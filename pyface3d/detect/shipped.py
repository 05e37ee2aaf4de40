"""Networks whose weights ship, loaded when first asked for and once per device."""

from __future__ import annotations

from collections.abc import Mapping
from functools import _lru_cache_wrapper, lru_cache
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

Predictor = TypeVar("Predictor", covariant=True)


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
