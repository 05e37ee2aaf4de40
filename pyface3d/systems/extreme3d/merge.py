"""One mesh of the sparse face, its dense pixels and their mirror images (the stage final)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

from pyface3d.ops import DenseMesh, Topology, rasterize
from pyface3d.systems.extreme3d.foundation import Foundation
from pyface3d.systems.extreme3d.registration import Registration, place_mirrored_pixels, place_pixels, usual_edge_mm
from pyface3d.systems.extreme3d.relief import Relief, build_dense
from pyface3d.systems.extreme3d.stitch import pixel_patch
from pyface3d.systems.extreme3d.symmetry import KNOWN, CompletedFace
from pyface3d.systems.extreme3d.visibility import between_pixels

RINGS, OVERLAP_MM = 3, 4.5
"""Rings of triangles by which the sparse and the dense surfaces overlap, as published for edges of about 1 mm. On a
coarser mesh as many as fit into these millimetres, and at least one."""
_FEWEST_PIXELS = 3  # of the four around a vertex
_BOTH_TRIANGLES = 0b11  # of a cell with four corners


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
    stitch: bool = False,
) -> FinalFace:
    """Replace the inside of what was seen by its pixels, and the inside of what was mirrored by theirs.

    The sparse triangles stay at the borders: up to 4.5 mm of them overlap the pixels, in one to three rings, and so do
    those whose pixels are not all there. The layers are not stitched, unless it is asked for.

    Args:
        stitch: no overlap: the sparse triangles end where the pixels begin, joined by new triangles. What had one
            triangle at each side of every edge has that still (`stitch.pixel_patch`).
        compact: leave out vertices that no face uses.
        compat: published triangles and offsets, see `build_dense` and `place_mirrored_pixels`.
    """
    faces = foundation.topology.faces.long()
    around, _, near = between_pixels(foundation.verts_image, *registration.index.shape, compat=compat)
    registered = (registration.index >= 0).flatten()
    mirrorable = registered.clone()
    mirrorable[registered] = registration.mirrored[registration.index.flatten()[registered]]
    known, partner = face.weights >= KNOWN, foundation.mirror
    own = known & near & (registered[around].sum(1) >= _FEWEST_PIXELS)
    behind = partner.clamp_min(0)
    other = ~known & (partner >= 0) & known[behind] & near[behind]
    other &= mirrorable[around[behind]].sum(1) >= _FEWEST_PIXELS
    edge = 0.0 if compat else usual_edge_mm(foundation, face)
    rings = 1 if stitch else max(1, int(OVERLAP_MM / edge)) if edge * RINGS > OVERLAP_MM else RINGS
    own, other = peel(own, faces, rings), peel(other, faces, rings)

    by_own = own[faces].any(1)
    by_mirror = ~by_own & other[faces].any(1) & (partner[faces] >= 0).all(1)
    count, number = len(face.verts), len(registration)
    layers: list[Tensor] = []
    for chosen, places, usable in ((by_own, torch.arange(count), registered), (by_mirror, partner, mirrorable)):
        usable = usable.view(registration.index.shape)
        corners = places[faces]
        if not compat:
            _keep_where_pixels_lack(foundation, corners, chosen, _mesh_on(foundation, relief, usable, compat).cells[0])
        if stitch:
            patch = pixel_patch(foundation, places, chosen, usable)
            chosen &= patch.replaced
            taken = registration.index[patch.pixels[:, 1], patch.pixels[:, 0]] + count + number * len(layers)
            layers.append(torch.cat([torch.arange(count), taken])[patch.faces])
            continue
        pixels = _covered(foundation, corners[chosen]) & usable
        _, triangles, at = _mesh_on(foundation, relief, pixels, compat).item(0)
        index = registration.index[at[:, 1].long(), at[:, 0].long()][triangles.long()]
        layers.append((index if not layers else index[:, [1, 0, 2]]) + count + number * len(layers))
    every = torch.arange(count), torch.arange(number), torch.arange(number)
    final = FinalFace(
        verts=torch.cat(
            [
                face.verts,
                place_pixels(foundation, face, registration),
                place_mirrored_pixels(foundation, face, registration, compat=compat),
            ]
        ),
        faces=torch.cat([faces[~by_own & ~by_mirror], *layers]),
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


def _drawn(foundation: Foundation, faces: Tensor) -> Tensor:
    """Which of the triangles every pixel of the crop shows, (H, W); both sides are drawn."""
    camera = foundation.camera
    topology = Topology(faces, foundation.topology.num_verts)
    return rasterize(foundation.verts_image[None], topology, camera.height, camera.width, cull="none").face_index[0]


def _covered(foundation: Foundation, faces: Tensor) -> Tensor:
    """Pixels that the foundation's triangles cover, and one ring around them, (H, W) bool."""
    covered = (_drawn(foundation, faces) >= 0).double()
    return max_pool2d(covered[None], 3, stride=1, padding=1)[0] > 0


def _keep_where_pixels_lack(foundation: Foundation, faces: Tensor, chosen: Tensor, cells: Tensor) -> None:
    """Take out of ``chosen`` (F,) the triangles that would leave a hole: a cell at one of their pixels is not whole.

    The published program drops them.
    """
    whole = pad((cells & _BOTH_TRIANGLES) == _BOTH_TRIANGLES, (1, 1, 1, 1))  # no cells beyond the crop
    at_pixel = whole[:-1, :-1] & whole[:-1, 1:] & whole[1:, :-1] & whole[1:, 1:]
    rows = chosen.nonzero()[:, 0]
    shown = _drawn(foundation, faces[rows])
    chosen[rows[shown[(shown >= 0) & ~at_pixel].long()]] = False


def _mesh_on(foundation: Foundation, relief: Relief, pixels: Tensor, compat: bool) -> DenseMesh:
    """The dense mesh of some pixels alone, (H, W) bool."""
    return build_dense(foundation, replace(relief, mask=relief.mask * pixels), compat=compat).mesh
