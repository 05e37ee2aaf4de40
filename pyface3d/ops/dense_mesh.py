"""A depth map with relief to a mesh of one vertex a pixel."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from pyface3d.ops._checks import check_floating, check_mask, check_same, check_shape
from pyface3d.ops._kernels import launch
from pyface3d.ops.fragments import Fragments

# Corners of the triangles that the bits of a cell stand for, as (row, column) offsets from its top left pixel. The same
# table as in csrc/core/dense_mesh.h.
_TOP_LEFT, _TOP_RIGHT, _BOTTOM_LEFT, _BOTTOM_RIGHT = (0, 0), (0, 1), (1, 0), (1, 1)
_TRIANGLES = (
    (_TOP_RIGHT, _TOP_LEFT, _BOTTOM_LEFT),
    (_TOP_RIGHT, _BOTTOM_LEFT, _BOTTOM_RIGHT),
    (_TOP_RIGHT, _TOP_LEFT, _BOTTOM_RIGHT),
    (_TOP_LEFT, _BOTTOM_LEFT, _BOTTOM_RIGHT),
)


class DenseMesh(NamedTuple):
    """A mesh in the order of the picture; its sizes do not depend on what is in it.

    Attributes:
        verts: (B, H, W, 3) in mm, camera frame; 0 where there is no vertex.
        is_vertex: (B, H, W) bool.
        cells: (B, H − 1, W − 1) uint8, the triangles of each 2 x 2 pixels: bit 0 (tr, tl, bl), bit 1 (tr, bl, br),
            bit 2 (tr, tl, br), bit 3 (tl, bl, br), with t, b for top, bottom and l, r for left, right.
    """

    verts: Tensor
    is_vertex: Tensor
    cells: Tensor

    def item(self, b: int) -> tuple[Tensor, Tensor, Tensor]:
        """Mesh ``b`` without its gaps; waits for the device, since the sizes depend on the data.

        Returns:
            verts (N, 3), faces (M, 3) int32 and pixels (N, 2) int32, x and y of each vertex. Vertices and cells go
            column by column, from the left and each from the top. Gradients flow to ``self.verts``.
        """
        x, y = self.is_vertex[b].T.nonzero(as_tuple=True)
        rank = self.verts.new_full(self.is_vertex.shape[1:], -1, dtype=torch.int32)
        rank[y, x] = torch.arange(len(x), dtype=torch.int32, device=rank.device)
        codes = self.cells[b].T[..., None] >> torch.arange(len(_TRIANGLES), dtype=torch.uint8, device=rank.device)
        column, row, kind = (codes & 1).nonzero(as_tuple=True)
        offsets = torch.tensor(_TRIANGLES, device=rank.device)[kind]  # (M, 3, 2)
        faces = rank[row[:, None] + offsets[..., 0], column[:, None] + offsets[..., 1]]
        return self.verts[b][y, x], faces, torch.stack([x, y], -1).to(torch.int32)


def dense_mesh(
    fragments: Fragments,
    depth: Tensor | None = None,
    bump: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    focal: float | Tensor,
    principal_point: tuple[float, float] | Tensor | None = None,
    along: Literal["axis", "ray"] = "axis",
    max_depth_gap_mm: float = 6.0,
    max_view_angle: float = math.radians(85),
) -> DenseMesh:
    """One vertex for every pixel that shows a face, joined to its neighbours unless depth jumps between them.

    Args:
        fragments: of ``rasterize``; where it shows a face there may be a vertex. H and W as there.
        depth: (B, H, W) in mm, float32 or float64, CPU or CUDA; ``fragments.depth`` where left out.
        bump: (B, H, W) in mm, like ``depth``; positive moves a vertex towards the camera.
        mask: (B, H, W) bool; a vertex only where True.
        focal: focal length in pixels, greater than 0, a number or (B,) like ``depth`` (not looked at: no waiting).
        principal_point: (x, y) in pixels or (B, 2) like ``depth``; the middle of the picture where left out.
        along: "axis" moves along the camera's axis: x and y stay those of the depth without bump. "ray" moves along the
            pixel's line of sight, so that the vertex stays in the middle of its pixel.
        max_depth_gap_mm: a triangle whose depths (after the bump) differ by more is left out; ``math.inf`` for none.
        max_view_angle: greatest angle in radians between a triangle's normal and the way to the camera; pi for none.

    Returns:
        DenseMesh. A pixel with a face, in the mask, whose depth is positive and finite before and after the bump has a
        vertex. Four vertices of 2 x 2 pixels make two triangles, three make one; triangles without area are left out.
        Faces run anticlockwise to the eye: their normals point to the camera.

    Raises:
        TypeError, ValueError: naming the argument, what was wanted and what was given.

    Differentiable, once, in ``depth`` and ``bump`` through ``verts``; what is a vertex or a triangle, and the camera,
    are constant. The same bits in every run, on the CPU for any number of threads. Source: the dense mesh of Extreme 3D
    Face Reconstruction (CVPR 2018), which had neither the triangle (tl, bl, br) nor the two cuts.
    """
    face_index = fragments.face_index
    depth = fragments.depth if depth is None else depth
    check_floating("depth", depth)
    size = tuple(face_index.shape)
    check_shape("depth", depth, size)
    if face_index.device != depth.device:
        raise ValueError(f"depth is on {depth.device}, but fragments.face_index is on {face_index.device}")
    if bump is not None:
        check_floating("bump", bump)
        check_shape("bump", bump, size)
        check_same("bump", bump, "depth", depth)
        bump = bump.contiguous()
    if mask is not None:
        check_mask("mask", mask, size, "depth", depth)
        mask = mask.contiguous()
    if along not in ("axis", "ray"):
        raise ValueError(f'along must be "axis" or "ray", got {along!r}')
    if not max_depth_gap_mm >= 0:
        raise ValueError(f"max_depth_gap_mm must be at least 0, got {max_depth_gap_mm}")
    if not 0 <= max_view_angle <= math.pi:
        raise ValueError(f"max_view_angle must lie in [0, pi] radians, got {max_view_angle}")
    verts, is_vertex, cells = _forward(
        face_index.contiguous(),
        depth.contiguous(),
        bump,
        mask,
        _cameras(depth, focal, principal_point),
        along == "ray",
        float(max_depth_gap_mm),
        math.cos(max_view_angle),
    )
    return DenseMesh(verts, is_vertex, cells)


def _cameras(depth: Tensor, focal: float | Tensor, principal_point: tuple[float, float] | Tensor | None) -> Tensor:
    """(B, 3): focal length, x and y of the principal point."""
    batch, height, width = depth.shape
    if isinstance(focal, Tensor):
        check_floating("focal", focal)
        check_same("focal", focal, "depth", depth)
        check_shape("focal", focal, (batch,))
        focal = focal.detach()
    else:
        if not (focal > 0 and math.isfinite(focal)):
            raise ValueError(f"focal must be finite and greater than 0, got {focal}")
        focal = depth.new_full((batch,), float(focal))
    if isinstance(principal_point, Tensor):
        check_floating("principal_point", principal_point)
        check_same("principal_point", principal_point, "depth", depth)
        check_shape("principal_point", principal_point, (batch, 2))
        return torch.cat([focal[:, None], principal_point.detach()], 1)
    x, y = (0.5 * width, 0.5 * height) if principal_point is None else principal_point
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError(f"principal_point must be finite, got {principal_point}")
    return torch.stack([focal, torch.full_like(focal, x), torch.full_like(focal, y)], 1)


@torch.library.custom_op("pyface3d::dense_mesh", mutates_args=())
def _forward(
    face_index: Tensor,
    depth: Tensor,
    bump: Tensor | None,
    mask: Tensor | None,
    cameras: Tensor,
    along_ray: bool,
    max_gap: float,
    least_cosine: float,
) -> tuple[Tensor, Tensor, Tensor]:
    verts, is_vertex, cells = _empty_mesh(depth)
    launch(
        "dense_mesh",
        face_index,
        depth,
        bump,
        mask,
        cameras,
        verts,
        is_vertex,
        cells,
        *depth.shape,
        along_ray,
        max_gap,
        least_cosine,
    )
    return verts, is_vertex, cells


def _empty_mesh(depth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    batch, height, width = depth.shape
    return (
        depth.new_empty(batch, height, width, 3),
        depth.new_empty(batch, height, width, dtype=torch.bool),
        depth.new_empty(batch, max(height - 1, 0), max(width - 1, 0), dtype=torch.uint8),
    )


@torch.library.custom_op("pyface3d::dense_mesh_backward", mutates_args=())
def _backward(
    is_vertex: Tensor, cameras: Tensor, grad: Tensor, along_ray: bool, wanted: list[bool]
) -> tuple[Tensor, Tensor]:
    """Gradients of depth and bump; an empty tensor for each that is not wanted."""
    grads = _backward_fake(is_vertex, cameras, grad, along_ray, wanted)
    launch(
        "dense_mesh_backward",
        is_vertex,
        cameras,
        grad.contiguous(),
        *(g if want else None for g, want in zip(grads, wanted)),
        *is_vertex.shape,
        along_ray,
    )
    return grads


def _backward_fake(
    is_vertex: Tensor, cameras: Tensor, grad: Tensor, along_ray: bool, wanted: list[bool]
) -> tuple[Tensor, Tensor]:
    of_depth, of_bump = (grad.new_empty(is_vertex.shape if want else 0) for want in wanted)
    return of_depth, of_bump


def _setup(ctx, inputs, output) -> None:
    _, _, _, _, cameras, ctx.along_ray, _, _ = inputs
    _, is_vertex, cells = output
    ctx.mark_non_differentiable(is_vertex, cells)
    ctx.save_for_backward(is_vertex, cameras)


def _autograd(ctx, grad: Tensor, *_) -> tuple[Tensor | None, ...]:
    wanted = list(ctx.needs_input_grad[1:3])
    of_depth, of_bump = _backward(*ctx.saved_tensors, grad, ctx.along_ray, wanted)
    return None, of_depth if wanted[0] else None, of_bump if wanted[1] else None, *(None,) * 5


_forward.register_fake(lambda face_index, depth, *_: _empty_mesh(depth))
_backward.register_fake(_backward_fake)
_forward.register_autograd(_autograd, setup_context=_setup)
