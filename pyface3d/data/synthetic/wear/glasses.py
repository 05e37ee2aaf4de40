"""Glasses: two rims with lenses, a bridge and two temples, resting on the nose and over the ears."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyface3d.data.synthetic.wear.parts import grid_faces
from pyface3d.face_models.linear import LinearFaceModel

SHAPES = ("none", "round", "square", "oval", "aviator", "cat", "half", "rimless", "shield")
_SHARES = (0.0, 0.2, 0.27, 0.13, 0.12, 0.07, 0.09, 0.07, 0.05)
AROUND, SECTION = 28, 5  # points along a rim, and around its cross-section
TEMPLE = 10
BRIDGE = 8
LENS_RINGS = 4


@dataclass(frozen=True, eq=False)
class GlassesDraws:
    """What is drawn for B pairs; floats (B,) in mm unless said otherwise."""

    shape: Tensor  # int64, into SHAPES
    half_width: Tensor  # of a lens
    half_height: Tensor
    power: Tensor  # of the rim's superellipse: 2 round, 5 square
    droop: Tensor  # share by which the outer lower part hangs (aviator), lifts (negative: cat's eye)
    gap: Tensor  # between the lenses, half of it
    rim: Tensor  # half thickness in the plane of the lens
    depth: Tensor  # half thickness along the line of sight
    lower: Tensor  # 1 a whole rim, 0 upper half only
    bridge: Tensor  # half thickness
    double_bridge: Tensor
    temple: Tensor  # half height
    wrap: Tensor  # radians a lens turns about the vertical
    tilt: Tensor  # radians the lenses lean
    slip: Tensor  # down the nose
    vertex: Tensor  # lens before the bridge of the nose
    skew: Tensor  # radians of roll


@dataclass(frozen=True, eq=False)
class Anchors:
    """Head vertices that glasses are fitted to."""

    left_eye: Tensor  # (n,) int64, vertices of the eyeball
    right_eye: Tensor
    bridge: Tensor  # (m,) on the ridge of the nose, from the root down
    ears: Tensor  # (2, k) where temples rest, right (-x) first
    clear: Tensor  # (c,) skin about the eyes and beside the nose that lenses must stay before


def make_anchors(model: LinearFaceModel) -> Anchors:
    verts, regions = model.template, model.regions

    def nearest(point: tuple[float, float, float], mask: Tensor, count: int) -> Tensor:
        far = torch.where(mask, 0.0, 1e6)
        return ((verts - verts.new_tensor(point)).norm(dim=1) + far).topk(count, largest=False).indices

    skin = regions["skin"]
    ridge = torch.stack(
        [nearest((0.0, y, z), skin, 1)[0] for y, z in ((2, 29), (-4, 31), (-10, 34), (-16, 38), (-24, 44))]
    )
    ears = torch.stack([nearest((side * 76.0, 2.0, -72.0), skin & ~regions["ears"], 4) for side in (-1, 1)])
    window = (verts[:, 0].abs() > 6) & (verts[:, 0].abs() < 56) & (verts[:, 1] < 28) & (verts[:, 1] > -48)
    clear = torch.nonzero(skin & window & (verts[:, 2] > 0)).flatten()
    return Anchors(
        torch.nonzero(regions["left_eye"]).flatten(),
        torch.nonzero(regions["right_eye"]).flatten(),
        ridge,
        ears,
        clear[:: max(1, len(clear) // 150)],
    )


def draw_one(rng: np.random.Generator, worn: bool, dark: bool) -> dict[str, np.ndarray | float | int]:
    u = rng.uniform
    shares = np.array(_SHARES)
    kind = SHAPES[rng.choice(len(shares), p=shares / shares.sum())]
    if kind == "shield" and not dark:
        kind = "square"
    width = u(22.5, 28.5) * (1.08 if dark else 1.0)
    aspect = {"round": u(0.88, 1.0), "aviator": u(0.8, 0.95), "oval": u(0.58, 0.78), "shield": u(0.6, 0.8)}.get(
        kind, u(0.55, 0.85)
    )
    power = {"round": u(2.0, 2.3), "aviator": u(2.3, 3.0), "oval": u(2.0, 2.8), "cat": u(2.4, 3.5)}.get(kind, u(3, 5.5))
    thick = kind not in ("rimless", "half") and rng.random() < 0.55
    rim = u(1.5, 3.4) if thick else u(0.45, 1.0)
    if kind == "rimless":
        rim = 0.0
    return {
        "shape": SHAPES.index(kind) if worn else 0,
        "half_width": width,
        "half_height": width * aspect,
        "power": power,
        "droop": {"aviator": u(0.15, 0.35), "cat": -u(0.15, 0.35)}.get(kind, rng.normal(0.03, 0.04)),
        "gap": 1.5 if kind == "shield" else u(7.5, 11.5),
        "rim": rim,
        "depth": rim * u(0.8, 1.3) + 0.2 * (rim > 0),
        "lower": 0.0 if kind == "half" else 1.0,
        "bridge": max(0.6, rim * u(0.7, 1.1)),
        "double_bridge": float(kind == "aviator" and rng.random() < 0.7),
        "temple": u(2.0, 8.0) if thick else u(0.7, 1.8),
        "wrap": u(0.06, 0.22) + 0.12 * (kind == "shield"),
        "tilt": u(0.02, 0.18),
        "slip": rng.choice([u(-2, 3), u(3, 16)], p=[0.85, 0.15]) if kind != "shield" else u(-2, 2),
        "vertex": u(1.0, 4.0),
        "skew": rng.normal(0, 0.02),
    }


def rim_faces() -> Tensor:
    """Frames: right rim, left rim, two bridges, right temple, left temple; (F, 3)."""
    faces, first = [], 0
    for rows in (AROUND + 1, AROUND + 1, BRIDGE, BRIDGE, TEMPLE, TEMPLE):
        faces.append(grid_faces(rows, SECTION, closed=True, first=first))
        first += rows * SECTION
    return torch.cat(faces)


def lens_faces() -> Tensor:
    """Right lens, left lens: rings about their middles."""
    one = grid_faces(LENS_RINGS, AROUND, closed=True)
    return torch.cat([one, one + LENS_RINGS * AROUND])


def _tube(path: Tensor, inwards: Tensor, forwards: Tensor, in_plane: Tensor, deep: Tensor) -> Tensor:
    """Ellipse sections along ``path`` (B, N, 3), spanned by ``inwards`` and ``forwards``: (B, N · SECTION, 3)."""
    angle = (torch.arange(SECTION) * (2 * torch.pi / SECTION)).to(path)
    ring = inwards[:, :, None] * (angle.cos()[:, None] * in_plane[:, :, None, None])
    ring = ring + forwards[:, :, None] * (angle.sin()[:, None] * deep[:, :, None, None])
    return (path[:, :, None] + ring).flatten(1, 2)


def place_glasses(draws: GlassesDraws, verts: Tensor, anchors: Anchors) -> list[tuple[Tensor, Tensor]]:
    """Frames and lenses on neutral heads (B, V, 3).

    Returns:
        verts and coordinates (B, n, 3) of the frames, then of the lenses, whose x and y run from -1 to 1 across.
    """
    batch = len(verts)
    right, left = verts[:, anchors.right_eye].mean(dim=1), verts[:, anchors.left_eye].mean(dim=1)
    scale = ((left - right).norm(dim=-1) / 63.0).clamp(0.85, 1.2)
    middle = (left + right) / 2
    ridge = verts[:, anchors.bridge]
    # The bridge of the glasses rests on the ridge at a height between its points; slipping moves it down the nose.
    along = (1.0 + draws.slip.clamp(-2, 18) / 6.0).clamp(0, 3.999)
    row = along.floor().long()
    pick = torch.arange(batch, device=verts.device)
    low, high = ridge[pick, row], ridge[pick, row + 1]
    rest = torch.lerp(low, high, (along - row)[:, None])

    half_w, half_h = draws.half_width * scale, draws.half_height * scale
    angle = (torch.arange(AROUND + 1) * (2 * torch.pi / AROUND)).to(verts)
    power = 2 / draws.power[:, None]
    x = angle.cos().sign() * angle.cos().abs()[None] ** power
    y = angle.sin().sign() * angle.sin().abs()[None] ** power
    # x > 0 is the outer side. An aviator's outer lower part hangs down, a cat's eye's outer upper part rises.
    droop = draws.droop[:, None]
    lower, upper = (-y).clamp_min(0), y.clamp_min(0)
    y = y - droop * torch.where(droop > 0, lower * (0.6 + 0.4 * x), upper * (0.4 + 0.6 * x))

    center_y = rest[:, 1] - middle[:, 1] - 4.0 - draws.slip * 0.3
    wrap, tilt = draws.wrap, draws.tilt

    def lens_point(x: Tensor, y: Tensor, bulge: Tensor | float = 0.0) -> Tensor:
        """Lens plane of one side to (B, n, 3) beside the middle of the bridge, outer side towards +x."""
        out = (x + 1) * half_w[:, None]
        px = draws.gap[:, None] * scale[:, None] + out * wrap.cos()[:, None]
        pz = -out * wrap.sin()[:, None] + y * half_h[:, None] * tilt.sin()[:, None] + bulge
        return torch.stack([px, center_y[:, None] + y * half_h[:, None], pz], dim=-1)

    # Push the pair forward until brows, lids, cheeks and the sides of the nose stay behind the lenses.
    face = verts[:, anchors.clear] - middle[:, None]
    out = (face[..., 0].abs() - (draws.gap * scale)[:, None]).clamp_min(0)
    up = face[..., 1] - center_y[:, None]
    plane = -out * wrap.tan()[:, None] + up * tilt.tan()[:, None]
    beside = ((face[..., 0].abs() - (draws.gap * scale)[:, None]) / half_w[:, None] - 1).abs()
    inside = beside ** draws.power[:, None] + (up / half_h[:, None]).abs() ** draws.power[:, None] < 1
    need = torch.where(inside, face[..., 2] - plane, torch.full_like(plane, -1e3)).amax(dim=1) + 1.5 + draws.depth
    at_z = torch.maximum(rest[:, 2] - middle[:, 2] + draws.vertex - 3.0, need)

    def place(points: Tensor, side: float) -> Tensor:
        points = points * points.new_tensor([side, 1.0, 1.0])
        cos, sin = draws.skew.cos()[:, None], draws.skew.sin()[:, None]
        px, py = points[..., 0] * cos - points[..., 1] * sin, points[..., 0] * sin + points[..., 1] * cos
        shift = torch.stack([middle[:, 0], middle[:, 1], middle[:, 2] + at_z], dim=-1)
        return torch.stack([px, py, points[..., 2]], dim=-1) + shift[:, None]

    forwards = verts.new_tensor([0.0, 0.0, 1.0]).expand(batch, AROUND + 1, 3)
    rim_path = lens_point(x, y)
    radial = torch.nn.functional.normalize(rim_path - rim_path[:, :-1].mean(dim=1, keepdim=True), dim=-1)
    kept = torch.where(y < 0.1, draws.lower[:, None].expand_as(y), torch.ones_like(y))
    rim = _tube(rim_path, radial, forwards, draws.rim[:, None] * kept, draws.depth[:, None] * kept)

    across = torch.linspace(-1, 1, BRIDGE).to(verts)[None].expand(batch, -1)
    bridges = []
    for height, arch, there in ((0.25, 2.5, torch.ones_like(wrap)), (0.75, 0.5, draws.double_bridge)):
        inner = lens_point(-torch.ones_like(across[:, :1]) * 0.985, torch.full_like(across[:, :1], height))
        px = across * inner[:, :, 0]
        py = inner[:, :, 1] + arch * (1 - across.square())
        pz = inner[:, :, 2] + 1.5 * (1 - across.square())
        up = verts.new_tensor([0.0, 1.0, 0.0]).expand(batch, BRIDGE, 3)
        thick = (draws.bridge * there)[:, None].expand(-1, BRIDGE)
        bridges.append(_tube(torch.stack([px, py, pz], dim=-1), up, forwards[:, :BRIDGE], thick, thick))

    t = torch.linspace(0, 1, TEMPLE).to(verts)[None, :, None]
    frames = [place(rim, -1.0), place(rim, 1.0), *(place(bridge, 1.0) for bridge in bridges)]
    for side, number in ((-1.0, 0), (1.0, 1)):
        hinge = place(lens_point(torch.full_like(wrap[:, None], 1.0), torch.full_like(wrap[:, None], 0.35)), side)
        ear = verts[:, anchors.ears[number]].mean(dim=1, keepdim=True) + verts.new_tensor([side * 3.0, 2.0, 0.0])
        # Round the corner of the frame, back with a slight bow that clears the temples, then down behind the ear.
        hip = hinge + verts.new_tensor([side * 2.0, 0.0, -5.0])
        straight = torch.lerp(hip, ear, ((t - 0.12) / 0.73).clamp(0, 1))
        path = torch.lerp(hinge, straight, (t / 0.12).clamp(0, 1))
        path = path + (torch.pi * t).sin() * verts.new_tensor([side * 4.0, 0.0, 0.0])
        hook = ((t - 0.85) / 0.15).clamp(0, 1)
        path = path - hook * verts.new_tensor([-side * 3.0, 14.0, 14.0])
        up = verts.new_tensor([0.0, 1.0, 0.0]).expand(batch, TEMPLE, 3)
        outwards = verts.new_tensor([side, 0.0, 0.0]).expand(batch, TEMPLE, 3)
        tall = draws.temple[:, None] * torch.lerp(verts.new_tensor(1.0), verts.new_tensor(0.55), t[..., 0])
        frames.append(_tube(path, up, outwards, tall, draws.bridge[:, None].clamp(max=1.6).expand(-1, TEMPLE)))

    rings = torch.linspace(1.0, 0.0, LENS_RINGS).to(verts)[None, :, None]
    lens_x = (x[:, None, :-1] * rings).flatten(1)
    lens_y = (y[:, None, :-1] * rings).flatten(1)
    bulge = (2.0 * (1 - rings.square())).expand(batch, -1, AROUND).flatten(1)
    lens = lens_point(lens_x, lens_y, bulge)
    coordinates = torch.stack([lens_x, lens_y, torch.full_like(lens_x, 50.0)], dim=-1)
    mirrored = coordinates * coordinates.new_tensor([-1.0, 1.0, 1.0])
    lenses = torch.cat([place(lens, -1.0), place(lens, 1.0)], dim=1)
    frame = torch.cat(frames, dim=1)
    return [(frame, torch.zeros_like(frame)), (lenses, torch.cat([mirrored, coordinates], dim=1))]
