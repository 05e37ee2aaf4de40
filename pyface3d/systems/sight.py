"""What is seen of a face in a picture, before anything is fitted: by the part network, or told by the user."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.parts import has_part_network, load_part_predictor
from pyface3d.errors import InputError
from pyface3d.io.images import read_image
from pyface3d.part_labels import VISIBLE_FACE, FacePart

HIDDEN_SUFFIX = "_occ"
"""What a picture's stem has behind it in the name of the mask of what hides the face."""

OCCLUSIONS = ("network", "colours")
"""How to tell the face from what hides it: our part network, or the colour of the person's skin (knows no hands)."""


@dataclass(frozen=True, eq=False)
class FaceSight:
    """Where a picture shows a face.

    Attributes:
        visible: probability of skin, brow, eye, nose, lip or inner mouth of this face, (H, W) float32.
        usable: probability that a texture may take the pixel: the same and ears, (H, W) float32.
        origin: "network" or "given".
    """

    visible: NDArray[np.float32]
    usable: NDArray[np.float32]
    origin: str

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where the face is seen, (H, W)."""
        return self.visible > 0.5

    def without(self, hidden: NDArray[np.bool_]) -> FaceSight:
        """The same where a user knows better what hides the face, (H, W) bool.

        Raises:
            InputError: it is no such mask of the picture's size.
        """
        if hidden.dtype != np.bool_ or hidden.shape != self.visible.shape:
            raise InputError(f"hidden must be bool {self.visible.shape}, got {hidden.dtype} {hidden.shape}")
        seen = ~hidden
        return FaceSight(self.visible * seen, self.usable * seen, self.origin)


def resolved_occlusion(name: str | None) -> str:
    """One of `OCCLUSIONS`; None takes the network where its weights are installed.

    Raises:
        InputError: no such way.
    """
    if name is None:
        return "network" if has_part_network() else "colours"
    if name not in OCCLUSIONS:
        raise InputError(f"occlusion must be one of {', '.join(OCCLUSIONS)}, got {name!r}")
    return name


def given_sight(visible: NDArray[Any], height: int, width: int) -> FaceSight:
    """A user's own mask of the visible face, (H, W) bool or probabilities.

    Raises:
        InputError: it is none, or not of the picture's size.
    """
    mask = np.asarray(visible)
    if mask.shape != (height, width):
        raise InputError(f"visible must have the picture's shape ({height}, {width}), got {mask.shape}")
    if mask.dtype != np.bool_ and not np.issubdtype(mask.dtype, np.floating):
        raise InputError(f"visible must be bool or probabilities, got {mask.dtype}")
    share = mask.astype(np.float32)
    if not ((share >= 0) & (share <= 1)).all():
        raise InputError("visible must be from 0 to 1")
    return FaceSight(share, share, "given")


def read_hidden(path: Path, height: int, width: int) -> NDArray[np.bool_]:
    """A user's mask of what hides the face, (H, W) bool: True where the picture is brighter than middle grey.

    Raises:
        InputError: it cannot be read, or is not of this size.
    """
    levels = read_image(path).max(-1)
    if levels.shape != (height, width):
        raise InputError(
            f"{path} must have {height} rows of {width} pixels as its picture has, got {levels.shape[0]} of "
            f"{levels.shape[1]}"
        )
    return np.asarray(levels > 127)


def network_sight(image: NDArray[np.uint8], points68: NDArray[np.float32], device: str = "cpu") -> FaceSight:
    """What the part network says of the face with these landmarks (68, 2) px.

    Raises:
        AssetError: its weights are missing or damaged.
    """
    (said,) = load_part_predictor(device).predict(image, [points68])
    size = image.shape[:2]
    visible = said.probability(VISIBLE_FACE, *size)
    return FaceSight(visible, np.clip(visible + said.probability([FacePart.EAR], *size), 0, 1), "network")
