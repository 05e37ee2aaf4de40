"""Relief from shading: the height field whose slopes explain the fine light and dark of a photo.

The light is a function of the normal in nine bands, learnt from the face itself (`fit.skin`). What it does not explain
of the logarithm of the picture, less broad changes and what goes with a change of colour, is what relief h (mm) on a
surface with normals n shall explain: n(h) = unit(n - grad h). The field is the most probable one:

    E(h) = sum w log(1 + (d - D(h))² / s_d²) + sum |grad h|² / s_s² + sum h² / s_h²
    D(h) = S(n(h)) - S(n) - k (mean of h around - h)

S is the logarithm of the shading, the first sum goes over cells of 2 x 2 pixels, and h is 0 where no skin is
seen. The last term of D: what lies below its surroundings sees less of the light, wherever that
comes from. It is all that tells relief in even light, where paint of the skin's own hue looks the same; so it is held
small. Gauss-Newton steps from coarse to fine, each solved by conjugate gradients: the same bits in every run.

Sources: Or-El et al., "RGBD-Fusion: Real-Time High Precision Depth Recovery" (CVPR 2015), which refines a coarse
surface by its shading; Horn and Brooks, "The variational approach to shape from shading" (1986); Langer and Zucker,
"Shape-from-shading on a cloudy day" (JOSA A 1994) for what even light tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import cg

from pyface3d.errors import InputError
from pyface3d.fit.illumination import quadratic_form
from pyface3d.fit.skin import LOG_FLOOR, Floats, learn_skin, shading_basis

LIMIT_MM = 2.0
"""No relief is higher or deeper."""

_BROAD_MM = 4.0  # standard deviation of the Gaussian that is taken away as albedo and broad light
_FINE_MM = 0.7  # of the one that takes away pores, stubble and noise
_SIGMA_DATA = 0.06  # s_d, log units: what pores, noise and albedo do that is no relief
_SIGMA_SLOPE = 0.25  # s_s
_SIGMA_HEIGHT_MM = 0.5  # s_h
# Brightness as the mean of these shares of the logarithms of linear RGB: blue is mostly noise.
_CHANNELS = np.array([0.35, 0.6, 0.05], np.float32)
_TONE = np.array([0.42, 0.24, 0.17], np.float32)  # linear RGB of a medium skin: what colours are compared with
_COLOUR_RIDGE = 0.02  # log units: colour that changes less says nothing of albedo
_COLOUR_SPREADS = 2.5  # of a face's usual fine changes of colour: from there on a pixel is paint rather than shape
_UNLIKE_SKIN = 4.0  # standard deviations of a face's colour from which a pixel is hardly believed
_CREASE = 0.8  # k, log units per mm
_AROUND_MM = 1.8  # how far off the points lie that a point is said to be below
_GAP_MM = 8.0  # pixels farther apart are not of one surface
_LEAST_PIXELS, _LEARNT_PIXELS = 200, 20_000  # of skin, to learn the light from
_LEVELS, _STEPS, _HALVINGS = 3, 3, 4
_CG_TOLERANCE, _CG_STEPS = 1e-2, 60

Matrix = Any  # scipy.sparse, which has no types
Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ShadedSurface:
    """A coarse surface and the picture of it, pixel by pixel.

    Attributes:
        image: linear RGB, (H, W, 3) float32.
        positions: mm, (H, W, 3) float32; void where ``weight`` is 0.
        normals: outward unit normals in the same frame, (H, W, 3) float32.
        weight: how surely the pixel shows bare skin of this surface, (H, W) float32 in [0, 1].
    """

    image: Floats
    positions: Floats
    normals: Floats
    weight: Floats

    def __post_init__(self) -> None:
        size = self.weight.shape
        for name in ("image", "positions", "normals"):
            if getattr(self, name).shape != (*size, 3):
                raise InputError(f"{name} must have shape {(*size, 3)}, got {getattr(self, name).shape}")

    @cached_property
    def pitch_mm(self) -> float:
        """Usual distance between neighbouring pixels on the surface."""
        seen = self.weight > 0
        steps = np.linalg.norm(np.diff(self.positions, axis=1), axis=-1)[seen[:, 1:] & seen[:, :-1]]
        return max(float(np.median(steps)), 1e-3) if len(steps) else 1.0


def relief_from_shading(surface: ShadedSurface) -> Floats:
    """Relief of a surface, mm outwards along its normal, (H, W) float32 within `LIMIT_MM`; 0 where ``weight`` is 0.

    Args:
        surface: the picture, linear RGB; a black, grey or one-coloured one is no error.
    """
    if np.count_nonzero(surface.weight > 0.5) < _LEAST_PIXELS:
        return np.zeros(surface.weight.shape, np.float32)
    data, trust, light = _observed(surface)
    levels = [_Level(data, trust, surface.positions, surface.normals, surface.weight, surface.pitch_mm)]
    for _ in range(_LEVELS - 1):
        levels.append(levels[-1].halved())
    relief = np.zeros(levels[-1].weight.shape)
    for level in reversed(levels):
        enlarged = np.asarray(cv2.resize(relief, level.weight.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float64)
        relief = _most_probable(level, light, enlarged)
    return np.asarray(np.clip(relief, -LIMIT_MM, LIMIT_MM), np.float32)


def _observed(surface: ShadedSurface) -> tuple[Doubles, Doubles, NDArray[np.float32]]:
    """Fine brightness that the light on the coarse surface leaves unexplained (H, W), how far to trust it (H, W) in
    [0, 1], and the logarithm of the light (9,)."""
    log_image = np.log(surface.image + np.float32(LOG_FLOOR))
    log_ratio = log_image - np.log(_TONE + np.float32(LOG_FLOOR))
    seen = np.flatnonzero(surface.weight > 0.5)
    learnt = seen[:: max(1, len(seen) // _LEARNT_PIXELS)]
    normals = surface.normals.reshape(-1, 3)
    skin = learn_skin(log_ratio.reshape(-1, 3)[learnt], normals[learnt], surface.weight.ravel()[learnt])
    light = skin.shading @ _CHANNELS
    rest = log_image @ _CHANNELS - shading_basis(surface.normals) @ light
    colour = np.stack([log_image[..., 0] - log_image[..., 1], log_image[..., 2] - log_image[..., 1]], -1)
    fine = _band_pass(np.dstack([rest, colour]), surface.weight, surface.pitch_mm).clip(-1, 1)
    data, colour = fine[..., 0], fine[..., 1:]

    # Pigment and blood change colour and brightness together, in a proportion of the person's own; shape does not.
    tinted, dark = colour.reshape(-1, 2)[seen], data.ravel()[seen]
    believed = (1 / (1 + (dark / (3 * _SIGMA_DATA)) ** 2))[:, None] * tinted
    gram = believed.T @ tinted + len(seen) * _COLOUR_RIDGE**2 * np.eye(2)
    data = data - colour @ np.linalg.solve(gram, believed.T @ dark)
    usual = np.maximum(1.4826 * np.median(np.abs(tinted), axis=0), _COLOUR_RIDGE / 2)
    trust = 1 / (1 + ((colour / (_COLOUR_SPREADS * usual)) ** 2).sum(-1))
    unlike = (skin.distance(log_ratio, surface.normals) ** 2).sum(-1) / _UNLIKE_SKIN**2
    trust = trust / (1 + unlike**2)
    return data.astype(np.float64), trust.astype(np.float64), light


@dataclass(frozen=True, eq=False)
class _Level:
    """One resolution of the pyramid: maps (H, W, …)."""

    data: Doubles
    trust: Doubles
    positions: NDArray[Any]
    normals: NDArray[Any]
    weight: NDArray[Any]
    pitch_mm: float

    def halved(self) -> _Level:
        """At half the resolution; what is no skin does not mix in, and pixels that are less than half skin are none."""
        share = self.weight[..., None]
        maps = [self.data[..., None], self.trust[..., None], self.positions, self.normals]
        sums = _pooled(np.concatenate([*(one * share for one in maps), share], -1))
        mean, weight = sums[..., :8] / np.maximum(sums[..., 8:], 1e-6), sums[..., 8]
        normals = mean[..., 5:8] / np.maximum(np.linalg.norm(mean[..., 5:8], axis=-1, keepdims=True), 1e-9)
        weight = np.where(weight > 0.5, weight, 0)
        return _Level(mean[..., 0], mean[..., 1], mean[..., 2:5], normals, weight, 2 * self.pitch_mm)


@dataclass(frozen=True, eq=False)
class _Cells:
    """N cells of 2 x 2 pixels that are all skin of one surface, and differences of a field over them.

    Attributes:
        rows, columns: of their upper left pixels.
        normals: (N, 3).
        across, down: (N, 3) mm⁻¹; the field's gradient is its difference across times one, down times the other.
        step_across, step_down: sparse (N, P) from the P pixels' heights to their mean differences.
        sunk: sparse (N, P), to how far they lie below those around them, mm.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    normals: Doubles
    across: Doubles
    down: Doubles
    step_across: Matrix
    step_down: Matrix
    sunk: Matrix

    @classmethod
    def of(cls, level: _Level, numbers: NDArray[np.intp]) -> _Cells:
        """``numbers`` (H, W): of the pixels that are skin, -1 elsewhere."""
        positions = level.positions.astype(np.float64)
        normal = _over_cells(level.normals.astype(np.float64))
        normal = normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
        right, below = positions[:, 1:] - positions[:, :-1], positions[1:] - positions[:-1]
        right, below = (right[1:] + right[:-1]) / 2, (below[:, 1:] + below[:, :-1]) / 2
        near = np.maximum(np.linalg.norm(right, axis=-1), np.linalg.norm(below, axis=-1)) < _GAP_MM
        right, below = (step - normal * (step * normal).sum(-1, keepdims=True) for step in (right, below))
        # The basis dual to the two steps, within the surface: its sign does not depend on which way round the map runs.
        across, down = np.cross(below, normal), np.cross(right, normal)
        area = (right * across).sum(-1)
        shares = numbers >= 0
        whole = shares[:-1, :-1] & shares[1:, :-1] & shares[:-1, 1:] & shares[1:, 1:] & near & (np.abs(area) > 1e-6)
        rows, columns = np.nonzero(whole)
        corners = [numbers[rows + i, columns + j] for i in (0, 1) for j in (0, 1)]
        at, count = np.concatenate(corners), int(numbers.max(initial=-1)) + 1

        def step(signs: list[float]) -> Matrix:
            places = np.tile(np.arange(len(rows)), 4)
            return sparse.csr_matrix((np.repeat(signs, len(rows)) / 2, (places, at)), (len(rows), count))

        area = area[rows, columns, None]
        across, down = across[rows, columns] / area, -down[rows, columns] / area
        steps = step([-1, 1, -1, 1]), step([-1, -1, 1, 1])
        sunk = step([0.5] * 4) @ _below_surroundings(numbers, max(round(_AROUND_MM / level.pitch_mm), 1))
        return cls(rows, columns, normal[rows, columns], across, down, *steps, sunk.tocsr())

    def read(self, values: NDArray[Any]) -> Doubles:
        """Means of pixels' values (H, W) over the cells, (N,)."""
        means: Doubles = _over_cells(values)[self.rows, self.columns]
        return means


class _Shading:
    """D(h), what a relief makes of the logarithm of the picture, and its derivatives, at every cell.

    With m = n - a hx - b hy, where hx, hy are the differences of the relief and a, b the cell's dual basis,
    n(h) = m / |m| and dn = -(I - n n') (a dhx + b dhy) / |m|; S = c + l · n + n · Q n has the slope l + 2 Q n.
    """

    def __init__(self, light: NDArray[np.float32], cells: _Cells) -> None:
        _, slope, square = quadratic_form(torch.from_numpy(light))
        self._slope, self._square = slope.numpy(), square.numpy()
        self._cells = cells
        self._smooth = self._of(cells.normals)

    def __call__(self, relief: Doubles) -> tuple[Doubles, Matrix]:
        """Values (N,) for heights (P,), and the sparse Jacobian (N, P)."""
        cells = self._cells
        hx, hy = cells.step_across @ relief, cells.step_down @ relief
        tilted = cells.normals - hx[:, None] * cells.across - hy[:, None] * cells.down
        length = np.linalg.norm(tilted, axis=-1, keepdims=True)
        normals = tilted / length
        pull = self._slope + 2 * normals @ self._square
        pull = (pull - normals * (pull * normals).sum(-1, keepdims=True)) / length
        by_hx, by_hy = -(pull * cells.across).sum(-1), -(pull * cells.down).sum(-1)
        jacobian = sparse.diags(by_hx) @ cells.step_across + sparse.diags(by_hy) @ cells.step_down
        crease = -_CREASE * cells.sunk
        return self._of(normals) - self._smooth + crease @ relief, jacobian + crease

    def _of(self, normals: Doubles) -> Doubles:
        values: Doubles = normals @ self._slope + ((normals @ self._square) * normals).sum(-1)
        return values


def _most_probable(level: _Level, light: NDArray[np.float32], start: Doubles) -> Doubles:
    """The field at one resolution, (H, W) mm, from a first idea of it."""
    skin = level.weight > 0
    numbers = np.where(skin, np.cumsum(skin).reshape(skin.shape) - 1, -1)
    cells = _Cells.of(level, numbers)
    if not len(cells.rows):
        return np.zeros(skin.shape)
    shading = _Shading(light, cells)
    data, weight = cells.read(level.data), cells.read(level.weight * level.trust)
    steps = _differences(numbers) / (level.pitch_mm * _SIGMA_SLOPE)
    prior = steps.T @ steps + sparse.identity(np.count_nonzero(skin)) / _SIGMA_HEIGHT_MM**2

    def misfit(found: Doubles) -> tuple[float, Doubles, Matrix]:
        value, jacobian = shading(found)
        left = (data - value) / _SIGMA_DATA
        return float((weight * np.log1p(left**2)).sum() + found @ (prior @ found)), left, jacobian

    found = start[skin]
    cost, left, jacobian = misfit(found)
    for _ in range(_STEPS):
        believed = weight / (1 + left**2)
        scaled = jacobian / _SIGMA_DATA
        normal_matrix = (scaled.T @ (sparse.diags(believed) @ scaled) + prior).tocsr()
        pull = scaled.T @ (believed * left) - prior @ found
        inverse = sparse.diags(1 / normal_matrix.diagonal())
        step, _ = cg(normal_matrix, pull, rtol=_CG_TOLERANCE, maxiter=_CG_STEPS, M=inverse)
        for _ in range(_HALVINGS):
            tried = misfit(found + step)
            if tried[0] < cost:
                break
            step = step / 2
        else:
            break
        gained = cost - tried[0]
        found, (cost, left, jacobian) = found + step, tried
        if gained < 1e-3 * cost:
            break
    relief = np.zeros(skin.shape)
    relief[skin] = found
    return relief


def _below_surroundings(numbers: NDArray[np.intp], reach: int) -> Matrix:
    """How far every pixel of skin lies below the mean of the four ``reach`` pixels away, (P, P); what is no skin is
    left out."""
    count = int(numbers.max(initial=-1)) + 1
    padded = np.pad(numbers, reach, constant_values=-1)
    own, rows, columns = numbers[numbers >= 0], [], []
    size = numbers.shape
    for i, j in ((0, reach), (2 * reach, reach), (reach, 0), (reach, 2 * reach)):
        other = padded[i : i + size[0], j : j + size[1]][numbers >= 0]
        rows.append(own[other >= 0])
        columns.append(other[other >= 0])
    at, around = np.concatenate(rows), np.concatenate(columns)
    shares = 1 / np.maximum(np.bincount(at, minlength=count), 1)
    alone = np.bincount(at, minlength=count) > 0
    return sparse.csr_matrix((shares[at], (at, around)), (count, count)) - sparse.diags(alone.astype(float))


def _differences(numbers: NDArray[np.intp]) -> Matrix:
    """Between neighbours across and down, of which one at least is skin; the other is 0 where it is none."""
    blocks = []
    padded = np.pad(numbers, 1, constant_values=-1)
    for first, second in ((padded[1:-1, :-1], padded[1:-1, 1:]), (padded[:-1, 1:-1], padded[1:, 1:-1])):
        one, other = first.ravel(), second.ravel()
        wanted = (one >= 0) | (other >= 0)
        one, other = one[wanted], other[wanted]
        rows = np.arange(len(one))
        places = np.concatenate([rows[one >= 0], rows[other >= 0]])
        columns = np.concatenate([one[one >= 0], other[other >= 0]])
        signs = np.repeat([-1.0, 1.0], [np.count_nonzero(one >= 0), np.count_nonzero(other >= 0)])
        blocks.append(sparse.csr_matrix((signs, (places, columns)), (len(rows), int(numbers.max()) + 1)))
    return sparse.vstack(blocks).tocsr()


def _band_pass(values: NDArray[Any], weight: Floats, pitch_mm: float) -> Floats:
    """What lies between two Gaussians over the skin alone, of (H, W, C); 0 where there is none."""

    def blurred(image: NDArray[Any], sigma: float) -> NDArray[Any]:
        smooth = cv2.GaussianBlur(np.asarray(image, np.float32), (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(smooth)

    def mean(sigma: float) -> NDArray[Any]:
        shares = np.maximum(blurred(weight, sigma), 1e-4)
        return np.asarray(blurred(values * weight[..., None], sigma) / shares[..., None])

    band = mean(_FINE_MM / pitch_mm) - mean(_BROAD_MM / pitch_mm)
    return np.asarray(band * (weight > 0)[..., None], np.float32)


def _over_cells(values: NDArray[Any]) -> NDArray[Any]:
    """Means over 2 x 2 neighbours, (H - 1, W - 1, …)."""
    return (values[:-1, :-1] + values[1:, :-1] + values[:-1, 1:] + values[1:, 1:]) / 4


def _pooled(values: NDArray[Any]) -> NDArray[Any]:
    """Means over blocks of 2 x 2, (ceil(H / 2), ceil(W / 2), C); beyond the border there is nothing."""
    height, width = values.shape[:2]
    even = np.pad(values, ((0, height % 2), (0, width % 2), (0, 0)))
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
