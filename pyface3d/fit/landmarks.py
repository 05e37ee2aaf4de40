"""Pose, identity and expression of a face model from 68 landmarks, and from dense points where they are known.

Maximum a posteriori by Levenberg-Marquardt with analytic Jacobians, over a perspective camera: landmarks with a σ
each and a robust loss, identity N(0, 1), expression within its bounds and prior (`pyface3d.fit.priors`), jaw
points that slide to where the face ends in the present pose. All photos of a batch run at once; photos of one
person can share their identity.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.fit.levenberg import bounded_step, pool
from pyface3d.fit.posterior import (
    POSE,
    FaceState,
    LandmarkProblem,
    camera_points,
    join_identity,
    landmark_cost,
    landmark_index,
    landmark_residuals,
    project,
    quadratic_model,
    split_identity,
)
from pyface3d.fit.priors import ExpressionPrior, expression_prior
from pyface3d.fit.results import DenseLandmarks, LandmarkFit
from pyface3d.fit.sparse_model import NUM_JAW, NUM_POINTS, SparseFace, sparse_face
from pyface3d.fit.weak_perspective import weak_perspective_start
from pyface3d.geometry import Camera
from pyface3d.geometry.checks import check_finite, check_floating, check_shape

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel

_LEFT_EYE_OUTER, _RIGHT_EYE_OUTER = 36, 45

DEFAULT_FOCAL = 1.2
"""Focal length over the longer side of the image where nothing is known: a 45° field of view."""
MIN_DISTANCE_MM = 600.0
"""A face is hardly ever photographed from nearer; a larger focal length is assumed where a crop would say so."""
SIGMA_FLOOR = 0.01
"""Least σ of a landmark over the distance of the outer eye corners: annotators and mesh differ by that much."""
IDENTITY_WEIGHT = 2.0
"""Weight of the identity prior unless told."""
DENSE_FLOOR = 0.01
"""Least σ of a dense point, in the same unit; these are vertices, defined by the mesh itself."""
JAW_WIDENED = 2.0
"""Factor on the σ of jaw points where dense points are known: annotators space them evenly along the outline, the
model's slide on lines of their own, and vertices of the jaw are among the dense points."""
DENSE_WIDENED = 2.0
"""Factor on the σ of dense points, see `docs/fit.md`."""

_ROBUST_STAGES = ((False, 10.0, 10), (True, 6.0, 8), (True, 3.5, 40))  # (shape moves, scale in σ, steps)
_CONTOUR_STEPS = 12  # then the jaw's vertices stay: two equal ones could otherwise swap for ever
_TOLERANCE = 1e-4  # largest step (σ, radians, relative depth) that counts as standing still
_MAX_DAMPING = 1e8


def fit_landmarks(
    model: "FaceModel",
    points: Tensor,
    sigma: Tensor,
    height: int,
    width: int,
    *,
    focal: float | Tensor | None = None,
    dense: DenseLandmarks | None = None,
    share_identity: bool = False,
    identity_weight: float | None = None,
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
        dense: the network's dense points and coefficients (`dense_landmarks`); ``model`` must have these points.
        share_identity: all photos show one person: one identity for all.
        identity_weight: weight of the identity prior, `IDENTITY_WEIGHT` unless told; above 1 because errors of
            neighbouring landmarks go together, so that 68 points hold less than 68 independent measurements.
        expression_weight: weight of the expression prior.
        sigma_floor: least σ over the outer eye corners' distance.
        use: landmarks that count, (68,) or (B, 68) bool; None uses all.

    Returns:
        `LandmarkFit` in the dtype and on the device of ``points``.

    Raises:
        InputError: wrong dtype or shapes, values that are not finite, a σ or focal length that is not positive, dense
            points for a model that has none.

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
        coefficients = target.new_zeros(size, model.identity_dim + model.expression_dim)
        prior = expression_prior(model)
        if dense is not None:
            dense = _checked(dense, model, size)
            target, spread = torch.cat([target, dense.points], 1), torch.cat([spread, dense.sigma], 1)
            coefficients = _expected(dense, model, prior, share_identity)
        rotation, scale, origin = weak_perspective_start(sparse, target, spread)
        eye_distance = scale * (sparse.mean[_LEFT_EYE_OUTER] - sparse.mean[_RIGHT_EYE_OUTER]).norm()
        spread = torch.hypot(spread, _floors(sparse, spread, sigma_floor) * eye_distance.clamp_min(1e-3)[:, None])
        # Dense points come from one network and err together: each counts for less than a measurement of its own.
        spread[:, NUM_POINTS:] *= DENSE_WIDENED
        if dense is not None:
            spread[:, :NUM_JAW] *= JAW_WIDENED

        camera = Camera.centered(_focal(focal, scale, height, width), height, width)
        distance = camera.focal / scale.clamp_min(1e-9)
        sides = (origin - camera.center) / camera.focal[:, None] * distance[:, None]
        state = FaceState(rotation, torch.cat([sides, distance[:, None]], 1), coefficients)
        problem = LandmarkProblem(
            *(sparse, prior, coefficients, target, spread, camera.focal, camera.center),
            *(IDENTITY_WEIGHT if identity_weight is None else identity_weight, expression_weight),
            share_identity and size > 1,
        )
        converged = torch.ones(size, dtype=torch.bool)
        iterations = torch.zeros(size, dtype=torch.int64)
        for shape_moves, robust_scale, steps in _ROBUST_STAGES:
            state, converged, iterations = _optimise(problem, state, shape_moves, robust_scale, steps)
        return _result(problem, state, camera, converged, iterations, chosen, dense, points)


def _floors(sparse: SparseFace, sigma: Tensor, landmark_floor: float) -> Tensor:
    """Least σ of each of the P given points, (P,), over the distance of the outer eye corners."""
    floors = sigma.new_full((sigma.shape[1],), DENSE_FLOOR)
    floors[:NUM_POINTS] = landmark_floor
    return floors


def _checked(dense: DenseLandmarks, model: "FaceModel", size: int) -> DenseLandmarks:
    """``dense`` in float64 on the CPU.

    Raises:
        InputError: its shapes or values are not what a fit of ``size`` photos needs, or ``model`` has no such points.
    """
    number = sparse_face(model).num_observable - NUM_POINTS
    if number == 0:
        raise InputError(f"model {model.name!r} has no dense points; fit its 68 landmarks only, or use 'head'")
    shapes = {"points": (size, number, 2), "sigma": (size, number)}
    shapes |= {"identity": (size, model.identity_dim), "expression": (size, model.expression_dim)}
    for name, shape in shapes.items():
        value = getattr(dense, name)
        if value is not None:
            check_floating(f"dense.{name}", value)
            check_shape(f"dense.{name}", value, shape)
            check_finite(f"dense.{name}", value)
    if bool((dense.sigma <= 0).any()):
        raise InputError(f"dense.sigma must be positive pixels, got {dense.sigma.min().item():g}")
    return dense.to(torch.zeros((), dtype=torch.float64))


def _expected(dense: DenseLandmarks, model: "FaceModel", prior: ExpressionPrior, share_identity: bool) -> Tensor:
    """Coefficients (B, I + E) that the priors are centred on; photos of one person expect the same identity."""
    size = len(dense.points)
    identity = dense.points.new_zeros(size, model.identity_dim) if dense.identity is None else dense.identity
    if share_identity:
        identity = identity.mean(0, keepdim=True).expand(size, -1)
    expression = dense.points.new_zeros(size, model.expression_dim) if dense.expression is None else dense.expression
    return torch.cat([identity, expression.clamp(prior.lower, prior.upper)], 1)


def fitted_problem(
    model: "FaceModel", fit: LandmarkFit, identity_weight: float, expression_weight: float, share_identity: bool
) -> LandmarkProblem:
    """The problem that a landmark fit solved, for a fit that goes on from it; float64 on the CPU."""
    camera, dense = fit.camera.to("cpu", torch.float64), fit.dense
    points, sigma = [fit.given], [fit.sigma]
    expected = fit.given.new_zeros(len(fit), model.identity_dim + model.expression_dim)
    if dense is not None:
        points, sigma = [fit.given, dense.points], [fit.sigma, dense.sigma]
        if dense.identity is not None and dense.expression is not None:
            expected = torch.cat([dense.identity, dense.expression], 1)
    return LandmarkProblem(
        *(sparse_face(model), expression_prior(model), expected.double().cpu()),
        *(torch.cat(points, 1).double().cpu(), torch.cat(sigma, 1).double().cpu(), camera.focal, camera.center),
        *(identity_weight, expression_weight, share_identity and len(fit) > 1),
    )


def _focal(focal: float | Tensor | None, scale: Tensor, height: int, width: int) -> Tensor:
    if focal is None:
        return (scale * MIN_DISTANCE_MM).clamp_min(DEFAULT_FOCAL * max(height, width))
    given = torch.as_tensor(focal, dtype=torch.float64).cpu()
    if given.ndim:
        check_shape("focal", given, (len(scale),))
    if not bool((given.isfinite() & (given > 0)).all()):
        raise InputError(f"focal must be positive pixels, got {given.tolist()}")
    return given.expand(len(scale)).clone()


def _optimise(
    problem: LandmarkProblem, state: FaceState, shape_moves: bool, robust_scale: float, steps: int
) -> tuple[FaceState, Tensor, Tensor]:
    """Levenberg-Marquardt at one robust scale; photos that stand still are left alone."""
    size, dim = len(problem.points), problem.sparse.identity_dim
    damping = problem.points.new_full((size, 1), 1e-3)
    done = torch.zeros(size, dtype=torch.bool)
    iterations = torch.zeros(size, dtype=torch.int64)
    no_bound = problem.points.new_full((size, POSE), torch.inf)
    index = landmark_index(problem, state)
    for iteration in range(steps):
        if bool(done.all()):
            break
        if 0 < iteration < _CONTOUR_STEPS:
            index = landmark_index(problem, state)
        hessian, gradient = quadratic_model(problem, state, index, robust_scale)
        if not shape_moves:
            gradient[:, POSE:], hessian[:, POSE:], hessian[:, :, POSE:] = 0, 0, 0
        expression = state.coefficients[:, dim:]
        step = join_identity(
            *bounded_step(
                split_identity(hessian, gradient, dim),
                damping,
                torch.cat([-no_bound, problem.prior.lower - expression], 1),
                torch.cat([no_bound, problem.prior.upper - expression], 1),
                problem.share,
            )
        )
        tried = state.moved(step)
        before = pool(landmark_cost(problem, state, index, robust_scale), problem.share)
        after = pool(landmark_cost(problem, tried, index, robust_scale), problem.share)
        better = (after <= before).expand(size)
        extent = torch.cat([step[:, :3], step[:, 3:POSE] / state.translation[:, 2:], step[:, POSE:]], 1)
        still = extent.abs().amax(1) < _TOLERANCE
        if problem.share:
            still = still.all().expand(size)
        iterations = iterations + (~done).long()
        state = tried.where(better & ~done, state)
        done = done | still | (damping[:, 0] > _MAX_DAMPING)
        damping = torch.where(better[:, None], damping / 5, damping * 8).clamp_min(1e-7)
    return state, done, iterations


def _result(
    problem: LandmarkProblem,
    state: FaceState,
    camera: Camera,
    converged: Tensor,
    iterations: Tensor,
    chosen: Tensor,
    dense: DenseLandmarks | None,
    like: Tensor,
) -> LandmarkFit:
    dim = problem.sparse.identity_dim
    index = landmark_index(problem, state)
    square = landmark_residuals(problem, state, index).square().sum(-1)[:, :NUM_POINTS]
    spots = camera_points(problem, state)
    eyes = spots[:, [_LEFT_EYE_OUTER, _RIGHT_EYE_OUTER]]
    eyes_px = (eyes[:, 0] - eyes[:, 1]).norm(dim=-1) * camera.focal / eyes[..., 2].mean(1)
    used = chosen.cpu().double()
    count = used.sum(-1).clamp_min(1)
    distance = square.sqrt() * problem.sigma[:, :NUM_POINTS]
    fitted = project(problem, torch.take_along_dim(spots, index[:, :NUM_POINTS, None], 1))
    return LandmarkFit(
        identity=state.coefficients[:, :dim].to(like),
        expression=state.coefficients[:, dim:].to(like),
        rotation=state.rotation.to(like),
        translation=state.translation.to(like),
        camera=camera.to(like),
        points=fitted.to(like),
        sigma=problem.sigma[:, :NUM_POINTS].to(like),
        given=problem.points[:, :NUM_POINTS].to(like),
        contour=problem.sparse.candidates.flatten()[index[:, :NUM_JAW] - problem.sparse.num_observable].to(like.device),
        inlier_weight=(1 + square / _ROBUST_STAGES[-1][1] ** 2).pow(-2).to(like),
        residual_sigma=((square * used).sum(-1) / count).sqrt().to(like),
        residual_percent=(100 * (distance * used).sum(-1) / count / eyes_px.clamp_min(1e-9)).to(like),
        converged=converged.to(like.device),
        iterations=iterations.to(like.device),
        dense=None
        if dense is None
        else DenseLandmarks(
            dense.points.to(like),
            problem.sigma[:, NUM_POINTS:].to(like),
            problem.expected[:, :dim].to(like),
            problem.expected[:, dim:].to(like),
        ),
    )
