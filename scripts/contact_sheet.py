"""One sheet of many photos: photo, overlay, clay frontal, clay at 45°, textured at −25° and +25°, mask.

    python scripts/contact_sheet.py PHOTO_OR_FOLDER… -o sheet.png [--limit 20] [--fit full] [--size 224]

A photo that fails has its reason written into its row. Rows hold the best face only.
"""

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pyface3d.errors import Pyface3dError
from pyface3d.io.images import read_image, write_png
from pyface3d.reconstruction import Reconstruction
from pyface3d.systems.fit import FITS, reconstruct
from pyface3d.systems.inputs import expand_inputs

_SIDE, _TURN = math.radians(45), math.radians(25)
Picture = NDArray[np.uint8]


def row(image: Picture, result: Reconstruction, size: int) -> list[Picture]:
    """The pictures of one result, (size, size, 3) each."""
    x0, y0, x1, y1 = result.box
    half = 0.9 * max(x1 - x0, y1 - y0)
    middle = (x0 + x1) / 2, (y0 + y1) / 2
    mask = result.occlusion_mask
    marked = image if mask is None else np.where(mask.numpy()[..., None], image, image // 4)
    photo, masked = (_square(picture, middle, half, size) for picture in (image, marked))
    overlay = result.overlay(image)
    scale = overlay.shape[1] / image.shape[1]
    return [
        photo,
        _square(overlay, (scale * middle[0], scale * middle[1]), scale * half, size),
        masked,
        result.render(size=size, textured=False),
        result.render(yaw=_SIDE, size=size, textured=False),
        result.render(yaw=-_TURN, size=size),
        result.render(size=size),
        result.render(yaw=_TURN, size=size),
    ]


def _square(image: Picture, middle: tuple[float, float], half: float, size: int) -> Picture:
    box = (middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half)
    return np.asarray(
        Image.fromarray(image).transform((size, size), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR)
    )


def _message(text: str, columns: int, size: int) -> Picture:
    canvas = Image.new("RGB", (columns * size, size), "white")
    ImageDraw.Draw(canvas).multiline_text((8, size // 3), text, fill="black")
    return np.asarray(canvas)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--fit", choices=FITS, default="full")
    parser.add_argument("--size", type=int, default=224)
    options = parser.parse_args()
    rows, failures = [], 0
    for photo in list(expand_inputs(options.inputs))[: options.limit]:
        start = time.perf_counter()
        try:
            image = read_image(photo.path)
            result = reconstruct(image, fit=options.fit, max_faces=1)[0]
            rows.append(np.concatenate(row(image, result, options.size), axis=1))
            figures = ", ".join(f"{name} {value:.2f}" for name, value in result.quality.items())
            print(f"{photo.path.name}: {time.perf_counter() - start:.1f} s, {figures}", flush=True)
        except Pyface3dError as error:
            failures += 1
            rows.append(_message(f"{photo.path.name}\n{error}", 8, options.size))
            print(f"{photo.path.name}: {error}", flush=True)
    write_png(options.output, np.concatenate(rows))
    print(f"{options.output}: {len(rows)} photos, {failures} without a result")
    return 0


if __name__ == "__main__":
    sys.exit(main())
