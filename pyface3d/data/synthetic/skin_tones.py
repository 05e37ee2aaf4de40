"""Colours of human skin and hair.

Skin tone moves along the locus of measured human skins in CIELAB: lightness L* from about 75 down to 24, b* largest
at medium tones, a* at medium to dark ones (ranges after Xiao et al., "Characterising the variations in ethnic skin
colours", Skin Research and Technology 2017). Local changes of one skin are absorption by its two pigments: the
logarithm of the albedo falls in proportion to the melanin or haemoglobin added (Tsumura et al., SIGGRAPH 2003).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Change of the logarithm of linear RGB per unit of added pigment.
MELANIN_LOG = (-0.62, -1.0, -1.38)
HAEMOGLOBIN_LOG = (-0.16, -1.0, -0.72)
_LIGHTEST, _DARKEST = 75.5, 23.5
#: Logarithm of linear RGB of hair: eumelanin from none to much, and pheomelanin (red).
_HAIR_WITHOUT_MELANIN = np.log([0.52, 0.43, 0.30])
_EUMELANIN, _PHEOMELANIN = np.array([3.75, 3.95, 4.15]), np.array([0.35, 1.15, 1.9])


def skin_lab(melanin: NDArray[np.floating], rednesss: NDArray[np.floating], yellowness: NDArray[np.floating]):
    """CIELAB (N, 3) of skin of ``melanin`` in [0, 1], with deviations of a* and b* in standard deviations."""
    lightness = _LIGHTEST + (_DARKEST - _LIGHTEST) * melanin
    a = 8.0 + 5.0 * np.exp(-(((melanin - 0.55) / 0.3) ** 2)) + 1.7 * rednesss - 1.5 * np.clip(melanin - 0.8, 0, 1) * 5
    b = (
        11.5
        + 9.0 * np.exp(-(((melanin - 0.45) / 0.3) ** 2))
        + 1.9 * yellowness
        - 3.0 * np.clip(melanin - 0.75, 0, 1) * 4
    )
    return np.stack([lightness, a, b], axis=-1)


def lab_to_linear(lab: NDArray[np.floating]) -> NDArray[np.float64]:
    """CIELAB under D65 -> linear sRGB (N, 3), clipped to [0.004, 1]."""
    f_y = (lab[..., 0] + 16) / 116
    f = np.stack([f_y + lab[..., 1] / 500, f_y, f_y - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * _WHITE
    return np.clip(xyz @ _XYZ_TO_RGB.T, 0.004, 1.0)


def individual_typology_angle(linear: NDArray[np.floating]) -> NDArray[np.float64]:
    """Degrees: arctan((L* - 50) / b*), above 55 very light, below -30 dark (Chardon, Cretois, Hourseau 1991)."""
    xyz = np.asarray(linear, np.float64) @ np.linalg.inv(_XYZ_TO_RGB).T / _WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    lightness, b = 116 * f[..., 1] - 16, 200 * (f[..., 1] - f[..., 2])
    return np.rad2deg(np.arctan2(lightness - 50, b))


def draw_hair_color(rng: np.random.Generator, melanin: float) -> NDArray[np.float64]:
    """Linear RGB of a person's hair and brows; dark skin seldom comes with fair hair. One in twenty-five is dyed."""
    kind = rng.random()
    fair = rng.beta(1.0, 2.2 + 6.0 * melanin)
    eumelanin = 1.0 - 0.92 * fair + 0.12 * rng.standard_normal() * fair
    red = abs(rng.normal(0.25, 0.2)) if rng.random() > 0.05 else rng.uniform(0.8, 1.6)
    log = _HAIR_WITHOUT_MELANIN - eumelanin * _EUMELANIN - red * _PHEOMELANIN * (1.0 - 0.5 * eumelanin)
    grey = rng.uniform(0.1, 1.0) if kind < 0.13 else 0.0
    color = (1 - grey) * np.exp(log) + grey * np.array([0.34, 0.33, 0.31]) * rng.uniform(0.5, 1.5)
    if kind > 0.96:
        color = color * 0.3 + 0.7 * np.exp(rng.uniform(-4.0, -0.6, 3))
    return np.clip(color, 0.004, 0.8)


def add_pigment(log_albedo: Tensor, amount: Tensor, absorption: tuple[float, float, float]) -> Tensor:
    """``log_albedo`` (B, T, T, 3) with ``amount`` (B or 1, T, T) of a pigment added."""
    return log_albedo + amount[..., None] * torch.tensor(absorption, dtype=amount.dtype, device=amount.device)


_WHITE = np.array([0.95047, 1.0, 1.08883])
_XYZ_TO_RGB = np.array(
    [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]]
)
