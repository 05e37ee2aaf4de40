"""Cut-outs laid over a picture: turned, scaled, mirrored, and averaged where they shrink."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.data.synthetic.draws import Draws
from pyface3d.io.color import srgb_to_linear


@dataclass(frozen=True)
class Placement:
    """Where B cut-outs go.

    Attributes:
        center: (B, 2) px of the crop where the cut-out's ``pivot`` comes to lie.
        side: (B,) px that the cut-out's side takes.
        angle: (B,) rad, clockwise in the picture.
        mirrored: (B,) bool.
        stretch: (B,) width is multiplied, height divided by it.
        pivot: (B, 2) in the cut-out, -1 … 1 from its left top to its right bottom corner, before mirroring.
    """

    center: Tensor
    side: Tensor
    angle: Tensor
    mirrored: Tensor
    stretch: Tensor
    pivot: Tensor

    def of(self, index: Tensor) -> Placement:
        """The places of some of the cut-outs, (n,) int64."""
        return Placement(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


def place(sprites: Tensor, placement: Placement, size: int, standing: bool = False) -> Tensor:
    """Draw one cut-out per sample on an empty crop.

    Args:
        sprites: (B, C, h, h) premultiplied by cover.
        placement: of the B cut-outs.
        size: S px.
        standing: go on below the cut-outs' lower edge as `on_their_feet` does.

    Returns:
        (B, C, S, S).
    """
    grid = places_in(placement, size)
    if standing:
        grid = on_their_feet(grid, sprites.shape[-1])
    # Bilinear reading skips texels below half size: read from a level averaged down to about one texel per pixel.
    smallest = placement.side * torch.minimum(placement.stretch, 1 / placement.stretch)
    level = torch.log2(sprites.shape[-1] / smallest.clamp_min(1)).round().clamp(0, 3)
    layer = sprites.new_zeros(*sprites.shape[:2], size, size)
    for number in range(4):
        chosen = (level == number).nonzero()[:, 0]
        if len(chosen):
            source = functional.avg_pool2d(sprites[chosen], 2**number) if number else sprites[chosen]
            layer[chosen] = functional.grid_sample(source, grid[chosen], align_corners=False)
    return layer


def places_in(placement: Placement, size: int) -> Tensor:
    """(B, S, S, 2) where in the cut-outs, -1 … 1, the pixels of the crop lie."""
    at = torch.arange(size, device=placement.side.device, dtype=placement.side.dtype) + 0.5
    half = placement.side / 2
    cosine, sine = torch.cos(placement.angle), torch.sin(placement.angle)
    flip = torch.where(placement.mirrored, -1.0, 1.0)
    wide, high = half * placement.stretch, half / placement.stretch
    x, y = at - placement.center[:, :1], at - placement.center[:, 1:]
    u = (flip * cosine / wide)[:, None, None] * x[:, None, :] + (flip * sine / wide)[:, None, None] * y[:, :, None]
    v = (cosine / high)[:, None, None] * y[:, :, None] - (sine / high)[:, None, None] * x[:, None, :]
    return torch.stack([u + placement.pivot[:, 0, None, None], v + placement.pivot[:, 1, None, None]], -1)


def on_their_feet(grid: Tensor, height: int) -> Tensor:
    """Places (…, 2) in pictures ``height`` px high, what lies below them moved to their last row.

    A person cut at the chest then goes on to the lower edge of the picture instead of hovering in it.
    """
    return torch.stack([grid[..., 0], grid[..., 1].clamp_max(1 - 1 / height)], -1)


def unpack(sprites: Tensor) -> Tensor:
    """(N, h, w, 4) uint8 sRGB and cover, not premultiplied, as (N, 4, h, w) premultiplied linear RGB and cover."""
    cover = sprites[..., 3:].float() / 255
    return torch.cat([srgb_to_linear(sprites[..., :3]) * cover, cover], -1).permute(0, 3, 1, 2)


def tinted(draws: Draws, layer: Tensor, sigma: float) -> Tensor:
    """(B, 4, S, S) premultiplied, the colours gained at random and lit from one side."""
    size = layer.shape[-1]
    gain = torch.exp(draws.normal(sigma)[:, None] + draws.normal(sigma / 3, 3))[:, :, None, None]
    slope = draws.normal(0.5, 2)[..., None, None]
    at = (torch.arange(size, device=draws.device) + 0.5) / size - 0.5
    shade = torch.exp(slope[:, 0] * at + slope[:, 1] * at[:, None])[:, None]
    return torch.cat([layer[:, :3] * gain * shade, layer[:, 3:]], 1)
