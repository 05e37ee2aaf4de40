"""Colours, patterns and finish of everything that is worn."""

from __future__ import annotations

import numpy as np

from pyface3d.data.synthetic.wear.detail import Pattern
from pyface3d.data.synthetic.wear.hair import HAIR_STYLES
from pyface3d.data.synthetic.wear.parts import LOOKS, Look, Material, Part

Row = dict[str, "np.ndarray | float | int"]


def draw_cloth_color(rng: np.random.Generator) -> np.ndarray:
    """Linear RGB of cloth: black, white and greys often, muted colours, now and then a loud one."""
    kind = rng.random()
    if kind < 0.22:
        return np.full(3, rng.uniform(0.006, 0.03)) * np.exp(rng.normal(0, 0.08, 3))
    if kind < 0.38:
        return np.clip(np.full(3, rng.uniform(0.45, 0.85)) * np.exp(rng.normal(0, 0.03, 3)), 0, 0.9)
    if kind < 0.52:
        return np.full(3, np.exp(rng.uniform(-3.5, -0.8))) * np.exp(rng.normal(0, 0.06, 3))
    hue = rng.dirichlet(np.ones(3) * (2.5 if kind < 0.85 else 0.7))
    return np.clip(hue / hue.max() * np.exp(rng.uniform(-3.2, -0.3)), 0.004, 0.85)


def _fabric(look: np.ndarray, rng: np.random.Generator, patterned: float) -> np.ndarray:
    """Fills the channels of a fabric; returns its colour."""
    color, second = draw_cloth_color(rng), draw_cloth_color(rng)
    pattern = rng.integers(1, Pattern.SUIT) if rng.random() < patterned else Pattern.PLAIN
    look[Look.MATERIAL] = Material.FABRIC
    look[Look.PATTERN] = pattern
    look[[Look.SEED_U, Look.SEED_V]] = rng.random(2)
    look[Look.SCALE] = 1 / rng.uniform(40, 160)
    look[Look.CONTRAST] = rng.uniform(0.03, 0.2)
    look[Look.SPECULAR] = rng.choice([rng.uniform(0.0, 0.6), rng.uniform(0.6, 1.5)], p=[0.85, 0.15])
    look[Look.ROUGHNESS] = rng.uniform(0.6, 1.0)
    look[[Look.RED, Look.GREEN, Look.BLUE]] = second
    look[Look.SIZE] = np.exp(rng.uniform(np.log(4), np.log(45)))
    return color


def _suit(look: np.ndarray, color: np.ndarray, rng: np.random.Generator) -> None:
    """A jacket over a shirt, mostly with a tie."""
    clothes, collar = look[Part.CLOTHES], look[Part.COLLAR]
    color[Part.CLOTHES] = np.array([0.02, 0.02, 0.026]) * np.exp(rng.normal(0, 0.8)) * np.exp(rng.normal(0, 0.1, 3))
    shirt = np.full(3, rng.uniform(0.5, 0.85)) if rng.random() < 0.6 else draw_cloth_color(rng)
    clothes[Look.PATTERN], clothes[Look.CONTRAST] = Pattern.SUIT, rng.uniform(0.02, 0.1)
    clothes[[Look.RED, Look.GREEN, Look.BLUE]] = shirt
    clothes[[Look.RED3, Look.GREEN3, Look.BLUE3]] = draw_cloth_color(rng)
    clothes[Look.OPACITY] = float(rng.random() < 0.65)  # a tie
    collar[:], collar[Look.PATTERN] = clothes, Pattern.PLAIN
    color[Part.COLLAR] = shirt


def _hair(look: np.ndarray, rng: np.random.Generator, color: np.ndarray, style: str, fringe: bool) -> None:
    u = rng.uniform
    bright = float(color.mean())
    curl = u(0.6, 1.0) if style == "afro" else rng.choice([0.0, u(0, 0.5)], p=[0.7, 0.3])
    swept = style in ("side_part", "long", "curtain") or (style in ("short", "fringe") and rng.random() < 0.5)
    look[Look.MATERIAL] = Material.HAIR
    look[[Look.SEED_U, Look.SEED_V]] = rng.random(2)
    look[Look.SCALE] = 1 / u(70, 170)
    look[Look.CONTRAST] = u(0.3, 0.75) * (0.6 if bright > 0.3 else 1.0)
    look[Look.EDGE] = u(4.0, 11.0) if fringe else u(2.0, 6.0)
    look[Look.FADE] = u(1.0, 4.0) if fringe else u(2.0, 9.0)
    look[Look.SPECULAR] = u(0.1, 1.8) * (1 - 0.7 * curl)
    look[Look.ROUGHNESS] = u(0.4, 0.7)
    look[[Look.RED, Look.GREEN, Look.BLUE]] = np.clip(color * np.exp(rng.normal(0.15, 0.4)), 0.004, 0.8)
    look[Look.SHEAR] = rng.choice([-1, 1]) * (u(0.2, 1.3) if swept else u(0, 0.25))
    look[Look.DENSITY] = rng.choice([1.6, u(0.85, 1.1)], p=[0.85, 0.15])
    look[Look.WAVE] = rng.choice([u(0, 4), u(4, 22)], p=[0.6, 0.4])
    look[Look.CURL] = curl


def draw_one(rng: np.random.Generator, hair: Row, dark: bool, suit: bool) -> tuple[np.ndarray, np.ndarray]:
    """`Wear.look` (parts, looks) and colours (parts, 3) of one sample."""
    look = np.zeros((len(Part), LOOKS))
    color = np.zeros((len(Part), 3))
    look[Part.SKIN, Look.SPECULAR], look[Part.SKIN, Look.ROUGHNESS] = 0.7, 0.55
    color[Part.SKIN] = 1.0
    color[Part.CLOTHES] = _fabric(look[Part.CLOTHES], rng, 0.4)
    look[Part.COLLAR], color[Part.COLLAR] = look[Part.CLOTHES], color[Part.CLOTHES]
    if suit:
        _suit(look, color, rng)
    elif rng.random() < 0.3:
        color[Part.COLLAR] = _fabric(look[Part.COLLAR], rng, 0.1)
    for part in (Part.HAT, Part.SCARF, Part.HOOD, Part.HEADBAND):
        color[part] = _fabric(look[part], rng, 0.3)
    look[Part.BRIM], color[Part.BRIM] = look[Part.HAT], color[Part.HAT]
    if rng.random() < 0.25:
        color[Part.BRIM] = draw_cloth_color(rng)
    hair_color = np.asarray(hair["color"])
    style = HAIR_STYLES[int(np.asarray(hair["style"]))]
    fringe = float(np.asarray(hair["fringe"])) > 0
    _hair(look[Part.HAIR], rng, hair_color, style, fringe)
    color[[Part.HAIR, Part.TAIL, Part.STRANDS]] = hair_color
    look[[Part.TAIL, Part.STRANDS]] = look[Part.HAIR]
    look[[Part.TAIL, Part.STRANDS], Look.DENSITY] = 1.6
    grey = rng.random() < 0.2
    beard = hair_color * np.exp(rng.normal(0, 0.2)) * np.array([1.12, 1.0, 0.9])
    color[Part.BEARD] = np.clip(np.full(3, rng.uniform(0.06, 0.38)) if grey else beard, 0.004, 0.8)
    _hair(look[Part.BEARD], rng, color[Part.BEARD], "beard", False)
    look[Part.BEARD, [Look.CURL, Look.SPECULAR]] = rng.uniform(0.2, 0.9), rng.uniform(0, 0.8)
    look[Part.BEARD, Look.SCALE] = 1 / rng.uniform(30, 60)
    look[Part.BEARD, Look.CONTRAST] *= 0.6
    look[Part.BEARD, Look.EDGE], look[Part.BEARD, Look.FADE] = rng.uniform(1.5, 4), rng.uniform(2, 7)
    look[Part.BEARD, Look.DENSITY] = rng.choice([1.6, rng.uniform(0.5, 1.0)])
    for part, finish in ((Part.HEADPHONES, 1.5), (Part.EARRINGS, 5.0)):
        look[part, Look.MATERIAL] = Material.HARD
        look[part, Look.SPECULAR], look[part, Look.ROUGHNESS] = rng.uniform(0.5, finish), rng.uniform(0.2, 0.6)
    color[Part.HEADPHONES] = draw_cloth_color(rng)
    gems = np.array([[0.5, 0.5, 0.5], [0.55, 0.4, 0.15], [0.7, 0.68, 0.62], [0.2, 0.05, 0.1]])
    color[Part.EARRINGS] = gems[rng.integers(4)]
    metal = rng.random() < 0.45
    rims = look[Part.RIMS]
    rims[Look.MATERIAL] = Material.HARD
    rims[Look.SPECULAR] = rng.uniform(1.5, 5) if metal else rng.uniform(0.6, 1.5)
    rims[Look.ROUGHNESS] = rng.uniform(0.2, 0.5)
    plastic = draw_cloth_color(rng) if rng.random() < 0.35 else np.array([0.01, 0.009, 0.008]) * rng.uniform(0.5, 3)
    steel = np.array([[0.35, 0.35, 0.35], [0.5, 0.38, 0.16], [0.05, 0.05, 0.05], [0.45, 0.28, 0.2]])
    color[Part.RIMS] = steel[rng.integers(4)] * rng.uniform(0.3, 1.0) if metal else plastic
    lenses = look[Part.LENSES]
    lenses[Look.MATERIAL] = Material.GLASS
    lenses[[Look.SEED_U, Look.SEED_V]] = rng.random(2)
    lenses[Look.SPECULAR], lenses[Look.ROUGHNESS] = rng.uniform(0.7, 1.5), rng.uniform(0.06, 0.2)
    lenses[Look.CONTRAST] = rng.choice([0.0, rng.uniform(0.05, 0.4), rng.uniform(0.4, 0.8)], p=[0.45, 0.42, 0.13])
    lenses[[Look.RED, Look.GREEN, Look.BLUE]] = rng.uniform(0.3, 0.9) * rng.uniform(0.85, 1.1, 3)
    if dark:
        tint = np.array([0.015, 0.014, 0.014]) * np.exp(rng.normal(0, 0.3, 3)) * rng.choice([0.5, 1, 4, 12])
        lenses[Look.OPACITY] = rng.choice([1.0, rng.uniform(0.85, 1.0), rng.uniform(0.55, 0.85)])
        lenses[Look.SIZE] = rng.choice([0.0, rng.uniform(0.1, 0.7)])
        lenses[Look.CONTRAST] *= 0.6
    else:
        tint = np.array([0.05, 0.06, 0.06])
        lenses[Look.OPACITY] = rng.choice([rng.uniform(0.0, 0.08), rng.uniform(0.1, 0.4)], p=[0.88, 0.12])
    color[Part.LENSES] = np.clip(tint, 0.002, 0.9)
    return look, color


def blind_lenses(rng: np.random.Generator, lenses: np.ndarray) -> np.ndarray:
    """Fills a row of `Wear.look` with lenses that show nothing of the eyes; returns their colour.

    Black, of a deep colour, fading downwards, or mirrors of what stands before the face.
    """
    kind = rng.choice(4, p=[0.3, 0.25, 0.2, 0.25])
    lenses[Look.OPACITY] = 1.0 if kind == 0 else rng.uniform(0.9, 1.0)
    lenses[Look.SIZE] = rng.uniform(0.1, 0.4) if kind == 2 else 0.0  # half of it at the lower rim: still opaque there
    lenses[Look.SPECULAR], lenses[Look.ROUGHNESS] = 2.0 * rng.random() ** 3, rng.uniform(0.05, 0.2)
    tint = np.exp(rng.uniform(np.log(0.002), np.log(0.02))) * np.exp(rng.normal(0, 0.2, 3))
    if kind == 1:
        warm = np.array([1.0, 0.35, 0.15]) if rng.random() < 0.6 else rng.uniform(0.1, 1.0, 3)
        tint = warm * np.exp(rng.uniform(np.log(0.01), np.log(0.12)))
    if kind == 3:
        lenses[Look.WAVE] = rng.uniform(0.5, 1.0)
        lenses[[Look.RED, Look.GREEN, Look.BLUE]] = np.exp(rng.uniform(-1.5, -0.1)) * np.exp(rng.normal(0, 0.3, 3))
        lenses[[Look.RED3, Look.GREEN3, Look.BLUE3]] = np.exp(rng.uniform(-3.5, -1.2)) * np.exp(rng.normal(0, 0.4, 3))
    return np.clip(tint, 0.002, 0.9)
