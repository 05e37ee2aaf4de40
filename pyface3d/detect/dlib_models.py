"""dlib's detectors and 68-point predictor, with the model files of the PyPI package face_recognition_models.

The package is only a carrier of files: importing it needs ``pkg_resources``, which current Pythons lack, so its files
are found by path. The frontal HOG detector is built into dlib and needs no file.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.face import Face
from pyface3d.errors import AssetError

_INSTALL = "pip install 'pyface3d[dlib-models]'"
_LICENCES = {
    "shape_predictor_68_face_landmarks.dat": "trained on iBUG 300-W, whose terms allow research use only",
    "mmod_human_face_detector.dat": "public domain (CC0)",
}
# The HOG detector scans an 80 x 80 window and the CNN was trained on faces down to about 40 x 40.
_SMALLEST = {"dlib": 80.0, "dlib-cnn": 40.0}
_MAX_UPSAMPLED_PIXELS = 8_000_000
_CLIPPED_CONFIDENCE = 30.0


def model_path(file_name: str) -> Path:
    """Path of a model file of face_recognition_models.

    Raises:
        AssetError: the package is not installed; the message says how to get it and the file's terms.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        path = Path(folder) / "models" / file_name
        if path.is_file():
            return path
    raise AssetError(f"{file_name} is not installed ({_LICENCES[file_name]}); get it with {_INSTALL}")


@lru_cache(maxsize=1)
def load_shape_predictor() -> Any:
    """dlib's 68-point shape predictor.

    Raises:
        AssetError: its file is not installed.
    """
    import dlib

    return dlib.shape_predictor(str(model_path("shape_predictor_68_face_landmarks.dat")))


def detect_with_dlib(image: NDArray[np.uint8], detector: str, min_size: float, threshold: float) -> list[Face]:
    """Faces by one of dlib's detectors, best first.

    Args:
        image: (H, W, 3) sRGB.
        detector: ``"dlib"`` (frontal HOG) or ``"dlib-cnn"``.
        min_size: side in pixels of the smallest face sought; the picture is scaled so that it meets the detector's.
        threshold: least score in [0, 1]: the sigmoid of dlib's confidence.

    Returns:
        Faces without points5 (NaN).

    Raises:
        AssetError: the CNN's file is not installed.
    """
    import cv2

    height, width = image.shape[:2]
    scale = min(_SMALLEST[detector] / min_size, (_MAX_UPSAMPLED_PIXELS / (height * width)) ** 0.5)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(image, size, interpolation=interpolation).astype(np.uint8, copy=False)
    scale_x, scale_y = size[0] / width, size[1] / height
    faces = []
    for rectangle, confidence in _run(detector, scaled, threshold):
        # dlib counts pixels and includes the last one; ours are outer edges.
        x0, x1 = rectangle.left() / scale_x, (rectangle.right() + 1) / scale_x
        y0, y1 = rectangle.top() / scale_y, (rectangle.bottom() + 1) / scale_y
        score = 1 / (1 + np.exp(-np.clip(confidence, -_CLIPPED_CONFIDENCE, _CLIPPED_CONFIDENCE)))
        faces.append(Face((x0, y0, x1, y1), float(score), np.full((5, 2), np.nan, np.float32), detector))
    return sorted(faces, key=lambda face: -face.score)


def _run(detector: str, image: NDArray[np.uint8], threshold: float) -> list[tuple[Any, float]]:
    confidence = float(np.log(threshold / (1 - threshold)))
    if detector == "dlib":
        rectangles, confidences, _ = _frontal_detector().run(image, 0, confidence)
        return list(zip(rectangles, confidences))
    found = [(one.rect, one.confidence) for one in _cnn_detector()(image, 0)]
    return [(rectangle, value) for rectangle, value in found if value >= confidence]


@lru_cache(maxsize=1)
def _frontal_detector() -> Any:
    import dlib

    return dlib.get_frontal_face_detector()


@lru_cache(maxsize=1)
def _cnn_detector() -> Any:
    import dlib

    return dlib.cnn_face_detection_model_v1(str(model_path("mmod_human_face_detector.dat")))
