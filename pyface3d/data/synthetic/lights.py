"""The light that falls on a head: a bright surrounding and up to two lamps or suns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.data.synthetic.hard_cases import Case

NUM_LAMPS = 2
#: Change of the logarithm of linear RGB from neutral towards candle light.
WARM = np.array([1.0, 0.0, -1.3])
#: What a white matt ball shows on average after exposure.
METERED = 1.38
#: Luminance of a medium skin, and how far exposure follows a darker or lighter one.
MEDIUM_TONE, METERING = 0.24, 0.42


@dataclass(frozen=True)
class Lights:
    """Light in the camera frame (x right, y down, z forward); B samples.

    Attributes:
        harmonics: (B, 9, 3) radiance of the surrounding, "irradiance" of ``ops.shade_spherical_harmonics``.
        directions: (B, 2, 3) unit vectors towards the lamps.
        colors: (B, 2, 3) linear RGB: what a white matt surface facing the lamp shows; 0 for a lamp that is absent.
        softness: (B, 2) half-width of the lamp as seen from the face, as the sine of its angle, 0 to 0.8.
        exposure: (B,) factor on everything, as a camera's metering chose it.
    """

    harmonics: Tensor
    directions: Tensor
    colors: Tensor
    softness: Tensor
    exposure: Tensor

    def __len__(self) -> int:
        return len(self.exposure)

    def __getitem__(self, index: slice) -> Lights:
        """Some of the samples."""
        return Lights(*(getattr(self, field.name)[index] for field in fields(self)))


def draw_lights(
    assets: Mapping[str, Tensor],
    rngs: Sequence[np.random.Generator],
    device: torch.device | str = "cpu",
    tone: Tensor | None = None,
    cases: Sequence[Case] | None = None,
) -> Lights:
    """Draw the light of B samples, one generator each.

    Args:
        tone: (B, 3) linear RGB of the skin that the camera meters on; None: a medium one.
        cases: what is to be hard about each; None: nothing.
        assets: ``lights.sh`` (N, 9, 3), ``lights.direction`` (N, 3), ``lights.color`` (N, 3) of panoramas, y up; where
            they are absent the surroundings are made up (sky, ground and a window).
    """
    bank = _panoramas(assets)
    wanted = cases or [Case.NONE] * len(rngs)
    drawn = [_draw(rng, bank, hard=case == Case.SHADE) for rng, case in zip(rngs, wanted, strict=True)]
    stacked = [torch.from_numpy(np.stack(column).astype(np.float32)).to(device) for column in zip(*drawn, strict=True)]
    lights = Lights(*stacked)
    if tone is None:
        return lights
    # A camera exposes dark skin longer, but only part of the way to a medium one.
    brightness = tone.to(device) @ tone.new_tensor([0.2126, 0.7152, 0.0722]).to(device)
    return replace(lights, exposure=lights.exposure * (MEDIUM_TONE / brightness) ** METERING)


_Bank = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def _panoramas(assets: Mapping[str, Tensor]) -> _Bank | None:
    if "lights.sh" not in assets:
        return None
    sh, direction, color = (assets[f"lights.{name}"].double().cpu().numpy() for name in ("sh", "direction", "color"))
    return sh, direction, color


def _draw(rng: np.random.Generator, bank: _Bank | None, *, hard: bool):
    sh, main, main_color = _made_up(rng) if bank is None or rng.random() < 0.2 else _panorama(rng, bank)
    turn = rng.uniform(-np.pi, np.pi) if rng.random() < 0.6 else rng.normal(0, 0.8) - np.arctan2(main[0], main[2])
    sh, main = _turned(sh, main, turn)
    # Contrast of the surrounding: overcast and studio fill on one side, a window in a dark room on the other.
    sh[1:] *= rng.uniform(0.5, 1.3)
    # Cameras balance white: the cast of the surrounding as a whole mostly goes, differences of direction stay.
    saturation = rng.uniform(0.2, 0.8)
    grey = sh.mean(axis=1, keepdims=True)
    sh = (grey + saturation * (sh - grey)) * np.exp(rng.normal(0, 0.04, 3))
    sh *= (sh[0].mean() / sh[0]) ** rng.uniform(0.35, 0.95)
    sh *= np.exp(rng.normal(0.03, 0.08) * WARM)
    directions, colors, softness = np.zeros((2, 3)), np.zeros((2, 3)), np.full(2, 0.3)
    directions[:, 2] = 1.0
    count = rng.choice(3, p=[0.25, 0.5, 0.25])
    ambient = np.exp(rng.uniform(np.log(0.07), -0.25)) if count else 1.0
    for lamp in range(count):
        directions[lamp] = main if lamp == 0 and rng.random() < 0.45 else _lamp_direction(rng)
        tint = main_color if lamp == 0 else np.ones(3)
        tint = tint**0.5 * np.exp(rng.normal(0.03, 0.11) * WARM)
        if rng.random() < 0.04:  # a coloured lamp
            tint = np.exp(rng.normal(0, 0.5, 3))
        colors[lamp] = tint / tint.mean() * rng.uniform(0.25, 1.5) * (1.0 if lamp == 0 else 0.6)
        softness[lamp] = rng.uniform(0.02, 0.75)
    if hard:  # a small lamp, mostly high
        ambient, softness[0] = np.exp(rng.uniform(np.log(0.1), -0.4)), rng.uniform(0.0, 0.12)
        azimuth, elevation = rng.normal(0.0, 0.7), rng.uniform(0.3, 1.2)
        directions[0] = np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)
        tint = np.exp(rng.normal(0.03, 0.08) * WARM)
        colors[0] = tint / tint.mean() * rng.uniform(0.8, 1.7)
    flip = np.array([1.0, -1.0, -1.0])  # drawn with y up and z towards the viewer, as the panoramas are
    sh *= ambient
    exposure = METERED / _on_face(sh, directions, colors) * np.exp(rng.normal(0.0, 0.25))
    return _flipped(sh), directions * flip, colors, softness, np.array(exposure)


def _on_face(sh: NDArray[np.float64], directions: NDArray[np.float64], colors: NDArray[np.float64]) -> float:
    """What a white matt ball shows on average over the half that faces the viewer."""
    bands = sh.mean(axis=1)
    surrounding = (bands[0] + (2 / 3) * np.sqrt(3) * (bands[2] * 2 / 3)) / np.sqrt(4 * np.pi)
    # Lambert's ball seen along z and lit along d, averaged over the disc: (sin a + (pi - a) cos a) * 2 / (3 pi).
    angle = np.arccos(np.clip(directions[:, 2], -1, 1))
    lamps = (np.sin(angle) + (np.pi - angle) * np.cos(angle)) * 2 / (3 * np.pi)
    return max(0.05, float(surrounding + lamps @ colors.mean(axis=1)))


def _panorama(rng: np.random.Generator, bank: _Bank):
    row = rng.integers(len(bank[0]))
    return bank[0][row].copy(), bank[1][row], bank[2][row]


def _made_up(rng: np.random.Generator):
    """Even light, brighter from above, and a broad bright area somewhere."""
    sky, ground = np.exp(rng.normal(0.0, 0.12, 3)), np.exp(rng.normal(-0.7, 0.25, 3))
    window = _lamp_direction(rng)
    strength = rng.uniform(0.0, 1.0) * np.exp(rng.normal(0, 0.1, 3))
    sh = np.zeros((9, 3))
    sh[0] = 0.5 * (sky + ground) + 0.4 * strength
    linear = 0.45 * (sky - ground) * np.array([[0.0], [1.0], [0.0]]) + 0.6 * strength * window[:, None]
    sh[1], sh[2], sh[3] = linear[1], linear[2], linear[0]
    level = sh[0].mean()
    sh[0] *= np.sqrt(4 * np.pi)
    sh[1:4] *= np.sqrt(4 * np.pi / 3) / (2 / 3)
    return sh / level, window, strength + 0.2


def _lamp_direction(rng: np.random.Generator) -> NDArray[np.float64]:
    """Mostly above and before the face, sometimes from the side, behind or below; y up, z towards the viewer."""
    azimuth = rng.normal(0.0, 0.9)
    elevation = rng.normal(0.45, 0.4)
    direction = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    return direction


def _turned(sh: NDArray[np.float64], direction: NDArray[np.float64], angle: float):
    """Light turned about the vertical (y): bands of order l mix as cosines and sines of multiples of the angle."""
    c, s = np.cos(angle), np.sin(angle)
    turned = sh.copy()
    # degree 1: y stays, (x, z) turn
    turned[3], turned[2] = c * sh[3] + s * sh[2], c * sh[2] - s * sh[3]
    # degree 2: (xy, yz) turn once; the other three through the quadratic form they stand for
    turned[4], turned[5] = c * sh[4] + s * sh[5], c * sh[5] - s * sh[4]
    k_zz, k_xz, k_xx = np.sqrt(5 / (16 * np.pi)), np.sqrt(15 / (4 * np.pi)), np.sqrt(15 / (16 * np.pi))
    # q(n) = a (3 z² - 1) + b x z + d (x² - y²), on the sphere = A x² + B z² + b x z + const with y² = 1 - x² - z²
    a, b, d = k_zz * sh[6], k_xz * sh[7], k_xx * sh[8]
    xx, zz, xz, constant = 2 * d, 3 * a + d, b, -a - d
    new_xx = c * c * xx + s * s * zz + c * s * xz
    new_zz = s * s * xx + c * c * zz - c * s * xz
    new_xz = (c * c - s * s) * xz + 2 * c * s * (zz - xx)
    new_d = 0.5 * new_xx
    new_a = (new_zz - new_d) / 3
    del constant  # unchanged by the turn: xx + zz keeps its sum
    turned[6], turned[7], turned[8] = new_a / k_zz, new_xz / k_xz, new_d / k_xx
    x, y, z = direction
    return turned, np.array([c * x + s * z, y, c * z - s * x])


def _flipped(sh: NDArray[np.float64]) -> NDArray[np.float64]:
    """From y up, z backwards to y down, z forwards: terms odd in y xor z change sign (y, z, xy, xz)."""
    return sh * np.array([1, -1, -1, 1, -1, 1, 1, -1, 1])[:, None]
