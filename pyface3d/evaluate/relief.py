"""Relief of heads whose albedo knows nothing of it, in light that tells nothing either, or as photos have it.

Published relief networks mostly say that what is dark is deep. Here that is false by construction: albedo and relief
are drawn from independent numbers, and in even light only creases, which see less of the sky, are darker for being
deep.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pyface3d.data.synthetic import people, views
from pyface3d.data.synthetic.engine import PART_NAMES, SyntheticFaces
from pyface3d.data.synthetic.lights import MEDIUM_TONE, METERED, METERING, NUM_LAMPS, Lights, draw_lights
from pyface3d.data.synthetic.rendering import RELIEF_GAP_MM, render_faces
from pyface3d.data.synthetic.skins import draw_skins
from pyface3d.data.synthetic.wear import draw_wear
from pyface3d.errors import InputError
from pyface3d.evaluate.relief_errors import SMOOTHING_MM, high_pass, luminance, relief_figures
from pyface3d.evaluate.tables import Cell, Table
from pyface3d.fit.shading_relief import skin_weight
from pyface3d.fit.shape_from_shading import ShadedSurface, relief_from_shading
from pyface3d.geometry import Camera
from pyface3d.io.color import linear_to_srgb, srgb_to_linear
from pyface3d.io.weights import load_weights, read_weights
from pyface3d.networks.relief import SIZE, relief_network
from pyface3d.ops import bump_normals

METHODS = ("ours", "sfs", "flat", "luminance")
"""Our network; shape from shading on the true smooth surface; no relief at all; the classic shortcut, what is brighter
is higher."""
LIGHTS = ("even", "drawn")
"""The same from everywhere, or surroundings and lamps as in the training photos."""
_SKIN = ("skin", "ears", "brows", "lips", "nose")
_CHUNK = 8
_FINER = 2  # rendered at so many times the resolution and averaged
_BACKGROUND = 0.18  # linear grey
_WHO, _SKINS, _WEAR, _LIGHTS = 1, 2, 3, 5  # streams of random numbers
_BARE = ("skin", "nose")


@dataclass(frozen=True, eq=False)
class LitHeads:
    """B heads in some light; maps (B, S, S).

    Attributes:
        image: sRGB in [0, 1], (B, 3, S, S).
        relief: mm along the normal.
        skin: where it is seen, bool; ``bare``: where without brows, lips and ears.
        positions, smooth_normals: (B, S, S, 3) camera frame, mm; the surface without relief.
        pitch_mm: of a pixel on the faces, median.
    """

    image: Tensor
    relief: Tensor
    skin: Tensor
    bare: Tensor
    positions: Tensor
    smooth_normals: Tensor
    pitch_mm: float

    @classmethod
    def joined(cls, parts: Sequence[LitHeads]) -> LitHeads:
        names = ("image", "relief", "skin", "bare", "positions", "smooth_normals")
        maps = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
        return cls(**maps, pitch_mm=float(np.median([part.pitch_mm for part in parts])))

    def normals(self, relief: Tensor) -> Tensor:
        """Normals of the surface with a relief (B, S, S) on it, (B, S, S, 3)."""
        return bump_normals(self.positions, self.smooth_normals, relief, self.skin, max_gap_mm=RELIEF_GAP_MM)


def even_light(tone: Tensor) -> Lights:
    """The same light from everywhere, no lamps, exposed for skins of a mean albedo ``tone`` (B, 3)."""
    count = len(tone)
    harmonics = tone.new_zeros(count, 9, 3)
    harmonics[:, 0] = math.sqrt(4 * math.pi)  # a white ball shows 1
    ahead = tone.new_tensor([0.0, 0.0, -1.0]).expand(count, NUM_LAMPS, 3)
    metered = (MEDIUM_TONE / luminance(tone[:, :, None, None])[:, 0, 0]) ** METERING
    nothing = tone.new_zeros(count, NUM_LAMPS)
    return Lights(harmonics, ahead, tone.new_zeros(count, NUM_LAMPS, 3), nothing, METERED * metered)


def lit_heads(
    faces: SyntheticFaces, numbers: Sequence[int], seed: int, size: int = SIZE, light: str = "even"
) -> LitHeads:
    """Heads of a seed, each the same whatever others are asked for.

    Args:
        faces: whose assets and scene are used; its own seed and size do not matter.
        numbers: which heads.
        size: S, px.
        light: of `LIGHTS`; the heads are the same in each.
    """
    rngs = {stage: [np.random.default_rng([seed, number, stage]) for number in numbers] for stage in range(5)}
    folk = people.draw_people(faces.assets, rngs[people.STAGE])
    seen = views.draw_views(rngs[views.STAGE], folk, size, views.RELIEF)
    skins = draw_skins(faces.assets, rngs[_SKINS], folk)
    wear = draw_wear(faces.assets, rngs[_WEAR], folk, skins.hair)
    factor, pixels = _FINER * size / seen.camera.width, _FINER * size
    camera = Camera(seen.camera.focal * factor, seen.camera.center * factor, pixels, pixels)
    if light == "even":
        lights = even_light(skins.tone)
    else:
        streams = [np.random.default_rng([seed, number, _LIGHTS]) for number in numbers]
        lights = draw_lights(faces.assets, streams, tone=skins.tone)
    pictures = render_faces(folk, skins, wear, lights, replace(seen, camera=camera), faces.scene)
    parts = faces.parts_under(pictures)

    def shown(names: Sequence[str]) -> Tensor:
        """Pixels that show these parts and nothing else, (B, S, S)."""
        known = torch.isin(parts, torch.tensor([PART_NAMES.index(name) for name in names], dtype=torch.uint8))
        return _pooled(known.float()[..., None])[..., 0] > 0.999

    cover = pictures.cover[..., None]
    image = linear_to_srgb(_pooled(pictures.light * cover + _BACKGROUND * (1 - cover)).clamp(0, 1))
    positions, skin = _pooled(pictures.maps["positions"]), shown(_SKIN)
    steps = (positions[:, :, 1:] - positions[:, :, :-1]).norm(dim=-1)[skin[:, :, 1:] & skin[:, :, :-1]]
    return LitHeads(
        image=image.permute(0, 3, 1, 2),
        relief=_pooled(pictures.maps["relief"][..., None])[..., 0] * skin,
        skin=skin,
        bare=shown(_BARE),
        positions=positions,
        smooth_normals=functional.normalize(_pooled(pictures.maps["smooth_normals"]), dim=-1),
        pitch_mm=float(steps.median()) if len(steps) else 1.0,
    )


def evaluate_relief(
    count: int = 64,
    *,
    assets: Mapping[str, Tensor] | str | os.PathLike[str] | None = None,
    methods: Sequence[str] | None = None,
    weights: Sequence[Path] = (),
    light: str = "even",
    seed: int = 0,
    size: int = SIZE,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda items, total: items,
) -> Table:
    """Relief of seeded heads against their true one.

    Args:
        count: heads.
        assets: packed by scripts/pack_synthetic_assets.py; None uses the embedded head and procedural content.
        methods: of `METHODS`.
        weights: files of our network to measure, a row each; the shipped ones when empty.
        light: of `LIGHTS`.
        progress: wraps the loop over the heads.

    Raises:
        InputError, AssetError: an argument or a file cannot be used.
    """
    chosen = METHODS if methods is None else tuple(methods)
    if strange := [name for name in chosen if name not in METHODS]:
        raise InputError(f"methods must be of {', '.join(METHODS)}, got {', '.join(strange)}")
    if light not in LIGHTS:
        raise InputError(f"light must be of {', '.join(LIGHTS)}, got {light!r}")
    if count < 1:
        raise InputError(f"count must be at least 1, got {count}")
    networks: dict[str, Any] = {}
    if "ours" in chosen:
        files = {f"ours {path.stem}": read_weights(path) for path in weights}
        networks = {
            name: relief_network(tensors) for name, tensors in (files or {"ours": load_weights("relief")}).items()
        }
    faces = SyntheticFaces(assets, size, shots=1, company=False)
    starts = list(range(0, count, _CHUNK))
    heads = LitHeads.joined(
        [lit_heads(faces, range(k, min(k + _CHUNK, count)), seed, size, light) for k in progress(starts, len(starts))]
    )
    bright = luminance(heads.image)
    rows = []
    for name, network in networks.items():
        with torch.no_grad():
            found = torch.cat([network(part) for part in heads.image.split(_CHUNK)])
        rows.append(_row(name, found, heads, bright))
    if "sfs" in chosen:
        rows.append(_row("sfs", _from_shading(heads, progress), heads, bright))
    if "flat" in chosen:
        rows.append(_row("no relief", torch.zeros_like(bright), heads, bright))
    if "luminance" in chosen:
        rows.append(_row("dark is deep", _shortcut(heads, bright), heads, bright))
    rows.append(_row("truth", heads.relief, heads, bright))
    notes = [
        f"seed {seed}; over {int(heads.skin.sum())} pixels of seen skin; flat: less than 0.02 mm of true relief",
        f"correlations after taking away a Gaussian of {SMOOTHING_MM:.0f} mm; with luminance: mean of |r| a head",
    ]
    if "sfs" in chosen:
        notes.append("sfs: shape from shading on the true smooth surface, where skin is bare: a fitted head is worse")
    if "luminance" in chosen:
        notes.append(
            "dark is deep: log luminance so sharpened, times the factor that fits the truth best over all heads"
        )
    title = (
        f"Relief of {count} heads, {light} light, albedo drawn independently, {size} px ({heads.pitch_mm:.2f} mm each)"
    )
    return Table(title, rows, notes)


def _row(name: str, found: Tensor, heads: LitHeads, light: Tensor) -> Mapping[str, Cell]:
    figures = relief_figures(found, heads.relief, heads.skin, light, heads.pitch_mm)
    true, flat = heads.normals(heads.relief), heads.smooth_normals
    cosine = (heads.normals(found * heads.skin) * true).sum(-1).clamp(-1, 1)
    tilted = heads.skin & ((flat * true).sum(-1) < math.cos(math.radians(5)))
    angle = torch.rad2deg(torch.acos(cosine))
    return {
        "method": name,
        "flat rms mm": figures["flat_rms"],
        "error elsewhere mm": figures["deep_error"],
        "normals °": float((angle * heads.skin).sum() / heads.skin.sum().clamp_min(1)),
        "normals, wrinkled °": float((angle * tilted).sum() / tilted.sum().clamp_min(1)),
        "gain": figures["gain"],
        "r with truth": figures["likeness"],
        "|r| with luminance": figures["light"],
    }


def _from_shading(heads: LitHeads, progress: Callable[[Iterable[Any], int], Iterable[Any]]) -> Tensor:
    """What shading tells, (B, S, S): the product's weights of pixels, on the true surface instead of a fitted head."""
    linear = srgb_to_linear(heads.image.permute(0, 2, 3, 1))
    found = []
    for k in progress(range(len(linear)), len(linear)):
        maps = linear[k].numpy(), heads.positions[k].numpy(), heads.smooth_normals[k].numpy()
        weight = skin_weight(heads.bare[k].numpy(), maps[1], maps[2])
        found.append(torch.from_numpy(relief_from_shading(ShadedSurface(*maps, weight))))
    return torch.stack(found)


def _shortcut(heads: LitHeads, light: Tensor) -> Tensor:
    """Relief as the classic shortcut has it, scaled as well as it can be."""
    sigma = SMOOTHING_MM / heads.pitch_mm
    dark = high_pass(light.clamp_min(1e-3).log(), heads.skin, sigma)
    true = high_pass(heads.relief, heads.skin, sigma)
    # The sign is not fitted: a shortcut that knew it would be none.
    return dark * ((dark * true).sum().abs() / dark.square().sum().clamp_min(1e-9))


def _pooled(values: Tensor) -> Tensor:
    """(B, R, R, C) averaged down to the pictures' resolution."""
    return functional.avg_pool2d(values.permute(0, 3, 1, 2), _FINER).permute(0, 2, 3, 1)
