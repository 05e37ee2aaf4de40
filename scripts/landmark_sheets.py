"""Sheets to look at what the landmark network does on photos.

    python scripts/landmark_sheets.py worst DATA_DIR -o worst.png [--worst 50] [--weights FILE] [--occlude SEED]
    python scripts/landmark_sheets.py photos PHOTO_OR_FOLDER… -o photos.png [--weights FILE] [--fit full]

``worst``: of annotated pictures (as for ``pyface3d evaluate landmarks``) those with the largest errors. Green: truth.
Cyan: predicted and called visible; orange: called hidden; white lines: misses; circles: one standard deviation. Under
each picture its name, its error in per cent of the outer eye corners' distance, and the face score.

``photos``: a row per photo: photo, 68 landmarks, dense points coloured by their deviation (blue sure, red not: a tenth
of the eyes' distance or more), fitted mesh over the photo, clay from the front and from the side.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from tqdm import tqdm

from pyface3d.detect import Face, detect_faces, face_from_landmarks
from pyface3d.detect.face_points import FacePointPredictor, FacePrediction, load_face_points
from pyface3d.errors import Pyface3dError
from pyface3d.evaluate.annotated_faces import AnnotatedFace, evenly, face_at, read_annotated_faces
from pyface3d.evaluate.landmark_errors import eye_distance, landmark_error
from pyface3d.evaluate.landmark_methods import predictor_of
from pyface3d.evaluate.occluders import StandardOccluder
from pyface3d.io.images import read_image, write_png
from pyface3d.systems.fit import FITS, reconstruct
from pyface3d.systems.inputs import expand_inputs

Picture = NDArray[np.uint8]
TRUTH, SEEN, HIDDEN, MISS = (60, 230, 60), (0, 230, 255), (255, 140, 0), (255, 255, 255)
CAPTION = 26  # pixels of text under a picture
MARGIN = 1.3  # side of a tile over the larger side of what it must show
UNSURE = 0.1  # deviation over the eyes' distance at which a point is drawn in full red
SIDE = math.radians(45)


@dataclass(frozen=True)
class Tile:
    """A square cut out of a picture, with points of the picture drawn into it enlarged."""

    canvas: Image.Image
    corner: NDArray[np.float64]
    scale: float

    @staticmethod
    def about(image: Picture, points: NDArray[np.floating[Any]], size: int, caption: int = CAPTION) -> Tile:
        """The square about ``points`` (N, 2) px."""
        low, high = points.min(axis=0), points.max(axis=0)
        side = MARGIN * float(max(*(high - low), 8.0))
        corner = (low + high - side) / 2
        box = (*corner.tolist(), *(corner + side).tolist())
        cut = Image.fromarray(image).transform((size, size), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR)
        canvas = Image.new("RGB", (size, size + caption), "black")
        canvas.paste(cut, (0, 0))
        return Tile(canvas, corner, size / side)

    def dots(self, points: NDArray[np.floating[Any]], colors: list[tuple[int, int, int]], radius: float) -> None:
        draw = ImageDraw.Draw(self.canvas)
        for (x, y), color in zip((points - self.corner) * self.scale, colors):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)

    def lines(self, ends: NDArray[np.floating[Any]], others: NDArray[np.floating[Any]]) -> None:
        draw = ImageDraw.Draw(self.canvas)
        for one, other in zip((ends - self.corner) * self.scale, (others - self.corner) * self.scale):
            draw.line((*one.tolist(), *other.tolist()), fill=MISS)

    def circles(
        self, points: NDArray[np.floating[Any]], radii: NDArray[Any], colors: list[tuple[int, int, int]]
    ) -> None:
        draw = ImageDraw.Draw(self.canvas)
        for (x, y), r, color in zip((points - self.corner) * self.scale, radii * self.scale, colors):
            draw.ellipse((x - r, y - r, x + r, y + r), outline=color)

    def text(self, lines: str) -> Picture:
        size = self.canvas.size[0]
        draw = ImageDraw.Draw(self.canvas)
        draw.rectangle((0, size, size, self.canvas.size[1]), fill="black")
        draw.multiline_text((3, size + 1), lines, fill="white", font_size=10, spacing=1)
        return np.asarray(self.canvas)


def colors_of(found: FacePrediction) -> list[tuple[int, int, int]]:
    """Cyan for the landmarks that are called visible, orange for the others."""
    return [SEEN if share > 0.5 else HIDDEN for share in found.visible[:68]]


def sigma_colors(found: FacePrediction) -> list[tuple[int, int, int]]:
    """Blue over green to red by the deviation of each dense point."""
    unsure = np.clip(found.sigma[68:] / (UNSURE * float(eye_distance(found.points[:68]))), 0, 1)
    return [(round(255 * s), round(255 * (1 - abs(2 * s - 1))), round(255 * (1 - s))) for s in unsure]


def worst_sheet(options: argparse.Namespace) -> list[Picture]:
    """Rows of the annotated pictures with the largest errors."""
    predictor = _predictor(options.weights)
    occluder = None if options.occlude is None else StandardOccluder(options.occlude, options.occluders)
    measured: list[tuple[float, AnnotatedFace, Face | None]] = []
    for face in tqdm(evenly(read_annotated_faces(options.data), options.limit), disable=None):
        found = face_at(detect_faces(_photo(face, occluder)), face.points)
        error = math.inf
        if found is not None:
            error = landmark_error(predictor.predict(_photo(face, occluder), [found])[0].points[:68], face.points)
        measured.append((error, face, found))
    measured.sort(key=lambda one: -one[0])
    print(f"median {np.median([one[0] for one in measured]):.2f} %")
    tiles = []
    for error, face, found in measured[: options.worst]:
        image = _photo(face, occluder)
        # Where no face was found the true box shows what the network would have said.
        result = predictor.predict(image, [found or face_from_landmarks(face.points)])[0]
        tile = Tile.about(image, face.points, options.size)
        faint = [(r // 2, g // 2, b // 2) for r, g, b in colors_of(result)]
        tile.circles(result.points[:68], result.sigma[:68], faint)
        tile.lines(face.points, result.points[:68])
        tile.dots(face.points, [TRUTH] * 68, 1.6)
        tile.dots(result.points[:68], colors_of(result), 1.6)
        says = f"{error:.1f} %" if found is not None else "no face found"
        tiles.append(tile.text(f"{face.path.stem}\n{says}, score {result.score:.2f}"))
        print(f"{face.path.name}: {says}")
    return _rows(tiles, options.columns)


def photo_sheet(options: argparse.Namespace) -> list[Picture]:
    """A row per photo without annotation."""
    predictor = _predictor(options.weights)
    rows = []
    for photo in tqdm(list(expand_inputs(options.inputs))[: options.limit], disable=None):
        try:
            image = read_image(photo.path)
            rows.append(_photo_row(image, photo.path.stem, predictor, options))
        except Pyface3dError as error:
            canvas = Image.new("RGB", (6 * options.size, options.size + CAPTION), "white")
            ImageDraw.Draw(canvas).text((8, options.size // 2), f"{photo.path.name}: {error}", fill="black")
            rows.append(np.asarray(canvas))
            print(f"{photo.path.name}: {error}")
    return rows


def _photo_row(image: Picture, name: str, predictor: FacePointPredictor, options: argparse.Namespace) -> Picture:
    faces = detect_faces(image)
    found = predictor.predict(image, faces[:1] or [_middle(image)])[0]
    marks, size = found.points[:68], found.crop.width
    about = found.crop.to_image(np.array([[0, 0], [size, 0], [0, size], [size, size]]) * 0.8 + 0.1 * size)
    plain, marked, dense = (Tile.about(image, about, options.size) for _ in range(3))
    marked.circles(marks, found.sigma[:68], colors_of(found))
    marked.dots(marks, colors_of(found), 1.6)
    dense.dots(found.points[68:], sigma_colors(found), 1.8)
    seen = 100 * float((found.visible > 0.5).mean())
    cells = [
        plain.text(name[:40] if faces else f"{name[:28]}: no face found"),
        marked.text(f"score {found.score:.2f}, {seen:.0f} % of the points visible"),
        dense.text(f"sigma {100 * float(np.median(found.sigma) / eye_distance(marks)):.1f} % of the eyes' distance"),
    ]
    result = reconstruct(image, fit=options.fit, max_faces=1)[0]
    overlay = result.overlay(image)
    scale = overlay.shape[1] / image.shape[1]
    cells.append(Tile.about(overlay, about * scale, options.size).text(f"fit {options.fit}"))
    for yaw in (0.0, SIDE):
        clay = result.render(yaw=yaw, size=options.size, textured=False)
        cells.append(np.pad(clay, ((0, CAPTION), (0, 0), (0, 0))))
    return np.concatenate(cells, axis=1)


def _middle(image: Picture) -> Face:
    """A box in the middle, where the detector finds nothing."""
    height, width = image.shape[:2]
    box = width / 4, height / 4, 3 * width / 4, 3 * height / 4
    return Face(box, 0.0, np.full((5, 2), np.nan, np.float32), "mtcnn")


def _photo(face: AnnotatedFace, occluder: StandardOccluder | None) -> Picture:
    image = read_image(face.path)
    return image if occluder is None else occluder.apply(image, face.points, face.path.name)[0]


def _predictor(weights: Path | None) -> FacePointPredictor:
    return load_face_points() if weights is None else predictor_of(weights)


def _rows(tiles: list[Picture], columns: int) -> list[Picture]:
    blank = np.zeros_like(tiles[0])
    padded = tiles + [blank] * (-len(tiles) % columns)
    return [np.concatenate(padded[i : i + columns], axis=1) for i in range(0, len(padded), columns)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    worst, photos = kinds.add_parser("worst"), kinds.add_parser("photos")
    for each in (worst, photos):
        each.add_argument("-o", "--output", type=Path, required=True)
        each.add_argument("--weights", type=Path, help="weights of the network; the shipped ones when left out")
        each.add_argument("--limit", type=int, help="only so many pictures")
        each.add_argument("--size", type=int, default=240, help="side of one picture on the sheet, px")
    worst.add_argument("data", type=Path)
    worst.add_argument("--worst", type=int, default=50)
    worst.add_argument("--columns", type=int, default=10)
    worst.add_argument("--occlude", type=int, help="behind the standard occluder of this seed")
    worst.add_argument("--occluders", type=Path, help="its cut-outs")
    photos.add_argument("inputs", nargs="+")
    photos.add_argument("--fit", choices=FITS, default="full")
    options = parser.parse_args()
    try:
        rows = worst_sheet(options) if options.kind == "worst" else photo_sheet(options)
    except Pyface3dError as error:
        raise SystemExit(str(error)) from error
    write_png(options.output, np.concatenate(rows))
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
