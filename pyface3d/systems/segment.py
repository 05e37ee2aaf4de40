"""Masks of every face of a picture, and how they become files: `pyface3d segment`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pyface3d.detect import Face, detect_faces, face_from_landmarks, landmarks68
from pyface3d.detect.faces import DETECTOR, no_face
from pyface3d.detect.landmarks import PREDICTOR
from pyface3d.detect.parts import load_part_predictor
from pyface3d.errors import InputError
from pyface3d.io.label_maps import drawn_labels, encode_label_map
from pyface3d.io.pictures import encode_png, reduced
from pyface3d.io.records import versions
from pyface3d.part_labels import PART_COLOURS, VISIBLE_FACE, FacePart
from pyface3d.systems.running import THUMBNAIL, RunOptions, Writer, around

_OVERLAY_SIZE = 1600
_STRENGTH = 0.45  # of the colours over the photo


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What every pixel of a picture shows, for one of its faces.

    Attributes:
        face: where it was found.
        landmarks: (68, 2) px.
        parts: `FacePart` numbers, (H, W) uint8.
        timings: seconds by name of step.
    """

    face: Face
    landmarks: NDArray[np.float32]
    parts: NDArray[np.uint8]
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def visible(self) -> NDArray[np.bool_]:
        """Where the face itself is seen, (H, W)."""
        return np.isin(self.parts, VISIBLE_FACE)

    def record(self) -> dict[str, Any]:
        """Plain values for a JSON file: the classes by number, how much of the picture each has, box and landmarks."""
        height, width = self.parts.shape
        counts = np.bincount(self.parts.ravel(), minlength=len(FacePart))
        quality = {
            "detection_score": round(float(self.face.score), 4),
            "visible_landmarks_percent": round(100 * float(self._seen_landmarks().mean()), 2),
        }
        return {
            "status": "ok",
            "system": "segment",
            "image_size": {"height": height, "width": width},
            "box": [float(value) for value in self.face.box],
            "landmarks": np.round(self.landmarks.astype(np.float64), 3).tolist(),
            "classes": {
                part.name.lower(): {
                    "number": int(part),
                    "color": list(PART_COLOURS[part]),
                    "visible_face": part in VISIBLE_FACE,
                    "pixels": int(counts[part]),
                }
                for part in FacePart
            },
            "quality": quality,
            "versions": versions(),
            "timings_s": {name: round(value, 4) for name, value in self.timings.items()},
        }

    def overlay(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The photo (H, W, 3) under the classes' colours, the visible face outlined."""
        colours = drawn_labels(self.parts).astype(np.float32)
        share = np.where(self.parts == FacePart.BACKGROUND, 0.0, _STRENGTH)[..., None].astype(np.float32)
        mixed = np.round(image * (1 - share) + colours * share).astype(np.uint8)
        outlines, _ = cv2.findContours(self.visible.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        width = max(1, round(max(image.shape[:2]) / 500))
        return np.asarray(cv2.drawContours(np.ascontiguousarray(mixed), outlines, -1, (255, 255, 255), width))

    def _seen_landmarks(self) -> NDArray[np.bool_]:
        """Which of the inner landmarks (brows to lips) lie on the visible face, (51,); the jaw's lie on its edge."""
        height, width = self.parts.shape
        columns, rows = np.floor(self.landmarks[17:]).astype(int).T
        inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        seen = self.visible[rows.clip(0, height - 1), columns.clip(0, width - 1)]
        return np.asarray(inside & seen, np.bool_)


def segment(
    image: NDArray[np.uint8],
    landmarks: NDArray[np.floating[Any]] | None = None,
    *,
    detector: str = DETECTOR,
    predictor: str = PREDICTOR,
    max_faces: int | None = None,
    device: str = "cpu",
) -> list[Segmentation]:
    """Masks of every face of a picture.

    Args:
        image: (H, W, 3) uint8 sRGB, upright.
        landmarks: 68 iBUG points (68, 2) px; then nothing is detected and one face comes back.
        detector: see `detect_faces`.
        predictor: see `landmarks68`.
        max_faces: keep the best so many; None keeps all.
        device: torch device that our networks run on.

    Returns:
        One result per face, best detection first.

    Raises:
        NoFaceError: no face was found.
        InputError, AssetError: naming the argument or file at fault.
    """
    if max_faces is not None and max_faces < 1:
        raise InputError(f"max_faces must be at least 1, got {max_faces}")
    network = load_part_predictor(device)
    begun = time.perf_counter()
    if landmarks is not None:
        faces = [face_from_landmarks(landmarks)]
        points = [np.asarray(landmarks, np.float32)]
    else:
        faces = detect_faces(image, detector, device=device)[:max_faces]
        if not faces:
            raise no_face(image, detector)
        points = [landmarks68(image, face, predictor)[0] for face in faces]
    found = time.perf_counter()
    said = network.predict(image, points)
    maps = [one.face_parts(*image.shape[:2]) for one in said]
    each = {"find": found - begun, "parts": (time.perf_counter() - found) / len(faces)}
    return [Segmentation(*row, dict(each)) for row in zip(faces, points, maps)]


@dataclass(frozen=True)
class SegmentOptions(RunOptions):
    """How a run of `segment` works."""

    def writer(self) -> Writer:
        return _MaskWriter()


class _MaskWriter:
    """``_visible.png``, ``_parts.png``, ``_overlay.png`` of a `Segmentation`."""

    def files(self, stem: str, result: Segmentation, image: NDArray[np.uint8]) -> Iterator[tuple[str, bytes]]:
        yield f"{stem}_visible.png", encode_png(result.visible.astype(np.uint8) * 255)
        yield f"{stem}_parts.png", encode_label_map(result.parts)
        yield f"{stem}_overlay.png", encode_png(reduced(result.overlay(image), _OVERLAY_SIZE))

    def pictures(self, result: Segmentation, image: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
        left, top, right, bottom = around(result.face.box, image)
        part = slice(top, bottom), slice(left, right)
        cut = Segmentation(result.face, result.landmarks, result.parts[part])
        hidden = np.where(cut.visible[..., None], image[part], np.uint8(255))
        return {
            "photo": reduced(image[part], THUMBNAIL),
            "parts": reduced(cut.overlay(image[part]), THUMBNAIL),
            "visible face": reduced(hidden, THUMBNAIL),
        }
