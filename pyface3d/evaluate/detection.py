"""Share of faces that a detector finds, and what it finds where there are none: `pyface3d evaluate detection`."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.face import Face
from pyface3d.detect.faces import THRESHOLDS, detect_faces
from pyface3d.errors import AssetError, InputError
from pyface3d.evaluate.annotated_faces import evenly
from pyface3d.evaluate.onnx_peers import RFB_FILE, UltraLight
from pyface3d.evaluate.tables import Cell, Table
from pyface3d.io.images import read_image

_PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
_BOXES = "boxes.csv"
# A detection belongs to a known face when its centre lies in the face's box and its area is not off by more than this.
_MAX_AREA_RATIO = 4.0

Box = tuple[float, float, float, float]
Detector = Callable[[NDArray[np.uint8]], list[Face]]
Progress = Callable[[Iterable[Path], int], Iterable[Path]]

_ASKED_FOR = ("dlib-cnn", "retinaface")  # seconds a picture, or files that few have: measured when asked for
RFB, MIDDLE = "rfb-320", "middle"
DETECTORS = (*THRESHOLDS, RFB, MIDDLE)
"""What can be measured: the detectors of `detect_faces`; version-RFB-320 on a letterboxed picture; and the trivial
answer, a box in the middle of every picture."""


def evaluate_detection(
    folder: Path,
    *,
    detectors: Sequence[str] | None = None,
    faceless: Path | None = None,
    boxes: Path | None = None,
    peer_weights: Path | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Table:
    """Detection rate and false alarms of each detector on the same pictures.

    Args:
        folder: pictures with faces.
        detectors: of `DETECTORS`; all unless told, without dlib's CNN (seconds a picture) and, where ``peer_weights``
            is not given, without RFB-320.
        faceless: pictures without; every detection there is a false alarm.
        boxes: CSV with the heading ``name,x0,y0,x1,y1`` of the known faces, px; ``boxes.csv`` in ``folder`` unless
            told. Without any, a picture counts as found when something is found in it.
        peer_weights: folder with RFB-320's ONNX file.
        limit: only so many pictures of each folder, evenly spread.
        progress: wraps the loop over pictures, given their number (tqdm).

    Raises:
        InputError: a folder has no pictures, a picture cannot be read, the boxes are damaged, or a detector unknown.
        AssetError: a file that a detector needs is missing.
    """
    pictures = _pictures(folder, limit)
    if boxes is None and (folder / _BOXES).is_file():
        boxes = folder / _BOXES
    known = None if boxes is None else read_boxes(boxes)
    empty = [] if faceless is None else _pictures(faceless, limit)
    if detectors is None:
        detectors = [n for n in DETECTORS if n not in _ASKED_FOR and (n != RFB or peer_weights is not None)]
    made = {name: _detector(name, peer_weights) for name in detectors}
    counts = {name: _Counts() for name in made}
    with_face = len(pictures)
    both = [*pictures, *empty]
    for index, path in enumerate(both if progress is None else progress(both, len(both))):
        image = read_image(path)
        for name, detect in made.items():
            found = detect(image)
            if index >= with_face:
                counts[name].alarms.append(len(found))
            else:
                counts[name].add(found, None if known is None else known.get(path.name, []))
    rows = [counts[name].row(_label(name), with_face, known is not None) for name in made]
    notes = ["found: centre of a detection inside a known face's box, area within a factor of 4"]
    if known is None:
        notes = [f"no boxes are known for {folder.name}: a picture counts as found when anything is found in it"]
    return Table(f"Face detection, {with_face} pictures of {folder.name}", rows, notes)


def _detector(name: str, peer_weights: Path | None) -> Detector:
    if name == MIDDLE:
        return _box_in_the_middle
    if name == RFB:
        if peer_weights is None:
            raise AssetError(f"{RFB} needs {RFB_FILE}; name its folder with --peer-weights")
        return UltraLight(peer_weights / RFB_FILE).detect
    if name not in THRESHOLDS:
        raise InputError(f"detectors must be of {', '.join(DETECTORS)}, got {name!r}")
    return partial(detect_faces, detector=name)


def _label(name: str) -> str:
    named = {"dlib": "dlib frontal", "dlib-cnn": "dlib CNN", RFB: "RFB-320, letterboxed", MIDDLE: "box in the middle"}
    return named.get(name, f"ours ({name})")


def read_boxes(path: Path) -> dict[str, list[Box]]:
    """Known faces by picture name from a CSV with the heading ``name,x0,y0,x1,y1``.

    Raises:
        InputError: the file or a row cannot be read.
    """
    boxes: dict[str, list[Box]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                x0, y0, x1, y1 = (float(row[key]) for key in ("x0", "y0", "x1", "y1"))
                if not (x0 < x1 and y0 < y1):
                    raise ValueError(f"box {x0, y0, x1, y1} of {row['name']} has no area")
                boxes.setdefault(row["name"], []).append((x0, y0, x1, y1))
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"cannot read boxes from {path}: {error}; wanted name,x0,y0,x1,y1 in every row") from error
    return boxes


def is_on_face(detected: Box, known: Box) -> bool:
    """Whether a detection's centre lies in a known face's box and their areas are alike within a factor of four."""
    x, y = (detected[0] + detected[2]) / 2, (detected[1] + detected[3]) / 2
    inside = known[0] < x < known[2] and known[1] < y < known[3]
    ratio = _area(detected) / _area(known)
    return inside and 1 / _MAX_AREA_RATIO < ratio < _MAX_AREA_RATIO


@dataclass
class _Counts:
    """What one detector found: pictures and known faces hit, other detections, false alarms per faceless picture."""

    hit: int = 0
    faces: int = 0
    found_faces: int = 0
    extra: int = 0
    alarms: list[int] = field(default_factory=list)

    def add(self, found: list[Face], truths: list[Box] | None) -> None:
        """Count one picture with known faces ``truths``, or with a face that is somewhere (None)."""
        if truths is None:
            self.hit += bool(found)
            return
        matched = [any(is_on_face(face.box, truth) for face in found) for truth in truths]
        self.hit += any(matched)
        self.faces += len(truths)
        self.found_faces += sum(matched)
        self.extra += sum(not any(is_on_face(face.box, truth) for truth in truths) for face in found)

    def row(self, label: str, pictures: int, known: bool) -> dict[str, Cell]:
        alarms, empty = self.alarms, len(self.alarms)
        return {
            "detector": label,
            "pictures": pictures,
            "face found %": 100 * self.hit / pictures,
            "known faces": self.faces if known else None,
            "of them found %": 100 * self.found_faces / self.faces if self.faces else None,
            "other detections": self.extra if known else None,
            "faceless pictures": empty or None,
            "with false alarm %": 100 * sum(count > 0 for count in alarms) / empty if empty else None,
            "false alarms": sum(alarms) if empty else None,
        }


def _box_in_the_middle(image: NDArray[np.uint8]) -> list[Face]:
    """The trivial answer: photographers put the face in the middle, at half the picture's size."""
    height, width = image.shape[:2]
    box = width / 4, height / 4, 3 * width / 4, 3 * height / 4
    return [Face(box, 1.0, np.full((5, 2), np.nan, np.float32), "middle")]


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def _pictures(folder: Path, limit: int | None) -> list[Path]:
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES)
    except OSError as error:
        raise InputError(f"cannot list {folder}: {error.strerror or error}; give a folder of pictures") from error
    if not found:
        raise InputError(f"{folder} has no pictures; give a folder of pictures")
    return evenly(found, limit)
