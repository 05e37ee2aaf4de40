"""Landmark schemes: what their points are called and which lie opposite each other."""

from __future__ import annotations

IBUG68_GROUPS: dict[str, range] = {
    "jaw": range(17),
    "right_brow": range(17, 22),
    "left_brow": range(22, 27),
    "nose_bridge": range(27, 31),
    "nose_base": range(31, 36),
    "right_eye": range(36, 42),
    "left_eye": range(42, 48),
    "outer_lips": range(48, 60),
    "inner_lips": range(60, 68),
}
"""The 68 points of iBUG/300-W. Left and right are the subject's; the jaw runs from the right ear to the left."""

IBUG68_FLIP: tuple[int, ...] = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46,
    39, 38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
)  # fmt: skip
"""Index of the point on the other side of the face."""

INNER_SCHEME = "ibug68_inner"
"""The 68 points with the jaw where the cheek of a slightly turned head ends, for models that publish such points."""

SCHEMES: dict[str, int] = {"ibug68": 68, INNER_SCHEME: 68}
"""Landmark schemes and how many points each has."""

NUM_JAW = 17

CROP_MARGIN = 1.3
"""Side of the crops that the landmark network is made for, over the larger side of the box of the 68 landmarks.

Tighter crops leave more pixels to the face, wider ones bear worse boxes.
"""

PARTS_MARGIN, PARTS_RAISE = 1.9, 0.1
"""The square that the network of parts looks at: its side over the larger side of the landmarks' box, and by
how many of its sides its middle lies above the box's, towards the forehead: hair, hats and ears belong to the picture.
"""

RELIEF_MARGIN, RELIEF_RAISE = 1.5, 0.13
"""The same of the relief network: from the hairline to below the chin, a pixel less than a millimetre."""

EXTREME3D_BEFORE, EXTREME3D_AFTER = (1.9255, 2.2591), (1.9423, 1.6087)
"""Margins of the crop of Extreme 3D Faces about the middle of the landmarks' box: to the left and above, to the right
and below, in halves of the box's larger side."""
