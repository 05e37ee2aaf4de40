"""Photos with the relief that is found in them, to look at.

    python scripts/relief_sheet.py PHOTO_OR_FOLDER… -o sheet.png [--bump net,sfs] [--weights FILE] [--limit 14]
                                   [--fit landmarks]

A row per photo: the square that is looked at, the fitted head as clay without relief, and for each way of finding
relief its answer as clay over a plane, the head with it, and that turned by 30°.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from pyface3d.detect.relief import relief_crop, relief_predictor
from pyface3d.errors import InputError, NoFaceError, Pyface3dError
from pyface3d.io.images import read_image, write_png
from pyface3d.io.weights import read_weights
from pyface3d.reconstruction import Reconstruction
from pyface3d.systems.fit import FITS, reconstruct
from pyface3d.systems.inputs import expand_inputs
from pyface3d.systems.relief import ReliefSource, posed_head, relief_source, with_relief
from pyface3d.train.pictures import clay

TILE = 300  # px
TURN = math.radians(30)

Picture = NDArray[np.uint8]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", metavar="PHOTO_OR_FOLDER")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--bump", default="net", help="ways of finding relief, between commas: net, sfs")
    parser.add_argument("--weights", type=Path, help="of the relief network; default: the shipped ones")
    parser.add_argument("--limit", type=int, default=14, help="photos")
    parser.add_argument("--fit", choices=FITS, default="landmarks")
    args = parser.parse_args()
    try:
        sources = [source(name, args.weights) for name in args.bump.split(",")]
        photos = [photo for photo in expand_inputs(args.photos) if photo.error is None][: args.limit]
        rows = [row(photo.path, sources, args.fit) for photo in tqdm(photos, unit="photo", disable=None)]
    except Pyface3dError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    drawn = [one for one in rows if one is not None]
    if not drawn:
        print("error: no face was found in any photo", file=sys.stderr)
        return 1
    write_png(args.out, np.concatenate(drawn))
    print(f"{args.out}: {len(drawn)} of {len(rows)} photos")
    return 0 if len(drawn) == len(rows) else 1


def source(name: str, weights: Path | None) -> ReliefSource:
    """A way of finding relief.

    Raises:
        InputError, AssetError: there is none of this name, or its weights are missing or damaged.
    """
    if name == "net" and weights is not None:
        return relief_predictor(read_weights(weights))
    found = relief_source(name) if name in ("net", "sfs") else None
    if found is None:
        raise InputError(f"--bump must be of net, sfs, got {name!r}")
    return found


def row(path: Path, sources: list[ReliefSource], fit: str) -> Picture | None:
    """The pictures of one photo side by side; None where no face is found."""
    image = read_image(path)
    try:
        plain = reconstruct(image, fit=fit, max_faces=1)[0]  # type: ignore[arg-type]
    except NoFaceError as error:
        print(f"{path.name}: {error}", file=sys.stderr)
        return None
    assert plain.landmarks is not None
    points = plain.landmarks.numpy()
    tiles = [relief_crop(points, TILE).warp(image), face(plain)]
    for one in sources:
        said = one.predict(image, points, posed_head(plain))
        raised = with_relief(plain, image, one)
        answer = clay(torch.from_numpy(said.relief)[None], 1.0)[0].permute(1, 2, 0).numpy()
        tiles += [answer, face(raised), face(raised, TURN)]
    return np.concatenate([np.asarray(Image.fromarray(tile).resize((TILE, TILE))) for tile in tiles], axis=1)


def face(result: Reconstruction, yaw: float = 0.0) -> Picture:
    """The middle of the head as clay."""
    drawn = replace(result, texture=None).render(yaw=yaw, size=2 * TILE, textured=False)
    edge = TILE // 3
    return np.ascontiguousarray(drawn[edge : 2 * TILE - edge, edge : 2 * TILE - edge])


if __name__ == "__main__":
    raise SystemExit(main())
