"""The pinhole camera: from the camera frame (mm) to the image frame (px)."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.geometry.checks import check_finite, check_floating, check_shape


@dataclass(frozen=True)
class Camera:
    """B pinhole cameras with square pixels and no distortion (OpenCV axes: +x right, +y down, +z forward).

    Attributes:
        focal: focal lengths in pixels, (B,), positive.
        center: principal points in pixels, (B, 2); the first pixel's middle is (0.5, 0.5).
        height, width: size of every image in pixels.

    Raises:
        InputError: wrong shapes, a focal length that is not positive, an image without pixels.
    """

    focal: Tensor
    center: Tensor
    height: int
    width: int

    def __post_init__(self) -> None:
        check_floating("focal", self.focal)
        check_floating("center", self.center)
        check_shape("focal", self.focal, ("B",))
        check_shape("center", self.center, (len(self.focal), 2))
        check_finite("center", self.center)
        if not bool((self.focal.isfinite() & (self.focal > 0)).all()):
            raise InputError(f"focal must be positive pixels, got {self.focal.tolist()}")
        if self.height < 1 or self.width < 1:
            raise InputError(f"height and width must be at least 1 pixel, got {self.height} x {self.width}")

    def __len__(self) -> int:
        return len(self.focal)

    @staticmethod
    def centered(focal: Tensor, height: int, width: int) -> "Camera":
        """Cameras of ``focal`` (B,) pixels whose optical axis meets the middle of the image."""
        middle = torch.tensor([width / 2, height / 2], dtype=focal.dtype, device=focal.device)
        return Camera(focal, middle.expand(len(focal), 2).clone(), height, width)

    def project(self, verts_camera: Tensor) -> Tensor:
        """Image positions of points in the camera frame.

        Args:
            verts_camera: (B, V, 3) in mm.

        Returns:
            verts_image (B, V, 3): u px, v px and the depth in mm. Points at or behind the camera
            (depth <= 0) have no image: u and v mean nothing there, and the rasteriser drops them by depth.

        Raises:
            InputError: wrong dtype or shape.
        """
        check_floating("verts_camera", verts_camera)
        check_shape("verts_camera", verts_camera, (len(self), "V", 3))
        depth = verts_camera[..., 2:]
        pixels = self.focal[:, None, None] * verts_camera[..., :2] / depth + self.center[:, None]
        return torch.cat([pixels, depth], -1)

    def unproject(self, verts_image: Tensor) -> Tensor:
        """Points in the camera frame of (u, v, depth): inverts `project`.

        Args:
            verts_image: (B, V, 3): u px, v px, depth mm.

        Returns:
            (B, V, 3) in mm.

        Raises:
            InputError: wrong dtype or shape.
        """
        check_floating("verts_image", verts_image)
        check_shape("verts_image", verts_image, (len(self), "V", 3))
        depth = verts_image[..., 2:]
        sides = (verts_image[..., :2] - self.center[:, None]) / self.focal[:, None, None] * depth
        return torch.cat([sides, depth], -1)

    def cropped(self, left: Tensor, top: Tensor, scale: Tensor, height: int, width: int) -> "Camera":
        """The cameras of resized crops: crop pixels = (image pixels - (left, top)) * scale.

        Args:
            left, top: image position of the crop's outer corner in pixels, (B,).
            scale: crop pixels per image pixel, (B,).
            height, width: size of the crops in pixels.

        Returns:
            Cameras that see the same rays; points in the camera frame do not change.

        Raises:
            InputError: wrong shapes or a scale that is not positive.
        """
        for name, value in (("left", left), ("top", top), ("scale", scale)):
            check_shape(name, value, (len(self),))
        corner = torch.stack([left, top], -1)
        return Camera(self.focal * scale, (self.center - corner) * scale[:, None], height, width)

    def to(self, *args: Any, **kwargs: Any) -> "Camera":
        """The same cameras with tensors moved or converted as by ``Tensor.to``."""
        return replace(self, focal=self.focal.to(*args, **kwargs), center=self.center.to(*args, **kwargs))

    def __getitem__(self, index: int | slice | Tensor) -> "Camera":
        """The cameras at ``index``; an integer keeps the batch axis (B = 1)."""
        if isinstance(index, int):
            index = slice(index, index + 1) if index != -1 else slice(index, None)
        return replace(self, focal=self.focal[index], center=self.center[index])
