"""What the references say of the relief in a hole: for every part of it, the combination of them that explains best
what is seen around that part and on the other side of the face.

Ridge regression on gradients, local as in the analysis of weather (Hunt, Kostelich & Szunyogh 2007, "Efficient data
assimilation for spatiotemporal chaos: a local ensemble transform Kalman filter"): with some hundred references, what
two far places seem to have in common is mostly chance. How strong the ridge must be the references tell themselves,
each left out in turn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pyface3d.systems.extreme3d.recovery.chart import TEXEL_MM
from pyface3d.systems.extreme3d.recovery.references import COARSER, References

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

COARSE_MM = TEXEL_MM * COARSER
GAIN = 1.32
"""Factor on a combination's gradients: an expectation is flatter than any face, and so much more costs it little."""

_SPACING_MM, _SPREAD_MM = 24.0, 11.0  # between the middles of two parts; how softly one goes over into the next
_COVERED = 0.25  # weight of a part in some texel of the hole, below which it is not needed
_NEAR_MM, _FROM_HOLE_MM = 14.0, 28.0  # over so much what is seen loses its say with the distance
_LEAST_SAY, _MOST_EDGES, _MOST_HIDDEN = 0.02, 2500, 400
_RIDGES = (0.1, 0.3, 1.0, 3.0)  # of the mean variance of the references' gradients
_AT_ONCE = 32


class Edges:
    """Pairs of neighbouring texels that a mask holds both of."""

    def __init__(self, first: NDArray[np.intp], second: NDArray[np.intp]) -> None:
        self.first, self.second = first, second

    @classmethod
    def within(cls, mask: Mask) -> Edges:
        across, down = mask.copy(), mask.copy()
        across[:, :-1] &= mask[:, 1:]
        down[:-1] &= mask[1:]
        across[:, -1] = down[-1] = False
        right, below = np.flatnonzero(across), np.flatnonzero(down)
        return cls(np.concatenate([right, below]), np.concatenate([right + 1, below + mask.shape[1]]))

    def __len__(self) -> int:
        return len(self.first)

    def of(self, some: NDArray[Any]) -> Edges:
        return Edges(self.first[some], self.second[some])

    def thinned(self, most: int) -> Edges:
        return self.of(np.arange(0, len(self), max(1, -(-len(self) // most))))

    def gradients(self, flat: Floats) -> Floats:
        """Differences along the edges of maps (..., texels): (..., edges), mm a coarse texel."""
        return np.asarray(flat[..., self.second] - flat[..., self.first], np.float32)

    def both(self, mask: Mask) -> Mask:
        flat = mask.reshape(-1)
        return np.asarray(flat[self.first] & flat[self.second])


@dataclass(frozen=True, eq=False)
class Combination:
    """Weights of the references, for each of T parts of a hole.

    Attributes:
        middles: (T, 2) column and row of the parts' middles, coarse texels.
        weights: (T, N), adding up to one.
    """

    middles: Floats
    weights: NDArray[np.float32]

    def over(self, references: References, rows: slice, columns: slice) -> Floats:
        """The combination in some rows and columns of the fine chart, float32 mm."""
        y, x = np.mgrid[rows, columns]
        shares = _shares((x + 0.5) / COARSER, (y + 0.5) / COARSER, self.middles)
        total = np.zeros(x.shape, np.float32)
        for start in range(0, self.weights.shape[1], _AT_ONCE):  # all of them in float32 are 220 MB
            some = slice(start, start + _AT_ONCE)
            part = np.asarray(references.relief[some, rows, columns], np.float32)
            total += (np.tensordot(self.weights[:, some], part, 1) * shares).sum(0)
        return total

    def gradients(self, references: References, edges: Edges) -> Floats:
        """The combination's differences along edges of the coarse chart."""
        width = references.coarse.shape[2]
        shares = _shares(edges.first % width + 0.5, edges.first // width + 0.5, self.middles)
        return np.asarray((shares * (self.weights @ edges.gradients(references.flat))).sum(0), np.float32)


def combine(references: References, relief: Floats, known: Mask, hole: Mask) -> Combination:
    """The combination of references for a hole, from what is known outside of it.

    Args:
        relief: (r, c) mm in the coarse chart.
        known, hole: (r, c) bool; the hole is not empty.
    """
    seen = Edges.within(known & ~hole)
    away = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 5) * COARSE_MM
    say = np.exp(-away.reshape(-1)[seen.first] / _FROM_HOLE_MM)
    hidden = Edges.within(hole)
    parts = sorted(_parts(hole), key=lambda part: -part[1])  # the ridge is chosen for the one with most of the hole
    share = 0.0
    middles, weights = [], []
    for number, (middle, _) in enumerate(parts):
        local = say * np.exp(-_nearer(seen, middle, hole.shape[1]) / _NEAR_MM)
        some = np.flatnonzero(local > _LEAST_SAY)
        some = some[:: max(1, -(-len(some) // _MOST_EDGES))]
        edges, near = seen.of(some), local[some].astype(np.float32)
        maps = edges.gradients(references.flat)
        mean = maps.mean(0)
        about = (maps - mean) * near
        own = (edges.gradients(relief.reshape(-1)) - mean) * near
        gram = about @ about.T
        scale = float(np.trace(gram)) / len(gram) + 1e-12
        if number == 0:
            here = _of_part(hidden, middle, hole.shape[1]).thinned(_MOST_HIDDEN)
            targets = here.gradients(references.flat)
            targets -= targets.mean(0)
            tried = [left_out(ridge_inverse(gram, ridge * scale), targets) for ridge in _RIDGES]
            share = _RIDGES[int(np.argmin([float(((said - targets) ** 2).sum()) for said in tried]))]
        inverse = ridge_inverse(gram, share * scale)
        solved = inverse @ (about @ own)
        middles.append(middle)
        weights.append(solved + (1 - solved.sum()) / len(solved))
    return Combination(np.array(middles), np.array(weights, np.float32))


def ridge_inverse(gram: Floats, ridge: float) -> Floats:
    """Inverse of a kernel (N, N) between samples with a ridge above 0 on its diagonal."""
    return np.asarray(np.linalg.inv(gram + ridge * np.eye(len(gram), dtype=gram.dtype)))


def left_out(inverse: Floats, targets: Floats) -> Floats:
    """What kernel ridge regression on all other samples says of each sample's targets (N, T), in closed form (Hastie,
    Tibshirani & Friedman, The Elements of Statistical Learning, section 7.10); ``inverse`` is `ridge_inverse`."""
    return np.asarray(targets - (inverse @ targets) / np.diag(inverse)[:, None])


def _parts(hole: Mask) -> Iterator[tuple[tuple[float, float], float]]:
    """Middles (column, row) of the parts of a hole, and how much of it is in each."""
    rows, columns = np.nonzero(hole)
    spacing = _SPACING_MM / COARSE_MM
    for y in _steps(rows, spacing):
        for x in _steps(columns, spacing):
            weight = np.exp(-((columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2) / (2 * (_SPREAD_MM / COARSE_MM) ** 2))
            if weight.max() >= _COVERED:
                yield (float(x), float(y)), float(weight.sum())


def _steps(places: NDArray[np.intp], spacing: float) -> Floats:
    """Numbers about ``spacing`` apart in the middle of the range of some places."""
    low, high = float(places.min()), float(places.max()) + 1
    count = max(1, math.ceil((high - low) / spacing))
    return np.asarray((low + high) / 2 + spacing * (np.arange(count) - (count - 1) / 2))


def _nearer(edges: Edges, middle: tuple[float, float], width: int) -> Floats:
    """Distance in mm of edges from a middle or from its mirror image, whichever is nearer."""
    x, y = edges.first % width + 0.5 - middle[0], edges.first // width + 0.5 - middle[1]
    other = edges.first % width + 0.5 - (width - middle[0])
    return np.asarray(np.hypot(np.minimum(np.abs(x), np.abs(other)), y) * COARSE_MM)


def _of_part(hidden: Edges, middle: tuple[float, float], width: int) -> Edges:
    x, y = hidden.first % width + 0.5 - middle[0], hidden.first // width + 0.5 - middle[1]
    return hidden.of(np.flatnonzero(np.hypot(x, y) * COARSE_MM < 1.5 * _SPREAD_MM))


def _shares(x: Floats, y: Floats, middles: Floats) -> NDArray[np.float32]:
    """How far each part decides at places of the coarse chart, (T, ...), adding up to one."""
    far = [((x - column) ** 2 + (y - row) ** 2) / (2 * (_SPREAD_MM / COARSE_MM) ** 2) for column, row in middles]
    least = np.minimum.reduce(far)
    raw = np.stack([np.exp(least - one) for one in far]).astype(np.float32)
    return np.asarray(raw / raw.sum(0), np.float32)
