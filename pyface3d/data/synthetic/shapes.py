"""Occluders without a name: blobs, polygons, bars, strands, cut edges, filled with textures."""

from __future__ import annotations

import torch
from torch import Tensor

from pyface3d.data.synthetic.anchors import FaceFrame
from pyface3d.data.synthetic.draws import Draws
from pyface3d.data.synthetic.textures import draw_textures, plain_colors


def _pixels(draws: Draws, size: int) -> tuple[Tensor, Tensor]:
    at = torch.arange(size, device=draws.device, dtype=torch.float32) + 0.5
    return at.expand(1, size, size), at[:, None].expand(1, size, size)


def _column(values: Tensor) -> Tensor:
    return values[:, None, None]


def somewhere(draws: Draws, frame: FaceFrame) -> Tensor:
    """(B, 2) px: a landmark, each as likely, and a little away from it."""
    index = draws.integer(frame.points.shape[1])
    rows = torch.arange(len(index), device=index.device)
    return frame.points[rows, index] + draws.normal(0.1, 2) * frame.width[:, None]


def textured(draws: Draws, cover: Tensor) -> Tensor:
    """(B, 4, S, S) premultiplied: a texture or a plain colour under ``cover`` (B, S, S), shaded towards its edge."""
    size = cover.shape[-1]
    color = draw_textures(draws, size)
    plain = draws.chance(0.4)[:, None, None, None]
    color = torch.where(plain, plain_colors(draws)[:, :, None, None], color)
    slope = draws.normal(0.8, 2)[..., None, None]
    at = (torch.arange(size, device=draws.device) + 0.5) / size - 0.5
    shade = torch.exp(slope[:, 0] * at + slope[:, 1] * at[:, None]).clamp(0.2, 4)
    return torch.cat([color * (shade * cover)[:, None], cover[:, None]], 1)


def blobs(draws: Draws, frame: FaceFrame, size: int) -> Tensor:
    """Ellipses, blobs and polygons about a landmark, edges hard or soft, some half transparent. (B, 4, S, S)."""
    x, y = _pixels(draws, size)
    center = somewhere(draws, frame)
    radius = frame.width * torch.exp(draws.uniform(-2.3, -0.3))
    angle, stretch = draws.uniform(0, 2 * torch.pi), torch.exp(draws.normal(0.35))
    x, y = x - _column(center[:, 0]), y - _column(center[:, 1])
    cosine, sine = _column(torch.cos(angle)), _column(torch.sin(angle))
    x, y = (cosine * x + sine * y) / _column(stretch), (cosine * y - sine * x) * _column(stretch)
    distance = torch.hypot(x, y) / _column(radius)
    theta = torch.atan2(y, x)
    wobble = torch.zeros_like(distance)
    for order in range(2, 6):
        phase, height = draws.uniform(0, 2 * torch.pi), draws.normal(0.22 / order**0.5)
        wobble = wobble + _column(height) * torch.cos(order * theta + _column(phase))
    corners = _column((3 + draws.integer(5)).float())
    sector = (torch.remainder(theta, 2 * torch.pi / corners) - torch.pi / corners).cos()
    kind = _column(draws.choice([0.25, 0.4, 0.35]))
    edge = torch.where(
        kind == 0, distance, torch.where(kind == 1, distance / (1 + wobble).clamp_min(0.3), distance * sector)
    )
    soft = torch.where(draws.chance(0.75), 1.0, draws.uniform(2, 14) * (size / 128))
    cover = ((1 - edge) * _column(radius / soft) + 0.5).clamp(0, 1)
    return textured(draws, cover * _column(_opacity(draws)))


def bars(draws: Draws, frame: FaceFrame, size: int) -> Tensor:
    """Straight or bent bands right across the picture: poles, straps, arms, straws, a black bar over the eyes."""
    x, y = _pixels(draws, size)
    over_eyes = draws.chance(0.25)
    eyes = frame.points[:, 36:48].mean(1)
    center = torch.where(over_eyes[:, None], eyes, somewhere(draws, frame))
    upright = torch.atan2(frame.right[:, 1], frame.right[:, 0])
    angle = torch.where(over_eyes, upright + draws.normal(0.12), draws.uniform(0, torch.pi))
    half = frame.width * torch.where(over_eyes, draws.uniform(0.08, 0.2), torch.exp(draws.uniform(-3.9, -1.5)))
    length = torch.where(over_eyes, frame.width * draws.uniform(0.35, 0.6), frame.width * draws.uniform(0.3, 3.0))
    x, y = x - _column(center[:, 0]), y - _column(center[:, 1])
    cosine, sine = _column(torch.cos(angle)), _column(torch.sin(angle))
    along, across = cosine * x + sine * y, cosine * y - sine * x
    bend = torch.where(over_eyes, 0.0, draws.normal(0.5)) / frame.width
    across = across + _column(bend) * along * along
    inside = torch.minimum(_column(half) - across.abs(), _column(length) - along.abs())
    layer = textured(draws, (inside + 0.5).clamp(0, 1))
    black = (over_eyes & draws.chance(0.6))[:, None, None, None]
    return torch.where(black, torch.cat([layer[:, :3] * 0.02, layer[:, 3:]], 1), layer)


def strands(draws: Draws, frame: FaceFrame, size: int) -> Tensor:
    """A tuft of hair hanging over the face from above or from a side: 14 curved strands of one colour."""
    x, y = _pixels(draws, size)
    hang = torch.where(draws.chance(0.7), draws.normal(0.4), draws.uniform(-1.6, 1.6))
    root = frame.at(draws.uniform(-1.1, 1.1), draws.uniform(-2.4, -1.2))
    length = frame.height * draws.uniform(0.6, 1.7)
    spread, thickness = frame.width * draws.uniform(0.02, 0.2), frame.width * torch.exp(draws.uniform(-5.4, -3.9))
    direction = torch.cos(hang)[:, None] * frame.down + torch.sin(hang)[:, None] * frame.right
    x, y = x - _column(root[:, 0]), y - _column(root[:, 1])
    along = _column(direction[:, 0]) * x + _column(direction[:, 1]) * y
    across = _column(direction[:, 0]) * y - _column(direction[:, 1]) * x
    share = (along / _column(length)).clamp(0, 1)
    tone = torch.exp(draws.normal(1.0) - 2.5)
    color = tone[:, None] * torch.stack([torch.ones_like(tone), draws.uniform(0.5, 0.9), draws.uniform(0.2, 0.75)], 1)
    curl = draws.normal(0.35) * frame.width
    cover, shine = torch.zeros_like(along), torch.zeros_like(along)
    for _ in range(14):
        offset, bend = draws.normal(1.0) * spread, curl + draws.normal(0.1) * frame.width
        end, light = draws.uniform(0.6, 1.0), torch.exp(draws.normal(0.3))
        start = draws.normal(0.08)
        shift = across - _column(offset) - _column(bend) * share * share
        rest = (1 - share / _column(end)).clamp(0, 1) * (8 * (share - _column(start))).clamp(0, 1)
        width = _column(thickness) * rest.sqrt()
        strand = (width - shift.abs() + 0.5).clamp(0, 1) * (width * 1.6).clamp(0, 1)
        shine = torch.where(strand > cover, _column(light), shine)
        cover = torch.maximum(cover, strand)
    return torch.cat([color[:, :, None, None] * (shine * cover)[:, None], cover[:, None]], 1)


def scarves(draws: Draws, frame: FaceFrame, size: int) -> Tensor:
    """Cloth over everything below a curve across the nose, the mouth or the chin. (B, 4, S, S)."""
    x, y = _pixels(draws, size)
    x, y = x - _column(frame.center[:, 0]), y - _column(frame.center[:, 1])
    right, down = frame.right[..., None, None], frame.down[..., None, None]
    across = (right[:, 0] * x + right[:, 1] * y) / _column(frame.width)
    along = (down[:, 0] * x + down[:, 1] * y) / _column(frame.height)
    edge = _column(draws.uniform(-0.02, 0.4)) + _column(draws.uniform(-0.5, 0.5)) * across.square()
    edge = edge + _column(draws.normal(0.15)) * across
    half, end = _column(draws.uniform(0.55, 0.9)), _column(draws.uniform(0.7, 1.6))
    inside = torch.minimum(along - edge, torch.minimum(half + 0.3 * along - across.abs(), end - along))
    layer = textured(draws, (inside * _column(frame.height) + 0.5).clamp(0, 1))
    slope, wave = _column(draws.normal(4.0)), _column(draws.uniform(8, 22))
    folds = torch.sin(wave * (along - edge) + slope * across + 3 * torch.sin(3 * across + _column(draws.uniform(0, 6))))
    return torch.cat([layer[:, :3] * (0.8 + 0.25 * folds)[:, None], layer[:, 3:]], 1)


def frame_cuts(draws: Draws, frame: FaceFrame, size: int) -> Tensor:
    """The picture ends inside the crop: black, grey or of a texture beyond one or two of its edges. (B, 4, S, S)."""
    x, y = _pixels(draws, size)
    depth = torch.where(draws.chance(0.5, 4), 0.0, draws.random(4) ** 1.5 * 0.4) * size
    depth = depth.scatter(1, draws.integer(4)[:, None], draws.uniform(0.05, 0.4, 1) * size)
    left, right, top, bottom = (_column(edge) for edge in depth.round().unbind(1))
    outside = (x < left) | (x > size - right) | (y < top) | (y > size - bottom)
    cover = outside.float()
    layer = textured(draws, cover)
    kind = draws.choice([0.55, 0.25, 0.2])[:, None, None, None]
    flat = torch.where(kind == 0, 0.0, draws.random()[:, None, None, None]) * cover[:, None]
    return torch.cat([torch.where(kind == 2, layer[:, :3], flat), cover[:, None]], 1)


def _opacity(draws: Draws) -> Tensor:
    """(B,): most things are opaque; smoke, glass and reflections are not."""
    return torch.where(draws.chance(0.85), 1.0, draws.uniform(0.3, 0.9))
