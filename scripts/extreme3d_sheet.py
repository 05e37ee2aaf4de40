"""All stages of Extreme 3D Faces of many photos on one sheet, beside the default fit, to look at.

    python scripts/extreme3d_sheet.py PHOTO_OR_FOLDER… -o sheet.png [--bump net] [--relief-weights FILE] [--limit 14]

A row per photo, of its best face: crop, completed head over it, foundation, withBump, sparseFull, final from two
sides, where the final face comes from (green seen, blue mirrored, orange recovered, grey the model's), the completed
head with texture; then the default fit with the same relief as clay from the same two sides, and with texture.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from pyface3d.detect.relief import relief_predictor
from pyface3d.errors import Pyface3dError
from pyface3d.io.images import read_image, write_png
from pyface3d.io.weights import read_weights
from pyface3d.reconstruction import Reconstruction
from pyface3d.systems.extreme3d.output import clay_picture, source_picture
from pyface3d.systems.extreme3d.photo import Extreme3dFace, reconstruct_photo
from pyface3d.systems.extreme3d.recovery import load_references
from pyface3d.systems.fit import FITS, reconstruct
from pyface3d.systems.inputs import expand_inputs
from pyface3d.systems.relief import BUMPS, ReliefSource, relief_source, with_relief

TILE = 320  # px
SIDE, TURN = math.radians(35), math.radians(25)

Picture = NDArray[np.uint8]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", metavar="PHOTO_OR_FOLDER")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--bump", choices=BUMPS, default="net")
    parser.add_argument("--relief-weights", type=Path, help="of the relief network; default: the shipped ones")
    parser.add_argument("--weights", type=Path, help="folder with the published networks, for --bump original")
    parser.add_argument("--stitch", action="store_true", help="final as one surface")
    parser.add_argument("--fit", choices=FITS, default="full")
    parser.add_argument("--limit", type=int, default=14, help="photos")
    args = parser.parse_args()
    rows: list[Picture] = []
    spent: dict[str, list[float]] = {}
    try:
        source: ReliefSource | None
        if args.relief_weights is not None:
            source = relief_predictor(read_weights(args.relief_weights))
        else:
            source = relief_source(args.bump, args.weights)
        references = load_references()
        photos = [photo for photo in expand_inputs(args.photos) if photo.error is None][: args.limit]
    except Pyface3dError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for photo in tqdm(photos, unit="photo", disable=None):
        try:
            image = read_image(photo.path)
            how = {
                "bump": args.bump,
                "source": source,
                "fit": args.fit,
                "references": references,
                "stitch": args.stitch,
            }
            face = reconstruct_photo(image, max_faces=1, **how)[0]
            plain = reconstruct(image, face.landmarks, fit=args.fit)[0]
            plain = plain if source is None else with_relief(plain, image, source)
        except Pyface3dError as error:
            print(f"{photo.path.name}: {error}", file=sys.stderr)
            continue
        rows.append(np.concatenate([_resized(tile) for tile in tiles(face, plain, image)], axis=1))
        counts = face.result.stages.record()["counts"]
        told = {name: face.recovery[name] for name in ("state", "occluded_share")}
        print(f"{photo.path.name}: {told}, {counts}", flush=True)
        for name, seconds in face.timings.items():
            spent.setdefault(name, []).append(seconds)
    if not rows:
        print("error: no face was found in any photo", file=sys.stderr)
        return 1
    write_png(args.out, np.concatenate(rows))
    print(", ".join(f"{name} {1000 * statistics.median(seconds):.0f} ms" for name, seconds in spent.items()))
    print(f"{args.out}: {len(rows)} of {len(photos)} photos")
    return 0 if len(rows) == len(photos) else 1


def tiles(face: Extreme3dFace, plain: Reconstruction, image: Picture) -> Iterator[Picture]:
    """The pictures of one row."""
    stages, head = face.result.stages, face.head
    assert head is not None
    yield face.picture
    corner, side = -face.crop.matrix[:, 2] / face.crop.matrix[0, 0], 500 / face.crop.matrix[0, 0]
    over = head.overlay(image)
    scale = over.shape[1] / image.shape[1]
    box = (*(scale * corner), *(scale * (corner + side)))
    yield np.asarray(Image.fromarray(over).transform((TILE, TILE), Image.Transform.EXTENT, box))
    for stage in ("foundation", "withBump", "sparseFull", "final"):
        yield _cut(clay_picture(stages.mesh(stage), size=2 * TILE))
    final = stages.mesh("final")
    yield _cut(clay_picture(final, SIDE if stages.foundation.turn() < 0 else -SIDE, 2 * TILE))
    yield _cut(source_picture(final, size=2 * TILE))
    turn = TURN if stages.foundation.turn() < 0 else -TURN
    yield _cut(head.render(yaw=turn, size=2 * TILE))
    bare = replace(plain, texture=None)
    yield _cut(bare.render(size=2 * TILE))
    yield _cut(bare.render(yaw=SIDE if turn > 0 else -SIDE, size=2 * TILE))
    yield _cut(plain.render(yaw=turn, size=2 * TILE))


def _cut(picture: Picture) -> Picture:
    """The face in the middle of a picture of a whole head."""
    edge = TILE // 3
    return np.ascontiguousarray(picture[edge : 2 * TILE - edge, edge : 2 * TILE - edge])


def _resized(picture: Picture) -> Picture:
    return np.asarray(Image.fromarray(picture).resize((TILE, TILE), Image.Resampling.BILINEAR))


if __name__ == "__main__":
    raise SystemExit(main())
