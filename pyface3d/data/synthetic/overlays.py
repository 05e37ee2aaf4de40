"""Marks laid over a finished picture: lines as of writing, stamps and bars of one colour."""

from __future__ import annotations

import torch
from torch import Tensor

from pyface3d.data.synthetic.draws import Draws


def draw_overlays(draws: Draws, picture: Tensor) -> Tensor:
    """Write over some of the pictures, faint as a watermark or solid as a caption.

    Args:
        draws: of the B samples.
        picture: (B, 3, S, S) sRGB in [0, 1].

    Returns:
        (B, 3, S, S); about 6 % of them are changed.
    """
    chosen = draws.chance(0.06).nonzero()[:, 0]
    if not len(chosen):
        return picture
    own = draws.of(chosen)
    size = picture.shape[-1]
    marks = writing(own, size)
    opacity = torch.where(own.chance(0.5), own.uniform(0.15, 0.45), own.uniform(0.7, 1.0))
    white = own.chance(0.6)[:, None]
    color = torch.where(white, own.uniform(0.85, 1.0, 1), own.random(3))[:, :, None, None]
    cover = (marks * opacity[:, None, None])[:, None]
    return picture.index_put((chosen,), picture[chosen] * (1 - cover) + color * cover)


def writing(draws: Draws, size: int) -> Tensor:
    """Lines of marks of the height, the gaps and the strokes of letters.

    Returns:
        (B, S, S) in [0, 1].
    """
    count = len(draws)
    at = (torch.arange(size, device=draws.device) + 0.5) / size
    angle = draws.choice([0.75, 0.25]) * draws.uniform(-0.8, 0.8)
    x, y = at.expand(count, size, size), at[:, None].expand(count, size, size)
    middle = draws.uniform(0.1, 0.9, 2)
    cosine, sine = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    x, y = x - middle[:, 0, None, None], y - middle[:, 1, None, None]
    along, across = cosine * x + sine * y, cosine * y - sine * x
    height = draws.uniform(0.03, 0.11)[:, None, None]
    lines = (draws.integer(3) + 1)[:, None, None]
    length = draws.uniform(0.15, 0.9)[:, None, None]
    line = across / (1.5 * height)
    row = line.floor()
    inside = (line - row) * 1.5  # in letter heights; above 1 is the gap between the lines
    letter = along / (0.62 * height)
    column = letter.floor()
    # Each letter's cell is 5 x 7 and its dots are a hash of cell and dot: looks written, means nothing.
    dot_x, dot_y = ((letter - column) * 6).floor(), (inside * 7).floor()
    key = column * 12.9898 + row * 78.233 + dot_x * 37.719 + (dot_y * 0.5).floor() * 4.581
    dots = torch.frac(torch.sin(key) * 43758.5453).abs() > 0.42
    space = torch.frac(torch.sin(column * 91.17 + row * 3.7) * 951.135).abs() < 0.16
    ends = (along.abs() < length / 2) & (row >= 0) & (row < lines) & (inside < 1) & (dot_x < 5) & ~space
    return (dots & ends).float()
