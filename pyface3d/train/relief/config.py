"""What decides a run of the relief network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyface3d.train.config import RunConfig

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class ReliefWeights:
    """How much each part of the loss, and each kind of pixel counts.

    Attributes:
        height, slope, broad_slope: of the heights, of their differences between neighbours, and over four pixels.
        softness: mm below which differences are rounded off: nearly all of them, so that the loss is close to squares.
            Bare or hardly rounded absolute values rest at the flat answer, the median of most skin, many times longer.
        seen: of skin that the photo shows.
        unseen: of all else. Hair, glasses, eyes and background have no relief; skin behind an occluder keeps its true
            one as the target: the other half of the face may say something of it, and what is laid over it must not
            become relief. But it is a guess, and not used.
        emphasis: a pixel of seen skin counts 1 + ``emphasis`` times where the truth is ``deep_mm`` and more: most skin
            is flat, and the median of what is uncertain is no wrinkle at all.
    """

    height: float = 10.0
    slope: float = 40.0
    broad_slope: float = 10.0
    softness: float = 0.5
    seen: float = 1.0
    unseen: float = 0.1
    emphasis: float = 2.0
    deep_mm: float = 0.3


@dataclass(frozen=True)
class ReliefConfig(RunConfig):
    """One run of the relief network; further fields: see `RunConfig`.

    Attributes:
        occluders: cover faces in rendering.
        weights: of the loss.
    """

    batch: int = 16
    size: int = 256
    reuse: int = 3
    learning_rate: float = 2e-3
    occluders: bool = True
    weights: ReliefWeights = field(default_factory=ReliefWeights)

    @classmethod
    def of_mapping(cls, values: Mapping[str, Any]) -> Self:
        return super().of_mapping({**values, "weights": ReliefWeights(**values.get("weights", {}))})
