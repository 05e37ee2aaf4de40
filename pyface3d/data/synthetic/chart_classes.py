"""Which part of the face every texel of the head's chart belongs to.

Borders are those of annotated photos: the face's skin ends at the ridge of the jaw and before the ears, the nose begins
between the eyes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pyface3d.data.synthetic import canvas as charts
from pyface3d.data.synthetic.canvas import Canvas
from pyface3d.data.synthetic.curves import between
from pyface3d.part_labels import FacePart

_OF_CHART = {
    charts.SOCKET: FacePart.EYE,
    charts.EYE: FacePart.EYE,
    charts.LASHES: FacePart.SKIN,  # annotators mark what lies between the lids
    charts.MOUTH: FacePart.MOUTH,
    charts.TONGUE: FacePart.MOUTH,
    charts.TEETH: FacePart.MOUTH,
    charts.SKIN: FacePart.SKIN,
    charts.OUTSIDE: FacePart.SKIN,
}
# The ridge of the jaw seen from the side, from below the ear to the chin: height over the distance forward, mm.
_JAW_Z, _JAW_Y = (-78.0, -66.0, -56.0, -35.0, -10.0, 12.0, 24.0), (-30.0, -58.0, -78.0, -97.0, -110.0, -116.0, -117.0)


_LIP_RIM = 0.5  # mm inside the outline of the 68 points, where the red begins


def chart_classes(canvas: Canvas, ears: Tensor, nose: Tensor) -> Tensor:
    """Classes of the head's chart, of a bare skin: (T, T) uint8.

    Args:
        canvas: of the head.
        ears, nose: (T, T) bool, texels of the model's regions.
    """
    table = torch.tensor([_OF_CHART[part] for part in sorted(_OF_CHART)], dtype=torch.uint8, device=canvas.part.device)
    found = table[canvas.part.long()]
    skin = canvas.part == charts.SKIN
    below = canvas.position[..., 1] < between(canvas.position[..., 2], _JAW_Z, _JAW_Y)
    nape = canvas.position[..., 2] < _JAW_Z[0]
    for where, part in (
        (below | (nape & (canvas.position[..., 1] < -45.0)), FacePart.NECK),
        (nose & _inner_nose(canvas.position), FacePart.NOSE),
        (ears | _lobes(canvas.position), FacePart.EAR),
        (canvas.lips > _LIP_RIM, FacePart.LIP),
    ):
        found[skin & where] = part
    return found


def _inner_nose(position: Tensor) -> Tensor:
    """The nose as annotators draw it: without the rims of the wings and the foot of the septum."""
    return (position[..., 0].abs() < 16.5) & (position[..., 1] > -50.0)


def _lobes(position: Tensor) -> Tensor:
    """What sticks out at the sides of the head: the model's region of the ears has gaps."""
    x, y, z = position.unbind(-1)
    return (x.abs() > 77.0) & (y > -54.0) & (y < 10.0) & (z > -100.0) & (z < -66.0)
