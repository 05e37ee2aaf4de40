"""What a garment looks like at a point: strands, weave, pattern, glass, ragged edges; evaluated per pixel."""

from __future__ import annotations

from enum import IntEnum

import torch
from torch import Tensor

from pyface3d.data.synthetic.wear.noise import CLOUD, COARSE, FINE, GRAIN, look_up, make_noise_tile
from pyface3d.data.synthetic.wear.parts import Look, Material, Part, Wear

_tiles: dict[torch.device, Tensor] = {}


class Pattern(IntEnum):
    """Of fabrics."""

    PLAIN = 0
    STRIPES_ACROSS = 1
    STRIPES_ALONG = 2
    CHECK = 3
    DOTS = 4
    PRINT = 5
    SUIT = 6


def noise_tile(device: torch.device) -> Tensor:
    if device not in _tiles:
        _tiles[device] = make_noise_tile(device)
    return _tiles[device]


def detail(
    wear: Wear, part: Tensor, coordinates: Tensor, sample: Tensor, color: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Albedo, opacity and gloss of the wear at N points.

    Args:
        part: `Part`, (N,) int64: ``mesh.part`` at the pixel's face.
        coordinates: ``wear.coordinates`` interpolated there, (N, 3).
        sample: which of the B samples each point belongs to, (N,) int64.
        color: ``wear.color`` interpolated there, (N, 3).

    Returns:
        albedo (N, 3) linear RGB (of `Part.SKIN`: a factor on the head's albedo at chart ``coordinates[:, :2]``);
        opacity (N,) in [0, 1] (below 0.5 the point hides nothing); gloss (N, 2): strength of the shine (1: a plain
        dielectric, metals up to 20) and roughness in (0, 1].
    """
    look = _Looks(wear.look.flatten(0, 1), sample * wear.look.shape[1] + part)
    material = look[Look.MATERIAL].round().long()
    albedo, opacity = color.clone(), torch.ones_like(color[:, 0])
    gloss = torch.stack([look[Look.SPECULAR], look[Look.ROUGHNESS]], dim=1)
    tile = noise_tile(color.device)
    for kind, paint in ((Material.HAIR, _hair), (Material.FABRIC, _fabric), (Material.GLASS, _glass)):
        at = torch.nonzero(material == kind).flatten()
        if len(at):
            albedo[at], opacity[at] = paint(tile, look.at(at), coordinates[at], color[at])
    return albedo, opacity, gloss


class _Looks:
    """Channels of `Wear.look` at points, each looked up when it is asked for."""

    def __init__(self, table: Tensor, row: Tensor) -> None:
        self._table, self._row = table, row

    def __getitem__(self, channel: Look) -> Tensor:
        return self._table[:, channel].contiguous()[self._row]

    def colors(self, first: Look) -> Tensor:
        """Three channels from ``first`` on, (N, 3)."""
        return self._table[:, first : first + 3].contiguous()[self._row]

    def at(self, index: Tensor) -> _Looks:
        return _Looks(self._table, self._row[index])


def _hair(tile: Tensor, look: _Looks, at: Tensor, color: Tensor) -> tuple[Tensor, Tensor]:
    u, v, coverage = at.unbind(dim=1)
    scale = look[Look.SCALE]
    seed_u, seed_v = look[Look.SEED_U], look[Look.SEED_V]
    wander = look_up(tile, u * 0.0016 + seed_v, v * 0.0012 + seed_u)[:, CLOUD]
    across = (u + look[Look.SHEAR] * v + look[Look.WAVE] * wander) * scale + seed_u
    noise = look_up(tile, across, v * scale * 0.35 + seed_v)
    wide = look_up(tile, across * 0.37, v * scale * 0.25 + seed_u)
    curls = look_up(tile, across * 1.4, v * scale * 1.4 + seed_v)
    fine = torch.lerp(noise[:, FINE], curls[:, GRAIN], look[Look.CURL])
    clumps = torch.lerp(0.6 * noise[:, COARSE] + 0.8 * wide[:, COARSE], 1.2 * curls[:, CLOUD], look[Look.CURL])
    light = (look[Look.CONTRAST] * (0.6 * fine + 0.7 * clumps)).exp()
    # Bands where strands turn towards the light, broken up by the clumps.
    band = torch.exp(-(((v - 58 + 14 * wander) / 17) ** 2)) + 0.6 * torch.exp(-(((v - 150 + 20 * wander) / 26) ** 2))
    shine = 0.22 * look[Look.SPECULAR] * band * (0.7 + 0.5 * clumps).clamp_min(0)
    second = look.colors(Look.RED)
    mixed = torch.lerp(color, second, torch.sigmoid(2 * wide[:, CLOUD] + 2 * clumps - 2)[:, None])
    albedo = mixed * (light + 1.5 * shine)[:, None] + 0.02 * shine[:, None]
    # Long hair behind the neck is seen from within, where little light comes.
    within = torch.sigmoid((u.abs() - 170) / 9) * torch.sigmoid((v - 165) / 9)
    albedo = albedo * (1 - 0.6 * within)[:, None]
    edge = coverage + look[Look.EDGE] * (0.35 * fine + 0.9 * clumps)
    there = 0.5 + edge / (2 * look[Look.FADE].clamp_min(0.3))
    thin = (look[Look.DENSITY] - 0.5) * 5 + fine + 0.7 * clumps * (1 - look[Look.CURL])
    return albedo.clamp(0, 1), torch.minimum(there, thin + 0.5).clamp(0, 1)


def _fabric(tile: Tensor, look: _Looks, at: Tensor, color: Tensor) -> tuple[Tensor, Tensor]:
    u, v, _ = at.unbind(dim=1)
    noise = look_up(tile, u * look[Look.SCALE] + look[Look.SEED_U], v * look[Look.SCALE] + look[Look.SEED_V])
    size = look[Look.SIZE].clamp_min(1.0)
    second = look.colors(Look.RED)
    pattern = look[Look.PATTERN].round().long()
    across, along = _stripe(v / size), _stripe(u / size)
    du, dv = u / size - (u / size).floor() - 0.5, v / size - (v / size).floor() - 0.5
    dots = (du.square() + dv.square() < 0.06).float()
    amount = torch.zeros_like(u)
    for kind, value in (
        (Pattern.STRIPES_ACROSS, across),
        (Pattern.STRIPES_ALONG, along),
        (Pattern.CHECK, 0.5 * (across + along)),
        (Pattern.DOTS, dots),
    ):
        amount = torch.where(pattern == kind, value, amount)
    printed = torch.nonzero(pattern == Pattern.PRINT).flatten()
    if len(printed):
        blots = look_up(tile, (u / (10 * size))[printed], (v / (10 * size))[printed])[:, CLOUD]
        amount[printed] = torch.sigmoid(10 * (blots - 0.3))
    albedo = torch.lerp(color, second, amount[:, None])
    suit = pattern == Pattern.SUIT
    if bool(suit.any()):
        albedo = torch.where(suit[:, None], _suit(u, v, color, second, look), albedo)
    weave = (look[Look.CONTRAST] * (0.7 * noise[:, GRAIN] + 0.5 * noise[:, CLOUD])).exp()
    return (albedo * weave[:, None]).clamp(0, 1), torch.ones_like(u)


def _suit(u: Tensor, v: Tensor, jacket: Tensor, shirt: Tensor, look: _Looks) -> Tensor:
    """Jacket, shirt and tie over the chest: u to the side and v upwards in mm, in the body's frame."""
    down = (-150 - v).clamp_min(0)
    opening = 62 - 0.28 * down
    albedo = torch.where((u.abs() < opening)[:, None], shirt, jacket)
    lapel = (u.abs() > opening) & (u.abs() < opening + 30 - 0.05 * down) & (down < 200)
    edge = (u.abs() - opening - 30 + 0.05 * down).abs() < 1.5
    albedo = torch.where(lapel[:, None], jacket * 1.15, albedo) * torch.where(edge & (down < 200), 0.55, 1.0)[:, None]
    tie = (u.abs() < 10 + 0.05 * down) & (look[Look.OPACITY] > 0.5)
    return torch.where(tie[:, None], look.colors(Look.RED3), albedo)


def _stripe(x: Tensor) -> Tensor:
    """A soft square wave of period 1 in [0, 1]."""
    return torch.sigmoid(12 * (2 * torch.pi * x).sin())


def _glass(tile: Tensor, look: _Looks, at: Tensor, color: Tensor) -> tuple[Tensor, Tensor]:
    x, y, _ = at.unbind(dim=1)
    opacity = look[Look.OPACITY] * (1 - look[Look.SIZE] * (0.5 - 0.5 * y)).clamp(0, 1)
    # A reflected window: a soft slanted patch and a streak, in the second colour.
    noise = look_up(tile, x * 0.06 + look[Look.SEED_U], y * 0.06 + look[Look.SEED_V])
    slant = x * 0.8 + y * 0.6 - (look[Look.SEED_U] * 2 - 1)
    patch = torch.sigmoid(14 * (0.28 - slant.abs())) + torch.sigmoid(6 * (noise[:, CLOUD] - 1.2))
    glare = (patch * look[Look.CONTRAST]).clamp(0, 1)
    total = 1 - (1 - opacity) * (1 - glare)
    second = look.colors(Look.RED)
    share = (glare / total.clamp_min(1e-6))[:, None].clamp(0, 1)
    return torch.lerp(_mirrored(tile, look, at, color), second, share), total


def _mirrored(tile: Tensor, look: _Looks, at: Tensor, color: Tensor) -> Tensor:
    """Sky in the second colour, ground in the third, and a ragged skyline between, bent by the lens."""
    mirror = look[Look.WAVE]
    if not bool((mirror > 0).any()):
        return color
    x, y, _ = at.unbind(dim=1)
    noise = look_up(tile, x * 0.12 + look[Look.SEED_V], look[Look.SEED_U] + 0.02 * y)
    clouds = look_up(tile, x * 0.1 + look[Look.SEED_U], y * 0.2 + look[Look.SEED_V])[:, CLOUD]
    height = y - 0.6 * (look[Look.SEED_V] - 0.5) + 0.12 * x.square() - 0.18 * noise[:, CLOUD]
    sky = look.colors(Look.RED) * (1 + 0.25 * clouds + 0.3 * y)[:, None].clamp_min(0.2)
    ground = look.colors(Look.RED3) * (1 + 0.35 * clouds)[:, None].clamp_min(0.2)
    shown = torch.lerp(ground, sky, torch.sigmoid(18 * height)[:, None])
    return torch.lerp(color, shown, mirror[:, None]).clamp(0, 1)


__all__ = ["Part", "Pattern", "detail", "noise_tile"]
