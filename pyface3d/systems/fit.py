"""The default system: detect, find landmarks, fit the head model, texture it from the photo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.detect import Face, detect_faces, face_from_landmarks, landmarks68
from pyface3d.detect.face_points import FacePrediction, load_face_points
from pyface3d.detect.faces import DETECTOR, no_face
from pyface3d.detect.landmarks import PREDICTOR, PREDICTORS
from pyface3d.errors import InputError
from pyface3d.face_models import load_face_model
from pyface3d.fit import DenseLandmarks, FaceFit, LandmarkFit, PhotometricFit, check_plausibility, fit_landmarks
from pyface3d.fit.hidden_points import widened
from pyface3d.fit.photometric import fit_photometric
from pyface3d.fit.sparse_model import has_dense_points
from pyface3d.fit.texture import build_texture
from pyface3d.io.color import srgb_to_linear
from pyface3d.ops import rasterize, vertex_normals, vertex_visibility
from pyface3d.reconstruction import Reconstruction
from pyface3d.systems.relief import check_bump, relief_source, with_relief
from pyface3d.systems.sight import FaceSight, given_sight, network_sight, resolved_occlusion
from pyface3d.systems.steps import one_thread, timed

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel

FITS = ("none", "landmarks", "full")
Fit = Literal["none", "landmarks", "full"]

_POSE_ONLY = 1e6  # weight of the priors at which the mean face stays
_WINDOW = 0.6  # picture kept around a face, of its size, on every side: enough for skin and light, not the whole photo
_VISIBLE_MM = 3.0  # depth slack of the visibility test for models without a texture chart
# Given landmarks carry no σ: annotators differ by about this share of the distance between the outer eye corners.
_GIVEN_SIGMA = 0.02
# A point that the network calls hidden is its guess from the rest of the face, and those of a part err together (behind
# a face mask all of a mouth that is open on average): it counts as if its σ were this share's inverse as large.
_HIDDEN_SHARE = 0.15


def reconstruct(
    image: NDArray[np.uint8],
    landmarks: NDArray[np.floating[Any]] | None = None,
    *,
    model: str | FaceModel = "head",
    fit: Fit = "full",
    detector: str = DETECTOR,
    predictor: str = PREDICTOR,
    occlusion: str | None = None,
    visible: NDArray[Any] | None = None,
    hidden: NDArray[np.bool_] | None = None,
    bump: str = "none",
    weights: Path | None = None,
    max_faces: int | None = None,
    focal: float | None = None,
    texture_size: int | None = None,
    device: str = "cpu",
) -> list[Reconstruction]:
    """Reconstruct every face of a picture.

    Args:
        image: (H, W, 3) uint8 sRGB, upright, from `read_image`.
        landmarks: 68 iBUG points (68, 2) in pixels of the picture; then nothing is detected and one face comes back.
        model: a face model or a name or path for `load_face_model`.
        fit: ``"none"`` poses the mean face, ``"landmarks"`` fits shape and expression to the 68 points, ``"full"``
            refines pose, shape, light and albedo on the pixels.
        detector: see `detect_faces`.
        predictor: see `landmarks68`; ``"network"`` gives dense points and an identity too, which the fit uses where
            ``model`` has these points.
        occlusion: how to tell the face from what hides it: ``"network"`` (our part network) or ``"colours"`` (of this
            person's skin, and what the fit explains); None takes the network where its weights are installed.
        visible: your own mask of the visible face instead, (H, W) bool or probabilities; one face comes back.
        hidden: your own mask of what hides faces, (H, W) bool, beside what the network finds; with colours it is all.
        bump: wrinkles and folds where skin is seen: ``"net"`` by our relief network, ``"sfs"`` from shading alone,
            ``"original"`` by the network of Extreme 3D Faces, or ``"none"``.
        weights: folder with the weights that ``"original"`` needs (`systems.extreme3d.predict.read_networks`).
        max_faces: keep the best so many; None keeps all.
        focal: focal length in pixels where known (EXIF); None assumes a usual one.
        texture_size: texels a side of the texture; None chooses by the face's size in the picture.
        device: ``"cpu"`` or ``"cuda"``: where the kernels and fits run.

    Returns:
        One `Reconstruction` per face, best detection first, tensors on the CPU. On the CPU the same bits whatever
        torch's thread count is: each call computes on one thread; give several pictures to several threads.

    Raises:
        NoFaceError: no face was found.
        InputError, AssetError: naming the argument or file at fault.
    """
    if fit not in FITS:
        raise InputError(f"fit must be one of {', '.join(FITS)}, got {fit!r}")
    if predictor not in PREDICTORS:
        raise InputError(f"predictor must be one of {', '.join(PREDICTORS)}, got {predictor!r}")
    if max_faces is not None and max_faces < 1:
        raise InputError(f"max_faces must be at least 1, got {max_faces}")
    occlusion = resolved_occlusion(occlusion)
    face_model = load_face_model(model) if isinstance(model, str) else model
    check_bump(bump, face_model)
    relief = relief_source(bump, weights, device)
    face_model = face_model.to(device)
    how = fit, focal, texture_size, device
    with one_thread():
        found = _find(image, landmarks, detector, predictor, 1 if visible is not None else max_faces, device)
        results = [
            _reconstruct_face(image, _looked_at(image, face, occlusion, visible, hidden, device), face_model, *how)
            for face in found
        ]
        return results if relief is None else [with_relief(result, image, relief) for result in results]


@dataclass(frozen=True)
class _Found:
    """One face with its landmarks, all that the network said of it, how long it took to find, and what is seen of it
    (None where only colours will tell)."""

    face: Face
    points: NDArray[np.float32]
    sigma: NDArray[np.float32]
    prediction: FacePrediction | None
    timings: dict[str, float]
    sight: FaceSight | None = None

    def dense(self, model: FaceModel, identity: bool) -> DenseLandmarks | None:
        """The network's dense points for a fit of ``model``, and its identity where wanted.

        Its expression is left out: where the picture says little it is the mean of the training faces, a smile with
        open lips, which nobody behind a face mask should be given.
        """
        if self.prediction is None or not has_dense_points(model):
            return None
        said = self.prediction
        points, sigma = torch.from_numpy(said.points[68:])[None], torch.from_numpy(_counted_sigma(said)[68:])[None]
        return DenseLandmarks(points, sigma, torch.from_numpy(said.identity)[None] if identity else None)


def _find(
    image: NDArray[np.uint8],
    landmarks: NDArray[np.floating[Any]] | None,
    detector: str,
    predictor: str,
    max_faces: int | None,
    device: str,
) -> Iterator[_Found]:
    if landmarks is not None:
        face = face_from_landmarks(landmarks)
        points = np.asarray(landmarks, np.float32)
        eyes = float(np.linalg.norm(points[45] - points[36]))
        spread = np.full(68, max(_GIVEN_SIGMA * eyes, 0.5), np.float32)
        yield _Found(face, points, spread, None, {})
        return
    timings: dict[str, float] = {}
    with timed(timings, "detect"):
        faces = detect_faces(image, detector, device=device)
    if not faces:
        raise no_face(image, detector)
    for face in faces[:max_faces]:
        own, said = dict(timings), None
        with timed(own, "landmarks"):
            if predictor == "network":
                said = load_face_points(device).predict(image, [face])[0]
                points, sigma = said.points[:68], _counted_sigma(said)[:68]
            else:
                points, sigma = landmarks68(image, face, predictor)
        yield _Found(face, points, sigma, said, own)


def _counted_sigma(said: FacePrediction) -> NDArray[np.float32]:
    """Deviations (388,) px as the fit shall take them: larger where the network says that the point is hidden."""
    widened: NDArray[np.float32] = said.sigma / (_HIDDEN_SHARE + (1 - _HIDDEN_SHARE) * said.visible)
    return widened


def _looked_at(
    image: NDArray[np.uint8],
    found: _Found,
    occlusion: str,
    visible: NDArray[Any] | None,
    hidden: NDArray[np.bool_] | None,
    device: str,
) -> _Found:
    """The face with what is seen of it; landmarks that something hides get wider deviations."""
    timings = dict(found.timings)
    if visible is not None:
        sight = given_sight(visible, *image.shape[:2])
    elif occlusion == "network":
        with timed(timings, "parts"):
            sight = network_sight(image, found.points, device)
    elif hidden is not None:
        sight = given_sight(np.ones(image.shape[:2], np.bool_), *image.shape[:2])
    else:
        return found
    if hidden is not None:
        sight = sight.without(hidden)
    sigma = widened(torch.from_numpy(found.sigma), torch.from_numpy(found.points), torch.from_numpy(sight.visible))
    return replace(found, sight=sight, sigma=sigma.numpy(), timings=timings)


def _reconstruct_face(
    image: NDArray[np.uint8],
    found: _Found,
    model: FaceModel,
    fit: Fit,
    focal: float | None,
    texture_size: int | None,
    device: str,
) -> Reconstruction:
    height, width = image.shape[:2]
    timings = dict(found.timings)
    with timed(timings, "fit_landmarks"):
        points = torch.from_numpy(np.ascontiguousarray(found.points, np.float32))[None].to(device)
        sigma = torch.from_numpy(np.ascontiguousarray(found.sigma, np.float32))[None].to(device)
        if fit == "none":
            landmark_fit = fit_landmarks(
                *(model, points, sigma, height, width),
                focal=focal,
                dense=found.dense(model, identity=False),
                identity_weight=_POSE_ONLY,
                expression_weight=_POSE_ONLY,
            )
        else:
            dense = found.dense(model, identity=True)
            landmark_fit = fit_landmarks(model, points, sigma, height, width, focal=focal, dense=dense)
    window = _Window.around(landmark_fit.verts_image(model)[0], height, width)
    pixels = torch.from_numpy(image[window.rows, window.columns]).to(device)
    linear = srgb_to_linear(pixels)[None]
    sight = None if found.sight is None else window.cut(found.sight)
    shifted = window.shift(landmark_fit)
    inside: FaceFit = shifted
    if fit == "full":
        with timed(timings, "fit_photometric"):
            known = None if sight is None else torch.from_numpy(sight.visible)[None]
            inside = fit_photometric(model, linear, shifted, seen=known)
    with timed(timings, "texture"):
        usable = None if sight is None else torch.from_numpy(sight.usable)
        seen = _appearance(model, linear, inside, points[0] - window.corner.to(points), usable, texture_size)
    if found.sight is not None:
        occlusion_mask, occlusion_from = torch.from_numpy(found.sight.mask), found.sight.origin
    elif seen.mask is not None:
        occlusion_mask, occlusion_from = window.paste(seen.mask.cpu(), height, width), "colours"
    else:
        occlusion_mask, occlusion_from = None, None
    verts = inside.verts(model)[0]
    coefficients = {
        "identity": inside.identity[0],
        "expression": inside.expression[0],
        "rotation": inside.rotation[0],
        "translation": inside.translation[0],
    }
    if isinstance(inside, PhotometricFit):
        coefficients |= {"albedo": inside.albedo[0], "light": inside.light[0]}
    return Reconstruction(
        image_size=(height, width),
        box=found.face.box,
        crop=None,
        camera=landmark_fit.camera.to("cpu"),
        coefficients={name: value.cpu() for name, value in coefficients.items()},
        verts=verts.cpu(),
        verts_aligned=inside.verts_camera(model)[0].cpu(),
        topology=model.topology.to("cpu"),
        texture=None if seen.texture is None else seen.texture.cpu(),
        bump=None,
        normals=vertex_normals(verts, model.topology).cpu(),
        occlusion_mask=occlusion_mask,
        occlusion_from=occlusion_from,
        source=seen.source.cpu(),
        confidence=seen.confidence.cpu(),
        landmarks=torch.from_numpy(found.points),
        system="fit",
        model=model,
        timings=timings,
        quality=_quality(model, landmark_fit, inside, found),
    )


@dataclass(frozen=True)
class _Appearance:
    texture: Tensor | None
    mask: Tensor | None
    source: Tensor
    confidence: Tensor


def _appearance(
    model: FaceModel, linear: Tensor, fit: FaceFit, points: Tensor, usable: Tensor | None, size: int | None
) -> _Appearance:
    """Texture and provenance; a model without a chart has the provenance of its visibility alone.

    ``usable``: probability that a pixel shows the face or an ear, (H, W), or None.
    """
    if model.albedo_kind == "uv":
        texture = build_texture(model, linear, fit, points=points, mask=usable, size=size)
        return _Appearance(texture.image, texture.face_mask, texture.source, texture.confidence)
    verts_image = fit.verts_image(model)
    fragments = rasterize(verts_image, model.topology, *linear.shape[1:3])
    seen = vertex_visibility(verts_image, fragments, model.topology, _VISIBLE_MM)[0]
    if "face" in model.regions:
        seen = seen & model.regions["face"].to(seen.device)
    if usable is not None:
        seen = seen & at_pixels(usable.to(seen.device) > 0.5, verts_image[0, :, :2])
    return _Appearance(None, None, seen.to(torch.uint8), seen.to(linear.dtype))


def at_pixels(mask: Tensor, spots: Tensor) -> Tensor:
    """``mask`` (H, W) bool at the pixels that ``spots`` (N, 2) px fall on, (N,); False outside."""
    height, width = mask.shape
    columns, rows = spots.floor().long().unbind(1)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    return inside & mask[rows.clamp(0, height - 1), columns.clamp(0, width - 1)]


def _quality(model: FaceModel, landmark_fit: LandmarkFit, fit: FaceFit, found: _Found) -> dict[str, float]:
    """Figures that tell a doubtful result from a good one, for the report."""
    shape = check_plausibility(model, fit)
    return {
        "detection_score": float(found.face.score),
        "landmark_error_percent": float(landmark_fit.residual_percent[0]),
        "identity_rms_sigma": float(shape.identity_rms[0]),
        "identity_max_sigma": float(shape.identity_max[0]),
        "interpupil_mm": float(shape.interpupil_mm[0]),
        "flipped_triangles": float(shape.flipped[0]),
        "crossing_triangles": float(shape.crossing[0]),
    }


@dataclass(frozen=True)
class _Window:
    """A part of the picture, in whole pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def around(cls, verts_image: Tensor, height: int, width: int) -> _Window:
        low, high = verts_image[:, :2].amin(0).tolist(), verts_image[:, :2].amax(0).tolist()
        margin = _WINDOW * max(high[0] - low[0], high[1] - low[1])
        left, top = (max(0, int(value - margin)) for value in low)
        right, bottom = min(width, int(high[0] + margin) + 1), min(height, int(high[1] + margin) + 1)
        if right - left < 2 or bottom - top < 2:  # landmarks given outside of the picture: nothing of it is seen
            return cls(0, 0, width, height)
        return cls(left, top, right, bottom)

    @property
    def rows(self) -> slice:
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        return slice(self.left, self.right)

    @property
    def corner(self) -> Tensor:
        return torch.tensor([float(self.left), float(self.top)])

    def shift(self, fit: LandmarkFit) -> LandmarkFit:
        """The fit as seen in the window: camera and points move, the head stays."""
        one = torch.ones_like(fit.camera.focal)
        size = self.bottom - self.top, self.right - self.left
        camera = fit.camera.cropped(one * self.left, one * self.top, one, *size)
        corner = self.corner.to(fit.points)
        dense = None if fit.dense is None else fit.dense.shifted(-corner)
        return replace(fit, camera=camera, points=fit.points - corner, given=fit.given - corner, dense=dense)

    def cut(self, sight: FaceSight) -> FaceSight:
        """What is seen in the window."""
        visible, usable = (np.ascontiguousarray(p[self.rows, self.columns]) for p in (sight.visible, sight.usable))
        return FaceSight(visible, usable, sight.origin)

    def paste(self, mask: Tensor, height: int, width: int) -> Tensor:
        """A mask of the window as a mask of the picture, False outside."""
        whole = torch.zeros(height, width, dtype=torch.bool)
        whole[self.rows, self.columns] = mask
        return whole
