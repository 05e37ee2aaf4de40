"""Identity space: the distribution of real people in our parameter space, then PCA of heads drawn from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .parameters import ParameterSpace
from .scans import Correspondence, align
from .source import Array, reflect

#: Standard deviation that a scan's point is expected to differ from the best fit of our targets, mm …
POINT_NOISE_MM = 1.5
#: … and how many of the points are independent of each other: neighbours err together.
INDEPENDENT_SHARE = 0.05
#: Weight of the a-priori spread against what the scans say: without it, fine targets (dimples, creases) that explain
#: little are drawn far outside the range they were sculpted for.
PRIOR_SHARE = 0.1


@dataclass(frozen=True)
class Population:
    """Normal distribution of people over the parameter vector: mean (K,), covariance (K, K)."""

    mean: Array
    covariance: Array

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        values, vectors = np.linalg.eigh(self.covariance)
        factor = vectors * np.sqrt(values.clip(0.0))
        return self.mean + generator.standard_normal((count, len(self.mean))) @ factor.T


@dataclass(frozen=True)
class IdentitySpace:
    """Mean head (V, 3) and components (I, V, 3), mm per standard deviation; share of weighted variance kept."""

    mean: Array
    components: Array
    variance_kept: float


def calibrate(
    space: ParameterSpace, people: Array, match: Correspondence, weights: Array, rounds: int = 30
) -> Population:
    """Project scanned people onto the parameter space and estimate their distribution by expectation-maximisation.

    With d = shapes @ t + noise and t ~ N(0, S) about the scans' mean, each round takes the posterior of every person's
    t and sets S to the second moment found, shrunk towards the a-priori spread; what scans do not show keeps that
    spread. Every person also counts mirrored, so the distribution is symmetric.

    Args:
        people: scan points at the matched vertices, (B, n, 3) mm, in any pose.
        weights: importance of each matched vertex, (n,).
    """
    verts = space.vertices(match.mean_t[None])[0]
    reference = verts[match.vertices]
    shapes = space.linearised(match.mean_t)[:, match.vertices]
    moved = align(people, reference, weights=weights)
    centred = without_rigid(shapes, reference, weights)
    scale = np.sqrt(weights * INDEPENDENT_SHARE / (weights.mean() * POINT_NOISE_MM**2))[:, None]
    design = (centred * scale).reshape(len(shapes), -1)
    data = ((moved - moved.mean(axis=0)) * scale).reshape(len(people), -1)
    precision = design @ design.T
    projected = data @ design.T
    permutation, sign = space.mirror_permutation()
    prior_spread = np.eye(len(shapes))
    covariance = prior_spread
    for _ in range(rounds):
        posterior = np.linalg.inv(precision + np.linalg.inv(covariance))
        found = projected @ posterior
        moment = found.T @ found / len(found) + posterior
        moment = 0.5 * (moment + sign[:, None] * moment[np.ix_(permutation, permutation)] * sign)
        covariance = (moment + PRIOR_SHARE * prior_spread) / (1.0 + PRIOR_SHARE)
    return Population(match.mean_t, covariance)


def principal_components(heads: Array, mean: Array, mirror: np.ndarray, weights: Array, count: int) -> IdentitySpace:
    """PCA of heads (B, V, 3) and their mirror images under vertex weights (V,); components in sigma units.

    ``mean`` (V, 3) is the head at the mean parameters: targets crease one way only, so the mean of the heads would be
    more wrinkled than any average person.

    The mirrored samples make every component either symmetric or antisymmetric; that is then enforced to the bit.
    """
    sample_mean = heads.mean(axis=0)
    offsets = (heads - 0.5 * (sample_mean + reflect(sample_mean, mirror))).astype(np.float32)
    mean = 0.5 * (mean + reflect(mean, mirror))
    parts = []
    total = 0.0
    root = np.sqrt(weights / weights.mean()).astype(np.float32)[:, None]
    for sign in (1.0, -1.0):
        half = 0.5 * (offsets + sign * reflect(offsets, mirror)).astype(np.float32)
        weighted = (half * root).reshape(len(half), -1)
        values, vectors = np.linalg.eigh((weighted @ weighted.T).astype(np.float64) / len(half))
        order = values.argsort()[::-1][:count]
        total += values.clip(0.0).sum()
        scores = vectors[:, order] * np.sqrt(len(half))
        shapes = np.einsum("bk,bvc->kvc", scores.astype(np.float32), half) / len(half)
        shapes = 0.5 * (shapes + sign * reflect(shapes, mirror))
        parts.append((values[order], shapes))
    values = np.concatenate([part[0] for part in parts])
    shapes = np.concatenate([part[1] for part in parts])
    order = values.argsort()[::-1][:count]
    return IdentitySpace(mean, _fixed_sign(shapes[order]), float(values[order].sum() / total))


def project(space: IdentitySpace, heads: Array, weights: Array, ridge: float = 0.0) -> Array:
    """Weighted least-squares coefficients (B, I) of heads (B, V, 3) that stand in the model's place."""
    root = np.sqrt(weights)[:, None]
    design = (space.components * root).reshape(len(space.components), -1)
    data = ((heads - space.mean) * root).reshape(len(heads), -1)
    return np.linalg.solve(design @ design.T + ridge * np.eye(len(design)), design @ data.T).T


def rigid_motions(verts: Array) -> Array:
    """How vertices (n, 3) move with a shift along, and a small turn about, each axis: (6, n, 3)."""
    shifts = [np.broadcast_to(axis, verts.shape) for axis in np.eye(3)]
    return np.stack(shifts + [np.cross(axis, verts) for axis in np.eye(3)])


def without_rigid(shapes: Array, reference: Array, weights: Array) -> Array:
    """Shapes (K, n, 3) less what a rigid motion of ``reference`` explains, as alignment takes it from the data."""
    centre = (weights[:, None] * reference).sum(axis=0) / weights.sum()
    root = np.sqrt(weights)[:, None]
    basis, _ = np.linalg.qr((rigid_motions(reference - centre) * root).reshape(6, -1).T)
    flat = (shapes * root).reshape(len(shapes), -1)
    flat = flat - (flat @ basis) @ basis.T
    return flat.reshape(shapes.shape) / root


def _fixed_sign(shapes: Array) -> Array:
    """A principal component has no sign of its own; make the largest displacement point forwards, up or left."""
    flat = shapes.reshape(len(shapes), -1)
    peak = flat[np.arange(len(flat)), np.abs(flat).argmax(axis=1)]
    return shapes * np.where(peak < 0, -1.0, 1.0)[:, None, None]
