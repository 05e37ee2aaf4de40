"""Photographed face masks, and where nose, mouth, chin and cheeks lie in them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

SIDE = 160
#: Per picture: how far its sides reach towards the face's outline, and the controls in its own pixels in the order of
#: ``pyface3d.data.synthetic.masks.CONTROLS``, read off the silhouettes by eye; "-" where it does not show one.
#: "_right" pictures are the "_left" ones mirrored, so that only the latter are packed.
_TABLE = """
KN95          0.97  217,8  220,110  222,215  222,350  6,50  3,120  87,251  416,43  418,110  350,244  -
N95           0.70  208,5  208,95  208,195  208,311  66,82  47,160  101,265  349,80  368,160  316,265  -
cloth         0.95  212,5  213,80  214,160  215,264  66,42  73,108  122,217  359,42  357,108  312,212  -
gas           0.95  209,21  209,85  209,175  207,264  -  16,170  -  -  400,170  -  -
surgical      0.93  212,11  212,105  212,215  212,338  29,64  18,188  94,285  403,57  406,188  334,285  -
KN95_left     1.00  118,43  30,105  40,200  122,343  -  -  -  326,80  358,195  319,292  215,364
N95_left      0.80  125,64  78,122  84,205  180,345  -  -  -  262,90  316,209  277,306  225,349
cloth_left    1.00  88,8  58,100  62,160  130,254  35,53  42,120  76,205  273,55  278,100  284,143  190,236
gas_left      1.00  152,21  140,88  140,175  152,262  -  18,163  -  -  400,170  -  -
surgical_left 1.00  48,8  42,95  60,170  110,252  25,22  12,105  35,190  281,26  275,98  305,180  180,250
"""
#: Pictures of the same mask in other colours.
_SAME = {"surgical_blue": "surgical", "surgical_green": "surgical"}


def _mask_table() -> dict[str, tuple[float, list[tuple[float, float]]]]:
    table = {}
    for line in _TABLE.split("\n")[1:-1]:
        name, reach, *places = line.split()
        pairs = ["nan,nan" if place == "-" else place for place in places]
        table[name] = float(reach), [tuple(map(float, pair.split(","))) for pair in pairs]
    for color, plain in _SAME.items():
        for view in ("", "_left"):
            table[color + view] = table[plain + view]
    return table


MASKS = _mask_table()


def pack(data: Path) -> dict[str, np.ndarray]:
    """The masks.

    Args:
        data: folder that holds ``occluders_rgba/face_masks``.

    Returns:
        ``occluders.masks`` (14, 160, 160, 4) uint8 sRGB and cover; ``occluders.mask_controls`` (14, 11, 2) in
        -1 … 1, NaN where not shown; ``occluders.mask_reach`` (14,); ``occluders.mask_side`` (14,) bool;
        ``occluders.mask_turns`` (14, 2).
    """
    pictures, controls = [], []
    for name, (_, places) in MASKS.items():
        with Image.open(data / "occluders_rgba" / "face_masks" / f"{name}.png") as picture:
            rgba = np.asarray(picture.convert("RGBA"))
        pictures.append(_to_square(rgba))
        pixels = np.array(places)
        controls.append((pixels - [rgba.shape[1] / 2, rgba.shape[0] / 2]) / (max(rgba.shape[:2]) / 2))
    return {
        "occluders.masks": np.stack(pictures),
        "occluders.mask_controls": np.stack(controls).astype(np.float32),
        "occluders.mask_reach": np.array([reach for reach, _ in MASKS.values()], np.float32),
        "occluders.mask_side": np.array([name.endswith("_left") for name in MASKS]),
        "occluders.mask_turns": np.array([_turns(name) for name in MASKS], np.float32),
    }


def _turns(name: str) -> tuple[float, float]:
    """The turns of a face (`FaceFrame.turn`) that a picture suits: N95 masks were photographed almost in profile."""
    if not name.endswith("_left"):
        return 0.0, 0.2
    return (0.24, 1.0) if "N95" in name else (0.12, 1.0)


def _to_square(rgba: np.ndarray) -> np.ndarray:
    """(160, 160, 4) uint8: the picture in the middle of a square of its longer side."""
    height, width = rgba.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, 4), np.float32)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = rgba / 255.0
    square[..., :3] *= square[..., 3:]
    small = cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    small[..., :3] /= small[..., 3:].clip(1 / 255)
    return np.round(small.clip(0, 1) * 255).astype(np.uint8)
