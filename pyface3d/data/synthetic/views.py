"""Where synthetic people are seen from: pose, perspective, and the crop a detector would cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pyface3d.data.synthetic.labels import label_points
from pyface3d.face_models.landmarks import (
    CROP_MARGIN,
    EXTREME3D_AFTER,
    EXTREME3D_BEFORE,
    PARTS_MARGIN,
    PARTS_RAISE,
    RELIEF_MARGIN,
    RELIEF_RAISE,
)
from pyface3d.geometry import Camera, rotation_from_axis_angle, rotation_from_euler

if TYPE_CHECKING:
    from pyface3d.data.synthetic.people import People

STAGE = 2
RENDER_SCALE = 1.5
"""Pictures are rendered at this many times the crop's size and averaged down."""


_WIDE_YAW_SHARE, _WIDEST_YAW, _YAW_SIGMA = 0.35, 90.0, 25.0  # degrees
_PITCH_SIGMA, _ROLL_SIGMA, _TILTED_SHARE, _WIDEST_ROLL = 14.0, 12.0, 0.1, 45.0
_STEEPEST = 60.0  # pitch beyond it shows no face
_NEAREST_MM, _FARTHEST_MM = 300.0, 3000.0
_OFF_AXIS_SIGMA, _OFF_AXIS_MOST = 9.0, 25.0  # the face's direction off the optical axis, degrees, each way
_SIDE_SIGMA, _SHIFT_SIGMA = 0.13, 0.06
_BAD_SHARE, _BAD_SIDE_SIGMA, _BAD_SHIFT_SIGMA = 0.1, 0.3, 0.15
_MOST_SIDE, _MOST_SHIFT = 0.7, 0.35  # log of the side, shift over the side: a detector that is off by more has failed


@dataclass(frozen=True)
class Framing:
    """The crop that a network looks at.

    Attributes:
        margin: side over the larger side of the box of the 68 points.
        raised: how far its middle lies above the box's, in sides.
        jitter: how badly it is placed and sized, 1 as by a detector.
        roll: how far heads lean in it, 1 as they do in photos.
    """

    margin: float = CROP_MARGIN
    raised: float = 0.0
    jitter: float = 1.0
    roll: float = 1.0


FACE = Framing()
"""What the landmark network sees."""
EXTREME3D = Framing(
    margin=(EXTREME3D_BEFORE[1] + EXTREME3D_AFTER[1]) / 2,
    raised=(EXTREME3D_BEFORE[1] - EXTREME3D_AFTER[1]) / 2 / (EXTREME3D_BEFORE[1] + EXTREME3D_AFTER[1]),
    jitter=0.2,
)
"""What the networks of Extreme 3D Faces see: their crop about found landmarks, which leans with the head."""
PARTS = Framing(PARTS_MARGIN, PARTS_RAISE, jitter=0.6, roll=0.35)
"""What the network of parts sees: cut about found landmarks, upright along the face."""
RELIEF = Framing(RELIEF_MARGIN, RELIEF_RAISE, jitter=0.6, roll=0.35)
"""What the relief network sees, cut in the same way."""


@dataclass(frozen=True, eq=False)
class Views:
    """B views of people.

    Attributes:
        rotation, translation: model to camera, (B, 3, 3) and (B, 3) mm.
        seen: the rotation as it looks in the crop, (B, 3, 3): ``rotation`` turned so that the ray through the crop's
            middle becomes the optical axis.
        camera: of the crop at `RENDER_SCALE` times its size. The crop is a window of a larger picture, so that the
            principal point may lie outside of it.
        size: pixels of the crop's side.
    """

    rotation: Tensor
    translation: Tensor
    seen: Tensor
    camera: Camera
    size: int

    def verts_camera(self, verts: Tensor) -> Tensor:
        """(B, N, 3) model frame → camera frame, mm."""
        return verts @ self.rotation.mT + self.translation[:, None]

    def wider(self, factor: float) -> Views:
        """The same views, ``factor`` times as much of the scene about the crop's middle in as many pixels."""
        camera = self.camera
        middle = camera.center.new_tensor([camera.width / 2, camera.height / 2])
        center = (camera.center - middle) / factor + middle
        return replace(self, camera=Camera(camera.focal / factor, center, camera.height, camera.width))

    def image(self, verts: Tensor) -> Tensor:
        """(B, N, 3) model frame → pixels of ``camera`` and depth in mm."""
        return self.camera.project(self.verts_camera(verts))


def draw_views(rngs: list[np.random.Generator], people: People, size: int = 128, framing: Framing = FACE) -> Views:
    """A view of each person.

    The crop is a square about the box of the person's 68 points in the picture: ``framing.margin`` times as large as
    the box, then jittered as the box of a real detector is.
    """
    points = label_points(people.model)

    def outlined(flat: Tensor, rotation: Tensor) -> Tensor:
        outline = points.outline(flat, rotation)
        return flat.gather(1, outline[..., None].expand(-1, -1, 2))

    return views_of(rngs, points.of(people.verts)[:, : points.num_outline], size, framing, outlined)


def views_of(
    rngs: list[np.random.Generator],
    verts: Tensor,
    size: int,
    framing: Framing,
    outlined: Callable[[Tensor, Tensor], Tensor] = lambda flat, rotation: flat,
) -> Views:
    """Views of heads by the points that their crops are cut about.

    Args:
        rngs: one generator per sample, made with ``STAGE``.
        verts: (B, N, 3) mm, model frame; the first 68 are the iBUG points.
        size, framing: of the crop.
        outlined: which of the points in the picture, (B, N, 2) as X / Z and Y / Z, bound the crop, for a rotation.
    """
    drawn = torch.from_numpy(np.stack([_draw(rng) for rng in rngs])).to(verts)
    yaw, pitch, roll, distance, aside, below, side, shift_x, shift_y = drawn.unbind(1)
    roll, side, shift_x, shift_y = (
        value * share for value, share in zip((roll, side, shift_x, shift_y), (framing.roll, *[framing.jitter] * 3))
    )
    ray = rotation_to_ray(torch.stack([aside.tan(), below.tan()], 1))
    rotation = _product(ray, rotation_from_euler(yaw, pitch, roll))

    middle = verts[:, :68].mean(1)
    where = ray[:, :, 2] * distance[:, None]
    translation = where - (rotation * middle[:, None]).sum(-1)
    camera_points = verts @ rotation.mT + translation[:, None]
    flat = camera_points[..., :2] / camera_points[..., 2:]
    flat = outlined(flat, rotation)
    low, high = flat.amin(1), flat.amax(1)

    width = framing.margin * (high - low).amax(1) * side.exp()
    center = 0.5 * (low + high) + width[:, None] * torch.stack([shift_x, shift_y - framing.raised], 1)
    pixels = round(RENDER_SCALE * size)
    focal = pixels / width
    corner = center - 0.5 * width[:, None]
    camera = Camera(focal, -corner * focal[:, None], pixels, pixels)
    seen = _product(rotation_to_ray(center).mT, rotation)
    return Views(rotation, translation, seen, camera, size)


def rotation_to_ray(flat: Tensor) -> Tensor:
    """The smallest rotation that takes the optical axis to the ray through ``flat`` = (X / Z, Y / Z): (B, 3, 3)."""
    length = flat.norm(dim=1, keepdim=True)
    turn = torch.atan(length) / length.clamp_min(1e-9)
    return rotation_from_axis_angle(torch.cat([-flat[:, 1:] * turn, flat[:, :1] * turn, torch.zeros_like(length)], 1))


def _draw(rng: np.random.Generator) -> np.ndarray:
    """Yaw, pitch, roll, distance, direction right and down, log of the side, shift: (9,), radians and mm."""
    chance, normal = rng.random(6), rng.standard_normal(8)
    yaw = _WIDEST_YAW * (2 * chance[1] - 1) if chance[0] < _WIDE_YAW_SHARE else _YAW_SIGMA * normal[0]
    pitch = _PITCH_SIGMA * normal[1]
    roll = _WIDEST_ROLL * (2 * chance[3] - 1) if chance[2] < _TILTED_SHARE else _ROLL_SIGMA * normal[2]
    distance = _NEAREST_MM * (_FARTHEST_MM / _NEAREST_MM) ** chance[4]
    bad = chance[5] < _BAD_SHARE
    side = (_BAD_SIDE_SIGMA if bad else _SIDE_SIGMA) * normal[5]
    shift = (_BAD_SHIFT_SIGMA if bad else _SHIFT_SIGMA) * normal[6:8]
    off_axis = np.clip(_OFF_AXIS_SIGMA * normal[3:5], -_OFF_AXIS_MOST, _OFF_AXIS_MOST)
    angles = np.radians([np.clip(yaw, -_WIDEST_YAW, _WIDEST_YAW), np.clip(pitch, -_STEEPEST, _STEEPEST), roll])
    return np.concatenate(
        [
            angles,
            [distance],
            np.radians(off_axis),
            [np.clip(side, -_MOST_SIDE, _MOST_SIDE)],
            np.clip(shift, -_MOST_SHIFT, _MOST_SHIFT),
        ]
    )


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Matrix product (B, 3, 3), one item's result independent of the batch around it."""
    return (a[:, :, :, None] * b[:, None]).sum(2)
