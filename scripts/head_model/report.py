"""How close the identity space is to real people, in numbers."""

from __future__ import annotations

import numpy as np

from .identity import IdentitySpace, Population, project
from .parameters import ParameterSpace
from .regions import eye_centres
from .scans import ICT_LANDMARKS, INNER, Correspondence, Scans, align, rigid
from .source import Array, Ints

REGIONS = {
    "contour": range(17),
    "brows": range(17, 27),
    "nose": range(27, 36),
    "eyes": range(36, 48),
    "mouth": range(48, 68),
}
PEOPLE = 1000
UNSEEN = 200


def quality(
    space: ParameterSpace, scans: Scans, match: Correspondence, population: Population, identity: IdentitySpace,
    landmarks: tuple[Ints, Array], weights: Array, generator: np.random.Generator,
) -> dict[str, object]:  # fmt: skip
    """Figures for the card.

    Args:
        weights: importance of each vertex for alignment and for what counts as face (>= 0.5), (V,).
        generator: of its own, so that nobody here was seen in the calibration.
    """
    corners, barycentrics = landmarks
    coefficients = generator.standard_normal((PEOPLE, len(identity.components)))
    ours = identity.mean + np.tensordot(coefficients, identity.components, axes=1)
    marks = np.einsum("bnkc,nk->bnc", ours[:, corners], barycentrics)
    scanned = scans.people(PEOPLE, generator)
    our_eyes, their_eyes = eye_centres(space.head, ours), scanned[:, -2:]
    return {
        "landmark_rms_mm": {"ours": region_rms(marks), "ict": region_rms(scanned[:, ICT_LANDMARKS])},
        "interpupillary_mm": {
            name: {"mean": _round(distance.mean()), "sd": _round(distance.std())}
            for name, distance in (("ours", _distance(our_eyes)), ("ict", _distance(their_eyes)))
        },
        "identity_variance_kept": round(identity.variance_kept, 5),
        "unseen_samples_mean_mm": _unseen_samples(space, population, identity, weights, generator),
        "unseen_ict_mean_mm": _unseen_scans(match, scans, identity, weights, generator),
    }


def region_rms(marks: Array) -> dict[str, float]:
    """Root mean square distance of the 68 points (B, 68, 3) from their mean, aligned rigidly on the 51 inner ones."""
    reference = marks.mean(axis=0)
    for _ in range(3):
        rotation, shift = rigid(marks[:, INNER], reference[INNER])
        marks = marks @ np.swapaxes(rotation, -1, -2) + shift[:, None]
        reference = marks.mean(axis=0)
    square = ((marks - reference) ** 2).sum(axis=2)
    return {name: _round(np.sqrt(square[:, list(index)].mean())) for name, index in REGIONS.items()}


def _distance(eyes: Array) -> Array:
    return np.linalg.norm(eyes[:, 0] - eyes[:, 1], axis=1)


def _unseen_samples(
    space: ParameterSpace,
    population: Population,
    identity: IdentitySpace,
    weights: Array,
    generator: np.random.Generator,
) -> dict[str, float]:
    """New heads of the population, seen through the components: what the components leave out."""
    heads = space.vertices(population.draw(UNSEEN, generator))
    heads = align(heads, identity.mean, weights=weights)
    rebuilt = identity.mean + np.tensordot(project(identity, heads, weights), identity.components, axes=1)
    face = weights >= 0.5
    return {
        "model": _round(np.linalg.norm((rebuilt - heads)[:, face], axis=2).mean()),
        "mean_head": _round(np.linalg.norm((identity.mean - heads)[:, face], axis=2).mean()),
    }


def _unseen_scans(
    match: Correspondence, scans: Scans, identity: IdentitySpace, weights: Array, generator: np.random.Generator
) -> dict[str, float]:
    """New ICT identities at the matched skin vertices, fitted with a unit prior; and the mean head moved rigidly."""
    count = len(match.triangles)
    index, people = match.vertices[:count], match.of(scans.people(UNSEEN, generator))[:, :count]
    importance = weights[index]
    part = IdentitySpace(identity.mean[index], identity.components[:, index], identity.variance_kept)
    fitted = np.broadcast_to(part.mean, people.shape)
    for _ in range(4):
        moved = np.stack([align(person, fit, weights=importance) for person, fit in zip(people, fitted)])
        coefficients = project(part, moved, importance, ridge=20.0)
        fitted = part.mean + np.tensordot(coefficients, part.components, axes=1)
    face = importance >= 0.5
    moved_to_mean = align(people, part.mean, weights=importance)
    return {
        "model": _round(np.linalg.norm((fitted - moved)[:, face], axis=2).mean()),
        "mean_head": _round(np.linalg.norm((part.mean - moved_to_mean)[:, face], axis=2).mean()),
        "coefficient_rms": _round(np.sqrt((coefficients**2).mean())),
    }


def _round(value: float) -> float:
    return round(float(value), 3)
