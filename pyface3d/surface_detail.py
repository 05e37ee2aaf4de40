"""Relief on a head as others can use it: normal maps for renderers, dense meshes for everything else."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pyface3d.geometry import Camera
from pyface3d.ops import (
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
DENSE_SIDE = 448
"""Pixels along the larger side of the relief's box in the dense mesh: about half a millimetre each."""


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


class DenseFace:
    """The part of a head that has relief, one vertex for every pixel of a picture of it.

    Attributes:
        verts: (N, 3) camera frame, mm, moved along their normals by the relief.
        normals: (N, 3) camera frame, of the raised surface.
        faces: (M, 3) int32, anticlockwise seen from the camera.
        uvs: (N, 2) place in the chart.
        nearest: (N,) int64, the head's vertex that is nearest on the vertex's triangle.
    """

    def __init__(self, verts: Tensor, normals: Tensor, faces: Tensor, uvs: Tensor, nearest: Tensor) -> None:
        self.verts, self.normals, self.faces, self.uvs, self.nearest = verts, normals, faces, uvs, nearest


def dense_face(
    verts_camera: Tensor, camera: Camera, topology: Topology, bump: Tensor, side: int = DENSE_SIDE
) -> DenseFace:
    """A dense mesh of what the picture shows of a head, with its relief.

    Args:
        verts_camera: (V, 3) camera frame, mm.
        camera: of the picture, batch 1.
        topology: with a chart.
        bump: relief in the chart, mm along the normal, (T, T).
        side: vertices along the larger side of the box of what has relief.

    The relief moves along the surface's normal, not along the camera's axis as in Extreme 3D Face Reconstruction: what
    leans away from the camera is raised by as much as what faces it.
    """
    window = _window(verts_camera, camera, topology, bump, side)
    fragments = rasterize(window.project(verts_camera[None]), topology, window.height, window.width)
    normals = vertex_normals(verts_camera[None], topology)
    values = interpolate(torch.cat([verts_camera[None], normals], -1).contiguous(), fragments, topology)
    positions, smooth = values[..., :3].contiguous(), functional.normalize(values[..., 3:], dim=-1)
    relief = render_texture(bump[None, ..., None].to(verts_camera), fragments, topology)[..., 0]
    inside = fragments.face_index >= 0
    raised = bump_normals(positions, smooth, relief, inside, max_gap_mm=_GAP_MM)
    grid = dense_mesh(fragments, focal=window.focal, principal_point=window.center)
    _, faces, pixels = grid.item(0)
    x, y = pixels.long().unbind(-1)
    chosen = fragments.face_index[0, y, x].long()
    share = fragments.barycentrics[0, y, x]
    assert topology.uvs is not None and topology.uv_faces is not None
    corners = topology.uvs[topology.uv_faces.long()[chosen]].to(share)
    return DenseFace(
        positions[0, y, x] + relief[0, y, x, None] * smooth[0, y, x],
        raised[0, y, x],
        faces.int(),
        (corners * share[..., None]).sum(1),
        topology.faces.long()[chosen].gather(1, share.argmax(1, keepdim=True))[:, 0],
    )


def _window(verts_camera: Tensor, camera: Camera, topology: Topology, bump: Tensor, side: int) -> Camera:
    """The part of the picture with the vertices that have relief near them, ``side`` px at its larger side."""
    image = camera.project(verts_camera[None])[0, :, :2]
    assert topology.uvs is not None and topology.uv_faces is not None
    grown = functional.max_pool2d((bump != 0).float()[None, None], 9, 1, 4)
    place = (topology.uvs * 2 - 1).to(grown)[None, None]
    has = functional.grid_sample(grown, place, mode="nearest", align_corners=False)[0, 0, 0] > 0
    touched = torch.zeros(len(verts_camera), dtype=torch.bool, device=verts_camera.device)
    touched[topology.faces.long()[has[topology.uv_faces.long()].any(1)].flatten()] = True
    some = image[touched] if bool(touched.any()) else image
    low, high = some.amin(0), some.amax(0)
    scale = side / float((high - low).max().clamp_min(1e-3))
    width, height = (max(round(float(extent) * scale), 2) for extent in high - low)
    one = camera.focal.new_ones(1)
    return camera.cropped(one * low[0], one * low[1], one * scale, height, width)
