"""The square of a photo in which a face is compared with its model: cut out, and maps of it brought back."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pyface3d.fit.pixels import Crop, to_perceived
from pyface3d.geometry import Camera

CROP_SIZE = 192
"""Side of the square in which a face is compared, px; the face fills about two thirds of it."""

_CROP_MARGIN = 1.5  # side of the crop over the landmarks' extent


def face_box(points: Tensor) -> tuple[int, int, int]:
    """Left, top and side (px) of the square round the landmarks (68, 2), forehead included."""
    low, high = points.amin(0), points.amax(0)
    side = max(8, round(float((high - low).amax()) * _CROP_MARGIN))
    middle = (low + high) / 2 - torch.tensor([0.0, 0.08 * side], dtype=points.dtype)
    return round(float(middle[0]) - side / 2), round(float(middle[1]) - side / 2), side


def cut(image: Tensor, visible: Tensor | None, seen: Tensor | None, camera: Camera, box: tuple[int, int, int]) -> Crop:
    """Cut and resize; beyond the photo's edge the picture is black and not valid."""
    left, top, side = box
    height, width = image.shape[:2]
    inside = torch.ones(height, width, dtype=torch.bool) if visible is None else visible
    pad = (-left, left + side - width, -top, top + side - height)  # negative numbers cut
    planes = [inside] if seen is None else [inside, seen]
    square = F.pad(torch.cat([image, *(plane[..., None].to(image) for plane in planes)], -1).permute(2, 0, 1), pad)
    small = F.interpolate(square[None], (CROP_SIZE, CROP_SIZE), mode="bilinear", antialias=True)[0]
    scale = CROP_SIZE / side
    corner = torch.tensor([float(left), float(top), scale])
    small_camera = camera.cropped(corner[:1], corner[1:2], corner[2:], CROP_SIZE, CROP_SIZE)
    known = None if seen is None else small[4].clamp(0, 1)
    return Crop(to_perceived(small[:3].permute(1, 2, 0)), small[3] > 0.99, small_camera, known)


def in_photo(plane: Tensor, box: tuple[int, int, int], height: int, width: int) -> Tensor:
    """A map of the crop (S, S) in the photo, (H, W); 0 outside."""
    left, top, side = box
    large = F.interpolate(plane[None, None], (side, side), mode="bilinear", align_corners=False)
    pad = (left, width - left - side, top, height - top - side)
    return F.pad(large, pad)[0, 0]
