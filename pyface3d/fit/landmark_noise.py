"""How the errors of detected landmarks go: their mean, and which of them go together.

A predictor's 68 errors are not independent: the mouth moves as one, a jaw slides along itself, brows sit higher than
the mesh has them. A fit that takes them for independent reads shape into them. The mean and the common part were
measured on rendered people (``scripts/calibrate_landmark_noise.py``), in the face's own frame, so that they turn,
scale and mirror with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from pyface3d.io.weights import load_weights

_ASSET = "landmark_noise"
_PASSES = 6  # reweightings of the common part; more change the cost by < 1e-6


@dataclass(frozen=True)
class PhotoNoise:
    """The noise in B photos, px.

    Attributes:
        bias: mean error, (B, 68, 2).
        common: errors that go together, (B, 136, k): each column once, times a N(0, 1) number.
        own: standard deviation of what remains, per coordinate, (B, 68).
    """

    bias: Tensor
    common: Tensor
    own: Tensor


@dataclass(frozen=True)
class LandmarkNoise:
    """The errors of a predictor of the iBUG 68 in the face's frame (x to its right in the picture, y down its roll).

    Attributes:
        bias: mean error in mm, times (1, sin yaw, sin² yaw), (3, 68, 2).
        common: errors that go together in units of each landmark's stated σ, (68, 2, k).
        own: standard deviation of what remains, in the same units, (68,).
    """

    bias: Tensor
    common: Tensor
    own: Tensor

    @staticmethod
    @cache
    def load() -> LandmarkNoise:
        """The noise of `pyface3d.detect.landmarks68`, float64.

        Raises:
            AssetError: the shipped file is missing or damaged.
        """
        weights = load_weights(_ASSET)
        return LandmarkNoise(*(weights[name].double() for name in ("bias", "common", "own")))

    def in_photo(self, rotation: Tensor, scale: Tensor, sigma: Tensor) -> PhotoNoise:
        """The noise of faces in rough poses.

        Args:
            rotation: model to camera, (B, 3, 3).
            scale: px per mm at the face, (B,).
            sigma: stated standard deviation of the landmarks, px, (B, 68).
        """
        axes = face_axes(rotation)
        bias = torch.einsum("bt,tki->bki", turn_terms(rotation), self.bias.to(rotation)) * scale[:, None, None]
        common = torch.einsum("kin,bij->bkjn", self.common.to(rotation), axes) * sigma[..., None, None]
        return PhotoNoise(bias @ axes, common.flatten(1, 2), self.own.to(rotation) * sigma)


def face_axes(rotation: Tensor) -> Tensor:
    """Rows: the face's right and down in the picture, unit vectors that know its roll only, (B, 2, 2)."""
    down = -rotation[:, :2, 1]
    down = down / down.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    return torch.stack([torch.stack([down[:, 1], -down[:, 0]], -1), down], 1)


def turn_terms(rotation: Tensor) -> Tensor:
    """What the mean error is linear in: 1, sin yaw, sin² yaw, (B, 3)."""
    sine = (face_axes(rotation)[:, 0] * rotation[:, :2, 2]).sum(-1)
    return torch.stack([torch.ones_like(sine), sine, sine.square()], -1)


@dataclass(frozen=True)
class Explained:
    """Misfits split into what goes together and the rest.

    Attributes:
        rest: misfit (B, 68, 2) less the common part, in σ.
        cost: of the common part, its squared size, (B,).
        weights: of the rest by the robust loss, (B, 136).
        common: the columns given, (B, 136, k).
    """

    rest: Tensor
    cost: Tensor
    weights: Tensor
    common: Tensor

    def normal_equations(self, jacobian: Tensor) -> tuple[Tensor, Tensor]:
        """Gauss-Newton Hessian and gradient by the unknowns of ``jacobian`` (B, 136, N), the common part eliminated."""
        weighted = jacobian * self.weights[..., None]
        mixed = self.common.transpose(1, 2) @ weighted
        hessian = jacobian.transpose(1, 2) @ weighted
        hessian = hessian - mixed.transpose(1, 2) @ torch.linalg.solve(_precision(self.common, self.weights), mixed)
        return hessian, (weighted.transpose(1, 2) @ self.rest.flatten(1)[..., None]).squeeze(-1)


def explain(residual: Tensor, common: Tensor, robust_scale: float) -> Explained:
    """The most probable common part of misfits under Geman-McClure's loss, by reweighted least squares.

    Args:
        residual: misfit in σ, (B, 68, 2).
        common: (B, 136, k) in σ; k = 0 for errors that are independent.
        robust_scale: of the loss, σ.
    """
    flat, rest = residual.flatten(1), residual
    part = flat.new_zeros(len(flat), common.shape[2])
    weights = _robust_weights(rest, robust_scale)
    for _ in range(_PASSES if common.shape[2] else 0):
        right = (common * weights[..., None]).transpose(1, 2) @ flat[..., None]
        part = torch.linalg.solve(_precision(common, weights), right).squeeze(-1)
        rest = (flat - (common @ part[..., None]).squeeze(-1)).view_as(residual)
        weights = _robust_weights(rest, robust_scale)
    return Explained(rest, part.square().sum(-1), weights, common)


def _robust_weights(residual: Tensor, robust_scale: float) -> Tensor:
    """rho(s) = s / (1 + s / c²) has rho'(s) = 1 / (1 + s / c²)²; per coordinate, (B, 136)."""
    return (1 + residual.square().sum(-1) / robust_scale**2).pow(-2).repeat_interleave(2, dim=1)


def _precision(common: Tensor, weights: Tensor) -> Tensor:
    """Hessian of the common part's own cost, (B, k, k)."""
    return (common * weights[..., None]).transpose(1, 2) @ common + torch.eye(common.shape[2]).to(common)
