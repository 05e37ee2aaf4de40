"""Makes the two pictures of ``pyface3d demo``: the NASA portrait that scikit-image ships, and the same half hidden.

    python scripts/make_demo_photos.py

The occluder is drawn here: a striped scarf over mouth and chin, with folds and a soft shadow on the face.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image

OUT = Path(__file__).resolve().parents[1] / "pyface3d" / "assets" / "demo"
_SUPERSAMPLE = 2
# The scarf in pixels of the portrait: its upper hem runs over the bridge between nose and lip, its lower one into the
# collar; beyond these columns it goes round the neck.
_LEFT, _RIGHT, _MIDDLE = 176.0, 276.0, 226.0
_HEM, _BOTTOM = 138.0, 196.0
_STRIPE = 13.0
_COLORS = np.array([[48, 92, 110], [226, 214, 190], [160, 62, 50], [226, 214, 190]], np.float32)

CARD = {
    "name": "demo",
    "description": "Portrait of Eileen Collins, astronaut, and the same with a drawn scarf over mouth and chin.",
    "licence": "public domain (NASA); the scarf is ours and dedicated to the public domain (CC0)",
    "source": "NASA, Great Images in NASA database, as data/astronaut.png of scikit-image",
    "made_by": "scripts/make_demo_photos.py",
}


def main() -> None:
    portrait = np.asarray(Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png").convert("RGB"))
    pictures = {"astronaut.png": portrait, "astronaut_scarf.png": with_scarf(portrait)}
    OUT.mkdir(parents=True, exist_ok=True)
    checksums = {}
    for name, picture in pictures.items():
        path = OUT / name
        Image.fromarray(picture).save(path, optimize=True)
        checksums[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (OUT / "card.json").write_text(json.dumps({**CARD, "sha256": checksums}, indent=2) + "\n", encoding="utf-8")


def with_scarf(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with the scarf over it, (H, W, 3) uint8 sRGB; drawn at twice the size for smooth edges."""
    height, width = picture.shape[:2]
    scale = _SUPERSAMPLE
    y, x = (np.mgrid[: height * scale, : width * scale] + 0.5) / scale
    across = (x - _MIDDLE) / ((_RIGHT - _LEFT) / 2)  # −1 … 1 over the face
    hem = _HEM + 9 * across**2 + 1.5 * np.sin(x / 7)
    bottom = _BOTTOM + 14 * np.cos(across * 1.3)
    side = 1.08 + 0.02 * np.sin(y / 6)
    inside = (y > hem) & (y < bottom) & (np.abs(across) < side)
    # Round like the chin below it: bright in the middle, darker where it turns away, with folds along it.
    down = np.clip((y - hem) / np.maximum(bottom - hem, 1), 0, 1)
    folds = 0.07 * np.sin(down * 16 + 1.2 * np.cos(across * 2.2)) + 0.03 * np.sin(x / 2.3 + y / 3.1)
    light = 0.62 + 0.42 * np.sqrt(np.clip(1 - (across / 1.2) ** 2, 0, 1)) - 0.14 * down + folds
    stripe = ((y - hem + 5 * np.cos(across * 2.4)) // _STRIPE).astype(int) % len(_COLORS)
    cloth = np.clip(_COLORS[stripe] * light[..., None], 0, 255)
    shadow = np.clip(1 - (hem - y) / 7, 0, 1) * (y < hem) * np.clip(4 * (0.95 - np.abs(across)), 0, 1)
    base = np.repeat(np.repeat(picture, scale, 0), scale, 1).astype(np.float32)
    drawn = np.where(inside[..., None], cloth, base * (1 - 0.4 * shadow[..., None]))
    small = drawn.reshape(height, scale, width, scale, 3).mean((1, 3))
    return small.round().astype(np.uint8)


if __name__ == "__main__":
    main()
