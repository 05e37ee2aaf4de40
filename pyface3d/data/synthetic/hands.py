"""Hands before a face: posed ones with their forearms, in the colour of the face's skin, as people hold them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.data.synthetic import shapes
from pyface3d.data.synthetic.anchors import FaceFrame
from pyface3d.data.synthetic.draws import Draws
from pyface3d.data.synthetic.sprites import Placement, place, tinted
from pyface3d.data.synthetic.textures import draw_textures, plain_colors
from pyface3d.io.color import srgb_to_linear

HANDS, ANCHORS = "occluders.hands", "occluders.hand_anchors"
WIDTH_MM = 370.0
"""What a cut-out shows across."""

_GAIN = 2.6  # the pictures hold half the gain, and their light is a little low
_FACE_MM = (140.0, 125.0)  # width and height of the 68 points of an adult face seen from the front

#: Where hands rest: half widths to the right and half heights down of the face's middle, their scatter, and a weight.
_TARGETS = (
    (0.0, 0.95, 0.15, 2.0),  # chin
    (0.75, 0.35, 0.2, 3.0),  # cheek
    (0.0, 0.5, 0.15, 2.5),  # mouth
    (0.45, -0.5, 0.15, 2.0),  # eye
    (0.05, -0.05, 0.15, 1.0),  # nose
    (0.3, -1.0, 0.25, 1.5),  # forehead, brows
    (0.95, -0.5, 0.2, 1.0),  # temple
)


def hands(assets: Mapping[str, Tensor], draws: Draws, frame: FaceFrame, skin: Tensor, size: int) -> Tensor:
    """One hand per face: fingers or palm on a part of it, the forearm going down and out of the picture as a rule.

    Args:
        assets: with ``occluders.hands`` and ``occluders.hand_anchors``; else blobs of the skin's colour stand in.
        draws: of the B samples.
        frame: of their faces.
        skin: (B, 3) linear RGB of the faces' skin with its light.
        size: S px.

    Returns:
        (B, 4, S, S) premultiplied.
    """
    side = torch.where(draws.chance(0.5), 1.0, -1.0)
    targets = skin.new_tensor(_TARGETS)
    chosen = targets[draws.choice([row[3] for row in _TARGETS])]
    scatter = draws.normal(1.0, 2) * chosen[:, 2:3]
    natural = draws.chance(0.75)
    x, y = side * chosen[:, 0] + scatter[:, 0], chosen[:, 1] + scatter[:, 1]
    center = torch.where(natural[:, None], frame.at(x, y), shapes.somewhere(draws, frame))
    outward = side * draws.uniform(-0.35, 1.15)
    arm = torch.where(natural & draws.chance(0.88), outward, draws.uniform(-torch.pi, torch.pi))
    by_fingers = draws.chance(0.5)
    return held_hands(assets, draws, frame, skin, size, center, arm, by_fingers)


def held_hands(
    assets: Mapping[str, Tensor],
    draws: Draws,
    frame: FaceFrame,
    skin: Tensor,
    size: int,
    center: Tensor,
    arm: Tensor,
    by_fingers: Tensor,
) -> Tensor:
    """Hands at given places.

    Args:
        assets, draws, frame, skin, size: as of ``hands``.
        center: (B, 2) px where the fingertip or the palm comes to lie.
        arm: (B,) rad, direction of the forearm in the face's frame: 0 down, positive to the right.
        by_fingers: (B,) bool, whether it is the fingertip.

    Returns:
        (B, 4, S, S) premultiplied.
    """
    tone = skin_of_hands(draws, skin)
    if HANDS not in assets:
        blob = shapes.blobs(draws, frame, size)[:, 3:]
        return tinted(draws, torch.cat([tone[:, :, None, None] * blob, blob], 1), 0.1)
    index = draws.integer(len(assets[HANDS]))
    anchors = assets[ANCHORS][index]
    sprites = _dressed(draws, assets[HANDS][index], anchors, tone)
    upright = torch.atan2(frame.right[:, 1], frame.right[:, 0])
    pixels_per_mm = torch.maximum(frame.width / _FACE_MM[0], frame.height / _FACE_MM[1])
    placement = Placement(
        center=center,
        side=WIDTH_MM * pixels_per_mm * torch.exp(draws.normal(0.15)),
        angle=upright - arm,
        mirrored=draws.chance(0.5),
        stretch=torch.exp(draws.normal(0.05)),
        pivot=torch.where(by_fingers[:, None], anchors[:, 0], anchors[:, 1]) + draws.normal(0.03, 2),
    )
    return tinted(draws, place(sprites, placement, size), 0.1)


def skin_of_hands(draws: Draws, skin: Tensor) -> Tensor:
    """(B, 3) linear RGB about the face's; for some another person's skin or a glove."""
    own = skin * torch.exp(draws.normal(0.18)[:, None] + draws.normal(0.05, 3))
    other = torch.exp(draws.uniform(-2.6, -0.4))[:, None] * torch.exp(draws.normal(0.08, 3))
    other = other * skin.new_tensor([1.25, 0.85, 0.66])
    kind = draws.choice([0.84, 0.1, 0.06])[:, None]
    tone = torch.where(kind == 0, own, torch.where(kind == 1, other, plain_colors(draws)))
    return tone.clamp(0.003, 1.5)


def _dressed(draws: Draws, pictures: Tensor, anchors: Tensor, tone: Tensor) -> Tensor:
    """(B, 4, h, h) premultiplied: the packed gains times the tone; for half of them a sleeve from the wrist on."""
    cover = (pictures[..., 3:].float() / 255).permute(0, 3, 1, 2)
    gain = _GAIN * srgb_to_linear(pictures[..., :3]).permute(0, 3, 1, 2)
    height = gain.shape[-1]
    start = anchors[:, 2, 1] + draws.uniform(0.03, 0.7)
    width = 2 * draws.integer(5) + 1
    color, printed = plain_colors(draws), draws.chance(0.4)
    bare = torch.cat([gain * tone[:, :, None, None] * cover, cover], 1)
    chosen = draws.chance(0.5).nonzero()[:, 0]
    if not len(chosen):
        return bare
    own = draws.of(chosen)
    cloth = color[chosen][:, :, None, None].expand(-1, -1, height, height)
    cloth = torch.where(printed[chosen][:, None, None, None], draw_textures(own, height), cloth)
    wide = torch.stack(
        [functional.max_pool2d(cover[i], w, 1, w // 2) for i, w in zip(chosen.tolist(), width[chosen].tolist())]
    )
    at = (torch.arange(height, device=gain.device) + 0.5) / height * 2 - 1
    wave = 0.03 * torch.sin(20 * at + own.uniform(0, 6, 1))
    below = ((at[:, None] - start[chosen, None, None] + wave[:, None]) * height / 2 + 0.5).clamp(0, 1)[:, None]
    light = functional.avg_pool2d(gain[chosen].mean(1, keepdim=True) * cover[chosen], 9, 1, 4)
    light = light / functional.avg_pool2d(cover[chosen], 9, 1, 4).clamp_min(0.05)
    sleeve = wide * below
    dressed = bare[chosen] * (1 - sleeve) + torch.cat([cloth * light * sleeve, sleeve], 1)
    return bare.index_put((chosen,), dressed)
