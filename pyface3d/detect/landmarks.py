"""The 68 landmarks of a face and how far to trust each.

The predictor for now is dlib's regression-tree cascade, whose failures are silent: an occluded or turned face gets a
plausible frontal shape. Here it is asked ten times, from shifted and scaled boxes and on the mirror image; the answers
that agree best with the detector's five points are kept, and their disagreement becomes the standard deviation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.crops import Crop, Points, check_landmarks, square_crop
from pyface3d.detect.dlib_models import load_shape_predictor
from pyface3d.detect.face import Face
from pyface3d.detect.faces import check_image
from pyface3d.errors import InputError

# The box that dlib's predictor was trained with, seen from each detector's box: its centre lies `down` box sizes below
# (along the face's own vertical), its side is `side` box sizes (size: `Face.size`). Fitted on 300-W for the least
# error, by scripts/calibrate_landmarks.py.
_DLIB_SQUARES = {"mtcnn": (0.06, 1.05), "dlib": (0.0, 1.0), "dlib-cnn": (0.0, 1.0), "landmarks": (-0.12, 1.08)}
_FACE_SIDE = 200.0  # pixels of the square in the working crop
_CROP_SIDE = 1.6  # side of the working crop in squares

# (right, down, scale) of the squares, in sides.
_SQUARES = ((0, 0, 1), (0.05, 0.05, 1), (-0.05, 0.05, 1.06), (0.05, -0.05, 0.94), (-0.05, -0.05, 1))
_KEPT = 0.5  # share of the answers kept

# Which landmark each one becomes in a mirror image (iBUG 68).
MIRRORED_LANDMARKS = np.array(
    [
        *range(16, -1, -1),  # jaw
        *range(26, 16, -1),  # brows
        *(27, 28, 29, 30, 35, 34, 33, 32, 31),  # nose
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),  # eyes
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),  # outer lips
        *(64, 63, 62, 61, 60, 67, 66, 65),  # inner lips
    ]
)


def landmarks68(
    image: NDArray[np.uint8], face: Face, predictor: str = "dlib"
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The 68 iBUG landmarks of one face.

    Args:
        image: (H, W, 3) uint8, sRGB, the picture that ``face`` was found in.
        face: from `detect_faces` or `face_from_landmarks`.
        predictor: ``"dlib"`` (needs the extra ``dlib-models``; research use).

    Returns:
        Points (68, 2) float32 px, and the standard deviation (68,) float32 of each coordinate, px. Faces turned by
        more than about 45° are beyond the predictor: the deviation grows, but does not cover every failure.

    Raises:
        AssetError: the predictor's file is not installed.
        InputError: the image or the face cannot be used, or the predictor is unknown.
    """
    check_image(image)
    if predictor != "dlib":
        raise InputError(f"predictor must be 'dlib', got {predictor!r}")
    crop = _working_crop(face)
    answers = _ask(crop, crop.warp(image, border=None))
    if np.isfinite(face.points5).all():
        distance = np.linalg.norm(five_points(answers) - face.points5, axis=-1).mean(axis=-1) / face.size
        kept = answers[np.argsort(distance, kind="stable")[: max(1, int(_KEPT * len(answers)))]]
    else:
        kept = answers
    points = np.median(kept, axis=0)
    return points.astype(np.float32), _deviation(answers, points, face.size).astype(np.float32)


def face_from_landmarks(points: Points, score: float = 1.0) -> Face:
    """The face that 68 given landmarks (px) belong to; its box is tight about them."""
    points = check_landmarks(points)
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    box = float(x0), float(y0), float(x1), float(y1)
    return Face(box, score, five_points(points).astype(np.float32), "landmarks")


def five_points(points: Points) -> Points:
    """Eyes (means of their six points), nose tip and mouth corners (…, 5, 2) of 68 landmarks (…, 68, 2)."""
    eyes = points[..., 36:48, :].reshape(*points.shape[:-2], 2, 6, 2).mean(axis=-2)
    return np.concatenate([eyes, points[..., [30, 48, 54], :]], axis=-2)


def face_roll(points5: Points) -> float:
    """In-plane rotation in radians, clockwise in the picture: the way from between the eyes to the mouth's middle.

    The line between the eyes would serve as well on frontal faces, but turns with the head where one eye is guessed.
    """
    down = (points5[3] + points5[4] - points5[0] - points5[1]) / 2
    return float(np.arctan2(-down[0], down[1]))


def dlib_square(face: Face) -> tuple[NDArray[np.float64], float, float]:
    """Where dlib's predictor wants to look for a face: centre (2,) px, side px, and the face's roll in radians.

    Raises:
        InputError: the face is of no known detector, or its box has no extent.
    """
    if face.detector not in _DLIB_SQUARES:
        known = ", ".join(_DLIB_SQUARES)
        raise InputError(f"face.detector must be one of {known} (its box decides where to look), got {face.detector!r}")
    if not (1 < face.size < np.inf and np.isfinite(face.center).all()):
        raise InputError(f"face.box must span more than a pixel, got {face.box}")
    down, side = _DLIB_SQUARES[face.detector]
    roll = face_roll(face.points5) if np.isfinite(face.points5).all() else 0.0
    center = np.array(face.center) + down * face.size * np.array([-np.sin(roll), np.cos(roll)])
    return center, side * face.size, roll


def _working_crop(face: Face) -> Crop:
    center, side, roll = dlib_square(face)
    return square_crop(center, side * _CROP_SIDE, round(_FACE_SIDE * _CROP_SIDE), roll=roll)


def _ask(crop: Crop, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """All answers (N, 68, 2) in picture pixels: first the crop's, then its mirror image's."""
    import dlib

    predictor = load_shape_predictor()
    answers = []
    for mirrored in (False, True):
        view = np.ascontiguousarray(pixels[:, ::-1]) if mirrored else pixels
        for right, down, scale in _SQUARES:
            half = scale * _FACE_SIDE / 2
            x = crop.width / 2 + (-right if mirrored else right) * _FACE_SIDE
            y = crop.height / 2 + down * _FACE_SIDE
            square = dlib.rectangle(*(round(v) for v in (x - half, y - half, x + half - 1, y + half - 1)))
            points = np.array([(part.x + 0.5, part.y + 0.5) for part in predictor(view, square).parts()])
            if mirrored:
                points[:, 0] = crop.width - points[:, 0]
                points = points[MIRRORED_LANDMARKS]
            answers.append(points)
    return crop.to_image(np.stack(answers))


def _deviation(answers: NDArray[np.float64], points: NDArray[np.float64], size: float) -> NDArray[np.float64]:
    """Standard deviation per coordinate (68,) px from the spread of all answers about the points chosen."""
    spread = np.sqrt(np.square(answers - points).mean(axis=(0, 2)))
    return np.hypot(0.012 * size, 1.2 * spread)
