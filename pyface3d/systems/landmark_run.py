"""Landmarks of many photos as files and overlay pictures: `pyface3d prepare landmarks`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.faces import DETECTOR, detect_faces
from pyface3d.detect.landmark_files import write_landmark_list, write_landmarks
from pyface3d.detect.landmarks import PREDICTORS, landmarks68
from pyface3d.errors import InputError, OutputError, Pyface3dError
from pyface3d.io.atomic import atomic_file
from pyface3d.io.images import read_image, write_png
from pyface3d.io.ledger import Ledger
from pyface3d.systems.inputs import Photo

BACKENDS = (*PREDICTORS, "tddfa")
FORMATS = ("npy", "pts", "csv")
LIST_NAME = "landmarks.csv"

Image = NDArray[np.uint8]
Backend = Callable[[Image], Iterator[NDArray[np.float32]]]
"""The 68 landmarks (68, 2) px of every face of a picture, best first."""

_LONGEST = 1280  # px of an overlay
_LINES = ((0, 17), (17, 22), (22, 27), (27, 31), (31, 36), (36, 42), (42, 48), (48, 60), (60, 68))
_CLOSED = (36, 42, 48, 60)  # eyes and lips
_COLOUR = (0, 230, 255)


@dataclass(frozen=True)
class Written:
    """What became of one photo: how many faces were written, now or by an earlier run, or why none."""

    photo: Photo
    faces: int
    error: str | None = None
    resumed: bool = False


def landmark_backend(name: str, *, detector: str = DETECTOR, tddfa: Path | None = None, device: str = "cpu") -> Backend:
    """A way from a picture to its landmarks.

    Args:
        name: of `BACKENDS`.
        detector: see `detect_faces`; 3DDFA_V2 uses its own where its folder has it.
        tddfa: folder with the published files of 3DDFA_V2 (`detect.tddfa.read_tddfa`).
        device: torch device of our networks.

    Raises:
        InputError: no such backend, or ``tddfa`` is not given for it.
        AssetError: a file is missing or is not the published one.
    """
    if name not in BACKENDS:
        raise InputError(f"backend must be one of {', '.join(BACKENDS)}, got {name!r}")
    if name == "tddfa":
        if tddfa is None:
            raise InputError(
                "the backend tddfa needs --tddfa FOLDER with mb1_120x120.pth or mb05_120x120.pth, "
                "param_mean_std_62d_120x120.pkl and bfm_noneck_v3.pkl of 3DDFA_V2"
            )
        return _tddfa(tddfa, detector)

    def find(image: Image) -> Iterator[NDArray[np.float32]]:
        for face in detect_faces(image, detector, device=device):
            yield landmarks68(image, face, name)[0]

    return find


def _tddfa(folder: Path, detector: str) -> Backend:
    from pyface3d.detect.tddfa import read_tddfa

    system = read_tddfa(folder)
    detect = system.detect if system.has_detector else partial(detect_faces, detector=detector)

    def find(image: Image) -> Iterator[NDArray[np.float32]]:
        for face in detect(image):
            yield system.landmarks(image, face)

    return find


def write_photo_landmarks(
    photos: Sequence[Photo],
    out: Path,
    backend: Backend,
    *,
    formats: Sequence[str] = ("npy",),
    overlay: bool = True,
    max_faces: int = 1,
    settings: Mapping[str, object] | None = None,
    resume: bool = False,
) -> Iterator[Written]:
    """Write the landmarks of each photo to ``out``: ``<stem>.npy``, ``<stem>.pts``, ``<stem>_landmarks.png``; a second
    face's have ``_face2`` after the stem. ``csv`` writes one ``landmarks.csv`` of all photos' best faces at the end,
    where ``landmarks_fail.txt`` lists the photos without any; ``landmarks.jsonl`` is what a resumed run needs.

    Args:
        photos: what to look at.
        out: folder.
        backend: finds the landmarks.
        formats: of `FORMATS`.
        overlay: draw them too.
        max_faces: of a photo.
        settings: plain values that say what ``backend`` is; a resumed run must have the same.
        resume: leave out what an earlier run has done.

    Yields:
        What became of each photo, in order.

    Raises:
        InputError: an unknown format, or of other settings than the run that is resumed.
        OutputError: ``out`` cannot be written to.
    """
    strangers = [name for name in formats if name not in FORMATS]
    if strangers or not formats:
        raise InputError(f"formats must be of {', '.join(FORMATS)}, got {', '.join(strangers) or 'none'}")
    given = {"step": "landmarks", "formats": sorted(formats), "overlay": overlay, "max_faces": max_faces}
    ledger = Ledger(out / "landmarks.jsonl", {**given, **(settings or {})}, resume)
    try:
        for photo in photos:
            row = ledger.rows.get(photo.stem)
            if row is not None and "error" not in row and _files_are_there(out, photo.stem, row["faces"], formats):
                yield Written(photo, row["faces"], resumed=True)
                continue
            done = photo.error
            faces: list[NDArray[np.float32]] = []
            if done is None:
                try:
                    faces = _write_photo(photo, out, backend, formats, overlay, max_faces)
                except OutputError:
                    raise
                except Pyface3dError as error:
                    done = str(error)
                else:
                    done = None if faces else "no face was found"
            if done is None:
                ledger.add(photo.stem, name=photo.path.name, faces=len(faces), best=faces[0].tolist())
            else:
                ledger.add(photo.stem, path=str(photo.path), error=done)
            yield Written(photo, len(faces), done)
    finally:
        ledger.close()
    rows = [ledger.rows[photo.stem] for photo in photos]
    with atomic_file(out / "landmarks_fail.txt") as stream:
        failed = "".join(f"{row['path']}\n" for row in rows if "error" in row)
        stream.write(failed.encode("utf-8", "surrogateescape"))
    if "csv" in formats:
        best = {row["name"]: np.array(row["best"]) for row in rows if "error" not in row}
        write_landmark_list(out / LIST_NAME, best)


def _write_photo(
    photo: Photo, out: Path, backend: Backend, formats: Sequence[str], overlay: bool, max_faces: int
) -> list[NDArray[np.float32]]:
    """The faces of a photo, after writing their files."""
    image = read_image(photo.path)
    faces = [points for points, _ in zip(backend(image), range(max_faces))]
    for number, points in enumerate(faces, 1):
        for ending in formats:
            if ending != "csv":
                write_landmarks(out / f"{_face_stem(photo.stem, number)}.{ending}", points)
    if faces and overlay:
        write_png(out / f"{photo.stem}_landmarks.png", drawn_landmarks(image, faces))
    return faces


def _face_stem(stem: str, number: int) -> str:
    return stem if number == 1 else f"{stem}_face{number}"


def _files_are_there(out: Path, stem: str, faces: int, formats: Sequence[str]) -> bool:
    names = [_face_stem(stem, number) for number in range(1, faces + 1)]
    return all((out / f"{name}.{ending}").is_file() for name in names for ending in formats if ending != "csv")


def drawn_landmarks(image: Image, faces: Sequence[NDArray[np.floating]]) -> Image:
    """The picture, at most 1280 px long, with the landmarks of each face (68, 2) px drawn in."""
    scale = min(1.0, _LONGEST / max(image.shape[:2]))
    if scale < 1:
        size = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
        canvas = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    else:
        canvas = image.copy()
    for points in faces:
        # OpenCV counts the middle of the first pixel as 0; four more bits for fractions of pixels.
        spots = np.round((np.asarray(points, np.float64) * scale - 0.5) * 16).astype(np.int32)
        width = max(1, round(float(np.ptp(points[:, 0])) * scale / 250))
        for start, stop in _LINES:
            cv2.polylines(canvas, [spots[start:stop]], start in _CLOSED, _COLOUR, width, cv2.LINE_AA, shift=4)
        for x, y in spots.tolist():
            cv2.circle(canvas, (x, y), 16 * width, (255, 255, 255), -1, cv2.LINE_AA, shift=4)
    return canvas
