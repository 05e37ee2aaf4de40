"""The posterior of pose, identity and expression given landmarks: its cost, derivatives and normal equations.

The unknowns of a photo stand in one order everywhere: rotation vector (3), translation (3), identity (I),
expression (E), then whatever else a fit adds. All tensors are float64.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pyface3d.fit.levenberg import NormalEquations
from pyface3d.fit.priors import ExpressionPrior
from pyface3d.fit.sparse_model import NUM_JAW, SparseFace, visible_contour
from pyface3d.geometry import rotation_from_axis_angle
from pyface3d.geometry.rotations import cross_matrix

POSE = 6
"""Unknowns of the pose: rotation vector and translation."""

_GAP_SIGMA_MM = 0.1  # what lips and lids may pass through each other
_GAP_REST_MM = 0.2  # closed lips rest this far apart, even where those of the mean face overlap
_FAR_SIGMA, _FAR_WEIGHT = 2.0, 3.0  # identity beyond 2 σ costs so much more: models' tails are guesses, not people


@dataclass(frozen=True)
class LandmarkProblem:
    """What stays the same while a fit runs.

    Attributes:
        sparse: the model's landmarks.
        prior: over the expression.
        expected: coefficients that the priors are centred on, (B, I + E); zero where nothing is known.
        points: given landmarks, px, (B, P, 2): 68, or with the dense points all that the model has.
        sigma: their σ, px, (B, P).
        focal, center: of the cameras, (B,) and (B, 2) px.
        identity_weight, expression_weight: factors on the priors.
        share: whether all photos show one person.
    """

    sparse: SparseFace
    prior: ExpressionPrior
    expected: Tensor
    points: Tensor
    sigma: Tensor
    focal: Tensor
    center: Tensor
    identity_weight: float
    expression_weight: float
    share: bool

    @property
    def identity_share(self) -> float:
        """Weight of the identity prior in each photo: those that share an identity bear it together."""
        return self.identity_weight / (len(self.points) if self.share else 1)


@dataclass(frozen=True)
class FaceState:
    """Pose and shape of B photos: rotation (B, 3, 3), translation (B, 3) mm, coefficients (B, I + E)."""

    rotation: Tensor
    translation: Tensor
    coefficients: Tensor

    def moved(self, step: Tensor) -> "FaceState":
        """After a ``step`` (B, 6 + I + E): the rotation vector turns the head about the model's origin."""
        turn = rotation_from_axis_angle(step[:, :3])
        return FaceState(turn @ self.rotation, self.translation + step[:, 3:POSE], self.coefficients + step[:, POSE:])

    def where(self, condition: Tensor, other: "FaceState") -> "FaceState":
        """This state for photos where ``condition`` (B,) holds, else ``other``."""
        return FaceState(
            torch.where(condition[:, None, None], self.rotation, other.rotation),
            torch.where(condition[:, None], self.translation, other.translation),
            torch.where(condition[:, None], self.coefficients, other.coefficients),
        )


def camera_points(problem: LandmarkProblem, state: FaceState) -> Tensor:
    """All sparse points in the camera frame, (B, K, 3) mm."""
    spots = problem.sparse.points(state.coefficients)
    return spots @ state.rotation.transpose(1, 2) + state.translation[:, None]


def project(problem: LandmarkProblem, spots: Tensor) -> Tensor:
    """Camera frame (B, K, 3) to pixels (B, K, 2)."""
    flat = spots[..., :2] / spots[..., 2:]
    return flat * problem.focal[:, None, None] + problem.center[:, None]


def landmark_index(problem: LandmarkProblem, state: FaceState) -> Tensor:
    """Which of the sparse points stand for the given ones in this pose, (B, P)."""
    spots = camera_points(problem, state)
    jaw = visible_contour(problem.sparse, spots[..., :2] / spots[..., 2:], state.rotation)
    inner = torch.arange(NUM_JAW, problem.points.shape[1]).expand(len(jaw), -1)
    return torch.cat([jaw, inner], 1)


def landmark_residuals(problem: LandmarkProblem, state: FaceState, index: Tensor) -> Tensor:
    """Misfit of each landmark in σ, (B, P, 2)."""
    chosen = torch.take_along_dim(camera_points(problem, state), index[..., None], 1)
    return (project(problem, chosen) - problem.points) / problem.sigma[..., None]


def landmark_cost(problem: LandmarkProblem, state: FaceState, index: Tensor, robust_scale: float) -> Tensor:
    """Twice the negative log posterior, (B,): Geman-McClure of the misfit, and the priors. inf behind the camera."""
    square = landmark_residuals(problem, state, index).square().sum(-1)
    data = (square / (1 + square / robust_scale**2)).sum(-1)
    dim = problem.sparse.identity_dim
    identity = state.coefficients[:, :dim]
    apart = state.coefficients - problem.expected
    pull = torch.einsum("be,ef,bf->b", apart[:, dim:], problem.prior.precision, apart[:, dim:])
    far = (identity.abs() - _FAR_SIGMA).clamp_min(0).square().sum(-1)
    prior = problem.identity_share * (apart[:, :dim].square().sum(-1) + _FAR_WEIGHT * far)
    prior = prior + problem.expression_weight * pull
    behind = (camera_points(problem, state)[..., 2] <= 0).any(-1)
    return (data + prior + _overlap(problem, state).square().sum(-1)).masked_fill(behind, torch.inf)


def _overlap(problem: LandmarkProblem, state: FaceState) -> Tensor:
    """How far lips and lids pass through each other, (B, G) in units of `_GAP_SIGMA_MM`, never positive."""
    sparse = problem.sparse
    gap = sparse.gap_mean + state.coefficients @ sparse.gap_basis.T
    return (gap - _GAP_REST_MM).clamp_max(0) / _GAP_SIGMA_MM


def point_jacobian(spots: Tensor, gain: Tensor) -> Tensor:
    """Derivative of ``gain * p_z * (p_xy / p_z)`` by p, (..., 2, 3): with gain = f / p_z that of the projection."""
    slope = -spots[..., :2] / spots[..., 2:]
    one, zero = torch.ones_like(gain), torch.zeros_like(gain)
    rows = torch.stack([one, zero, slope[..., 0], zero, one, slope[..., 1]], -1).unflatten(-1, (2, 3))
    return rows * gain[..., None, None]


def residual_jacobian(problem: LandmarkProblem, state: FaceState, index: Tensor) -> tuple[Tensor, Tensor]:
    """Misfit in σ (B, P, 2) and its derivative (B, P, 2, 6 + N) by rotation, translation and coefficients.

    With p = R q + t and r = (f p_xy / p_z + c - target) / σ: dr/dp = f / (σ p_z) [1 0 -p_x/p_z; 0 1 -p_y/p_z];
    a small turn ω after R moves p by ω x (R q) = -[R q]x ω.
    """
    spots = torch.take_along_dim(problem.sparse.points(state.coefficients), index[..., None], 1)
    turned = spots @ state.rotation.transpose(1, 2)
    placed = turned + state.translation[:, None]
    residual = (project(problem, placed) - problem.points) / problem.sigma[..., None]
    by_point = point_jacobian(placed, problem.focal[:, None] / (problem.sigma * placed[..., 2]))
    by_turn = -by_point @ cross_matrix(turned)
    basis = problem.sparse.basis.permute(1, 2, 0)[index]  # (B, P, 3, N)
    by_shape = (by_point @ state.rotation[:, None]) @ basis
    return residual, torch.cat([by_turn, by_point, by_shape], -1)


def quadratic_model(
    problem: LandmarkProblem, state: FaceState, index: Tensor, robust_scale: float
) -> tuple[Tensor, Tensor]:
    """Gauss-Newton Hessian (B, 6 + N, 6 + N) and gradient (B, 6 + N) of half `landmark_cost`."""
    residual, jacobian = residual_jacobian(problem, state, index)
    # Geman-McClure as reweighted least squares: rho(s) = s / (1 + s / c^2), rho'(s) = 1 / (1 + s / c^2)^2.
    root = 1 / (1 + residual.square().sum(-1) / robust_scale**2)
    rows = (jacobian * root[..., None, None]).flatten(1, 2)
    values = (residual * root[..., None]).flatten(1, 2)
    hessian = rows.transpose(1, 2) @ rows
    gradient = (rows.transpose(1, 2) @ values[..., None]).squeeze(-1)

    dim = problem.sparse.identity_dim
    identity = torch.arange(POSE, POSE + dim)
    values = state.coefficients[:, :dim]
    apart = state.coefficients - problem.expected
    far = (values.abs() - _FAR_SIGMA).clamp_min(0)
    hessian[:, identity, identity] += problem.identity_share * (1 + _FAR_WEIGHT * (far > 0))
    gradient[:, identity] += problem.identity_share * (apart[:, :dim] + _FAR_WEIGHT * far * values.sign())
    precision = problem.expression_weight * problem.prior.precision
    hessian[:, POSE + dim :, POSE + dim :] += precision
    gradient[:, POSE + dim :] += apart[:, dim:] @ precision
    overlap = _overlap(problem, state)
    touching = (overlap < 0).double()[..., None] * problem.sparse.gap_basis / _GAP_SIGMA_MM  # (B, G, N)
    gradient[:, POSE:] += (touching.transpose(1, 2) @ overlap[..., None]).squeeze(-1)
    hessian[:, POSE:, POSE:] += touching.transpose(1, 2) @ touching
    return hessian, gradient


def split_identity(hessian: Tensor, gradient: Tensor, identity_dim: int) -> NormalEquations:
    """Arrange a quadratic model in the common order of unknowns so that the identity can be shared."""
    identity = torch.arange(POSE, POSE + identity_dim)
    local = torch.cat([torch.arange(POSE), torch.arange(POSE + identity_dim, hessian.shape[1])])
    return NormalEquations(
        hessian[:, local[:, None], local],
        hessian[:, local[:, None], identity],
        hessian[:, identity[:, None], identity],
        gradient[:, local],
        gradient[:, identity],
    )


def join_identity(local: Tensor, identity: Tensor) -> Tensor:
    """Steps (B, n) and (B, I) of `split_identity`'s unknowns back in the common order."""
    return torch.cat([local[:, :POSE], identity, local[:, POSE:]], 1)
