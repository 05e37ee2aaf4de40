"""What is painted on skin: hair too short to be a mesh, lips, make-up, spots, and the eyes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.data.synthetic.canvas import EYE, LASHES, SKIN, Canvas, soft

#: Irises, linear RGB: dark brown to hazel, green, grey and blue; and how many people have them.
_IRIS_RGB = np.array([
    [0.020, 0.010, 0.006], [0.050, 0.024, 0.012], [0.105, 0.052, 0.022], [0.13, 0.085, 0.030], [0.085, 0.10, 0.045],
    [0.12, 0.14, 0.14], [0.075, 0.125, 0.19], [0.16, 0.22, 0.28],
])  # fmt: skip
_IRIS_ODDS = [0.30, 0.26, 0.12, 0.08, 0.06, 0.06, 0.08, 0.04]


def noise(rng: np.random.Generator, cells: int, size: int) -> NDArray[np.float32]:
    """Smooth noise (size, size) of about ``cells`` bumps a side, mean 0, variance about 1."""
    coarse = torch.from_numpy(rng.standard_normal((1, 1, cells, cells)).astype(np.float32))
    fine = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)
    return (fine[0, 0] * 1.5).numpy()


@dataclass(frozen=True)
class BrowShape:
    """One person's brows: millimetres on the mean head."""

    density: float
    thickness: float
    arch: float
    shift: float
    start: float
    end: float
    taper: float
    lean: float
    roughness: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> BrowShape:
        bare = rng.random() < 0.04
        return cls(
            density=rng.uniform(0.0, 0.15) if bare else rng.uniform(0.3, 1.0) ** 0.7,
            thickness=float(np.exp(rng.normal(np.log(2.9), 0.28))),
            arch=rng.normal(0.0, 0.8),
            shift=rng.normal(0.0, 0.6),
            start=rng.normal(-0.04, 0.05),
            end=rng.normal(1.0, 0.06),
            taper=rng.uniform(0.2, 0.7),
            lean=rng.normal(0.0, 0.15),
            roughness=rng.uniform(0.1, 0.5),
        )


def brow_cover(canvas: Canvas, rng: np.random.Generator) -> Tensor:
    """Cover of brow hair (T, T), in [0, 1]: a band of leaning strokes, thinner towards its tail."""
    shape = BrowShape.draw(rng)
    along, across = canvas.brow_along, canvas.brow_across
    # iBUG's points run along the upper part of the brow, the hairs below them.
    half = shape.thickness * (1 - shape.taper * (along.clamp(0, 1) ** 1.5))
    middle = shape.shift + shape.arch * (1 - ((along - 0.65) / 0.45).square()).clamp(-1, 1) - 0.75 * half
    off = (across - middle).abs() - half
    ends = torch.minimum(along - shape.start, shape.end - along) * 48.0
    body = soft(-off, 2.6) * soft(ends, 7.0)
    strokes = torch.from_numpy(rng.standard_normal((24, 160)).astype(np.float32))
    lean = torch.lerp(torch.tensor(1.1), torch.tensor(-0.2), along.clamp(0, 1)) + shape.lean
    length = (along * 48.0 - lean * across).clamp(-15, 65) + 15
    uneven = _sampled(strokes, across + 12, length * 2.0)
    cover = body * (1 + shape.roughness * uneven).clamp(0.2, 1.4)
    return (shape.density * cover).clamp(0, 1)


def _sampled(table: Tensor, row: Tensor, column: Tensor) -> Tensor:
    rows, columns = table.shape
    return table[row.round().long().clamp(0, rows - 1), column.round().long().clamp(0, columns - 1)]


def paint_eyes(canvas: Canvas, rng: np.random.Generator) -> Tensor:
    """Colours of both eyeballs where the canvas has them, (T, T, 3) linear RGB."""
    iris = _IRIS_RGB[rng.choice(len(_IRIS_RGB), p=_IRIS_ODDS)] * np.exp(rng.normal(0, 0.2, 3) + rng.normal(0, 0.25))
    pupil = rng.uniform(0.25, 0.55)
    limbus = rng.uniform(0.35, 0.9)
    sclera = (
        np.array([0.62, 0.58, 0.55])
        * np.exp(rng.normal(-0.12, 0.15))
        * np.exp(
            rng.normal(0, 1) * np.array([0.01, -0.01, -0.03]) - abs(rng.normal(0, 1)) * np.array([0.0, 0.05, 0.06])
        )
    )
    radius = canvas.iris * rng.uniform(0.94, 1.06)
    fibres = torch.from_numpy(rng.normal(0, 0.22, 48).astype(np.float32))
    fibre = fibres[((canvas.iris_around / (2 * np.pi) + 0.5) * 48).long().clamp(0, 47)]
    collar = 1 + 0.45 * torch.exp(-(((radius - pupil - 0.15) / 0.14) ** 2)) * rng.uniform(0.2, 1.0)
    ring = 1 - limbus * torch.exp(-(((radius - 0.98) / 0.12) ** 2))
    shade = (collar * ring * (1 + fibre))[..., None]
    color = shade * torch.from_numpy(iris.astype(np.float32))
    in_pupil = torch.sigmoid((pupil - radius) * 30)[..., None]
    color = color * (1 - in_pupil) + 0.004 * in_pupil
    white = torch.from_numpy(sclera.astype(np.float32)) * (1 - 0.10 * ((radius - 1) / 2).clamp(0, 1))[..., None]
    outside = torch.sigmoid((radius - 1.0) * 16)[..., None]
    return color * (1 - outside) + white * outside


def lip_cover(canvas: Canvas) -> Tensor:
    return soft(canvas.lips, 1.8) * (canvas.part == SKIN)


def is_part(canvas: Canvas, part: int) -> Tensor:
    return canvas.part == part


PAINTED = (EYE, LASHES)
