"""Cameras, rotations and alignment: the named conversions between frames (see docs/architecture.md)."""

from pyface3d.geometry.alignment import Similarity, align_similarity
from pyface3d.geometry.camera import Camera
from pyface3d.geometry.rotations import (
    FRONTAL,
    axis_angle_from_rotation,
    euler_from_rotation,
    rotation_from_axis_angle,
    rotation_from_euler,
)

__all__ = [
    "FRONTAL",
    "Camera",
    "Similarity",
    "align_similarity",
    "axis_angle_from_rotation",
    "euler_from_rotation",
    "rotation_from_axis_angle",
    "rotation_from_euler",
]
