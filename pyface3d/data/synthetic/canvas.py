"""The chart of ``head`` as a place to paint on: what lies under every texel, measured on the mean head."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from pyface3d.face_models import LinearFaceModel
from pyface3d.ops import interpolate, rasterize_uvs

TEXTURE_SIZE = 256
#: Parts a texel can belong to.
SKIN, SOCKET, MOUTH, TONGUE, TEETH, LASHES, EYE, OUTSIDE = range(8)
_REGION_OF_PART = {
    SOCKET: "eye_sockets", MOUTH: "mouth_bag", TONGUE: "tongue", TEETH: "teeth", LASHES: "lashes", EYE: "eyes",
}  # fmt: skip
_IRIS_RADIUS_MM = 5.9


@dataclass(frozen=True)
class Canvas:
    """Maps of the chart, all (T, T) with T = 256; lengths in mm on the mean head, +x the subject's left, +y up.

    Attributes:
        position: (T, T, 3) point of the mean head under the texel.
        part: uint8, one of ``SKIN`` … ``OUTSIDE``.
        brow_along, brow_across: coordinates along a brow (0 at the nose, 1 at the tail) and across it (mm, up).
        lips: signed distance to the outline of the lips, positive inside.
        lips_down: height below the line where the lips meet.
        eye: distance to the lid margin; ``above_eye``: height above (positive) or below the eye's axis.
        iris: distance from the optical axis over the radius of the iris.
        iris_around: angle about the optical axis.
        scalp: distance behind the hairline, positive on the scalp.
        beard: soft share of beard growth, 0 to 1; ``moustache``: that of it on the upper lip.
        marks: (68, 3) iBUG points of the mean head.
    """

    position: Tensor
    part: Tensor
    brow_along: Tensor
    brow_across: Tensor
    lips: Tensor
    lips_down: Tensor
    eye: Tensor
    above_eye: Tensor
    iris: Tensor
    iris_around: Tensor
    scalp: Tensor
    beard: Tensor
    moustache: Tensor
    marks: Tensor

    def to(self, device: torch.device | str) -> Canvas:
        return Canvas(*(getattr(self, field.name).to(device) for field in fields(self)))


def make_canvas(model: LinearFaceModel) -> Canvas:
    """Measure the chart of ``model`` (the head at level 0)."""
    model = model.to("cpu")
    verts = model.vertices(torch.zeros(1, model.identity_dim), torch.zeros(1, model.expression_dim))
    fragments = rasterize_uvs(model.topology, TEXTURE_SIZE, TEXTURE_SIZE)
    position = interpolate(verts, fragments, model.topology)[0]
    marks = model.landmarks().points(verts, model.topology)[0]
    part = _parts(model, fragments.face_index[0])
    x, y, z = position.unbind(-1)
    side = torch.stack([x.abs(), y, z], dim=-1)
    along, across = _brow_coordinates(side, marks[22:27])
    eye = _closed_curve(marks[42:48], 96)
    eye_distance = _distance_to(side, eye)
    inner, outer = marks[42], marks[45]
    axis = inner[1] + (outer[1] - inner[1]) * ((side[..., 0] - inner[0]) / (outer[0] - inner[0])).clamp(0, 1)
    lips = _signed_distance(position[..., :2], _closed_curve(marks[48:60], 96)[:, :2])
    lips = torch.where(z > marks[54, 2] - 14.0, lips, torch.full_like(lips, -50.0))
    seam = _interpolated(side[..., 0], torch.cat([marks[[62, 63, 64]], marks[[54]]])[:, 0],
                         torch.cat([marks[[62, 63, 64]], marks[[54]]])[:, 1])  # fmt: skip
    iris, around = _iris(side, verts[0, model.regions["left_eye"]])
    beard, moustache = _beard(side, lips, marks)
    return Canvas(
        position=position,
        part=part,
        brow_along=along,
        brow_across=across,
        lips=lips,
        lips_down=seam - y,
        eye=eye_distance,
        above_eye=y - axis,
        iris=iris,
        iris_around=around,
        scalp=_behind_hairline(side),
        beard=beard,
        moustache=moustache,
        marks=marks,
    )


def soft(value: Tensor, width: float = 1.0) -> Tensor:
    """A step from 0 to 1 at 0, ``width`` mm from a tenth to nine tenths."""
    return torch.sigmoid(value * (4.4 / width))


def _parts(model: LinearFaceModel, face_index: Tensor) -> Tensor:
    face_part = torch.full((model.topology.num_faces + 1,), SKIN, dtype=torch.uint8)
    for part, region in _REGION_OF_PART.items():
        face_part[:-1][model.regions[region][model.topology.faces].all(dim=1)] = part
    face_part[-1] = OUTSIDE
    return face_part[face_index.long()]


def _brow_coordinates(side: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Along and across the curve of five points; past its ends, where its tangent goes on."""
    knots = torch.linspace(0, 1, 5)
    samples = torch.linspace(0, 1, 65)
    curve = torch.stack([_interpolated(samples, knots, points[:, k]) for k in range(3)], dim=1)
    curve = torch.nn.functional.avg_pool1d(
        torch.nn.functional.pad(curve.T[None], (8, 8), mode="replicate"), 17, stride=1
    )[0].T
    distance = torch.cdist(side.reshape(-1, 3), curve)
    near, index = distance.min(dim=1)
    tangent = torch.nn.functional.normalize(torch.gradient(curve, dim=0)[0], dim=1)
    offset = side.reshape(-1, 3) - curve[index]
    beyond = (offset * tangent[index]).sum(1)
    length = float((curve[1:] - curve[:-1]).norm(dim=1).sum())
    across = torch.where(offset[:, 1] > 0, near, -near)
    shape = side.shape[:-1]
    return (samples[index] + beyond / length).reshape(shape), across.reshape(shape)


def _closed_curve(points: Tensor, count: int) -> Tensor:
    """A smooth closed curve (Catmull-Rom) through ``points`` (N, 3), sampled (count, 3)."""
    n = len(points)
    at = torch.arange(count) * (n / count)
    i, t = at.floor().long(), (at - at.floor())[:, None]
    p0, p1, p2, p3 = (points[(i + k) % n] for k in (-1, 0, 1, 2))
    return p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)))


def _distance_to(points: Tensor, curve: Tensor) -> Tensor:
    return torch.cdist(points.reshape(-1, points.shape[-1]), curve).amin(1).reshape(points.shape[:-1])


def _signed_distance(points: Tensor, polygon: Tensor) -> Tensor:
    """Distance to a closed polygon (N, 2), positive inside."""
    flat = points.reshape(-1, 1, 2)
    start, end = polygon, polygon.roll(-1, 0)
    along = ((flat - start) * (end - start)).sum(-1) / (end - start).square().sum(-1)
    distance = (flat - start - along.clamp(0, 1)[..., None] * (end - start)).norm(dim=-1).amin(1)
    rises = (start[:, 1] > flat[..., 1]) != (end[:, 1] > flat[..., 1])
    slope = (end[:, 0] - start[:, 0]) / torch.where(end[:, 1] == start[:, 1], 1.0, end[:, 1] - start[:, 1])
    crossing = flat[..., 0] < start[:, 0] + slope * (flat[..., 1] - start[:, 1])
    inside = (rises & crossing).sum(1) % 2 == 1
    return torch.where(inside, distance, -distance).reshape(points.shape[:-1])


def _interpolated(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """Linear interpolation, constant beyond the ends; ``knots`` rising."""
    right = torch.searchsorted(knots.contiguous(), x.contiguous()).clamp(1, len(knots) - 1)
    x0, x1 = knots[right - 1], knots[right]
    share = ((x - x0) / (x1 - x0)).clamp(0, 1)
    return values[right - 1] + share * (values[right] - values[right - 1])


def _iris(side: Tensor, eyeball: Tensor) -> tuple[Tensor, Tensor]:
    centre = 0.5 * (eyeball.amin(0) + eyeball.amax(0))
    radius = 0.5 * float(eyeball[:, 1].amax() - eyeball[:, 1].amin())
    dx, dy, dz = (side - centre).unbind(-1)
    angle = torch.atan2(torch.hypot(dx, dy), dz)
    return angle / float(torch.asin(torch.tensor(_IRIS_RADIUS_MM / radius))), torch.atan2(dy, dx)


def _behind_hairline(side: Tensor) -> Tensor:
    """Millimetres behind a common hairline: over the forehead, down the temples, before the ears, round the nape."""
    x, y, z = side.unbind(-1)
    above = y - _interpolated(x, torch.tensor([0.0, 30, 48, 58, 66, 72]), torch.tensor([82.0, 80, 68, 48, 22, -6]))
    nape = torch.minimum(-75.0 - z, y + 62.0)
    return torch.maximum(above.clamp(-60, 60), nape)


def _beard(side: Tensor, lips: Tensor, marks: Tensor) -> tuple[Tensor, Tensor]:
    x, y, z = side.unbind(-1)
    cheek_line = _interpolated(x, torch.tensor([0.0, 26, 40, 58, 66, 72]), torch.tensor([-48.0, -56, -62, -52, -30, 0]))
    area = soft(cheek_line - y, 9.0) * soft(-1.0 - lips, 2.0)
    area = area * soft(y - (marks[8, 1] - 22.0), 12.0) * soft(z + 62.0, 14.0)
    moustache = soft(marks[54, 0] + 4.0 - x, 5.0) * soft(y - marks[54, 1] + 1.0, 4.0)
    return area, area * moustache
