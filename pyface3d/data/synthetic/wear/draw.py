"""Draws what people wear and lays it on their heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyface3d.data.synthetic.hard_cases import Case
from pyface3d.data.synthetic.wear import beard, clothes, drapes, glasses, hair, hats, looks, strands
from pyface3d.data.synthetic.wear.chart import HeadChart, make_head_chart
from pyface3d.data.synthetic.wear.detail import noise_tile
from pyface3d.data.synthetic.wear.noise import CLOUD, look_up
from pyface3d.data.synthetic.wear.parts import SOFT, Part, Wear, WearMesh, stacked, subset
from pyface3d.face_models.linear import LinearFaceModel

GLASSES_SHARE = 0.25
DARK_SHARE = 0.3  # of the glasses
BEARD_SHARE = 0.12
_HEADGEAR = ("none", "cap", "beanie", "wide", "helmet", "headscarf", "hood", "balaclava", "band", "phones")
_HEADGEAR_SHARES = (0.81, 0.045, 0.03, 0.02, 0.01, 0.035, 0.015, 0.005, 0.015, 0.015)
_SCARF_SHARE = 0.07
_SUIT_SHARE = 0.14
_OTHER_COLOR_SHARE = 0.1  # of hair that is not the colour of the brows: dyed, faded, grey
_SHADE_HAT_SHARE = 0.65
_BALD_STYLES, _BALD_SHARES = ("bald", "crown_bald", "receding"), (0.7, 0.17, 0.13)
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
    sizes: tuple[int, ...]  # vertices of each part


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
    mesh = _make_mesh(patch)
    geometry = WearGeometry(
        make_head_chart(on_cpu),
        glasses.make_anchors(on_cpu),
        clothes.make_neck_rim(on_cpu),
        patch,
        drapes.make_drape_anchors(on_cpu),
        mesh,
        tuple(torch.bincount(mesh.vertex_part, minlength=len(Part)).tolist()),
    )
    if model.device.type != "cpu":
        geometry = WearGeometry(**{name: _moved(value, model.device) for name, value in vars(geometry).items()})
    _geometries[:] = [*_geometries[-3:], (model.template, geometry)]
    return geometry


def _moved(thing: Any, device: torch.device) -> Any:
    """A dataclass of tensors on another device; anything else as it is."""
    if not hasattr(thing, "__dataclass_fields__"):
        return thing
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


def draw_choices(
    rngs: list[np.random.Generator],
    device: torch.device,
    hairs: Tensor | None = None,
    cases: Sequence[Case] | None = None,
) -> WearDraws:
    """What B people wear, from one generator each; ``hairs`` (B, 3): linear RGB of their hair, else drawn too."""
    rows: dict[str, list[Any]] = {name: [] for name in WearDraws.__dataclass_fields__}
    colors = [None] * len(rngs) if hairs is None else list(hairs.double().cpu().numpy())
    for rng, color, case in zip(rngs, colors, cases or [Case.NONE] * len(rngs), strict=True):
        gear = _HEADGEAR[rng.choice(len(_HEADGEAR), p=_HEADGEAR_SHARES)]
        if case == Case.BALD:
            gear = "none"
        elif case == Case.SHADE and rng.random() < _SHADE_HAT_SHARE:
            gear = rng.choice(["wide", "cap"], p=[0.7, 0.3])
        covered = gear in drapes.HOODS[1:]
        style = rng.choice(_BALD_STYLES, p=_BALD_SHARES) if case == Case.BALD else None
        own = hair.draw_one(rng, "short" if covered and rng.random() < 0.8 else "bald" if covered else style)
        if color is not None and rng.random() > _OTHER_COLOR_SHARE:
            own["color"] = color
        rows["hair"].append(own)
        rows["hat"].append(hats.draw_one(rng, gear if gear in hats.HATS else "none"))
        scarf = rng.random() < _SCARF_SHARE
        rows["drape"].append(drapes.draw_one(rng, gear if covered else "none", scarf, gear))
        worn, dark = rng.random() < GLASSES_SHARE, rng.random() < DARK_SHARE
        worn = case == Case.DARK_LENSES or (worn and case != Case.OLD_EYES)
        dark = dark or case == Case.DARK_LENSES
        rows["glasses"].append(glasses.draw_one(rng, worn, dark))
        suit = rng.random() < _SUIT_SHARE
        rows["clothes"].append(clothes.draw_one(rng, suit))
        style = hair.HAIR_STYLES[own["style"]]
        long_haired = style in ("long", "bob", "tied", "curtain", "fringe")
        beards = 0.1 if gear == "headscarf" else 0.4 if long_haired else 1.6
        rows["beard"].append(beard.draw_one(rng, BEARD_SHARE * beards))
        loose = style not in ("bald", "receding", "crown_bald") and not covered
        rows["strands"].append(strands.draw_one(rng, loose))
        look, painted = looks.draw_one(rng, own, dark, suit)
        if case == Case.DARK_LENSES:
            painted[Part.LENSES] = looks.blind_lenses(rng, look[Part.LENSES])
        rows["look"].append(look)
        rows["color"].append(painted)

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


def place_wear(
    model: LinearFaceModel,
    rngs: list[np.random.Generator],
    neutral: Tensor,
    verts: Tensor,
    hairs: Tensor | None = None,
    cases: Sequence[Case] | None = None,
) -> Wear:
    """Draws and places the wear of B people.

    Args:
        rngs: one generator for each; the same generator gives the same wear whatever the batch.
        neutral: heads without expression, (B, V, 3) mm, model frame.
        verts: the same heads with expression, (B, V, 3).
        hairs: linear RGB of the hair that grows on their skins, (B, 3); most have the same on their heads.
        cases: what is to be hard about each; None: nothing.
    """
    geometry = wear_geometry(model)
    draws = draw_choices(rngs, neutral.device, hairs, cases)
    worn, vertex_part = _worn(draws), geometry.mesh.vertex_part
    blocks = _place(draws, worn, geometry, neutral, verts)
    inside = neutral.new_tensor(_ABSENT)
    return Wear(
        verts=torch.where(worn[:, vertex_part, None], torch.cat([block[0] for block in blocks], dim=1), inside),
        color=draws.color[:, vertex_part],
        coordinates=torch.cat([block[1] for block in blocks], dim=1),
        look=draws.look,
        worn=worn,
        style=draws.hair.style,
    )


def _place(
    draws: WearDraws, worn: Tensor, geometry: WearGeometry, neutral: Tensor, verts: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """Vertices and coordinates of every garment in the order of the mesh; zeros where it is not worn."""
    chart, tile = geometry.chart, noise_tile(neutral.device)
    surface = chart.surface(neutral)
    still = torch.zeros_like(draws.drape.scarf)
    hanging = hair.hanging_surface(surface, chart, still)
    under_hat = torch.where((draws.drape.hood > 0)[:, None], 9.0, hats.hat_edge(draws.hat))
    over_hair = torch.where(draws.hair.style > 0, draws.hair.thickness, still)
    sizes = geometry.sizes

    def some(parts: tuple[Part, ...], place: Callable[[Tensor], list[tuple[Tensor, Tensor]]]) -> list[Any]:
        """What ``place`` makes for the rows that wear the first of ``parts``."""
        rows = torch.nonzero(worn[:, parts[0]]).flatten()
        blocks = [tuple(neutral.new_zeros(len(neutral), sizes[part], 3) for _ in range(2)) for part in parts]
        if len(rows):
            for block, placed in zip(blocks, place(rows), strict=True):
                for all_rows, values in zip(block, placed, strict=True):
                    all_rows[rows] = values
        return blocks

    def hung(rows: Tensor, slope: Tensor) -> Tensor:
        """What cloth lies on that moves with jaw and cheeks."""
        return hair.hanging_surface(chart.surface(verts[rows]), chart, slope)

    def drape(rows: Tensor) -> drapes.DrapeDraws:
        return subset(draws.drape, rows)

    def scarf(rows: Tensor) -> list[tuple[Tensor, Tensor]]:
        return [drapes.place_scarf(drape(rows), hung(rows, still[rows] + 0.5), chart, tile)]

    def tail(rows: Tensor) -> list[tuple[Tensor, Tensor]]:
        return [hair.place_tail(subset(draws.hair, rows), surface[rows], chart, tile)]

    def loose(rows: Tensor) -> list[tuple[Tensor, Tensor]]:
        return [strands.place_strands(subset(draws.strands, rows), hanging[rows], chart, over_hair[rows])]

    def whiskers(rows: Tensor) -> list[tuple[Tensor, Tensor]]:
        return [beard.place_beard(subset(draws.beard, rows), verts[rows], geometry.patch, tile)]

    def hat(rows: Tensor) -> list[tuple[Tensor, Tensor]]:
        return hats.place_hat(subset(draws.hat, rows), hanging[rows], chart)

    def hood(rows: Tensor) -> list[tuple[Tensor, Tensor]]:
        return [drapes.place_hood(drape(rows), hung(rows, draws.drape.hood_slope[rows]), chart, tile)]

    def band(rows: Tensor) -> list[tuple[Tensor, Tensor]]:
        return [drapes.place_band(drape(rows), hanging[rows], chart, over_hair[rows].clamp(max=14.0))]

    def phones(rows: Tensor) -> list[tuple[Tensor, Tensor]]:
        ears = geometry.drapes
        return [drapes.place_phones(drape(rows), neutral[rows], hanging[rows], chart, over_hair[rows], ears)]

    def spectacles(rows: Tensor) -> list[tuple[Tensor, Tensor]]:
        return glasses.place_glasses(subset(draws.glasses, rows), neutral[rows], geometry.anchors)

    def lobes(rows: Tensor) -> list[tuple[Tensor, Tensor]]:
        return [drapes.place_lobes(drape(rows), verts[rows], geometry.drapes)]

    return [
        *clothes.place_clothes(draws.clothes, verts, geometry.rim, cloth_folds(tile, draws.clothes.seed)),
        *some((Part.SCARF,), scarf),
        hair.place_hair(draws.hair, surface, chart, tile, under_hat),
        *some((Part.TAIL,), tail),
        *some((Part.STRANDS,), loose),
        *some((Part.BEARD,), whiskers),
        *some((Part.HAT, Part.BRIM), hat),
        *some((Part.HOOD,), hood),
        *some((Part.HEADBAND,), band),
        *some((Part.HEADPHONES,), phones),
        *some((Part.RIMS, Part.LENSES), spectacles),
        *some((Part.EARRINGS,), lobes),
    ]


def cloth_folds(tile: Tensor, seed: Tensor) -> Tensor:
    """Folds of cloth at the clothes' vertices, unit variance, (B, CLOTHES_ROWS, COLUMNS)."""
    row = torch.arange(clothes.CLOTHES_ROWS).to(seed)[None, :, None] / 30
    column = torch.arange(clothes.COLUMNS).to(seed)[None, None] / clothes.COLUMNS
    return look_up(tile, column + seed[:, :1, None] + 0 * row, row + seed[:, 1:, None] + 0 * column)[..., CLOUD]


def wear_mesh(assets: Mapping[str, Tensor]) -> WearMesh:
    """The topology of all possible garments, on the device of ``assets``."""
    return wear_geometry(_model(assets)).mesh


def draw_wear(
    assets: Mapping[str, Tensor],
    rngs: list[np.random.Generator],
    people: Any,
    hairs: Tensor | None = None,
    cases: Sequence[Case] | None = None,
) -> Wear:
    """The wear of ``people`` (fields ``neutral`` and ``verts``, (B, V, 3) mm); see `place_wear`."""
    return place_wear(_model(assets), rngs, people.neutral, people.verts, hairs, cases)


def _model(assets: Mapping[str, Tensor]) -> LinearFaceModel:
    from pyface3d.data.synthetic.people import model_of

    return model_of(assets)
