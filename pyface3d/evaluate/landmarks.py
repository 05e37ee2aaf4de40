"""Error of the 68 landmarks on annotated pictures: `pyface3d evaluate landmarks`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.face import five_points
from pyface3d.errors import InputError
from pyface3d.evaluate.annotated_faces import AnnotatedFace, evenly, read_annotated_faces
from pyface3d.evaluate.landmark_errors import (
    PARTS,
    cross_fitted,
    eye_distance,
    mean_of_present,
    point_errors,
    yaw_of_landmarks,
)
from pyface3d.evaluate.landmark_methods import METHODS, Answer, Setting, Sight, make_methods
from pyface3d.evaluate.occluders import StandardOccluder
from pyface3d.evaluate.tables import Cell, Table
from pyface3d.io.images import read_image

_FAILURE_PERCENT = 10.0
_YAW_BINS = (0, 15, 30, 90)
Progress = Callable[[Iterable[AnnotatedFace], int], Iterable[AnnotatedFace]]


def evaluate_landmarks(
    data_dir: Path,
    *,
    methods: Sequence[str] | None = None,
    weights: Sequence[Path] = (),
    peer_weights: Path | None = None,
    occlude_seed: int | None = None,
    occluders: Path | None = None,
    limit: int | None = None,
    parts: bool = False,
    progress: Progress | None = None,
) -> Table:
    """Landmark error per split and per range of |yaw|, clean and behind the standard occluder, of each method.

    Errors are means over the landmarks that a method has, in per cent of the distance between the outer eye corners. A
    picture where no detection lies on the annotated face counts as a failure, and as infinitely wrong in the medians;
    the mean is over the found ones. Where a picture holds several faces, the detection nearest to the annotated one is
    taken, so the table measures where the face was found, not which face comes first.

    Args:
        data_dir: folder of annotated pictures (`annotated_faces.read_annotated_faces`).
        methods: keys of `landmark_methods.METHODS`; all unless told, without OpenSeeFace where ``peer_weights`` is
            not given.
        weights: files of our network's weights to measure instead of the shipped ones.
        peer_weights: folder with OpenSeeFace's ONNX file.
        occlude_seed: measure every method also behind the standard occluder, drawn from this seed, on the same
            pictures; columns "occ. …", and the ratio of the medians.
        occluders: folder of RGBA cut-outs for it; a textured ellipse without one.
        limit: only so many pictures, evenly spread over the list.
        parts: also the median error of jaw, brows, nose, eyes and mouth (clean, raw).
        progress: wraps the loop over pictures, given their number (tqdm).

    Raises:
        InputError: the folder or its annotation cannot be read, or an argument cannot be used.
        AssetError: a file that a method needs is not installed.
    """
    faces = evenly(read_annotated_faces(data_dir), limit)
    if methods is None:
        methods = [name for name in METHODS if name != "openseeface" or peer_weights is not None]
    if not methods:
        raise InputError(f"methods must name at least one of {', '.join(METHODS)}")
    made = make_methods(methods, Setting(faces, tuple(weights), peer_weights))
    occluder = None if occlude_seed is None else StandardOccluder(occlude_seed, occluders)
    clean = {label: _Answers(len(faces)) for label in made}
    covered = {label: _Answers(len(faces)) for label in made}
    for index, face in enumerate(faces if progress is None else progress(faces, len(faces))):
        image = read_image(face.path)
        sights = [(clean, Sight(image, face))]
        if occluder is not None:
            hidden, _ = occluder.apply(image, face.points, face.path.name)
            sights.append((covered, Sight(hidden, face)))
        for answers, sight in sights:
            for label, method in made.items():
                answers[label].put(index, method(sight))

    truth = np.stack([face.points for face in faces]).astype(np.float64)
    measured = {label: _measure(clean[label], clean[label], truth) for label in made}
    behind = {label: _measure(covered[label], clean[label], truth) for label in made} if occluder is not None else {}
    rows = [
        _row(group, label, measured[label], behind.get(label), inside, parts)
        for group, inside in _groups(faces, truth).items()
        for label in made
    ]
    notes = [
        "failures: error above 10 % or face not found; dlib was trained on HELEN-train and AFW",
        "offset: after one constant offset per landmark in the face's own frame, fitted on the other half of the "
        "pictures, clean",
        "five points: eyes' middles, nose tip, mouth corners",
    ]
    if occluder is not None:
        notes.append(occluder.description)
    return Table(f"68 landmarks, {len(faces)} pictures of {data_dir.name}", rows, notes)


class _Answers:
    """Answers about N pictures as arrays, NaN where a method gave none."""

    def __init__(self, count: int) -> None:
        self.found = np.zeros(count, bool)
        self.points = np.full((count, 68, 2), np.nan)
        self.sigma = np.full((count, 68), np.nan)
        self.five = np.full((count, 5, 2), np.nan)

    def put(self, index: int, answer: Answer | None) -> None:
        if answer is None:
            return
        self.found[index] = True
        self.points[index] = answer.points
        self.five[index] = five_points(answer.points) if answer.five is None else answer.five
        if answer.sigma is not None:
            self.sigma[index] = answer.sigma


@dataclass(frozen=True)
class _Measured:
    """Errors of one method in per cent: of each landmark, of each picture (raw, after offsets, of five points).

    Pictures without a face have infinite errors, so that they count in medians and failures; a method without
    landmarks has NaN for all. ``near`` is the share of coordinates within two deviations.
    """

    found: NDArray[np.bool_]
    landmarks: NDArray[np.float64]
    raw: NDArray[np.float64]
    offset: NDArray[np.float64]
    five: NDArray[np.float64]
    near: NDArray[np.float64]


def _measure(answers: _Answers, clean: _Answers, truth: NDArray[np.float64]) -> _Measured:
    """What the answers are worth; offsets come from the ``clean`` ones."""
    landmarks = point_errors(answers.points, truth)
    raw = mean_of_present(landmarks)
    offset = mean_of_present(point_errors(cross_fitted(answers.points, clean.points, truth), truth))
    five = np.linalg.norm(answers.five - five_points(truth), axis=-1).mean(axis=-1) * 100 / eye_distance(truth)
    misses = np.abs(answers.points - truth) / answers.sigma[..., None]
    near = mean_of_present(np.where(np.isnan(misses), np.nan, misses < 2).reshape(len(truth), -1))
    has_landmarks = not answers.found.any() or np.isfinite(raw).any()
    for errors in (raw, offset, five) if has_landmarks else (five,):
        errors[~answers.found] = np.inf
    return _Measured(answers.found, landmarks, raw, offset, five, near)


def _groups(faces: Sequence[AnnotatedFace], truth: NDArray[np.float64]) -> dict[str, NDArray[np.intp]]:
    """Numbers of the pictures of each split, then of each range of |yaw| over all splits; none is empty."""
    splits = np.array([face.split for face in faces])
    groups = {str(split): np.flatnonzero(splits == split) for split in dict.fromkeys(splits)}
    yaw = np.abs(yaw_of_landmarks(truth))
    for low, high in pairwise(_YAW_BINS):
        groups[f"|yaw| {low}–{high}°"] = np.flatnonzero((yaw >= low) & (yaw < high))
    return {name: inside for name, inside in groups.items() if len(inside)}


def _row(
    group: str, label: str, clean: _Measured, covered: _Measured | None, inside: NDArray[np.intp], parts: bool
) -> dict[str, Cell]:
    found = clean.found[inside]
    row: dict[str, Cell] = {"split": group, "method": label, "pictures": len(inside), "found": int(found.sum())}
    row |= _columns(clean, inside)
    row["five points %"] = _median(clean.five[inside])
    raw = clean.raw[inside]
    row["mean %"] = float(raw[found].mean()) if found.any() and not np.isnan(raw).any() else None
    if parts:
        for name, part in PARTS.items():
            row[f"{name} %"] = _median(mean_of_present(clean.landmarks[inside, part][found]))
    if covered is not None:
        row["occ. found"] = int(covered.found[inside].sum())
        row |= {f"occ. {name}": cell for name, cell in _columns(covered, inside).items()}
        row["occ. five points %"] = _median(covered.five[inside])
        row["occ. / clean"] = ratio(_median(covered.raw[inside]), _median(raw))
    return row


def _columns(measured: _Measured, inside: NDArray[np.intp]) -> dict[str, Cell]:
    raw = measured.raw[inside]
    known = raw[~np.isnan(raw)]
    return {
        "median %": _median(raw),
        "offset median %": _median(measured.offset[inside]),
        "failures %": 100 * float((known > _FAILURE_PERCENT).mean()) if len(known) else None,
        "inside 2 sigma %": _percent(mean_of_present(measured.near[inside])),
    }


def ratio(numerator: float | None, denominator: float | None) -> float | None:
    """Of two figures; None where one does not exist, is infinite, or the divisor is 0."""
    if numerator is None or denominator is None or not np.isfinite([numerator, denominator]).all() or not denominator:
        return None
    return numerator / denominator


def _median(values: NDArray[np.float64]) -> float | None:
    """Of what is not NaN, the infinite included; None where nothing is left."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else None


def _percent(share: NDArray[np.float64]) -> float | None:
    return None if np.isnan(share) else 100 * float(share)
