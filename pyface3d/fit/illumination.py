"""Light in nine spherical-harmonic bands: its basis, and what light people are photographed in.

Shading is ``harmonics(normals) @ light`` with the "irradiance" convention of `pyface3d.ops`. Normals and light are in
the camera frame: the light of a photo does not change when the head turns.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from pyface3d.ops import shade_spherical_harmonics

NUM_LIGHT = 27
"""Nine bands times three colours; unknown 3 k + c is band k of colour c."""

# Spread of each band over the mean of band 0, grey and colour: root mean squares over 26 measured panoramas (indoor,
# studio, city, forest, dusk; CC0) are 0.4-0.67 and 0.35-0.5 for bands 1-3 and 4-8, and 0.1 for colour beyond band
# 0's. Photos have their white balanced, which leaves band 0 less colour than the panoramas' 0.1-0.28.
_GREY_SPREAD = (0.45, 0.55, 0.45, 0.45, 0.35, 0.35, 0.35, 0.35, 0.35)
_COLOUR_SPREAD = (0.12, 0.10, 0.10, 0.10, 0.07, 0.07, 0.07, 0.07, 0.07)
# Cameras expose so that a white surface in the mean light comes out near here, linear.
_EXPOSURE = 0.75


def harmonics(normals: Tensor) -> Tensor:
    """What each band of light adds to the shading: (..., 9) for unit normals (..., 3)."""
    columns = torch.eye(9, dtype=normals.dtype, device=normals.device).view(3, 3, 9)
    return torch.cat([shade_spherical_harmonics(normals, unit.T.contiguous()) for unit in columns], -1)


def shading_slope(normals: Tensor, light: Tensor) -> Tensor:
    """Derivative of the shading by the normal, (..., 3 colours, 3): exact, as the bands are quadratic in it.

    Args:
        normals: (..., 3).
        light: (9, 3).
    """
    step = 0.5
    slopes = [
        (
            shade_spherical_harmonics((normals + step * axis).contiguous(), light)
            - shade_spherical_harmonics((normals - step * axis).contiguous(), light)
        )
        / (2 * step)
        for axis in torch.eye(3, dtype=normals.dtype, device=normals.device)
    ]
    return torch.stack(slopes, -1)


@lru_cache(maxsize=1)
def light_prior() -> tuple[Tensor, Tensor]:
    """Mean (27,) and precision (27, 27) of the light, float64.

    Each band is a grey part that all colours share and a colour part that sums to zero, independent of each other:
    covariance g² 1 1' + c² (I - 1 1' / 3).
    """
    level = _EXPOSURE * math.sqrt(4 * math.pi)
    mean = torch.zeros(9, 3, dtype=torch.float64)
    mean[0] = level
    ones = torch.ones(3, 3, dtype=torch.float64)
    colour = torch.eye(3, dtype=torch.float64) - ones / 3
    blocks = [
        torch.linalg.inv(level**2 * (grey**2 * ones + tint**2 * colour))
        for grey, tint in zip(_GREY_SPREAD, _COLOUR_SPREAD, strict=True)
    ]
    return mean.flatten(), torch.block_diag(*blocks)


def quadratic_form(band_values: Tensor) -> tuple[float, Tensor, Tensor]:
    """The same function of a normal n as c + l · n + n · Q n: cheap to evaluate, and its slope is l + 2 Q n.

    Args:
        band_values: what each of the nine bands is worth, (9,).

    Returns:
        c, l (3,) and Q (3, 3) symmetric, float64; exact, as the bands are quadratic in the normal.
    """
    axes = torch.eye(3, dtype=torch.float64)
    pairs = axes[:, None] + axes
    at = torch.cat([torch.zeros(1, 3, dtype=torch.float64), axes, -axes, pairs.flatten(0, 1)])
    values = harmonics(at) @ band_values.double()
    constant, plus, minus, sums = values[0], values[1:4], values[4:7], values[7:].reshape(3, 3)
    slope = (plus - minus) / 2
    own = (plus + minus) / 2 - constant
    mixed = (sums - constant - slope[:, None] - slope - own[:, None] - own) / 2
    square = torch.where(torch.eye(3, dtype=torch.bool), torch.diag(own), mixed)
    return float(constant), slope, square
