"""Faces, landmarks and crops.

from pyface3d.detect import detect_faces, landmarks68
"""

from importlib import import_module
from typing import Any

_NAMES = {
    "Crop": "pyface3d.detect.crops",
    "Face": "pyface3d.detect.face",
    "detect_faces": "pyface3d.detect.faces",
    "face_from_landmarks": "pyface3d.detect.face",
    "face_parts": "pyface3d.detect.parts",
    "landmarks68": "pyface3d.detect.landmarks",
    "predict_points": "pyface3d.detect.face_points",
    "read_landmarks": "pyface3d.detect.landmark_files",
    "visible_face": "pyface3d.detect.parts",
}
__all__ = [*_NAMES]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'pyface3d.detect' has no attribute {name!r}")
