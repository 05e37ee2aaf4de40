"""Things before the face: hands, masks, objects, hair, shapes, the picture's own edge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.data.synthetic import shapes
from pyface3d.data.synthetic.anchors import FaceFrame, coverage, face_cells, face_frame
from pyface3d.data.synthetic.draws import Draws
from pyface3d.data.synthetic.hands import hands
from pyface3d.data.synthetic.held import held_things
from pyface3d.data.synthetic.masks import SkinAlike, masks
from pyface3d.data.synthetic.objects import objects, people
from pyface3d.data.synthetic.resampling import gaussian_matrix, separable

STAGE = 65
_MOST = 0.8  # share of the face that may be covered
_LAYERS = 3

_Layer = Callable[[Draws, FaceFrame, Tensor, int], Tensor]


@dataclass(frozen=True)
class Occlusion:
    """What lies before the faces.

    Attributes:
        color: (B, S, S, 3) linear RGB, not premultiplied; 0 where ``cover`` is 0.
        cover: (B, S, S) in [0, 1].
        shadow: (B, S, S) in [0, 1]: share of the light that is kept from what lies behind.
        hair: (B, S, S) in [0, 1]: share of the pixel that strands of hair cover.
    """

    color: Tensor
    cover: Tensor
    shadow: Tensor
    hair: Tensor

    def over(self, image: Tensor) -> Tensor:
        """(B, S, S, 3) linear pictures with the shadows cast and the occluders laid over them."""
        cover = self.cover[..., None]
        return image * (1 - self.shadow[..., None]) * (1 - cover) + self.color * cover


def draw_occluders(
    assets: Mapping[str, Tensor],
    rngs: Sequence[np.random.Generator],
    points68: Tensor,
    skin: Tensor,
    size: int,
    pool: Tensor | None = None,
    skin_masks: float = 0.0,
) -> Occlusion:
    """Things before B faces; about 35 % of the faces stay free.

    Args:
        assets: ``occluders.*``; shapes and textures stand in for absent ones.
        rngs: one generator per sample, made with ``STAGE``.
        points68: (B, 68, 2) px of the S x S crop.
        skin: (B, 3) linear RGB in which the face's skin is seen (with its light); hands are given about that colour.
        size: S px.
        pool: (N, 4, h, w) pictures of other people, linear RGB and cover, not premultiplied; parts of them may cover.
        skin_masks: share of the face masks that are of the skin's colour or have a face printed on.

    Returns:
        Occluders that cover at most 80 % of each face.
    """
    draws = Draws(rngs, points68.device)
    frame = face_frame(points68)
    cells = face_cells(points68, size)
    canvas = points68.new_zeros(len(points68), 4, size, size)
    hair = points68.new_zeros(len(points68), size, size)
    kinds = _kinds(assets, pool, skin_masks)
    first = draws.choice([0.35] + [weight for weight, *_ in kinds]) - 1
    more = draws.choice([0.7, 0.22, 0.08])
    later = [draws.choice([weight for weight, *_ in kinds]) for _ in range(_LAYERS - 1)]
    kind = torch.stack([first, *later])
    wanted = (first >= 0) & (torch.arange(_LAYERS, device=first.device)[:, None] <= more)
    rows = wanted.nonzero()
    added = canvas.new_zeros(len(rows), 4, size, size)
    hairy = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    for number, (_, draw, is_hair) in enumerate(kinds):  # once per kind, for all layers
        which = (kind[wanted] == number).nonzero()[:, 0]
        if len(which):
            sample = rows[which, 1]
            layer = draw(draws.of(sample), frame.of(sample), skin[sample], size)
            added[which] = layer
            hairy[which] = is_hair
    for depth in range(_LAYERS):
        which = (rows[:, 0] == depth).nonzero()[:, 0]
        sample = rows[which, 1]
        below = canvas[sample]
        together = below * (1 - added[which, 3:]) + added[which]
        allowed = coverage(cells[sample], together[:, 3]) <= _MOST
        canvas[sample] = torch.where(allowed[:, None, None, None], together, below)
        cover = added[which, 3]
        strands = hair[sample] * (1 - cover) + cover * hairy[which, None, None]
        hair[sample] = torch.where(allowed[:, None, None], strands, hair[sample])
    cover = canvas[:, 3]
    color = canvas[:, :3] / cover[:, None].clamp_min(1e-3)
    return Occlusion(color.permute(0, 2, 3, 1).contiguous(), cover, _shadow(draws, frame, cover), hair)


def _kinds(assets: Mapping[str, Tensor], pool: Tensor | None, skin_masks: float) -> list[tuple[float, _Layer, bool]]:
    """What there is to draw, with its share among 0.65, and whether it is hair."""

    def on_hands(draws: Draws, frame: FaceFrame, skin: Tensor, size: int) -> Tensor:
        return hands(assets, draws, frame, skin, size)

    def on_held_things(draws: Draws, frame: FaceFrame, skin: Tensor, size: int) -> Tensor:
        return held_things(assets, draws, frame, skin, size)

    def on_masks(draws: Draws, frame: FaceFrame, skin: Tensor, size: int) -> Tensor:
        return masks(assets, draws, frame, size, SkinAlike(skin_masks, skin, pool) if skin_masks else None)

    def on_objects(draws: Draws, frame: FaceFrame, skin: Tensor, size: int) -> Tensor:
        return objects(assets, draws, frame, size)

    def on_people(draws: Draws, frame: FaceFrame, skin: Tensor, size: int) -> Tensor:
        return shapes.blobs(draws, frame, size) if pool is None else people(pool, draws, frame, size)

    def bare(draw: Callable[[Draws, FaceFrame, int], Tensor]) -> _Layer:
        return lambda draws, frame, skin, size: draw(draws, frame, size)

    return [
        (0.15, on_masks, False),
        (0.16, on_hands, False),
        (0.05, on_held_things, False),
        (0.1, on_objects, False),
        (0.02, on_people, False),
        (0.05, bare(shapes.blobs), False),
        (0.03, bare(shapes.bars), False),
        (0.04, bare(shapes.strands), True),
        (0.02, bare(shapes.scarves), False),
        (0.03, bare(shapes.frame_cuts), False),
    ]


def _shadow(draws: Draws, frame: FaceFrame, cover: Tensor) -> Tensor:
    """(B, S, S): the occluders' cover, moved and blurred, kept off the occluders themselves."""
    size = cover.shape[-1]
    strength = draws.chance(0.7) * draws.uniform(0.1, 0.6)
    move = draws.normal(0.05, 2) * frame.width[:, None] / size * 2
    sigma = frame.width * draws.uniform(0.01, 0.08) / 2
    half = functional.avg_pool2d(cover[:, None], 2)
    blurred = separable(half, gaussian_matrix(size // 2, sigma))
    at = (torch.arange(size, device=cover.device, dtype=cover.dtype) + 0.5) / size * 2 - 1
    x, y = at + move[:, :1], at + move[:, 1:]
    grid = torch.stack([x[:, None, :].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], -1)
    moved = functional.grid_sample(blurred, grid, align_corners=False)[:, 0]
    return moved * strength[:, None, None] * (1 - cover)
