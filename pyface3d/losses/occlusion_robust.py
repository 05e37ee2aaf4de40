"""Losses of the two stages in which a regressor of face model coefficients learns to see past occluders.

Source: Ju, Lee, Hong, Kim, "Complete Face Recovery GAN" (WACV 2022), sections 3.1 and 3.2, and its code, over Deng et
al., "Accurate 3D Face Reconstruction with Weakly-Supervised Learning" (CVPRW 2019). Where the code errs, the corrected
form is the default and ``legacy`` gives what it computes: the eyes' weights stand one landmark late; every picture's
error meets every picture's mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.errors import InputError

_NUM_LANDMARKS = 68
FEATURE_WEIGHTS = (1 / 8, 1 / 4, 1 / 2, 1.0)
"""Of stage 2: maps at 1/8, 1/16 and 1/32 of the size, and the last one's means."""
EXPRESSION_WEIGHT, ALBEDO_WEIGHT = 0.1, 1.7e-3


def landmark_weights(stage: int, *, legacy: bool = False) -> Tensor:
    """What each of the 68 landmarks counts (68,): the nose's ridge, the eyes and the inner lips count more.

    Args:
        stage: 1 (20, 5 and 20 times) or 2 (5, 3 and 5 times).
        legacy: the eyes' weights one landmark late, as published: the first eye corner left out and a mouth corner in.
    """
    if stage not in (1, 2):
        raise InputError(f"stage must be 1 or 2, got {stage}")
    ridge, eyes, lips = (20.0, 5.0, 20.0) if stage == 1 else (5.0, 3.0, 5.0)
    weights = torch.ones(_NUM_LANDMARKS)
    first = 37 if legacy else 36
    weights[28:31], weights[first : first + 12], weights[60:68] = ridge, eyes, lips
    return weights


def squared_landmark_loss(
    points: Tensor, truth: Tensor, weights: Tensor, sample_weights: Tensor | None = None
) -> Tensor:
    """Stage 1: weighted squared distances over 68, mean over the batch.

    Args:
        points, truth: (B, 68, 2) px.
        weights: of each landmark (68,).
        sample_weights: of each face (B,): less where nobody annotated the landmarks.
    """
    squared = (points - truth).square().sum(-1) * weights.to(points)
    if sample_weights is not None:
        squared = squared * sample_weights.to(points)[:, None]
    return squared.mean()


def absolute_landmark_loss(points: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Stage 2: mean of weight times (|dx| + |dy|) over (B, 68), of points (B, 68, 2) px."""
    return ((points - truth).abs().sum(-1) * weights.to(points)).mean()


def photo_loss(picture: Tensor, render: Tensor, mask: Tensor, *, legacy: bool = False) -> Tensor:
    """Absolute colour difference, summed over the colours, mean over the pixels that count.

    Args:
        picture, render: (B, 3, H, W) of 0…1.
        mask: (B, H, W), what share of a pixel counts.
        legacy: every error with every mask, as published: about B times as much.

    Returns:
        Scalar; 0 where no pixel counts. Faces weigh by their pixels.
    """
    error = (picture - render).abs().sum(1)
    mask = mask.to(error)
    total = (error.sum(0) * mask.sum(0)).sum() if legacy else (error * mask).sum()
    return total / mask.sum().clamp_min(1e-6)


def identity_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """One less the cosine between embeddings (B, D), mean; ``wanted`` is a constant."""
    return (1 - functional.cosine_similarity(found, wanted.detach(), dim=1)).mean()


def coefficient_size(identity: Tensor, expression: Tensor, albedo: Tensor) -> Tensor:
    """Length of all the batch's identity coefficients (B, I) together, and of expression and albedo with their weights.

    Lengths, not squares, as published.
    """
    lengths = [torch.linalg.vector_norm(part) for part in (identity, expression, albedo)]
    return lengths[0] + EXPRESSION_WEIGHT * lengths[1] + ALBEDO_WEIGHT * lengths[2]


def light_loss(light: Tensor) -> Tensor:
    """How coloured the light (B, 3, 9) is: mean squared difference of each colour's coefficients from their mean."""
    return (light - light.mean(1, keepdim=True)).square().mean()


def reflectance_loss(albedo: Tensor, skin: Tensor) -> Tensor:
    """How uneven the skin is: squared distance of each vertex's albedo from the skin's mean colour, mean over the skin.

    Deng's form. The published one takes the shaded colour and a mask of −1, so that it rewards unevenness.

    Args:
        albedo: (B, V, 3).
        skin: (V,) bool.
    """
    inside = albedo[:, skin.to(albedo.device)]
    if inside.shape[1] == 0:
        return albedo.sum() * 0
    return (inside - inside.mean(1, keepdim=True)).square().sum(-1).mean()


def feature_loss(found: Sequence[Tensor], taught: Sequence[Tensor]) -> Tensor:
    """Stage 2: mean squared difference of the student's maps and means from the teacher's, with `FEATURE_WEIGHTS`."""
    pairs = zip(FEATURE_WEIGHTS, found, taught, strict=True)
    return torch.stack([weight * functional.mse_loss(own, other.detach()) for weight, own, other in pairs]).sum()


def taught_coefficient_loss(found: Tensor, taught: Tensor, shape: int, albedo: int) -> Tensor:
    """Stage 2: mean squared differences of three parts of the vectors (B, C), summed, whatever their lengths: the first
    ``shape`` entries (identity and expression), the next ``albedo``, and pose, light and place."""
    sizes = [shape, albedo, found.shape[1] - shape - albedo]
    pairs = zip(found.split(sizes, dim=1), taught.detach().split(sizes, dim=1))
    return torch.stack([functional.mse_loss(own, other) for own, other in pairs]).sum()
