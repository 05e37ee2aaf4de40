"""Rendered people without background, with their labels: what several photos are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

STAGE = 5

_TURN_DEG, _ZOOM, _SHIFT = 9.0, 0.08, 0.03  # spread of further shots: degrees, log of the scale, share of the side
_CLOSER = 0.7  # share of further shots scaled up until nothing beyond the portrait's edge shows


@dataclass(frozen=True, eq=False)
class FaceLabels:
    """What is known of B faces in crops of S × S pixels, the first pixel's middle at (0.5, 0.5).

    Attributes:
        points68: the iBUG points as annotators set them (the jaw where the face ends), px, (B, 68, 2).
        points68_3d: the same points fixed on the face, px and depth mm, (B, 68, 3).
        dense: the dense points of `face_models.dense_points`, px, (B, 320, 2).
        visible68, visible_dense: inside the frame, in front of everything, not occluded, (B, 68) and (B, 320) bool.
        rotation: model frame to camera frame as seen along the ray through the crop's middle, (B, 3, 3).
        identity, expression: coefficients of `head`, (B, 70) and (B, 52); for people of other models the nearest.
        coefficients_known: False for children, whose proportions the coefficients leave out, (B,) bool.
    """

    points68: Tensor
    points68_3d: Tensor
    dense: Tensor
    visible68: Tensor
    visible_dense: Tensor
    rotation: Tensor
    identity: Tensor
    expression: Tensor
    coefficients_known: Tensor

    def labels(self) -> dict[str, Tensor]:
        """These fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(FaceLabels)}


@dataclass(frozen=True, eq=False)
class Portraits(FaceLabels):
    """B people as rendered, with their labels.

    Attributes:
        layer: linear RGB, not premultiplied, and cover, (B, S, S, 4).
        tone: mean colour of the skin, linear RGB albedo, (B, 3).
        segments: what every pixel shows, numbers of `FacePart`, (B, N, N) uint8; N is the rendered size, or S once
            the portraits were framed anew.
        relief: mm along the normal, (B, S, S); 0 where no skin is.
    """

    layer: Tensor
    tone: Tensor
    segments: Tensor
    relief: Tensor

    def __len__(self) -> int:
        return len(self.layer)

    def rows(self) -> list[Portraits]:
        """Every person alone."""
        return [Portraits(*(value[i : i + 1] for value in self._values())) for i in range(len(self))]

    def _values(self) -> list[Tensor]:
        return [getattr(self, field.name) for field in fields(self)]

    @staticmethod
    def joined(parts: Sequence[Portraits]) -> Portraits:
        return Portraits(*(torch.cat(column) for column in zip(*(part._values() for part in parts), strict=True)))


def framed_anew(portraits: Portraits, rngs: Sequence[np.random.Generator], again: Tensor) -> Portraits:
    """The portraits turned, scaled and moved in the crop, where ``again`` (B,) is True."""
    if not bool(again.any()):
        return portraits
    drawn = torch.from_numpy(np.stack([_draw(rng) for rng in rngs])).to(portraits.layer)
    turn, zoom, right, down = drawn.mul(again[:, None]).unbind(1)
    size = portraits.layer.shape[1]
    cos, sin = turn.cos(), turn.sin()
    turned = torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)
    scaled = turned * zoom.exp()[:, None, None]
    middle = torch.stack([right, down], 1) * size + size / 2

    def moved(points: Tensor) -> Tensor:
        return ((points - size / 2)[:, :, None] * scaled[:, None]).sum(-1) + middle[:, None]

    def inside(points: Tensor) -> Tensor:
        return ((points >= 0) & (points < size)).all(-1)

    points68, dense = moved(portraits.points68), moved(portraits.dense)
    flat, depth = portraits.points68_3d.split([2, 1], -1)
    spin = torch.zeros_like(portraits.rotation)
    spin[:, :2, :2], spin[:, 2, 2] = turned, 1
    return replace(
        portraits,
        layer=torch.where(again[:, None, None, None], _warped(portraits.layer, scaled, middle), portraits.layer),
        segments=_nearest(portraits.segments, size, scaled, middle),
        relief=torch.where(again[:, None, None], _blended(portraits.relief, scaled, middle), portraits.relief),
        points68=points68,
        points68_3d=torch.cat([moved(flat), depth], -1),
        dense=dense,
        visible68=portraits.visible68 & inside(points68),
        visible_dense=portraits.visible_dense & inside(dense),
        rotation=(spin[:, :, :, None] * portraits.rotation[:, None]).sum(2),
    )


def _draw(rng: np.random.Generator) -> np.ndarray:
    """Turn in radians, log of the scale, shift to the right and down in sides, (4,)."""
    turn, zoom, right, down = rng.standard_normal(4) * [np.radians(_TURN_DEG), _ZOOM, _SHIFT, _SHIFT]
    if rng.random() < _CLOSER:
        least = (abs(np.cos(turn)) + abs(np.sin(turn))) * (1 + 2 * max(abs(right), abs(down)))
        zoom = np.log(least) + 0.5 * abs(zoom)
    return np.array([turn, zoom, right, down])


def _sources(size: int, scaled: Tensor, middle: Tensor) -> Tensor:
    """Where every pixel of the new crops comes from: px about the middle of the old ones, (B, S, S, 2)."""
    at = torch.arange(size, device=scaled.device) + 0.5
    pixels = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1)
    back = torch.linalg.inv(scaled)
    return ((pixels - middle[:, None, None])[..., None, :] * back[:, None, None]).sum(-1)


def _nearest(segments: Tensor, size: int, scaled: Tensor, middle: Tensor) -> Tensor:
    """Classes do not mix: the nearest pixel's; 0 beyond the edge, as where nothing is drawn."""
    fine = segments.shape[1]
    x, y = ((_sources(size, scaled, middle) / size + 0.5) * fine).floor().long().unbind(-1)
    inside = (x >= 0) & (y >= 0) & (x < fine) & (y < fine)
    rows = torch.arange(len(segments), device=segments.device)[:, None, None]
    return torch.where(inside, segments[rows, y.clamp(0, fine - 1), x.clamp(0, fine - 1)], 0)


def _blended(relief: Tensor, scaled: Tensor, middle: Tensor) -> Tensor:
    """Heights between pixels, 0 beyond the edge; a face that is drawn larger is no deeper."""
    size = relief.shape[1]
    where = _sources(size, scaled, middle) * (2 / size)
    return functional.grid_sample(relief[:, None], where, align_corners=False)[:, 0]


def _warped(layer: Tensor, scaled: Tensor, middle: Tensor) -> Tensor:
    size = layer.shape[1]
    where = _sources(size, scaled, middle)
    cover = layer[..., 3:]
    premultiplied = torch.cat([layer[..., :3] * cover, cover], -1).permute(0, 3, 1, 2)
    found = functional.grid_sample(premultiplied, where * (2 / size), align_corners=False).permute(0, 2, 3, 1)
    return torch.cat([found[..., :3] / found[..., 3:].clamp_min(1e-3), found[..., 3:]], -1)
