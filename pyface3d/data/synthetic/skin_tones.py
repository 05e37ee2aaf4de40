"""Colours of human skin and hair.

Skin tone moves along the locus of measured human skins in CIELAB: lightness L* from about 75 down to 24, b* largest
at medium tones, a* at medium to dark ones (ranges after Xiao et al., "Characterising the variations in ethnic skin
colours", Skin Research and Technology 2017). Local changes of one skin are absorption by its two pigments: the
logarithm of the albedo falls in proportion to the melanin or haemoglobin added (Tsumura et al., "Image-based skin
color and texture analysis/synthesis", SIGGRAPH 2003).
"""

from __future__ import annotations

import torch
from torch import Tensor

from pyface3d.data.synthetic.canvas import bump
from pyface3d.data.synthetic.draws import Draws

#: Change of the logarithm of linear RGB per unit of added pigment.
MELANIN_LOG = (-0.62, -1.0, -1.38)
HAEMOGLOBIN_LOG = (-0.16, -1.0, -0.72)
_LIGHTEST, _DARKEST = 76.0, 23.5
#: Logarithm of linear RGB of hair without pigment, and what eumelanin (black) and pheomelanin (red) take from it.
_WHITE_HAIR_LOG = (-0.65, -0.84, -1.20)
_EUMELANIN_LOG, _PHEOMELANIN_LOG = (-3.75, -3.95, -4.15), (-0.35, -1.15, -1.9)
_GREY_HAIR = (0.34, 0.33, 0.31)

# CIE 15 and IEC 61966-2-1: the white of D65, and XYZ to linear sRGB.
_WHITE = (0.95047, 1.0, 1.08883)
_XYZ_TO_RGB = (
    (3.2404542, -1.5371385, -0.4985314),
    (-0.9692660, 1.8760108, 0.0415560),
    (0.0556434, -0.2040259, 1.0572252),
)


def skin_lab(melanin: Tensor, redness: Tensor, yellowness: Tensor) -> Tensor:
    """CIELAB (N, 3) of skins of ``melanin`` (N,) in [0, 1], with deviations of a* and b* in standard deviations."""
    lightness = _LIGHTEST + (_DARKEST - _LIGHTEST) * melanin
    dark = (melanin - 0.78).clamp_min(0)
    redness, yellowness = redness * (1 - 0.6 * melanin), yellowness * (1 - 0.6 * melanin)
    a = 8.0 + 5.0 * bump((melanin - 0.55) / 0.3) + 1.7 * redness - 8.0 * dark
    b = 12.0 + 9.0 * bump((melanin - 0.45) / 0.3) + 1.9 * yellowness - 10.0 * dark
    return torch.stack([lightness, a, b], dim=-1)


def lab_to_linear(lab: Tensor) -> Tensor:
    """CIELAB under D65 -> linear sRGB (N, 3), clipped to [0.004, 1]."""
    f_y = (lab[..., 0] + 16) / 116
    f = torch.stack([f_y + lab[..., 1] / 500, f_y, f_y - lab[..., 2] / 200], dim=-1)
    xyz = torch.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * lab.new_tensor(_WHITE)
    return (xyz[..., None, :] * lab.new_tensor(_XYZ_TO_RGB)).sum(-1).clamp(0.004, 1.0)


def individual_typology_angle(linear: Tensor) -> Tensor:
    """Degrees, arctan((L* - 50) / b*) of linear sRGB (N, 3): above 55 very light, below -30 dark.

    Source: Chardon, Cretois and Hourseau, "Skin colour typology and suntanning pathways", 1991.
    """
    to_xyz = torch.linalg.inv(linear.new_tensor(_XYZ_TO_RGB, dtype=torch.float64)).to(linear)
    xyz = linear @ to_xyz.T / linear.new_tensor(_WHITE)
    f = torch.where(xyz > (6 / 29) ** 3, xyz ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    lightness, b = 116 * f[..., 1] - 16, 200 * (f[..., 1] - f[..., 2])
    return torch.rad2deg(torch.atan2(lightness - 50, b))


def draw_hair(draws: Draws, melanin: Tensor) -> Tensor:
    """Linear RGB (B, 3) of hair; dark skin seldom comes with fair hair, one person in eight is grey, one in 25 dyed."""
    # The quantile function of a beta distribution with a = 1: most are dark, the more the darker the skin. Lighter than
    # the world is: fair hair on fair skin is what is hardest to tell apart.
    fair = 1 - (1 - draws.random()).clamp_min(1e-6) ** (1 / (1.4 + 5.0 * melanin))
    eumelanin = (1.0 - 0.92 * fair + 0.1 * fair * draws.normal(1.0))[:, None]
    red = torch.where(draws.chance(0.05), draws.uniform(0.8, 1.6), draws.normal(0.2).abs() + 0.1)[:, None]
    log = melanin.new_tensor(_WHITE_HAIR_LOG) + eumelanin * melanin.new_tensor(_EUMELANIN_LOG)
    color = (log + red * (1 - 0.5 * eumelanin) * melanin.new_tensor(_PHEOMELANIN_LOG)).exp()
    grey = (draws.uniform(0.1, 1.0) * draws.chance(0.13))[:, None]
    color = torch.lerp(color, melanin.new_tensor(_GREY_HAIR) * draws.uniform(0.5, 1.5, 1), grey)
    dye = draws.uniform(-4.0, -0.6, 3).exp()
    return torch.where(draws.chance(0.04)[:, None], torch.lerp(color, dye, 0.7), color).clamp(0.004, 0.8)
