"""What decides a run of the landmark network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyface3d.train.config import RunConfig

if TYPE_CHECKING:
    from typing_extensions import Self


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
class PointsConfig(RunConfig):
    """One run of the landmark network; further fields: see `RunConfig`.

    Attributes:
        variance: learn the points' deviations; without it plain distances are minimised.
        occluders: cover faces, in rendering and in the changes.
        warm_points: first steps without the likelihood, whose deviations would grow before the points are near.
        nll_beta: weighting of the likelihood, see `pyface3d.losses.gaussian_nll`.
        weights: of the parts of the loss.
    """

    variance: bool = True
    occluders: bool = True
    warm_points: int = 500
    nll_beta: float = 0.5
    weights: LossWeights = field(default_factory=LossWeights)

    @classmethod
    def of_mapping(cls, values: Mapping[str, Any]) -> Self:
        return super().of_mapping({**values, "weights": LossWeights(**values.get("weights", {}))})
