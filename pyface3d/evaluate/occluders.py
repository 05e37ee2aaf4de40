"""The standard occluder of the landmark tables: one object of half the face's width on a landmark of the face.

The draw depends on the seed and the picture's name only, so that every row of a table and every run sees the same
pictures whatever their order.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.crops import Points, check_landmarks
from pyface3d.errors import InputError

_WIDTH_SHARE = 0.5  # of the face's width
_CUTOUTS = ("*.png", "*.webp")
_MAX_ROTATION = np.pi / 4


class StandardOccluder:
    """Puts a cut-out, or a textured ellipse where there is no folder of cut-outs, over a face."""

    def __init__(self, seed: int, folder: Path | None = None) -> None:
        """Args:
        seed: of all draws.
        folder: RGBA pictures (hands, objects) of which one is drawn per face; sub-folders are searched too.

        Raises:
            InputError: the folder has no PNG or WebP files.
        """
        self.seed = seed
        self.cutouts = sorted(path for pattern in _CUTOUTS for path in folder.rglob(pattern)) if folder else []
        if folder and not self.cutouts:
            raise InputError(f"{folder} has no PNG or WebP cut-outs; give a folder of RGBA pictures")

    @property
    def description(self) -> str:
        """What the occluder is, for the notes of a table."""
        what = f"one of {len(self.cutouts)} RGBA cut-outs" if self.cutouts else "a textured ellipse (no cut-outs given)"
        return f"occluder: {what}, half the face's width, on a random landmark, seed {self.seed}"

    def apply(
        self, image: NDArray[np.uint8], landmarks: Points, name: str
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Cover part of a face.

        Args:
            image: (H, W, 3) uint8.
            landmarks: (68, 2) px of the face.
            name: of the picture; with the seed it decides the draw.

        Returns:
            The covered picture, and (H, W) bool, True where the occluder is more opaque than not.
        """
        points = check_landmarks(landmarks)
        draw = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        target = points[draw.integers(len(points))]
        width = _WIDTH_SHARE * float(np.ptp(points[:, 0]))
        cutout = self._cutout(draw)
        angle = draw.uniform(-_MAX_ROTATION, _MAX_ROTATION)
        height, across = cutout.shape[:2]
        scale = width / max(height, across)
        linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        # Pixel indices on both sides: the cut-out's middle goes to the landmark.
        shift = target - 0.5 - linear @ [(across - 1) / 2, (height - 1) / 2]
        premultiplied = cutout.astype(np.float32)
        premultiplied[..., :3] *= premultiplied[..., 3:] / 255
        if scale < 1:  # average first, or thin parts vanish between the samples
            premultiplied = cv2.GaussianBlur(premultiplied, (0, 0), 0.4 / scale).astype(np.float32, copy=False)
        size = image.shape[1], image.shape[0]
        layer = cv2.warpAffine(premultiplied, np.column_stack([linear, shift]), size, flags=cv2.INTER_LINEAR)
        alpha = layer[..., 3:] / 255
        covered = image * (1 - alpha) + layer[..., :3]
        return np.clip(covered + 0.5, 0, 255).astype(np.uint8), alpha[..., 0] > 0.5

    def _cutout(self, draw: np.random.Generator) -> NDArray[np.uint8]:
        if not self.cutouts:
            return _textured_ellipse(draw)
        from PIL import Image

        path = self.cutouts[draw.integers(len(self.cutouts))]
        try:
            with Image.open(path, formats=("PNG", "WEBP")) as picture:
                picture.thumbnail((512, 512))
                return np.asarray(picture.convert("RGBA"))
        except Exception as error:  # whatever the decoder stumbles over
            raise InputError(f"{path} is not a cut-out that can be read ({error}); remove it") from error


def _textured_ellipse(draw: np.random.Generator) -> NDArray[np.uint8]:
    """(256, 256, 4) ellipse of smooth random colours."""
    size = 256
    coarse = draw.uniform(0, 255, (6, 6, 3)).astype(np.float32)
    colours = np.clip(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), 0, 255)
    across, down = np.meshgrid(*2 * [(np.arange(size) + 0.5) / size * 2 - 1])
    inside = across**2 + (down / draw.uniform(0.6, 1.0)) ** 2 <= 1
    return np.dstack([colours, np.where(inside, 255, 0)]).astype(np.uint8)
