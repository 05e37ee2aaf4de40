"""Periodic tiles of procedural textures, made once from a fixed seed: cloth, walls, foliage, writing, noise."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.io.color import srgb_to_linear

SIZE = 128
_PER_FAMILY = 10

Array = NDArray[np.floating]


@cache
def texture_tiles(device: torch.device) -> Tensor:
    """(N, 3, 128, 128) linear RGB float32; every tile continues over its edges."""
    rng = np.random.default_rng(4711)
    tiles = [family(rng) for family in _FAMILIES for _ in range(_PER_FAMILY)]
    return srgb_to_linear(torch.from_numpy(np.stack(tiles).astype(np.float32)).clamp(0, 1)).to(device)


def _grid() -> tuple[Array, Array]:
    at = (np.arange(SIZE) + 0.5) / SIZE
    across, down = np.meshgrid(at, at)
    return across, down


def _palette(rng: np.random.Generator, field: Array) -> Array:
    """(3, S, S) colours of a field in [0, 1]: straight lines between four random ones, half of them muted."""
    colors = rng.random((4, 3))
    if rng.random() < 0.5:
        colors = colors.mean(1, keepdims=True) + 0.35 * (colors - colors.mean(1, keepdims=True))
    return np.stack([np.interp(field, np.linspace(0, 1, 4), colors[:, channel]) for channel in range(3)])


def _clouds(rng: np.random.Generator, slope: float, low: float = 0, high: float = SIZE) -> Array:
    """(S, S) in [0, 1]: noise with a spectrum of power -``slope`` between two numbers of waves per side."""
    waves = np.fft.fftfreq(SIZE, 1 / SIZE)
    radius = np.hypot(waves[:, None], waves)
    gain = np.where((radius >= max(low, 1)) & (radius <= high), np.maximum(radius, 1) ** -slope, 0)
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((SIZE, SIZE))) * gain).real
    return np.clip(0.5 + 0.2 * (field - field.mean()) / (field.std() + 1e-9), 0, 1)


def _noise(rng: np.random.Generator) -> Array:
    field = _clouds(rng, rng.uniform(0.6, 2.4))
    if rng.random() < 0.4:  # patches with borders, as of camouflage or peeling paint
        field = np.floor(field * 4) / 3
    return np.clip(_palette(rng, np.clip(field, 0, 1)) + 0.15 * (_clouds(rng, 0.3) - 0.5), 0, 1)


def _grass(rng: np.random.Generator) -> Array:
    """Fibres: noise stretched along one axis, as of wood, fur, grass or brushed metal."""
    field = _clouds(rng, rng.uniform(0.2, 1.0), low=4)
    spread = (
        np.fft.fft(field, axis=0) * np.exp(-0.5 * (np.fft.fftfreq(SIZE, 1 / SIZE) / rng.uniform(2, 10)) ** 2)[:, None]
    )
    field = np.fft.ifft(spread, axis=0).real
    field = np.clip(0.5 + 0.25 * (field - field.mean()) / (field.std() + 1e-9), 0, 1)
    return _palette(rng, field if rng.random() < 0.6 else field.T)


def _stripes(rng: np.random.Generator) -> Array:
    across, down = _grid()
    first, second = rng.integers(1, 12, 2)
    wave = np.sin(2 * np.pi * first * across + rng.uniform(0, 6))
    kind = rng.integers(3)
    if kind == 1:  # checks
        wave = wave * np.sin(2 * np.pi * first * down)
    elif kind == 2:  # plaid
        wave = 0.5 * wave + 0.5 * np.sin(2 * np.pi * second * down) + 0.3 * np.sin(2 * np.pi * 3 * second * across)
    sharp = rng.uniform(0.5, 12)
    return np.clip(_palette(rng, 0.5 + 0.5 * np.tanh(sharp * wave)) + 0.1 * (_clouds(rng, 0.6) - 0.5), 0, 1)


def _bricks(rng: np.random.Generator) -> Array:
    across, down = _grid()
    rows, columns = 2 * rng.integers(2, 7), rng.integers(2, 6)
    row = np.floor(down * rows)
    along = across * columns + (row % 2) * rng.choice([0, 0.5])
    column = np.floor(along) % columns
    joint = np.minimum((along % 1) / columns, (down * rows % 1) / rows) < rng.uniform(0.008, 0.03)
    tone = rng.random((int(rows), int(columns)))[row.astype(int) % rows, column.astype(int)]
    field = np.clip(0.35 + 0.3 * tone + 0.5 * (_clouds(rng, 1.2) - 0.5), 0, 1)
    return np.where(joint, rng.random((3, 1, 1)), _palette(rng, field))


def _dots(rng: np.random.Generator) -> Array:
    across, down = _grid()
    count = rng.integers(2, 9)
    x, y = across * count, down * count
    x = x + 0.5 * (np.floor(y) % 2) * rng.integers(2)
    radius = np.hypot(x % 1 - 0.5, y % 1 - 0.5)
    return _palette(rng, 1 / (1 + np.exp((radius - rng.uniform(0.15, 0.45)) * 40)))


def _leaves(rng: np.random.Generator) -> Array:
    """Opaque shapes thrown on one another, sizes after a power law: statistics of edges like those of photos."""
    across, down = _grid()
    tile = np.broadcast_to(rng.random((3, 1, 1)), (3, SIZE, SIZE)).copy()
    kind = rng.integers(3)
    base = rng.random(3)
    for _ in range(220):
        x = (across - rng.random() + 0.5) % 1 - 0.5
        y = (down - rng.random() + 0.5) % 1 - 0.5
        angle, size = rng.uniform(0, np.pi), min(0.04 / np.sqrt(rng.uniform(0.02, 1)), 0.24)
        x, y = x * np.cos(angle) + y * np.sin(angle), (y * np.cos(angle) - x * np.sin(angle)) * rng.uniform(1, 2.5)
        if kind == 0:
            inside = np.hypot(x, y) < size
        elif kind == 1:
            inside = np.maximum(np.abs(x), np.abs(y)) < size
        else:  # the lens between two circles
            inside = np.hypot(x, np.abs(y) + size) < 1.4 * size
        color = np.clip(base + rng.normal(0, 0.22, 3), 0, 1)[:, None, None]
        tile = np.where(inside, color * (1 + 1.5 * (x + y)), tile)
    return np.clip(tile, 0, 1)


def _page(rng: np.random.Generator) -> Array:
    """Lines of dark marks on light ground or the reverse, as of print and signs."""
    rows = int(rng.integers(4, 14))
    height = SIZE // rows
    ink = np.zeros((SIZE, SIZE))
    for row in range(rows):
        marks = rng.random((max(2, height - 3), SIZE // 2)) > 0.5
        words = np.repeat(rng.random(SIZE // 8) > 0.2, 4)[: SIZE // 2]
        line = np.repeat(marks & words, 2, 1)
        ink[row * height : row * height + len(line)] = line
    return _palette(rng, ink * rng.uniform(0.5, 1))


def _weave(rng: np.random.Generator) -> Array:
    across, down = _grid()
    count = rng.integers(8, 33)
    x, y = 2 * np.pi * count * across, 2 * np.pi * count * down
    knit = rng.random() < 0.5
    thread = (
        np.cos(x + 0.8 * np.abs((y / np.pi) % 2 - 1)) * np.cos(y)
        if knit
        else np.cos(x) * np.sign(np.cos(y / 2)) + np.cos(y)
    )
    return _palette(rng, np.clip(0.45 + 0.16 * thread + 0.4 * (_clouds(rng, 1.5) - 0.5), 0, 1))


def _cells(rng: np.random.Generator) -> Array:
    """Voronoi cells: stones, crowds, bokeh when it is blurred."""
    across, down = _grid()
    count = int(rng.integers(12, 60))
    middles, colors = rng.random((count, 2)), rng.random((count, 3)) ** rng.uniform(0.5, 2)
    x = (across[..., None] - middles[:, 0] + 0.5) % 1 - 0.5
    y = (down[..., None] - middles[:, 1] + 0.5) % 1 - 0.5
    distance = np.hypot(x, y)
    nearest = distance.argmin(-1)
    two = np.partition(distance, 1, -1)[..., :2]
    edge = np.clip((two[..., 1] - two[..., 0]) * rng.uniform(20, 90), 0, 1)
    return colors[nearest].transpose(2, 0, 1) * edge


def _marble(rng: np.random.Generator) -> Array:
    across, down = _grid()
    turns = rng.integers(1, 6)
    field = np.sin(2 * np.pi * (turns * across + rng.integers(0, 3) * down + rng.uniform(0.5, 3) * _clouds(rng, 1.8)))
    return _palette(rng, 0.5 + 0.5 * field)


_FAMILIES: tuple[Callable[[np.random.Generator], Array], ...] = (
    _noise, _grass, _stripes, _bricks, _dots, _leaves, _leaves, _page, _weave, _cells, _marble, _noise,
)  # fmt: skip
