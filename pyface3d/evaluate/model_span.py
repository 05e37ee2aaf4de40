"""The best a face model can do for a scan: identity fitted to the scan itself, in place of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.evaluate.scan_distance import (
    TriangleSurface,
    distance_slope,
    face_region,
    moved_by,
    nearest_in_scan_frame,
    scan_distance,
)

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel

_STEPS = 15
_POINTS = 2500
_PRIOR_MM = 0.05
"""Weight of the identity prior: one σ costs as much as this misfit at every point, so that it only settles ties."""


def identity_of_scan(
    model: FaceModel, faces: Tensor, landmark_index: list[int], scan_points: NDArray, scan_landmarks: NDArray
) -> Tensor:
    """The identity whose neutral face comes closest to a scan.

    Args:
        model: a face model whose vertices are affine in the identity.
        faces: the triangles that count as the face's surface, (F, 3).
        landmark_index: the seven `NOW_LANDMARKS` among the model's landmarks.
        scan_points, scan_landmarks: as for `scan_distance`.

    Returns:
        (1, I) float64: Gauss-Newton on point-to-plane distances, with the alignment, from the mean face.
    """
    embedding = model.landmarks("ibug68")
    identity = torch.zeros(1, model.identity_dim, dtype=torch.float64)
    expression = torch.zeros(1, model.expression_dim, dtype=torch.float64)
    mean = model.vertices(identity, expression)
    basis = model.vertices(torch.eye(model.identity_dim, dtype=torch.float64), expression) - mean  # (I, V, 3)
    corners = faces.long()
    points = scan_points[face_region(scan_points, scan_landmarks)]
    points = points[:: max(1, len(points) // _POINTS)]
    marks = embedding.points(mean, model.topology)[0, landmark_index]
    first = scan_distance(scan_points, scan_landmarks, mean[0].numpy(), faces.numpy(), marks.numpy())
    alignment, middle = first.alignment, points.mean(0)
    for _ in range(_STEPS):
        verts = mean + torch.einsum("bi,ivc->bvc", identity, basis)
        surface = TriangleSurface(verts[0].numpy(), faces.numpy())
        distance, near, normal, triangle = nearest_in_scan_frame(surface, points, alignment)
        # Point to plane: the nearest point may slide along the surface as the shape changes.
        offset = np.einsum("ij,ij->i", points - near, normal)
        slope = -distance_slope(points, np.zeros_like(distance), near, normal, middle)[1]
        scale, rotation, translation = alignment
        inner = torch.from_numpy((near - translation[0].numpy()) @ rotation[0].numpy()) / scale[0]
        weights = barycentrics_of(inner, verts[0, corners[triangle]])
        by_identity = torch.einsum("nk,inkc->inc", weights, basis[:, corners[triangle]])
        directed = torch.from_numpy(normal) @ rotation[0] * scale[0]
        design = np.concatenate([slope, torch.einsum("inc,nc->ni", by_identity, directed).numpy()], 1)
        pull = np.zeros(design.shape[1])
        pull[7:] = len(points) * _PRIOR_MM**2
        towards = design.T @ offset - pull * np.concatenate([np.zeros(7), identity[0].numpy()])
        step = np.linalg.solve(design.T @ design + np.diag(pull), towards)
        alignment = moved_by(alignment, step[:7], middle)
        identity = identity + torch.from_numpy(step[7:])[None]
    return identity


def barycentrics_of(points: Tensor, corners: Tensor) -> Tensor:
    """Weights (N, 3) of triangle corners (N, 3, 3) for points (N, 3) that lie on them."""
    a = corners[:, 0]
    u, v, w = corners[:, 1] - a, corners[:, 2] - a, points - a
    uu, uv, vv = (u * u).sum(-1), (u * v).sum(-1), (v * v).sum(-1)
    wu, wv = (w * u).sum(-1), (w * v).sum(-1)
    area = (uu * vv - uv * uv).clamp_min(1e-18)
    beta, gamma = (vv * wu - uv * wv) / area, (uu * wv - uv * wu) / area
    return torch.stack([1 - beta - gamma, beta, gamma], -1)
