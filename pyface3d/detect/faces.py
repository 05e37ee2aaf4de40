"""Faces in a picture, by the detector of choice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.dlib_models import detect_with_dlib
from pyface3d.detect.face import Face
from pyface3d.errors import InputError, NoFaceError

# Least score of each detector unless told; ours and MTCNN's are tuned in docs/detection.md, dlib's are dlib's own
# (confidence 0), RetinaFace's is even odds.
THRESHOLDS = {"network": 0.4, "mtcnn": 0.75, "dlib": 0.5, "dlib-cnn": 0.5, "retinaface": 0.5}
DETECTOR = "network"
"""The one that is used unless told."""
# Smallest face sought unless told: this share of the picture's longer side, but never below 20 px.
_SMALLEST_SHARE, _SMALLEST_PIXELS = 0.025, 20.0


def detect_faces(
    image: NDArray[np.uint8],
    detector: str = DETECTOR,
    *,
    min_size: float | None = None,
    threshold: float | None = None,
    device: str = "cpu",
) -> list[Face]:
    """Find all faces of a picture.

    Args:
        image: (H, W, 3) uint8, sRGB, upright.
        detector: ``"network"`` (MTCNN's candidates judged by our landmark network), ``"mtcnn"`` (alone; both give five
            points and find most covered faces), ``"dlib"`` (frontal HOG), ``"dlib-cnn"`` (needs the extra
            ``dlib-models``) or ``"retinaface"`` (needs its published weights in the folder of PYFACE3D_MODELS).
        min_size: side in pixels of the smallest face sought, at least 10; 2.5 % of the picture's longer side unless
            told, and at least 20. Time grows with the inverse square.
        threshold: least score in (0, 1); each detector has its own default.
        device: torch device that our networks run on.

    Returns:
        Faces, best score first; empty when there is none.

    Raises:
        InputError: ``image`` is not such an array, the detector is unknown, or a number is out of range.
        AssetError: the detector's weights are missing.
    """
    check_image(image)
    if detector not in THRESHOLDS:
        raise InputError(f"detector must be one of {', '.join(THRESHOLDS)}, got {detector!r}")
    if min_size is None:
        min_size = max(_SMALLEST_PIXELS, _SMALLEST_SHARE * max(image.shape[:2]))
    if not min_size >= 10:
        raise InputError(f"min_size must be at least 10 pixels, got {min_size}")
    image = np.ascontiguousarray(image)
    threshold = THRESHOLDS[detector] if threshold is None else threshold
    if not 0 < threshold < 1:
        raise InputError(f"threshold must lie between 0 and 1, got {threshold}")
    if detector in ("dlib", "dlib-cnn"):
        return detect_with_dlib(image, detector, min_size, threshold)
    if detector == "retinaface":
        from pyface3d.detect.retinaface import load_retinaface

        return load_retinaface(device).faces(image, min_size, threshold)
    if detector == "network":
        from pyface3d.detect.judged_faces import judged_faces

        return judged_faces(image, min_size, threshold, device)
    from pyface3d.detect.mtcnn import load_mtcnn

    return load_mtcnn(device).faces(image, min_size, threshold)


def no_face(image: NDArray[np.uint8], detector: str) -> NoFaceError:
    """What to raise where `detect_faces` found nothing in a picture that must have a face."""
    return NoFaceError(
        f"no face was found (picture of {image.shape[1]} x {image.shape[0]} pixels, detector {detector}); "
        "try --detector dlib-cnn, a larger picture, or give 68 landmarks (--landmarks)"
    )


def check_image(image: Any) -> None:
    """Raise InputError unless ``image`` is an (H, W, 3) uint8 array with at least one pixel."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"image must be a uint8 array (H, W, 3), got {kind}; read it with read_image")
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise InputError(f"image must have shape (H, W, 3), got {image.shape}; read it with read_image")
