"""Figures of a network's answers on labelled crops."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from pyface3d.losses import rotation_angle
from pyface3d.networks.face_points import NUM_LANDMARKS, FacePoints, FacePointsOutput
from pyface3d.train.points.samples import Samples


@torch.no_grad()
def answers(network: FacePoints, image: Tensor, batch: int = 64) -> FacePointsOutput:
    """What a network in evaluation mode says of uint8 crops (B, 3, S, S), on the CPU."""
    device = next(network.parameters()).device
    parts = [network(part.to(device).float() / 255) for part in image.split(batch)]
    return FacePointsOutput(*(torch.cat(column).cpu() for column in zip(*parts)))


def sample_measures(out: FacePointsOutput, truth: Samples, gram: Tensor) -> dict[str, float]:
    """Figures on labelled crops; distances in per cent of the size of the box of the 68 true points.

    landmarks, dense: median over faces of the mean distance; seen, hidden: the same over visible and invisible
    landmarks; within_2_sigma: share of landmarks within two predicted deviations (0.865 where they are right);
    rotation: median angle in degrees; vertices: mean rms distance in mm; visible, score: share of right answers, the
    latter averaged over faces and other crops.
    """
    face = truth.is_face
    wanted, found = truth.points[face], out.points[face]
    low, high = wanted[:, :NUM_LANDMARKS].amin(1), wanted[:, :NUM_LANDMARKS].amax(1)
    size = (high - low).prod(1).sqrt().clamp(min=1e-3)
    distance = (found - wanted).norm(dim=-1)
    percent = 100 * distance / size[:, None]
    landmarks, seen = percent[:, :NUM_LANDMARKS], truth.visible[face][:, :NUM_LANDMARKS]
    inside = distance < 2 * out.log_sigma[face].exp()
    known = face & truth.coefficients_known
    change = torch.cat([out.identity - truth.identity, out.expression - truth.expression], 1)[known]
    right = (out.score > 0) == face
    return {
        "landmarks": _median(landmarks.mean(1)),
        "dense": _median(percent[:, NUM_LANDMARKS:].mean(1)),
        "seen": _mean(landmarks[seen]),
        "hidden": _mean(landmarks[~seen]),
        "within_2_sigma": _mean(inside[:, :NUM_LANDMARKS].float()),
        "rotation": _median(rotation_angle(out.rotation[face], truth.rotation[face])) * 180 / math.pi,
        "vertices": _mean(((change @ gram) * change).sum(1).clamp(min=0).sqrt()),
        "visible": _mean(((out.visible > 0) == truth.visible)[face].float()),
        "score": (_mean(right[face].float()) + _mean(right[~face].float())) / 2 if bool((~face).any()) else math.nan,
    }


def photo_measures(out: FacePointsOutput, points: Tensor) -> dict[str, float]:
    """Figures on annotated photos: distances in per cent of that of the outer eye corners, (N, 68, 2) true points.

    Besides the plain error, the one after a constant offset per landmark (mesh and annotators define points
    differently), which is found on every other picture and taken off the rest.
    """
    difference = out.points[:, :NUM_LANDMARKS] - points
    eyes = (points[:, 36] - points[:, 45]).norm(dim=-1)[:, None, None].clamp(min=1e-3)
    relative = 100 * difference / eyes
    errors = relative.norm(dim=-1).mean(1)
    corrected = torch.cat([(mine - other.median(0).values).norm(dim=-1).mean(1) for mine, other in _halves(relative)])
    inside = difference.norm(dim=-1) < 2 * out.log_sigma[:, :NUM_LANDMARKS].exp()
    return {
        "median": _median(errors),
        "mean": _mean(errors),
        "failures": 100 * _mean((errors > 10).float()),
        "offset_median": _median(corrected),
        "within_2_sigma": _mean(inside.float()),
        "score": _mean((out.score > 0).float()),
    }


def _halves(values: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    yield values[::2], values[1::2]
    yield values[1::2], values[::2]


def _mean(values: Tensor) -> float:
    return float(values.mean()) if values.numel() else math.nan


def _median(values: Tensor) -> float:
    return float(values.median()) if values.numel() else math.nan
