"""The foundation: a face of the model in the camera of the crop, and its picture.

All functions of this package work on the crop of `detect.crops.extreme3d_crop`, in float64 on the CPU unless told
otherwise, in the frames of docs/architecture.md. Source: Tran et al., "Extreme 3D Face Reconstruction: Seeing Through
Occlusions" (CVPR 2018) and the published program; deviations are listed in docs/systems/extreme3d.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.face_models import FaceModel
from pyface3d.geometry import Camera, euler_from_rotation
from pyface3d.geometry.bump_maps import CROP_SIZE
from pyface3d.geometry.rotations import axis_angle_from_rotation, frontal_rotation, rotation_from_axis_angle
from pyface3d.ops import Fragments, Topology, rasterize

FOCAL_PX = 1000.0
HALF_PIXEL = 0.5
"""The published program calls the middle of the first pixel 0 where it reads landmarks and puts pixels back into space,
and 0.5 where it draws: its points are half a pixel off. ``compat`` keeps that, else there is one convention."""


def crop_camera(size: int = CROP_SIZE, dtype: torch.dtype = torch.float64) -> Camera:
    """The camera of every crop: 1000 px of focal length, its axis through the middle. ``size`` other than 500 scales
    the focal length with it."""
    return Camera.centered(torch.tensor([FOCAL_PX * size / CROP_SIZE], dtype=dtype), size, size)


@dataclass(frozen=True, eq=False)
class Foundation:
    """A head with identity and expression, where it stands before the camera.

    Attributes:
        verts: (V, 3) mm, model frame.
        rotation: (3, 3) model to camera.
        translation: (3,) mm.
        camera: of the crop, B = 1.
        topology: the surface.
        closed: the surface with the triangles that close its holes; what is drawn.
        mirror: partner of each vertex across the model's plane, (V,) int64, −1 where there is none.
    """

    verts: Tensor
    rotation: Tensor
    translation: Tensor
    camera: Camera
    topology: Topology
    closed: Topology
    mirror: Tensor

    def __post_init__(self) -> None:
        count = self.topology.num_verts
        for name, shape in (("verts", (count, 3)), ("rotation", (3, 3)), ("translation", (3,)), ("mirror", (count,))):
            if tuple(getattr(self, name).shape) != shape:
                raise InputError(f"{name} must have shape {shape}, got {tuple(getattr(self, name).shape)}")
        if self.camera.height != self.camera.width or len(self.camera) != 1:
            raise InputError("the camera must be one of a square crop")

    @cached_property
    def verts_camera(self) -> Tensor:
        """(V, 3) mm, camera frame."""
        return self.verts @ self.rotation.T + self.translation

    @cached_property
    def verts_image(self) -> Tensor:
        """(V, 3): x px, y px, depth mm."""
        return self.camera.project(self.verts_camera[None])[0]

    @cached_property
    def fragments(self) -> Fragments:
        """What every pixel of the crop shows of the closed surface, B = 1."""
        return rasterize(self.verts_image[None], self.closed, self.camera.height, self.camera.width)

    def turn(self, compat: bool = False) -> float:
        """How far the head is turned to the right, radians, for who looks at it through the middle of the crop.

        ``compat``: the y of its rotation vector, which the published program takes for it.
        """
        if compat:
            upright = frontal_rotation(self.rotation) @ self.rotation
            return float(axis_angle_from_rotation(upright)[1])
        return float(euler_from_rotation(self._onto_axis() @ self.rotation)[0])

    def _onto_axis(self) -> Tensor:
        """The shortest turn (3, 3) of the ray through the middle of the crop onto the camera's axis."""
        camera = self.camera
        middle = torch.tensor([camera.width / 2, camera.height / 2]).to(self.rotation)
        across, down = ((middle - camera.center[0].to(self.rotation)) / camera.focal[0].to(self.rotation)).unbind()
        side = torch.hypot(across, down)
        if not bool(side > 0):
            return torch.eye(3).to(self.rotation)
        return rotation_from_axis_angle(torch.stack([down, -across, 0 * down]) * torch.atan(side) / side)

    def seen_from_the_front(self) -> Foundation:
        """The same head at the same distance, in the middle of the crop and looking into the camera."""
        ahead = torch.stack([*self.translation.new_zeros(2), self.translation[2]])
        camera = Camera.centered(self.camera.focal, self.camera.height, self.camera.width)
        return replace(self, rotation=frontal_rotation(self.rotation), translation=ahead, camera=camera)


def build_foundation(
    model: FaceModel,
    identity: Tensor,
    expression: Tensor,
    rotation: Tensor,
    translation: Tensor,
    camera: Camera | None = None,
    *,
    compat: bool = False,
) -> Foundation:
    """The foundation of a face model.

    Args:
        model: any; one with ``closing_faces`` is closed with them where it is drawn.
        identity, expression: (I,) and (E,), as the model counts them.
        rotation, translation: (3, 3) and (3,) mm, model to camera.
        camera: of the crop; `crop_camera` where left out.
        compat: pair vertices by the publisher's table where the model has one.

    Raises:
        InputError: coefficients or a pose of another shape.
    """
    from pyface3d.systems.extreme3d.partners import partner_table

    verts = model.vertices(identity.double()[None], expression.double()[None])[0]
    closing = getattr(model, "closing_faces", None)
    topology = model.topology
    closed = topology
    if closing is not None:
        closed = Topology(torch.cat([topology.faces.long(), closing.long()]), topology.num_verts)
    return Foundation(
        verts=verts,
        rotation=rotation.double(),
        translation=translation.double(),
        camera=crop_camera() if camera is None else camera.to(torch.float64),
        topology=topology,
        closed=closed,
        mirror=partner_table(model, compat),
    )
