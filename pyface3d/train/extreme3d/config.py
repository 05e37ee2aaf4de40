"""What decides a run of the networks of Extreme 3D Faces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyface3d.errors import InputError
from pyface3d.train.config import RunConfig

_EPOCHS = 150  # of the published schedule: the last decay is at 140, the released weights are of 109
_STEP = 64  # the relief network halves its maps six times
_BORDER = 12  # px that its maps are larger than the crop


@dataclass(frozen=True)
class BumpConfig(RunConfig):
    """One run of the relief network; further fields: see `RunConfig`.

    Attributes:
        channels: of the network at the crop's resolution; 16 is the published one.
        gain: mm that 12 levels of its map stand for. 1.25 is what `reconstruct` reads maps with, so that it gets true
            millimetres; the published network learnt with 1, and its relief comes out a quarter higher.
        relief: weight of the relief's loss; 1 in the published one, whose targets from shading are 2 mm in the mean:
            exact ones are some thirty times shallower, and would be lost beside the mask.
        mask: weight of the mask's loss.
        outside: weight of pixels off the face, in the loss of the relief; 1 takes the mean over the whole map, as
            published.
        softness: differences below it, in mm of relief and in the mask's unit, are rounded off (`losses.relief_loss`),
            so that the loss is close to squares; 0, as published, rests long at the flat answer.
        flat_start: begin with no relief and an undecided mask; the published network begins anywhere.
        normals: weight of the angle between normals (`losses.normal_angle_loss`).
        adversarial: weight of the discriminator's opinion; 0, as published, does without one.
        occluders: cover faces; what is hidden keeps its relief as the target.
    """

    steps: int = 60_000
    batch: int = 8
    size: int = 500
    reuse: int = 2
    pool: int = 8
    warm_up: int = 500
    learning_rate: float = 2e-4
    weight_decay: float = 0.01
    clip: float = 1.0
    channels: int = 16
    gain: float = 1.25
    relief: float = 30.0
    mask: float = 0.1
    outside: float = 0.1
    softness: float = 0.5
    flat_start: bool = True
    normals: float = 0.0
    adversarial: float = 0.0
    occluders: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.size + _BORDER) % _STEP:
            below = (self.size + _BORDER) // _STEP * _STEP - _BORDER
            raise InputError(f"size must be {_BORDER} less than a multiple of {_STEP}, say {below}, got {self.size}")
        if self.channels < 1 or not self.gain > 0:
            raise InputError(f"channels and gain must be positive, got {self.channels} and {self.gain}")
        if self.adversarial and self.size != 500:
            raise InputError(f"the discriminator judges maps of 512 x 512: size must be 500, got {self.size}")
        _check_weights(self, ("relief", "mask", "outside", "softness", "normals", "adversarial"))


@dataclass(frozen=True)
class ShapeConfig(RunConfig):
    """One run of the shape network; further fields: see `RunConfig`.

    Attributes:
        model: face model whose coefficients are learnt: "head", or the path of a Basel Face Model.
        over, under: cost of answers beyond the truth and of those that fall short (`losses.asymmetric_loss`).
        occluders: cover faces.
    """

    steps: int = 60_000
    batch: int = 32
    size: int = 224
    reuse: int = 4
    warm_up: int = 500
    learning_rate: float = 2e-4
    weight_decay: float = 0.02
    model: str = "head"
    over: float = 1.0
    under: float = 3.0
    occluders: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size != 224:
            raise InputError(f"the shape network sees crops of 224 x 224 pixels: size must be 224, got {self.size}")
        _check_weights(self, ("over", "under"))


def _check_weights(config: RunConfig, names: tuple[str, ...]) -> None:
    for name in names:
        if not getattr(config, name) >= 0:
            raise InputError(f"{name} must not be negative, got {getattr(config, name)}")


_NO_CLIPPING = 1e9

PUBLISHED: Mapping[type[RunConfig], Mapping[str, Any]] = {
    # Tran et al. 2018. The factor of the decays was not published; neither was the batch.
    BumpConfig: {
        "optimizer": "sgd",
        "momentum": 0.0,
        "learning_rate": 2e-3,
        "weight_decay": 0.0,
        "warm_up": 0,
        "decay_at": tuple(epoch / _EPOCHS for epoch in (15, 40, 60, 80, 100, 120, 140)),
        "decay": 0.5,
        "clip": _NO_CLIPPING,
        "ema": 0.0,
        "gain": 1.0,
        "relief": 1.0,
        "outside": 1.0,
        "softness": 0.0,
        "flat_start": False,
    },
    # Tran et al. 2017. Their rate falls where the loss rests; here at fixed shares of the schedule.
    ShapeConfig: {
        "optimizer": "sgd",
        "momentum": 0.9,
        "learning_rate": 0.01,
        "weight_decay": 5e-4,
        "batch": 144,
        "warm_up": 0,
        "decay_at": (0.5, 0.75, 0.9),
        "decay": 0.1,
        "clip": _NO_CLIPPING,
        "ema": 0.0,
    },
}
"""Values of the published recipes, for ``--recipe published``; the defaults are ours."""
