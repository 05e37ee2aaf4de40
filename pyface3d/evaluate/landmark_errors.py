"""What is measured of 68 landmarks: errors, constant offsets between two ways of placing them, the head's yaw.

N pictures; points are pixels (x right, y down). A method that lacks a landmark gives NaN for it, and a picture where
it found no face is NaN throughout.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.crops import Points

LEFT_EYE_OUTER, RIGHT_EYE_OUTER = 36, 45
PARTS = {
    "jaw": slice(0, 17),
    "brows": slice(17, 27),
    "nose": slice(27, 36),
    "eyes": slice(36, 48),
    "mouth": slice(48, 68),
}
"""Which of the 68 landmarks make a part of the face."""

_RIGID = slice(17, 48)  # brows, nose and eyes: what neither the jaw nor the lips move
_LEAST_EYES_PX = 1e-6


def eye_distance(points: Points) -> NDArray[np.float64]:
    """Distance of the outer eye corners (...,) px of landmarks (..., 68, 2)."""
    across = np.asarray(points, np.float64)[..., RIGHT_EYE_OUTER, :] - points[..., LEFT_EYE_OUTER, :]
    return np.linalg.norm(across, axis=-1)


def point_errors(points: Points, truth: Points) -> NDArray[np.float64]:
    """Distance of each landmark (..., 68) from the true one, in per cent of the true outer eye corners' distance."""
    distance = np.linalg.norm(np.asarray(points, np.float64) - truth, axis=-1)
    return 100 * distance / eye_distance(truth)[..., None]


def landmark_error(points: Points, truth: Points) -> float:
    """Mean of `point_errors` over the landmarks (68, 2) that ``points`` has (the others are NaN)."""
    return float(mean_of_present(point_errors(points, truth)))


def mean_of_present(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the last axis of what is not NaN; NaN where nothing is."""
    present = ~np.isnan(values)
    total = np.where(present, values, 0).sum(axis=-1)
    with np.errstate(invalid="ignore"):
        return total / present.sum(axis=-1)


def fit_offsets(points: Points, truth: Points) -> NDArray[np.float64]:
    """One constant offset per landmark from ``points`` to ``truth`` (N, 68, 2): what two definitions differ by.

    Each face has its own frame, told from ``points`` alone so that it exists where the truth is not known: the outer
    eye corners' line is its first axis and their distance its unit.

    Returns:
        (68, 2), the median over the faces of each coordinate (a face that was missed would pull a mean), NaN for a
        landmark that no face has.
    """
    turn, unit = own_frame(points)
    misses = np.asarray(truth, np.float64) - points
    own = np.einsum("nji,nkj->nki", turn, misses) / unit[:, None, None]
    known = np.isfinite(own).any(axis=(0, 2))
    offsets = np.full(own.shape[1:], np.nan)
    offsets[known] = np.nanmedian(own[:, known], axis=0)
    return offsets


def apply_offsets(points: Points, offsets: Points) -> NDArray[np.float64]:
    """Landmarks (N, 68, 2) moved by constant offsets (68, 2) in each face's own frame, see `fit_offsets`."""
    turn, unit = own_frame(points)
    return points + np.einsum("nij,kj->nki", turn, offsets) * unit[:, None, None]


def cross_fitted(points: Points, fitted_on: Points, truth: Points) -> NDArray[np.float64]:
    """``points`` (N, 68, 2) after offsets that know nothing of their own half of the pictures.

    Offsets from ``fitted_on`` to ``truth`` on the pictures of odd number are applied to those of even number, and the
    other way round. Landmarks without an offset (nothing to fit it on) become NaN.
    """
    moved = np.full(np.shape(points), np.nan)
    for half in (0, 1):
        other = slice(1 - half, None, 2)
        if np.isfinite(fitted_on[other]).any():
            moved[half::2] = apply_offsets(points[half::2], fit_offsets(fitted_on[other], truth[other]))
    return moved


def yaw_of_landmarks(points: Points) -> NDArray[np.float64]:
    """Yaw of heads (N,) in degrees, positive when the face looks to the right of the picture.

    Brows, nose and eyes (N, 68, 2) are fitted by the mean face of the embedded head under an affine camera in least
    squares; the nearest rotation's yaw is taken. Good to some degrees: a person's own nose counts as a turn.
    """
    import torch

    from pyface3d.face_models import load_face_model
    from pyface3d.fit.sparse_model import sparse_face
    from pyface3d.geometry import euler_from_rotation

    face = sparse_face(load_face_model("head")).mean[_RIGID].numpy()
    face = face - face.mean(axis=0)
    inner = np.asarray(points, np.float64)[:, _RIGID]
    inner = inner - inner.mean(axis=1, keepdims=True)
    affine = np.einsum("ak,nkc->nca", np.linalg.pinv(face), inner)
    left, _, right = np.linalg.svd(affine, full_matrices=False)
    rows = left @ right
    rotation = np.stack([rows[:, 0], rows[:, 1], np.cross(rows[:, 0], rows[:, 1])], axis=1)
    yaw, _, _ = euler_from_rotation(torch.from_numpy(rotation))
    return np.degrees(yaw.numpy())


def own_frame(points: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotation (N, 2, 2) from each face's frame to the picture, and the frame's unit (N,) px, by the eye corners."""
    points = np.asarray(points, np.float64)
    across = points[:, RIGHT_EYE_OUTER] - points[:, LEFT_EYE_OUTER]
    unit = np.maximum(np.linalg.norm(across, axis=-1), _LEAST_EYES_PX)
    x, y = (across / unit[:, None]).T
    return np.stack([np.stack([x, -y], axis=-1), np.stack([y, x], axis=-1)], axis=1), unit
