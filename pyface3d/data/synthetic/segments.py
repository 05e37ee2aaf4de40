"""What every pixel of a rendered person shows, as classes of `FacePart`: exact, since it is known what was drawn.

What is seen through clear lenses is glasses except for the eye; people in the background are background.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pyface3d.data.synthetic.curves import inside_polygon
from pyface3d.data.synthetic.rendering import FacePictures, Scene
from pyface3d.data.synthetic.wear import Part
from pyface3d.part_labels import FacePart

_OF_WEAR = {
    Part.SKIN: FacePart.NECK,
    Part.CLOTHES: FacePart.NECK,
    Part.COLLAR: FacePart.NECK,
    Part.SCARF: FacePart.NECK,
    Part.HAIR: FacePart.HAIR,
    Part.TAIL: FacePart.HAIR,
    Part.STRANDS: FacePart.HAIR,
    Part.BEARD: FacePart.SKIN,
    Part.HAT: FacePart.OCCLUDER,
    Part.BRIM: FacePart.OCCLUDER,
    Part.HOOD: FacePart.OCCLUDER,
    Part.HEADBAND: FacePart.OCCLUDER,
    Part.HEADPHONES: FacePart.OCCLUDER,
    Part.RIMS: FacePart.GLASSES,
    Part.LENSES: FacePart.GLASSES,
    Part.EARRINGS: FacePart.OCCLUDER,
}


def segments(pictures: FacePictures, scene: Scene, charted: Tensor, points68: Tensor) -> Tensor:
    """Classes of every pixel of B rendered people, (B, R, R) uint8.

    Args:
        pictures: as rendered.
        scene: that was rendered.
        charted: classes of every person's skin in the head's chart, (B, T, T) uint8.
        points68: px of the picture, (B, 68, 2); cloth within them covers the face, beyond them it is clothes.
    """
    fragments = pictures.fragments
    found = torch.zeros_like(fragments.face_index, dtype=torch.uint8)
    part = torch.where(fragments.mask, scene.part[fragments.face_index.clamp_min(0).long()], -1)
    worn = torch.tensor([_OF_WEAR[part] for part in Part], dtype=torch.uint8, device=found.device)
    found = torch.where(part >= 0, worn[part.clamp_min(0)], found)

    sample, row, column = torch.nonzero(fragments.mask & (part < 0), as_tuple=True)
    faces = fragments.face_index[sample, row, column].long()
    weights = fragments.barycentrics[sample, row, column]
    assert scene.head.uvs is not None and scene.head.uv_faces is not None
    uvs = (scene.head.uvs[scene.head.uv_faces[faces].long()] * weights[..., None]).sum(1)
    texel = (uvs * charted.shape[-1]).long().clamp(0, charted.shape[-1] - 1)
    found[sample, row, column] = charted[sample, texel[:, 1], texel[:, 0]]

    found[pictures.glass & (found != FacePart.EYE)] = FacePart.GLASSES
    cloth = (part == Part.SCARF) | (part == Part.COLLAR) | (part == Part.CLOTHES)
    for b in range(len(found)):
        rows, columns = cloth[b].nonzero(as_tuple=True)
        if len(rows):
            pixels = torch.stack([columns, rows], 1) + 0.5
            inside = inside_polygon(pixels, outline(points68[b]))
            found[b, rows[inside], columns[inside]] = FacePart.OCCLUDER
    return found


def outline(points68: Tensor) -> Tensor:
    """The face's outline: the jaw, and back over the brows, (27, 2)."""
    return torch.cat([points68[:17], points68[17:27].flip(0)])
