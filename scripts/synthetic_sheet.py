"""A page of synthetic faces to look at: as they are, and with their labels drawn in.

    python scripts/synthetic_sheet.py -o page.png [--assets FILE] [--count 100] [--size 128] [--maps] [--parts]

Written are ``page.png`` (the pictures), ``page_labels.png`` (68 points: green visible, red hidden; dense points: blue
visible, dark red hidden; crops without a face framed in red) and with ``--maps`` ``page_maps.png`` (a row per sample:
picture, parts, occluder, depth, normals, relief, albedo, light; every sample is then a person of its own, as these maps
are known of no later picture). With ``--parts`` the samples are framed for the part network, and ``page_parts.png``
shows each above its label map in the colours of `pyface3d.part_labels`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from pyface3d.data.synthetic import views
from pyface3d.data.synthetic.engine import FaceBatch, SyntheticFaces
from pyface3d.errors import Pyface3dError
from pyface3d.io.color import linear_to_srgb
from pyface3d.io.images import write_png
from pyface3d.part_labels import PART_COLOURS, FacePart

BATCH = 20
MAPS = ("parts", "occluder", "depth", "normals", "relief", "albedo", "light")
MAP_ROWS = 12
Picture = NDArray[np.uint8]


def pictures(batch: FaceBatch) -> Picture:
    """(B, S, S, 3)."""
    return batch.image.permute(0, 2, 3, 1).cpu().numpy()


def labelled(batch: FaceBatch, zoom: int) -> list[Picture]:
    """Pictures enlarged, with the points drawn in."""
    drawn = []
    for k, picture in enumerate(pictures(batch)):
        size = picture.shape[0] * zoom
        canvas = Image.fromarray(picture).resize((size, size), Image.Resampling.BILINEAR)
        draw = ImageDraw.Draw(canvas)
        if not batch.is_face[k]:
            draw.rectangle((0, 0, size - 1, size - 1), outline=(255, 0, 0), width=3)
        else:
            _dots(draw, batch.dense[k], batch.visible_dense[k], zoom, ((70, 130, 255), (120, 0, 0)), 0.8)
            _dots(draw, batch.points68[k], batch.visible68[k], zoom, ((60, 240, 60), (255, 50, 50)), 1.7)
        drawn.append(np.asarray(canvas))
    return drawn


def _dots(
    draw: ImageDraw.ImageDraw,
    points: Tensor,
    visible: Tensor,
    zoom: int,
    colors: tuple[tuple[int, int, int], tuple[int, int, int]],
    radius: float,
) -> None:
    for (x, y), seen in zip((points * zoom).tolist(), visible.tolist()):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colors[0 if seen else 1])


def map_picture(name: str, values: Tensor) -> Picture:
    """A map (S, S) or (S, S, 3) of one sample as (S, S, 3) uint8."""
    if name in ("albedo", "light"):
        shown = linear_to_srgb(values.float().clamp(0, 1))
    elif name == "normals":
        shown = values.float() / 2 + 0.5
    elif name == "parts":
        colors = torch.from_numpy(np.random.default_rng(0).uniform(0.2, 1, (256, 3))).float()
        colors[0] = 0
        shown = colors[values.long().clamp(0, 255)]
    elif values.dtype == torch.bool:
        shown = values[..., None].expand(-1, -1, 3).float()
    else:
        values = values.float()
        there = values[values.isfinite() & (values != 0)]
        low, high = (there.min(), there.max()) if len(there) else (values.new_tensor(0.0), values.new_tensor(1.0))
        shown = ((values - low) / (high - low).clamp_min(1e-6)).nan_to_num().clamp(0, 1)[..., None].expand(-1, -1, 3)
    return (255 * shown.clamp(0, 1)).round().to(torch.uint8).cpu().numpy()


def with_parts(batch: FaceBatch) -> list[Picture]:
    """Each picture above itself under its label map."""
    image = pictures(batch)
    classes = np.array([PART_COLOURS[part] for part in FacePart], np.uint8)[batch.maps["segments"].cpu().numpy()]
    return list(np.concatenate([image, (0.6 * classes + 0.4 * image).astype(np.uint8)], axis=1))


def page(tiles: list[Picture], columns: int) -> Picture:
    """Tiles of one size in rows."""
    padded = tiles + [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    return np.concatenate(
        [np.concatenate(padded[i : i + columns], axis=1) for i in range(0, len(padded), columns)], axis=0
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--assets", type=Path, help="packed assets; the embedded head and rules when left out")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--start", type=int, default=0, help="number of the first sample")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--columns", type=int, default=10)
    parser.add_argument("--maps", action="store_true")
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--hard", type=float, default=0.0, help="share of hard cases, see SyntheticFaces")
    options = parser.parse_args()
    plain: list[Picture] = []
    marked: list[Picture] = []
    rows: list[Picture] = []
    parts: list[Picture] = []
    began = time.perf_counter()
    try:
        framing = views.PARTS if options.parts else views.FACE
        shots = {"shots": 1} if options.maps else {}
        engine = SyntheticFaces(
            options.assets, size=options.size, seed=options.seed, framing=framing, hard=options.hard, **shots
        )
        for start in range(options.start, options.start + options.count, BATCH):
            count = min(BATCH, options.start + options.count - start)
            mapped = options.maps and len(rows) < MAP_ROWS
            names = (*(MAPS if mapped else ()), *(("segments",) if options.parts else ()))
            batch = engine.batch(start, count, names)
            plain.extend(pictures(batch))
            marked.extend(labelled(batch, 2))
            if options.parts:
                parts.extend(with_parts(batch))
            for k in range(count if mapped else 0):
                shown = [map_picture(name, batch.maps[name][k]) for name in MAPS if name in batch.maps]
                rows.append(np.concatenate([pictures(batch)[k], *shown], axis=1))
    except Pyface3dError as error:
        raise SystemExit(str(error)) from error
    print(f"{options.count} samples, {(time.perf_counter() - began) / options.count:.3f} s each")
    stem = options.output.with_suffix("")
    write_png(options.output, page(plain, options.columns))
    write_png(Path(f"{stem}_labels.png"), page(marked, options.columns))
    if parts:
        write_png(Path(f"{stem}_parts.png"), page(parts, options.columns))
    if rows:
        write_png(Path(f"{stem}_maps.png"), np.concatenate(rows[:MAP_ROWS]))


if __name__ == "__main__":
    main()
