"""A default fit carried into the crop, and relief along the normal as relief along the camera's axis."""

from __future__ import annotations

import cv2
import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.detect.crops import Crop
from pyface3d.face_models import FaceModel
from pyface3d.fit.relief import facing_share
from pyface3d.fit.texture_areas import face_areas
from pyface3d.geometry.bump_maps import CROP_SIZE
from pyface3d.ops import interpolate, vertex_normals
from pyface3d.reconstruction import Reconstruction
from pyface3d.surface_detail import rounded_points
from pyface3d.systems.extreme3d.foundation import Foundation, build_foundation
from pyface3d.systems.extreme3d.geometry_only import Placed
from pyface3d.systems.extreme3d.relief import Relief

_RIM_PX = 10.0  # 6 mm: over so much of the face's border relief rises from nothing
_LEAST_COSINE = 0.2


def carry(result: Reconstruction, model: FaceModel, crop: Crop) -> Placed:
    """The head of a fit to the photo, before the camera of the crop: what the crop shows stays where it is.

    Cutting and scaling a picture by one factor changes a pinhole camera's focal length and centre and nothing else, so
    that nothing is fitted anew.

    Args:
        result: of `systems.fit.reconstruct`.
        model: the face model, or a finer level of it.
        crop: a square of the photo, upright.
    """
    camera = result.camera.to(torch.float64)
    scale, corner = float(crop.matrix[0, 0]), -crop.matrix[:, 2] / crop.matrix[0, 0]
    one = torch.ones(1, dtype=torch.float64)
    camera = camera.cropped(one * corner[0], one * corner[1], one * scale, crop.height, crop.width)
    identity, expression = (result.coefficients[name].double() for name in ("identity", "expression"))
    foundation = build_foundation(model, identity, expression, result.rotation, result.translation, camera)
    return Placed(foundation, identity, expression)


def face_region(foundation: Foundation, model: FaceModel) -> Tensor:
    """Pixels of the crop that show the face of the head, whatever hides it in the photo: (H, W) bool.

    Forehead, cheeks, nose, chin, eyes and mouth; no ears, neck or back of the head.
    """
    areas = face_areas(model)
    face = areas.face.clone()
    if "ears" in model.regions:
        face[model.regions["ears"].cpu()] = 0
    return _at_pixels(foundation, face)[..., 0] > 0.5


def relief_along_axis(foundation: Foundation, model: FaceModel, mm: Tensor, region: Tensor) -> Tensor:
    """Relief along the normal as relief along the camera's axis, which is how `build_dense` raises pixels: (H, W) mm.

    A piece of surface that moves by h along its normal moves by h / cos θ along an axis at the angle θ to it. Skin seen
    at a grazing angle has less and then none of it, and so have the rim of the face, eyes, lashes and the mouth's
    inside.

    Args:
        mm: (H, W) along the normal.
        region: (H, W) bool, `face_region`.
    """
    areas = face_areas(model)
    skin = (~(areas.eyes | areas.mouth | areas.lashes | areas.sockets)).float()
    normals = vertex_normals(foundation.verts_camera[None], foundation.topology)[0]
    towards = -(normals * functional.normalize(foundation.verts_camera, dim=-1)).sum(-1)
    values = _at_pixels(foundation, torch.cat([normals, torch.stack([facing_share(towards), skin.double()], 1)], 1))
    cosine = -functional.normalize(values[..., :3], dim=-1)[..., 2]
    counts = values[..., 3] * values[..., 4] * _rim_share(region)
    return torch.where(region, mm.double() * counts / cosine.clamp_min(_LEAST_COSINE), 0.0)


def relief_along_normal(foundation: Foundation, mm: Tensor) -> Tensor:
    """The way back: relief along the camera's axis as relief along the normal, (H, W) mm; 0 where nothing is drawn."""
    normals = vertex_normals(foundation.verts_camera[None], foundation.topology)[0]
    cosine = -functional.normalize(_at_pixels(foundation, normals), dim=-1)[..., 2]
    return torch.where(foundation.fragments.mask[0], mm * cosine.clamp_min(0), 0.0)


def rounding(foundation: Foundation) -> Tensor:
    """How far along the camera's axis to raise the pixels of flat triangles to make them round, (H, W) mm: else a mesh
    with edges of some millimetres shows its triangles. 0 at the vertices, and where the surface turns away."""
    verts, fragments = foundation.verts_camera, foundation.fragments
    normals = vertex_normals(verts[None], foundation.topology)[0]
    towards = -(normals * functional.normalize(verts, dim=-1)).sum(-1)
    values = _at_pixels(foundation, torch.cat([verts, normals, facing_share(towards)[:, None]], 1))
    smooth = functional.normalize(values[..., 3:6], dim=-1)
    apart = rounded_points(verts, normals, fragments, foundation.closed)[0] - values[..., :3]
    along = (apart * smooth).sum(-1) * values[..., 6] / (-smooth[..., 2]).clamp_min(_LEAST_COSINE)
    return torch.where(fragments.mask[0], along, 0.0)


def face_relief(foundation: Foundation, model: FaceModel, mm: Tensor | None) -> Relief:
    """Relief and mask of a face with relief ``mm`` (H, W) along the normal; None: flat. Occluders count as face."""
    region = face_region(foundation, model)
    flat = torch.zeros(CROP_SIZE, CROP_SIZE, dtype=torch.float64)
    along = flat if mm is None else relief_along_axis(foundation, model, mm, region)
    return Relief(along, region.to(torch.uint8) * 255)


def _at_pixels(foundation: Foundation, values: Tensor) -> Tensor:
    """Values of the vertices (V,) or (V, C) in every pixel of the crop, (H, W, C); 0 where no head is drawn."""
    rows = values.double().reshape(len(values), -1).contiguous()
    return interpolate(rows[None], foundation.fragments, foundation.closed)[0]


def _rim_share(region: Tensor) -> Tensor:
    """0 at the border of a region (H, W) bool, 1 well inside of it, smooth between."""
    depth = cv2.distanceTransform(region.to(torch.uint8).numpy(), cv2.DIST_L2, 5)
    share = torch.from_numpy(depth).double().div(_RIM_PX).clamp(0, 1)
    return share * share * (3 - 2 * share)
