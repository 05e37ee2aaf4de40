"""The 68 landmarks of a face and how far to trust each, by the predictor of choice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.face import Face
from pyface3d.detect.faces import check_image
from pyface3d.errors import InputError

PREDICTORS = ("network", "dlib")
"""Ours, and dlib's, which needs the extra ``dlib-models`` (research use)."""
PREDICTOR = "network"
"""The one that is used unless told."""


def landmarks68(
    image: NDArray[np.uint8], face: Face, predictor: str = PREDICTOR
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The 68 iBUG landmarks of one face.

    Args:
        image: (H, W, 3) uint8, sRGB, the picture that ``face`` was found in.
        face: from `detect_faces` or `face_from_landmarks`.
        predictor: ``"network"`` (ours; `predict_points` gives all that it says) or ``"dlib"`` (needs the extra
            ``dlib-models``; research use).

    Returns:
        Points (68, 2) float32 px, and the standard deviation (68,) float32 of each coordinate, px: large where the
        face is covered or turned away.

    Raises:
        AssetError: the predictor's file is not installed.
        InputError: the image or the face cannot be used, or the predictor is unknown.
    """
    check_image(image)
    if predictor not in PREDICTORS:
        raise InputError(f"predictor must be one of {', '.join(PREDICTORS)}, got {predictor!r}")
    if predictor == "dlib":
        from pyface3d.detect.dlib_landmarks import dlib_landmarks68

        return dlib_landmarks68(image, face)
    from pyface3d.detect.face_points import predict_points

    found = predict_points(image, face)
    return found.points[:68], found.sigma[:68]
