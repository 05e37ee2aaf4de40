"""The completed face on the whole head: what a GLB shows.

A head's mesh is coarser than the pixels. So the vertices take what is smooth in the completed face, and the normal map
the rest: wrinkles that were seen or recovered, and on the other side their mirror images.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.detect.crops import Crop
from pyface3d.detect.relief import ReliefPrediction, faded
from pyface3d.fit.relief import SIZE, bake_relief
from pyface3d.ops import Topology, interpolate, rasterize_uvs, render_texture, sample_texture, vertex_normals
from pyface3d.reconstruction import Reconstruction, srgb_bytes
from pyface3d.systems.extreme3d.carried import relief_along_normal
from pyface3d.systems.extreme3d.foundation import Foundation
from pyface3d.systems.extreme3d.stages import Stages

_SMOOTHINGS = 10  # rounds of averaging over neighbours: about 15 mm on edges of 5 mm
_TORN = 0.2  # of the chart: a triangle whose mirror image is longer lies across a seam (the head's reach 0.1, or 0.6)


def completed_head(result: Reconstruction, stages: Stages, crop: Crop, size: int = SIZE) -> Reconstruction:
    """The head of a fit with the completed face on it.

    Args:
        result: the fit that the stages' foundation was carried from.
        stages: of a face model of which ``result.model`` is the first or a coarser level.
        crop: the stages' crop of the photo.
        size: texels a side of the relief.

    Returns:
        ``result`` with the completed face's shape, relief where the model has a chart, source and confidence.
    """
    count = result.topology.num_verts
    completed, plane = stages.completed, stages.completed.plane
    moved = (completed.verts - completed.reference) @ plane.rotation  # back in the model's frame
    smooth = _smoothed(moved[:count], result.topology)
    verts = result.verts + smooth.to(result.verts)
    bump = None
    if result.topology.uvs is not None and bool(stages.relief.mm.any()):
        bump = _detail(result, stages, crop, smooth, size)
    return replace(
        result,
        verts=verts,
        verts_aligned=(verts.double() @ result.rotation.double().T + result.translation.double()).to(verts),
        normals=vertex_normals(verts, result.topology),
        bump=bump,
        source=completed.source[:count],
        confidence=stages.vertex_confidence()[:count].to(result.confidence),
        system="extreme3d",
    )


def uncovered(
    picture: NDArray[np.uint8], result: Reconstruction, foundation: Foundation, recovered: Tensor
) -> NDArray[np.uint8]:
    """A crop whose recovered pixels show the fit's texture instead of what hides the face: colours of the meshes.

    Args:
        picture: (H, W, 3) uint8 sRGB.
        result: the fit; the picture comes back as it is where it has no texture.
        foundation: of a level of the fit's model.
        recovered: (H, W) bool.
    """
    topology = foundation.topology
    if result.texture is None or topology.uvs is None:
        return picture
    texture = result.texture[None].to(foundation.verts)
    drawn = render_texture(texture, foundation.fragments, topology)[0]
    covered = (recovered & foundation.fragments.mask[0])[..., None].numpy()
    return np.where(covered, srgb_bytes(drawn), picture)


def _smoothed(moved: Tensor, topology: Topology) -> Tensor:
    """Offsets (V, 3) averaged over neighbours, again and again: what the vertices can carry without steps."""
    low, high = topology.edges.long().unbind(1)
    degree = torch.zeros(len(moved)).index_add_(0, torch.cat([low, high]), torch.ones(2 * len(low))).to(moved)
    for _ in range(_SMOOTHINGS):
        around = torch.zeros_like(moved).index_add_(0, low, moved[high]).index_add_(0, high, moved[low])
        moved = (moved + around) / (1 + degree)[:, None]
    return moved


def _detail(result: Reconstruction, stages: Stages, crop: Crop, smooth: Tensor, size: int) -> Tensor:
    """Relief in the chart (T, T) mm, seen, recovered or mirrored, less what the vertices carry of it."""
    foundation, topology = stages.foundation, result.topology
    height = torch.where(stages.dense.known, relief_along_normal(foundation, stages.relief.mm), 0.0)
    whole_crop = Crop(np.eye(2, 3), *stages.dense.known.shape)
    seen = faded(stages.dense.known.numpy(), whole_crop)  # at outlines a texel is of two surfaces
    # A turned face shows its far side too, but squeezed: there the completed face has the other side's, so this has.
    source = stages.completed.source[: topology.num_verts]
    own_side = ((source == 1) | (source == 3)).float()
    verts_camera = result.verts_aligned.float()
    spots = result.camera.project(verts_camera[None])[0]
    baked = [
        bake_relief(ReliefPrediction(values, crop), seen, spots, verts_camera, topology, own_side, size)
        for values in (height.float().numpy(), np.ones_like(seen))
    ]
    chart = rasterize_uvs(topology, size, size)
    normals = vertex_normals(result.verts[None], topology)[0]
    carried = (smooth.to(normals) * normals).sum(-1)
    values = interpolate(carried[None, :, None].contiguous(), chart, topology)[0, ..., 0]
    spots, whole = _mirrored_spots(topology, stages.foundation.mirror[: topology.num_verts])
    places = interpolate(spots[None], chart, topology)
    usable = (chart.face_index[0] >= 0) & whole[chart.face_index[0].clamp_min(0).long()]
    other = sample_texture(torch.stack(baked, -1)[None].contiguous(), places.contiguous())[0]
    other = torch.where(usable[..., None], other, 0.0)
    own, weight = baked
    relief_mm, counts = own + (1 - weight) * other[..., 0], weight + (1 - weight) * other[..., 1]
    return relief_mm - counts * values


def _mirrored_spots(topology: Topology, mirror: Tensor) -> tuple[Tensor, Tensor]:
    """Where in the chart each vertex's partner lies (V, 2), and for which triangles (F,) that is one piece."""
    assert topology.uvs is not None and topology.uv_faces is not None
    faces = topology.faces.long()
    place = torch.zeros(topology.num_verts, dtype=torch.int64)
    place[faces.flatten()] = topology.uv_faces.long().flatten()  # on a seam one of several
    spots = topology.uvs.float()[place[mirror.clamp_min(0)]]
    corners = spots[faces]
    near = (corners - corners.roll(1, 1)).norm(dim=-1).amax(1) < _TORN
    return spots.contiguous(), near & (mirror[faces] >= 0).all(1)
