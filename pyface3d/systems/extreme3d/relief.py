"""From the foundation's picture and a relief map to a dense mesh, one vertex a pixel (the stage withBump)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.ops import DenseMesh, dense_mesh
from pyface3d.systems.extreme3d.foundation import HALF_PIXEL, Foundation

OCCLUDER_GROWTH_PX = 7
"""How far beyond an occluder's edge relief is not trusted."""

_FACE_LEVEL = 127
_NO_LATE_TRIANGLE = 0b0111  # without (tl, bl, br): the published program tests the wrong corner and never emits it


@dataclass(frozen=True, eq=False)
class Relief:
    """Relief over the crop.

    Attributes:
        mm: towards the viewer along the camera's axis, (H, W) float.
        mask: how surely a pixel is face, (H, W) uint8 levels 0…255; occluders over the face count as face.
        recovered: (H, W) bool, True where the relief was not seen but filled in (occlusion recovery); None: nowhere.
        rounding: (H, W) mm by which pixels are raised besides, so that a coarse mesh's triangles do not show; its
            vertices take none of it. None: nowhere.
    """

    mm: Tensor
    mask: Tensor
    recovered: Tensor | None = None
    rounding: Tensor | None = None

    def __post_init__(self) -> None:
        if self.mm.dim() != 2 or not self.mm.is_floating_point():
            raise InputError(f"relief must be floating point (H, W), got {self.mm.dtype} {tuple(self.mm.shape)}")
        if self.mask.dtype != torch.uint8 or self.mask.shape != self.mm.shape:
            raise InputError(
                f"the mask must be uint8 {tuple(self.mm.shape)}, got {self.mask.dtype} {tuple(self.mask.shape)}"
            )
        for name in ("recovered", "rounding"):
            value = getattr(self, name)
            if value is not None and value.shape != self.mm.shape:
                raise InputError(f"{name} must have shape {tuple(self.mm.shape)}, got {tuple(value.shape)}")

    @property
    def face(self) -> Tensor:
        """Pixels that may become vertices, (H, W) bool."""
        return self.mask >= _FACE_LEVEL

    @property
    def inside(self) -> Tensor:
        """Pixels whose relief the foundation's vertices may take, (H, W) bool; one level stricter, as published."""
        return self.mask > _FACE_LEVEL


@dataclass(frozen=True, eq=False)
class DenseFace:
    """The face with relief, in the picture's order.

    Attributes:
        mesh: dense mesh, B = 1, camera frame.
        depth: (H, W) mm with the relief; that of the foundation where there is no vertex.
        base: (H, W) mm without it: the foundation, rounded.
        known: (H, W) bool: the foundation is drawn there and the relief is of the face.
    """

    mesh: DenseMesh
    depth: Tensor
    base: Tensor
    known: Tensor


def build_dense(foundation: Foundation, relief: Relief, *, compat: bool = False) -> DenseFace:
    """Put the relief onto the foundation: z' = z − d at every pixel of the face, x and y those of z.

    Args:
        compat: the published triangles: nothing is cut where the depth jumps, one kind of triangle is never made, and
            pixels are put back into space half a pixel off.

    Raises:
        InputError: the relief has not the size of the foundation's crop.
    """
    camera, fragments = foundation.camera, foundation.fragments
    if tuple(relief.mm.shape) != (camera.height, camera.width):
        raise InputError(
            f"the relief must have the crop's {camera.height} x {camera.width} pixels, got {tuple(relief.mm.shape)}"
        )
    mm, base = relief.mm.to(fragments.depth), fragments.depth[0]
    if relief.rounding is not None:
        base = base - relief.rounding.to(base)
    shift = HALF_PIXEL if compat else 0.0
    mesh = dense_mesh(
        fragments,
        bump=(mm + (fragments.depth[0] - base))[None],
        mask=relief.face[None],
        focal=camera.focal,
        principal_point=camera.center + shift,
        max_depth_gap_mm=math.inf if compat else 6.0,
        max_view_angle=math.pi if compat else math.radians(85),
    )
    if compat:
        mesh = mesh._replace(cells=mesh.cells & _NO_LATE_TRIANGLE)
    depth = torch.where(mesh.is_vertex[0], base - mm, base)
    return DenseFace(mesh, depth, base, mesh.is_vertex[0] & relief.inside)


def hide_occluders(relief: Relief, occluder: Tensor, grow_px: int = OCCLUDER_GROWTH_PX) -> Relief:
    """The relief without what covers the face, so that nothing of it becomes a vertex or counts as seen.

    For occluders whose relief nothing has filled in; the relief network takes hands and glasses for face.

    Args:
        occluder: (H, W) bool over the crop.
        grow_px: how far around it the relief is not trusted either: the edges of occluders leave marks.

    Raises:
        InputError: an occluder of another type or size.
    """
    if occluder.dtype != torch.bool or occluder.shape != relief.mm.shape:
        raise InputError(
            f"occluder must be bool {tuple(relief.mm.shape)}, got {occluder.dtype} {tuple(occluder.shape)}"
        )
    size = 2 * grow_px + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    grown = torch.from_numpy(cv2.dilate(occluder.to(torch.uint8).numpy(), kernel)).bool()
    return replace(relief, mask=relief.mask.masked_fill(grown, 0))
