"""Cloth about head and neck: hoods and headscarves with an opening for the face, scarves; headbands, headphones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyface3d.data.synthetic.wear import chart as charts
from pyface3d.data.synthetic.wear.chart import HeadChart
from pyface3d.data.synthetic.wear.noise import CLOUD, COARSE, look_up
from pyface3d.data.synthetic.wear.parts import grid_faces
from pyface3d.face_models.linear import LinearFaceModel

HOODS = ("none", "headscarf", "hood", "balaclava")
HOOD_ROWS, HOOD_COLUMNS = 18, 48
SCARF_ROWS, SCARF_COLUMNS = 9, 48
BAND_ROWS = 3
PHONE_BAND, CUP_ROWS, CUP_AROUND = 20, 5, 12
LOBE_ROWS, LOBE_AROUND = 5, 8
_AXIS_DROP = 0.42  # radians by which the axis of the opening points below the level of the chart's middle


@dataclass(frozen=True, eq=False)
class DrapeDraws:
    """What is drawn for B people; floats (B,) in mm unless said otherwise."""

    hood: Tensor  # int64, into HOODS
    opening: Tensor  # (B, 3) radians from the axis: upwards, sidewards, downwards
    hood_thickness: Tensor
    hood_folds: Tensor
    hood_slope: Tensor  # mm inwards per mm down
    hood_reach: Tensor  # q of the lower end
    scarf: Tensor  # 1 worn
    scarf_height: Tensor  # half height
    scarf_width: Tensor
    scarf_raise: Tensor  # middle above the base of the neck
    band: Tensor  # 1 worn
    band_q: Tensor  # (B, 3): front, back, half width in q
    phones: Tensor  # 1 worn
    phone_size: Tensor  # (B, 3): cup radius, cup depth, half width of the band
    lobes: Tensor  # 1 worn
    lobe_size: Tensor  # (B, 2): half width, half height
    seed: Tensor  # (B, 2)


@dataclass(frozen=True, eq=False)
class DrapeAnchors:
    """Head vertices of the ears' middles (2, k) and lobes (2, k), right (-x) first."""

    ears: Tensor
    lobes: Tensor


def make_drape_anchors(model: LinearFaceModel) -> DrapeAnchors:
    verts, ears = model.template, model.regions["ears"]
    rows, lobes = [], []
    for side in (-1.0, 1.0):
        mine = ears & (verts[:, 0] * side > 0)
        height = torch.where(mine, verts[:, 1], torch.full_like(verts[:, 1], 1e6))
        rows.append(torch.nonzero(mine).flatten()[::8])
        lobes.append(height.topk(6, largest=False).indices)
    return DrapeAnchors(torch.stack(rows), torch.stack(lobes))


def draw_one(rng: np.random.Generator, hood: str, scarf: bool, other: str) -> dict[str, np.ndarray | float | int]:
    u = rng.uniform
    opening = {
        "headscarf": np.array(
            [u(0.60, 0.86), u(0.80, 1.05), rng.choice([u(0.48, 0.6), u(0.05, 0.25)], p=[0.85, 0.15])]
        ),
        "hood": np.array([u(0.75, 1.0), u(1.0, 1.35), u(0.75, 1.0)]),
        "balaclava": np.array([u(0.5, 0.8), u(0.7, 0.95), rng.choice([u(0.05, 0.25), u(0.45, 0.58)])]),
    }.get(hood, np.ones(3))
    return {
        "hood": HOODS.index(hood),
        "opening": opening,
        "hood_thickness": {"hood": u(14, 34), "balaclava": u(3, 5)}.get(hood, u(5, 14)),
        "hood_folds": {"balaclava": 0.4}.get(hood, u(1.0, 5.0)),
        "hood_slope": {"hood": u(0.1, 0.4), "balaclava": 0.9}.get(hood, u(0.4, 1.0)),
        "hood_reach": {"balaclava": 2.6}.get(hood, u(2.7, 3.3)),
        "scarf": float(scarf),
        "scarf_height": u(22, 48),
        "scarf_width": u(12, 34),
        "scarf_raise": rng.choice([u(-25, 15), u(15, 65)], p=[0.7, 0.3]),
        "band": float(other == "band"),
        "band_q": np.array([u(0.45, 0.82), u(0.9, 1.3), u(0.03, 0.16)]),
        "phones": float(other == "phones"),
        "phone_size": np.array([u(26, 42), u(18, 36), u(7, 18)]),
        "lobes": float(rng.random() < 0.1),
        "lobe_size": np.array([u(1.8, 6), u(2, 14)]),
        "seed": rng.random(2),
    }


def hood_faces() -> Tensor:
    return grid_faces(HOOD_ROWS, HOOD_COLUMNS, closed=True)


def scarf_faces() -> Tensor:
    return grid_faces(SCARF_ROWS, SCARF_COLUMNS, closed=True)


def band_faces() -> Tensor:
    return grid_faces(BAND_ROWS, charts.COLUMNS, closed=True)


def phone_faces() -> Tensor:
    """The band over the head, the right cup, the left cup."""
    band = grid_faces(4, PHONE_BAND, closed=False)
    cup = grid_faces(CUP_ROWS, CUP_AROUND, closed=True)
    first = 4 * PHONE_BAND
    return torch.cat([band, cup + first, cup + first + CUP_ROWS * CUP_AROUND])


def lobe_faces() -> Tensor:
    one = grid_faces(LOBE_ROWS, LOBE_AROUND, closed=True)
    return torch.cat([one, one + LOBE_ROWS * LOBE_AROUND])


def chart_at(nodes: Tensor, q: Tensor, azimuth: Tensor) -> Tensor:
    """Chart values (B, ROWS, COLUMNS, K) at q and azimuth (B, ...), bilinear, periodic in azimuth: (B, ..., K)."""
    rows, columns = charts.ROWS, charts.COLUMNS
    row = (q / charts.ROW_STEP).clamp(0, rows - 1.001)
    column = azimuth / (2 * torch.pi) * columns
    r0, c0 = row.floor().long(), column.floor().long()
    fr, fc = (row - r0)[..., None], (column - c0)[..., None]
    sample = torch.arange(len(nodes), device=nodes.device).reshape(-1, *[1] * (q.dim() - 1)).expand_as(q)
    c1, c0 = (c0 + 1) % columns, c0 % columns
    top = torch.lerp(nodes[sample, r0, c0], nodes[sample, r0, c1], fc)
    return torch.lerp(top, torch.lerp(nodes[sample, r0 + 1, c0], nodes[sample, r0 + 1, c1], fc), fr)


def place_hood(draws: DrapeDraws, hanging: Tensor, chart: HeadChart, tile: Tensor) -> tuple[Tensor, Tensor]:
    """A cloth about head and neck that leaves the face open; ``hanging``: chart nodes to lie on. See `Wear`."""
    angle = (torch.arange(HOOD_COLUMNS) * (2 * torch.pi / HOOD_COLUMNS)).to(hanging)[None, None]
    step = torch.linspace(0, 1, HOOD_ROWS).to(hanging)[None, :, None]
    up, aside, down = draws.opening[:, :, None, None].unbind(dim=1)
    # The opening: half an ellipse above, squarer below, so that cloth over mouth or chin ends in a level line.
    vertical, power = torch.where(angle.cos() > 0, up, down), torch.where(angle.cos() > 0, 2.0, 4.0)
    opening = ((angle.sin().abs() / aside) ** power + (angle.cos().abs() / vertical) ** power) ** (-1 / power)
    polar = opening + (torch.pi - 0.02 - opening) * step**1.2
    # About the axis through the face; then in the chart's azimuth and height.
    x, y, z = polar.sin() * angle.sin(), polar.sin() * angle.cos(), polar.cos().expand_as(polar * angle)
    c, s = np.cos(_AXIS_DROP), np.sin(_AXIS_DROP)
    y, z = y * c - z * s, z * c + y * s
    azimuth = torch.atan2(x, z)
    elevation = torch.atan2(y, torch.hypot(x, z))
    q = torch.where(
        elevation > 0, 1 - elevation / (torch.pi / 2), 1 + 0.95 * (-elevation).clamp(0, 1.5).tan().clamp(max=6.0)
    )
    q = torch.minimum(q, draws.hood_reach[:, None, None])
    nodes = chart_at(hanging, q, azimuth)
    outwards = chart_at(chart.direction[None].expand(len(q), -1, -1, -1), q, azimuth)
    u, v = angle / (2 * torch.pi) + draws.seed[:, :1, None], step * 0.6 + draws.seed[:, 1:, None]
    noise = look_up(tile, (u + 0 * v) * 1.0, v + 0 * u)
    thick = draws.hood_thickness[:, None, None] * (0.55 + 0.45 * (step / 0.15).clamp(max=1))
    thick = thick + draws.hood_folds[:, None, None] * (noise[..., CLOUD] + 0.4 * noise[..., COARSE])
    flare = ((q - 2.5).clamp_min(0) * 100) * 0.9
    over_ear = 17 * torch.exp(-(((azimuth.abs() - 1.75) / 0.35) ** 2)) * torch.exp(-(((q - 1.3) / 0.35) ** 2))
    verts = nodes + outwards * (thick.clamp_min(1.5) + flare + over_ear)[..., None]
    coordinates = torch.stack([azimuth * 90, q * 110, torch.full_like(q, 50.0)], dim=-1)
    return verts.flatten(1, 2), coordinates.flatten(1, 2)


def place_scarf(draws: DrapeDraws, hanging: Tensor, chart: HeadChart, tile: Tensor) -> tuple[Tensor, Tensor]:
    """A scarf about the neck, with folds; see `place_hood`."""
    azimuth = (torch.arange(SCARF_COLUMNS) * (2 * torch.pi / SCARF_COLUMNS)).to(hanging)[None, None]
    section = torch.linspace(0, torch.pi, SCARF_ROWS).to(hanging)[None, :, None]
    middle = 2.6 - draws.scarf_raise[:, None, None] / 100 * (0.55 + 0.45 * azimuth.cos())
    at_middle = middle.expand(-1, 1, SCARF_COLUMNS)
    nodes = chart_at(hanging, at_middle, azimuth.expand_as(at_middle))
    outwards = chart_at(chart.direction[None].expand(len(middle), -1, -1, -1), at_middle, azimuth.expand_as(at_middle))
    noise = look_up(
        tile,
        azimuth / (2 * torch.pi) + draws.seed[:, :1, None] + 0 * section,
        section / 4 + 0.3 * azimuth.sin() + draws.seed[:, 1:, None],
    )
    folds = 1 + 0.22 * noise[..., CLOUD] + 0.12 * noise[..., COARSE]
    out = draws.scarf_width[:, None, None] * (section.sin() * folds * 1.1 + 0.15)
    rise = draws.scarf_height[:, None, None] * section.cos() * (1 + 0.08 * noise[..., CLOUD])
    verts = nodes + outwards * out[..., None] + torch.stack([0 * rise, rise, 0 * rise], dim=-1)
    u_mm = (azimuth * 80).expand_as(out)
    v_mm = (section * 30 + 12 * noise[..., CLOUD]).expand_as(out)
    coordinates = torch.stack([u_mm, v_mm, torch.full_like(u_mm, 50.0)], dim=-1)
    return verts.flatten(1, 2), coordinates.flatten(1, 2)


def place_band(draws: DrapeDraws, hanging: Tensor, chart: HeadChart, thickness: Tensor) -> tuple[Tensor, Tensor]:
    """A band about the skull, over hair of ``thickness`` (B,) mm."""
    azimuth = charts.azimuths().to(hanging)[None, None]
    front, back, half = draws.band_q[:, :, None, None].unbind(dim=1)
    across = torch.linspace(-1, 1, BAND_ROWS).to(hanging)[None, :, None]
    q = (front + back) / 2 + (front - back) / 2 * azimuth.cos() + half * across
    where = azimuth.expand_as(q)
    nodes, outwards = chart_at(hanging, q, where), chart_at(chart.direction[None].expand(len(q), -1, -1, -1), q, where)
    thick = thickness[:, None, None] + 1.5 + 1.5 * (1 - across.square())
    verts = nodes + outwards * thick.expand_as(q)[..., None]
    coordinates = torch.stack([where * 90, q * 110, torch.full_like(q, 50.0)], dim=-1)
    return verts.flatten(1, 2), coordinates.flatten(1, 2)


def place_phones(
    draws: DrapeDraws, neutral: Tensor, hanging: Tensor, chart: HeadChart, thickness: Tensor, anchors: DrapeAnchors
) -> tuple[Tensor, Tensor]:
    """Headphones: a band over the crown and a cup over each ear."""
    batch = len(neutral)
    radius, deep, half = draws.phone_size.unbind(dim=1)
    t = torch.linspace(-1, 1, PHONE_BAND).to(hanging)[None].expand(batch, -1)
    q, azimuth = (t.abs() * 1.22), t.sign() * 1.6
    nodes, outwards = (
        chart_at(hanging, q, azimuth),
        chart_at(chart.direction[None].expand(batch, -1, -1, -1), q, azimuth),
    )
    path = nodes + outwards * (thickness[:, None] + 5 + 6 * t.square())[..., None]
    rows = []
    for along, out in ((-1.0, 0.0), (-0.8, 5.0), (0.8, 5.0), (1.0, 0.0)):
        shift = path.new_tensor([0.0, 0.0, along]) * half[:, None, None]
        rows.append(path + shift + outwards * out)
    parts = [torch.stack(rows, dim=1).flatten(1, 2)]
    around = (torch.arange(CUP_AROUND) * (2 * torch.pi / CUP_AROUND)).to(hanging)
    for side, ear in ((-1.0, anchors.ears[0]), (1.0, anchors.ears[1])):
        middle = neutral[:, ear].mean(dim=1)
        root = neutral[:, ear, 0].mul(side).amin(dim=1) * 0.5 + neutral[:, ear, 0].mul(side).amax(dim=1) * 0.5
        rings = []
        for size, out in ((0.85, 0.0), (1.0, 0.25), (1.0, 0.8), (0.85, 1.0), (0.01, 1.0)):
            x = side * (root[:, None] - 4 + deep[:, None] * out).expand(-1, CUP_AROUND)
            y = middle[:, 1:2] + radius[:, None] * size * around.cos() * 1.12
            z = middle[:, 2:3] + radius[:, None] * size * around.sin()
            rings.append(torch.stack([x, y, z], dim=-1))
        parts.append(torch.stack(rings, dim=1).flatten(1, 2))
    verts = torch.cat(parts, dim=1)
    return verts, verts * verts.new_tensor([0.0, 1.0, 0.0]) + verts.new_tensor([0.0, 0.0, 50.0])


def place_lobes(draws: DrapeDraws, verts: Tensor, anchors: DrapeAnchors) -> tuple[Tensor, Tensor]:
    """Earrings: an ellipsoid below each lobe."""
    polar = torch.linspace(0.01, torch.pi - 0.01, LOBE_ROWS).to(verts)[:, None]
    around = (torch.arange(LOBE_AROUND) * (2 * torch.pi / LOBE_AROUND)).to(verts)[None]
    ball = torch.stack(
        [polar.sin() * around.sin(), polar.cos().expand(LOBE_ROWS, LOBE_AROUND), polar.sin() * around.cos()], dim=-1
    )
    size = torch.stack([draws.lobe_size[:, 0], draws.lobe_size[:, 1], draws.lobe_size[:, 0]], dim=1)
    parts = []
    for lobe in anchors.lobes:
        top = verts[:, lobe].mean(dim=1) - torch.stack([0 * size[:, 0], size[:, 1] - 2, 0 * size[:, 0]], dim=1)
        parts.append((top[:, None, None] + ball * size[:, None, None]).flatten(1, 2))
    points = torch.cat(parts, dim=1)
    return points, torch.zeros_like(points) + points.new_tensor([0.0, 0.0, 50.0])
