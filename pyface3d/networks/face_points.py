"""The landmark network: one backbone, and from it points with deviations, visibility, pose, coefficients and a score.

Each point is the mean place of a heat map over the crop (Sun, Xiao, Wei, Liang, Wei, "Integral Human Pose Regression",
2018), which finds what is seen where it is seen, moved by what the whole crop says, which knows of what is hidden or
out of the frame. All else is regressed from flattened maps rather than pooled ones, so that places stay known. The
rotation is predicted as two columns that are made orthonormal (Zhou, Barnes, Lu, Yang, Li, "On the Continuity of
Rotation Representations in Neural Networks", 2019), which has no jumps for a network to learn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pyface3d.errors import AssetError, InputError
from pyface3d.geometry.rotations import FRONTAL
from pyface3d.networks.efficientnet_lite import (
    FINE_CHANNELS,
    LAST_CHANNELS,
    MIDDLE_CHANNELS,
    EfficientNetLite0,
    SameConv2d,
)

NUM_LANDMARKS, NUM_DENSE = 68, 320
NUM_POINTS = NUM_LANDMARKS + NUM_DENSE

# Deviations stay between a quarter of a pixel and half of the crop (at 128 px), and start at a twentieth of it.
LEAST_SIGMA, MOST_SIGMA, _FIRST_SIGMA = 0.002, 0.5, 0.05
# One unit of the last layer moves a point by so much of the crop: about the spread of points in jittered crops.
_POINT_UNIT = 0.1
# Heat maps reach so far beyond the crop on every side, in shares of it, and start as wide about the mean shape.
_MARGIN, _FIRST_SPREAD = 0.1, 0.15
_HEAT_CHANNELS = 96
_MOST_IDENTITY = 5.0
_RARE_ACTION = -2.0  # log-odds at the start: most facial actions are near 0


class FacePointsOutput(NamedTuple):
    """What the network says of B crops.

    Attributes:
        points: (B, 388, 2) as fractions of the crop's side: 68 of iBUG, then 320 dense ones.
        log_sigma: (B, 388) logarithm of a point's standard deviation per axis, in the unit of ``points``.
        visible: (B, 388) log-odds that the point is seen.
        rotation: (B, 3, 3) model to camera, as seen along the viewing ray through the crop's middle.
        identity: (B, 70) coefficients of ``head`` in σ units.
        expression: (B, 52) actions of ``head`` in [0, 1].
        score: (B,) log-odds that the crop shows a face.
    """

    points: Tensor
    log_sigma: Tensor
    visible: Tensor
    rotation: Tensor
    identity: Tensor
    expression: Tensor
    score: Tensor


@dataclass(frozen=True)
class FacePointsConfig:
    """Sizes of the network.

    Attributes:
        size: side of the crops in pixels, a multiple of 32; the fully connected layer fits this size only.
        num_dense, identity_dim, expression_dim: outputs.
        features: width of the layer that all outputs read.
        dropout: share of those features left out in training.
    """

    size: int = 128
    num_dense: int = NUM_DENSE
    identity_dim: int = 70
    expression_dim: int = 52
    features: int = 512
    dropout: float = 0.05

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 32:
            raise InputError(f"size must be a positive multiple of 32, got {self.size}")


class HeatMaps(nn.Module):
    """Where points are: the means of heat maps at an eighth of the crop's resolution.

    Attributes:
        prior: (P, N) logarithm of how likely each point is at each of the N places before anything is seen.
        places: (N, 2) buffer, in fractions of the crop's side.
    """

    places: Tensor

    def __init__(self, size: int, num_points: int) -> None:
        super().__init__()
        side = size // 8
        self.fine = nn.Conv2d(FINE_CHANNELS, _HEAT_CHANNELS, 1)
        self.middle = nn.Conv2d(MIDDLE_CHANNELS, _HEAT_CHANNELS, 1)
        self.last = nn.Conv2d(LAST_CHANNELS, _HEAT_CHANNELS, 1)
        self.around = nn.Sequential(
            *(nn.ReLU(), SameConv2d(_HEAT_CHANNELS, _HEAT_CHANNELS, 5, groups=_HEAT_CHANNELS)),
            *(nn.BatchNorm2d(_HEAT_CHANNELS), nn.Conv2d(_HEAT_CHANNELS, _HEAT_CHANNELS, 1), nn.ReLU()),
        )
        self.heat = nn.Conv2d(_HEAT_CHANNELS, num_points, 1)
        nn.init.normal_(self.heat.weight, std=0.01)
        assert self.heat.bias is not None
        nn.init.zeros_(self.heat.bias)
        self.prior = nn.Parameter(torch.zeros(num_points, side * side))
        at = ((torch.arange(side) + 0.5) / side - 0.5) * (1 + 2 * _MARGIN) + 0.5
        self.register_buffer("places", torch.stack(torch.meshgrid(at, at, indexing="xy"), -1).flatten(0, 1))

    def forward(self, fine: Tensor, middle: Tensor, last: Tensor) -> Tensor:
        """Points (B, P, 2) as fractions of the crop's side, from the trunk's maps."""
        coarse = self.middle(middle) + functional.interpolate(self.last(last), scale_factor=2.0)
        maps = self.heat(self.around(self.fine(fine) + functional.interpolate(coarse, scale_factor=2.0)))
        return (maps.flatten(2) + self.prior).softmax(-1) @ self.places

    @torch.no_grad()
    def expect(self, points: Tensor) -> None:
        """Set the prior to Gaussians about ``points`` (P, 2)."""
        square = (points[:, None] - self.places).square().sum(-1)
        self.prior.copy_(-0.5 * square / _FIRST_SPREAD**2)


class FacePoints(nn.Module):
    """Landmarks, pose, coefficients and face score of square crops.

    Args:
        sizes: fields of `FacePointsConfig`.

    Attributes:
        config: all of them.
        mean_points: (P, 2) buffer, the points' mean in training crops, where the network starts from.
        dense_mirror: (num_dense,) int64 buffer, the dense point on the other side of the face; set for training, and
            stored with the weights for those who average over mirror images.
    """

    mean_points: Tensor
    dense_mirror: Tensor

    def __init__(self, **sizes: Any) -> None:
        super().__init__()
        self.config = config = FacePointsConfig(**sizes)
        size, features, num_points = config.size, config.features, NUM_LANDMARKS + config.num_dense
        self.trunk = EfficientNetLite0()
        self.places = HeatMaps(size, num_points)
        # The trunk's maps spread over tens of units; taken as they are they drive whatever reads them out of its range.
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in (FINE_CHANNELS, MIDDLE_CHANNELS, LAST_CHANNELS))
        self.middle = nn.Sequential(nn.Conv2d(MIDDLE_CHANNELS, 32, 1), nn.ReLU(), nn.Flatten())
        self.last = nn.Sequential(nn.Conv2d(LAST_CHANNELS, 96, 1), nn.ReLU(), nn.Flatten())
        flat = 32 * (size // 16) ** 2 + 96 * (size // 32) ** 2
        self.features = nn.Sequential(nn.Linear(flat, features), nn.ReLU(), nn.Dropout(config.dropout))
        self._parts = (2 * num_points, num_points, num_points, 6, config.identity_dim, config.expression_dim, 1)
        self.outputs = nn.Linear(features, sum(self._parts))
        nn.init.normal_(self.outputs.weight, std=0.01)
        nn.init.zeros_(self.outputs.bias)
        self.register_buffer("mean_points", torch.full((num_points, 2), 0.5))
        self.register_buffer("dense_mirror", torch.arange(config.num_dense))

    def start_from(self, points: Tensor) -> None:
        """Make ``points`` (P, 2) the mean shape, and what an untrained network answers."""
        self.mean_points.copy_(points)
        self.places.expect(points)

    def forward(self, image: Tensor) -> FacePointsOutput:
        """Look at crops.

        Args:
            image: (B, 3, size, size) float, RGB of sRGB values in [0, 1].
        """
        fine, middle, last = (norm(maps) for norm, maps in zip(self.norms, self.trunk(image)))
        features = self.features(torch.cat([self.middle(middle), self.last(last)], dim=1))
        points, sigma, visible, columns, identity, expression, score = self.outputs(features).split(self._parts, 1)
        return FacePointsOutput(
            points=self.places(fine, middle, last) + _POINT_UNIT * points.unflatten(1, (-1, 2)),
            log_sigma=_bounded_log_sigma(sigma),
            visible=visible,
            rotation=rotation_from_columns(columns.unflatten(1, (2, 3))),
            identity=_MOST_IDENTITY * torch.tanh(identity / _MOST_IDENTITY),
            expression=torch.sigmoid(expression + _RARE_ACTION),
            score=score.squeeze(1),
        )


def rotation_from_columns(columns: Tensor) -> Tensor:
    """Rotations (B, 3, 3) from their first two columns less those of a frontal head, (B, 2, 3).

    Gram-Schmidt: the first column keeps its direction, the second is made perpendicular to it. All zero gives
    ``geometry.FRONTAL``.
    """
    frontal = columns.new_tensor(FRONTAL).T[:2]
    first, second = (columns + frontal).unbind(1)
    x = functional.normalize(first, dim=1)
    y = functional.normalize(second - (x * second).sum(1, keepdim=True) * x, dim=1)
    # Written out: torch.linalg.cross has no counterpart in ONNX.
    z = torch.stack([x[:, i] * y[:, j] - x[:, j] * y[:, i] for i, j in ((1, 2), (2, 0), (0, 1))], dim=1)
    return torch.stack([x, y, z], dim=2)


def face_points_network(weights: Mapping[str, Tensor]) -> FacePoints:
    """The network with trained weights, in evaluation mode and float32; sizes are read off the weights.

    Args:
        weights: as in the asset ``face_points``, any floating type.

    Raises:
        AssetError: keys or shapes are not those of the network; the message lists them.
    """
    try:
        features, flat = weights["features.0.weight"].shape
        num_dense = len(weights["dense_mirror"])
        side = math.isqrt(flat // (32 * 4 + 96))  # of the last stage's map: 32 channels at twice its side, 96 at it
        identity_dim = (
            len(weights["outputs.bias"]) - 4 * (NUM_LANDMARKS + num_dense) - 7 - FacePointsConfig.expression_dim
        )
        network = FacePoints(size=32 * side, num_dense=num_dense, identity_dim=identity_dim, features=features)
        tensors = {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}
        counters = {key: value for key, value in network.state_dict().items() if key.endswith("num_batches_tracked")}
        network.load_state_dict(counters | tensors)
    except (KeyError, ValueError, RuntimeError) as error:
        raise AssetError(
            f"the weights are not those of the landmark network: {error}; run pyface3d train landmarks --export"
        ) from error
    return network.eval().requires_grad_(False)


def _bounded_log_sigma(raw: Tensor) -> Tensor:
    """Any number to a log deviation between the bounds; 0 to the one at the start."""
    low, high, first = math.log(LEAST_SIGMA), math.log(MOST_SIGMA), math.log(_FIRST_SIGMA)
    start = math.log((first - low) / (high - first))
    return low + (high - low) * torch.sigmoid(raw + start)
