"""Hands before a face: posed ones with their forearms, in the colour of the face's skin, as people hold them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.data.synthetic import shapes
from pyface3d.data.synthetic.anchors import FaceFrame, face_cells
from pyface3d.data.synthetic.draws import Draws
from pyface3d.data.synthetic.sprites import Placement, place, places_in, tinted
from pyface3d.data.synthetic.textures import draw_textures, plain_colors

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
    layer = held_hands(assets, draws, frame, skin, size, center, arm, by_fingers)
    return _some_behind(draws, layer, frame, natural & (chosen[:, 1] > 0.3), size)


def _some_behind(draws: Draws, layer: Tensor, frame: FaceFrame, low: Tensor, size: int) -> Tensor:
    """A quarter of the hands that are ``low`` (B,) on the face hold it from behind: the face hides them."""
    chosen = (draws.chance(0.25) & low).nonzero()[:, 0]
    if not len(chosen):
        return layer
    face = face_cells(frame.points[chosen], size, size)[:, None]
    seen = 1 - functional.avg_pool2d(face, 3, 1, 1)
    return layer.index_put((chosen,), layer[chosen] * seen)


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
    packed = assets[HANDS][index].float() / 255
    covered = torch.cat([packed[..., :3] * packed[..., 3:], packed[..., 3:]], -1).permute(0, 3, 1, 2)
    placed = place(covered, placement, size)
    cover = placed[:, 3:]
    gain = _GAIN * (placed[:, :3] / cover.clamp_min(1e-3)).square()
    bare = torch.cat([gain * tone[:, :, None, None] * cover, cover], 1)
    return tinted(draws, _with_sleeves(draws, bare, gain, placement, anchors[:, 2, 1], size), 0.1)


def skin_of_hands(draws: Draws, skin: Tensor) -> Tensor:
    """(B, 3) linear RGB about the face's; for some another person's skin or a glove."""
    own = skin * torch.exp(draws.normal(0.18)[:, None] + draws.normal(0.05, 3))
    other = torch.exp(draws.uniform(-2.6, -0.4))[:, None] * torch.exp(draws.normal(0.08, 3))
    other = other * skin.new_tensor([1.25, 0.85, 0.66])
    kind = draws.choice([0.84, 0.1, 0.06])[:, None]
    tone = torch.where(kind == 0, own, torch.where(kind == 1, other, plain_colors(draws)))
    return tone.clamp(0.003, 1.5)


def _with_sleeves(draws: Draws, bare: Tensor, gain: Tensor, placement: Placement, wrist: Tensor, size: int) -> Tensor:
    """Half of the (B, 4, S, S) hands with a sleeve from below the wrist (B,) on, as wide as the arm or wider."""
    chosen = draws.chance(0.5).nonzero()[:, 0]
    if not len(chosen):
        return bare
    own = draws.of(chosen)
    color = plain_colors(own)[:, :, None, None]
    cloth = torch.where(own.chance(0.4)[:, None, None, None], draw_textures(own, size), color)
    cover = bare[chosen, 3:]
    widths = torch.stack([cover, functional.max_pool2d(cover, 3, 1, 1), functional.max_pool2d(cover, 7, 1, 3)], 1)
    wide = widths[torch.arange(len(chosen), device=cover.device), own.integer(3)]
    u, v = places_in(placement.of(chosen), size).unbind(-1)
    start = (wrist[chosen] + own.uniform(0.03, 0.7))[:, None, None]
    cuff = v - start + 0.03 * torch.sin(20 * u + own.uniform(0, 6)[:, None, None])
    below = (cuff * (placement.side[chosen] / 2)[:, None, None] + 0.5).clamp(0, 1)[:, None]
    light = functional.avg_pool2d(gain[chosen].mean(1, keepdim=True) * cover, 5, 1, 2)
    light = light / functional.avg_pool2d(cover, 5, 1, 2).clamp_min(0.05)
    sleeve = wide * below
    dressed = bare[chosen] * (1 - sleeve) + torch.cat([cloth * light * sleeve, sleeve], 1)
    return bare.index_put((chosen,), dressed)
