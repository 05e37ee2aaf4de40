"""Beards and moustaches with volume: a layer over the lower face that moves with jaw and lips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyface3d.data.synthetic.wear.noise import CLOUD, COARSE, look_up
from pyface3d.face_models.linear import LinearFaceModel

BEARDS = ("none", "full", "moustache", "goatee", "chin_strap", "long")


@dataclass(frozen=True, eq=False)
class BeardPatch:
    """The part of the head's mesh that a beard may cover.

    Attributes:
        index: (n,) int64 head vertices.
        faces: (f, 3) over those n.
        normals: outward on the mean head, (n, 3).
        at: garment coordinates in mm, (n, 2): along the face's width and downwards.
        fields: signed distances in mm on the mean head, positive inside, (n, 4): below the cheek line and off the
            lips; beside the nose down to the upper lip; about the chin; near the edge of the jaw.
    """

    index: Tensor
    faces: Tensor
    normals: Tensor
    at: Tensor
    fields: Tensor


@dataclass(frozen=True, eq=False)
class BeardDraws:
    """What is drawn for B beards; floats (B,)."""

    kind: Tensor  # int64, into BEARDS
    cheek: Tensor  # mm the cheek line lies higher
    neck: Tensor  # mm the lower edge lies lower
    length: Tensor  # mm outwards
    hang: Tensor  # mm the chin's beard hangs down
    lumps: Tensor  # mm
    seed: Tensor  # (B, 2)


def make_beard_patch(model: LinearFaceModel) -> BeardPatch:
    verts, regions = model.template, model.regions
    faces = model.topology.faces.long()
    near = regions["skin"] & ~regions["ears"] & ~regions["lips"] & (verts[:, 1] < -8) & (verts[:, 2] > -68)
    for hidden in ("eye_sockets", "mouth_bag", "nose"):
        near = near & ~regions[hidden]
    kept = faces[near[faces].all(dim=1)]
    index = kept.unique()
    number = torch.full((len(verts),), -1)
    number[index] = torch.arange(len(index))
    corners = verts[faces]
    face_normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = torch.zeros_like(verts).index_add(0, faces.flatten(), face_normals.repeat_interleave(3, dim=0))
    normals = torch.nn.functional.normalize(normals[index], dim=-1)
    points = verts[index]
    x, y, z = points.unbind(dim=1)
    azimuth = torch.rad2deg(torch.atan2(x, z + 68)).abs()
    line = np.interp(azimuth.numpy(), [0, 10, 16, 25, 45, 60, 72, 90], [-54, -53, -58, -64, -58, -35, -8, -8])
    lips = torch.cdist(points, verts[regions["lips"]]).amin(dim=1)
    # The rim of the red of the lips itself stays free; between the lips' corners and the nose the moustache begins.
    below_cheek = torch.minimum(torch.from_numpy(line).to(y) - y, lips - 2.5)
    under_nose = torch.minimum(-54 - y, torch.minimum(y + 84, 36 - x.abs()))
    chin = torch.minimum(30 - x.abs(), -80 - y)
    jaw = y.new_tensor(
        np.interp(azimuth.numpy(), [0, 16, 31, 50, 60, 68, 72, 90], [-104, -104, -98, -84, -66, -30, -8, 0])
    )
    strap = 14 - (y - jaw).abs()
    fields = torch.stack(
        [below_cheek, torch.minimum(under_nose, lips - 2.0), torch.minimum(chin, lips - 2.0), strap], dim=1
    )
    at = torch.stack([torch.deg2rad(azimuth) * x.sign() * 80, -y], dim=1)
    return BeardPatch(index, number[kept], normals, at, fields)


def draw_one(rng: np.random.Generator, share: float) -> dict[str, np.ndarray | float | int]:
    u = rng.uniform
    worn = rng.random() < share
    kind = BEARDS[rng.choice([1, 2, 3, 4, 5], p=[0.46, 0.2, 0.18, 0.06, 0.1])]
    long = kind == "long"
    return {
        "kind": BEARDS.index(kind) if worn else 0,
        "cheek": rng.normal(0, 7),
        "neck": rng.normal(-2, 7),
        "length": u(9, 22) if long else np.exp(u(np.log(1.2), np.log(9.0))),
        "hang": u(15, 80) if long else u(0, 8),
        "lumps": u(0.5, 2.5),
        "seed": rng.random(2),
    }


def place_beard(draws: BeardDraws, verts: Tensor, patch: BeardPatch, tile: Tensor) -> tuple[Tensor, Tensor]:
    """The layer on heads with expression (B, V, 3): verts and coordinates (B, n, 3), see `Wear`."""
    cheek, nose, chin, strap = patch.fields.unbind(dim=1)
    height = -patch.at[:, 1]
    above_neck = height[None] + 121 + draws.neck[:, None]
    full = torch.minimum(cheek[None] + draws.cheek[:, None] * (patch.at[:, 0].abs() > 35), above_neck)
    by_kind = torch.stack(
        [
            torch.full_like(full, -50.0),
            full,
            nose.expand_as(full),
            torch.minimum(torch.maximum(nose, chin)[None].expand_as(full), above_neck),
            torch.minimum(torch.minimum(strap, cheek)[None].expand_as(full), above_neck),
            full,
        ]
    )
    coverage = by_kind.gather(0, draws.kind[None, :, None].expand(1, -1, full.shape[1]))[0]
    u, v = patch.at.unbind(dim=1)
    noise = look_up(tile, u / 130 + draws.seed[:, :1], v / 130 + draws.seed[:, 1:])
    body = (coverage / 9).clamp(0, 1)
    lift = draws.length[:, None] * body + draws.lumps[:, None] * body * (noise[..., CLOUD] + 0.4 * noise[..., COARSE])
    # Beyond its edge the layer dips under the skin, so that it ends there even where it is drawn solid.
    lift = torch.where(coverage < -8, torch.full_like(lift, -1.5), lift.clamp_min(0.5))
    low = ((-88 - height) / 30).clamp(0, 1)[None] * body
    down = (
        draws.hang[:, None]
        * low
        * (patch.at[:, 0].abs() < 60)
        * (1 - (patch.at[:, 0].abs() / 60).square()).clamp_min(0)
    )
    points = verts[:, patch.index] + patch.normals * lift[..., None]
    points = points + torch.stack([0 * down, -down, 0.15 * down], dim=-1)
    coordinates = torch.cat([patch.at.expand(len(verts), -1, -1), coverage[..., None]], dim=-1)
    return points, coordinates
