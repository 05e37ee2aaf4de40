"""What training has to know of the head model: its mirror image, and how far coefficients move its face."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.face_models.base import FaceModel
from pyface3d.face_models.dense_points import dense_mirror
from pyface3d.face_models.landmarks import IBUG68_FLIP
from pyface3d.losses import vertex_gram
from pyface3d.train.points.changes import MirrorTables

_OUTER_WEIGHT = 0.1  # of vertices beyond the face, whose shape a photo tells little about


@dataclass(frozen=True)
class HeadTables:
    """``mirror`` for labels; ``gram`` (I + E, I + E) mm² for `pyface3d.losses.vertex_loss`."""

    mirror: MirrorTables
    gram: Tensor

    def to(self, device: torch.device | str) -> HeadTables:
        return HeadTables(self.mirror.to(device), self.gram.to(device))


def head_tables(model: FaceModel) -> HeadTables:
    """The tables of ``head``, on the CPU."""
    cpu = model.to("cpu")
    face = cpu.regions["face"].float()
    points = torch.cat([torch.tensor(IBUG68_FLIP), len(IBUG68_FLIP) + dense_mirror(cpu)])
    mirror = MirrorTables(points, _mirrored_actions(cpu.expression_names), _mirror_signs(cpu))
    return HeadTables(mirror, vertex_gram(cpu, face + _OUTER_WEIGHT * (1 - face)))


def _mirrored_actions(names: tuple[str, ...]) -> Tensor:
    """Index of the action with left and right exchanged in its name: smileLeft and smileRight, jawLeft and jawRight."""
    swap = {"Left": "Right", "Right": "Left"}
    other = [
        next((name.removesuffix(side) + swap[side] for side in swap if name.endswith(side)), name) for name in names
    ]
    return torch.tensor([names.index(name) for name in other])


def _mirror_signs(model: FaceModel) -> Tensor:
    """+1 for shape modes that are their own mirror image, -1 for those that are its opposite, (I,) float32.

    Raises:
        InputError: a mode is neither.
    """
    eye = torch.eye(model.identity_dim)
    rest = torch.zeros(model.identity_dim, model.expression_dim)
    moves = model.vertices(eye, rest) - model.vertices(torch.zeros_like(eye), rest)
    mirrored = (moves * moves.new_tensor([-1, 1, 1]))[:, model.mirror]
    size = moves.flatten(1).norm(dim=1)
    cosine = (moves * mirrored).flatten(1).sum(1) / size.square()
    if not bool((cosine.abs() > 0.99).all()):
        raise InputError(f"shape modes of {model.name!r} are neither symmetric nor antisymmetric; mirroring needs that")
    return cosine.sign()
