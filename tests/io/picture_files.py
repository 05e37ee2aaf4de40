"""Small pictures and their encoded forms, for the tests of the reader."""

import io

import numpy as np
from PIL import Image


def picture(height: int = 6, width: int = 9) -> np.ndarray:
    """A picture of which no two corners, rows or columns are alike."""
    down, across = np.mgrid[:height, :width]
    return np.stack([across * 25, down * 40, (across + down) * 15], axis=-1).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()
