"""What is below the head's mesh: the rest of the neck, shoulders and chest as skin, clothes over it, a collar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyface3d.data.synthetic.wear.parts import grid_faces
from pyface3d.face_models.linear import LinearFaceModel

COLUMNS = 40
# Rings of the bare body below the rim of the head's mesh: height, half width, half depth, middle's z, all mm.
_BODY = (
    (-150.0, 58.0, 56.0, -84.0),
    (-163.0, 60.0, 58.0, -84.0),
    (-174.0, 72.0, 64.0, -85.0),
    (-183.0, 96.0, 72.0, -86.0),
    (-193.0, 128.0, 82.0, -87.0),
    (-206.0, 160.0, 92.0, -87.0),
    (-226.0, 184.0, 100.0, -86.0),
    (-262.0, 197.0, 108.0, -84.0),
    (-320.0, 201.0, 113.0, -82.0),
    (-430.0, 200.0, 115.0, -80.0),
)
BODY_ROWS = len(_BODY) + 1
CLOTHES_ROWS = 14
COLLAR_ROWS = 7
COLLARS = ("none", "band", "turtle", "shirt", "hood")
_PIVOT = (0.0, -140.0, -90.0)


@dataclass(frozen=True, eq=False)
class ClothesDraws:
    """What is drawn for B bodies; floats (B,) unless said otherwise."""

    collar: Tensor  # int64, into COLLARS
    width: Tensor  # factor on the shoulders
    depth: Tensor  # factor
    drop: Tensor  # mm the shoulders lie lower
    turn: Tensor  # (B, 3) yaw, pitch, roll of the body against the head, radians
    neckline: Tensor  # (B, 2) ring at which clothes begin, at the sides and in front
    vee: Tensor  # how pointed the front is, 0 to 1
    thickness: Tensor  # mm
    folds: Tensor  # mm
    collar_height: Tensor  # mm
    collar_flare: Tensor  # mm outwards at the upper edge
    collar_open: Tensor  # radians of the gap in front, half
    seed: Tensor  # (B, 2)


@dataclass(frozen=True, eq=False)
class NeckRim:
    """The rim under the head's mesh: two vertices per column, the share of the second, its place in the chart."""

    index: Tensor  # (COLUMNS, 2) int64
    share: Tensor  # (COLUMNS,)
    uv: Tensor  # (COLUMNS, 2)


def make_neck_rim(model: LinearFaceModel) -> NeckRim:
    topology, verts = model.topology, model.template
    faces = topology.faces.long()
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(dim=1).values
    unique, counts = edges.unique(dim=0, return_counts=True)
    rim = unique[counts == 1].unique()
    rim = rim[model.regions["skin"][rim] & (verts[rim, 1] < -60)]
    around = torch.atan2(verts[rim, 0], verts[rim, 2] - _PIVOT[2]).double()
    order = around.argsort()
    rim, around = rim[order], around[order]
    wanted = column_angles().double()
    wanted = torch.where(wanted > torch.pi, wanted - 2 * torch.pi, wanted)
    upper = torch.searchsorted(around, wanted) % len(rim)
    lower = (upper - 1) % len(rim)
    gap = (around[upper] - around[lower]) % (2 * torch.pi)
    share = ((wanted - around[lower]) % (2 * torch.pi)) / gap.clamp_min(1e-9)
    chart = torch.zeros(topology.num_verts, 2)
    if topology.uvs is not None and topology.uv_faces is not None:
        chart[faces.flatten()] = topology.uvs.float()[topology.uv_faces.long().flatten()]
    nearest = torch.where(share < 0.5, lower, upper)
    return NeckRim(torch.stack([rim[lower], rim[upper]], dim=1), share.float(), chart[rim[nearest]])


def column_angles() -> Tensor:
    """Azimuth of each column, radians in [0, 2π), 0 in front, growing towards +x."""
    return torch.arange(COLUMNS, dtype=torch.float32) * (2 * torch.pi / COLUMNS)


def draw_one(rng: np.random.Generator, suit: bool) -> dict[str, np.ndarray | float | int]:
    u = rng.uniform
    collar = COLLARS[rng.choice(len(COLLARS), p=[0.38, 0.14, 0.1, 0.26, 0.12])]
    collar = "shirt" if suit else collar
    side = {"turtle": 0.8, "hood": u(1.8, 2.6), "shirt": u(1.6, 2.2), "band": u(1.4, 2.4)}.get(collar, u(2.0, 4.5))
    front = side + (u(0.0, 0.5) if collar in ("turtle", "band", "hood") else u(0.3, 3.0))
    return {
        "collar": COLLARS.index(collar),
        "width": np.exp(rng.normal(-0.03, 0.1)),
        "depth": np.exp(rng.normal(0, 0.1)),
        "drop": rng.normal(4, 9),
        "turn": np.array([rng.normal(0, 0.28), rng.normal(0, 0.12), rng.normal(0, 0.09)]),
        "neckline": np.array([side, front]),
        "vee": u(0, 1),
        "thickness": u(2, 8),
        "folds": u(0.5, 4),
        "collar_height": {"band": u(4, 12), "turtle": u(25, 60), "shirt": u(28, 45), "hood": u(20, 60)}.get(
            collar, 2.0
        ),
        "collar_flare": {"shirt": u(4, 14), "hood": u(15, 45), "turtle": u(0, 6)}.get(collar, u(0, 3)),
        "collar_open": u(0.1, 0.7) if collar == "shirt" else 0.0,
        "seed": rng.random(2),
    }


def clothes_faces() -> tuple[Tensor, Tensor, Tensor]:
    """Body, clothes, collar."""
    return tuple(grid_faces(rows, COLUMNS, closed=True) for rows in (BODY_ROWS, CLOTHES_ROWS, COLLAR_ROWS))  # type: ignore[return-value]


def place_clothes(draws: ClothesDraws, verts: Tensor, rim: NeckRim, folds: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Body, clothes and collar below heads (B, V, 3) as (verts, coordinates) each.

    ``folds`` is cloth noise of unit variance per clothes vertex, (B, CLOTHES_ROWS, COLUMNS).
    """
    batch = len(verts)
    angle = column_angles().to(verts)
    ends = verts[:, rim.index]
    loop = torch.lerp(ends[:, :, 0], ends[:, :, 1], rim.share[:, None])
    table = verts.new_tensor(_BODY)
    neck = (loop[..., 0].amax(dim=1) - loop[..., 0].amin(dim=1)) / 112.0  # neck width against the mean head's
    y, half_w, half_d, z = table.T
    wide = ((half_w - 60) / 140).clamp(0, 1)
    half_w = half_w * torch.lerp(neck[:, None], draws.width[:, None], wide)
    half_d = half_d * torch.lerp(neck[:, None], draws.depth[:, None], wide)
    y = y - draws.drop[:, None] * wide
    # Rounder than an ellipse towards the shoulders.
    round_ = 1 + 0.25 * wide[:, None]
    x = half_w[..., None] * (angle.sin().sign() * angle.sin().abs() ** (1 / round_))
    depth = half_d[..., None] * (angle.cos().sign() * angle.cos().abs() ** (1 / round_))
    # The trapezius slopes backwards, the collar bones lie lower than the nape.
    heights = y[..., None] + 6 * (1 - wide[:, None]) - 16 * angle.cos() * (1 - wide[:, None] * 0.4)
    rings = torch.stack([x, heights.expand_as(x), z[:, None] + depth], dim=-1)
    # Follow the neck's rim near it, and turn against the head further down.
    shift = (loop - verts.new_tensor(_PIVOT)).mean(dim=1) - verts.new_tensor([0.0, 19.0, 5.0])
    shift = shift[:, None, None]
    rings = rings + shift * verts.new_tensor([1.0, 1.0, 1.0])
    rows = torch.arange(1, BODY_ROWS).to(verts)
    turned = ((rows - 1) / 3).clamp(0, 1)
    upright = torch.cat([loop[:, None], rings], dim=1)
    rings = _turn(rings, draws.turn, turned)
    body = torch.cat([loop[:, None], rings], dim=1)
    uv = rim.uv.expand(batch, BODY_ROWS, COLUMNS, 2)
    body_at = torch.cat([uv, torch.full_like(uv[..., :1], 50.0)], dim=-1)

    front = ((angle.cos() + 1) / 2)[None]
    sharp = front ** (2 + 14 * draws.vee[:, None])
    begin = draws.neckline[:, :1] + (draws.neckline[:, 1:] - draws.neckline[:, :1]) * sharp
    step = torch.linspace(0, 1, CLOTHES_ROWS).to(verts)[None, :, None]
    at = begin[:, None] + (BODY_ROWS - 1.001 - begin[:, None]) * step**1.3
    surface = _ring_at(body, at)
    middle = _ring_at(body.mean(dim=2, keepdim=True).expand_as(body), at)
    outwards = torch.nn.functional.normalize((surface - middle) + surface.new_tensor([0.0, 12.0, 0.0]), dim=-1)
    lift = draws.thickness[:, None, None] + draws.folds[:, None, None] * folds.clamp(-1.2, 2) * (0.2 + 0.8 * step)
    clothes = surface + outwards * lift.clamp_min(1.2)[..., None]
    flat = _ring_at(upright, at)[..., :2]  # patterns lie on the body as it stands upright
    clothes_at = torch.cat([flat, torch.full_like(flat[..., :1], 50.0)], dim=-1)
    # The skin under the clothes draws in, so that it never shows between their coarser rings.
    row = torch.arange(BODY_ROWS).to(verts)[None, :, None]
    hidden = ((row - begin[:, None] - 0.6) / 0.6).clamp(0, 1)[..., None]
    inner = torch.nn.functional.normalize((body - body.mean(dim=2, keepdim=True)), dim=-1)
    body = body - hidden * (14 * inner + body.new_tensor([0.0, 14.0, 0.0]))

    # The collar: a band from inside the neckline up, leaning outwards; a shirt's folds down again.
    edge, away = clothes[:, 0], outwards[:, 0] * verts.new_tensor([1.0, 0.0, 1.0])
    away = torch.nn.functional.normalize(away, dim=-1)
    kind = draws.collar[:, None, None]
    t = torch.linspace(0, 1, COLLAR_ROWS).to(verts)[None, :, None]
    height = draws.collar_height[:, None, None] * (1 - 0.55 * front[:, None] * ((kind == 3) | (kind == 4)))
    flare = draws.collar_flare[:, None, None]
    up = torch.where(kind >= 3, (t / 0.45).clamp(max=1) - 1.15 * ((t - 0.45) / 0.55).clamp_min(0), t) * height
    out = torch.where(kind >= 3, flare * (t * 1.35), flare * t)
    gap = (angle.minimum(2 * torch.pi - angle)[None] - draws.collar_open[:, None]).clamp_min(0)[:, None]
    present = torch.where(kind == 3, (gap / 0.12).clamp(max=1), torch.ones_like(gap))
    collar = (
        edge[:, None]
        + (away[:, None] * out[..., None] + up[..., None] * verts.new_tensor([0.0, 1.0, 0.0])) * present[..., None]
    )
    collar = collar - away[:, None] * 1.5
    u_mm = (angle * 60).expand(batch, COLLAR_ROWS, -1)
    collar_at = torch.stack([u_mm, t * height + 0 * u_mm, torch.full_like(u_mm, 50.0)], dim=-1)
    pairs = ((body, body_at), (clothes, clothes_at), (collar, collar_at))
    return [(points.flatten(1, 2), at.flatten(1, 2)) for points, at in pairs]


def _ring_at(body: Tensor, at: Tensor) -> Tensor:
    """Body points (B, R, C, 3) at ring numbers ``at`` (B, N, C), linear between rings."""
    row = at.floor().long().clamp(0, body.shape[1] - 2)
    size = (*row.shape, 3)
    low = body.gather(1, row[..., None].expand(size))
    high = body.gather(1, (row + 1)[..., None].expand(size))
    return low + (high - low) * (at - row)[..., None]


def _turn(rings: Tensor, angles: Tensor, share: Tensor) -> Tensor:
    """Rings (B, R, C, 3) turned about the base of the neck by a share (R,) of yaw, pitch, roll (B, 3)."""
    pivot = rings.new_tensor(_PIVOT)
    yaw, pitch, roll = (angles[:, None] * share[:, None]).unbind(dim=-1)
    x, y, z = (rings - pivot).unbind(dim=-1)
    c, s = pitch.cos()[..., None], pitch.sin()[..., None]
    y, z = y * c - z * s, y * s + z * c
    c, s = yaw.cos()[..., None], yaw.sin()[..., None]
    x, z = x * c + z * s, z * c - x * s
    c, s = roll.cos()[..., None], roll.sin()[..., None]
    x, y = x * c - y * s, x * s + y * c
    return torch.stack([x, y, z], dim=-1) + pivot
