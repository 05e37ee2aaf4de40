"""A sampler of drawn dots and the head's tables, for tests of the training loop."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from pyface3d.face_models import load_face_model
from pyface3d.geometry import rotation_from_euler
from pyface3d.train.points.head_tables import HeadTables, head_tables


@dataclass(frozen=True)
class DotBatch:
    image: Tensor
    points68: Tensor
    dense: Tensor
    visible68: Tensor
    visible_dense: Tensor
    rotation: Tensor
    identity: Tensor
    expression: Tensor
    coefficients_known: Tensor
    is_face: Tensor


@dataclass(frozen=True)
class DotSampler:
    """Crops with a bright disc; all points lie on a fixed pattern about it, and its size says the rest."""

    size: int = 64
    seed: int = 0

    def __call__(self) -> "DotSampler":
        return self

    def batch(self, start: int, count: int) -> DotBatch:
        rngs = [np.random.default_rng([self.seed, start + i]) for i in range(count)]
        draws = torch.tensor(np.stack([rng.random(8) for rng in rngs]), dtype=torch.float32)
        middle, radius = self.size * (0.3 + 0.4 * draws[:, :2]), self.size * (0.1 + 0.15 * draws[:, 2])
        axis = torch.arange(self.size) + 0.5
        pixels = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
        distance = (pixels - middle[:, None, None]).norm(dim=-1)
        image = 40 + 180 * (distance < radius[:, None, None])[:, None] * torch.tensor([1.0, 0.8, 0.6])[:, None, None]
        angle = torch.arange(388) * 2.399963  # a sunflower
        pattern = (torch.arange(388) / 388).sqrt()[:, None] * torch.stack([angle.cos(), angle.sin()], -1)
        points = middle[:, None] + radius[:, None, None] * pattern
        is_face = draws[:, 3] > 0.15
        image = torch.where(is_face[:, None, None, None], image, 90.0)
        yaw = draws[:, 4] - 0.5
        return DotBatch(
            image=image.byte(),
            points68=points[:, :68],
            dense=points[:, 68:],
            visible68=points[:, :68, 0] > middle[:, None, 0],
            visible_dense=points[:, 68:, 0] > middle[:, None, 0],
            rotation=rotation_from_euler(yaw, 0 * yaw, 0 * yaw),
            identity=draws[:, 2:3].expand(-1, 70) - 0.5,
            expression=draws[:, :1].expand(-1, 52),
            coefficients_known=draws[:, 5] > 0.2,
            is_face=is_face,
        )


@pytest.fixture(scope="session")
def tables() -> HeadTables:
    return head_tables(load_face_model("head"))
