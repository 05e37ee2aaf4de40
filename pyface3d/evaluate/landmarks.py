"""Error of the 68 landmarks on annotated pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.crops import Points
from pyface3d.detect.dlib_landmarks import dlib_square
from pyface3d.detect.dlib_models import load_shape_predictor
from pyface3d.detect.face import Face, face_from_landmarks
from pyface3d.detect.faces import detect_faces
from pyface3d.detect.landmarks import landmarks68
from pyface3d.errors import InputError
from pyface3d.evaluate.occluders import StandardOccluder
from pyface3d.evaluate.tables import Cell, Table
from pyface3d.io.images import read_image

_FAILURE_PERCENT = 10.0


@dataclass(frozen=True)
class AnnotatedFace:
    """One annotated picture: its path, split, and landmarks (68, 2) px, first pixel's middle at (0.5, 0.5)."""

    path: Path
    split: str
    points: NDArray[np.float32]


@dataclass(frozen=True)
class _Answer:
    """Points (68, 2) px and, from those who give one, their deviations (68,) px."""

    points: Points
    sigma: Points | None = None


_Method = Callable[[NDArray[np.uint8], AnnotatedFace], _Answer | None]


def evaluate_landmarks(
    data_dir: Path, *, occlude_seed: int | None = None, occluders: Path | None = None, limit: int | None = None
) -> Table:
    """Landmark error per split: ours (detector and predictor), dlib given the true box, and the mean shape.

    Errors are means over 68 points in per cent of the distance between the outer eye corners. A picture where no
    detection lies on the annotated face counts as a failure, and as infinitely wrong in the median; means are over
    the found ones. Where a picture holds several faces, the detection nearest to the annotated one is taken, so the
    table measures where the face was found, not which face comes first.

    Args:
        data_dir: folder with the pictures and ``landmarks68.npz``: ``names`` (N,), ``pts`` (N, 68, 2) px with the
            first pixel's middle at 0, and optionally ``split`` (N,).
        occlude_seed: put the standard occluder on every face, drawn from this seed.
        occluders: folder of RGBA cut-outs for it; a textured ellipse without one.
        limit: only so many pictures, evenly spread over the list.

    Raises:
        InputError: the folder or its annotation cannot be read.
        AssetError: the predictor's file is not installed.
    """
    faces = list(_evenly(read_annotated_faces(data_dir), limit))
    occluder = None if occlude_seed is None else StandardOccluder(occlude_seed, occluders)
    methods: dict[str, _Method] = {
        "ours: mtcnn + dlib, 10 looks": _ours,
        "dlib, true box": _dlib_from_true_box,
        "mean shape in the true box": _MeanShape(faces),
    }
    answers: dict[str, list[_Answer | None]] = {name: [] for name in methods}
    for face in faces:
        image = read_image(face.path)
        if occluder is not None:
            image, _ = occluder.apply(image, face.points, face.path.name)
        for name, method in methods.items():
            answers[name].append(method(image, face))
    rows = []
    for split in dict.fromkeys(face.split for face in faces):
        inside = [i for i, face in enumerate(faces) if face.split == split]
        for name in methods:
            rows.append(_row(split, name, [faces[i] for i in inside], [answers[name][i] for i in inside]))
    notes = ["failures: error above 10 % or face not found; dlib was trained on HELEN-train and AFW"]
    if occluder is not None:
        notes.append(occluder.description)
    return Table(f"68 landmarks, {len(faces)} pictures of {data_dir.name}", rows, notes)


def read_annotated_faces(data_dir: Path) -> list[AnnotatedFace]:
    """The pictures and landmarks that ``landmarks68.npz`` of a folder lists.

    Raises:
        InputError: it is missing, damaged or of another layout.
    """
    path = data_dir / "landmarks68.npz"
    try:
        with np.load(path, allow_pickle=False) as archive:
            names, points = archive["names"], archive["pts"]
            split = archive["split"] if "split" in archive else np.full(len(names), "all")
    except Exception as error:  # a damaged archive raises whatever zipfile or numpy stumble over
        raise InputError(f"cannot read {path}: {error}; it must hold names (N,) and pts (N, 68, 2)") from error
    if points.shape != (len(names), 68, 2) or split.shape != names.shape or not np.isfinite(points).all():
        raise InputError(f"{path} must hold names (N,) and finite pts (N, 68, 2), got pts of shape {points.shape}")
    if not len(names):
        raise InputError(f"{path} lists no pictures; give a folder with annotated faces")
    moved = points.astype(np.float32) + 0.5
    return [AnnotatedFace(data_dir / str(n), str(s), p) for n, s, p in zip(names, split, moved)]


def landmark_error(points: Points, truth: Points) -> float:
    """Mean distance of (68, 2) points to the true ones, in per cent of the true distance of the outer eye corners."""
    eyes = float(np.linalg.norm(truth[36] - truth[45]))
    return 100 * float(np.linalg.norm(points - truth, axis=1).mean()) / eyes


def face_at(faces: list[Face], truth: Points) -> Face | None:
    """The one of ``faces`` whose centre is nearest to the middle of the true landmarks' box, if it lies in that box."""
    low, high = truth.min(axis=0), truth.max(axis=0)
    inside = [face for face in faces if (low < face.center).all() and (face.center < high).all()]
    middle = (low + high) / 2
    return min(inside, key=lambda face: float(np.linalg.norm(face.center - middle)), default=None)


def _ours(image: NDArray[np.uint8], face: AnnotatedFace) -> _Answer | None:
    found = face_at(detect_faces(image), face.points)
    return None if found is None else _Answer(*landmarks68(image, found))


def _dlib_from_true_box(image: NDArray[np.uint8], face: AnnotatedFace) -> _Answer:
    """dlib as its users call it: once, on the picture, from the box it was trained with."""
    import dlib

    center, side, _ = dlib_square(face_from_landmarks(face.points))
    x, y, half = *center, side / 2
    square = dlib.rectangle(*(round(float(v)) for v in (x - half, y - half, x + half - 1, y + half - 1)))
    parts = load_shape_predictor()(image, square).parts()
    return _Answer(np.array([(part.x + 0.5, part.y + 0.5) for part in parts]))


class _MeanShape:
    """The mean of the annotated shapes, each scaled to its tight box; the box of the face at hand is given."""

    def __init__(self, faces: list[AnnotatedFace]) -> None:
        self._shapes = np.stack([self._in_box(face.points) for face in faces])
        self._total = self._shapes.sum(axis=0)

    def __call__(self, image: NDArray[np.uint8], face: AnnotatedFace) -> _Answer:
        count = len(self._shapes)
        own = self._in_box(face.points)
        # Leave the face's own shape out of its mean, unless it is the only one.
        mean = (self._total - own) / (count - 1) if count > 1 else own
        low, high = face.points.min(axis=0), face.points.max(axis=0)
        return _Answer(low + mean * (high - low))

    @staticmethod
    def _in_box(points: Points) -> Points:
        low, high = points.min(axis=0), points.max(axis=0)
        return (points - low) / (high - low)


def _evenly(faces: list[AnnotatedFace], limit: int | None) -> Iterator[AnnotatedFace]:
    if limit is not None and limit < 1:
        raise InputError(f"limit must be at least 1, got {limit}")
    count = len(faces) if limit is None else min(limit, len(faces))
    return (faces[i * len(faces) // count] for i in range(count))


def _row(split: str, method: str, faces: list[AnnotatedFace], answers: list[_Answer | None]) -> dict[str, Cell]:
    errors = np.full(len(faces), np.inf)
    near, with_sigma = 0, 0
    for i, (face, answer) in enumerate(zip(faces, answers)):
        if answer is None:
            continue
        errors[i] = landmark_error(answer.points, face.points)
        if answer.sigma is not None:
            misses = np.abs(answer.points - face.points) / answer.sigma[:, None]
            near, with_sigma = near + int((misses < 2).sum()), with_sigma + misses.size
    found = np.isfinite(errors)
    return {
        "split": split,
        "method": method,
        "pictures": len(faces),
        "found": int(found.sum()),
        "median %": float(np.median(errors)),
        "mean %": float(errors[found].mean()) if found.any() else None,
        "failures %": 100 * float((errors > _FAILURE_PERCENT).mean()),
        "inside 2 sigma %": 100 * near / with_sigma if with_sigma else None,
    }
