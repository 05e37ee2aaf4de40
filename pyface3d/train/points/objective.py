"""The loss of the landmark network: which parts there are and how they are put together."""

from __future__ import annotations

import torch
from torch import Tensor

from pyface3d.losses import (
    binary_loss,
    chordal_loss,
    coefficient_loss,
    distance_loss,
    gaussian_nll,
    shape_loss,
    vertex_loss,
)
from pyface3d.networks.face_points import NUM_LANDMARKS, FacePointsOutput
from pyface3d.train.points.config import PointsConfig
from pyface3d.train.points.samples import Samples


def loss_parts(
    out: FacePointsOutput, truth: Samples, gram: Tensor, config: PointsConfig, step: int
) -> dict[str, Tensor]:
    """The weighted parts of the loss by name; their sum is minimised.

    Args:
        out: the network's answers for B crops.
        truth: their labels.
        gram: (I + E, I + E) mm², from `pyface3d.losses.vertex_gram`.
        config: weights and switches.
        step: in the first ``config.warm_points`` the deviations do not weigh the points.
    """
    weights, faces = config.weights, truth.is_face
    known = faces & truth.coefficients_known
    difference = torch.cat([out.identity - truth.identity, out.expression - truth.expression], dim=1)
    parts = {
        "visible": weights.visible * binary_loss(out.visible, truth.visible, faces),
        "rotation": weights.rotation * chordal_loss(out.rotation, truth.rotation, faces),
        "vertices": weights.vertices * vertex_loss(difference, gram, known),
        "identity": weights.identity * coefficient_loss(out.identity, truth.identity, known),
        "expression": weights.expression * coefficient_loss(out.expression, truth.expression, known),
        "score": weights.score * binary_loss(out.score, faces, smoothing=0.02),
    }
    groups = {"landmarks": slice(0, NUM_LANDMARKS), "dense": slice(NUM_LANDMARKS, None)}
    for name, group in groups.items():
        points, wanted, log_sigma = out.points[:, group], truth.points[:, group], out.log_sigma[:, group]
        weight = getattr(weights, name)
        parts[name] = weight * weights.distance * distance_loss(points, wanted, faces)
        parts[f"{name}_shape"] = weight * weights.shape * shape_loss(points, wanted, faces)
        if not config.variance:
            continue
        # At first the deviations learn the errors as they are, and the points do not feel them.
        likely = points.detach() if step < config.warm_points else points
        nll = gaussian_nll(likely, wanted, log_sigma, faces, config.nll_beta)
        parts[f"{name}_nll"] = weight * weights.likelihood * nll
    return parts
