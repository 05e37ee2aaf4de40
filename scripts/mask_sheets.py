"""Sheets to look at what the part network sees, and what textures make of it.

    python scripts/mask_sheets.py masks PHOTO_OR_FOLDER… -o masks.png [--weights FILE] [--limit 40]
    python scripts/mask_sheets.py masks face_masks_celebahq/images -o worst.png --truth face_masks_celebahq --worst 20
    python scripts/mask_sheets.py textures PHOTO_OR_FOLDER… -o textures.png [--weights FILE] [--fit full]

``masks``: for each photo the face, its classes in colour with the visible face outlined, and the visible face alone;
with ``--truth`` (a folder as for ``pyface3d evaluate masks``) the true classes too, and under them F1 of the visible
face; ``--worst N`` keeps the N lowest. A strip at the bottom names the colours.

``textures``: for each photo the face, what is seen of it by the network, and the head turned by ∓25° textured with what
colours alone tell, then with what the network tells.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from tqdm import tqdm

from pyface3d.detect import Face, detect_faces, landmarks68
from pyface3d.detect.parts import FacePartPredictor, load_part_predictor, part_predictor, parts_crop
from pyface3d.errors import NoFaceError, Pyface3dError
from pyface3d.evaluate.annotated_faces import evenly, face_at
from pyface3d.evaluate.mask_scores import Confusion
from pyface3d.evaluate.masks import TRUTH_LABELS, VISIBLE, true_masks
from pyface3d.io.images import read_image, write_png
from pyface3d.io.label_maps import read_label_map, to_parts
from pyface3d.io.weights import read_weights
from pyface3d.part_labels import PART_COLOURS, VISIBLE_FACE, FacePart
from pyface3d.systems.fit import FITS, reconstruct
from pyface3d.systems.inputs import expand_inputs
from pyface3d.systems.segment import Segmentation

Picture = NDArray[np.uint8]
CAPTION, LEGEND = 18, 24  # px
TURN = math.radians(25)


@dataclass(frozen=True)
class Row:
    """Pictures of one photo side by side, what is written under them, and its F1 where the truth is known."""

    tiles: list[Picture]
    caption: str
    score: float = math.nan


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("masks", "textures"))
    parser.add_argument("photos", nargs="+", metavar="PHOTO_OR_FOLDER")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="of the part network; the shipped ones unless told")
    parser.add_argument("--limit", type=int, help="only so many photos, evenly spread")
    parser.add_argument("--size", type=int, default=192, help="side of a tile, px")
    parser.add_argument("--columns", type=int, default=3, help="photos side by side (masks)")
    parser.add_argument("--truth", type=Path, help="true masks, to compare with")
    parser.add_argument("--truth-labels", choices=TRUTH_LABELS, default="celebamask")
    parser.add_argument("--worst", type=int, metavar="N", help="with --truth: only the N with the lowest F1")
    parser.add_argument("--fit", choices=FITS, default="full", help="for textures")
    arguments = parser.parse_args()
    network = load_part_predictor() if arguments.weights is None else part_predictor(read_weights(arguments.weights))
    truth = {}
    if arguments.truth is not None:
        truth = {one.stem: one.path for one in true_masks(arguments.truth, arguments.truth_labels)}
    rows = []
    failed = 0
    photos = evenly(expand_inputs(arguments.photos), arguments.limit)
    for photo in tqdm(photos, unit="photo", disable=None, file=sys.stderr):
        try:
            if photo.error is not None:
                raise NoFaceError(photo.error)
            image = read_image(photo.path)
            if arguments.what == "textures":
                rows.append(texture_row(image, photo.stem, network, arguments.fit, arguments.size))
            else:
                path = truth.get(photo.path.stem)
                known = None if path is None else _true_labels(path, arguments.truth_labels)
                rows.append(mask_row(image, photo.stem, network, known, arguments.size))
        except Pyface3dError as error:
            failed += 1
            print(f"failed: {photo.path}: {error}", file=sys.stderr)
    if not rows:
        print("nothing to draw: no photo succeeded", file=sys.stderr)
        return 1
    if arguments.worst is not None:
        rows = sorted(rows, key=lambda one: one.score)[: arguments.worst]
    columns = arguments.columns if arguments.what == "masks" else 1
    write_png(arguments.out, sheet(rows, columns, legend=arguments.what == "masks"))
    scores = [one.score for one in rows if math.isfinite(one.score)]
    print(f"{len(rows)} photos" + (f", mean F1 {100 * np.mean(scores):.1f} %" if scores else "") + f": {arguments.out}")
    return 1 if failed else 0


def mask_row(image: Picture, name: str, network: FacePartPredictor, truth: Picture | None, size: int) -> Row:
    """Photo, classes, visible face and, where known, the true classes (as `FacePart` numbers)."""
    points, face = _found(image, truth)
    (said,) = network.predict(image, [points])
    parts = said.face_parts(*image.shape[:2])
    mine = Segmentation(face, points, parts)
    cut = np.where(mine.visible[..., None], image, np.uint8(255))
    pictures, caption, score = [image, mine.overlay(image), cut], name[:24], math.nan
    if truth is not None:
        pictures.append(Segmentation(face, points, truth).overlay(image))
        score = Confusion.of(mine.visible, np.isin(truth, VISIBLE_FACE)).f1
        caption = f"F1 {100 * score:.1f}  {caption}"
    crop = parts_crop(points, size)
    return Row([crop.warp(one, border=128) for one in pictures], caption, score)


def texture_row(image: Picture, name: str, network: FacePartPredictor, fit: str, size: int) -> Row:
    """Photo, what is seen of it, and two views each of the head without and with the network's mask."""
    points, _ = _found(image, None)
    (said,) = network.predict(image, [points])
    visible = said.visible_probability(*image.shape[:2])
    crop = parts_crop(points, size)
    tiles = [crop.warp(image, border=128), crop.warp(np.where(visible[..., None] > 0.5, image, image // 4), border=0)]
    for told in ({"occlusion": "colours"}, {"visible": visible}):
        (result,) = reconstruct(image, points, fit=fit, **told)
        tiles += [result.render(yaw=yaw, size=size) for yaw in (-TURN, TURN)]
    return Row(tiles, f"{name[:40]}: photo, seen, by colours -25 +25, by the network -25 +25")


def sheet(rows: list[Row], columns: int, *, legend: bool) -> Picture:
    """All rows, so many side by side."""
    drawn = []
    for row in rows:
        strip = Image.fromarray(np.concatenate(row.tiles, axis=1))
        canvas = Image.new("RGB", (strip.width, strip.height + CAPTION), "black")
        canvas.paste(strip, (0, 0))
        ImageDraw.Draw(canvas).text((3, strip.height + 3), row.caption, fill="white")
        drawn.append(canvas)
    width, height = max(one.width for one in drawn), drawn[0].height
    lines = math.ceil(len(drawn) / columns)
    page = Image.new("RGB", (columns * width, lines * height + legend * LEGEND), "black")
    for k, one in enumerate(drawn):
        page.paste(one, (k % columns * width, k // columns * height))
    if legend:
        draw, step = ImageDraw.Draw(page), page.width // len(FacePart)
        for part in FacePart:
            draw.rectangle((part * step, lines * height, (part + 1) * step, page.height), fill=PART_COLOURS[part])
            bright = sum(PART_COLOURS[part]) > 380
            draw.text((part * step + 3, lines * height + 6), part.name.lower(), fill="black" if bright else "white")
    return np.asarray(page)


def _found(image: Picture, truth: Picture | None) -> tuple[NDArray[np.float32], Face]:
    """Landmarks (68, 2) px of the best face, or of the one that the truth shows, and that face."""
    faces = detect_faces(image)
    face = faces[0] if faces else None
    if truth is not None:
        rows, columns = np.nonzero(np.isin(truth, VISIBLE_FACE))
        face = face_at(faces, np.column_stack([columns, rows]) + 0.5) if len(rows) else None
    if face is None:
        raise NoFaceError("no face was found")
    return landmarks68(image, face)[0], face


def _true_labels(path: Path, label_map: str) -> Picture:
    numbers = read_label_map(path)
    if label_map == VISIBLE:
        return np.where(numbers >= 128, FacePart.SKIN, FacePart.BACKGROUND).astype(np.uint8)
    return to_parts(numbers, label_map, str(path))


if __name__ == "__main__":
    sys.exit(main())
