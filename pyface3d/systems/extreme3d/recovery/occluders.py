"""Which pixels of a crop show something that covers the face.

Best is a mask of the user's, then the part network; where there is neither, `colour_occluder` compares the skin with
itself: with its own colour in this light, and with the other side of the face.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.fit.skin import LOG_FLOOR, learn_skin
from pyface3d.io.color import srgb_to_linear
from pyface3d.ops import vertex_normals
from pyface3d.systems.extreme3d.recovery.chart import Placement
from pyface3d.systems.sight import read_hidden

CLOSE_PX, GROWTH_PX, SPECK_PX = 3, 7, 60
"""Gaps of an occluder up to this size close; it grows by so much, for its edges leave false relief around it; smaller
specks are no occluders."""

# What skin would look like in the mean face without any light on it, linear RGB: whose colour only starts the search.
_SKIN = np.array([0.42, 0.27, 0.20], np.float32)
_SEEDS_MM = ((0.0, -28.0, 11.0, 17.0), (36.0, -34.0, 17.0, 15.0), (-36.0, -34.0, 17.0, 15.0))
"""Nose and cheeks in the chart: middle and half axes."""
_SPECIAL_MM = ((32.0, 5.0, 28.0, 19.0), (-32.0, 5.0, 28.0, 19.0), (0.0, -72.0, 29.0, 15.0), (0.0, -46.0, 15.0, 6.0))
"""Brows with eyes, mouth and nostrils: not of the colour of skin, though nothing covers them."""
_OFF_SKIN = 3.2  # σ from the person's own skin, over the three axes of `fit.skin`
_CLEARLY_OFF = 2.0  # and where the other side of the face looks different
_UNLIKE_MIRROR = 2.6  # σ between the two sides, once each side's own light is taken out
_RING_SHARE = 0.5  # of the skin around an eye or a mouth that is covered when it is
_RING_MM = 6.0
_LEAST_SEEDS = 200
_OUTLINE_PX = 3  # along the outline of the head colours mix with the background's


def read_occluder(path: Path, height: int, width: int) -> Tensor:
    """A user's mask of what covers the face, (H, W) bool: True where the picture is brighter than middle grey.

    Raises:
        InputError: it cannot be read, or is not of this size.
    """
    return torch.from_numpy(read_hidden(path, height, width))


def tidy_occluder(occluder: Tensor, face: Tensor) -> Tensor:
    """An occluder as recovery uses it: closed, without specks, grown, and on the face only.

    Specks go before anything grows: afterwards none is small.

    Args:
        occluder, face: (H, W) bool.

    Raises:
        InputError: they are not bool maps of one size.
    """
    for name, mask in (("occluder", occluder), ("face", face)):
        if mask.dtype != torch.bool or mask.dim() != 2 or mask.shape != occluder.shape:
            raise InputError(
                f"{name} must be bool (H, W) of the crop's size, got {mask.dtype} {tuple(mask.shape)} "
                f"beside {tuple(occluder.shape)}"
            )
    margin = GROWTH_PX + CLOSE_PX  # so that nothing ends at the border of the picture
    levels = (occluder & face).to(torch.uint8).numpy()
    padded = cv2.copyMakeBorder(levels, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    closed = np.asarray(cv2.morphologyEx(padded, cv2.MORPH_CLOSE, _disc(CLOSE_PX)), np.uint8)
    count, labels, figures, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    keep = figures[:count, cv2.CC_STAT_AREA] >= SPECK_PX
    keep[0] = False
    grown = cv2.dilate(keep[labels].astype(np.uint8), _disc(GROWTH_PX))[margin:-margin, margin:-margin]
    return torch.from_numpy(np.ascontiguousarray(grown)).bool() & face


def colour_occluder(image: NDArray[np.uint8], placement: Placement) -> Tensor:
    """What covers the face, told by colour alone: (H, W) bool over the crop, before `tidy_occluder`.

    The person's skin is learnt at nose and cheeks (`fit.skin.learn_skin`); what lies far off it covers the face, and so
    does what lies off it by less but looks unlike the other side. Eyes, brows, mouth and nostrils are covered when the
    skin around them is. Blind to hands and other skin, and to what is skin-coloured; nothing at all where nose and
    cheeks are hidden.

    Args:
        image: the crop, (H, W, 3) uint8 sRGB.
    """
    foundation = placement.foundation
    height, width = foundation.camera.height, foundation.camera.width
    if image.shape != (height, width, 3) or image.dtype != np.uint8:
        raise InputError(f"image must be uint8 ({height}, {width}, 3), got {image.dtype} {image.shape}")
    inner = cv2.erode(placement.drawn.to(torch.uint8).numpy(), _disc(_OUTLINE_PX)).astype(bool)
    on_face = inner & placement.on_chart.numpy()
    spots = placement.millimetres.numpy()
    seeds = on_face & _inside(spots, _SEEDS_MM)
    none = torch.zeros(height, width, dtype=torch.bool)
    if int(seeds.sum()) < _LEAST_SEEDS:
        return none
    smooth = cv2.GaussianBlur(np.asarray(srgb_to_linear(image), np.float32), (0, 0), 1.5)
    log_ratio = (np.log(smooth + LOG_FLOOR) - np.log(_SKIN + LOG_FLOOR)).astype(np.float32)
    per_vertex = vertex_normals(foundation.verts_camera, foundation.topology)
    normals = torch.nn.functional.normalize(placement.draw(per_vertex), dim=-1).float().numpy()
    skin = learn_skin(log_ratio[seeds], normals[seeds], np.ones(int(seeds.sum()), np.float32))
    signed = skin.distance(log_ratio, normals)
    off = np.linalg.norm(signed, axis=-1)
    opposite, known = placement.mirrored(torch.from_numpy(signed), torch.from_numpy(on_face))
    unlike = np.linalg.norm(signed - opposite.numpy(), axis=-1) > _UNLIKE_MIRROR
    other_off = np.linalg.norm(opposite.numpy(), axis=-1)
    odd_one = unlike & known.numpy() & (off > _CLEARLY_OFF) & (off > other_off)
    hidden = on_face & ((off > _OFF_SKIN) | odd_one)
    for special in _SPECIAL_MM:
        inside = on_face & _inside(spots, (special,))
        wider = (special[0], special[1], special[2] + _RING_MM, special[3] + _RING_MM)
        ring = on_face & _inside(spots, (wider,)) & ~_inside(spots, _SPECIAL_MM)
        covered = ring.any() and hidden[ring].mean() > _RING_SHARE
        hidden[inside] = covered
    return torch.from_numpy(hidden)


def _inside(spots: NDArray[Any], ellipses: tuple[tuple[float, float, float, float], ...]) -> NDArray[np.bool_]:
    inside = np.zeros(spots.shape[:-1], np.bool_)
    for x, y, across, up in ellipses:
        inside |= ((spots[..., 0] - x) / across) ** 2 + ((spots[..., 1] - y) / up) ** 2 < 1
    return inside


def _disc(radius: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)), np.uint8)
