"""The dense pixels as offsets from the vertices around them, so that they follow where completion moves these."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyface3d.ops import Topology, rasterize
from pyface3d.systems.extreme3d.foundation import HALF_PIXEL, Foundation
from pyface3d.systems.extreme3d.relief import DenseFace
from pyface3d.systems.extreme3d.symmetry import KNOWN, CompletedFace

MOST_APART_MM = 4.0
"""Anchors of one pixel may differ by so much in each of x, y and z; the published limit, for edges of about 1 mm."""
EDGES_APART = 2.5
"""On a coarser mesh they may differ by so many times the usual edge."""
_LEAST_SHARE = 1e-9  # an anchor with less lies opposite the edge or the vertex that the pixel is on
_CLAMP_ABOVE_MM, _CLAMPED_MM = 0.2, 0.5


@dataclass(frozen=True, eq=False)
class Registration:
    """D pixels of the dense face, column by column.

    Attributes:
        pixels: (D, 2) int64, x and y.
        index: (H, W) int64, which of the D a pixel is, −1 for none.
        anchors, shares: three vertices and their weights, (D, 3).
        offset: how far the pixel lies behind what its anchors give, along the camera's axis, (D,) mm.
        mirrored: (D,) bool, pixels whose mirror image lies where nothing was seen.
    """

    pixels: Tensor
    index: Tensor
    anchors: Tensor
    shares: Tensor
    offset: Tensor
    mirrored: Tensor

    def __len__(self) -> int:
        return len(self.pixels)


def register_pixels(
    foundation: Foundation, dense: DenseFace, face: CompletedFace, *, compat: bool = False
) -> Registration:
    """Find three known vertices around every dense pixel.

    The known vertices that lie in the crop are joined by Delaunay's triangles in the picture. A pixel belongs to the
    triangle around it, unless two of its corners lie too far apart in x, y or z (camera frame, with relief): such a
    triangle spans what was not seen, or a jump in depth. The limit is 4 mm, as published, or two and a half edges
    of the mesh where these are longer; ``compat``: 4 mm.
    """
    height, width = dense.depth.shape
    spots = foundation.verts_image[:, :2] + (HALF_PIXEL if compat else 0.0)
    grid = spots - HALF_PIXEL
    in_crop = (grid >= 0).all(1) & (grid[:, 0] < width - 1) & (grid[:, 1] < height - 1)
    corners = ((face.weights >= KNOWN) & in_crop).nonzero()[:, 0]
    triangles = _delaunay(spots[corners])
    flat = torch.cat([spots[corners], torch.ones_like(spots[corners, :1])], 1)
    found = rasterize(flat[None], Topology(triangles, len(corners)), height, width, cull="none", perspective=False)

    is_vertex = dense.mesh.is_vertex[0]
    placed = is_vertex & (found.face_index[0] >= 0)
    x, y = placed.T.nonzero(as_tuple=True)
    shares = found.barycentrics[0][y, x]
    anchors = corners[triangles[found.face_index[0][y, x].long()]]
    counts = shares > _LEAST_SHARE
    around = face.verts_camera[anchors]  # (N, 3, 3)
    missing = ~counts[..., None]
    spread = around.masked_fill(missing, -torch.inf).amax(1) - around.masked_fill(missing, torch.inf).amin(1)
    edges = 0.0 if compat else EDGES_APART * usual_edge_mm(foundation, face)
    near = (spread <= max(MOST_APART_MM, edges)).all(1)
    x, y, anchors, shares, counts = (part[near] for part in (x, y, anchors, shares, counts))
    offset = dense.depth[y, x] - (shares * face.verts_camera[anchors][..., 2]).sum(1)
    partner = foundation.mirror[anchors]
    free = (partner >= 0) & (face.weights[partner.clamp_min(0)] < KNOWN)
    index = torch.full((height, width), -1, dtype=torch.int64)
    index[y, x] = torch.arange(len(x))
    return Registration(torch.stack([x, y], 1), index, anchors, shares, offset, (free | ~counts).all(1))


def usual_edge_mm(foundation: Foundation, face: CompletedFace) -> float:
    """Median over the known triangles of their longest edge; 0 where nothing is known."""
    faces = foundation.topology.faces.long()
    corners = foundation.verts[faces[(face.weights >= KNOWN)[faces].all(1)]]
    longest = (corners - corners.roll(1, 1)).norm(dim=-1).amax(1)
    return float(longest.median()) if len(longest) else 0.0


def _delaunay(points: Tensor) -> Tensor:
    """Triangles (T, 3) int64 over points (N, 2); none where the points span no area."""
    from scipy.spatial import Delaunay, QhullError

    try:
        return torch.from_numpy(Delaunay(points.numpy()).simplices.astype(np.int64))
    except (QhullError, ValueError):
        return torch.zeros(0, 3, dtype=torch.int64)


def place_pixels(foundation: Foundation, face: CompletedFace, registration: Registration) -> Tensor:
    """The registered pixels on the completed face: (D, 3) mm in its frame."""
    corners = face.verts[registration.anchors]
    return (registration.shares[..., None] * corners).sum(1) + _offsets(foundation, face, registration)


def place_mirrored_pixels(
    foundation: Foundation, face: CompletedFace, registration: Registration, *, compat: bool = False
) -> Tensor:
    """Their mirror images on the completed face, (D, 3) mm; anywhere for a pixel whose anchors have no partners.

    Args:
        compat: the published clamp, which writes ±0.5 mm into x whenever a component of the offset exceeds ±0.2 mm.
    """
    corners = face.verts[foundation.mirror[registration.anchors].clamp_min(0)]
    offsets = _offsets(foundation, face, registration) * face.verts.new_tensor([-1.0, 1.0, 1.0])
    if compat:
        across = offsets[:, 0].clone()
        for component in offsets.clone().unbind(1):
            across = torch.where(component > _CLAMP_ABOVE_MM, torch.full_like(across, _CLAMPED_MM), across)
            across = torch.where(component < -_CLAMP_ABOVE_MM, torch.full_like(across, -_CLAMPED_MM), across)
        offsets = torch.cat([across[:, None], offsets[:, 1:]], 1)
    return (registration.shares[..., None] * corners).sum(1) + offsets


def _offsets(foundation: Foundation, face: CompletedFace, registration: Registration) -> Tensor:
    """The camera's axis in the frame of the completed face, times the offset: (D, 3)."""
    axis = face.plane.rotation @ foundation.rotation.T[:, 2]
    return registration.offset[:, None] * axis
