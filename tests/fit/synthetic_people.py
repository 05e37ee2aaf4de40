"""Synthetic photos of the embedded head: landmarks of people whose truth is known."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pyface3d.fit import PhotometricFit, render_fit
from pyface3d.fit.sparse_model import NUM_JAW, sparse_face, visible_contour
from pyface3d.geometry import Camera, rotation_from_euler

HEIGHT, WIDTH, FOCAL = 480, 640, 1000.0


@dataclass(frozen=True)
class Truth:
    """B people in front of one camera, and where their 68 landmarks fall."""

    identity: Tensor
    expression: Tensor
    rotation: Tensor
    translation: Tensor
    points: Tensor
    sigma: Tensor


def landmarks_of(model, coefficients: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
    """The 68 landmarks as an annotator would see them, jaw points at the face's outline, (B, 68, 2) px."""
    sparse = sparse_face(model)
    spots = sparse.points(coefficients) @ rotation.transpose(1, 2) + translation[:, None]
    camera = Camera.centered(torch.full((len(spots),), FOCAL, dtype=torch.float64), HEIGHT, WIDTH)
    jaw = visible_contour(sparse, spots[..., :2] / spots[..., 2:], rotation)
    index = torch.cat([jaw, torch.arange(NUM_JAW, 68).expand(len(spots), -1)], 1)
    return torch.take_along_dim(camera.project(spots)[..., :2], index[..., None], 1)


def people(model, count: int, *, yaw: float = 0.5, seed: int = 0, same_person: bool = False) -> Truth:
    """Random people at 700 mm, heads turned by up to ``yaw`` radians, with open mouths, smiles and raised brows."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    identity = torch.randn(count, model.identity_dim, generator=generator, dtype=torch.float64) * 0.6
    if same_person:
        identity = identity[:1].expand(count, -1).clone()
    expression = torch.zeros(count, model.expression_dim, dtype=torch.float64)
    for index, name in enumerate(model.expression_names):
        if name.startswith(("jawOpen", "mouthSmile", "browInnerUp")):
            expression[:, index] = 0.3 * draw(1 if name.endswith(("Left", "Right", "_L", "_R")) else count)
    rotation = rotation_from_euler(*((2 * draw(3, count) - 1) * torch.tensor([[yaw], [0.3], [0.3]])))
    translation = torch.stack([60 * draw(count) - 30, 60 * draw(count) - 30, 700 + 50 * draw(count)], -1)

    points = landmarks_of(model, torch.cat([identity, expression], 1), rotation, translation)
    sigma = torch.full((count, 68), 0.5, dtype=torch.float64)
    return Truth(identity, expression, rotation, translation, points, sigma)


def photographed(model, count: int, *, size: int = 224, seed: int = 0) -> tuple[PhotometricFit, Tensor, Tensor]:
    """Random heads under random light: the truth, linear pictures (B, S, S, 3), landmarks (B, 68, 2)."""
    generator = torch.Generator().manual_seed(seed)
    identity = 0.8 * torch.randn(count, model.identity_dim, generator=generator)
    turn = (torch.rand(3, count, generator=generator) - 0.5) * torch.tensor([[0.8], [0.3], [0.3]])
    light = torch.zeros(count, 9, 3)
    light[:, 0] = 2.6
    light[:, 1:4] = 0.8 * torch.randn(count, 3, 1, generator=generator)
    truth = PhotometricFit(
        identity,
        torch.zeros(count, model.expression_dim),
        rotation_from_euler(*turn.unbind(0)),
        torch.tensor([0.0, 0.0, 700.0]).repeat(count, 1),
        Camera.centered(torch.full((count,), 2.4 * size), size, size),
        light=light,
        albedo=torch.randn(count, model.albedo_dim, generator=generator),
        inliers=torch.zeros(count, size, size, dtype=torch.bool),
        points=torch.zeros(count, 68, 2),
        residual=torch.zeros(count),
        iterations=0,
    )
    wall = torch.tensor([0.10, 0.14, 0.20])
    pictures = [
        torch.where(drawn.covered[..., None], drawn.colour.square(), wall) for drawn in render_fit(model, truth)
    ]
    marks = model.landmarks("ibug68").points(truth.verts_camera(model), model.topology)
    return truth, torch.stack(pictures), truth.camera.project(marks)[..., :2]
