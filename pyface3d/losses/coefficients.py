"""Losses of face model coefficients, by themselves and by the vertices that they move."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pyface3d.losses.reduction import masked_mean

if TYPE_CHECKING:
    from pyface3d.face_models.base import FaceModel


def coefficient_loss(coefficients: Tensor, truth: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean squared difference of coefficients (B, C); ``mask`` (B,) bool says which samples count."""
    return masked_mean((coefficients - truth).square(), mask)


def asymmetric_loss(
    coefficients: Tensor, truth: Tensor, mask: Tensor | None = None, over: float = 1.0, under: float = 3.0
) -> Tensor:
    """Squared differences that punish too little more than too much, so that answers do not end at the mean face.

    With g the true coefficient, p the predicted one, and m = max(|g|, sign(g) p):
    ``over (|g| - m)² + under (sign(g) p - m)²``. One of the two terms is always 0: a prediction beyond the truth costs
    ``over`` times the square of the difference, one that falls short, or has the other sign, ``under`` times. A true 0
    has no side, and costs nothing, as published.

    Source: Tran, Hassner, Masi, Medioni, "Regressing Robust and Discriminative 3D Morphable Models with a very Deep
    Neural Network" (CVPR 2017), equations 4 and 5, as a mean rather than a sum.

    Args:
        coefficients, truth: (B, C).
        mask: (B,) or (B, C) bool, which count.
        over, under: costs.
    """
    true, found = truth.abs(), truth.sign() * coefficients
    most = torch.maximum(true, found)
    return masked_mean(over * (true - most).square() + under * (found - most).square(), mask)


def vertex_gram(model: FaceModel, weights: Tensor) -> Tensor:
    """The quadratic form that gives mean squared vertex distances from differences of coefficients.

    A model without pose is affine: coefficients that differ by ``c`` move the vertices by ``B c``, and the weighted
    mean of the squared lengths is ``cᵀ G c``. The meshes themselves are never made in training.

    Args:
        model: I identity and E expression coefficients.
        weights: (V,) non-negative, how much a vertex counts; not all zero.

    Returns:
        (I + E, I + E) float32, mm².
    """
    dims = model.identity_dim, model.expression_dim
    eyes = torch.eye(sum(dims), device=weights.device)
    rest = model.vertices(torch.zeros_like(eyes[:1, : dims[0]]), torch.zeros_like(eyes[:1, dims[0] :]))
    moves = (model.vertices(eyes[:, : dims[0]], eyes[:, dims[0] :]) - rest).double()  # (I + E, V, 3)
    moves = (moves * (weights.double() / weights.double().sum()).sqrt()[:, None]).flatten(1)
    return (moves @ moves.T).float()


def vertex_loss(difference: Tensor, gram: Tensor, mask: Tensor | None = None) -> Tensor:
    """Root mean square distance of vertices in mm, averaged over the samples.

    Args:
        difference: (B, I + E) identity and expression, prediction less truth.
        gram: from `vertex_gram`.
        mask: (B,) bool, which samples count.
    """
    with torch.autocast(difference.device.type, enabled=False):  # bfloat16 is too coarse for these sums
        square = ((difference @ gram) * difference).sum(1).clamp(min=0)
    return masked_mean((square + 1e-4).sqrt(), mask)
