"""What a pixel of a face's picture shows: the classes of label maps, by number.

The order is our own; maps of other programs come in other orders and are converted where they are read.
"""

from __future__ import annotations

from enum import IntEnum


class FacePart(IntEnum):
    """Classes of a label map, as stored in its pixels (uint8)."""

    BACKGROUND = 0
    SKIN = 1  # of the face, forehead up to the hair, jaw down to the neck; beard and stubble too
    BROW = 2
    EYE = 3  # between the lids; also seen through a clear lens
    NOSE = 4
    LIP = 5
    MOUTH = 6  # between the lips: teeth, tongue
    HAIR = 7  # of the head
    GLASSES = 8  # frames and lenses
    OCCLUDER = 9  # hands, masks, hats, things, cloth over the face
    NECK = 10  # neck and clothes
    EAR = 11


VISIBLE_FACE: tuple[FacePart, ...] = (
    FacePart.SKIN,
    FacePart.BROW,
    FacePart.EYE,
    FacePart.NOSE,
    FacePart.LIP,
    FacePart.MOUTH,
)
"""Classes that are the face itself: what a fit may compare and a texture may take."""

PART_COLOURS: dict[FacePart, tuple[int, int, int]] = {
    FacePart.BACKGROUND: (0, 0, 0),
    FacePart.SKIN: (236, 188, 150),
    FacePart.BROW: (120, 72, 32),
    FacePart.EYE: (64, 160, 255),
    FacePart.NOSE: (255, 222, 120),
    FacePart.LIP: (224, 64, 96),
    FacePart.MOUTH: (128, 0, 48),
    FacePart.HAIR: (144, 96, 192),
    FacePart.GLASSES: (0, 208, 208),
    FacePart.OCCLUDER: (255, 0, 255),
    FacePart.NECK: (96, 128, 64),
    FacePart.EAR: (255, 128, 0),
}
"""sRGB colours to show label maps in; the palette of our PNGs."""
