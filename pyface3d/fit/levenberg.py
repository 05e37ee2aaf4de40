"""One Levenberg-Marquardt step with bounds, for photos that may share unknowns.

The unknowns of photo b are local (pose, expression) or shared (identity: one vector for a person, or one for each
photo). The normal equations then have the shape of an arrow, and eliminating the local unknowns leaves a system
in the shared ones alone (Schur complement): its cost grows with the number of photos only linearly.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_BOUND_PASSES = 4  # rounds of "fix what leaves the box, solve for the rest"; more change the step by < 1e-3


@dataclass(frozen=True)
class NormalEquations:
    """Gauss-Newton approximation ``0.5 d' H d + g' d`` of the cost around the present unknowns.

    Attributes:
        local: (B, n, n).
        mixed: (B, n, m).
        shared: (B, m, m).
        local_gradient: (B, n).
        shared_gradient: (B, m).
    """

    local: Tensor
    mixed: Tensor
    shared: Tensor
    local_gradient: Tensor
    shared_gradient: Tensor


def pool(value: Tensor, share: bool) -> Tensor:
    """Sum over photos when they share, keeping the batch axis (1, ...); the value itself when they don't."""
    return value.sum(0, keepdim=True) if share else value


def bounded_step(
    equations: NormalEquations, damping: Tensor, lower: Tensor, upper: Tensor, share: bool
) -> tuple[Tensor, Tensor]:
    """The damped step that stays within bounds.

    Args:
        equations: the quadratic model; a row of zeros with zero gradient is an unknown that stays.
        damping: Marquardt's factor on the diagonal, (B, 1).
        lower, upper: least and greatest allowed step of each local unknown, (B, n), lower <= 0 <= upper.
        share: whether the shared unknowns are one set for all photos.

    Returns:
        local step (B, n) within the bounds, and shared step (B, m) (rows equal when shared).
    """
    local = _damped(equations.local, damping)
    # Shared unknowns are damped by the mean of their photos' factors: these are equal when shared anyway.
    shared = pool(_damped(equations.shared, damping), share)
    fixed = torch.zeros_like(equations.local_gradient, dtype=torch.bool)
    value = torch.zeros_like(equations.local_gradient)
    step_local, step_shared = value, equations.shared_gradient
    for _ in range(_BOUND_PASSES):
        step_local, step_shared = _solve(local, shared, equations, fixed, value, share)
        outside = ~fixed & ((step_local < lower) | (step_local > upper))
        value = torch.where(outside, torch.minimum(torch.maximum(step_local, lower), upper), value)
        fixed = fixed | outside
    step_local = torch.minimum(torch.maximum(step_local, lower), upper)
    return step_local, step_shared.expand_as(equations.shared_gradient)


def _damped(matrix: Tensor, damping: Tensor) -> Tensor:
    diagonal = matrix.diagonal(dim1=-2, dim2=-1)
    # An unknown that nothing depends on gets a unit diagonal and so a step of zero.
    extra = torch.where(diagonal > 0, damping * diagonal, torch.ones_like(diagonal))
    return matrix + torch.diag_embed(extra)


def _solve(
    local: Tensor, shared: Tensor, equations: NormalEquations, fixed: Tensor, value: Tensor, share: bool
) -> tuple[Tensor, Tensor]:
    """Solve with the ``fixed`` local unknowns held at ``value``."""
    held = torch.where(fixed, value, torch.zeros_like(value))[..., None]
    free = (~fixed).to(local.dtype)
    right_local = -(equations.local_gradient[..., None] + local @ held) * free[..., None] + held
    right_shared = -(equations.shared_gradient[..., None] + equations.mixed.transpose(1, 2) @ held)
    matrix = local * free[:, :, None] * free[:, None, :] + torch.diag_embed(fixed.to(local.dtype))
    mixed = equations.mixed * free[..., None]

    factor = torch.linalg.cholesky_ex(matrix).L
    reduced = torch.cholesky_solve(torch.cat([mixed, right_local], -1), factor)
    reduced_mixed, reduced_right = reduced[..., :-1], reduced[..., -1:]
    schur = shared - pool(mixed.transpose(1, 2) @ reduced_mixed, share)
    # The held values already stand in reduced_right; they act on the shared unknowns through right_shared alone.
    right = pool(right_shared - mixed.transpose(1, 2) @ reduced_right, share)
    step_shared = torch.cholesky_solve(right, torch.linalg.cholesky_ex(schur).L)
    step_local = reduced_right - reduced_mixed @ step_shared
    return step_local.squeeze(-1), step_shared.squeeze(-1)
