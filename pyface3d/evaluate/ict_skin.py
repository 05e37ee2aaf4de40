"""A painted skin for ICT-FaceKit's neutral face: colour as a function of the place on it.

Not a model of skin: it has to make detectors and landmark predictors treat a render as they treat a photo. What
matters for them are edges in the right places (brows, lashes, irises, lips, nostrils, hairline).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# Linear RGB, light to dark; a person's tone lies between.
_LIGHT_SKIN, _DARK_SKIN = (0.62, 0.38, 0.28), (0.085, 0.045, 0.028)
_HAIR = ((0.012, 0.009, 0.008), (0.045, 0.022, 0.012), (0.12, 0.06, 0.03), (0.30, 0.19, 0.09), (0.28, 0.27, 0.26))
_IRIS = ((0.05, 0.022, 0.01), (0.10, 0.05, 0.02), (0.08, 0.10, 0.05), (0.10, 0.17, 0.26), (0.13, 0.15, 0.16))
_WAVES = 24


@dataclass(frozen=True, eq=False)
class Skin:
    """What differs from person to person; colours are linear RGB (3,).

    Attributes:
        tone: of the skin.
        hair, iris: colours.
        bald: no hair on the head.
        stubble: strength of the beard's shadow in [0, 1].
        lip_red: how far the lips turn red.
        brow_width: of the brows, mm.
        waves, phases, strengths: of the uneven colour: directions over wavelengths (K, 3) per mm, (K,), (K, 3).
    """

    tone: Tensor
    hair: Tensor
    iris: Tensor
    bald: bool
    stubble: float
    lip_red: float
    brow_width: float
    waves: Tensor
    phases: Tensor
    strengths: Tensor

    @staticmethod
    def draw(rng: np.random.Generator) -> Skin:
        """A person's skin."""
        dark = rng.beta(1.1, 1.6)
        tone = np.exp((1 - dark) * np.log(_LIGHT_SKIN) + dark * np.log(_DARK_SKIN)) * rng.uniform(0.92, 1.08, 3)
        hair = np.array(_HAIR[rng.integers(2) if dark > 0.5 else rng.integers(len(_HAIR))])
        iris = np.array(_IRIS[rng.integers(2) if dark > 0.5 else rng.integers(len(_IRIS))])
        directions = rng.normal(size=(_WAVES, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        length = np.geomspace(2.5, 60, _WAVES)  # mm
        strengths = 0.012 * (length[:, None] / 20) ** 0.3 * (1 + 0.3 * rng.normal(size=(_WAVES, 3)))
        return Skin(
            tone=torch.from_numpy(tone).float(),
            hair=torch.from_numpy(hair * rng.uniform(0.7, 1.3)).float(),
            iris=torch.from_numpy(iris).float(),
            bald=bool(rng.random() < 0.15),
            stubble=float(max(0.0, rng.uniform(-0.6, 0.6))),
            lip_red=float(rng.uniform(0.35, 0.75)),
            brow_width=float(rng.uniform(3.2, 5.2)),
            waves=torch.from_numpy(2 * np.pi * directions / length[:, None]).float(),
            phases=torch.from_numpy(rng.uniform(0, 2 * np.pi, _WAVES)).float(),
            strengths=torch.from_numpy(strengths).float(),
        )


def paint(places: Tensor, part: Tensor, skin: Skin, marks: Tensor) -> Tensor:
    """Albedo at places of the neutral face.

    Args:
        places: positions on the mean face, (N, 3) mm.
        part: index into `ict_people.PARTS`, (N,): skin, mouth, eye socket, teeth, eyes.
        skin: the person's.
        marks: the mean face's 68 landmarks and the two middles of the eyeballs, (70, 3).

    Returns:
        Linear RGB (N, 3).
    """
    uneven = torch.cos(places @ skin.waves.T + skin.phases) @ skin.strengths
    flesh = skin.tone * (1 + uneven)
    gums = skin.tone.new_tensor([0.35, 0.10, 0.09]).expand_as(flesh)
    teeth = skin.tone.new_tensor([0.62, 0.58, 0.48]).expand_as(flesh)
    choices = torch.stack(
        [_face(places, flesh, uneven, skin, marks), gums * 0.5, gums, teeth, _eyes(places, skin, marks)]
    )
    return choices.gather(0, part[None, :, None].expand(1, -1, 3))[0].clamp(0, 0.95)


def _face(places: Tensor, flesh: Tensor, uneven: Tensor, skin: Skin, marks: Tensor) -> Tensor:
    flat = places[:, :2]
    front = _ramp(places[:, 2], marks[36, 2] - 40, marks[36, 2] - 20)[:, None]  # nothing of this is on the neck's back
    color = flesh
    for spot, size in ((marks[[1, 31, 48]].mean(0), 16.0), (marks[[15, 35, 54]].mean(0), 16.0), (marks[30], 9.0)):
        near = torch.exp(-((places - spot).square().sum(-1)) / (2 * size**2))[:, None]
        color = color * (1 - near * color.new_tensor([0.02, 0.16, 0.18]))
    beard = _stubble(places, marks)[:, None] * skin.stubble * front
    color = color * (1 - beard) + beard * (0.6 * skin.hair + 0.25 * flesh)

    lips = _ramp(-_polygon_distance(flat, marks[48:60, :2]), -0.8, 0.8)[:, None] * front
    red = color * color.new_tensor([0.92, 0.55, 0.58])
    color = color + lips * skin.lip_red * (red - color)
    slit = torch.exp(-(_line_distance(flat, marks[[60, 61, 62, 63, 64], :2]) / 0.7).square())[:, None] * front
    color = color * (1 - 0.75 * slit)

    strokes = 0.8 + 0.2 * torch.sin(flat[:, 0] * 4.1 + flat[:, 1] * 1.7 + 20 * uneven[:, 0])
    for brow in (marks[17:22], marks[22:27]):
        away = _line_distance(flat, brow[:, :2])
        cover = (_ramp(-away, -skin.brow_width, -0.3 * skin.brow_width) * strokes)[:, None] * front
        color = color + 0.85 * cover * (skin.hair - color)
    for eye, upper in ((marks[36:42], marks[36:40]), (marks[42:48], marks[42:46])):
        rim = _line_distance(flat, torch.cat([eye, eye[:1]])[:, :2])
        lash = _line_distance(flat, upper[:, :2])
        pink = torch.exp(-(rim / 2.0).square())[:, None] * front
        dark = torch.exp(-(lash / 0.9).square())[:, None] * front
        crease = torch.exp(-((lash - 4.5) / 1.2).square())[:, None] * front * (flat[:, 1:] > upper[:, 1].mean())
        color = color * (1 - pink * color.new_tensor([0.1, 0.25, 0.25])) * (1 - 0.2 * crease) * (1 - 0.9 * dark)

    cover = _hair(places, uneven, marks)[:, None] * (0.0 if skin.bald else 1.0)
    combed = 0.75 + 0.25 * torch.sin(places[:, 0] * 2.3 + 60 * uneven[:, 0])[:, None]
    return color + cover * (skin.hair * combed - color)


def _hair(places: Tensor, uneven: Tensor, marks: Tensor) -> Tensor:
    """Cover of short hair, (N,): above the forehead, before and behind the ears."""
    x, y, z = places[:, 0].abs(), places[:, 1], places[:, 2]
    brow, ear = marks[17:27, 1].mean(), marks[[0, 16]].mean(0)
    ragged = 60 * uneven[:, 0]
    forehead = _ramp(y + ragged, brow + 45, brow + 53)
    behind = _ramp(ragged - z, 25 - ear[2], 35 - ear[2]) * _ramp(y, ear[1] - 40, ear[1] - 25)
    temple = _ramp(ragged - z, -ear[2] - 22, -ear[2] - 12) * _ramp(y, ear[1] - 5, ear[1] + 20)
    from_ear = ((y - ear[1] + 10) / 26).square() + ((z - ear[2] + 18) / 22).square()
    in_ear = torch.exp(-from_ear.square()) * _ramp(x, 66, 70)
    return torch.maximum(forehead, torch.maximum(behind, temple) * (1 - in_ear))


def _stubble(places: Tensor, marks: Tensor) -> Tensor:
    """Where a beard grows, (N,): below a line from the ears over the nose's bottom, above the chin's underside."""
    x, y = places[:, 0].abs(), places[:, 1]
    line = marks[33, 1] - 4 - 0.25 * (x - 25).clamp_min(0) + 0.5 * (x - 50).clamp_min(0)
    return _ramp(-y, -line, -line + 14) * _ramp(y, marks[8, 1] - 25, marks[8, 1] - 5)


def _eyes(places: Tensor, skin: Skin, marks: Tensor) -> Tensor:
    """White, iris and pupil by the distance from the gaze's axis."""
    middles = marks[68:]
    offset = places[:, None] - middles
    nearest = offset.square().sum(-1).argmin(1)
    offset = offset[torch.arange(len(places)), nearest]
    away = offset[:, :2].norm(dim=-1)
    front = (offset[:, 2] > 0).float()
    angle = torch.atan2(offset[:, 1], offset[:, 0])
    white = skin.tone.new_tensor([0.62, 0.58, 0.55]) * (1 - 0.35 * _ramp(offset[:, 1], 0, 5))[:, None]
    iris = skin.iris * (1 + 0.35 * torch.cos(17 * angle) * torch.cos(3 * away))[:, None]
    iris = iris * (1 - 0.6 * _ramp(away, 4.6, 5.6))[:, None]  # the dark ring at its edge
    color = white + (_ramp(-away, -6.1, -5.5) * front)[:, None] * (iris - white)
    return color * (1 - 0.95 * (_ramp(-away, -2.3, -1.9) * front))[:, None]


def _ramp(value: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """0 below ``low``, 1 above ``high``, smooth between."""
    share = ((value - low) / (high - low)).clamp(0, 1)
    return share * share * (3 - 2 * share)


def _line_distance(points: Tensor, line: Tensor) -> Tensor:
    """Distance of points (N, 2) from an open polyline (K, 2), (N,)."""
    start, along = line[:-1], line[1:] - line[:-1]
    offset = points[:, None] - start
    share = ((offset * along).sum(-1) / along.square().sum(-1)).clamp(0, 1)
    return (offset - share[..., None] * along).norm(dim=-1).amin(1)


def _polygon_distance(points: Tensor, polygon: Tensor) -> Tensor:
    """Signed distance of points (N, 2) from a closed polygon (K, 2), negative inside, (N,)."""
    closed = torch.cat([polygon, polygon[:1]])
    start, end = closed[:-1], closed[1:]
    above = start[:, 1] > points[:, 1:], end[:, 1] > points[:, 1:]
    crossing = start[:, 0] + (points[:, 1:] - start[:, 1]) / (end[:, 1] - start[:, 1]) * (end[:, 0] - start[:, 0])
    inside = ((above[0] != above[1]) & (points[:, :1] < crossing)).sum(1) % 2 == 1
    return torch.where(inside, -1.0, 1.0) * _line_distance(points, closed)
