"""A whole head's texture from one photo: the photo where it shows the face, the head's own other side or the albedo
model in the photo's light elsewhere, joined so that no seam shows.

Everything is added up as log colour:  albedo + light + slow offset + detail.  The first two exist everywhere; the
slow offset is measured where the photo is trusted and carried on over the mesh (`texture_light`); detail is what the
photo has beyond these, taken whole where trusted and from the mirror image where only that is. So at a seam there is
nothing to step: only detail fades.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.errors import InputError
from pyface3d.fit.results import FaceFit
from pyface3d.fit.skin import LOG_FLOOR
from pyface3d.fit.texture_areas import FaceAreas, face_areas
from pyface3d.fit.texture_chart import TexelGrid, texel_grid
from pyface3d.fit.texture_detail import blur_to_resolution, grain
from pyface3d.fit.texture_light import extend_colors
from pyface3d.fit.texture_mask import FaceMask, face_mask, known_face_mask
from pyface3d.fit.texture_mouth import MouthTexels, mouth_colors, teeth_only
from pyface3d.fit.texture_view import FaceView, depth_edges, edge_distance, face_view

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel

SOURCE_PRIOR, SOURCE_OBSERVED, SOURCE_MIRRORED, SOURCE_RECOVERED = 0, 1, 2, 3
"""Values of ``source``: the model alone, the photo, the photo of the other side, an occlusion recovery."""

_ERODE_PX = 3.0  # from every edge of what is trusted: interpolated, blurred and misfitted pixels
_ERODE = 0.008  # of the face's size, besides: what is soft about an edge grows with the picture
_FADE = 0.02  # of the face's size: width of the blend beyond the erosion
_COSINE = (0.20, 0.45)  # to the line of sight: not used below the first, fully above the second
_DEPTH_STEP_MM = 8.0  # between neighbouring pixels: one part of the head in front of another
_DEPTH_TOLERANCE_MM = 2.0
_MIRROR_CONFIDENCE = 0.5  # a face is about symmetric; its light, its gaze and its moles are not
_TYPICAL_SPREAD = 0.5  # log units, of the slow offset over one face
_SOCKET_SHADE = -0.9  # log units: behind the lids it is dark
_GREY = 0.25  # relative difference between the channels of a black and white photo, a toned one included
_EYE_SEEN = 0.8  # of an eye in sight, to take it from the photo; less may lack the iris
_MAX_DETAIL = 2.5  # log units


@dataclass(frozen=True)
class Texture:
    """A head's texture and what of it was seen.

    Attributes:
        image: linear RGB in [0, 1] in the model's chart, with the photo's light in it, (Ht, Wt, 3).
        observed: how much of each texel is the photo's, in [0, 1], (Ht, Wt).
        mirrored: how much is the photo of the other side, in [0, 1], (Ht, Wt); the rest is the model's.
        source: of each vertex, (V,) uint8: 0 prior, 1 observed, 2 mirrored.
        confidence: of each vertex, in [0, 1], (V,); 0 for the prior.
        face_mask: pixels of the photo that were taken to show this face, (H, W) bool.
    """

    image: Tensor
    observed: Tensor
    mirrored: Tensor
    source: Tensor
    confidence: Tensor
    face_mask: Tensor


def build_texture(
    model: "FaceModel",
    image_linear: Tensor,
    fit: FaceFit,
    *,
    points: Tensor | None = None,
    mask: Tensor | None = None,
    size: int | None = None,
) -> Texture:
    """Texture a fitted head with the photo it was fitted to.

    Args:
        model: with a texture chart and an albedo.
        image_linear: the photo, linear RGB in [0, 1], (H, W, 3) or (1, H, W, 3).
        fit: of one face (batch 1) in that photo. ``albedo`` and ``inliers`` are used where the fit has them.
        points: landmarks as detected, photo px, (68, 2); with them the photo is laid exactly onto lids, lips and brows
            where the fit is a few pixels off.
        mask: probability that a pixel shows the face, (H, W) in [0, 1] or bool, for example of the part network
            (`detect.parts`): it decides what is used of the photo. Without it colours and the fit's inliers do.
        size: texels a side; left out, 1024, or 512 for a face of fewer than 120 pixels.

    Returns:
        The texture, on the photo's device. Where no pixel can be trusted it is the albedo model's, and says so.

    Raises:
        InputError: wrong shapes or values, a fit of several faces, a model without chart.
    """
    image = _checked_image(image_linear)
    height, width = image.shape[:2]
    _check_arguments(fit, points, mask, size, height, width)
    areas = face_areas(model)
    view = face_view(
        model,
        image,
        fit,
        face=areas.face > 0.5,
        hidden_parts=areas.lashes,
        points=None if points is None else points.detach().cpu(),
        fitted_points=_fitted_points(fit),
    )
    size = size or (512 if view is not None and view.size_px < 170 else 1024)
    grid = texel_grid(model, size)
    albedo, mean_albedo = (grid.spread(_albedo(model, coefficients, size)) for coefficients in _albedos(model, fit))
    if view is None:
        return _finished(_unseen(grid, albedo), torch.zeros(height, width, dtype=torch.bool), image_linear)
    if _is_grey(view.image):
        albedo, mean_albedo = (
            one.mean(-1, keepdim=True).expand(-1, -1, 3).contiguous() for one in (albedo, mean_albedo)
        )
    # Skin is told by its distance from the mean albedo: a fitted one may have learnt what hides the face.
    shown = view.draw_texture(mean_albedo)
    if mask is not None:
        face = known_face_mask(view, areas, shown, _in_view(view, mask.float()))
    else:
        inliers = getattr(fit, "inliers", None)
        face = face_mask(view, areas, shown, inliers=None if inliers is None else _in_view(view, inliers[0]))
    seen = torch.zeros(height, width, dtype=torch.bool) if face.skin is None else _in_photo(view, face, height, width)
    layers = _unseen(grid, albedo) if face.skin is None else _composed(model, view, areas, grid, albedo, face)
    return _finished(layers, seen, image_linear)


@dataclass(frozen=True)
class _Layers:
    image: Tensor
    observed: Tensor
    mirrored: Tensor
    vertex_observed: Tensor
    vertex_mirrored: Tensor
    confidence: Tensor


def _composed(
    model: "FaceModel", view: FaceView, areas: FaceAreas, grid: TexelGrid, albedo: Tensor, face: FaceMask
) -> _Layers:
    assert face.skin is not None
    photo, observed, certainty, in_sight = _photo_in_chart(view, areas, grid, face)
    albedo, observed = _eyes_whole(grid, areas, albedo, observed, in_sight)
    mouth = MouthTexels.of(areas, grid)
    skin_seen = (observed > 0.5) & (grid.from_verts(areas.core[:, None])[..., 0] > 0.5)
    if bool(skin_seen.any()):
        tone = torch.log(photo[skin_seen] + LOG_FLOOR).median(0).values
        observed = teeth_only(mouth, photo, observed, tone, grey=_is_grey(view.image))
    else:  # nothing to compare teeth with
        observed = torch.where(mouth.inside, 0.0, observed)
    certainty = torch.minimum(certainty, observed)
    texels_per_pixel = _texels_per_pixel(view, grid, observed)
    shade = torch.from_numpy(face.skin.shade(view.normals.numpy()))
    shade = torch.where(areas.sockets[:, None], torch.from_numpy(face.skin.even) + _SOCKET_SHADE, shade)
    model_log = torch.log(blur_to_resolution(albedo, texels_per_pixel) + LOG_FLOOR) + grid.from_verts(shade)
    difference = (torch.log(photo + LOG_FLOOR) - model_log).clamp(-_MAX_DETAIL, _MAX_DETAIL)

    offset, seen = grid.to_verts(difference, torch.where(mouth.inside, 0.0, observed))
    skin = (areas.core > 0.15) & (seen > 0.5)
    prior = offset[skin].median(0).values if bool(skin.any()) else offset.new_zeros(3)
    slow = grid.from_verts(extend_colors(model, offset, seen * _typical(offset, prior, areas), prior))
    detail = difference - slow
    other = _at_mirror(grid, torch.cat([detail * observed[..., None], observed[..., None]], -1))
    mirrored = torch.where(mouth.inside, 0.0, other[..., 3] * (1 - observed))
    trusted = (observed > 0.9) & (grid.from_verts(areas.core[:, None])[..., 0] > 0.5)
    noise = grain(detail.mean(-1), trusted, texels_per_pixel) * (1 - observed - mirrored)
    log_color = model_log + slow + observed[..., None] * detail + (1 - observed[..., None]) * other[..., :3]
    inside = mouth_colors(mouth, albedo, photo, observed, face.skin)
    log_color = torch.where(mouth.inside[..., None], inside, log_color)
    color = grid.spread(torch.exp(log_color + noise[..., None]) - LOG_FLOOR)
    means, _ = grid.to_verts(torch.stack([observed, mirrored, certainty], -1), torch.ones_like(observed))
    own, borrowed = means[:, 0], means[:, 1]
    confidence = torch.maximum(means[:, 2], _MIRROR_CONFIDENCE * means[model.mirror.cpu().long(), 2] * borrowed)
    return _Layers(color, observed, mirrored, own, borrowed, confidence)


def _typical(offset: Tensor, prior: Tensor, areas: FaceAreas) -> Tensor:
    """How well each vertex's offset (V, 3) speaks for the skin around it, (V,), in (0, 1].

    Lips and brows that the model has a little beside the photo's, and hair that got through, must not colour the
    skin that is filled in next to them.
    """
    odd = ((offset - prior).norm(dim=1) / _TYPICAL_SPREAD) ** 2
    plain = ~(areas.lips | areas.brows | areas.lids | areas.nostrils)
    return torch.where(plain, 1.0, 0.1) / (1 + odd)


def _eyes_whole(
    grid: TexelGrid, areas: FaceAreas, albedo: Tensor, observed: Tensor, in_sight: Tensor
) -> tuple[Tensor, Tensor]:
    """Each eye from one source: a photo's iris beside the model's would be two.

    An eye that is mostly seen takes the photo, and what lies behind its lids (and the other eye, which borrows from
    it) is white; an eye that is mostly hidden is left to the model.

    Returns:
        The albedo and how far the photo is used, both as given outside of the eyes.
    """
    eyes = grid.from_verts(areas.eyes.float()[:, None])[..., 0] > 0.5
    middle = grid.size // 2
    any_seen = False
    observed = observed.clone()
    for side in (slice(0, middle), slice(middle, None)):  # a chart has its two eyes left and right
        eye, sight = eyes[:, side], eyes[:, side] & in_sight[:, side]
        seen = bool(sight.any()) and float(observed[:, side][sight].mean()) > _EYE_SEEN
        if not seen:
            observed[:, side][eye] = 0
        any_seen |= seen
    if any_seen:
        brightness = albedo[eyes].mean(1)
        white = albedo[eyes][brightness >= brightness.quantile(0.6)].median(0).values
        albedo = torch.where(eyes[..., None], white, albedo)
    return albedo, observed


def _photo_in_chart(
    view: FaceView, areas: FaceAreas, grid: TexelGrid, face: FaceMask
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For every texel: the photo's colour (S, S, 3), how far it is used, how sure that is, and whether it is in sight
    of the camera at all, (S, S) each."""
    towards = -functional.normalize(view.verts_camera, dim=-1)
    cosine = (view.normals * towards).sum(-1, keepdim=True)
    at = grid.from_verts(torch.cat([view.verts_image, cosine, areas.face[:, None]], 1))
    where, depth, cosine, allowed = at[..., :2], at[..., 2], at[..., 3], at[..., 4]
    hollow = view.draw((areas.mouth | areas.eyes).float()[:, None])[..., 0]
    # Lips stand in front of teeth all around a mouth; eroding there would leave nothing of it.
    edges = depth_edges(view.depth, _DEPTH_STEP_MM) & (functional.max_pool2d(hollow[None], 3, 1, 1)[0] == 0)
    distance = edge_distance(face.mask & ~edges)
    start = _ERODE_PX + _ERODE * view.size_px
    inside = _smooth_step(distance, start, start + max(2.0, _FADE * view.size_px))
    farthest = functional.max_pool2d(torch.where(view.covered, view.depth, 0.0)[None], 3, 1, 1)[0]
    maps = view.sample(torch.stack([inside, face.probability], -1), where)
    visible = view.sample(farthest[..., None], where, "nearest")[..., 0] > depth - _DEPTH_TOLERANCE_MM
    height, width = view.image.shape[:2]
    framed = (where > 0).all(-1) & (where[..., 0] < width) & (where[..., 1] < height) & grid.covered
    angle = _smooth_step(cosine, *_COSINE)
    observed = maps[..., 0] * angle * allowed * (visible & framed)
    certainty = observed * maps[..., 1] * cosine.clamp(0, 1)
    photo = view.sample(view.image, where, "bicubic").clamp(0, 1)
    return photo, observed, certainty, visible & framed & (angle > 0)


def _is_grey(image: Tensor) -> bool:
    """Whether a photo is black and white, so that the model's colours would not fit in."""
    pixels = image.flatten(0, 1)[:: max(1, image.shape[0] * image.shape[1] // 50_000)]
    lit = pixels[pixels.amax(1) > 0.05]
    return len(lit) > 0 and float((1 - lit.amin(1) / lit.amax(1)).quantile(0.95)) < _GREY


def _texels_per_pixel(view: FaceView, grid: TexelGrid, observed: Tensor) -> float:
    """Median over the seen texels of how many texels lie along one photo pixel."""
    where = grid.from_verts(view.verts_image[:, :2])
    step = (where[:, 1:] - where[:, :-1]).norm(dim=-1)
    seen = observed[:, 1:] > 0.5
    return 1 / max(float(step[seen].median()), 0.05) if bool(seen.any()) else 1.0


def _at_mirror(grid: TexelGrid, texture: Tensor) -> Tensor:
    values = functional.grid_sample(
        texture.permute(2, 0, 1)[None], grid.mirror_uvs[None] * 2 - 1, padding_mode="border", align_corners=False
    )[0].permute(1, 2, 0)
    return torch.where(grid.covered[..., None], values, 0.0)


def _unseen(grid: TexelGrid, albedo: Tensor) -> _Layers:
    none, nowhere = torch.zeros(grid.size, grid.size), torch.zeros(grid.num_verts)
    return _Layers(albedo, none, none, nowhere, nowhere, nowhere)


def _finished(layers: _Layers, seen: Tensor, like: Tensor) -> Texture:
    source = torch.zeros(len(layers.confidence), dtype=torch.uint8)
    source[layers.vertex_mirrored > 0.5] = SOURCE_MIRRORED
    source[layers.vertex_observed > 0.5] = SOURCE_OBSERVED
    confidence = torch.where(source == SOURCE_PRIOR, 0.0, layers.confidence.clamp(0, 1))
    shares = (layers.observed.clamp(0, 1), layers.mirrored.clamp(0, 1))
    tensors = (layers.image.clamp(0, 1), *shares, source, confidence, seen)
    return Texture(*(tensor.to(like.device) for tensor in tensors))


def _albedos(model: "FaceModel", fit: FaceFit) -> tuple[Tensor, Tensor]:
    """Coefficients of the fitted albedo (the mean one where the fit has none) and of the mean one, (1, A) each."""
    mean = torch.zeros(1, model.albedo_dim)
    fitted = getattr(fit, "albedo", None)
    return (mean if fitted is None else fitted), mean


def _albedo(model: "FaceModel", coefficients: Tensor, size: int) -> Tensor:
    """An albedo of the model in the chart, linear RGB, (size, size, 3)."""
    with torch.no_grad():
        albedo = model.albedo(coefficients)[0].detach().cpu().float()
    if albedo.dim() == 2:
        return texel_grid(model, size).from_verts(albedo)
    if albedo.shape[:2] == (size, size):
        return albedo.clamp(0, 1)
    resized = functional.interpolate(
        albedo.permute(2, 0, 1)[None], size=(size, size), mode="bilinear", antialias=True, align_corners=False
    )
    return resized[0].permute(1, 2, 0).clamp(0, 1).contiguous()


def _in_view(view: FaceView, photo_mask: Tensor) -> Tensor:
    """A mask of the photo (H, W) in the pixels of the working crop."""
    photo_mask = photo_mask.detach().cpu()
    h, w = view.image.shape[:2]
    rows = (view.corner[1] + (torch.arange(h) + 0.5) / view.scale).long().clamp(0, photo_mask.shape[0] - 1)
    columns = (view.corner[0] + (torch.arange(w) + 0.5) / view.scale).long().clamp(0, photo_mask.shape[1] - 1)
    return photo_mask[rows][:, columns]


def _in_photo(view: FaceView, face: FaceMask, height: int, width: int) -> Tensor:
    """The crop's decision in the photo's pixels, (H, W) bool."""
    h, w = face.mask.shape
    rows = ((torch.arange(height) + 0.5 - view.corner[1]) * view.scale).floor().long()
    columns = ((torch.arange(width) + 0.5 - view.corner[0]) * view.scale).floor().long()
    inside = ((rows >= 0) & (rows < h))[:, None] & ((columns >= 0) & (columns < w))
    return face.mask[rows.clamp(0, h - 1)][:, columns.clamp(0, w - 1)] & inside


def _smooth_step(value: Tensor, low: float, high: float) -> Tensor:
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _fitted_points(fit: FaceFit) -> Tensor | None:
    points = getattr(fit, "points", None)
    return None if points is None else points[0].detach().cpu()


def _checked_image(image: Tensor) -> Tensor:
    if not isinstance(image, Tensor) or not image.is_floating_point():
        kind = image.dtype if isinstance(image, Tensor) else type(image).__name__
        raise InputError(f"image_linear must be a floating-point tensor of linear RGB, got {kind}; use srgb_to_linear")
    shape = tuple(image.shape)
    if image.dim() == 4 and len(image) == 1:
        image = image[0]
    if image.dim() != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise InputError(f"image_linear must have shape (H, W, 3) or (1, H, W, 3), got {shape}; pass one photo")
    image = image.detach().cpu().float()
    if not bool(image.isfinite().all()):
        raise InputError("image_linear must be finite, got NaN or infinity; check how the photo was read")
    return image.clamp(0, 1)


def _check_arguments(
    fit: FaceFit, points: Tensor | None, mask: Tensor | None, size: int | None, height: int, width: int
) -> None:
    if len(fit) != 1:
        raise InputError(f"fit must be of one face (batch 1), got {len(fit)}; build one texture at a time")
    if (fit.camera.height, fit.camera.width) != (height, width):
        raise InputError(
            f"fit's camera sees {fit.camera.height} x {fit.camera.width} pixels but image_linear has "
            f"{height} x {width}; pass the photo that was fitted"
        )
    if points is not None and tuple(points.shape) != (68, 2):
        raise InputError(f"points must have shape (68, 2), got {tuple(points.shape)}; pass this face's landmarks")
    if mask is not None:
        if tuple(mask.shape) != (height, width) or not (mask.dtype == torch.bool or mask.is_floating_point()):
            raise InputError(
                f"mask must be bool or floating-point of shape ({height}, {width}), got {mask.dtype} "
                f"{tuple(mask.shape)}"
            )
        if mask.is_floating_point() and not bool(((mask >= 0) & (mask <= 1)).all()):
            raise InputError("mask must be probabilities from 0 to 1")
    if size is not None and not 16 <= size <= 8192:
        raise InputError(f"size must be from 16 to 8192 texels, got {size}")
