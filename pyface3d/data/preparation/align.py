"""Pictures cut out and scaled by five points: `pyface3d prepare align`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.crops import Points, alignment_points
from pyface3d.detect.landmark_files import read_landmark_rows, read_landmarks_of, write_landmarks
from pyface3d.errors import InputError, OutputError, Pyface3dError
from pyface3d.io.atomic import atomic_file
from pyface3d.io.images import read_image
from pyface3d.io.ledger import Ledger, refuse_overwriting
from pyface3d.io.pictures import encode_picture
from pyface3d.systems.inputs import Photo
from pyface3d.systems.occlusion_robust.alignment import FivePointAlignment

_ALIGNED_SUFFIXES = {".jpg", ".jpeg", ".png"}
Finder = Callable[[NDArray[np.uint8]], NDArray[np.float32] | None]
"""The 68 landmarks (68, 2) px of the face of a picture; None where there is none."""


@dataclass(frozen=True)
class Source:
    """One picture to align.

    Attributes:
        name: as it is listed, and in the lists that are written.
        path: the picture; or, with ``error``, whatever was given.
        points: 5 or 68 landmarks px; None to find them.
        error: why it cannot be aligned, or None.
    """

    name: str
    path: Path
    points: NDArray[np.float32] | None = None
    error: str | None = None


@dataclass(frozen=True)
class Aligned:
    """What became of one picture: done now, done by an earlier run, or why not."""

    source: Source
    error: str | None = None
    resumed: bool = False


def sources_of_meta(folder: Path, meta: Path) -> list[Source]:
    """The pictures of a meta file: one a line, ``filename xl yl xr yr xn yn xml yml xmr ymr`` in px of the picture.

    A line that cannot be used stands in the list with its error, so that a run reports it and goes on.

    Raises:
        InputError: the folder or the file does not exist, is no text, or holds no lines.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give the one with the pictures that {meta} lists")
    rows, problems = read_landmark_rows(meta)
    if not rows and not problems:
        raise InputError(f"{meta} lists no pictures; write one a line: filename and the x and y of five points")
    found = [Source(name, folder / name, points) for name, points in rows.items()]
    found += [Source(where, meta, error=problem) for where, problem in problems.items()]
    taken: dict[str, str] = {}
    for number, source in enumerate(found):
        if source.error is not None:
            continue
        if not source.path.is_file():
            found[number] = replace(source, error=f"{source.path}, which {meta} lists, does not exist")
            continue
        stem = source.path.stem.casefold()
        if stem in taken:
            error = f"{source.path} would be written over {taken[stem]}: file names must differ; rename one"
            found[number] = replace(source, error=error)
        taken.setdefault(stem, source.name)
    return found


def sources_of_photos(photos: Sequence[Photo], landmarks: Path | None = None) -> list[Source]:
    """Pictures with the landmarks that a folder has of them (``<stem>.npy``, ``.pts``, ``.txt``, ``.csv``); or without.

    Raises:
        InputError: the folder of landmarks does not exist.
    """
    if landmarks is not None and not landmarks.is_dir():
        raise InputError(f"{landmarks} is not a folder; give one with <stem>.npy or .pts of the pictures")
    found = []
    for photo in photos:
        source = Source(photo.path.name, photo.path, error=photo.error)
        if landmarks is not None and photo.error is None:
            try:
                source = replace(source, points=read_landmarks_of(photo.path, landmarks))
            except InputError as problem:
                source = replace(source, error=str(problem))
        found.append(source)
    taken: dict[str, Path] = {}
    for number, source in enumerate(found):
        first = taken.setdefault(source.path.stem.casefold(), source.path)
        if source.error is None and first is not source.path:
            error = f"{source.path} would be written over {first}: file names must differ; rename one"
            found[number] = replace(source, error=error)
    return found


def align_pictures(
    sources: Sequence[Source],
    out: Path,
    *,
    name: str = "aligned",
    find: Finder | None = None,
    landmarks_out: Path | None = None,
    prefix: str = "",
    suffix: str | None = None,
    border: int | None = 0,
    resume: bool = False,
) -> Iterator[Aligned]:
    """Write each picture's 224 px crop under its own name, and lists of what was done.

    Beside the crops: ``<name>_meta.txt`` (the five points that were used, in the meta file's own form),
    ``<name>_crops.csv`` (the affine map from picture to crop, px with the first one's middle at 0.5: six numbers, by
    rows), ``<name>_fail.txt`` (the pictures that could not be aligned, a path a line) and ``<name>_align.jsonl`` (what
    a resumed run needs).

    Args:
        sources: of `sources_of_meta` or `sources_of_photos`.
        out: folder of the crops.
        name: of the lists.
        find: finds the landmarks of pictures that have none.
        landmarks_out: folder for the landmarks of the crop, ``<stem>.npy``; needs 68 of each.
        prefix: before the name of every file that is written, such as "pred" for landmarks that nobody annotated.
        suffix: ".png" or ".jpg" of the crops; as the picture's when None (PNG where it is neither).
        border: value outside the picture; None repeats its edge.
        resume: leave out what an earlier run has done.

    Yields:
        What became of each picture, in order.

    Raises:
        InputError: of other settings than the run that is resumed.
        OutputError: a folder cannot be written to.
    """
    settings = {"step": "align", "prefix": prefix, "suffix": suffix, "border": border, "landmarks": bool(landmarks_out)}
    ledger = Ledger(out / f"{name}_align.jsonl", settings, resume)
    try:
        for source in sources:
            if _is_done(ledger, source, out):
                yield Aligned(source, resumed=True)
                continue
            error = source.error
            if error is None:
                try:
                    row = _align(source, out, find, landmarks_out, prefix, suffix, border)
                except OutputError:
                    raise
                except Pyface3dError as problem:
                    error = str(problem)
                else:
                    ledger.add(source.name, **row)
            if error is not None:
                ledger.add(source.name, path=str(source.path), error=error)
            yield Aligned(source, error)
    finally:
        ledger.close()
    _write_lists(ledger, {source.name for source in sources}, out, name)


def _is_done(ledger: Ledger, source: Source, out: Path) -> bool:
    row = ledger.rows.get(source.name)
    if row is None or "error" in row or not (out / row["written"]).is_file():
        return False
    used = row["five"] if source.points is None else _five(source.points).tolist()
    return bool(np.allclose(used, row["five"], atol=1e-3))


def _align(
    source: Source,
    out: Path,
    find: Finder | None,
    landmarks_out: Path | None,
    prefix: str,
    suffix: str | None,
    border: int | None,
) -> dict[str, object]:
    image = read_image(source.path)
    points = source.points
    if points is None:
        points = None if find is None else find(image)
        if points is None:
            raise InputError(f"{source.path}: no face was found")
    five = _five(points)
    try:
        crop = FivePointAlignment.of(five, image.shape[1], image.shape[0]).crop
    except InputError as error:
        raise InputError(f"{source.path}: {error}") from None
    if landmarks_out is not None and len(points) != 68:
        raise InputError(f"{source.path} has five points only; the landmarks of its crop need all 68")
    own = source.path.suffix.lower()
    stem = prefix + source.path.stem
    written = stem + (suffix or (source.path.suffix if own in _ALIGNED_SUFFIXES else ".png"))
    refuse_overwriting(out / written, source.path)
    content = encode_picture(crop.warp(image, border=border), written)
    with atomic_file(out / written) as stream:
        stream.write(content)
    if landmarks_out is not None:
        write_landmarks(landmarks_out / f"{stem}.npy", crop.to_crop(points))
    return {"path": str(source.path), "written": written, "five": five.tolist(), "crop": crop.matrix.ravel().tolist()}


def _five(points: Points) -> NDArray[np.float64]:
    return alignment_points(points) if len(points) == 68 else np.asarray(points, np.float64)


def _write_lists(ledger: Ledger, wanted: set[str], out: Path, name: str) -> None:
    rows = [row for row in ledger.rows.values() if row["file"] in wanted]
    done = [row for row in rows if "error" not in row]
    meta = [_meta_line(row["file"], np.array(row["five"])) for row in done]
    crops = ["name,written,xx,xy,x,yx,yy,y"]
    crops += [",".join([_quoted(row["file"]), _quoted(row["written"]), *map(repr, row["crop"])]) for row in done]
    failed = [row["path"] for row in rows if "error" in row]
    for ending, lines in (("meta.txt", meta), ("crops.csv", crops), ("fail.txt", failed)):
        with atomic_file(out / f"{name}_{ending}") as stream:
            stream.write("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))


def _meta_line(name: str, five: NDArray[np.float64]) -> str:
    """As `sources_of_meta` reads it; between commas where the name holds blanks."""
    separator = "," if any(letter.isspace() for letter in name) else " "
    return separator.join([name, *(f"{value:.4f}" for value in (five - 0.5).ravel())])


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(letter in text for letter in ',"\n\r') else text
