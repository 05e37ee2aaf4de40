"""The protocol of AFLW2000-3D: known landmarks, the normalised mean error, and what a table says of it.

Per picture: the mean distance over all 68 landmarks, hidden ones too, over the square root of the area of the true
landmarks' tight box. Pictures are averaged within three ranges of |yaw|; the headline is the mean of the three means,
its spread their standard deviation. Source: Zhu et al., "Face alignment across large poses" (CVPR 2016), section 5.2.

Truths count the middle of the first pixel as 0, and so do the arrays that are scored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyface3d.errors import InputError
from pyface3d.evaluate.landmark_arrays import NUM_LANDMARKS, read_numbers
from pyface3d.evaluate.tables import Cell

Numbers = NDArray[np.float64]

YAW_BINS = {"≤30°": (-1.0, 30.0), "30–60°": (30.0, 60.0), ">60°": (60.0, np.inf)}
"""Ranges of |yaw| in degrees, the lower end left out and the upper one in."""
FAILURE_PERCENT = 10.0

_TRUTHS = {
    "original": ("AFLW2000-3D.pts68.npy", 3),
    "re-annotated": ("AFLW2000-3D-Reannotated.pts68.npy", 2),
}
_SPLITS = {"new.pose": "AFLW2000-3D-new.pose.npy", "pose": "AFLW2000-3D.pose.npy"}


@dataclass(frozen=True, eq=False)
class Protocol:
    """Known landmarks of N pictures.

    Attributes:
        truths: (N, 68, 2) px, the middle of the first pixel at 0, by the name of the annotation.
        splits: |yaw| (N,) in degrees, by the name of where it comes from; the first is the one that is published.
    """

    truths: Mapping[str, Numbers]
    splits: Mapping[str, Numbers]

    def __len__(self) -> int:
        return len(next(iter(self.truths.values())))

    def part(self, inside: NDArray[np.intp]) -> Protocol:
        """The same of the pictures of these numbers."""
        return Protocol(
            {name: truth[inside] for name, truth in self.truths.items()},
            {name: yaw[inside] for name, yaw in self.splits.items()},
        )


def read_protocol(folder: Path) -> Protocol:
    """The truths of AFLW2000-3D as 3DDFA publishes them: the two annotations and the two lists of yaw.

    Raises:
        InputError: the folder lacks both annotations or both lists, or a file is damaged.
    """
    truths, splits = {}, {}
    for name, (file, coordinates) in _TRUTHS.items():
        if (folder / file).is_file():
            points = read_numbers(folder / file, (None, coordinates, NUM_LANDMARKS))
            truths[name] = np.ascontiguousarray(points[:, :2].transpose(0, 2, 1))
    for name, file in _SPLITS.items():
        if (folder / file).is_file():
            splits[name] = np.abs(read_numbers(folder / file, (None,)))
    if not truths or not splits:
        wanted = [file for file, _ in _TRUTHS.values()] if not truths else list(_SPLITS.values())
        raise InputError(
            f"{folder} has neither {' nor '.join(wanted)}; give the folder of AFLW2000-3D's truths that comes with "
            "3DDFA (test.configs), or one with landmarks68.npz"
        )
    lengths = {len(value) for value in (*truths.values(), *splits.values())}
    if len(lengths) != 1 or 0 in lengths:
        raise InputError(f"the files in {folder} are of {sorted(lengths)} pictures; they must be of the same ones")
    return Protocol(truths, splits)


def nme_percent(points: Numbers, truth: Numbers) -> Numbers:
    """Normalised mean error of each picture in per cent.

    Args:
        points: predicted landmarks (N, 68, 2); NaN where there are none.
        truth: (N, 68, 2), same pixels.

    Returns:
        (N,); NaN where a landmark is missing, infinite where the true box has no area.
    """
    size = np.ptp(truth, axis=1).prod(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 100 * np.linalg.norm(points - truth, axis=2).mean(axis=1) / np.sqrt(size)


def figures(errors: Numbers, yaw: Numbers) -> dict[str, Cell]:
    """One row's figures.

    Args:
        errors: (N,) per cent, NaN for pictures without landmarks: they are left out of means and medians, and counted
            as failures.
        yaw: |yaw| (N,) degrees.

    Returns:
        Numbers, mean and standard deviation over the pictures of each range of yaw; mean and standard deviation of the
        three means; mean, median, failures and area under the cumulative curve of all pictures. None where a range is
        empty, or for the headline where any is.
    """
    found = np.isfinite(errors)
    row: dict[str, Cell] = {"pictures": len(errors), "found": int(found.sum())}
    means: list[float] = []
    for name, (low, high) in YAW_BINS.items():
        inside = (yaw > low) & (yaw <= high)
        row[f"n {name}"] = int(inside.sum())
        inside &= found
        row[f"{name} %"] = row[f"{name} std"] = None
        if inside.any():
            means.append(float(errors[inside].mean()))
            row |= {f"{name} %": means[-1], f"{name} std": float(errors[inside].std())}
    complete = len(means) == len(YAW_BINS)
    row["mean %"] = float(np.mean(means)) if complete else None
    row["std"] = float(np.std(means)) if complete else None
    row["all pictures %"] = float(errors[found].mean()) if found.any() else None
    row["median %"] = float(np.median(errors[found])) if found.any() else None
    row[f"above {FAILURE_PERCENT:g} %"] = int((~(errors <= FAILURE_PERCENT)).sum())
    gained = 1 - np.where(found, errors, np.inf) / FAILURE_PERCENT
    row[f"area to {FAILURE_PERCENT:g} %"] = float(100 * gained.clip(0).mean()) if len(errors) else None
    return row
