"""Hair: a shell over the head's chart that ends where a hairline, a fringe or the tips of long hair say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyface3d.data.synthetic.wear import chart as charts
from pyface3d.data.synthetic.wear.chart import MM_PER_UNIT, ROW_STEP, HeadChart
from pyface3d.data.synthetic.wear.noise import CLOUD, COARSE, look_up
from pyface3d.data.synthetic.wear.parts import grid_faces

HAIR_STYLES = (
    "bald",
    "short",
    "side_part",
    "fringe",
    "long",
    "bob",
    "afro",
    "tied",
    "receding",
    "crown_bald",
    "curtain",
)
_SHARES = (0.07, 0.17, 0.11, 0.11, 0.19, 0.09, 0.07, 0.07, 0.04, 0.02, 0.06)
ROWS = 40
COLUMNS = charts.COLUMNS
MARGIN = 22.0  # mm of mesh beyond the edge, for the ragged tips
# The natural hairline as q of the chart at azimuths (degrees): forehead, temple, sideburn, over the ear, nape.
_AZIMUTHS = (0.0, 25.0, 40.0, 52.0, 62.0, 70.0, 78.0, 88.0, 108.0, 118.0, 145.0, 180.0)
_NATURAL = (0.66, 0.67, 0.69, 0.80, 1.00, 1.28, 1.28, 1.06, 1.10, 1.45, 1.75, 1.80)
# Black, browns, blonds, red, greys, white as linear RGB with the shares of a photo set of people from everywhere.
_COLORS = (
    ((0.008, 0.007, 0.007), 0.30),
    ((0.022, 0.014, 0.010), 0.22),
    ((0.060, 0.032, 0.018), 0.14),
    ((0.130, 0.075, 0.038), 0.09),
    ((0.300, 0.190, 0.090), 0.07),
    ((0.480, 0.340, 0.180), 0.03),
    ((0.160, 0.045, 0.014), 0.04),
    ((0.130, 0.125, 0.120), 0.05),
    ((0.550, 0.530, 0.500), 0.04),
)


@dataclass(frozen=True, eq=False)
class HairDraws:
    """What is drawn for B heads of hair; floats (B,) unless said otherwise; "2" is the right and the left side."""

    style: Tensor  # int64, into HAIR_STYLES
    color: Tensor  # (B, 3) linear RGB
    hairline: Tensor  # (B, COLUMNS) q of the natural hairline
    top: Tensor  # q above which nothing grows (bald crown)
    fringe: Tensor  # q of the fringe's edge in the middle; 0 without
    fringe_width: Tensor  # radians
    fringe_slope: Tensor  # q per radian, to one side
    long: Tensor  # (B, 2) q of the tips; 0 without
    front: Tensor  # (B, 2) azimuth where long hair begins, radians
    ramp: Tensor  # radians over which the curtain comes down
    thickness: Tensor  # mm
    tip: Tensor  # share of the thickness kept at the edge
    lift: Tensor  # mm added above the forehead
    lumps: Tensor  # mm
    lump_scale: Tensor  # tiles per mm
    lump_length: Tensor  # lumps' frequency down the hair against that across
    slope: Tensor  # mm inwards per mm down
    ear: Tensor  # mm added over the ears
    part: Tensor  # azimuth-like position of the parting, mm
    seed: Tensor  # (B, 2) tiles
    tail: Tensor  # (B, 7): q, azimuth, radii (3), drop, worn


def draw_color(rng: np.random.Generator) -> np.ndarray:
    """Linear RGB of natural, sometimes dyed hair."""
    shares = np.array([share for _, share in _COLORS])
    color = np.array(_COLORS[rng.choice(len(_COLORS), p=shares / shares.sum())][0])
    color = color * np.exp(rng.normal(0, 0.35)) * np.exp(rng.normal(0, 0.06, 3))
    dyed = rng.random() < 0.03
    bright = np.exp(rng.normal(-1.6, 0.8, 3))
    return np.clip(bright if dyed else color, 0.004, 0.75)


def draw_one(rng: np.random.Generator, only: str | None = None) -> dict[str, Any]:
    """One head of hair; ``only`` a certain style."""
    shares = np.array(_SHARES)
    style = HAIR_STYLES[rng.choice(len(_SHARES), p=shares / shares.sum())]
    style = only or style
    u = rng.uniform
    azimuth = np.degrees(charts.azimuths().numpy())
    natural = np.array(_NATURAL)
    natural[:4] += rng.normal(0, 0.035) + np.array([0, *rng.normal(0, 0.02, 3)])
    natural[4:7] += np.array([0.3, 1, 1]) * rng.normal(-0.05, 0.15)
    natural[9:] += rng.normal(0, 0.08)
    if style == "receding":
        natural[:4] -= u(0.08, 0.3) + np.array([0, 0.5, 1, 0.8]) * u(0.0, 0.22)
    hairline = np.interp(np.abs(azimuth), _AZIMUTHS, natural) + 0.02 * rng.normal() * np.sin(np.radians(azimuth))
    out: dict[str, Any] = {
        "style": HAIR_STYLES.index(style),
        "color": draw_color(rng),
        "hairline": hairline,
        "top": u(0.75, 0.95) if style == "crown_bald" else -1.0,
        "fringe": 0.0,
        "fringe_width": np.radians(u(30, 52)),
        "fringe_slope": rng.normal(0, 0.03),
        "long": np.zeros(2),
        "front": np.radians(u(50, 72)) + np.radians(rng.normal(0, 4, 2)),
        "ramp": np.radians(u(6, 30)),
        "thickness": u(3, 14),
        "tip": u(0.05, 0.3),
        "lift": 0.0,
        "lumps": u(0.5, 2.0),
        "lump_scale": 1 / u(80, 200),
        "lump_length": 0.7 if style == "afro" else rng.choice([u(0.05, 0.2), u(0.2, 0.8)], p=[0.65, 0.35]),
        "slope": u(0.0, 0.25),
        "ear": 0.0,
        "part": rng.normal(0, 25),
        "seed": rng.random(2),
        "tail": np.zeros(7),
    }
    if style == "short":
        out["thickness"] = np.exp(u(np.log(2), np.log(24)))
        out["lift"] = rng.choice([0.0, u(2, 24)])
        if rng.random() < 0.3:
            out["fringe"], out["tip"] = u(0.7, 0.85), u(0.2, 0.6)
    elif style == "side_part":
        side = rng.choice([-1.0, 1.0])
        out.update(fringe=u(0.68, 0.86), fringe_slope=side * u(0.05, 0.3))
        out.update(lift=u(3, 20), tip=u(0.2, 0.6), thickness=u(5, 20))
        out["part"] = -side * u(20, 45)
        if rng.random() < 0.35:
            out["long"], out["ear"] = np.full(2, u(1.3, 1.7)), u(6, 14)
    elif style == "fringe":
        out.update(fringe=u(0.80, 1.02), tip=u(0.25, 0.7), thickness=u(8, 22), fringe_slope=rng.normal(0, 0.06))
        if rng.random() < 0.55:
            out["long"], out["ear"] = u(1.4, 3.8) + rng.normal(0, 0.05, 2), u(8, 16)
    elif style in ("long", "curtain"):
        out["long"] = u(2.3, 4.0) + rng.normal(0, 0.06, 2)
        if style == "curtain":  # falls over the cheeks and the jaw
            out["front"] = np.radians(u(32, 55)) + np.radians(rng.normal(0, 7, 2))
            if rng.random() < 0.35:  # over one cheek or eye
                out["front"][rng.integers(2)] = np.radians(u(8, 32))
        elif rng.random() < 0.4:  # behind the ears
            out["front"] = np.radians(u(75, 112)) + np.radians(rng.normal(0, 8, 2))
        # Two in five flare outwards: photos show hair as wide as the shoulders.
        out.update(thickness=u(9, 42), tip=u(0.25, 0.9), ear=u(0, 14), lumps=u(1, 8), slope=u(-0.4, 0.25))
        out.update(ramp=np.radians(u(8, 50)), lift=u(0, 16))
        if rng.random() < 0.25:
            out.update(fringe=u(0.75, 1.0), fringe_slope=rng.normal(0, 0.12))
    elif style == "bob":
        out["long"] = u(1.7, 2.45) + rng.normal(0, 0.03, 2)
        out.update(thickness=u(12, 40), tip=u(0.5, 1.0), ear=u(8, 16), slope=u(-0.25, 0.25), ramp=np.radians(u(6, 30)))
        if rng.random() < 0.5:
            out.update(fringe=u(0.78, 1.0))
    elif style == "afro":
        out.update(thickness=u(10, 60), tip=u(0.15, 0.5), lumps=u(3, 9), lump_scale=1 / u(40, 90), ear=u(0, 14))
        if rng.random() < 0.45:
            out["long"], out["thickness"] = u(1.4, 3.0) + rng.normal(0, 0.1, 2), u(14, 40)
    elif style == "tied":
        out.update(thickness=u(2, 6), tip=u(0.1, 0.3), lumps=u(0.3, 1.0))
        bun, radius = rng.random() < 0.6, u(22, 42)
        low = u(1.0, 1.5)
        out["tail"] = np.array(
            [u(0.1, 0.9), np.pi + rng.normal(0, 0.2), radius, radius * u(0.7, 1), radius * u(0.7, 1), 0.0, 1.0]
            if bun
            else [low, np.pi + rng.normal(0, 0.4), u(20, 36), u(70, 150), u(18, 30), u(40, 110), 1.0]
        )
    elif style in ("receding", "crown_bald"):
        out["thickness"] = u(1.5, 9)
    return out


def hair_limit(draws: HairDraws) -> Tensor:
    """q at which the hair ends over each azimuth, (B, COLUMNS)."""
    azimuth = charts.azimuths().to(draws.color)[None]
    left = (azimuth > 0).long()
    limit = draws.hairline
    inside = torch.sigmoid((draws.fringe_width[:, None] - azimuth.abs()) / 0.05)
    fringe = draws.fringe[:, None] + draws.fringe_slope[:, None] * azimuth
    limit = torch.where(draws.fringe[:, None] > 0, limit + (fringe - limit).clamp_min(0) * inside, limit)
    long = draws.long.gather(1, left.expand(len(limit), -1))
    start = draws.front.gather(1, left.expand(len(limit), -1))
    rise = ((azimuth.abs() - start + draws.ramp[:, None]) / draws.ramp[:, None]).clamp(0, 1) ** 3
    return limit + (long - limit).clamp_min(0) * rise


def hanging_surface(surface: Tensor, chart: HeadChart, slope: Tensor) -> Tensor:
    """Chart nodes (B, ROWS, COLUMNS, 3) pushed out so that they never go inwards faster than ``slope`` mm per mm."""
    reach = chart.reach(surface)
    first = round(0.85 / ROW_STEP)
    rows = [reach[:, row] for row in range(first)]
    for row in range(first, charts.ROWS):
        rows.append(torch.maximum(reach[:, row], rows[-1] - slope[:, None] * 100 * ROW_STEP))
    return surface + (torch.stack(rows, dim=1) - reach)[..., None] * chart.direction


def along_columns(nodes: Tensor, q: Tensor) -> Tensor:
    """Chart values (B, ROWS, C, K) at heights q (B, N, C) of each column, linear between rows: (B, N, C, K)."""
    position = (q / ROW_STEP).clamp(0, charts.ROWS - 1.001)
    row = position.floor().long()
    share = (position - row)[..., None]
    size = (*row.shape, nodes.shape[-1])
    low = nodes.gather(1, row[..., None].expand(size))
    high = nodes.gather(1, (row + 1)[..., None].expand(size))
    return low + (high - low) * share


def hair_faces() -> Tensor:
    return grid_faces(ROWS, COLUMNS, closed=True)


def place_hair(
    draws: HairDraws, surface: Tensor, chart: HeadChart, tile: Tensor, under_hat: Tensor
) -> tuple[Tensor, Tensor]:
    """The shell on heads.

    Args:
        surface: chart nodes of the neutral heads, (B, ROWS, COLUMNS, 3) mm.
        under_hat: q down to which a hat presses the hair flat, (B, COLUMNS); 0 without.

    Returns:
        verts (B, ROWS · COLUMNS, 3) mm and coordinates (B, ROWS · COLUMNS, 3), see `Wear`.
    """
    limit = hair_limit(draws)
    step = torch.linspace(0, 1, ROWS).to(limit)[None, :, None]
    q = (limit + MARGIN / MM_PER_UNIT)[:, None] * step
    azimuth = charts.azimuths().to(limit)
    u_mm = (azimuth * 90)[None, None].expand_as(q)
    v_mm = q * MM_PER_UNIT
    # Strands end at different heights: coverage is measured along them, less so where the edge runs beside them.
    slant = (limit.roll(-1, 1) - limit.roll(1, 1)) * MM_PER_UNIT / (2 * 2 * torch.pi / COLUMNS * 90)
    coverage = (limit[:, None] - q) * MM_PER_UNIT / (1 + (0.3 * slant).square()).sqrt()[:, None]
    coverage = torch.minimum(coverage, (q - draws.top[:, None, None]) * MM_PER_UNIT)

    noise = look_up(
        tile,
        u_mm * draws.lump_scale[:, None, None] + draws.seed[:, 0, None, None],
        v_mm * draws.lump_scale[:, None, None] * draws.lump_length[:, None, None] + draws.seed[:, 1, None, None],
    )
    body = _smooth(coverage / 28)
    thickness = draws.thickness[:, None, None] * (draws.tip[:, None, None] + (1 - draws.tip[:, None, None]) * body)
    forehead = torch.exp(-((azimuth / 0.9) ** 2)) * torch.exp(-(((q - 0.5) / 0.22) ** 2))
    thickness = thickness + draws.lift[:, None, None] * forehead * body
    over_ear = torch.exp(-(((azimuth.abs() - 1.75) / 0.35) ** 2)) * torch.exp(-(((q - 1.3) / 0.3) ** 2))
    thickness = thickness + draws.ear[:, None, None] * over_ear * (limit[:, None] > 1.25)
    valley = torch.exp(-(((u_mm * q.clamp(max=1) - draws.part[:, None, None]) / 5) ** 2)) * _smooth((1.0 - q) / 0.5)
    valley = valley * (azimuth.abs() < 1.6)
    thickness = thickness * (1 - 0.5 * valley)
    lumps = draws.lumps[:, None, None] * (noise[..., CLOUD] + 0.5 * noise[..., COARSE]) * (0.2 + 0.8 * body)
    flat = _smooth((under_hat[:, None] + 0.06 - q) / 0.06)
    thickness = (thickness + lumps).clamp_min(0.8)
    thickness = thickness * (1 - flat) + thickness.clamp(max=2.0) * flat

    hanging = hanging_surface(surface, chart, draws.slope)
    nodes = along_columns(hanging, q)
    outwards = along_columns(chart.direction[None].expand(len(q), -1, -1, -1), q)
    verts = nodes + outwards * thickness[..., None]
    coordinates = torch.stack([u_mm, v_mm, coverage], dim=-1)
    return verts.flatten(1, 2), coordinates.flatten(1, 2)


TAIL_ROWS, TAIL_COLUMNS = 12, 16


def tail_faces() -> Tensor:
    return grid_faces(TAIL_ROWS, TAIL_COLUMNS, closed=True)


def place_tail(draws: HairDraws, surface: Tensor, chart: HeadChart, tile: Tensor) -> tuple[Tensor, Tensor]:
    """A bun or a tied tail: an ellipsoid behind or on top of the head; see `place_hair`."""
    q, azimuth, *radii, drop, _ = draws.tail.unbind(dim=1)
    column = (azimuth / (2 * torch.pi) * COLUMNS).round().long() % COLUMNS
    row = (q / ROW_STEP).round().long()
    sample = torch.arange(len(q), device=q.device)
    root, outwards = surface[sample, row, column], chart.direction[row, column]
    size = torch.stack(radii, dim=1)
    center = root + outwards * (size[:, 2:] * 0.8)
    center = center - torch.stack([drop * 0, drop, drop * 0], dim=1)
    polar = torch.linspace(0.001, torch.pi - 0.001, TAIL_ROWS).to(q)[:, None]
    around = (torch.arange(TAIL_COLUMNS) * (2 * torch.pi / TAIL_COLUMNS)).to(q)[None]
    ball = torch.stack(
        [polar.sin() * around.sin(), polar.cos().expand(TAIL_ROWS, TAIL_COLUMNS), polar.sin() * around.cos()], dim=-1
    )
    u_mm = (around * 30).expand(len(q), TAIL_ROWS, -1)
    v_mm = polar[None] * size[:, 1, None, None] + 0 * u_mm
    noise = look_up(tile, u_mm / 90 + draws.seed[:, 1, None, None], v_mm / 90 + draws.seed[:, 0, None, None])
    bumps = 1 + 0.06 * noise[..., CLOUD]
    verts = center[:, None, None] + ball * size[:, None, None] * bumps[..., None]
    coordinates = torch.stack([u_mm, v_mm, torch.full_like(u_mm, 30.0)], dim=-1)
    return verts.flatten(1, 2), coordinates.flatten(1, 2)


def _smooth(x: Tensor) -> Tensor:
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)
