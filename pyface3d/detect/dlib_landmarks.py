"""The 68 landmarks by dlib's regression-tree cascade, and how far to trust each.

Its failures are silent: an occluded or turned face gets a plausible frontal shape. Here it is asked ten times, from
shifted and scaled boxes and on the mirror image; the answers that agree best with the detector's five points are kept,
and their disagreement becomes the standard deviation. Where even the best miss the five points, the face is turned: it
is asked again on a crop sheared and stretched until the five points lie as in a frontal face, which is nearer to what
the predictor starts from.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.crops import Crop, square_crop
from pyface3d.detect.dlib_models import load_shape_predictor
from pyface3d.detect.face import Face, face_roll, five_points
from pyface3d.errors import InputError
from pyface3d.face_models.landmarks import IBUG68_FLIP

# The box that dlib's predictor was trained with, seen from each detector's box: its centre lies `down` box sizes below
# (along the face's own vertical), its side is `side` box sizes (size: `Face.size`). Fitted on 300-W for the least
# error, by scripts/calibrate_landmarks.py.
DLIB_SQUARES = {"mtcnn": (0.06, 1.05), "dlib": (0.0, 1.0), "dlib-cnn": (0.0, 1.0), "landmarks": (-0.12, 1.08)}
DLIB_SQUARES["retinaface"] = DLIB_SQUARES["mtcnn"]  # trained with the same boxes
_FACE_SIDE = 200.0  # pixels of the square in the working crop
_CROP_SIDE = 1.6  # side of the working crop in squares

# (right, down, scale) of the squares, in sides.
_SQUARES = ((0, 0, 1), (0.05, 0.05, 1), (-0.05, 0.05, 1.06), (0.05, -0.05, 0.94), (-0.05, -0.05, 1))
_KEPT = 0.5  # share of the answers kept
# Answers whose five points lie farther from the detector's, in box sizes, are asked for again on a straightened crop.
_MISSED = 0.035
_NEARER = 0.7  # the new answers count where they miss by no more than this share of the old
# Five points of a frontal face in that crop, in sides of the square (right, down): means over rendered people.
_FRONTAL5 = np.array([[0.311, 0.321], [0.689, 0.321], [0.5, 0.517], [0.349, 0.751], [0.651, 0.751]])

# Standard deviation per coordinate of each landmark on untroubled faces, in box sizes, and how the signs of trouble add
# to it (see signs_of_trouble). Fitted on 300-W by scripts/calibrate_landmarks.py. The predictor was trained on pictures
# of that set, so its floor there is a training error; on the re-annotated AFLW2000-3D faces it is that much larger.
_UNSEEN = 1.5
_FLOORS = (_UNSEEN * 1e-4) * np.array(
    [
        *(161, 140, 141, 143, 149, 149, 142, 124, 128, 124, 142, 149, 149, 143, 141, 140, 161),  # jaw
        *(123, 100, 99, 100, 111, 111, 100, 99, 100, 123),  # brows
        *(78, 62, 61, 74, 65, 58, 59, 58, 65),  # nose
        *(59, 58, 55, 53, 59, 60, 53, 55, 58, 59, 60, 59),  # eyes
        *(63, 63, 63, 52, 63, 63, 63, 77, 78, 71, 78, 77),  # outer lips
        *(66, 64, 54, 64, 66, 69, 56, 69),  # inner lips
    ]
)
_TROUBLE_WEIGHTS = np.array([1.8, 0.85, 0.16])


def dlib_landmarks68(image: NDArray[np.uint8], face: Face) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The 68 iBUG landmarks of one face by dlib; arguments and result as of `landmarks68`.

    Faces turned by more than about 45° are beyond the predictor: the deviation grows, but does not cover every failure.

    Raises:
        AssetError: the predictor's file is not installed.
        InputError: the face cannot be used.
    """
    answers = ask_predictor(image, face)
    kept = best_answers(answers, face)
    points = np.median(kept, axis=0)
    signs = signs_of_trouble(answers, kept, points, face)
    variance = np.square(_FLOORS * face.size) + np.tensordot(np.square(_TROUBLE_WEIGHTS), np.square(signs), axes=1)
    return points.astype(np.float32), np.sqrt(variance).astype(np.float32)


def dlib_square(face: Face) -> tuple[NDArray[np.float64], float, float]:
    """Where dlib's predictor wants to look for a face: centre (2,) px, side px, and the face's roll in radians.

    Raises:
        InputError: the face is of no known detector, or its box has no extent.
    """
    if face.detector not in DLIB_SQUARES:
        known = ", ".join(DLIB_SQUARES)
        raise InputError(f"face.detector must be one of {known} (its box decides where to look), got {face.detector!r}")
    if not (1 < face.size < np.inf and np.isfinite(face.center).all()):
        raise InputError(f"face.box must span more than a pixel, got {face.box}")
    down, side = DLIB_SQUARES[face.detector]
    roll = face_roll(face.points5) if np.isfinite(face.points5).all() else 0.0
    center = np.array(face.center) + down * face.size * np.array([-np.sin(roll), np.cos(roll)])
    return center, side * face.size, roll


def _working_crop(face: Face) -> Crop:
    center, side, roll = dlib_square(face)
    return square_crop(center, side * _CROP_SIDE, round(_FACE_SIDE * _CROP_SIDE), roll=roll)


def _straightened_crop(face: Face) -> Crop:
    """The working crop of a turned face: the affine map that takes its five points nearest to a frontal face's."""
    size = round(_FACE_SIDE * _CROP_SIDE)
    wanted = _FRONTAL5 * _FACE_SIDE + (size - _FACE_SIDE) / 2
    given = np.column_stack([face.points5.astype(np.float64), np.ones(5)])
    return Crop(np.linalg.lstsq(given, wanted, rcond=None)[0].T.astype(np.float64), size, size)


def ask_predictor(image: NDArray[np.uint8], face: Face) -> NDArray[np.float64]:
    """All answers of the predictor (N, 68, 2) px: the first half from the picture, the rest from its mirror image."""
    answers = _ask(image, _working_crop(face))
    if not np.isfinite(face.points5).all() or _miss(answers, face) <= _MISSED * face.size:
        return answers
    try:
        straightened = _ask(image, _straightened_crop(face))
    except InputError:  # five points on a line span no crop
        return answers
    # Clearly nearer, or the crop's shear has only moved the error.
    return straightened if _miss(straightened, face) < _NEARER * _miss(answers, face) else answers


def _miss(answers: NDArray[np.float64], face: Face) -> float:
    """Mean distance of the best answers from the detector's five points, px."""
    return float(_distances_to_points5(best_answers(answers, face), face).mean())


def _ask(image: NDArray[np.uint8], crop: Crop) -> NDArray[np.float64]:
    import dlib

    pixels = crop.warp(image, border=None)
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
                points = points[list(IBUG68_FLIP)]
            answers.append(points)
    return crop.to_image(np.stack(answers))


def best_answers(answers: NDArray[np.float64], face: Face) -> NDArray[np.float64]:
    """The half of the answers nearest to the detector's five points; all where the detector gives none."""
    if not np.isfinite(face.points5).all():
        return answers
    order = np.argsort(_distances_to_points5(answers, face), kind="stable")
    return answers[order[: max(1, int(_KEPT * len(answers)))]]


def signs_of_trouble(
    answers: NDArray[np.float64], kept: NDArray[np.float64], points: NDArray[np.float64], face: Face
) -> NDArray[np.float64]:
    """What hints at a wrong landmark, (3, 68) px.

    The spread of the kept answers about the points chosen; half the disagreement between picture and mirror image,
    which is what a turned or half-covered face provokes; and the distance of the kept answers from the detector's five
    points, the same for all landmarks (0 where the detector gives none).
    """
    spread = np.sqrt(np.square(kept - points).mean(axis=(0, 2)))
    straight, mirrored = np.median(answers.reshape(2, -1, *answers.shape[1:]), axis=1)
    disagreement = np.linalg.norm(straight - mirrored, axis=1) / 2
    known = np.isfinite(face.points5).all()
    distance = float(_distances_to_points5(kept, face).mean()) if known else 0.0
    return np.stack([spread, disagreement, np.full(len(points), distance)])


def _distances_to_points5(answers: NDArray[np.float64], face: Face) -> NDArray[np.float64]:
    """Mean distance (N,) px of each answer's five points from the detector's."""
    return np.linalg.norm(five_points(answers) - face.points5, axis=-1).mean(axis=-1)
