"""Draws what people wear and lays it on their heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyface3d.data.synthetic.wear import clothes, glasses, hair, hats, looks
from pyface3d.data.synthetic.wear.chart import HeadChart, make_head_chart
from pyface3d.data.synthetic.wear.detail import noise_tile
from pyface3d.data.synthetic.wear.noise import CLOUD, look_up
from pyface3d.data.synthetic.wear.parts import SOFT, Part, Wear, WearMesh
from pyface3d.face_models.linear import LinearFaceModel

GLASSES_SHARE = 0.25
DARK_SHARE = 0.3  # of the glasses
HAT_SHARE = 0.14
_ABSENT = (0.0, 10.0, -75.0)  # inside the skull


@dataclass(frozen=True, eq=False)
class WearGeometry:
    """What is made once of a head model: its chart, anchors, rims, and the wear's mesh."""

    chart: HeadChart
    anchors: glasses.Anchors
    rim: clothes.NeckRim
    mesh: WearMesh


_geometries: list[tuple[Tensor, WearGeometry]] = []


def wear_geometry(model: LinearFaceModel) -> WearGeometry:
    """The geometry for ``model``, made once and kept for the last few models."""
    for known, geometry in _geometries:
        if known is model.template:
            return geometry
    on_cpu = model.to("cpu")
    geometry = WearGeometry(
        make_head_chart(on_cpu), glasses.make_anchors(on_cpu), clothes.make_neck_rim(on_cpu), _make_mesh()
    )
    if model.device.type != "cpu":
        geometry = _moved(geometry, model.device)
    _geometries[:] = [*_geometries[-3:], (model.template, geometry)]
    return geometry


def _moved(geometry: WearGeometry, device: torch.device) -> WearGeometry:
    def move(thing: Any) -> Any:
        return type(thing)(**{name: getattr(thing, name).to(device) for name in thing.__dataclass_fields__})

    return WearGeometry(move(geometry.chart), move(geometry.anchors), move(geometry.rim), geometry.mesh.to(device))


def _make_mesh() -> WearMesh:
    body, cloth, collar = clothes.clothes_faces()
    crown, brim = hats.hat_faces()
    blocks = [
        (Part.SKIN, body, clothes.BODY_ROWS * clothes.COLUMNS),
        (Part.CLOTHES, cloth, clothes.CLOTHES_ROWS * clothes.COLUMNS),
        (Part.COLLAR, collar, clothes.COLLAR_ROWS * clothes.COLUMNS),
        (Part.HAIR, hair.hair_faces(), hair.ROWS * hair.COLUMNS),
        (Part.TAIL, hair.tail_faces(), hair.TAIL_ROWS * hair.TAIL_COLUMNS),
        (Part.HAT, crown, hats.ROWS * hats.COLUMNS),
        (Part.BRIM, brim, hats.BRIM_ROWS * hats.COLUMNS),
        (Part.RIMS, glasses.rim_faces(), None),
        (Part.LENSES, glasses.lens_faces(), None),
    ]
    faces, part, vertex_part, first = [], [], [], 0
    for kind, block, count in blocks:
        size = int(block.max()) + 1 if count is None else count
        faces.append(block + first)
        part.append(torch.full((len(block),), int(kind)))
        vertex_part.append(torch.full((size,), int(kind)))
        first += size
    all_parts = torch.cat(part)
    soft = torch.isin(all_parts, torch.tensor([int(kind) for kind in SOFT]))
    all_faces = torch.cat(faces)
    solid_faces = torch.where(soft[:, None], all_faces[:, :1], all_faces)
    return WearMesh(all_faces, all_parts, torch.cat(vertex_part), soft, solid_faces)


def place_wear(model: LinearFaceModel, rngs: list[np.random.Generator], neutral: Tensor, verts: Tensor) -> Wear:
    """Draws and places the wear of B people.

    Args:
        rngs: one generator for each; the same generator gives the same wear whatever the batch.
        neutral: heads without expression, (B, V, 3) mm, model frame.
        verts: the same heads with expression, (B, V, 3).
    """
    geometry = wear_geometry(model)
    device = neutral.device
    tile = noise_tile(device)
    hair_rows, hat_rows, glasses_rows, clothes_rows, look_rows = [], [], [], [], []
    for rng in rngs:
        hair_rows.append(hair.draw_one(rng))
        kind = hats.HATS[1 + rng.choice(4, p=[0.42, 0.28, 0.18, 0.12])] if rng.random() < HAT_SHARE else "none"
        hat_rows.append(hats.draw_one(rng, kind))
        worn = rng.random() < GLASSES_SHARE
        dark = rng.random() < DARK_SHARE
        glasses_rows.append(glasses.draw_one(rng, worn, dark))
        clothes_rows.append(clothes.draw_one(rng))
        look_rows.append(looks.draw_one(rng, hair_rows[-1], dark))
    hair_draws, hat_draws = hair.stack(hair_rows, device), hats.stack(hat_rows, device)
    glasses_draws, clothes_draws = glasses.stack(glasses_rows, device), clothes.stack(clothes_rows, device)
    look = torch.as_tensor(np.stack([row[0] for row in look_rows]), dtype=torch.float32, device=device)
    part_color = torch.as_tensor(np.stack([row[1] for row in look_rows]), dtype=torch.float32, device=device)

    surface = geometry.chart.surface(neutral)
    under_hat = hats.hat_edge(hat_draws)
    placed = clothes.place_clothes(clothes_draws, verts, geometry.rim, cloth_folds(tile, clothes_draws.seed))
    hair_verts, hair_at = hair.place_hair(hair_draws, surface, geometry.chart, tile, under_hat)
    tail_verts, tail_at = hair.place_tail(hair_draws, surface, geometry.chart, tile)
    hanging = hair.hanging_surface(surface, geometry.chart, torch.zeros_like(hair_draws.slope))
    crown, crown_at, brim, brim_at = hats.place_hat(hat_draws, hanging, geometry.chart)
    frames, lenses, lens_at = glasses.place_glasses(glasses_draws, neutral, geometry.anchors)
    blocks = [
        *placed["skin"], *placed["clothes"], *placed["collar"], hair_verts, hair_at, tail_verts, tail_at,
        crown, crown_at, brim, brim_at, frames, torch.zeros_like(frames), lenses, lens_at,
    ]  # fmt: skip
    vertex_part = geometry.mesh.vertex_part
    batch = len(neutral)
    worn_parts = torch.ones(batch, len(Part), dtype=torch.bool, device=device)
    worn_parts[:, Part.HAIR] = hair_draws.style > 0
    worn_parts[:, Part.TAIL] = hair_draws.tail[:, 6] > 0
    worn_parts[:, Part.HAT] = hat_draws.kind > 0
    worn_parts[:, Part.BRIM] = (hat_draws.kind > 0) & (hat_draws.brim > 0)
    worn_parts[:, Part.RIMS] = glasses_draws.shape > 0
    worn_parts[:, Part.LENSES] = glasses_draws.shape > 0
    worn_parts[:, Part.COLLAR] = clothes_draws.collar > 0
    worn_parts[:, [Part.SCARF, Part.STRANDS, Part.BEARD, Part.HOOD]] = False
    worn_parts[:, [Part.HEADBAND, Part.HEADPHONES, Part.EARRINGS]] = False
    there = worn_parts[:, vertex_part]
    inside = neutral.mean(dim=1, keepdim=True) * 0 + neutral.new_tensor(_ABSENT)
    return Wear(
        verts=torch.where(there[..., None], torch.cat(blocks[0::2], dim=1), inside),
        color=part_color[:, vertex_part],
        coordinates=torch.cat(blocks[1::2], dim=1),
        look=look,
        worn=worn_parts,
        style=hair_draws.style,
    )


def cloth_folds(tile: Tensor, seed: Tensor) -> Tensor:
    """Folds of cloth at the clothes' vertices, unit variance, (B, CLOTHES_ROWS, COLUMNS)."""
    row = torch.arange(clothes.CLOTHES_ROWS).to(seed)[None, :, None] / 30
    column = torch.arange(clothes.COLUMNS).to(seed)[None, None] / clothes.COLUMNS
    return look_up(tile, column + seed[:, :1, None] + 0 * row, row + seed[:, 1:, None] + 0 * column)[..., CLOUD]


def wear_mesh(assets: Mapping[str, Tensor]) -> WearMesh:
    """The topology of all possible garments, on the device of ``assets``."""
    return wear_geometry(_model(assets)).mesh


def draw_wear(assets: Mapping[str, Tensor], rngs: list[np.random.Generator], people: Any) -> Wear:
    """The wear of ``people`` (fields ``neutral`` and ``verts``, (B, V, 3) mm); see `place_wear`."""
    return place_wear(_model(assets), rngs, people.neutral, people.verts)


def _model(assets: Mapping[str, Tensor]) -> LinearFaceModel:
    from pyface3d.data.synthetic.people import model_of

    return model_of(assets)
