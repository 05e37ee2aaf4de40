"""Share of faces that a detector finds, and what it finds where there are none."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.face import Face
from pyface3d.detect.faces import detect_faces
from pyface3d.errors import InputError
from pyface3d.evaluate.tables import Cell, Table
from pyface3d.io.images import read_image

_PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
_BOXES = "boxes.csv"
# A detection belongs to a known face when its centre lies in the face's box and its area is not off by more than this.
_MAX_AREA_RATIO = 4.0

Box = tuple[float, float, float, float]
_Detector = Callable[[NDArray[np.uint8]], list[Face]]


def evaluate_detection(
    folder: Path, *, faceless: Path | None = None, boxes: Path | None = None, limit: int | None = None
) -> Table:
    """Detection rate and false alarms: ours, dlib's frontal detector, and a box in the middle of every picture.

    Args:
        folder: pictures with faces.
        faceless: pictures without; every detection there is a false alarm.
        boxes: CSV with the heading ``name,x0,y0,x1,y1`` of the known faces, px; ``boxes.csv`` in ``folder`` unless
            told. Without any, a picture counts as found when something is found in it.
        limit: only so many pictures of each folder, evenly spread.

    Raises:
        InputError: a folder has no pictures, a picture cannot be read, or the boxes are damaged.
    """
    pictures = _pictures(folder, limit)
    if boxes is None and (folder / _BOXES).is_file():
        boxes = folder / _BOXES
    known = None if boxes is None else read_boxes(boxes)
    empty = [] if faceless is None else _pictures(faceless, limit)
    detectors: dict[str, _Detector] = {
        "ours (mtcnn)": detect_faces,
        "dlib frontal": lambda image: detect_faces(image, "dlib"),
        "box in the middle": _box_in_the_middle,
    }
    rows = [_row(name, detect, pictures, known, empty) for name, detect in detectors.items()]
    notes = ["found: centre of a detection inside a known face's box, area within a factor of 4"]
    if known is None:
        notes = [f"no boxes are known for {folder.name}: a picture counts as found when anything is found in it"]
    return Table(f"Face detection, {len(pictures)} pictures of {folder.name}", rows, notes)


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


def _row(
    name: str, detect: _Detector, pictures: list[Path], known: dict[str, list[Box]] | None, empty: list[Path]
) -> dict[str, Cell]:
    hit = faces = found_faces = extra = 0
    for path in pictures:
        found = detect(read_image(path))
        if known is None:
            hit += bool(found)
            continue
        truths = known.get(path.name, [])
        matched = [any(is_on_face(face.box, truth) for face in found) for truth in truths]
        hit, faces, found_faces = hit + any(matched), faces + len(truths), found_faces + sum(matched)
        extra += sum(not any(is_on_face(face.box, truth) for truth in truths) for face in found)
    alarms = [len(detect(read_image(path))) for path in empty]
    return {
        "detector": name,
        "pictures": len(pictures),
        "face found %": 100 * hit / len(pictures),
        "known faces": faces if known is not None else None,
        "of them found %": 100 * found_faces / faces if faces else None,
        "other detections": extra if known is not None else None,
        "faceless pictures": len(empty) if empty else None,
        "with false alarm %": 100 * sum(count > 0 for count in alarms) / len(empty) if empty else None,
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
    if limit is not None and limit < 1:
        raise InputError(f"limit must be at least 1, got {limit}")
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES)
    except OSError as error:
        raise InputError(f"cannot list {folder}: {error.strerror or error}; give a folder of pictures") from error
    if not found:
        raise InputError(f"{folder} has no pictures; give a folder of pictures")
    count = len(found) if limit is None else min(limit, len(found))
    return [found[i * len(found) // count] for i in range(count)]
