"""Pose and expression of a face of known identity from its 68 landmarks in the crop.

First the pose alone by EPnP with the mean expression, then pose and expression together:

    E = 8 RMS + e' P e / (0.5 E) + |r − r0|² / (π/6)² + |t − t0|² / 30²,      RMS = sqrt(mean(du² + dv²)) px,

with r the rotation vector of the head out of its frontal position, e within [−3, 3], P the identity for a model whose
expressions are in σ (the published energy) and the precision of the model's actions else. Minimised by
Levenberg-Marquardt with an analytic Jacobian; the square root is majorised by its tangent in the mean square, so that
E never rises. The published program takes numerical second differences in float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.face_models import FaceModel
from pyface3d.face_models.landmarks import INNER_SCHEME, NUM_JAW
from pyface3d.fit.levenberg import NormalEquations, bounded_step
from pyface3d.fit.posterior import point_jacobian
from pyface3d.fit.priors import expression_prior
from pyface3d.fit.sparse_model import SparseFace, sparse_face, visible_contour
from pyface3d.geometry import Camera, euler_from_rotation, rotation_from_axis_angle
from pyface3d.geometry.checks import check_finite, check_shape
from pyface3d.geometry.rotations import axis_angle_from_rotation, cross_matrix, frontal_rotation

NUM_LANDMARKS = 68
NUM_OUTER = 60
"""Points 60 to 67 run along the inner lips, which the mean expression keeps closed: the pose starts without them."""
INNER_JAW_DEG, HALF_JAW_DEG = 20.0, 18.0
"""Up to the first turn the far side of the jaw takes inner points, beyond the second it is left out."""
RMS_WEIGHT, EXPRESSION_SHARE, ROTATION_SIGMA, TRANSLATION_SIGMA_MM = 8.0, 0.5, math.pi / 6, 30.0
EXPRESSION_BOUND = 3.0

_STEPS, _TOLERANCE, _MAX_DAMPING = 100, 1e-7, 1e9
_LEAST_RMS_PX = 1e-3
_FEWEST, _LEAST_EXTENT_PX = 6, 5.0


@dataclass(frozen=True)
class PoseFit:
    """Where a head is and what its face does.

    Attributes:
        rotation, translation: (3, 3) and (3,) mm, model to camera, refined with the expression.
        expression: (E,).
        start_rotation, start_translation: of EPnP with the mean expression. The published program keeps these.
        used: which of the 68 landmarks counted, (68,) bool.
        points: the 68 landmarks of the fitted head in the crop, (68, 2) px.
        energies: E at the start and after every step, never rising.
        rms_px, start_rms_px: over the used landmarks, with the refined pose and with the one of EPnP.
    """

    rotation: Tensor
    translation: Tensor
    expression: Tensor
    start_rotation: Tensor
    start_translation: Tensor
    used: Tensor
    points: Tensor
    energies: tuple[float, ...]
    rms_px: float
    start_rms_px: float


def fit_pose(
    model: FaceModel, identity: Tensor, landmarks: Tensor, camera: Camera, *, hidden: Tensor | None = None
) -> PoseFit:
    """Fit pose and expression.

    Args:
        model: any `FaceModel` with the scheme "ibug68" and a contour.
        identity: (I,), held.
        landmarks: (68, 2) px in the crop; the first pixel's middle is (0.5, 0.5).
        camera: of the crop.
        hidden: (68,) bool, landmarks that do not count, for example under an occluder.

    Raises:
        InputError: wrong shapes, values that are not finite, or landmarks that show no face in front of the camera.
    """
    check_shape("landmarks", landmarks, (NUM_LANDMARKS, 2))
    check_finite("landmarks", landmarks)
    check_shape("identity", identity, (model.identity_dim,))
    check_finite("identity", identity)
    sparse, target = sparse_face(model), landmarks.detach().double().cpu()
    if float((target.amax(0) - target.amin(0)).amax()) < _LEAST_EXTENT_PX:
        raise InputError("the landmarks show no face: they lie within a few pixels; check that they belong to it")
    camera = camera.to("cpu", torch.float64)
    shown = torch.ones(NUM_LANDMARKS, dtype=torch.bool) if hidden is None else ~hidden.cpu()
    check_shape("hidden", shown, (NUM_LANDMARKS,))
    held = torch.cat([identity.detach().double().cpu(), torch.zeros(model.expression_dim, dtype=torch.float64)])
    mean = sparse.points(held[None])[0]

    first = shown & (torch.arange(NUM_LANDMARKS) < NUM_OUTER)
    rotation, translation = _epnp(mean[:NUM_LANDMARKS], target, camera, first)
    index, kept = jaw_choice(model, sparse, mean, rotation)
    used = shown & kept
    rotation, translation = _epnp(mean[index], target, camera, used & first)

    problem = _Problem(
        mean=mean[index],
        basis=sparse.basis[model.identity_dim :, index],
        target=target,
        weight=used.double(),
        camera=camera,
        rotation_start=_upright(rotation),
        translation_start=translation,
        precision=expression_prior(model).precision,
    )
    prior = expression_prior(model)
    lower, upper = (bound.clamp(-EXPRESSION_BOUND, EXPRESSION_BOUND) for bound in (prior.lower, prior.upper))
    state, energies = _minimise(problem, lower, upper)
    return PoseFit(
        rotation=frontal_rotation(rotation) @ rotation_from_axis_angle(state[:3]),
        translation=state[3:6],
        expression=state[6:],
        start_rotation=rotation,
        start_translation=translation,
        used=used,
        points=problem.project(state),
        energies=tuple(energies),
        rms_px=problem.rms(state),
        start_rms_px=problem.rms(problem.start),
    )


def jaw_choice(model: FaceModel, sparse: SparseFace, points: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
    """Which of the sparse points stand for the 68 landmarks at a pose, and which landmarks count.

    On the far side of a head turned by less than 20° the cheek ends the face: the model's inner jaw points, or for a
    model that publishes none the candidate of its contour that stands out most. Beyond 18° that half is left out.

    Args:
        points: the sparse points in the model frame, (K, 3).
        rotation: (3, 3) model to camera.

    Returns:
        (68,) int64 rows of ``points`` and (68,) bool.
    """
    index, kept = torch.arange(NUM_LANDMARKS), torch.ones(NUM_LANDMARKS, dtype=torch.bool)
    yaw_deg = math.degrees(float(euler_from_rotation(rotation)[0]))
    # The jaw runs from the picture's left to its right; a head turned right hides the right end.
    far = torch.arange(9, NUM_JAW) if yaw_deg > 0 else torch.arange(8)
    if 0 < abs(yaw_deg) < INNER_JAW_DEG:
        if INNER_SCHEME in getattr(model, "embeddings", {}):
            columns = sparse.candidates.shape[1]
            index[far] = sparse.num_observable + columns * far + 1  # contour rows of such a model: outer, inner
        else:
            flat = (points @ rotation.T)[None, :, :2]
            index[far] = visible_contour(sparse, flat, rotation[None])[0, far]
    if abs(yaw_deg) > HALF_JAW_DEG:
        kept[far] = False
    return index, kept


def _upright(rotation: Tensor) -> Tensor:
    """Rotation vector of the head out of its frontal position, (3,)."""
    return axis_angle_from_rotation(frontal_rotation(rotation) @ rotation)


def _epnp(points: Tensor, target: Tensor, camera: Camera, used: Tensor) -> tuple[Tensor, Tensor]:
    if int(used.sum()) < _FEWEST:
        raise InputError(f"only {int(used.sum())} landmarks are to be seen; a pose needs {_FEWEST}")
    focal, (x, y) = float(camera.focal[0]), camera.center[0].tolist()
    intrinsics = np.array([[focal, 0, x], [0, focal, y], [0, 0, 1]])
    try:
        found, turn, shift = cv2.solvePnP(
            np.ascontiguousarray(points[used].numpy()),
            np.ascontiguousarray(target[used].numpy()),
            intrinsics,
            None,
            flags=cv2.SOLVEPNP_EPNP,
        )
    except cv2.error as error:
        raise InputError(f"the landmarks show no face ({str(error).strip()}); check that they belong to it") from error
    shift, turn = shift.ravel(), turn.ravel()
    if not found or not np.isfinite(shift).all() or not np.isfinite(turn).all() or shift[2] <= 0:
        raise InputError("the landmarks show no face in front of the camera; check that they belong to it")
    return rotation_from_axis_angle(torch.from_numpy(turn)), torch.from_numpy(shift)


@dataclass(frozen=True)
class _Problem:
    """The energy over unknowns (6 + E,): rotation vector out of the frontal position, translation, expression."""

    mean: Tensor
    basis: Tensor
    target: Tensor
    weight: Tensor
    camera: Camera
    rotation_start: Tensor
    translation_start: Tensor
    precision: Tensor

    @property
    def start(self) -> Tensor:
        return torch.cat([self.rotation_start, self.translation_start, self.mean.new_zeros(len(self.basis))])

    def turned(self, state: Tensor) -> Tensor:
        spots = self.mean + torch.einsum("e,ekc->kc", state[6:], self.basis)
        turn = frontal_rotation(state) @ rotation_from_axis_angle(state[:3])
        return spots @ turn.T

    def project(self, state: Tensor) -> Tensor:
        return self.camera.project((self.turned(state) + state[3:6])[None])[0, :, :2]

    def mean_square(self, state: Tensor) -> Tensor:
        square = (self.project(state) - self.target).square().sum(-1)
        return (self.weight * square).sum() / self.weight.sum()

    def rms(self, state: Tensor) -> float:
        return float(self.mean_square(state).sqrt())

    def energy(self, state: Tensor) -> float:
        if bool(((self.turned(state) + state[3:6])[:, 2] <= 0).any()):
            return math.inf
        away = state - self.start
        prior = away[:3].square().sum() / ROTATION_SIGMA**2 + away[3:6].square().sum() / TRANSLATION_SIGMA_MM**2
        size = max(len(self.basis), 1)
        prior = prior + state[6:] @ self.precision @ state[6:] / (EXPRESSION_SHARE * size)
        return RMS_WEIGHT * self.rms(state) + float(prior)

    def quadratic(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Hessian and gradient of the majorised energy, whose slope is the energy's own."""
        turned = self.turned(state)
        placed = turned + state[3:6]
        front = frontal_rotation(state)
        by_point = point_jacobian(placed, self.camera.focal / placed[:, 2])  # (68, 2, 3)
        # d(F exp[r] q)/dr = −F [exp[r] q]x J(r), J the left Jacobian of the rotation vector.
        by_turn = -by_point @ front @ cross_matrix(turned @ front) @ _left_jacobian(state[:3])
        turn = front @ rotation_from_axis_angle(state[:3])
        by_shape = by_point @ (turn @ self.basis.permute(1, 2, 0))
        jacobian = torch.cat([by_turn, by_point, by_shape], -1)
        residual = self.project(state) - self.target
        # 8 sqrt(m) <= 4 sqrt(m0) + 4 m / sqrt(m0): equal, with equal slope, at m0.
        share = RMS_WEIGHT / (self.weight.sum() * max(self.rms(state), _LEAST_RMS_PX))
        rows = jacobian * self.weight[:, None, None]
        hessian = share * torch.einsum("kci,kcj->ij", rows, jacobian)
        gradient = share * torch.einsum("kci,kc->i", rows, residual)
        away, size = state - self.start, max(len(self.basis), 1)
        for part, sigma in ((slice(0, 3), ROTATION_SIGMA), (slice(3, 6), TRANSLATION_SIGMA_MM)):
            hessian[part, part] += 2 / sigma**2 * torch.eye(3).to(hessian)
            gradient[part] += 2 / sigma**2 * away[part]
        precision = 2 / (EXPRESSION_SHARE * size) * self.precision
        hessian[6:, 6:] += precision
        gradient[6:] += precision @ state[6:]
        return hessian, gradient


def _left_jacobian(vector: Tensor) -> Tensor:
    """(3, 3): exp[r + d] = exp[J d] exp[r] to first order."""
    square = vector.square().sum()
    angle = square.sqrt()
    cross = cross_matrix(vector)
    if float(angle) < 1e-4:
        first, second = 0.5 - square / 24, 1 / 6 - square / 120
    else:
        first, second = (1 - angle.cos()) / square, (angle - angle.sin()) / (square * angle)
    return torch.eye(3).to(vector) + first * cross + second * (cross @ cross)


def _minimise(problem: _Problem, lower: Tensor, upper: Tensor) -> tuple[Tensor, list[float]]:
    state = problem.start
    state[6:] = state[6:].clamp(lower, upper)
    energies, damping = [problem.energy(state)], state.new_full((1, 1), 1e-3)
    free = state.new_full((6,), torch.inf)
    nothing = state.new_zeros
    for _ in range(_STEPS):
        hessian, gradient = problem.quadratic(state)
        size = len(state)
        equations = NormalEquations(hessian[None], nothing(1, size, 0), nothing(1, 0, 0), gradient[None], nothing(1, 0))
        low = torch.cat([-free, lower - state[6:]])[None]
        high = torch.cat([free, upper - state[6:]])[None]
        step = bounded_step(equations, damping, low, high, False)[0][0]
        tried = state + step
        tried[6:] = tried[6:].clamp(lower, upper)
        energy = problem.energy(tried)
        if energy <= energies[-1]:
            gain = energies[-1] - energy
            state, damping = tried, (damping / 5).clamp_min(1e-9)
            energies.append(energy)
            if gain <= _TOLERANCE * energies[0]:
                break
        else:
            damping = damping * 8
            if float(damping) > _MAX_DAMPING:
                break
    return state, energies
