"""Relief on a head as others can use it: normal maps for renderers, dense meshes for everything else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pyface3d.geometry import Camera
from pyface3d.ops import (
    Fragments,
    Topology,
    bump_normals,
    dense_mesh,
    interpolate,
    rasterize,
    rasterize_uvs,
    render_texture,
    vertex_normals,
)

_GAP_MM = 8.0  # neighbouring pixels or texels farther apart are not of one surface
_ROUNDING = 0.75  # of the way to the tangent planes, as its authors recommend
DENSE_SIDE = 448
"""Pixels along the larger side of the dense mesh: about half a millimetre each on a face."""


def normal_map(verts: Tensor, topology: Topology, bump: Tensor) -> NDArray[np.uint8]:
    """The tangent-space normal map of a relief, as glTF wants it.

    Args:
        verts: (V, 3) mm.
        topology: with a chart.
        bump: relief in the chart, mm along the normal, (T, T).

    Returns:
        (T, T, 3) uint8: red along u, green against v (upwards in the picture of the chart), blue outwards;
        (128, 128, 255) where there is no relief, and between the islands.
    """
    size = bump.shape[0]
    chart = rasterize_uvs(topology, size, size)
    attributes = torch.cat([verts, vertex_normals(verts[None], topology)[0]], 1)[None].contiguous()
    values = interpolate(attributes, chart, topology)
    positions, normals = values[..., :3].contiguous(), functional.normalize(values[..., 3:], dim=-1)
    inside = chart.face_index >= 0
    raised = bump_normals(positions, normals, bump[None].to(verts), inside, max_gap_mm=_GAP_MM)[0]
    along_u, up = _tangents(positions[0], normals[0])
    local = torch.stack([(raised * axis).sum(-1) for axis in (along_u, up, normals[0])], -1)
    flat = torch.tensor([0.0, 0.0, 1.0]).to(local)
    usable = inside[0] & (bump.to(verts) != 0) & (along_u.abs().sum(-1) > 0) & (local[..., 2] > 0)
    local = torch.where(usable[..., None], functional.normalize(local, dim=-1), flat)
    found: NDArray[np.uint8] = (local * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    return found


def _tangents(positions: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors along rising u and falling v, orthogonal to the normal, (T, T, 3); 0 where the chart is torn."""

    def slope(axis: int) -> Tensor:
        forward = positions.roll(-1, axis) - positions
        backward = positions - positions.roll(1, axis)
        near, far = (step.norm(dim=-1, keepdim=True) < _GAP_MM for step in (forward, backward))
        return torch.where(near, forward, 0.0) + torch.where(far, backward, 0.0)

    along_u = slope(1)
    along_u = functional.normalize(along_u - normals * (along_u * normals).sum(-1, keepdim=True), dim=-1)
    up = -slope(0)
    # At right angles to the other two, on the side of falling v.
    across = torch.linalg.cross(normals, along_u)
    side = torch.where((across * up).sum(-1, keepdim=True) < 0, -1.0, 1.0)
    return along_u, across * side


@dataclass(frozen=True, eq=False)
class DenseFace:
    """The part of a head that has relief, one vertex for every pixel of a picture of it.

    Attributes:
        verts: (N, 3) camera frame, mm, moved along their normals by the relief.
        normals: (N, 3) camera frame, of the raised surface.
        faces: (M, 3) int32, anticlockwise seen from the camera.
        uvs: (N, 2) place in the chart.
        nearest: (N,) int64, the head's vertex that is nearest on the vertex's triangle.
    """

    verts: Tensor
    normals: Tensor
    faces: Tensor
    uvs: Tensor
    nearest: Tensor


def dense_face(
    verts_camera: Tensor,
    camera: Camera,
    topology: Topology,
    bump: Tensor,
    region: Tensor | None = None,
    side: int = DENSE_SIDE,
) -> DenseFace:
    """A dense mesh of what the picture shows of a head, with its relief.

    Args:
        verts_camera: (V, 3) camera frame, mm.
        camera: of the picture, batch 1.
        topology: with a chart.
        bump: relief in the chart, mm along the normal, (T, T).
        region: (V,) bool, the vertices to keep to; None keeps all.
        side: vertices along the larger side of the region's box.

    Between the head's vertices the surface is rounded (Boubekeur and Alexa, "Phong Tessellation", 2008): relief of
    tenths of a millimetre on flat triangles of some millimetres would show the triangles. The relief moves along the
    surface's normal, not along the camera's axis as in Extreme 3D Face Reconstruction: what leans away from the camera
    is raised by as much as what faces it.
    """
    assert topology.uvs is not None and topology.uv_faces is not None
    kept = torch.ones(len(verts_camera), dtype=torch.bool) if region is None else region.cpu()
    window = _window(camera, camera.project(verts_camera[None])[0, kept, :2], side)
    fragments = rasterize(window.project(verts_camera[None]), topology, window.height, window.width)
    inside = fragments.mask & (interpolate(kept[None, :, None].to(verts_camera), fragments, topology)[..., 0] > 0.5)
    normals = vertex_normals(verts_camera[None], topology)[0]
    smooth = functional.normalize(interpolate(normals[None], fragments, topology), dim=-1)
    positions = rounded_points(verts_camera, normals, fragments, topology)
    relief = render_texture(bump[None, ..., None].to(verts_camera), fragments, topology)[..., 0]
    raised = bump_normals(positions, smooth, relief, inside, max_gap_mm=_GAP_MM)
    grid = dense_mesh(fragments, mask=inside, focal=window.focal, principal_point=window.center)
    _, faces, pixels = grid.item(0)
    x, y = pixels.long().unbind(-1)
    chosen, share = fragments.face_index[0, y, x].long(), fragments.barycentrics[0, y, x]
    corners = topology.uvs[topology.uv_faces.long()[chosen]].to(share)
    return DenseFace(
        positions[0, y, x] + relief[0, y, x, None] * smooth[0, y, x],
        raised[0, y, x],
        faces.int(),
        (corners * share[..., None]).sum(1),
        topology.faces.long()[chosen].gather(1, share.argmax(1, keepdim=True))[:, 0],
    )


def rounded_points(verts: Tensor, normals: Tensor, fragments: Fragments, topology: Topology) -> Tensor:
    """The point under every pixel, (1, H, W, 3): on its triangle, then towards the tangent planes of the corners.

    Args:
        verts, normals: (V, 3) mm and unit, in one frame; ``fragments`` of them, B = 1, and ``topology``.
    """
    row, column = fragments.mask[0].nonzero(as_tuple=True)
    corners = topology.faces.long()[fragments.face_index[0, row, column].long()]
    share = fragments.barycentrics[0, row, column][..., None]
    point = (verts[corners] * share).sum(1)
    above = ((point[:, None] - verts[corners]) * normals[corners]).sum(-1, keepdim=True)
    found = verts.new_zeros(1, *fragments.mask.shape[1:], 3)
    found[0, row, column] = point - _ROUNDING * (above * normals[corners] * share).sum(1)
    return found


def _window(camera: Camera, points: Tensor, side: int) -> Camera:
    """The part of the camera's picture about points (N, 2), ``side`` px at its larger side."""
    low, high = points.amin(0), points.amax(0)
    scale = side / float((high - low).max().clamp_min(1e-3))
    width, height = (max(round(float(extent) * scale), 2) for extent in high - low)
    one = camera.focal.new_ones(1)
    return camera.cropped(one * low[0], one * low[1], one * scale, height, width)
