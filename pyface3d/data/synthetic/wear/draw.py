"""Draws what people wear and lays it on their heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyface3d.data.synthetic.wear import beard, clothes, drapes, glasses, hair, hats, looks, strands
from pyface3d.data.synthetic.wear.chart import HeadChart, make_head_chart
from pyface3d.data.synthetic.wear.detail import noise_tile
from pyface3d.data.synthetic.wear.noise import CLOUD, look_up
from pyface3d.data.synthetic.wear.parts import SOFT, Part, Wear, WearMesh, stacked
from pyface3d.face_models.linear import LinearFaceModel

GLASSES_SHARE = 0.25
DARK_SHARE = 0.3  # of the glasses
BEARD_SHARE = 0.12
_HEADGEAR = ("none", "cap", "beanie", "wide", "helmet", "headscarf", "hood", "balaclava", "band", "phones")
_HEADGEAR_SHARES = (0.81, 0.045, 0.03, 0.02, 0.01, 0.035, 0.015, 0.005, 0.015, 0.015)
_SCARF_SHARE = 0.07
_SUIT_SHARE = 0.14
_ABSENT = (0.0, 10.0, -75.0)  # inside the skull


@dataclass(frozen=True, eq=False)
class WearGeometry:
    """What is made once of a head model: its chart, anchors, rims, and the wear's mesh."""

    chart: HeadChart
    anchors: glasses.Anchors
    rim: clothes.NeckRim
    patch: beard.BeardPatch
    drapes: drapes.DrapeAnchors
    mesh: WearMesh


@dataclass(frozen=True, eq=False)
class WearDraws:
    """What is drawn for B people, garment by garment, and their `Wear.look` and colours by part (B, parts, 3)."""

    hair: hair.HairDraws
    hat: hats.HatDraws
    drape: drapes.DrapeDraws
    glasses: glasses.GlassesDraws
    clothes: clothes.ClothesDraws
    beard: beard.BeardDraws
    strands: strands.StrandDraws
    look: Tensor
    color: Tensor


_geometries: list[tuple[Tensor, WearGeometry]] = []


def wear_geometry(model: LinearFaceModel) -> WearGeometry:
    """The geometry for ``model``, made once and kept for the last few models."""
    for known, geometry in _geometries:
        if known is model.template:
            return geometry
    on_cpu = model.to("cpu")
    patch = beard.make_beard_patch(on_cpu)
    geometry = WearGeometry(
        make_head_chart(on_cpu),
        glasses.make_anchors(on_cpu),
        clothes.make_neck_rim(on_cpu),
        patch,
        drapes.make_drape_anchors(on_cpu),
        _make_mesh(patch),
    )
    if model.device.type != "cpu":
        geometry = WearGeometry(**{name: _moved(value, model.device) for name, value in vars(geometry).items()})
    _geometries[:] = [*_geometries[-3:], (model.template, geometry)]
    return geometry


def _moved(thing: Any, device: torch.device) -> Any:
    """A dataclass of tensors on another device."""
    return type(thing)(**{name: value.to(device) for name, value in vars(thing).items()})


def _make_mesh(patch: beard.BeardPatch) -> WearMesh:
    body, cloth, collar = clothes.clothes_faces()
    crown, brim = hats.hat_faces()
    # In the order of `_place`.
    blocks = [
        (Part.SKIN, body),
        (Part.CLOTHES, cloth),
        (Part.COLLAR, collar),
        (Part.SCARF, drapes.scarf_faces()),
        (Part.HAIR, hair.hair_faces()),
        (Part.TAIL, hair.tail_faces()),
        (Part.STRANDS, strands.strand_faces()),
        (Part.BEARD, patch.faces),
        (Part.HAT, crown),
        (Part.BRIM, brim),
        (Part.HOOD, drapes.hood_faces()),
        (Part.HEADBAND, drapes.band_faces()),
        (Part.HEADPHONES, drapes.phone_faces()),
        (Part.RIMS, glasses.rim_faces()),
        (Part.LENSES, glasses.lens_faces()),
        (Part.EARRINGS, drapes.lobe_faces()),
    ]
    faces, part, vertex_part, first = [], [], [], 0
    for kind, block in blocks:
        size = int(block.max()) + 1
        faces.append(block + first)
        part.append(torch.full((len(block),), int(kind)))
        vertex_part.append(torch.full((size,), int(kind)))
        first += size
    all_parts, all_faces = torch.cat(part), torch.cat(faces)
    soft = torch.isin(all_parts, torch.tensor([int(kind) for kind in SOFT]))
    solid_faces = torch.where(soft[:, None], all_faces[:, :1], all_faces)
    return WearMesh(all_faces, all_parts, torch.cat(vertex_part), soft, solid_faces)


def draw_choices(rngs: list[np.random.Generator], device: torch.device) -> WearDraws:
    """What B people wear, from one generator each."""
    rows: dict[str, list[Any]] = {name: [] for name in WearDraws.__dataclass_fields__}
    for rng in rngs:
        gear = _HEADGEAR[rng.choice(len(_HEADGEAR), p=_HEADGEAR_SHARES)]
        covered = gear in drapes.HOODS[1:]
        own = hair.draw_one(rng, "short" if covered and rng.random() < 0.8 else "bald" if covered else None)
        rows["hair"].append(own)
        rows["hat"].append(hats.draw_one(rng, gear if gear in hats.HATS else "none"))
        scarf = rng.random() < _SCARF_SHARE
        rows["drape"].append(drapes.draw_one(rng, gear if covered else "none", scarf, gear))
        worn, dark = rng.random() < GLASSES_SHARE, rng.random() < DARK_SHARE
        rows["glasses"].append(glasses.draw_one(rng, worn, dark))
        suit = rng.random() < _SUIT_SHARE
        rows["clothes"].append(clothes.draw_one(rng, suit))
        style = hair.HAIR_STYLES[own["style"]]
        long_haired = style in ("long", "bob", "tied", "curtain", "fringe")
        beards = 0.1 if gear == "headscarf" else 0.4 if long_haired else 1.6
        rows["beard"].append(beard.draw_one(rng, BEARD_SHARE * beards))
        loose = style not in ("bald", "receding", "crown_bald") and not covered
        rows["strands"].append(strands.draw_one(rng, loose))
        look, color = looks.draw_one(rng, own, dark, suit)
        rows["look"].append(look)
        rows["color"].append(color)

    def tensor(values: list[np.ndarray]) -> Tensor:
        return torch.as_tensor(np.stack(values), dtype=torch.float32, device=device)

    return WearDraws(
        hair=stacked(hair.HairDraws, rows["hair"], device),
        hat=stacked(hats.HatDraws, rows["hat"], device),
        drape=stacked(drapes.DrapeDraws, rows["drape"], device),
        glasses=stacked(glasses.GlassesDraws, rows["glasses"], device),
        clothes=stacked(clothes.ClothesDraws, rows["clothes"], device),
        beard=stacked(beard.BeardDraws, rows["beard"], device),
        strands=stacked(strands.StrandDraws, rows["strands"], device),
        look=tensor(rows["look"]),
        color=tensor(rows["color"]),
    )


def _worn(draws: WearDraws) -> Tensor:
    """(B, parts) bool."""
    hat, drape, spectacles = draws.hat.kind > 0, draws.drape, draws.glasses.shape > 0
    by_part = {
        Part.SKIN: torch.ones_like(hat),
        Part.CLOTHES: torch.ones_like(hat),
        Part.COLLAR: draws.clothes.collar > 0,
        Part.SCARF: drape.scarf > 0,
        Part.HAIR: draws.hair.style > 0,
        Part.TAIL: (draws.hair.tail[:, 6] > 0) & (drape.hood == 0),
        Part.STRANDS: draws.strands.worn > 0,
        Part.BEARD: draws.beard.kind > 0,
        Part.HAT: hat,
        Part.BRIM: hat & (draws.hat.brim > 0),
        Part.HOOD: drape.hood > 0,
        Part.HEADBAND: drape.band > 0,
        Part.HEADPHONES: drape.phones > 0,
        Part.RIMS: spectacles,
        Part.LENSES: spectacles,
        Part.EARRINGS: (drape.lobes > 0) & (drape.hood == 0),
    }
    return torch.stack([by_part[part] for part in Part], dim=1)


def place_wear(model: LinearFaceModel, rngs: list[np.random.Generator], neutral: Tensor, verts: Tensor) -> Wear:
    """Draws and places the wear of B people.

    Args:
        rngs: one generator for each; the same generator gives the same wear whatever the batch.
        neutral: heads without expression, (B, V, 3) mm, model frame.
        verts: the same heads with expression, (B, V, 3).
    """
    geometry = wear_geometry(model)
    draws = draw_choices(rngs, neutral.device)
    blocks = _place(draws, geometry, neutral, verts)
    worn, vertex_part = _worn(draws), geometry.mesh.vertex_part
    inside = neutral.new_tensor(_ABSENT)
    return Wear(
        verts=torch.where(worn[:, vertex_part, None], torch.cat([block[0] for block in blocks], dim=1), inside),
        color=draws.color[:, vertex_part],
        coordinates=torch.cat([block[1] for block in blocks], dim=1),
        look=draws.look,
        worn=worn,
        style=draws.hair.style,
    )


def _place(draws: WearDraws, geometry: WearGeometry, neutral: Tensor, verts: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Vertices and coordinates of every garment, worn or not, in the order of the mesh."""
    chart, tile = geometry.chart, noise_tile(neutral.device)
    surface = chart.surface(neutral)
    moving = chart.surface(verts)  # what jaw and cheeks push: scarves and headscarves
    still = torch.zeros_like(draws.drape.scarf)
    hanging = hair.hanging_surface(surface, chart, still)
    drape = draws.drape
    under_hat = torch.where((drape.hood > 0)[:, None], 9.0, hats.hat_edge(draws.hat))
    over_hair = torch.where(draws.hair.style > 0, draws.hair.thickness, still)
    below = clothes.place_clothes(draws.clothes, verts, geometry.rim, cloth_folds(tile, draws.clothes.seed))
    crown, brim = hats.place_hat(draws.hat, hanging, chart)
    frames, lenses = glasses.place_glasses(draws.glasses, neutral, geometry.anchors)
    return [
        *below,
        drapes.place_scarf(drape, hair.hanging_surface(moving, chart, still + 0.5), chart, tile),
        hair.place_hair(draws.hair, surface, chart, tile, under_hat),
        hair.place_tail(draws.hair, surface, chart, tile),
        strands.place_strands(draws.strands, hanging, chart, over_hair),
        beard.place_beard(draws.beard, verts, geometry.patch, tile),
        crown,
        brim,
        drapes.place_hood(drape, hair.hanging_surface(moving, chart, drape.hood_slope), chart, tile),
        drapes.place_band(drape, hanging, chart, over_hair.clamp(max=14.0)),
        drapes.place_phones(drape, neutral, hanging, chart, over_hair, geometry.drapes),
        frames,
        lenses,
        drapes.place_lobes(drape, verts, geometry.drapes),
    ]


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
