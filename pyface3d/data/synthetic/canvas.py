"""The chart of ``head`` as a place to paint on: what lies under every texel, measured on the mean head."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from pyface3d.data.synthetic.curves import between, closed_curve, distance_to, inside_polygon, side_of_curve
from pyface3d.face_models.linear import LinearFaceModel
from pyface3d.ops import interpolate, rasterize_uvs

TEXTURE_SIZE = 256
#: Parts a texel can belong to.
SKIN, SOCKET, MOUTH, TONGUE, TEETH, LASHES, EYE, OUTSIDE = range(8)
_REGION_OF_PART = {
    SOCKET: "eye_sockets",
    MOUTH: "mouth_bag",
    TONGUE: "tongue",
    TEETH: "teeth",
    LASHES: "lashes",
    EYE: "eyes",
}
BROW_LENGTH_MM = 50.0
_IRIS_RADIUS_MM = 5.9
_FAR_MM = 60.0


@dataclass(frozen=True, eq=False)
class Canvas:
    """Maps of the chart, (T, T), T = 256 unless said otherwise; lengths in mm on the mean head, +x to the
    subject's left, +y up.

    Attributes:
        position: (T, T, 3) point of the mean head under the texel.
        part: uint8, one of ``SKIN`` … ``OUTSIDE``.
        skin: 1 on skin, the lips' inside and the lids' included, else 0.
        brow_along, brow_across: place along a brow (0 at the nose, 1 at the tail) and across it (mm, up).
        lips: signed distance to the outline of the lips, positive inside.
        eye: distance to the lid margin; ``above_eye``: height above (positive) or below the line of its corners.
        eye_corner: distance and angle about the outer corner of the eye (0 outwards, rising upwards), (2, T, T).
        fold: signed distance to the fold from nose wing to mouth corner, positive on the cheek; ``fold_along`` from 0
            at the nose to 1 beside the mouth.
        iris: angle from the optical axis over that of the iris' edge; ``iris_around``: angle about the axis.
        scalp: distance behind a common hairline, positive on the scalp.
        beard_line: signed distance to the upper edge of beard growth on the cheeks, positive below it;
            ``beard_floor``: share kept above its lower edge at the throat.
        cheeks, nose, ears, forehead, chin: soft masks.
    """

    position: Tensor
    part: Tensor
    skin: Tensor
    brow_along: Tensor
    brow_across: Tensor
    lips: Tensor
    eye: Tensor
    above_eye: Tensor
    eye_corner: Tensor
    fold: Tensor
    fold_along: Tensor
    iris: Tensor
    iris_around: Tensor
    scalp: Tensor
    beard_line: Tensor
    beard_floor: Tensor
    cheeks: Tensor
    nose: Tensor
    ears: Tensor
    forehead: Tensor
    chin: Tensor

    def to(self, device: torch.device | str) -> Canvas:
        return Canvas(*(getattr(self, field.name).to(device) for field in fields(self)))

    def cut(self, rows: slice, columns: slice = slice(None)) -> Canvas:
        """Some rows and columns of every map."""
        maps = {field.name: getattr(self, field.name) for field in fields(self)}
        return Canvas(
            **{
                name: (value[:, rows, columns] if name == "eye_corner" else value[rows, columns]).contiguous()
                for name, value in maps.items()
            }
        )

    def texels(self, *parts: int) -> Tensor:
        """Flat indices (N,) of the texels of some parts."""
        return (
            torch.isin(self.part, torch.tensor(parts, dtype=torch.uint8, device=self.part.device))
            .flatten()
            .nonzero()[:, 0]
        )


@dataclass(frozen=True, eq=False)
class Band:
    """Some rows of the chart and the canvas cut to them: painting a part of the face costs no more than that part."""

    rows: slice
    canvas: Canvas

    def to(self, device: torch.device | str) -> Band:
        return Band(self.rows, self.canvas.to(device))


@dataclass(frozen=True, eq=False)
class Bands:
    """The rows that hold all skin, the brows, the forehead and what lies between the brows, the eyes, and so on."""

    skin: Band
    brows: Band
    forehead: Band
    eyes: Band
    folds: Band
    lips: Band
    cheeks: Band
    beard: Band

    def to(self, device: torch.device | str) -> Bands:
        return Bands(*(getattr(self, field.name).to(device) for field in fields(self)))


def make_bands(canvas: Canvas) -> Bands:
    """Where on the canvas each painter has anything to do."""

    def band(where: Tensor) -> Band:
        rows = (where & (canvas.skin > 0)).any(1).nonzero()[:, 0]
        kept = slice(int(rows[0]), int(rows[-1]) + 1)
        return Band(kept, canvas.cut(kept))

    skin_rows = slice(0, band(canvas.skin > 0).rows.stop)  # from the first row, so that all bands count rows alike
    near_brow = (canvas.brow_across.abs() < 14) & (canvas.brow_along > -0.3) & (canvas.brow_along < 1.25)
    near_corner = (canvas.eye_corner[0] < 28) & (canvas.eye_corner[1].abs() < 1.4)
    beside_mouth = (canvas.fold.abs() < 12) & (canvas.fold_along > -0.1) & (canvas.fold_along < 1.3)
    return Bands(
        skin=Band(skin_rows, canvas.cut(skin_rows)),
        brows=band(near_brow),
        forehead=band((canvas.forehead > 0.05) | (near_brow & (canvas.position[..., 0].abs() < 13))),
        eyes=band((canvas.eye < 15) | near_corner),
        folds=band(beside_mouth),
        lips=band(canvas.lips > -2.5),
        cheeks=band((canvas.cheeks > 0.02) | (canvas.nose > 0.02)),
        beard=band((canvas.beard_line > -20) & (canvas.beard_floor > 0.02)),
    )


def make_canvas(model: LinearFaceModel, size: int = TEXTURE_SIZE) -> Canvas:
    """Measure the chart of ``model`` (the head at level 0, on the CPU) in ``size`` texels a side."""
    verts = model.vertices(torch.zeros(1, model.identity_dim), torch.zeros(1, model.expression_dim))
    fragments = rasterize_uvs(model.topology, size, size)
    position = interpolate(verts, fragments, model.topology)[0]
    marks = model.landmarks().points(verts, model.topology)[0]
    part = _parts(model, fragments.face_index[0])
    ears = interpolate(model.regions["ears"][None, :, None].float(), fragments, model.topology)[0, ..., 0]
    side = torch.stack([position[..., 0].abs(), *position[..., 1:].unbind(-1)], dim=-1)
    x, y, z = side.unbind(-1)
    along, across = _brow_coordinates(side, marks[22:27])
    inner, outer = marks[42], marks[45]
    axis = inner[1] + (outer[1] - inner[1]) * ((x - inner[0]) / (outer[0] - inner[0])).clamp(0, 1)
    outline = closed_curve(marks[48:60], 96)[:, :2]
    lips = distance_to(position[..., :2], outline, closed=True)
    lips = torch.where(inside_polygon(position[..., :2], outline), lips, -lips)
    lips = torch.where(z > marks[54, 2] - 14.0, lips, torch.full_like(lips, -_FAR_MM))
    fold, fold_along = _fold(side, marks)
    iris, around = _iris(side, verts[0, model.regions["left_eye"]])
    from_corner = side - (outer + torch.tensor([1.0, -1.0, 0.0]))
    corner = torch.stack([from_corner.norm(dim=-1), torch.atan2(from_corner[..., 1], -from_corner[..., 2])])
    cheek_line = between(x, [0, 26, 40, 58, 66, 72], [-48, -56, -62, -52, -30, 0])
    return Canvas(
        position=position,
        part=part,
        skin=(part == SKIN).float(),
        brow_along=along,
        brow_across=across,
        lips=lips,
        eye=distance_to(side, closed_curve(marks[42:48], 96)),
        above_eye=y - axis,
        eye_corner=corner,
        fold=fold,
        fold_along=fold_along,
        iris=iris,
        iris_around=around,
        scalp=_behind_hairline(side),
        beard_line=cheek_line - y,
        beard_floor=soft(y - (marks[8, 1] - 20.0), 14.0) * soft(z + 62.0, 14.0),
        cheeks=_blob(side, torch.tensor([40.0, -34.0, 8.0]), 17.0),
        nose=_blob(side, torch.tensor([3.0, -36.0, 44.0]), 11.0),
        ears=ears,
        forehead=soft(y - 30.0, 12.0) * soft(58.0 - x, 16.0) * soft(z + 40.0, 20.0),
        chin=_blob(side, marks[8] + torch.tensor([0.0, 10.0, 4.0]), 13.0),
    )


def soft(value: Tensor, width: float | Tensor = 1.0) -> Tensor:
    """A step from 0 to 1 at 0, ``width`` from a tenth to nine tenths."""
    return torch.sigmoid(value * (4.4 / width))


def bump(value: Tensor) -> Tensor:
    """exp(-value²), cut before it becomes denormal, which is ten times slower."""
    return value.square().neg_().clamp_min_(-30.0).exp_()


def _blob(side: Tensor, middle: Tensor, radius: float) -> Tensor:
    return torch.exp(-(side - middle).square().sum(-1) / (2 * (0.6 * radius) ** 2) * 0.5)


def _parts(model: LinearFaceModel, face_index: Tensor) -> Tensor:
    face_part = torch.full((model.topology.num_faces + 1,), SKIN, dtype=torch.uint8)
    for part, region in _REGION_OF_PART.items():
        face_part[:-1][model.regions[region][model.topology.faces.long()].all(dim=1)] = part
    face_part[-1] = OUTSIDE
    return face_part[face_index.long()]


def _brow_coordinates(side: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Along and across the smoothed curve of five points; past its ends, along its tangent."""
    samples = torch.linspace(0, 1, 65)
    knots = torch.linspace(0, 1, 5).tolist()
    curve = torch.stack([between(samples, knots, points[:, k].tolist()) for k in range(3)], dim=1)
    padded = torch.nn.functional.pad(curve.T[None], (8, 8), mode="replicate")
    curve = torch.nn.functional.avg_pool1d(padded, 17, stride=1)[0].T
    flat = side.reshape(-1, 3)
    near, index = torch.cdist(flat, curve).min(dim=1)
    tangent = torch.nn.functional.normalize(torch.gradient(curve, dim=0)[0], dim=1)
    offset = flat - curve[index]
    along = samples[index] + (offset * tangent[index]).sum(1) / BROW_LENGTH_MM
    across = torch.where(offset[:, 1] > 0, near, -near)
    return along.reshape(side.shape[:-1]), across.reshape(side.shape[:-1])


def _fold(side: Tensor, marks: Tensor) -> tuple[Tensor, Tensor]:
    """The nasolabial fold: from above the nose wing, outwards round the corner of the mouth."""
    wing, corner = marks[35, :2], marks[54, :2]
    path = torch.stack([
        wing + torch.tensor([2.0, 6.0]), wing + torch.tensor([6.5, 0.5]), wing + torch.tensor([12.0, -8.0]),
        corner + torch.tensor([6.5, 7.0]), corner + torch.tensor([8.0, -1.0]), corner + torch.tensor([6.5, -9.0]),
    ])  # fmt: skip
    fold = side_of_curve(side[..., :2], path)
    along = (path[0, 1] - side[..., 1]) / (path[0, 1] - path[-1, 1])
    return torch.where(side[..., 2] > -20.0, fold, torch.full_like(fold, _FAR_MM)), along


def _iris(side: Tensor, eyeball: Tensor) -> tuple[Tensor, Tensor]:
    centre = 0.5 * (eyeball.amin(0) + eyeball.amax(0))
    radius = 0.5 * float(eyeball[:, 1].amax() - eyeball[:, 1].amin())
    dx, dy, dz = (side - centre).unbind(-1)
    angle = torch.atan2(torch.hypot(dx, dy), dz)
    return angle / float(torch.asin(torch.tensor(_IRIS_RADIUS_MM / radius))), torch.atan2(dy, dx)


def _behind_hairline(side: Tensor) -> Tensor:
    """Over the forehead, down the temples, before the ears, round the nape."""
    x, y, z = side.unbind(-1)
    above = y - between(x, [0, 30, 48, 58, 66, 72], [82, 80, 68, 48, 22, -6])
    return torch.maximum(above.clamp(-_FAR_MM, _FAR_MM), torch.minimum(-75.0 - z, y + 62.0))
