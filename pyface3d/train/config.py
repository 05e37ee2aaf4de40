"""Everything that decides what a training run does; written beside its checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pyface3d.errors import InputError


@dataclass(frozen=True)
class LossWeights:
    """How much each part counts. Points are in fractions of the crop's side, vertices in mm, angles in radians."""

    landmarks: float = 1.0
    dense: float = 1.0
    distance: float = 6.0  # of the points' distance, and beside it, weighted by their deviations,
    shape: float = 30.0  # of their distance after a similarity,
    likelihood: float = 1.0  # that of their Gaussians
    visible: float = 0.15
    rotation: float = 2.0
    vertices: float = 0.15
    identity: float = 0.1
    expression: float = 0.5
    score: float = 0.3


@dataclass(frozen=True)
class TrainConfig:
    """One run of the landmark network.

    Attributes:
        steps: length of the schedule.
        batch: crops a step.
        size: side of the crops in pixels.
        seed: of weights, samples and changes to them.
        reuse: steps that each rendered sample serves, each time changed anew; rendering costs more than a step.
        pool: rendered batches among which a step chooses.
        frozen_stages: stem and stages of the backbone that keep their ImageNet weights.
        trunk_norms: "frozen" keeps ImageNet's statistics in the backbone's batch norms, "batch" learns new ones.
        variance: learn the points' deviations; without it plain distances are minimised.
        occluders: cover faces, in rendering and in the changes.
        warm_points: first steps without the likelihood, whose deviations would grow before the points are near.
        warm_up: steps over which the learning rates rise.
        learning_rate, trunk_learning_rate: highest ones, of the heads and of the backbone.
        weight_decay, clip, ema: of AdamW; largest norm of the gradient; decay of the averaged weights.
        nll_beta: weighting of the likelihood, see `pyface3d.losses.gaussian_nll`.
        weights: of the parts of the loss.
    """

    steps: int = 10_000
    batch: int = 48
    size: int = 128
    seed: int = 0
    reuse: int = 4
    pool: int = 16
    frozen_stages: int = 3
    trunk_norms: str = "frozen"
    variance: bool = True
    occluders: bool = True
    warm_points: int = 500
    warm_up: int = 200
    learning_rate: float = 1e-3
    trunk_learning_rate: float = 4e-4
    weight_decay: float = 0.02
    clip: float = 5.0
    ema: float = 0.999
    nll_beta: float = 0.5
    weights: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 1), ("reuse", 1), ("pool", 1), ("size", 32), ("frozen_stages", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.trunk_norms not in ("batch", "frozen"):
            raise InputError(f"trunk_norms must be 'batch' or 'frozen', got {self.trunk_norms!r}")

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @staticmethod
    def of_mapping(values: Mapping[str, Any]) -> TrainConfig:
        """Undoes ``dataclasses.asdict``.

        Raises:
            InputError: it has a field that there is not.
        """
        known = {item.name for item in fields(TrainConfig)}
        if unknown := sorted(set(values) - known):
            raise InputError(f"the configuration has unknown fields {', '.join(unknown)}; it is of another version")
        weights = LossWeights(**values.get("weights", {}))
        return TrainConfig(**{**values, "weights": weights})
