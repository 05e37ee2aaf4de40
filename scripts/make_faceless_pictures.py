"""Make the pictures without faces on which docs/detection.md counts false alarms.

    python scripts/make_faceless_pictures.py OUT --panoramas DIR --occluders DIR [--photos DIR --boxes CSV]

Six perspective views of every HDR panorama (.exr, needs ``pip install OpenEXR``), tone-mapped; pictures of
scikit-image's data that show no person (one shows a cat); 80 RGBA cut-outs (hands, masks, objects) over the views; and
what is left below the known faces of photographed people: clothes, hands, street. Two of the cut-outs have a face
of their own and are left out by name.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pyface3d.evaluate.detection import read_boxes
from pyface3d.io.color import linear_to_srgb
from pyface3d.io.images import read_image, write_png

SEED, VIEWS, VIEW_SIZE, CUTOUTS = 7, 6, 512, 80
FACELESS = [
    "brick",
    "cell",
    "chelsea",
    "clock_motion",
    "coffee",
    "color",
    "grass",
    "gravel",
    "hubble_deep_field",
    "ihc",
    "moon",
    "motorcycle_left",
    "page",
    "retina",
    "rocket",
    "text",
    "horse",
    "logo",
    "phantom",
    "microaneurysms",
    "chessboard_RGB",
]
WITH_A_FACE = ("occ_35.png", "occ_79.png")
BELOW, LEAST_ROWS = 0.35, 60  # a strip starts this share of the lowest face below it, and has at least so many rows


def read_panorama(path: Path) -> NDArray[np.float32]:
    """Linear RGB (H, W, 3) of an equirectangular EXR."""
    import OpenEXR

    channels = OpenEXR.File(str(path)).channels()
    together = next((name for name in ("RGB", "RGBA") if name in channels), None)
    pixels = channels[together].pixels if together else np.stack([channels[c].pixels for c in "RGB"], axis=-1)
    return np.nan_to_num(np.asarray(pixels[..., :3], np.float32), posinf=1e4)  # half floats overflow in the sun


def view(panorama: NDArray[np.float32], yaw: float, pitch: float, field: float, exposure: float) -> NDArray[np.uint8]:
    """A square perspective view, angles in radians; ``exposure`` is the percentile of light that becomes bright."""
    height, width = panorama.shape[:2]
    across, down = np.meshgrid(*2 * [np.arange(VIEW_SIZE) + 0.5 - VIEW_SIZE / 2])
    ahead = np.full_like(across, VIEW_SIZE / 2 / np.tan(field / 2))
    down, ahead = (
        np.cos(pitch) * down - np.sin(pitch) * ahead,
        np.sin(pitch) * down + np.cos(pitch) * ahead,
    )
    longitude, latitude = np.arctan2(across, ahead) + yaw, np.arctan2(down, np.hypot(across, ahead))
    u = ((longitude / (2 * np.pi) + 0.5) % 1 * width - 0.5).astype(np.float32)
    v = ((latitude / np.pi + 0.5) * height - 0.5).astype(np.float32)
    light = cv2.remap(panorama, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    light = 0.6 * light / max(float(np.percentile(light.mean(axis=-1), exposure)), 1e-6)
    return np.round(linear_to_srgb(np.clip(light / (1 + 0.3 * light), 0, 1)) * 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--panoramas", type=Path, required=True)
    parser.add_argument("--occluders", type=Path, required=True)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--boxes", type=Path)
    options = parser.parse_args()
    draw = np.random.default_rng(SEED)

    views = []
    for path in sorted(options.panoramas.rglob("*.exr")):
        panorama = read_panorama(path)
        for index in range(VIEWS):
            angles = 2 * np.pi * index / VIEWS, draw.uniform(-0.3, 0.3), draw.uniform(0.7, 1.5)
            views.append(options.out / f"pan_{path.parent.name}_{path.stem}_{index}.png")
            write_png(views[-1], view(panorama, *angles, draw.uniform(80, 97)))

    import skimage

    for path in sorted((Path(skimage.__file__).parent / "data").iterdir()):
        if path.stem in FACELESS and path.suffix in (".png", ".jpg"):
            write_png(options.out / f"sk_{path.stem}.png", read_image(path))

    cutouts = sorted([*options.occluders.glob("*/*.png"), *options.occluders.glob("*/*.webp")])
    for index, chosen in enumerate(draw.permutation(len(cutouts))[:CUTOUTS]):
        background = Image.open(views[draw.integers(len(views))]).convert("RGB").crop((0, 0, 400, 400))
        cutout = Image.open(cutouts[chosen]).convert("RGBA")
        scale = draw.uniform(100, 300) / max(cutout.size)
        cutout = cutout.resize((max(1, int(cutout.width * scale)), max(1, int(cutout.height * scale))))
        background.paste(cutout, (int(draw.integers(0, 200)), int(draw.integers(0, 200))), cutout)
        name = f"occ_{index:02d}.png"
        if name not in WITH_A_FACE:
            write_png(options.out / name, np.asarray(background))

    known = read_boxes(options.boxes) if options.photos and options.boxes else {}
    for name, boxes in known.items():
        if len(boxes) > 4:  # a crowd: faces without a box would be left in the strip
            continue
        image = read_image(options.photos / name)
        top = int(max(y1 + BELOW * (y1 - y0) for _, y0, _, y1 in boxes))
        if image.shape[0] - top > LEAST_ROWS:
            write_png(options.out / f"below_{Path(name).stem}.png", image[top:])
    print(f"{len(list(options.out.iterdir()))} pictures in {options.out.name}")


if __name__ == "__main__":
    main()
