"""Textures of a batch: windows of the procedural tiles, turned, scaled, bent and recoloured by chance."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.data.synthetic.draws import Draws
from pyface3d.data.synthetic.tiles import texture_tiles


def draw_textures(draws: Draws, size: int) -> Tensor:
    """(B, 3, S, S) linear RGB in [0, 1], one texture per sample, between a third of a tile and three tiles wide."""
    tiles = texture_tiles(draws.device)
    index = draws.integer(len(tiles))
    repeats = torch.exp(draws.uniform(-1.2, 1.1))
    angle = draws.uniform(0, 2 * torch.pi)
    at = (torch.arange(size, device=draws.device) + 0.5) / size - 0.5
    x, y = at.expand(len(draws), size, size), at[:, None].expand(len(draws), size, size)
    # A bend keeps straight patterns from being the mark of a thing that is not a face.
    bend = (draws.chance(0.4)[:, None] * draws.normal(0.25, 2))[..., None, None]
    x, y = x + bend[:, 0] * y * y, y + bend[:, 1] * x * x
    cosine, sine = (torch.cos(angle) * repeats)[:, None, None], (torch.sin(angle) * repeats)[:, None, None]
    shift = draws.random(2)[..., None, None]
    u = torch.frac(cosine * x - sine * y + shift[:, 0] + 8)
    v = torch.frac(sine * x + cosine * y + shift[:, 1] + 8)
    return recolor(draws, sample_tiles(tiles, index, torch.stack([u, v], -1)))


def sample_tiles(tiles: Tensor, index: Tensor, uv: Tensor) -> Tensor:
    """(B, 3, H, W) colours of tile ``index`` (B,) at ``uv`` (B, H, W, 2) in [0, 1), continued over the edges."""
    chosen = functional.pad(tiles[index], (1, 1, 1, 1), mode="circular")
    side = tiles.shape[-1]
    grid = uv * (2 * side / (side + 2)) - side / (side + 2)
    return functional.grid_sample(chosen, grid, align_corners=False)


def recolor(draws: Draws, color: Tensor) -> Tensor:
    """(B, 3, S, S) with channels mixed, gained and sometimes reversed, so that one tile serves for many colours."""
    order = draws.random(3).argsort(1)
    mixing = torch.eye(3, device=color.device)[order]
    grey = draws.chance(0.75)[:, None, None] * draws.random(1, 1) ** 0.5
    mixing = (1 - grey) * mixing + grey / 3
    gain = torch.exp(draws.normal(0.55)[:, None] - 0.15 + draws.normal(0.15, 3))
    mixed = (mixing @ color.flatten(2)).reshape(color.shape)
    reverse = draws.chance(0.15)[:, None, None, None]
    return (torch.where(reverse, 1 - mixed, mixed) * gain[:, :, None, None]).clamp(0, 1)


def plain_colors(draws: Draws) -> Tensor:
    """(B, 3) linear RGB of paint and cloth: most muted, many dark or white, some bright."""
    tone = draws.random(1) ** 1.5
    vivid = draws.random(1) ** 2
    return (tone + vivid * (draws.random(3) ** 1.5 - tone)).clamp(0, 1)
