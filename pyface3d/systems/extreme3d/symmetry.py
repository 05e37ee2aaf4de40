"""Soft symmetry: the foundation takes the relief where it is seen, and the other side's shape where that was seen.

The steps of the published program in its order, each a function of what the one before gives. Completion itself is
`ops.complete_symmetry`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from pyface3d.geometry import align_similarity, rotation_from_axis_angle
from pyface3d.geometry.rotations import axis_angle_from_rotation
from pyface3d.ops import Topology, complete_symmetry, face_normals
from pyface3d.systems.extreme3d.foundation import Foundation
from pyface3d.systems.extreme3d.relief import DenseFace
from pyface3d.systems.extreme3d.visibility import TOLERANCE_MM, Visibility, between_pixels, pixels_under

KNOWN = 0.75
"""The least weight of a vertex that counts as seen: no blurred count around it above 1.4."""
MIDDLE_MM, FEWEST_PAIRS, MOST_TRIMMED = 15.0, 100, 0.25
LEAST_TURN, MOST_STRETCH = 0.2, 1.6
CUT_MM, CUT_RATE = 100.0, 5.0

_ALIGNMENT_ROUNDS = 8


class Plane(NamedTuple):
    """The motion that takes the face's own plane of symmetry to x = 0: p -> rotation @ p + translation."""

    rotation: Tensor
    translation: Tensor

    def apply(self, verts: Tensor) -> Tensor:
        return verts @ self.rotation.T + self.translation

    def undo(self, verts: Tensor) -> Tensor:
        return (verts - self.translation) @ self.rotation


class SampledFace(NamedTuple):
    """Foundation with the relief of the picture.

    verts (V, 3) mm, camera frame; sampled (V,) bool: vertices that took it.
    """

    verts: Tensor
    sampled: Tensor


@dataclass(frozen=True, eq=False)
class CompletedFace:
    """The stage sparseFull.

    Attributes:
        verts: (V, 3) mm, model frame moved by ``plane``.
        reference: the foundation in the same frame, (V, 3).
        seen_verts: foundation with relief before completion, in the same frame, (V, 3).
        verts_camera: foundation with relief in the camera frame, (V, 3).
        plane: how the face was moved to its plane of symmetry.
        weights: (V,), 0.75 and above known.
        sampled: vertices that took relief, (V,) bool.
        source: (V,) uint8: 0 prior, 1 observed, 2 mirrored.
    """

    verts: Tensor
    reference: Tensor
    seen_verts: Tensor
    verts_camera: Tensor
    plane: Plane
    weights: Tensor
    sampled: Tensor
    source: Tensor


def sample_relief(
    foundation: Foundation, dense: DenseFace, visibility: Visibility, *, compat: bool = False
) -> SampledFace:
    """Vertices that are seen, have a partner and lie between four pixels of the face take their relief, bilinearly.

    Not where the four straddle a jump in depth, told by the foundation's own depth not being the vertex's to 2.5 mm.
    ``compat``: there too, and they take the depth of the pixels, as published: where the surface is steep or bent this
    is not the vertex's, and moves it without any relief.
    """
    around = between_pixels(foundation.verts_image, *dense.depth.shape, compat=compat)
    sampled = around.inside & visibility.seen & (foundation.mirror >= 0)
    sampled &= dense.known.flatten()[around.pixels].all(1)
    depth = around.read(dense.depth)
    if not compat:
        own = foundation.verts_camera[:, 2]
        sampled &= (around.read(foundation.fragments.depth[0]) - own).abs() <= TOLERANCE_MM
        depth = own + (depth - around.read(dense.base))
    verts = foundation.verts_camera.clone()
    verts[:, 2] = torch.where(sampled, depth, verts[:, 2])
    return SampledFace(verts, sampled)


def find_plane(verts: Tensor, mirror: Tensor, sampled: Tensor, *, compat: bool = False) -> Plane:
    """Half the motion that takes the middle of a face onto its own mirror image.

    Let p2 be the mirror image of each vertex's partner. A face whose plane of symmetry is off by a motion h out of
    x = 0 has p2 = (σ h σ) h⁻¹ p1; the square root of that motion takes both onto the plane. Its fit leaves out the
    quarter of the points that fit worst, and it is used only where it brings the halves together.

    Args:
        verts: (V, 3) mm, model frame.
        mirror: (V,), −1 without partner.
        sampled: (V,) bool; only vertices that are with their partner, within 15 mm of x = 0, count.
        compat: no motion: the published program compares each point with itself.
    """
    still = Plane(torch.eye(3).to(verts), verts.new_zeros(3))
    partner = mirror.clamp_min(0)
    chosen = sampled & (mirror >= 0) & sampled[partner] & (verts[:, 0].abs() < MIDDLE_MM)
    if compat or int(chosen.sum()) <= FEWEST_PAIRS:
        return still
    flip = verts.new_tensor([-1.0, 1.0, 1.0])
    source, target = verts[chosen], flip * verts[partner[chosen]]
    weights = torch.ones_like(source[:, 0])
    for _ in range(_ALIGNMENT_ROUNDS):
        motion = align_similarity(source[None], target[None], weights[None], scale=1.0)
        apart = (motion.apply(source[None])[0] - target).norm(dim=-1)
        weights = (apart <= apart.quantile(1 - MOST_TRIMMED)).to(verts)
    half = rotation_from_axis_angle(axis_angle_from_rotation(motion.rotation[0]) / 2)
    # (A, a) twice is (A A, A a + a).
    shift = torch.linalg.solve(half + torch.eye(3).to(half), motion.translation[0])
    plane = Plane(half, shift)
    before, after = (_asymmetry(face, mirror, chosen) for face in (verts, plane.apply(verts)))
    return plane if after < before else still


def _asymmetry(verts: Tensor, mirror: Tensor, chosen: Tensor) -> float:
    flip = verts.new_tensor([-1.0, 1.0, 1.0])
    apart = (verts[chosen] - flip * verts[mirror[chosen]]).norm(dim=-1)
    return float(apart[apart <= apart.quantile(1 - MOST_TRIMMED)].square().mean())


def drop_spoilt(verts: Tensor, reference: Tensor, topology: Topology, weights: Tensor) -> Tensor:
    """Weights without the vertices whose triangles the relief has turned over or torn: (V,).

    A triangle is turned when its normal has less than 0.2 of the reference's direction, torn at a corner that lies
    more than 1.6 times as far from its centre as in the reference.
    """
    faces = topology.faces.long()
    agree = (face_normals(verts, topology) * face_normals(reference, topology)).sum(-1)
    flat = (face_normals(reference, topology) == 0).all(-1)  # a triangle without area has no direction to lose
    turned = ((agree < LEAST_TURN) & ~flat)[:, None].expand(-1, 3)
    reach, usual = (_to_centre(face[faces]) for face in (verts, reference))
    torn = reach > MOST_STRETCH * usual
    spoilt = torch.zeros_like(weights, dtype=torch.bool)
    spoilt[faces[turned | torn]] = True
    return weights.masked_fill(spoilt, 0.0)


def _to_centre(corners: Tensor) -> Tensor:
    return (corners - corners.mean(1, keepdim=True)).norm(dim=-1)


def open_known(weights: Tensor, topology: Topology) -> Tensor:
    """Weights after one erosion and one dilation over triangles: small islands of known vertices go.

    Every triangle with a vertex below 0.75 sets all three to 0; then every triangle with one at 0.75 or above sets all
    three to 1.
    """
    faces = topology.faces.long()
    eroded, opened = weights.clone(), weights.clone()
    eroded[faces[(weights[faces] < KNOWN).any(1)]] = 0.0
    opened.copy_(eroded)
    opened[faces[(eroded[faces] >= KNOWN).any(1)]] = 1.0
    return opened


def yaw_cut_mm(turn: float, *, compat: bool = False) -> float:
    """How far past the middle the far half of a turned head still counts as seen: 100 mm cos(5 turn), at least 0.

    Args:
        turn: radians, either way.
        compat: the published cosine, which grows again beyond 54°.
    """
    angle = CUT_RATE * abs(turn)
    return max(0.0, CUT_MM * math.cos(angle if compat else min(angle, math.pi)))


def cut_far_half(weights: Tensor, reference: Tensor, turn: float, *, compat: bool = False) -> Tensor:
    """Weights halved where the foundation lies further on the far side than `yaw_cut_mm`."""
    if turn == 0:
        return weights
    beyond = math.copysign(1.0, turn) * reference[:, 0] > yaw_cut_mm(turn, compat=compat)
    return torch.where(beyond, weights / 2, weights)


def complete_face(
    foundation: Foundation, dense: DenseFace, visibility: Visibility, *, compat: bool = False
) -> CompletedFace:
    """Relief onto the vertices, the face to its plane, weights, and completion from the mirror image.

    Known vertices, those that took relief and weigh 0.75 or more, stay to the bit.

    Args:
        compat: no plane alignment, the periodic cut by the rotation vector, and along the border of what is filled the
            foundation's differences alone. The published least squares with soft seams is not rebuilt: both modes
            meet the known vertices exactly.
    """
    face = sample_relief(foundation, dense, visibility, compat=compat)
    frontal = (face.verts - foundation.translation) @ foundation.rotation
    frontal = torch.where(face.sampled[:, None], frontal, foundation.verts)
    plane = find_plane(frontal, foundation.mirror, face.sampled, compat=compat)
    seen, reference = plane.apply(frontal), plane.apply(foundation.verts)
    weights = drop_spoilt(seen, reference, foundation.topology, visibility.weights)
    weights = open_known(weights, foundation.topology)
    weights = cut_far_half(weights, reference, foundation.turn(compat), compat=compat)
    known = torch.where(face.sampled, weights, torch.zeros_like(weights))
    completed, source = complete_symmetry(
        seen[None],
        known[None],
        foundation.mirror,
        reference[None],
        foundation.topology,
        threshold=KNOWN,
        mirror_borders=not compat,
    )
    return CompletedFace(
        verts=completed[0],
        reference=reference,
        seen_verts=seen,
        verts_camera=face.verts,
        plane=plane,
        weights=weights,
        sampled=face.sampled,
        source=source[0],
    )


def to_camera(foundation: Foundation, plane: Plane, verts: Tensor) -> Tensor:
    """Points of the completed face (…, 3) in the camera frame: R A⁻¹ (p − a) + t."""
    return plane.undo(verts) @ foundation.rotation.T + foundation.translation


def with_source(face: CompletedFace, foundation: Foundation, recovered: Tensor | None) -> CompletedFace:
    """The face with ``source`` 3 where the relief that a vertex took was itself filled in ((H, W) bool)."""
    if recovered is None:
        return face
    rows, inside = pixels_under(foundation.verts_image, *recovered.shape)
    filled = inside & recovered.flatten()[rows] & (face.source == 1)
    return replace(face, source=torch.where(filled, torch.full_like(face.source, 3), face.source))
