"""The photo's side of a texture: the part of it around the face, and what the fitted mesh shows in every pixel."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.fit.results import FaceFit
from pyface3d.ops import Fragments, Topology, interpolate, rasterize, render_texture, vertex_normals

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel

_MARGIN = 0.25  # of the head's box, around it: enough of what is behind to learn its colours
_MAX_SIDE = 900  # px of the working crop; beyond it a 1024² chart gains nothing
_WARP_REACH = 0.10  # of the face's size: how far one landmark's correction reaches
_WARP_NOISE = 0.5  # of a landmark's displacement taken for its own noise
_WARP_LIMIT = 0.06  # of the face's size: a landmark further off is a failure of the detector or of the fit


@dataclass(frozen=True)
class FaceView:
    """The photo around one face, and the fitted mesh drawn into it. All maps are (h, w) of the working crop.

    Attributes:
        image: linear RGB, (h, w, 3).
        scale: crop pixels per photo pixel, at most 1 (a large photo is averaged down).
        corner: photo position of the crop's outer corner, px, (2,).
        verts_image: the mesh in the crop: u px, v px, depth mm, (V, 3).
        verts_camera: the mesh in the camera frame, mm, (V, 3).
        normals: outward unit vertex normals in the camera frame, (V, 3).
        cosine: of the angle between surface and line of sight, (h, w); 0 off the mesh.
        fragments: which triangle each pixel shows, batch 1, of ``topology``.
        topology: the triangles that hide each other here: the model's without the lashes' cards.
        size_px: diagonal of the face's box in crop pixels.
    """

    image: Tensor
    scale: float
    corner: Tensor
    verts_image: Tensor
    verts_camera: Tensor
    normals: Tensor
    cosine: Tensor
    fragments: Fragments
    topology: Topology
    size_px: float

    @property
    def covered(self) -> Tensor:
        """True where the mesh is drawn, (h, w) bool."""
        return self.fragments.face_index[0] >= 0

    @property
    def depth(self) -> Tensor:
        """Depth of the mesh, mm, (h, w); infinite off it."""
        return torch.where(self.covered, self.fragments.depth[0], self.fragments.depth.new_tensor(torch.inf))

    def draw(self, attributes: Tensor) -> Tensor:
        """Per-vertex attributes (V, C) in every pixel, (h, w, C); zero off the mesh."""
        return interpolate(attributes.contiguous(), self.fragments, self.topology)[0]

    def draw_texture(self, texture: Tensor) -> Tensor:
        """A texture (Ht, Wt, C) in every pixel, (h, w, C)."""
        return render_texture(texture[None], self.fragments, self.topology)[0]

    def sample(self, picture: Tensor, points: Tensor, mode: str = "bilinear") -> Tensor:
        """``picture`` (h, w, C) at crop positions (..., 2) in px; (..., C). The rim is continued outside."""
        h, w = picture.shape[:2]
        grid = points.reshape(1, 1, -1, 2) / points.new_tensor([w, h]) * 2 - 1
        values = functional.grid_sample(
            picture.permute(2, 0, 1)[None], grid, mode=mode, padding_mode="border", align_corners=False
        )
        return values[0, :, 0].mT.reshape(*points.shape[:-1], picture.shape[2])


def face_view(
    model: "FaceModel",
    image: Tensor,
    fit: FaceFit,
    *,
    face: Tensor,
    hidden_parts: Tensor,
    points: Tensor | None = None,
    fitted_points: Tensor | None = None,
) -> FaceView | None:
    """Cut the face out of the photo and draw the mesh over it.

    Args:
        image: (H, W, 3) linear RGB.
        fit: of one face.
        face: vertices of the face proper, which decide on the crop, (V,) bool.
        hidden_parts: vertices of parts that hide nothing here (lashes: cards of mostly air), (V,) bool.
        points, fitted_points: landmarks as detected and as the fit has them, (K, 2) photo px. Where both are given,
            the mesh is shifted in the picture, smoothly, so that what is painted on lids and lips is lids and lips.

    Returns:
        None when no pixel of the face lies in the photo.
    """
    verts_camera = fit.verts_camera(model)[0].float()
    verts_image = fit.verts_image(model)[0].float()
    extent = verts_image[face, :2].amax(0) - verts_image[face, :2].amin(0)
    size = float(extent.norm())
    if points is not None and fitted_points is not None:
        shift = landmark_warp(verts_image[:, :2], fitted_points.float(), points.float(), size)
        verts_image = torch.cat([verts_image[:, :2] + shift, verts_image[:, 2:]], 1)
    height, width = image.shape[:2]
    low = (verts_image[:, :2].amin(0) - _MARGIN * size).clamp_min(0).floor()
    high = torch.minimum((verts_image[:, :2].amax(0) + _MARGIN * size).ceil(), low.new_tensor([width, height]))
    if not bool((high - low > 1).all()) or not bool((verts_image[:, 2] > 0).all()):
        return None
    (left, top), (right, bottom) = low.long().tolist(), high.long().tolist()
    crop = image[top:bottom, left:right]
    crop, scale = _averaged_down(crop, _MAX_SIDE)
    ratio = scale.new_tensor([crop.shape[1] / (right - left), crop.shape[0] / (bottom - top)])
    verts_image = torch.cat([(verts_image[:, :2] - low) * ratio, verts_image[:, 2:]], 1).contiguous()
    topology = triangles_without(model.topology, hidden_parts)
    fragments = rasterize(verts_image[None], topology, crop.shape[0], crop.shape[1])
    normals = vertex_normals(verts_camera[None].contiguous(), model.topology)[0]
    towards = -functional.normalize(verts_camera, dim=-1)
    cosine = interpolate((normals * towards).sum(-1, keepdim=True), fragments, topology)[0, ..., 0]
    return FaceView(
        image=crop,
        scale=float(scale),
        corner=low,
        verts_image=verts_image,
        verts_camera=verts_camera,
        normals=normals,
        cosine=cosine.clamp(0, 1),
        fragments=fragments,
        topology=topology,
        size_px=size * float(scale),
    )


def landmark_warp(where: Tensor, source: Tensor, target: Tensor, size: float) -> Tensor:
    """Smooth displacement that takes ``source`` points towards ``target`` points.

    A Gaussian process over the picture: far from every point it is zero, between points that agree it is their
    displacement, and part of each displacement is taken for noise.

    Args:
        where: positions asked for, (N, 2) px.
        source, target: (K, 2) px.
        size: of the face, px; sets the reach, and the limit beyond which a point is not believed.

    Returns:
        (N, 2) px.
    """
    shift = target - source
    believed = shift.norm(dim=1) < _WARP_LIMIT * size
    if not bool(believed.any()):
        return torch.zeros_like(where)
    source, shift = source[believed], shift[believed]

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-0.5 * (torch.cdist(a, b) / (_WARP_REACH * size)) ** 2)

    gram = kernel(source, source) + _WARP_NOISE * torch.eye(len(source), dtype=source.dtype)
    return kernel(where, source) @ torch.linalg.solve(gram.double(), shift.double()).to(where)


def edge_distance(mask: Tensor) -> Tensor:
    """Distance in pixels of every True pixel's middle from the nearest edge of ``mask``, (h, w); 0 where False.

    The rim of the picture is an edge too: what lies beyond was not seen.
    """
    import cv2

    padded = np.pad(mask.numpy().astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    # To the middle of the nearest pixel outside; its edge is half a pixel nearer.
    return torch.from_numpy(np.maximum(distance - 0.5, 0).astype(np.float32))


def depth_edges(depth: Tensor, jump_mm: float) -> Tensor:
    """Pixels beside a step in depth: the rims where one part of the head hides another, (h, w) bool."""
    edges = torch.zeros_like(depth, dtype=torch.bool)
    finite = depth.nan_to_num(posinf=1e9)
    across = (finite[:, 1:] - finite[:, :-1]).abs() > jump_mm
    down = (finite[1:] - finite[:-1]).abs() > jump_mm
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= down
    edges[:-1] |= down
    return edges


def _averaged_down(image: Tensor, max_side: int) -> tuple[Tensor, Tensor]:
    """At most ``max_side`` pixels along the longer side, averaged (not skipped), and the factor."""
    scale = min(1.0, max_side / max(image.shape[:2]))
    if scale == 1.0:
        return image.contiguous(), image.new_tensor(1.0)
    h, w = (max(2, round(n * scale)) for n in image.shape[:2])
    small = functional.interpolate(
        image.permute(2, 0, 1)[None], size=(h, w), mode="bilinear", antialias=True, align_corners=False
    )
    return small[0].permute(1, 2, 0).contiguous(), image.new_tensor(scale)


def triangles_without(topology: Topology, verts: Tensor) -> Topology:
    """The triangles that touch none of ``verts`` (V,) bool."""
    kept = ~verts[topology.faces.long()].any(1)
    if bool(kept.all()):
        return topology
    uv_faces = None if topology.uv_faces is None else topology.uv_faces[kept]
    return Topology(topology.faces[kept], topology.num_verts, topology.uvs, uv_faces)
