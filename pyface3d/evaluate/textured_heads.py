"""Seeded people of the embedded head, photographed with something in front of the face: the whole texture is known.

For measuring textures, not shapes: pose, shape and camera are given to whoever is tested, so that what is left is which
pixels are believed and what is put where none are.
"""

from dataclasses import dataclass, replace
from math import pi, sqrt
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.fit.results import FaceFit
from pyface3d.fit.texture_areas import FaceAreas, face_areas
from pyface3d.fit.texture_chart import texel_grid
from pyface3d.fit.texture_view import triangles_without
from pyface3d.geometry import Camera, rotation_from_euler
from pyface3d.io.color import linear_to_srgb, srgb_to_linear
from pyface3d.ops import interpolate, rasterize, render_texture, shade_spherical_harmonics, vertex_normals

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel

_DISTANCE_MM = 900.0
_FILL = 0.95  # of the picture's height, that 260 mm take up
_NOISE = 0.012  # standard deviation of the sensor, sRGB units
_SHADES = 0.45  # largest relative strength of the light's direction


@dataclass(frozen=True)
class TexturedPhoto:
    """One photo and the truth behind it.

    Attributes:
        image: linear RGB, (H, W, 3).
        fit: true pose, shape and camera, batch 1.
        texture: what the whole head looks like in this light, linear RGB, (S, S, 3).
        occluder: pixels in front of the head, (H, W) bool.
        head: pixels of the head, hidden or not, (H, W) bool.
    """

    image: Tensor
    fit: FaceFit
    texture: Tensor
    occluder: Tensor
    head: Tensor


def textured_photo(
    model: "FaceModel",
    generator: torch.Generator,
    *,
    size: int = 320,
    texture_size: int = 512,
    yaw: float = 0.6,
    expression: Tensor | None = None,
    occluder: tuple[Tensor, Tensor] | None = None,
    occluded: bool = True,
) -> TexturedPhoto:
    """Draw a person, a light, a background and an occluder, and photograph them.

    Args:
        model: with an albedo in a texture chart.
        size: pixels a side.
        yaw: largest turn of the head, radians; pitch goes to a third of it.
        expression: coefficients, (1, E); left out, the neutral face.
        occluder: linear RGB (h, w, 3) and coverage (h, w) in [0, 1] of a cut-out, put over a random part of the face
            at half to all of its width. None draws a plain or striped ellipse of a random colour.
        occluded: False leaves the occluder out.
    """
    fit = _draw_fit(model, generator, size, yaw)
    if expression is not None:
        fit = replace(fit, expression=expression)
    verts_camera = fit.verts_camera(model)
    topology = triangles_without(model.topology, face_areas(model).lashes)
    fragments = rasterize(fit.verts_image(model), topology, size, size)
    coefficients = 0.9 * torch.randn(1, model.albedo_dim, generator=generator)
    albedo = functional.interpolate(
        model.albedo(coefficients).permute(0, 3, 1, 2), size=(texture_size, texture_size), mode="bilinear"
    )
    albedo = albedo.permute(0, 2, 3, 1).clamp(0, 1).contiguous()
    normals = vertex_normals(verts_camera, model.topology)
    light = _draw_light(generator)
    shade = shade_spherical_harmonics(normals, light).clamp_min(0.05)
    picture = render_texture(albedo, fragments, topology) * interpolate(shade, fragments, topology)
    grid = texel_grid(model, texture_size)
    texture = grid.spread((albedo[0] * grid.from_verts(shade[0])).clamp(0, 1))
    head = fragments.mask[0]
    image = torch.where(head[..., None], picture[0], _draw_background(generator, size))
    hidden = torch.zeros(size, size, dtype=torch.bool)
    if occluded:
        color, cover = occluder if occluder is not None else _draw_ellipse(generator)
        color, cover = _placed(color, cover, fit.verts_image(model)[0], face_areas(model), size, generator)
        image = image * (1 - cover[..., None]) + color * cover[..., None]
        hidden = cover > 0.02
    noisy = linear_to_srgb(image.clamp(0, 1)) + _NOISE * torch.randn(image.shape, generator=generator)
    return TexturedPhoto(srgb_to_linear(noisy.clamp(0, 1)), fit, texture, hidden & head, head)


def _uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(shape or (1,), generator=generator)


def _draw_fit(model: "FaceModel", generator: torch.Generator, size: int, yaw: float) -> FaceFit:
    identity = 0.6 * torch.randn(1, model.identity_dim, generator=generator)
    angles = [_uniform(generator, -limit, limit) for limit in (yaw, yaw / 3, yaw / 4)]
    focal = torch.full((1,), size * _FILL * _DISTANCE_MM / 260)
    verts = model.vertices(identity, torch.zeros(1, model.expression_dim))
    rotation = rotation_from_euler(*angles)
    middle = verts[:, face_areas(model).face > 0.5].mean(1)
    translation = torch.tensor([[0.0, 0.0, _DISTANCE_MM]]) - (rotation @ middle[..., None])[..., 0]
    expression = torch.zeros(1, model.expression_dim)
    return FaceFit(identity, expression, rotation, translation, Camera.centered(focal, size, size))


def _draw_light(generator: torch.Generator) -> Tensor:
    """Even light of some tint with one softer direction, (9, 3), irradiance convention."""
    level = _uniform(generator, 0.8, 1.3) * (1 + _uniform(generator, -0.12, 0.12, 3))
    towards = functional.normalize(torch.randn(3, generator=generator) * torch.tensor([1.0, 0.7, 0.6]), dim=0)
    towards[2] = -towards[2].abs()  # from the camera's side
    light = torch.zeros(9, 3)
    light[0] = level * sqrt(4 * pi)
    strength = _uniform(generator, 0.1, _SHADES) * 1.5 * sqrt(4 * pi / 3)
    light[[3, 1, 2]] = strength * towards[:, None] * level
    return light


def _draw_background(generator: torch.Generator, size: int) -> Tensor:
    coarse = torch.rand(1, 3, 5, 5, generator=generator) * _uniform(generator, 0.1, 0.9)
    return functional.interpolate(coarse, size=(size, size), mode="bicubic")[0].permute(1, 2, 0).clamp(0, 1)


def _draw_ellipse(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    side = 64
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, side)] * 2, indexing="ij")
    cover = ((x**2 + (y / _uniform(generator, 0.4, 1.0)) ** 2) < 0.95).float()
    first, second = torch.rand(2, 3, generator=generator) ** 2
    angle = _uniform(generator, 0, pi)
    stripes = torch.sin(10 * (x * torch.cos(angle) + y * torch.sin(angle))) > 0
    striped = bool(torch.rand((), generator=generator) < 0.4)
    return torch.where((stripes & striped)[..., None], second, first), cover


def _placed(
    color: Tensor, cover: Tensor, verts_image: Tensor, areas: FaceAreas, size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The cut-out, scaled to half to all of the face's width, over a random part of it; turned a little."""
    where = verts_image[areas.core > 0.1, :2]
    low, high = where.amin(0), where.amax(0)
    center = low + (high - low) * _uniform(generator, 0.15, 0.85, 2)
    half = float((high - low)[0] * _uniform(generator, 0.5, 1.0)) / 2
    angle = float(_uniform(generator, -0.5, 0.5))
    y, x = torch.meshgrid(*[torch.arange(size) + 0.5] * 2, indexing="ij")
    shifted = torch.stack([x - center[0], y - center[1]], -1) / half
    turn = torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], dtype=torch.float32)
    shape = torch.tensor([1.0, cover.shape[1] / cover.shape[0]])
    grid = (shifted @ turn * shape)[None]
    stacked = torch.cat([color * cover[..., None], cover[..., None]], -1).permute(2, 0, 1)[None]
    sampled = functional.grid_sample(stacked, grid, align_corners=False)[0].permute(1, 2, 0)
    return sampled[..., :3] / sampled[..., 3:].clamp_min(1e-4), sampled[..., 3]
