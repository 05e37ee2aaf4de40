"""Pose, identity and expression of a face model from 68 landmarks.

Maximum a posteriori by Levenberg-Marquardt with analytic Jacobians, over a perspective camera: landmarks with a σ
each and a robust loss, identity N(0, 1), expression within its bounds and prior (`pyface3d.fit.priors`), jaw
points that slide to where the face ends in the present pose. All photos of a batch run at once; photos of one
person can share their identity.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.fit.levenberg import NormalEquations, bounded_step, pool
from pyface3d.fit.priors import ExpressionPrior, expression_prior
from pyface3d.fit.results import LandmarkFit
from pyface3d.fit.sparse_model import NUM_JAW, SparseFace, sparse_face, visible_contour
from pyface3d.fit.weak_perspective import weak_perspective_start
from pyface3d.geometry import Camera, rotation_from_axis_angle
from pyface3d.geometry.checks import check_finite, check_floating, check_shape
from pyface3d.geometry.rotations import cross_matrix

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel

NUM_POINTS = 68
_POSE = 6  # rotation vector and translation
_LEFT_EYE_OUTER, _RIGHT_EYE_OUTER = 36, 45

DEFAULT_FOCAL = 1.2
"""Focal length over the longer side of the image where nothing is known: a 45° field of view."""
MIN_DISTANCE_MM = 600.0
"""A face is hardly ever photographed from nearer; a larger focal length is assumed where a crop would say so."""
SIGMA_FLOOR = 0.02
"""Least σ of a landmark over the distance of the outer eye corners: annotators and mesh differ by that much."""

_ROBUST_STAGES = ((False, 10.0, 10), (True, 6.0, 8), (True, 3.5, 40))  # (shape moves, scale in σ, steps)
_CONTOUR_STEPS = 12  # then the jaw's vertices stay: two equal ones could otherwise swap for ever
_GAP_SIGMA_MM = 0.2  # what lips and lids may pass through each other
_TOLERANCE = 1e-4  # largest step (σ, radians, relative depth) that counts as standing still
_MAX_DAMPING = 1e8


@dataclass(frozen=True)
class _Problem:
    """What stays the same while a fit runs; everything float64."""

    sparse: SparseFace
    prior: ExpressionPrior
    points: Tensor
    sigma: Tensor
    focal: Tensor
    center: Tensor
    identity_weight: float
    expression_weight: float
    share: bool


@dataclass
class _State:
    """The unknowns of B photos."""

    rotation: Tensor
    translation: Tensor
    coefficients: Tensor

    def moved(self, step: Tensor) -> "_State":
        turn = rotation_from_axis_angle(step[:, :3])
        return _State(turn @ self.rotation, self.translation + step[:, 3:_POSE], self.coefficients + step[:, _POSE:])

    def where(self, condition: Tensor, other: "_State") -> "_State":
        return _State(
            torch.where(condition[:, None, None], self.rotation, other.rotation),
            torch.where(condition[:, None], self.translation, other.translation),
            torch.where(condition[:, None], self.coefficients, other.coefficients),
        )


def fit_landmarks(
    model: "FaceModel",
    points: Tensor,
    sigma: Tensor,
    height: int,
    width: int,
    *,
    focal: float | Tensor | None = None,
    share_identity: bool = False,
    identity_weight: float = 1.5,
    expression_weight: float = 1.0,
    sigma_floor: float = SIGMA_FLOOR,
    use: Tensor | None = None,
) -> LandmarkFit:
    """Fit ``model`` to the 68 landmarks of B photos.

    Args:
        model: any `FaceModel` with the "ibug68" landmark scheme and a contour.
        points: landmarks in pixels, (B, 68, 2), float32 or float64; the first pixel's middle is (0.5, 0.5).
        sigma: standard deviation of each landmark in pixels, (B, 68), positive. Large for what is hidden.
        height, width: size of the photos in pixels (all alike; the optical axis meets their middle).
        focal: focal length in pixels, a number or (B,), for example from EXIF. None assumes `DEFAULT_FOCAL` times
            the longer side, and more where that would put the face nearer than `MIN_DISTANCE_MM`. It is never
            fitted: 68 points of one face cannot tell it from the face's depth.
        share_identity: all photos show one person: one identity for all.
        identity_weight: weight of the identity prior; above 1 because errors of neighbouring landmarks go together,
            so that 68 points hold less than 68 independent measurements.
        expression_weight: weight of the expression prior.
        sigma_floor: least σ over the outer eye corners' distance.
        use: landmarks that count, (68,) or (B, 68) bool; None uses all.

    Returns:
        `LandmarkFit` in the dtype and on the device of ``points``.

    Raises:
        InputError: wrong dtype or shapes, values that are not finite, a σ or focal length that is not positive.

    Deterministic; a photo's result does not depend on the others of its batch (unless they share identity).
    """
    size = len(points) if isinstance(points, Tensor) and points.ndim else 0
    check_floating("points", points)
    check_shape("points", points, ("B", NUM_POINTS, 2))
    check_finite("points", points)
    check_floating("sigma", sigma)
    check_shape("sigma", sigma, (size, NUM_POINTS))
    check_finite("sigma", sigma)
    if bool((sigma <= 0).any()):
        raise InputError(f"sigma must be positive pixels, got {sigma.min().item():g}; use a large σ, not 0")
    if height < 1 or width < 1:
        raise InputError(f"height and width must be at least 1 pixel, got {height} x {width}")
    chosen = torch.ones(size, NUM_POINTS, dtype=torch.bool) if use is None else use
    check_shape("use", chosen, ("...", NUM_POINTS))
    chosen = chosen.to(points.device).expand(size, NUM_POINTS)

    with torch.no_grad():
        sparse = sparse_face(model)
        target = points.detach().double().cpu()
        spread = sigma.detach().double().cpu()
        # An unused landmark is one of which nothing is known.
        spread = torch.where(chosen.cpu(), spread, torch.full_like(spread, 1e6 * max(height, width)))
        rotation, scale, origin = weak_perspective_start(sparse, target, spread)
        eye_distance = scale * (sparse.mean[_LEFT_EYE_OUTER] - sparse.mean[_RIGHT_EYE_OUTER]).norm()
        spread = torch.hypot(spread, sigma_floor * eye_distance.clamp_min(1e-3)[:, None])

        camera = Camera.centered(_focal(focal, scale, height, width), height, width)
        distance = camera.focal / scale.clamp_min(1e-9)
        sides = (origin - camera.center) / camera.focal[:, None] * distance[:, None]
        coefficients = target.new_zeros(size, model.identity_dim + model.expression_dim)
        state = _State(rotation, torch.cat([sides, distance[:, None]], 1), coefficients)
        problem = _Problem(
            *(sparse, expression_prior(model), target, spread, camera.focal, camera.center),
            *(identity_weight, expression_weight, share_identity and size > 1),
        )
        converged = torch.ones(size, dtype=torch.bool)
        iterations = torch.zeros(size, dtype=torch.int64)
        for shape_moves, robust_scale, steps in _ROBUST_STAGES:
            state, converged, iterations = _optimise(problem, state, shape_moves, robust_scale, steps)
        return _result(problem, state, camera, converged, iterations, chosen, points)


def _focal(focal: float | Tensor | None, scale: Tensor, height: int, width: int) -> Tensor:
    if focal is None:
        return (scale * MIN_DISTANCE_MM).clamp_min(DEFAULT_FOCAL * max(height, width))
    given = torch.as_tensor(focal, dtype=torch.float64).cpu()
    if given.ndim:
        check_shape("focal", given, (len(scale),))
    if not bool((given.isfinite() & (given > 0)).all()):
        raise InputError(f"focal must be positive pixels, got {given.tolist()}")
    return given.expand(len(scale)).clone()


def _landmark_index(problem: _Problem, state: _State) -> Tensor:
    """Which of the sparse points stand for the 68 landmarks in this pose, (B, 68)."""
    camera_points = _camera_points(problem, state)
    flat = camera_points[..., :2] / camera_points[..., 2:]
    jaw = visible_contour(problem.sparse, flat, state.rotation)
    inner = torch.arange(NUM_JAW, NUM_POINTS).expand(len(jaw), -1)
    return torch.cat([jaw, inner], 1)


def _camera_points(problem: _Problem, state: _State) -> Tensor:
    points = problem.sparse.points(state.coefficients)
    return points @ state.rotation.transpose(1, 2) + state.translation[:, None]


def _project(problem: _Problem, camera_points: Tensor) -> Tensor:
    flat = camera_points[..., :2] / camera_points[..., 2:]
    return flat * problem.focal[:, None, None] + problem.center[:, None]


def _residuals(problem: _Problem, state: _State, index: Tensor) -> Tensor:
    """Misfit of each landmark in σ, (B, 68, 2)."""
    chosen = torch.take_along_dim(_camera_points(problem, state), index[..., None], 1)
    return (_project(problem, chosen) - problem.points) / problem.sigma[..., None]


def _cost(problem: _Problem, state: _State, index: Tensor, robust_scale: float) -> Tensor:
    """Twice the negative log posterior, (B,): Geman-McClure of the misfit, identity and expression priors."""
    square = _residuals(problem, state, index).square().sum(-1)
    data = (square / (1 + square / robust_scale**2)).sum(-1)
    dim = problem.sparse.identity_dim
    identity, expression = state.coefficients[:, :dim], state.coefficients[:, dim:]
    # Photos that share an identity share its prior: each bears its part.
    weight = problem.identity_weight / (len(identity) if problem.share else 1)
    pull = torch.einsum("be,ef,bf->b", expression, problem.prior.precision, expression)
    overlap = _overlap(problem, state).square().sum(-1)
    behind = (_camera_points(problem, state)[..., 2] <= 0).any(-1)
    cost = data + weight * identity.square().sum(-1) + problem.expression_weight * pull + overlap
    return cost.masked_fill(behind, torch.inf)


def _overlap(problem: _Problem, state: _State) -> Tensor:
    """How far lips and lids pass through each other, (B, G) in units of `_GAP_SIGMA_MM`, never positive."""
    sparse = problem.sparse
    gap = sparse.gap_mean + state.coefficients @ sparse.gap_basis.T
    return (gap - sparse.gap_mean.clamp_max(0)).clamp_max(0) / _GAP_SIGMA_MM


def residual_jacobian(problem: _Problem, state: _State, index: Tensor) -> tuple[Tensor, Tensor]:
    """Misfit in σ (B, 68, 2) and its derivative (B, 68, 2, 6 + N) by rotation, translation and coefficients.

    With p = R q + t and r = (f p_xy / p_z + c - target) / σ:
    dr/dp = f / (σ p_z) [1 0 -p_x/p_z; 0 1 -p_y/p_z]; a small turn ω after R moves p by ω x (R q).
    """
    model_points = torch.take_along_dim(problem.sparse.points(state.coefficients), index[..., None], 1)
    turned = model_points @ state.rotation.transpose(1, 2)
    spot = turned + state.translation[:, None]
    residual = (_project(problem, spot) - problem.points) / problem.sigma[..., None]

    gain = problem.focal[:, None] / (problem.sigma * spot[..., 2])
    one, zero = torch.ones_like(gain), torch.zeros_like(gain)
    slope = -spot[..., :2] / spot[..., 2:]
    by_point = torch.stack([one, zero, slope[..., 0], zero, one, slope[..., 1]], -1).unflatten(-1, (2, 3))
    by_point = by_point * gain[..., None, None]  # (B, 68, 2, 3)
    by_turn = -by_point @ cross_matrix(turned)
    by_model = by_point @ state.rotation[:, None]  # (B, 68, 2, 3)
    basis = problem.sparse.basis.permute(1, 2, 0)[index]  # (B, 68, 3, N)
    return residual, torch.cat([by_turn, by_point, by_model @ basis], -1)


def _normal_equations(
    problem: _Problem, state: _State, index: Tensor, robust_scale: float, shape_moves: bool
) -> NormalEquations:
    residual, jacobian = residual_jacobian(problem, state, index)
    # Geman-McClure as reweighted least squares: rho(s) = s / (1 + s / c^2), rho'(s) = 1 / (1 + s / c^2)^2.
    weight = (1 + residual.square().sum(-1) / robust_scale**2).pow(-2)
    rows = (jacobian * weight.sqrt()[..., None, None]).flatten(1, 2)
    values = (residual * weight.sqrt()[..., None]).flatten(1, 2)
    hessian = rows.transpose(1, 2) @ rows
    gradient = (rows.transpose(1, 2) @ values[..., None]).squeeze(-1)

    dim = problem.sparse.identity_dim
    identity = torch.arange(_POSE, _POSE + dim)
    local = torch.cat([torch.arange(_POSE), torch.arange(_POSE + dim, hessian.shape[1])])
    weight_identity = problem.identity_weight / (len(hessian) if problem.share else 1)
    hessian[:, identity, identity] += weight_identity
    gradient[:, identity] += weight_identity * state.coefficients[:, :dim]
    expression = torch.arange(_POSE + dim, hessian.shape[1])
    precision = problem.expression_weight * problem.prior.precision
    hessian[:, expression[:, None], expression] += precision
    gradient[:, expression] += state.coefficients[:, dim:] @ precision
    overlap = _overlap(problem, state)
    touching = (overlap < 0).double()[..., None] * problem.sparse.gap_basis / _GAP_SIGMA_MM  # (B, G, N)
    gradient[:, _POSE:] += (touching.transpose(1, 2) @ overlap[..., None]).squeeze(-1)
    hessian[:, _POSE:, _POSE:] += touching.transpose(1, 2) @ touching
    if not shape_moves:
        gradient[:, _POSE:] = 0
        hessian[:, _POSE:, :] = 0
        hessian[:, :, _POSE:] = 0
    return NormalEquations(
        hessian[:, local[:, None], local],
        hessian[:, local[:, None], identity],
        hessian[:, identity[:, None], identity],
        gradient[:, local],
        gradient[:, identity],
    )


def _optimise(
    problem: _Problem, state: _State, shape_moves: bool, robust_scale: float, steps: int
) -> tuple[_State, Tensor, Tensor]:
    """Levenberg-Marquardt at one robust scale; photos that stand still are left alone."""
    size, dim = len(problem.points), problem.sparse.identity_dim
    damping = problem.points.new_full((size, 1), 1e-3)
    done = torch.zeros(size, dtype=torch.bool)
    iterations = torch.zeros(size, dtype=torch.int64)
    no_bound = problem.points.new_full((size, _POSE), torch.inf)
    index = _landmark_index(problem, state)
    for iteration in range(steps):
        if bool(done.all()):
            break
        if 0 < iteration < _CONTOUR_STEPS:
            index = _landmark_index(problem, state)
        equations = _normal_equations(problem, state, index, robust_scale, shape_moves)
        expression = state.coefficients[:, dim:]
        local, shared = bounded_step(
            equations,
            damping,
            torch.cat([-no_bound, problem.prior.lower - expression], 1),
            torch.cat([no_bound, problem.prior.upper - expression], 1),
            problem.share,
        )
        step = torch.cat([local[:, :_POSE], shared, local[:, _POSE:]], 1)
        tried = state.moved(step)
        before = pool(_cost(problem, state, index, robust_scale), problem.share)
        after = pool(_cost(problem, tried, index, robust_scale), problem.share)
        better = (after <= before).expand(size)
        extent = torch.cat([step[:, :3], step[:, 3:_POSE] / state.translation[:, 2:], step[:, _POSE:]], 1)
        still = extent.abs().amax(1) < _TOLERANCE
        if problem.share:
            still = still.all().expand(size)
        moves = better & ~done
        iterations = iterations + (~done).long()
        state = tried.where(moves, state)
        done = done | still | (damping[:, 0] > _MAX_DAMPING)
        damping = torch.where(better[:, None], damping / 5, damping * 8).clamp_min(1e-7)
    return state, done, iterations


def _result(
    problem: _Problem,
    state: _State,
    camera: Camera,
    converged: Tensor,
    iterations: Tensor,
    chosen: Tensor,
    like: Tensor,
) -> LandmarkFit:
    dim = problem.sparse.identity_dim
    index = _landmark_index(problem, state)
    residual = _residuals(problem, state, index)
    square = residual.square().sum(-1)
    camera_points = _camera_points(problem, state)
    eyes = (camera_points[:, _LEFT_EYE_OUTER] - camera_points[:, _RIGHT_EYE_OUTER]).norm(dim=-1)
    eye_depth = (camera_points[:, _LEFT_EYE_OUTER, 2] + camera_points[:, _RIGHT_EYE_OUTER, 2]) / 2
    eyes_px = eyes * camera.focal / eye_depth
    used = chosen.cpu().double()
    count = used.sum(-1).clamp_min(1)
    distance = square.sqrt() * problem.sigma
    start = NUM_POINTS  # candidates follow the landmarks among the sparse points
    fitted = _project(problem, torch.take_along_dim(camera_points, index[..., None], 1))
    return LandmarkFit(
        identity=state.coefficients[:, :dim].to(like),
        expression=state.coefficients[:, dim:].to(like),
        rotation=state.rotation.to(like),
        translation=state.translation.to(like),
        camera=camera.to(like),
        points=fitted.to(like),
        contour=problem.sparse.candidates.flatten()[index[:, :NUM_JAW] - start].to(like.device),
        inlier_weight=(1 + square / _ROBUST_STAGES[-1][1] ** 2).pow(-2).to(like),
        residual_sigma=((square * used).sum(-1) / count).sqrt().to(like),
        residual_percent=(100 * (distance * used).sum(-1) / count / eyes_px.clamp_min(1e-9)).to(like),
        converged=converged.to(like.device),
        iterations=iterations.to(like.device),
    )
