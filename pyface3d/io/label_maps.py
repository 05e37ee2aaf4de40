"""Label maps as files: PNGs whose pixels are class numbers, in our order of classes and in those of other programs.

The numbers of a palette PNG are what Pillow gives and OpenCV does not (it gives the palette's colours). What a number
means is never guessed: sets of masks share file formats, not the order of their classes.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyface3d.errors import InputError
from pyface3d.io.images import MAX_FILE_BYTES, opened_image
from pyface3d.io.meshes.files import read_bytes
from pyface3d.part_labels import PART_COLOURS, FacePart

_P = FacePart
LABEL_MAPS: dict[str, tuple[FacePart, ...]] = {
    "ours": tuple(FacePart),
    # CelebAMask-HQ: background, skin, nose, glasses, eyes, brows, ears, mouth, lips, hair, hat, earring, necklace,
    # neck, cloth. Also of BiSeNet weights that were trained again on it.
    "celebamask": (
        *(_P.BACKGROUND, _P.SKIN, _P.NOSE, _P.GLASSES, _P.EYE, _P.EYE, _P.BROW, _P.BROW, _P.EAR, _P.EAR, _P.MOUTH),
        *(_P.LIP, _P.LIP, _P.HAIR, _P.OCCLUDER, _P.OCCLUDER, _P.OCCLUDER, _P.NECK, _P.NECK),
    ),
    # The widely shared BiSeNet weights: background, skin, brows, eyes, glasses, ears, earring, nose, mouth, lips, neck,
    # necklace, cloth, hair, hat.
    "bisenet": (
        *(_P.BACKGROUND, _P.SKIN, _P.BROW, _P.BROW, _P.EYE, _P.EYE, _P.GLASSES, _P.EAR, _P.EAR, _P.OCCLUDER, _P.NOSE),
        *(_P.MOUTH, _P.LIP, _P.LIP, _P.NECK, _P.OCCLUDER, _P.NECK, _P.HAIR, _P.OCCLUDER),
    ),
}
"""What the class numbers 0, 1, 2 … of a program mean, as our classes."""


def encode_label_map(labels: NDArray[np.uint8]) -> bytes:
    """A palette PNG of `FacePart` numbers (H, W); a viewer shows `PART_COLOURS`."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(labels, np.uint8))
    picture.putpalette([channel for part in FacePart for channel in PART_COLOURS[part]])
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    return stream.getvalue()


def drawn_labels(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`FacePart` numbers (H, W) in their colours, (H, W, 3) uint8."""
    return np.array([PART_COLOURS[part] for part in FacePart], np.uint8)[labels]


def read_label_map(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """The numbers in the pixels of a palette or grey picture, (H, W); black and white alone are 0 and 255.

    Raises:
        InputError: the file cannot be read or decoded, or holds colours rather than numbers.
    """
    path = Path(path)
    with opened_image(read_bytes(path, MAX_FILE_BYTES), os.fspath(path)) as picture:
        if picture.mode not in ("P", "L", "1"):
            raise InputError(
                f"{path} holds colours ({picture.mode}); a label map or mask must be a palette or grey PNG of 8 bits"
            )
        return np.array(picture.convert("L") if picture.mode == "1" else picture, np.uint8)


def to_parts(labels: NDArray[np.uint8], label_map: str, name: str = "the label map") -> NDArray[np.uint8]:
    """Class numbers of another program as `FacePart` numbers.

    Args:
        labels: (H, W).
        label_map: of `LABEL_MAPS`.
        name: how to call the map in messages.

    Raises:
        InputError: no such label map, or a number that it does not have.
    """
    if label_map not in LABEL_MAPS:
        raise InputError(f"label map must be one of {', '.join(LABEL_MAPS)}, got {label_map!r}")
    meanings = np.array(LABEL_MAPS[label_map], np.uint8)
    if labels.size and labels.max() >= len(meanings):
        raise InputError(
            f"{name} has the class {labels.max()}, but {label_map!r} ends at {len(meanings) - 1}; "
            "name the label map that it was written with"
        )
    return meanings[labels]
