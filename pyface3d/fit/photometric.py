"""Refine a landmark fit on pixels: light, albedo, then pose and shape, with what hides the face left out.

Expectation and maximisation take turns. The M-step is Levenberg-Marquardt on everything at once: shaded skin points
against the photo (`pyface3d.fit.pixels`), landmarks, and the priors of light, albedo, identity and expression. The
E-step asks of every pixel whether the face explains it better than an outlier does (`pyface3d.fit.inliers`). The
landmarks stay in the sum and the pixels count as few independent measurements, so that a hand or a shadow that slips
past the mask cannot buy itself a monstrous face.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.fit.dense_model import dense_face
from pyface3d.fit.illumination import NUM_LIGHT, light_prior
from pyface3d.fit.inliers import inlier_probability, outlier_density
from pyface3d.fit.landmarks import IDENTITY_WEIGHT, fitted_problem
from pyface3d.fit.levenberg import bounded_step, pool
from pyface3d.fit.photo_crops import cut, face_box, in_photo
from pyface3d.fit.pixels import (
    Appearance,
    Crop,
    Noise,
    PixelProblem,
    Rendering,
    choose_points,
    measured_noise,
    render,
)
from pyface3d.fit.posterior import (
    POSE,
    FaceState,
    camera_points,
    join_identity,
    landmark_cost,
    landmark_index,
    project,
    quadratic_model,
    split_identity,
)
from pyface3d.fit.results import LandmarkFit, PhotometricFit
from pyface3d.fit.sparse_model import NUM_POINTS
from pyface3d.geometry.checks import check_finite, check_floating, check_shape

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel

_MAX_POINTS = 3500
_EFFECTIVE = 200.0  # independent measurements in a whole face of pixels; see `docs/fit.md`
_LIGHT_WEIGHT = 1.0  # of the prior on light
_LANDMARK_ROBUST = 3.5
_NOISE_FIRST = Noise(0.14, 0.07)


@dataclass(frozen=True)
class _Stage:
    """What moves, how blurred the picture is (crop px), how many steps before the mask is looked at again."""

    moves: bool
    albedo: bool
    blur: float
    steps: int


_STAGES = {
    "light": (_Stage(False, False, 1.0, 6), _Stage(False, False, 1.0, 4), _Stage(False, False, 1.0, 3)),
    "colour": (_Stage(False, False, 1.0, 6), _Stage(False, True, 1.0, 5), _Stage(False, True, 1.0, 4)),
    "all": (
        _Stage(False, False, 1.0, 6),
        _Stage(False, True, 1.0, 4),
        _Stage(True, True, 2.5, 3),
        _Stage(True, True, 1.5, 3),
        _Stage(True, True, 1.0, 3),
    ),
}


@dataclass
class _Photo:
    """One photo while it is being fitted."""

    crop: Crop
    appearance: Appearance
    noise: Noise
    probability: Tensor
    rendering: Rendering | None = None


def fit_photometric(
    model: "FaceModel",
    image_linear: Tensor,
    landmark_fit: LandmarkFit,
    *,
    visible: Tensor | None = None,
    seen: Tensor | None = None,
    unknowns: Literal["light", "colour", "all"] = "all",
    share_identity: bool = False,
    identity_weight: float = IDENTITY_WEIGHT,
    expression_weight: float = 1.0,
    albedo_weight: float = 1.0,
    pixel_weight: float = 1.0,
) -> PhotometricFit:
    """Fit ``model`` to the pixels of B photos, from their landmark fit.

    Args:
        model: a `FaceModel` with an albedo.
        image_linear: photos in linear RGB, (B, H, W, 3), float32.
        landmark_fit: where to start; its landmarks go on counting.
        visible: pixels that may be looked at, (B, H, W) bool; None: all.
        seen: probability that a pixel shows the face, (B, H, W) in [0, 1] or bool, for example of the part network
            (`detect.parts`); None: nothing is known before the fit. What hides the face is then known from the
            start, and its colours are known wherever else they turn up.
        unknowns: "light" leaves the mean albedo and the landmark fit's shape, "colour" fits light and albedo,
            "all" refines pose, identity and expression too.
        share_identity: all photos show one person (light and albedo stay each photo's own).
        identity_weight, expression_weight: as in `fit_landmarks`.
        albedo_weight: weight of the albedo prior.
        pixel_weight: weight of the pixels against landmarks and priors.

    Returns:
        `PhotometricFit`, whose ``inliers`` has the size of the photos.

    Raises:
        InputError: wrong dtype or shapes, values that are not finite, a model without albedo.

    Runs on the CPU in float32 with float64 normal equations; deterministic.
    """
    check_floating("image_linear", image_linear)
    size = len(landmark_fit)
    height, width = landmark_fit.camera.height, landmark_fit.camera.width
    check_shape("image_linear", image_linear, (size, height, width, 3))
    check_finite("image_linear", image_linear)
    if visible is not None:
        check_shape("visible", visible, (size, height, width))
    if seen is not None:
        check_shape("seen", seen, (size, height, width))
    if unknowns not in _STAGES:
        raise InputError(f'unknowns must be "light", "colour" or "all", got {unknowns!r}')
    with torch.no_grad():
        return _Fitter(
            *(model, image_linear, landmark_fit, visible, seen),
            *(share_identity, (identity_weight, expression_weight)),
        ).run(_STAGES[unknowns], albedo_weight, pixel_weight)


def render_fit(model: "FaceModel", fit: PhotometricFit) -> list[Rendering]:
    """The fitted heads as their photos' cameras see them, at the photos' size."""
    dense = dense_face(model)
    topology = model.topology.to("cpu")
    coefficients = torch.cat([fit.identity, fit.expression], 1).double().cpu()
    drawn = []
    with torch.no_grad():
        for b in range(len(fit)):
            part = slice(b, b + 1)
            state = FaceState(fit.rotation[part].cpu(), fit.translation[part].cpu(), coefficients[part])
            camera = fit.camera[b].to("cpu", torch.float32)
            look = Appearance(fit.light[b].cpu(), fit.albedo[b].cpu())
            drawn.append(render(dense, topology, camera, state, look))
    return drawn


class _Fitter:
    """The alternation for one batch of photos."""

    def __init__(
        self,
        model: "FaceModel",
        image: Tensor,
        start: LandmarkFit,
        visible: Tensor | None,
        seen: Tensor | None,
        share: bool,
        weights: tuple[float, float],
    ) -> None:
        self.model, self.start, self.dense = model, start, dense_face(model)
        self.topology = model.topology.to("cpu")
        self.problem = fitted_problem(model, start, *weights, share)
        coefficients = torch.cat([start.identity, start.expression], 1).double().cpu()
        self.state = FaceState(start.rotation.double().cpu(), start.translation.double().cpu(), coefficients)
        self.boxes = [face_box(points) for points in start.points.double().cpu()]
        mean, precision = light_prior()
        self.light_precision = _LIGHT_WEIGHT * precision
        self.light_mean = mean
        self.photos = []
        for b, box in enumerate(self.boxes):
            shown, known = (None if one is None else one[b].cpu() for one in (visible, seen))
            crop = cut(image[b].float().cpu(), shown, known, start.camera[b].to("cpu", torch.float32), box)
            blank = Appearance(mean.view(9, 3).clone(), torch.zeros(model.albedo_dim, dtype=torch.float64))
            belief = torch.ones_like(crop.image[..., 0]) if crop.seen is None else crop.seen
            self.photos.append(_Photo(crop, blank, _NOISE_FIRST, belief))
        self.iterations = 0

    def run(self, stages: tuple[_Stage, ...], albedo_weight: float, pixel_weight: float) -> PhotometricFit:
        for b in range(len(self.photos)):
            self._look(b)
        for number, stage in enumerate(stages):
            problems = [self._pixel_problem(b, stage, pixel_weight) for b in range(len(self.photos))]
            self._maximise(problems, stage, albedo_weight)
            for b in range(len(self.photos)):
                self._look(b)
                self._judge(b, first=number == 0)
        return self._result()

    def _one(self, b: int) -> FaceState:
        state = self.state
        return FaceState(state.rotation[b : b + 1], state.translation[b : b + 1], state.coefficients[b : b + 1])

    def _look(self, b: int) -> None:
        photo = self.photos[b]
        photo.rendering = render(self.dense, self.topology, photo.crop.camera, self._one(b), photo.appearance)

    def _judge(self, b: int, first: bool) -> None:
        """E-step: noise from the pixels believed so far, then the belief anew."""
        photo = self.photos[b]
        drawn, crop = photo.rendering, photo.crop
        assert drawn is not None
        misfit = crop.image - drawn.colour
        chosen = drawn.facial & crop.valid & (photo.probability > 0.5)
        if not first and bool(chosen.any()):
            photo.noise = measured_noise(misfit[chosen])
        square = (misfit @ photo.noise.whitener(misfit)).square().sum(-1)
        near = F.max_pool2d(drawn.covered.float()[None, None], 5, 1, 2)[0, 0] > 0
        elsewhere = ~near if crop.seen is None else ~near | (crop.seen < 0.5)
        outliers = outlier_density(crop.image, elsewhere & crop.valid)
        photo.probability = inlier_probability(
            *(square, photo.noise.log_normaliser, outliers, drawn.covered, crop.valid, crop.seen)
        )

    def _pixel_problem(self, b: int, stage: _Stage, pixel_weight: float) -> PixelProblem:
        photo = self.photos[b]
        assert photo.rendering is not None
        # The blurred picture mixes in what lies beside the face: keep clear of every edge of the mask.
        reach = math.ceil(1.5 * stage.blur)
        belief = (photo.probability * photo.crop.valid)[None, None]
        belief = -F.max_pool2d(-belief, 2 * reach + 1, 1, reach)[0, 0]
        points = choose_points(
            *(self.dense, self.topology, photo.rendering, belief, self._one(b)),
            *(_MAX_POINTS, pixel_weight * _EFFECTIVE),
        )
        return PixelProblem.make(self.dense, self.topology, points, photo.crop, photo.noise, stage.blur)

    def _maximise(self, pixels: list[PixelProblem], stage: _Stage, albedo_weight: float) -> None:
        """M-step: some Levenberg-Marquardt steps with the points held."""
        if not pixels:
            return
        problem, dim = self.problem, self.problem.sparse.identity_dim
        count = len(pixels)
        damping = torch.full((count, 1), 1e-3, dtype=torch.float64)
        index = landmark_index(problem, self.state)
        looks = [photo.appearance for photo in self.photos]
        before = self._cost(pixels, index, self.state, looks, albedo_weight)
        face = POSE + self.state.coefficients.shape[1]
        for _ in range(stage.steps):
            hessian, gradient = self._quadratic(pixels, index, looks, stage, albedo_weight)
            expression = self.state.coefficients[:, dim:]
            pose_free = torch.full((count, POSE), torch.inf, dtype=torch.float64)
            look_free = torch.full((count, hessian.shape[1] - face), torch.inf, dtype=torch.float64)
            step = join_identity(
                *bounded_step(
                    split_identity(hessian, gradient, dim),
                    damping,
                    torch.cat([-pose_free, problem.prior.lower - expression, -look_free], 1),
                    torch.cat([pose_free, problem.prior.upper - expression, look_free], 1),
                    problem.share,
                )
            )
            tried = self.state.moved(step[:, :face])
            tried_looks = [
                Appearance(
                    look.light + move[:NUM_LIGHT].view(9, 3),
                    look.albedo + move[NUM_LIGHT:],
                )
                for look, move in zip(looks, step[:, face:], strict=True)
            ]
            after = self._cost(pixels, index, tried, tried_looks, albedo_weight)
            better = (pool(after, problem.share) <= pool(before, problem.share)).expand(count)
            self.state = tried.where(better, self.state)
            looks = [new if good else old for good, new, old in zip(better, tried_looks, looks, strict=True)]
            before = torch.where(better, after, before)
            damping = torch.where(better[:, None], damping / 5, damping * 8).clamp_min(1e-7)
            self.iterations += 1
        for photo, look in zip(self.photos, looks, strict=True):
            photo.appearance = look

    def _cost(
        self,
        pixels: list[PixelProblem],
        index: Tensor,
        state: FaceState,
        looks: list[Appearance],
        albedo_weight: float,
    ) -> Tensor:
        total = landmark_cost(self.problem, state, index, _LANDMARK_ROBUST)
        rows = []
        for b, (problem, look) in enumerate(zip(pixels, looks, strict=True)):
            one = FaceState(state.rotation[b : b + 1], state.translation[b : b + 1], state.coefficients[b : b + 1])
            offset = look.light.flatten() - self.light_mean
            prior = offset @ self.light_precision @ offset + albedo_weight * look.albedo.square().sum()
            rows.append(prior + problem.cost(one, look))
        return total + torch.stack(rows)

    def _quadratic(
        self,
        pixels: list[PixelProblem],
        index: Tensor,
        looks: list[Appearance],
        stage: _Stage,
        albedo_weight: float,
    ) -> tuple[Tensor, Tensor]:
        face = POSE + self.state.coefficients.shape[1]
        own, own_gradient = quadratic_model(self.problem, self.state, index, _LANDMARK_ROBUST)
        extra = NUM_LIGHT + len(looks[0].albedo)
        hessian, gradient = F.pad(own, (0, extra, 0, extra)), F.pad(own_gradient, (0, extra))
        light, albedo = slice(face, face + NUM_LIGHT), slice(face + NUM_LIGHT, face + extra)
        for b, (problem, look) in enumerate(zip(pixels, looks, strict=True)):
            more, more_gradient = problem.quadratic_model(self._one(b), look, stage.moves)
            hessian[b] += more
            gradient[b] += more_gradient
            hessian[b, light, light] += self.light_precision
            gradient[b, light] += self.light_precision @ (look.light.flatten() - self.light_mean)
            hessian[b, albedo, albedo] += albedo_weight * torch.eye(len(look.albedo), dtype=torch.float64)
            gradient[b, albedo] += albedo_weight * look.albedo
        still = [*([] if stage.moves else [slice(0, face)]), *([] if stage.albedo else [albedo])]
        for part in still:
            gradient[:, part], hessian[:, part], hessian[:, :, part] = 0, 0, 0
        return hessian, gradient

    def _result(self) -> PhotometricFit:
        like, dim = self.start.identity, self.problem.sparse.identity_dim
        camera = self.start.camera
        masks = [
            in_photo(photo.probability, box, camera.height, camera.width) > 0.5
            for photo, box in zip(self.photos, self.boxes, strict=True)
        ]
        residual = [_inlier_residual(photo) for photo in self.photos]
        index = landmark_index(self.problem, self.state)
        spots = torch.take_along_dim(camera_points(self.problem, self.state), index[..., None], 1)
        lights = [photo.appearance.light for photo in self.photos]
        albedos = [photo.appearance.albedo for photo in self.photos]
        return PhotometricFit(
            identity=self.state.coefficients[:, :dim].to(like),
            expression=self.state.coefficients[:, dim:].to(like),
            rotation=self.state.rotation.to(like),
            translation=self.state.translation.to(like),
            camera=camera,
            light=torch.stack(lights).to(like) if lights else like.new_zeros(0, 9, 3),
            albedo=torch.stack(albedos).to(like) if albedos else like.new_zeros(0, self.model.albedo_dim),
            inliers=torch.stack(masks).to(like.device)
            if masks
            else torch.zeros(0, camera.height, camera.width, dtype=torch.bool),
            points=project(self.problem, spots)[:, :NUM_POINTS].to(like),
            residual=torch.tensor(residual).to(like),
            iterations=self.iterations,
        )


def _inlier_residual(photo: _Photo) -> float:
    """Root mean square difference of perceived colour over the facial inliers."""
    drawn = photo.rendering
    assert drawn is not None
    chosen = drawn.facial & photo.crop.valid & (photo.probability > 0.5)
    if not bool(chosen.any()):
        return math.nan
    return float((photo.crop.image - drawn.colour)[chosen].square().mean().sqrt())
