"""Relief in millimetres and as the 8-bit maps of "Extreme 3D Face Reconstruction".

A map is 512² for a crop of 500², whose pixel (x, y) is (x + 6, y + 6) of the map. Its level 127 is no relief, and 12
levels are one millimetre towards the viewer, times a gain: 1.25 in the original's meshes, 1 in the maps that its
network learnt from. So a level is 0.104 mm; keep relief as numbers, and write maps only for others to read.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

ZERO_LEVEL, LEVELS_PER_MM, ORIGINAL_GAIN = 127.0, 12.0, 1.25
CROP_SIZE, MAP_SIZE, CROP_OFFSET = 500, 512, 6

Numbers = TypeVar("Numbers", Tensor, NDArray[np.floating])


def relief_from_levels(levels: Numbers, gain: float = ORIGINAL_GAIN) -> Numbers:
    """Millimetres of levels 0…255, which need not be whole; any shape."""
    return (levels - ZERO_LEVEL) / LEVELS_PER_MM * gain


def relief_from_output(bump: Numbers, gain: float = ORIGINAL_GAIN) -> Numbers:
    """Millimetres of the network's ``bump`` in (-1, 1): the same as through its 8-bit map, without the rounding."""
    return relief_from_levels((bump + 1) * 127.5, gain)


def output_from_relief(relief_mm: Numbers, gain: float = ORIGINAL_GAIN) -> Numbers:
    """What the network is to answer: the inverse of :func:`relief_from_output`, limited to -1…1."""
    levels = relief_mm / gain * LEVELS_PER_MM + ZERO_LEVEL
    return (levels / 127.5 - 1).clip(-1, 1)


def levels_from_relief(relief_mm: NDArray[np.floating], gain: float = ORIGINAL_GAIN) -> NDArray[np.uint8]:
    """The 8-bit map of millimetres: rounded, limited to 0…255; not finite is no relief."""
    levels = np.asarray(relief_mm, np.float64) / gain * LEVELS_PER_MM + ZERO_LEVEL
    return np.rint(np.nan_to_num(levels, nan=ZERO_LEVEL)).clip(0, 255).astype(np.uint8)


def mask_levels(mask: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The 8-bit map of the network's ``mask`` in (-1, 1); levels above 127 (``mask`` of at least 1/2) are face."""
    return np.rint(np.asarray(mask, np.float64) * 255).clip(0, 255).astype(np.uint8)


def crop_of_map(maps: Numbers) -> Numbers:
    """The part (…, 500, 500) of maps (…, 512, 512) that lies over the crop."""
    if tuple(maps.shape[-2:]) != (MAP_SIZE, MAP_SIZE):
        raise ValueError(f"maps must have shape (…, {MAP_SIZE}, {MAP_SIZE}), got {tuple(maps.shape)}")
    inside = slice(CROP_OFFSET, CROP_OFFSET + CROP_SIZE)
    return maps[..., inside, inside]


def map_of_crop(crop: NDArray[np.uint8], outside: int) -> NDArray[np.uint8]:
    """The map (512, 512) that holds the levels of a crop (500, 500), and one level around it."""
    if crop.shape != (CROP_SIZE, CROP_SIZE):
        raise ValueError(f"crop must have shape ({CROP_SIZE}, {CROP_SIZE}), got {crop.shape}")
    return np.pad(crop, (CROP_OFFSET, MAP_SIZE - CROP_SIZE - CROP_OFFSET), constant_values=outside)
