"""Places of the data engine: the CC0 panoramas as small pictures for a screen.

Needs the package ``OpenEXR`` (BSD-3) to read them.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from pyface3d.io.color import linear_to_srgb

HEIGHT, WIDTH = 192, 384
SOURCES = [
    {
        "what": "26 panoramas of Blender (Debian blender-data) and Poly Haven (npm @pmndrs/assets 1.7.0), "
        "192 x 384, made fit for a screen",
        "licence": "CC0-1.0",
    }
]
#: The darker 70 % of a panorama is exposed so that its middle comes to this linear value.
MIDDLE = 0.22


def pack(data: Path) -> dict[str, np.ndarray]:
    """The panoramas.

    Args:
        data: folder that holds ``hdri_light/**/*.exr``.

    Returns:
        ``backgrounds.panoramas`` (26, 192, 384, 3) uint8 sRGB, latitude-longitude, up at the top, +z in the middle.
    """
    import OpenEXR

    pictures = []
    for path in sorted((data / "hdri_light").rglob("*.exr")):
        channels = OpenEXR.File(str(path)).channels()
        radiance = channels["RGB" if "RGB" in channels else "RGBA"].pixels[..., :3].astype(np.float32)
        pictures.append(for_screen(radiance))
    return {"backgrounds.panoramas": np.stack(pictures)}


def for_screen(radiance: np.ndarray) -> np.ndarray:
    """(192, 384, 3) uint8 sRGB of (H, 2H, 3) linear radiance: exposed for the ground, highlights rolled off."""
    # A sun of a few texels must not bleed into those around it; and beside it some channels are far below zero, from
    # the files' lossy compression. So what is that bright is white.
    most = np.quantile(radiance, 0.995)
    sun = (np.abs(radiance).max(2) > most)[..., None]
    clipped = np.where(sun, most, radiance.clip(0, most)).astype(np.float32)
    small = cv2.resize(clipped, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    brightness = small.mean(2)
    middle = np.median(brightness[brightness <= np.quantile(brightness, 0.7)])
    exposed = small * (MIDDLE / max(float(middle), 1e-6))
    rolled = np.where(exposed < 0.7, exposed, 0.7 + 0.3 * np.tanh((exposed - 0.7) / 0.6)).astype(np.float32)
    return np.round(linear_to_srgb(rolled).clip(0, 1) * 255).astype(np.uint8)
