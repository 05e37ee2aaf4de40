"""Cut-outs of things and of drawn hands, held before the face at any of its points."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pyface3d.data.synthetic import shapes
from pyface3d.data.synthetic.anchors import FaceFrame
from pyface3d.data.synthetic.draws import Draws
from pyface3d.data.synthetic.sprites import Placement, place, tinted, unpack

COMPANY_SCALE = 1.7
"""Other people are pictured in a crop this many times as large as a face's own, so that they have whole heads."""
OBJECTS, FACES = "occluders.objects", "occluders.faces"


def objects(assets: Mapping[str, Tensor], draws: Draws, frame: FaceFrame, size: int) -> Tensor:
    """One cut-out per face, 0.15 to 1.3 face widths large, turned by up to a right angle.

    Args:
        assets: with ``occluders.objects`` (N, h, h, 4) uint8 sRGB and cover; else shapes stand in.
        draws: of the B samples.
        frame: of their faces.
        size: S px.

    Returns:
        (B, 4, S, S) premultiplied.
    """
    if OBJECTS not in assets:
        return shapes.blobs(draws, frame, size)
    sprites = assets[OBJECTS]
    chosen = unpack(sprites[draws.integer(len(sprites))])
    upright = torch.atan2(frame.right[:, 1], frame.right[:, 0])
    placement = Placement(
        center=shapes.somewhere(draws, frame),
        side=frame.width * torch.exp(draws.uniform(-1.5, 0.3)),
        angle=upright * draws.chance(0.5) + draws.uniform(-1.0, 1.0),
        mirrored=draws.chance(0.5),
        stretch=torch.exp(draws.normal(0.1)),
        pivot=draws.normal(0.15, 2),
    )
    return tinted(draws, place(chosen, placement, size), 0.35)


def people(pool: Tensor, draws: Draws, frame: FaceFrame, size: int) -> Tensor:
    """Other people before the face, mostly at its side.

    Args:
        pool: (N, 4, h, h) linear RGB and cover, not premultiplied, `COMPANY_SCALE` times as wide as a face's crop.
        draws, frame, size: as of ``objects``.

    Returns:
        (B, 4, S, S) premultiplied.
    """
    source = pool[draws.integer(len(pool))]
    chosen = torch.cat([source[:, :3] * source[:, 3:], source[:, 3:]], 1)
    side = torch.where(draws.chance(0.5), 1.0, -1.0)
    placement = Placement(
        center=frame.at(side * draws.uniform(0.5, 1.6), draws.uniform(-0.8, 1.2)),
        side=COMPANY_SCALE * frame.width * draws.uniform(1.0, 2.0),
        angle=draws.normal(0.3),
        mirrored=draws.chance(0.5),
        stretch=torch.ones_like(side),
        pivot=torch.zeros(len(side), 2, device=side.device),
    )
    return place(chosen, placement, size, standing=True)
