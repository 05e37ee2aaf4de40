"""What the garments of the synthetic people are made of: their parts, their fixed mesh, one batch of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor


class Part(IntEnum):
    """What a face of the wear mesh belongs to."""

    SKIN = 0  # neck below the head's mesh and the chest: takes its albedo from the head's chart
    CLOTHES = 1
    COLLAR = 2
    SCARF = 3
    HAIR = 4
    TAIL = 5
    STRANDS = 6
    BEARD = 7
    HAT = 8
    BRIM = 9
    HOOD = 10
    HEADBAND = 11
    HEADPHONES = 12
    RIMS = 13
    LENSES = 14
    EARRINGS = 15


# Parts with holes, ragged edges or clear glass: only these need the second layer (see `WearMesh.soft`).
SOFT = (Part.HAIR, Part.TAIL, Part.STRANDS, Part.BEARD, Part.LENSES)


class Material(IntEnum):
    """How `detail` colours a part."""

    SKIN = 0
    HAIR = 1
    FABRIC = 2
    HARD = 3
    GLASS = 4


class Look(IntEnum):
    """Channels of `Wear.look`."""

    MATERIAL = 0
    PATTERN = 1  # of fabrics, see `detail.Pattern`
    SEED_U = 2  # offset into the noise tile, tiles
    SEED_V = 3
    SCALE = 4  # noise tiles per mm
    CONTRAST = 5  # of the streaks or the weave
    EDGE = 6  # raggedness of the edge, mm
    OPACITY = 7  # of glass
    SPECULAR = 8
    ROUGHNESS = 9
    RED = 10  # second colour, linear
    GREEN = 11
    BLUE = 12
    SIZE = 13  # of the pattern, mm; of glass: how much the tint fades downwards, 0 to 1
    SHEAR = 14  # mm of streak shift per mm along the strand
    DENSITY = 15  # share of strands that are there, 0 to 1
    WAVE = 16  # mm by which strands wander sideways; of glass: how much of a mirror it is, 0 to 1
    CURL = 17  # 0 strands, 1 curls without direction
    FADE = 18  # mm over which the edge of hair goes from dense to nothing
    RED3 = 19  # third colour, linear: the tie of a suit, the ground that a mirror shows
    GREEN3 = 20
    BLUE3 = 21


LOOKS = len(Look)


@dataclass(frozen=True, eq=False)
class WearMesh:
    """The one topology of all possible garments; garments that a sample does not wear are a single point.

    Attributes:
        faces: (Fw, 3) int64 over the W wear vertices. Sheets have one layer of faces: rasterise with ``cull="none"``
            and turn normals that point away from the viewer.
        part: `Part` of each face, (Fw,) int64.
        vertex_part: `Part` of each vertex, (W,) int64.
        soft: faces with holes, ragged edges or clear glass, (Fw,) bool.
        solid_faces: ``faces`` with the soft ones shrunk to a point, so that they are not drawn, (Fw, 3) int64: what
            is to be rasterised for the layer behind, with the same numbers of faces.
    """

    faces: Tensor
    part: Tensor
    vertex_part: Tensor
    soft: Tensor
    solid_faces: Tensor

    @property
    def num_verts(self) -> int:
        return len(self.vertex_part)

    def to(self, device: torch.device | str) -> WearMesh:
        return WearMesh(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class Wear:
    """What B people wear.

    Attributes:
        verts: (B, W, 3) mm, model frame; the vertices of an absent garment all lie on one point inside the head.
        color: linear RGB of each vertex, (B, W, 3); of `Part.SKIN` a factor on the head's albedo.
        coordinates: (B, W, 3) for `detail`: garment coordinates in mm and the coverage in mm, which is positive where
            the garment is and negative beyond its (ragged) edge. Of `Part.SKIN` the first two are coordinates in
            the head's chart, where its albedo is to be sampled.
        look: (B, parts, looks) float, per sample and part what `Look` lists.
        worn: (B, parts) bool, which parts a sample wears.
        style: (B,) int64 hair style, an index into `choices.HAIR_STYLES`.
    """

    verts: Tensor
    color: Tensor
    coordinates: Tensor
    look: Tensor
    worn: Tensor
    style: Tensor


Draw = TypeVar("Draw")


def stacked(kind: type[Draw], rows: Sequence[Mapping[str, np.ndarray | float | int]], device: torch.device) -> Draw:
    """B samples' draws as one ``kind`` (a dataclass of tensors with B first): float32, integers int64."""

    def join(name: str) -> Tensor:
        values = np.stack([np.asarray(row[name]) for row in rows])
        dtype = torch.int64 if values.dtype.kind == "i" else torch.float32
        return torch.as_tensor(values, dtype=dtype, device=device)

    return kind(**{name: join(name) for name in rows[0]})


def subset(draws: Draw, rows: Tensor) -> Draw:
    """Some of the samples of a dataclass of tensors with B first."""
    return type(draws)(**{name: value[rows] for name, value in vars(draws).items()})


def grid_faces(rows: int, columns: int, *, closed: bool, first: int = 0) -> Tensor:
    """Triangles over a row-major grid of vertices, (F, 3) int64; ``closed`` joins the last column to the first.

    Anticlockwise where columns run to the right and rows run down, as seen.
    """
    across = columns if closed else columns - 1
    row, column = torch.meshgrid(torch.arange(rows - 1), torch.arange(across), indexing="ij")
    following = (column + 1) % columns
    a, b = row * columns + column, row * columns + following
    c, d = a + columns, b + columns
    return torch.stack([a, c, b, b, c, d], dim=-1).reshape(-1, 3) + first
