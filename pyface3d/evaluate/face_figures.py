"""How well a predictor follows what faces do: openings, widths and heights told from 68 landmarks.

A predictor that moves the mean face about as one piece has small errors on average and follows nothing. Every figure is
in the face's own frame: unit is the true distance of the outer eye corners, first axis their line, so that neither
size nor roll shows in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyface3d.detect.crops import Points
from pyface3d.evaluate.landmark_errors import eye_distance, own_frame, yaw_of_landmarks
from pyface3d.evaluate.tables import Cell, Table

_FRONTAL_DEG = 20.0
_CHIN_SHARE = (0.9, 1.8)  # of the eyes' distance from the nose's root: beyond, the head nods
_EYES = slice(36, 48)

Figure = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _between(upper: tuple[int, ...], lower: tuple[int, ...], axis: int) -> Figure:
    """Mean of the ``lower`` (or right) landmarks less mean of the ``upper`` (or left) ones along an axis."""
    return lambda points: points[:, lower, axis].mean(axis=1) - points[:, upper, axis].mean(axis=1)


def _height(landmarks: tuple[int, ...]) -> Figure:
    """How far below the eyes' middle."""
    return lambda points: points[:, landmarks, 1].mean(axis=1)


FIGURES: dict[str, Figure] = {
    "mouth opening": _between((62,), (66,), 1),
    "mouth width": _between((48,), (54,), 0),
    "mouth corners below upper lip": _between((51,), (48, 54), 1),
    "lower lip": _height((57,)),
    "eye opening": _between((37, 38, 43, 44), (40, 41, 46, 47), 1),
    "brows above eyes": lambda points: -points[:, 17:27, 1].mean(axis=1),
    "brow gap": _between((21,), (22,), 0),
    "nose width": _between((31,), (35,), 0),
    "nose bottom": _height((33,)),
    "chin": _height((8,)),
    "jaw width": _between((4,), (12,), 0),
    "temple width": _between((0,), (16,), 0),
    "turn (nose tip)": lambda points: points[:, 30, 0],
}
"""By name; each maps points (N, 68, 2) in the face's frame to (N,)."""


@dataclass(frozen=True)
class Followed:
    """One figure over many faces: how it varies in truth and prediction, and how the second follows the first.

    ``slope`` is that of the predicted figure over the true one in least squares, ``correlation`` theirs; NaN where the
    truth does not vary.
    """

    true_mean: float
    true_std: float
    mean: float
    std: float
    slope: float
    correlation: float


def followed(points: Points, truth: Points) -> dict[str, Followed]:
    """Every figure of predicted landmarks beside the true ones, (N, 68, 2) px."""
    turn, unit = own_frame(truth)
    middle = np.asarray(truth, np.float64)[:, _EYES].mean(axis=1, keepdims=True)

    def in_frame(each: Points) -> NDArray[np.float64]:
        return np.einsum("nji,nkj->nki", turn, each - middle) / unit[:, None, None]

    predicted, true = in_frame(points), in_frame(truth)
    return {name: _follow(figure(predicted), figure(true)) for name, figure in FIGURES.items()}


def frontal(truth: Points) -> NDArray[np.bool_]:
    """Which faces (N,) look about straight ahead, so that figures tell of the face rather than of its pose."""
    long = np.linalg.norm(np.asarray(truth, np.float64)[:, 8] - truth[:, 27], axis=-1) / eye_distance(truth)
    level = (long > _CHIN_SHARE[0]) & (long < _CHIN_SHARE[1])
    return level & (np.abs(yaw_of_landmarks(truth)) < _FRONTAL_DEG)


def figures_table(sources: dict[str, tuple[Points, Points]]) -> Table:
    """Figures of the frontal faces of each source: predicted and true landmarks by the source's name."""
    chosen = {name: frontal(truth) for name, (_, truth) in sources.items()}
    counts = ", ".join(f"{name} {int(which.sum())}" for name, which in chosen.items())
    results = {
        name: followed(points[chosen[name]], truth[chosen[name]])
        for name, (points, truth) in sources.items()
        if chosen[name].any()
    }
    rows: list[dict[str, Cell]] = []
    for figure in FIGURES:
        row: dict[str, Cell] = {"figure": figure}
        for name, figures in results.items():
            one = figures[figure]
            row[f"{name}: true"] = f"{one.true_mean:.3f} ± {one.true_std:.3f}"
            row[f"{name}: predicted"] = f"{one.mean:.3f} ± {one.std:.3f}"
            row[f"{name}: slope"] = one.slope
            row[f"{name}: correlation"] = one.correlation
        rows.append(row)
    notes = ["unit: true distance of the outer eye corners; slope 1: followed fully, 0: not at all"]
    return Table(f"What frontal faces do, and how it is followed ({counts})", rows, notes)


def _follow(predicted: NDArray[np.float64], true: NDArray[np.float64]) -> Followed:
    spread, varies = true.std(), predicted.std()
    shared = ((predicted - predicted.mean()) * (true - true.mean())).mean()
    return Followed(
        true_mean=float(true.mean()),
        true_std=float(spread),
        mean=float(predicted.mean()),
        std=float(varies),
        slope=float(shared / spread**2) if spread > 0 else float("nan"),
        correlation=float(shared / (spread * varies)) if spread > 0 and varies > 0 else float("nan"),
    )
