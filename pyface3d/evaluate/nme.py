"""Tables of the normalised mean error, from arrays of predictions or on photos: `pyface3d evaluate nme`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyface3d.errors import InputError
from pyface3d.evaluate.annotated_faces import AnnotatedFace, evenly, read_annotated_faces
from pyface3d.evaluate.landmark_arrays import NUM_LANDMARKS, read_landmark_arrays
from pyface3d.evaluate.landmark_errors import yaw_of_landmarks
from pyface3d.evaluate.landmark_methods import Answer, MeanShape, Method, Setting, Sight, make_methods
from pyface3d.evaluate.landmarks import Progress, ratio
from pyface3d.evaluate.nme_protocol import Numbers, Protocol, figures, nme_percent, read_protocol
from pyface3d.evaluate.occluders import StandardOccluder
from pyface3d.evaluate.tables import Cell, Table
from pyface3d.io.images import read_image
from pyface3d.systems.inputs import PICTURE_SUFFIXES

MEAN, HIDDEN = "mean shape, true box", ", occluded"
_MIDDLE = 0.5  # of the first pixel, which the truths count as 0
_LIST = "landmarks.npz"


@dataclass(frozen=True)
class NmeResult:
    """A table, and the errors that it is about.

    Attributes:
        table: one row per truth, split and method.
        errors: per cent (N,), NaN where no face was found, by method; of the first truth.
        truth: the name of that truth.
    """

    table: Table
    errors: dict[str, Numbers]
    truth: str


def evaluate_nme(
    truth_dir: Path,
    predictions: Sequence[Path] = (),
    *,
    images: Path | None = None,
    methods: Sequence[str] | None = None,
    weights: Sequence[Path] = (),
    peer_weights: Path | None = None,
    regressor: Path | None = None,
    model: str = "bfm_front",
    occlude_seed: int | None = None,
    occluders: Path | None = None,
    subset: str | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> NmeResult:
    """Normalised mean error of arrays of predictions, of methods run on photos, and of the mean shape.

    Args:
        truth_dir: the truths of AFLW2000-3D (`nme_protocol.read_protocol`), or a folder of annotated pictures
            (`annotated_faces.read_annotated_faces`), whose yaw is then told from the landmarks.
        predictions: ``.npy``, ``.npz`` or ``.mat`` with landmarks of all pictures of the truth, in its order and
            pixels; every array that fits is a row.
        images: folder with the photos: all, in the order of their names, or those that its ``landmarks.npz`` lists
            (``names`` and ``index_in_2000``). Every row is then of these pictures.
        methods: keys of `landmark_methods.METHODS` to run on the photos; unless told "ours" and "ours-box".
        weights: files of our network's weights to measure instead of the shipped ones.
        peer_weights: folder with OpenSeeFace's ONNX file.
        regressor: weights of the occlusion-robust regressor or its baseline to measure too, aligned by the true five
            points and brought back by the published bookkeeping.
        model: face model that its coefficients are of.
        occlude_seed: run the methods also behind the standard occluder, drawn from this seed.
        occluders: folder of RGBA cut-outs for it; a textured ellipse without one.
        subset: of a folder of annotated pictures only this split.
        limit: only so many pictures, evenly spread over the list.
        progress: wraps the loop over photos, given their number (tqdm).

    Raises:
        InputError: a file cannot be read, does not fit the truth, or an argument cannot be used.
        AssetError: a file that a method needs is not installed.
    """
    protocol, photos = _truths(truth_dir, images, subset, limit)
    whole = protocol
    chosen = np.array(sorted(photos) if photos else evenly(range(len(whole)), limit))
    protocol = whole.part(chosen)
    answers = _arrays(predictions, len(whole), chosen)
    notes = _notes(whole, chosen, photos, answers)
    if photos:
        faces = [
            AnnotatedFace(photos[index], "", (points + _MIDDLE).astype(np.float32))
            for index, points in zip(chosen, next(iter(protocol.truths.values())))
        ]
        wanted = [name for name in methods or ("ours", "ours-box") if name != "mean"]
        made = make_methods(wanted, Setting(faces, tuple(weights), peer_weights)) if wanted else {}
        if regressor is not None:
            made |= _regression(regressor, model)
        occluder = None if occlude_seed is None else StandardOccluder(occlude_seed, occluders)
        answers |= _run(made, faces, occluder, progress)
        if occluder is not None:
            notes.append(occluder.description)
    elif methods or regressor is not None or occlude_seed is not None:
        raise InputError("methods, a regressor and the occluder need photos; name their folder with --images")
    rows, errors = _rows(protocol, answers)
    title = f"NME of 68 landmarks, {len(chosen)} pictures of {truth_dir.resolve().name}"
    return NmeResult(Table(title, rows, notes, decimals=3), errors, next(iter(protocol.truths)))


def _truths(
    truth_dir: Path, images: Path | None, subset: str | None, limit: int | None
) -> tuple[Protocol, dict[int, Path]]:
    """What is known, and the photos by their number in it."""
    if (truth_dir / "landmarks68.npz").is_file():
        if images is not None:
            raise InputError(f"{truth_dir} lists its own pictures in landmarks68.npz; leave out --images")
        faces = read_annotated_faces(truth_dir)
        if subset is not None:
            splits = {face.split for face in faces}
            faces = [face for face in faces if face.split == subset]
            if not faces:
                raise InputError(f"{truth_dir} has no split {subset!r}; it has {', '.join(sorted(splits))}")
        truth = np.stack([face.points for face in faces]).astype(np.float64) - _MIDDLE
        protocol = Protocol({"annotated": truth}, {"yaw of the landmarks": np.abs(yaw_of_landmarks(truth))})
        return protocol, {index: faces[index].path for index in evenly(range(len(faces)), limit)}
    if subset is not None:
        raise InputError(f"{truth_dir} has no landmarks68.npz, so it has no subset {subset!r}")
    protocol = read_protocol(truth_dir)
    photos = {} if images is None else _photos(images, len(protocol))
    kept = evenly(sorted(photos), limit) if photos else []
    return protocol, {index: photos[index] for index in kept}


def _photos(folder: Path, count: int) -> dict[int, Path]:
    """Pictures of a folder by their number among ``count``: all of them by name, or those of its list."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give the one with the photos of the truths")
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    listed = folder / _LIST
    if len(pictures) == count:
        return dict(enumerate(pictures))
    if not listed.is_file():
        raise InputError(
            f"{folder} has {len(pictures)} pictures but the truths are of {count}; give all of them, or those that a "
            f"{_LIST} in it lists by names and index_in_2000"
        )
    try:
        with np.load(listed, allow_pickle=False) as archive:
            names, numbers = archive["names"].astype(str).tolist(), archive["index_in_2000"].astype(int).tolist()
    except Exception as error:  # a damaged archive raises whatever zipfile or numpy stumble over
        raise InputError(f"cannot read {listed}: {error}; it must hold names (N,) and index_in_2000 (N,)") from error
    by_stem = {path.stem: path for path in pictures}
    found = {}
    for name, number in zip(names, numbers):
        if not 0 <= number < count or number in found:
            raise InputError(f"{listed}: index_in_2000 must be different numbers below {count}, got {number}")
        if Path(name).stem in by_stem:
            found[number] = by_stem[Path(name).stem]
    if not found:
        raise InputError(f"{folder} has none of the pictures that its {_LIST} lists")
    return found


def _arrays(paths: Sequence[Path], count: int, chosen: NDArray[np.intp]) -> dict[str, Numbers]:
    answers: dict[str, Numbers] = {}
    for path in paths:
        arrays = read_landmark_arrays(path, count)
        for name, points in arrays.items():
            label = path.stem if len(arrays) == 1 else f"{path.stem}:{name}"
            if label in answers:
                raise InputError(f"two rows would be called {label!r}; rename {path}, or give it once")
            answers[label] = points[chosen]
    return answers


def _run(
    methods: dict[str, Method],
    faces: Sequence[AnnotatedFace],
    occluder: StandardOccluder | None,
    progress: Progress | None,
) -> dict[str, Numbers]:
    """Answers of the methods on the photos, NaN where a face is not found, and behind the occluder."""
    labels = [*methods, *(label + HIDDEN for label in methods if occluder is not None)]
    answers = {label: np.full((len(faces), NUM_LANDMARKS, 2), np.nan) for label in labels}
    for index, face in enumerate(faces if progress is None else progress(faces, len(faces))):
        image = read_image(face.path)
        sights = {"": Sight(image, face)}
        if occluder is not None:
            sights[HIDDEN] = Sight(occluder.apply(image, face.points, face.path.name)[0], face)
        for ending, sight in sights.items():
            for label, method in methods.items():
                answer = method(sight)
                if answer is not None:
                    answers[label + ending][index] = answer.points - _MIDDLE
    return answers


def _regression(path: Path, model: str) -> dict[str, Method]:
    """The regressor as the published evaluation runs it."""
    from pyface3d.face_models import LinearFaceModel, load_face_model
    from pyface3d.systems.occlusion_robust import FaceDecoder
    from pyface3d.systems.occlusion_robust.regression import FaceRegression, load_regressor, protocol_points

    face_model = load_face_model(model)
    if not isinstance(face_model, LinearFaceModel):
        raise InputError(f"the regressor needs a linear face model, and {model!r} has joints")
    regression = FaceRegression(load_regressor(path), FaceDecoder(face_model))

    def look(sight: Sight, /) -> Answer:
        return Answer(regression.regress(sight.image, protocol_points(sight.truth.points)).published_landmarks)

    return {f"{path.stem}, true five points": look}


def _rows(protocol: Protocol, answers: dict[str, Numbers]) -> tuple[list[dict[str, Cell]], dict[str, Numbers]]:
    rows: list[dict[str, Cell]] = []
    errors: dict[str, Numbers] = {}
    for truth_name, truth in protocol.truths.items():
        shape = MeanShape(truth)
        measured = {label: nme_percent(points, truth) for label, points in answers.items()}
        for other, points in protocol.truths.items():
            if other != truth_name:
                measured[f"{other} truth"] = nme_percent(points, truth)
        measured[MEAN] = nme_percent(np.stack([shape.of(points) for points in truth]), truth)
        errors = errors or measured
        for split, yaw in protocol.splits.items():
            headline: dict[str, Cell] = {}
            for label, values in measured.items():
                row: dict[str, Cell] = {"truth": truth_name, "split": split, "method": label, **figures(values, yaw)}
                # With an empty range of yaw there is no headline, but there is a mean over the pictures.
                headline[label] = row["all pictures %"] if row["mean %"] is None else row["mean %"]
                clean = headline.get(label.removesuffix(HIDDEN)) if label.endswith(HIDDEN) else None
                if any(name.endswith(HIDDEN) for name in measured):
                    row["occ. / clean"] = ratio(_number(headline[label]), _number(clean))
                rows.append(row)
    return rows, errors


def _number(cell: Cell) -> float | None:
    return cell if isinstance(cell, float) else None


def _notes(
    whole: Protocol, chosen: NDArray[np.intp], photos: dict[int, Path], answers: dict[str, Numbers]
) -> list[str]:
    notes = [
        "distance over the square root of the area of the true landmarks' tight box; all 68, hidden ones too",
        "mean % and std: of the means of the three ranges of yaw; other stds over pictures; pictures without a "
        "prediction count as failures (above 10 %) and in no mean",
    ]
    if len(chosen) < len(whole):
        notes.append(f"{len(chosen)} of {len(whole)} pictures: not comparable with published figures")
    if answers:
        notes.append(f"{', '.join(answers)}: as the arrays say; how the faces were found and cut out is not known here")
    if photos and "original" in whole.truths:
        notes.append("true box: tight about the original truth's landmarks")
    return notes
