"""One mesh of the sparse face, its dense pixels and their mirror images (the stage final)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from pyface3d.ops import Topology, rasterize
from pyface3d.systems.extreme3d.foundation import HALF_PIXEL, Foundation
from pyface3d.systems.extreme3d.registration import Registration, place_mirrored_pixels, place_pixels
from pyface3d.systems.extreme3d.relief import Relief, build_dense
from pyface3d.systems.extreme3d.symmetry import KNOWN, CompletedFace
from pyface3d.systems.extreme3d.visibility import pixels_under

RINGS = 3
"""Rings of triangles by which the sparse and the dense surfaces overlap."""
_FEWEST_PIXELS = 3  # of the four around a vertex


@dataclass(frozen=True, eq=False)
class FinalFace:
    """Attributes:
    verts: (N, 3) mm, frame of the completed face: V sparse, D dense, D mirrored; fewer when compact.
    faces: (M, 3) int64: kept sparse ones, dense ones, mirrored ones.
    layers: (N,) uint8: 0 sparse, 1 dense, 2 mirrored dense.
    origin: (N,) int64: which vertex or which registered pixel.
    """

    verts: Tensor
    faces: Tensor
    layers: Tensor
    origin: Tensor


def merge_layers(
    foundation: Foundation,
    relief: Relief,
    face: CompletedFace,
    registration: Registration,
    *,
    compact: bool = True,
    compat: bool = False,
) -> FinalFace:
    """Replace the inside of what was seen by its pixels, and the inside of what was mirrored by theirs.

    The sparse triangles stay at the borders: three rings of them overlap the pixels. The layers are not stitched.

    Args:
        compact: leave out vertices that no face uses.
        compat: published triangles and offsets, see `build_dense` and `place_mirrored_pixels`.
    """
    faces = foundation.topology.faces.long()
    around, near = _pixels_around(foundation, registration, compat)
    registered = (registration.index >= 0).flatten()
    mirrorable = registered.clone()
    mirrorable[registered] = registration.mirrored[registration.index.flatten()[registered]]
    known, partner = face.weights >= KNOWN, foundation.mirror
    own = known & near & (registered[around].sum(1) >= _FEWEST_PIXELS)
    behind = partner.clamp_min(0)
    other = ~known & (partner >= 0) & known[behind] & near[behind]
    other &= mirrorable[around[behind]].sum(1) >= _FEWEST_PIXELS
    own, other = peel(own, faces), peel(other, faces)

    by_own = own[faces].any(1)
    by_mirror = ~by_own & other[faces].any(1) & (partner[faces] >= 0).all(1)
    shape = registration.index.shape
    own_pixels = _covered(foundation, faces[by_own]) & registered.view(shape)
    mirror_pixels = _covered(foundation, partner[faces[by_mirror]]) & mirrorable.view(shape)

    dense_faces = _cells(foundation, relief, registration, own_pixels, compat)
    mirrored_faces = _cells(foundation, relief, registration, mirror_pixels, compat)[:, [1, 0, 2]]
    count, number = len(face.verts), len(registration)
    every = torch.arange(count), torch.arange(number), torch.arange(number)
    final = FinalFace(
        verts=torch.cat(
            [
                face.verts,
                place_pixels(foundation, face, registration),
                place_mirrored_pixels(foundation, face, registration, compat=compat),
            ]
        ),
        faces=torch.cat([faces[~by_own & ~by_mirror], dense_faces + count, mirrored_faces + count + number]),
        layers=torch.cat([torch.full_like(part, k, dtype=torch.uint8) for k, part in enumerate(every)]),
        origin=torch.cat(every),
    )
    return compacted(final) if compact else final


def compacted(final: FinalFace) -> FinalFace:
    """The same faces without the vertices that none of them uses."""
    used = torch.zeros(len(final.verts), dtype=torch.bool)
    used[final.faces.flatten()] = True
    place = used.cumsum(0) - 1
    return FinalFace(final.verts[used], place[final.faces], final.layers[used], final.origin[used])


def peel(inner: Tensor, faces: Tensor, rings: int = RINGS) -> Tensor:
    """``inner`` (V,) bool without its outermost rings of vertices; the mesh's own border is no outside."""
    for _ in range(rings):
        outside = ~inner
        touched = outside[faces].any(1)
        inner = inner.clone()
        inner[faces[touched].flatten()] = False
    return inner


def _pixels_around(foundation: Foundation, registration: Registration, compat: bool) -> tuple[Tensor, Tensor]:
    """Flat indices of the four pixels around every vertex, (V, 4), and whether there are four."""
    height, width = registration.index.shape
    spots = foundation.verts_image.clone()
    spots[:, :2] -= 0.0 if compat else HALF_PIXEL
    index, inside = pixels_under(spots, height, width)
    around = index[:, None] + torch.tensor([0, 1, width, width + 1])
    return torch.where(inside[:, None], around, torch.zeros_like(around)), inside


def _covered(foundation: Foundation, faces: Tensor) -> Tensor:
    """Pixels that the foundation's triangles cover, and one ring around them, (H, W) bool."""
    camera = foundation.camera
    topology = Topology(faces, foundation.topology.num_verts)
    drawn = rasterize(foundation.verts_image[None], topology, camera.height, camera.width, cull="none")
    covered = (drawn.face_index >= 0).double()
    return max_pool2d(covered, 3, stride=1, padding=1)[0] > 0


def _cells(foundation: Foundation, relief: Relief, registration: Registration, pixels: Tensor, compat: bool) -> Tensor:
    """Triangles between the given pixels as rows of the registration, (M, 3)."""
    masked = replace(relief, mask=relief.mask * pixels)
    _, faces, places = build_dense(foundation, masked, compat=compat).mesh.item(0)
    rows = registration.index[places[:, 1].long(), places[:, 0].long()]
    return rows[faces.long()]
