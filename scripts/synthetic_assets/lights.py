"""Lights of the data engine: the CC0 panoramas as nine spherical-harmonic bands and their brightest direction."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SOURCES = [
    {"what": "8 studio-light panoramas of Blender, 18 of Poly Haven (npm @pmndrs/assets 1.7.0)", "licence": "CC0-1.0"},
]
#: Radiance is cut here (the mean being about 1) for the main light: else a sun of one texel decides its colour.
MAX_RADIANCE = 60.0
#: Half the width of the bump that finds the brightest part of the sky, in radians.
SPREAD = 0.35
#: The file's bands are irradiance over π: already multiplied by the cosine lobe, band by band.
COSINE_LOBE = np.array([1.0] + [2 / 3] * 3 + [1 / 4] * 5)


def pack(data: Path) -> dict[str, np.ndarray]:
    """The light of every panorama, y up, +z towards the panorama's middle.

    Args:
        data: folder that holds ``hdri_light/sh9_and_pan64.npz``.

    Returns:
        ``lights.sh`` (26, 9, 3) radiance on the orthonormal real basis (1, y, z, x, xy, yz, 3z² − 1, xz, x² − y²),
        mean √(4π): a white matt surface shows 1 on average; ``lights.direction`` (26, 3) unit, towards the brightest
        part; ``lights.color`` (26, 3) its colour, mean 1.
    """
    with np.load(data / "hdri_light" / "sh9_and_pan64.npz") as arrays:
        harmonics, panoramas = arrays["sh9_irradiance"].astype(np.float64), arrays["pan64x128"].astype(np.float64)
    towards, solid_angle = _texel_directions(*panoramas.shape[1:3])
    directions, colors = zip(*(_main_light(panorama, towards, solid_angle) for panorama in panoramas), strict=True)
    return {
        "lights.sh": (harmonics / COSINE_LOBE[:, None]).astype(np.float32),
        "lights.direction": np.stack(directions).astype(np.float32),
        "lights.color": np.stack(colors).astype(np.float32),
    }


def _texel_directions(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit direction (H, W, 3) and solid angle (H, W) of every texel of a latitude-longitude picture."""
    polar = (np.arange(height) + 0.5) / height * np.pi
    around = ((np.arange(width) + 0.5) / width - 0.5) * 2 * np.pi
    polar, around = np.meshgrid(polar, around, indexing="ij")
    towards = np.stack([np.sin(polar) * np.sin(around), np.cos(polar), np.sin(polar) * np.cos(around)], axis=-1)
    return towards, np.sin(polar) * (np.pi / height) * (2 * np.pi / width)


def _main_light(panorama: np.ndarray, towards: np.ndarray, solid_angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    light = np.minimum(panorama, MAX_RADIANCE) * solid_angle[..., None]
    power = light.sum(axis=-1).ravel()
    flat = towards.reshape(-1, 3)
    candidates = flat[::7]
    lobes = np.exp((candidates @ flat.T - 1.0) / SPREAD**2)
    best = lobes[(lobes @ power).argmax()]
    direction = (best * power) @ flat
    color = best @ light.reshape(-1, 3)
    return direction / np.linalg.norm(direction), color / color.mean()
