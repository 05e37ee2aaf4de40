"""What is seen behind the person: places, walls, cloth, plain studio colours, other people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.data.synthetic.draws import Draws
from pyface3d.data.synthetic.objects import COMPANY_SCALE
from pyface3d.data.synthetic.resampling import gaussian_matrix, separable
from pyface3d.data.synthetic.sprites import on_their_feet
from pyface3d.data.synthetic.textures import draw_textures
from pyface3d.io.color import srgb_to_linear

STAGE = 60
PANORAMAS = "backgrounds.panoramas"


def draw_backgrounds(
    assets: Mapping[str, Tensor],
    rngs: Sequence[np.random.Generator],
    size: int,
    device: torch.device | str = "cpu",
    pool: Tensor | None = None,
) -> Tensor:
    """Pictures to stand behind a rendered head, from sharp to far out of focus.

    Args:
        assets: with ``backgrounds.panoramas`` (P, H, 2H, 3) uint8 sRGB, +z in the middle; else textures stand in.
        rngs: one generator per sample, made with ``STAGE``.
        size: R px, side of the pictures; even.
        device: of the result.
        pool: (N, 4, h, h) pictures of other people to be put behind some, linear RGB and cover, not premultiplied,
            `COMPANY_SCALE` times as wide as the crop of a face.

    Returns:
        (B, R, R, 3) linear RGB, 1 is white, panoramas' lights up to about 1.
    """
    draws = Draws(rngs, device)
    half = size // 2  # a background carries no label: half the resolution, doubled at the end, is enough
    picture = _layer(assets, draws, half)
    mixed = draws.chance(0.2).nonzero()[:, 0]
    if len(mixed):
        own = draws.of(mixed)
        seam = _seam(own, half)[:, None]
        picture[mixed] = picture[mixed] * (1 - seam) + _layer(assets, own, half) * seam
    if pool is not None and len(pool):
        picture = _people(draws, picture, pool.to(picture.device))
    blurred = draws.chance(0.6)
    sigma = blurred * torch.exp(draws.uniform(-0.7, 2.4)) * (half / 128)
    chosen = (sigma > 0.2).nonzero()[:, 0]
    if len(chosen):
        picture[chosen] = separable(picture[chosen], gaussian_matrix(half, sigma[chosen]))
    picture = picture * torch.exp(draws.normal(0.35))[:, None, None, None]
    picture = functional.interpolate(picture, size=(size, size), mode="bilinear", align_corners=False)
    return picture.permute(0, 2, 3, 1).contiguous()


def _layer(assets: Mapping[str, Tensor], draws: Draws, size: int) -> Tensor:
    """(B, 3, S, S): a place, a texture or a plain ground."""
    kind = draws.choice([0.5, 0.3, 0.2])
    if PANORAMAS not in assets:
        kind = torch.where(kind == 0, draws.integer(2) + 1, kind)
    picture = torch.zeros(len(draws), 3, size, size, device=draws.device)
    for number, draw in enumerate((_places, _textures, _studio)):
        chosen = (kind == number).nonzero()[:, 0]
        if len(chosen):
            picture[chosen] = draw(assets, draws.of(chosen), size)
    return picture


def _places(assets: Mapping[str, Tensor], draws: Draws, size: int) -> Tensor:
    """Views into the panoramas: a pinhole camera of 15 to 100 degrees looking about level."""
    panoramas = assets[PANORAMAS]
    index = draws.integer(len(panoramas))
    tangent = torch.tan(torch.exp(draws.uniform(-2.0, -0.14)))  # of half the angle
    yaw, pitch, roll = draws.uniform(-torch.pi, torch.pi), draws.normal(0.25), draws.normal(0.06)
    at = (torch.arange(size, device=draws.device) + 0.5) / size * 2 - 1
    x, y = at.expand(len(draws), size, size), -at[:, None].expand(len(draws), size, size)
    tangent, yaw, pitch, roll = (angle[:, None, None] for angle in (tangent, yaw, pitch, roll))
    x, y = tangent * (torch.cos(roll) * x - torch.sin(roll) * y), tangent * (torch.sin(roll) * x + torch.cos(roll) * y)
    y, z = torch.cos(pitch) * y + torch.sin(pitch), torch.cos(pitch) - torch.sin(pitch) * y
    longitude = torch.atan2(x, z) + yaw
    latitude = torch.atan2(y, torch.hypot(x, z))
    # All panoramas as one tall picture read at the pixels only: a copy per sample would cost more than the rest.
    tall = _linear_stack(panoramas)
    height, width = panoramas.shape[1:3]
    column = torch.frac(longitude / (2 * torch.pi) + 1.5) * width + 1  # of the widened picture
    row = ((0.5 - latitude / torch.pi) * height).clamp(0.5, height - 0.5) + height * index[:, None, None]
    grid = torch.stack([column * (2 / (width + 2)) - 1, row * (2 / tall.shape[2]) - 1], -1)
    view = functional.grid_sample(tall, grid.reshape(1, -1, size, 2), align_corners=False)
    view = view.reshape(3, len(draws), size, size).transpose(0, 1)
    mirrored = draws.chance(0.5)[:, None, None, None]
    return torch.where(mirrored, view.flip(-1), view)


@lru_cache(maxsize=4)
def _linear_stack(panoramas: Tensor) -> Tensor:
    """(1, 3, P H, 2H + 2) linear RGB of (P, H, 2H, 3) uint8 pictures, one below the other, widened by a column."""
    linear = srgb_to_linear(panoramas).permute(3, 0, 1, 2).flatten(1, 2)
    return torch.cat([linear[..., -1:], linear, linear[..., :1]], -1)[None].contiguous()


def _textures(assets: Mapping[str, Tensor], draws: Draws, size: int) -> Tensor:
    picture = draw_textures(draws, size)
    return picture * _gradient(draws, size)


def _studio(assets: Mapping[str, Tensor], draws: Draws, size: int) -> Tensor:
    """One colour, often white, grey or black, lit unevenly."""
    tone = draws.choice([0.3, 0.3, 0.15, 0.25])
    grey = torch.stack([draws.uniform(0.7, 1.0), draws.uniform(0.05, 0.6), draws.uniform(0, 0.05)], 1)
    colored = draws.random(3) ** 1.5
    plain = grey.gather(1, tone.clamp_max(2)[:, None]) * torch.exp(draws.normal(0.04, 3))
    color = torch.where((tone == 3)[:, None], colored, plain)
    return color[:, :, None, None] * _gradient(draws, size)


def _gradient(draws: Draws, size: int) -> Tensor:
    """(B, 1, S, S) about 1: light falling off along a line and about a middle."""
    at = (torch.arange(size, device=draws.device) + 0.5) / size - 0.5
    slope, middle = draws.normal(0.5, 2)[..., None, None], draws.uniform(-0.5, 0.5, 2)[..., None, None]
    spot = draws.uniform(-0.6, 1.2)[:, None, None]
    x, y = at, at[:, None]
    falloff = torch.exp(-3 * ((x - middle[:, 0]) ** 2 + (y - middle[:, 1]) ** 2))
    return (torch.exp(slope[:, 0] * x + slope[:, 1] * y) * (1 + spot * falloff))[:, None].clamp(0, 3)


def _seam(draws: Draws, size: int) -> Tensor:
    """(B, S, S) in [0, 1]: which side of a line a pixel is on; soft or hard, or a mere mixture."""
    at = (torch.arange(size, device=draws.device) + 0.5) / size - 0.5
    angle, offset = draws.uniform(0, 2 * torch.pi)[:, None, None], draws.uniform(-0.4, 0.4)[:, None, None]
    sharp = torch.exp(draws.uniform(-0.5, 5))[:, None, None]
    return torch.sigmoid((torch.cos(angle) * at + torch.sin(angle) * at[:, None] + offset) * 2 * sharp)


def _people(draws: Draws, picture: Tensor, pool: Tensor) -> Tensor:
    """A quarter of the pictures get one to three other people, anywhere but rarely in the very middle."""
    size = picture.shape[-1]
    count = draws.chance(0.25) * (1 + draws.integer(3))
    for number in range(3):
        index, scale = draws.integer(len(pool)), COMPANY_SCALE * torch.exp(draws.uniform(-1.6, 0.4))
        angle, radius = draws.uniform(0, 2 * torch.pi), draws.uniform(0.5, 1.3)
        mirrored = torch.where(draws.chance(0.5), -1.0, 1.0)
        chosen = (count > number).nonzero()[:, 0]
        if not len(chosen):
            continue
        at = (torch.arange(size, device=draws.device) + 0.5) / size * 2 - 1
        x = (at - (radius * torch.cos(angle))[chosen, None])[:, None, :] / (scale * mirrored)[chosen, None, None]
        y = (at - (radius * torch.sin(angle))[chosen, None])[:, :, None] / scale[chosen, None, None]
        grid = on_their_feet(torch.stack(torch.broadcast_tensors(x, y), -1), pool.shape[-1])
        source = pool[index[chosen]]
        cover = source[:, 3:]
        layer = functional.grid_sample(torch.cat([source[:, :3] * cover, cover], 1), grid, align_corners=False)
        picture[chosen] = picture[chosen] * (1 - layer[:, 3:]) + layer[:, :3]
    return picture
