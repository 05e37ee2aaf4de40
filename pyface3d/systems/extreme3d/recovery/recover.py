"""Relief under what covers a face: occluder map and seen relief in, relief without holes out.

Source: Tran et al., "Extreme 3D Face Reconstruction: Seeing Through Occlusions" (CVPR 2018), section 3.3, as far as the
paper tells; the authors released no program for it. docs/systems/extreme3d_recovery.md says what is done and how well.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.errors import InputError
from pyface3d.geometry.bump_maps import ORIGINAL_GAIN, ZERO_LEVEL, levels_from_relief, map_of_crop
from pyface3d.io.pictures import encode_png
from pyface3d.systems.extreme3d.foundation import Foundation
from pyface3d.systems.extreme3d.recovery.chart import COLUMNS, ROWS, FaceChart, Placement
from pyface3d.systems.extreme3d.recovery.fill import Donor, fill_holes
from pyface3d.systems.extreme3d.recovery.occluders import tidy_occluder
from pyface3d.systems.extreme3d.recovery.references import COARSER, References
from pyface3d.systems.extreme3d.recovery.retrieval import NOTHING, Choice, SeenRelief, choose_donor
from pyface3d.systems.extreme3d.relief import Relief

WEAK_SHARE = 0.6
"""Where more of the face than this is covered, what is left tells too little: the holes become membranes."""

_COUPLED_PX = 45  # holes nearer than this share a donor: both lenses of a pair of glasses do
_MOST_GROUPS = 5
_MARGIN_TEXELS = 12  # about a hole, for the feathered rim
_MIRROR_SOFT_PX = 9  # over so much the other side's relief takes over from the references'


def recover_relief(
    foundation: Foundation,
    relief: Relief,
    occluder: Tensor,
    chart: FaceChart,
    references: References | None = None,
    *,
    actions: dict[str, float] | None = None,
    compat_blend: bool = False,
) -> tuple[Relief, dict[str, Any]]:
    """Fill in the relief under an occluder.

    Args:
        foundation: the face before the crop's camera.
        relief: over the crop, with what the network made of the occluder; that is not used.
        occluder: (H, W) bool, raw: it is closed, freed of specks and grown here (`tidy_occluder`).
        chart: of the foundation's face model (`face_chart`).
        references: of `load_references`; None leaves the face's own other side, and membranes.
        actions: of the face's expression, by ARKit name, in [0, 1]; None: not known.
        compat_blend: joined as the published maps were, see `fill_holes`.

    Returns:
        The relief with the holes filled, its mask unchanged and ``recovered`` True in them: the same object where
        there is no hole. And a record of plain values: ``state`` ("none": nothing to do; "recovered"; "weak": too much
        is covered, or no hole has anything seen around it), ``occluded_share`` of the face, a list of ``holes`` with
        their donors, and what the ``references`` were. Relief that is not finite counts as covered.

    Raises:
        InputError: the occluder, the relief, the foundation or the chart do not fit each other.
    """
    size = foundation.camera.height, foundation.camera.width
    if tuple(relief.mm.shape) != size:
        raise InputError(f"the relief must have the crop's {size[0]} x {size[1]} pixels, got {tuple(relief.mm.shape)}")
    face = relief.face & foundation.fragments.mask[0]
    broken = face & ~torch.isfinite(relief.mm)
    holes = tidy_occluder(occluder, face) | broken
    share = float(holes.sum()) / max(int(face.sum()), 1)
    record: dict[str, Any] = {"state": "none", "occluded_share": round(share, 6), "holes": []}
    if not bool(holes.any()):
        return relief, record
    placement = Placement(foundation, chart)
    shown = face & ~holes
    labels, groups = _groups(holes)
    choices = [NOTHING] * groups
    chart_relief, known = placement.to_chart(relief.mm, shown)
    seen = SeenRelief(*_coarse(chart_relief, known))
    if share <= WEAK_SHARE:
        choices = [
            choose_donor(seen, _in_chart(placement, labels == k + 1), references, actions) for k in range(groups)
        ]
    donors = [
        _donor(choice, placement, labels == k + 1, relief.mm, shown, references) for k, choice in enumerate(choices)
    ]
    filled = fill_holes(relief.mm, face, labels, donors, compat=compat_blend)
    before = torch.zeros_like(holes) if relief.recovered is None else relief.recovered
    record["state"] = "weak" if all(choice.donor == "none" for choice in choices) else "recovered"
    record["holes"] = [_described(labels == k + 1, choices[k], donors[k]) for k in range(groups)]
    record["references"] = None if references is None else {"count": len(references), "recipe": references.recipe}
    record["not_finite"] = int(broken.sum())
    return replace(relief, mm=filled, recovered=before | holes), record


def encode_recovered(relief: Relief, gain: float = ORIGINAL_GAIN) -> Iterator[tuple[str, bytes]]:
    """Suffixes and contents of the files with recovered relief over a crop of 500²: ``_bump_blended.png``, 512 x 512
    levels as Extreme 3D Faces has them (`geometry.bump_maps`), and ``_bump_blended.npy``, (500, 500) float32 mm.
    Nothing where nothing was recovered."""
    if relief.recovered is None:
        return
    levels = levels_from_relief(relief.mm.cpu().numpy(), gain)
    yield "_bump_blended.png", encode_png(map_of_crop(levels, int(ZERO_LEVEL)))
    stream = io.BytesIO()
    np.save(stream, relief.mm.float().cpu().numpy())
    yield "_bump_blended.npy", stream.getvalue()


def _groups(holes: Tensor) -> tuple[Tensor, int]:
    """Number of the group of each pixel, (H, W) int64, 0 outside, and how many groups: holes that lie close together
    are one, so that they get one donor."""
    mask = holes.to(torch.uint8).numpy()
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_COUPLED_PX, _COUPLED_PX))
    count, labels = cv2.connectedComponents(cv2.dilate(mask, reach), connectivity=8)
    labels = np.where(mask > 0, labels, 0).astype(np.int64)
    sizes = np.bincount(labels.ravel(), minlength=count)[1:]
    rank = np.empty(count - 1, np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(count - 1)
    numbers = np.concatenate([[0], np.minimum(rank, _MOST_GROUPS - 1) + 1])
    return torch.from_numpy(numbers[labels]), min(count - 1, _MOST_GROUPS)


def _coarse(values: Tensor, known: Tensor) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A map of the chart at the resolution that is searched; known where all of a coarse texel is."""
    shape = ROWS // COARSER, COARSER, COLUMNS // COARSER, COARSER
    whole = known.view(shape).all(3).all(1).numpy()
    mean = values.view(shape).mean((1, 3)).float().numpy()
    return np.where(whole, mean, np.float32(0)), whole


def _in_chart(placement: Placement, hole: Tensor) -> NDArray[np.bool_]:
    """The coarse texels that lie under a hole of the crop."""
    share, _ = placement.to_chart(hole.double(), placement.drawn)
    shape = ROWS // COARSER, COARSER, COLUMNS // COARSER, COARSER
    found: NDArray[np.bool_] = (share > 0).view(shape).any(3).any(1).numpy()
    return found


class _Found(NamedTuple):
    relief: Tensor
    valid: Tensor


def _donor(
    choice: Choice, placement: Placement, hole: Tensor, mm: Tensor, shown: Tensor, references: References | None
) -> Donor:
    """What a choice gives over the crop, in a hole and next to it."""
    nothing = Donor(torch.zeros_like(mm), torch.zeros_like(shown), 1.0)
    if choice.donor == "none":
        return nothing
    mirror = _Found(*placement.mirrored(mm, shown))
    if choice.combination is None or references is None:
        return Donor(mirror.relief, mirror.valid, choice.scale)
    rows, columns = _around(placement.texels[hole & placement.on_chart])
    laid, there = mm.new_zeros(ROWS, COLUMNS), torch.zeros(ROWS, COLUMNS, dtype=torch.bool)
    laid[rows, columns] = torch.from_numpy(choice.combination.over(references, rows, columns)).to(mm)
    there[rows, columns] = True
    expected = _Found(*placement.to_crop(laid, there))
    both = mirror.valid & expected.valid
    if choice.mirror_share == 0 or not bool(both.any()):
        return Donor(expected.relief, expected.valid, choice.scale)
    beyond = mirror.relief - choice.scale * expected.relief
    beyond = torch.where(both, beyond - beyond[both].median(), torch.zeros_like(beyond))
    soft = choice.mirror_share * _soft_inside(both)
    return Donor(choice.scale * expected.relief + soft * beyond, expected.valid, 1.0)


def _around(texels: Tensor) -> tuple[slice, slice]:
    """Rows and columns of the chart about some texels (N, 2) of it."""
    if not len(texels):
        return slice(0, 0), slice(0, 0)
    first = (texels.amin(0) - _MARGIN_TEXELS).long().clamp_min(0).tolist()
    last = (texels.amax(0) + _MARGIN_TEXELS).long().tolist()
    return slice(first[1], min(last[1], ROWS)), slice(first[0], min(last[0], COLUMNS))


def _soft_inside(mask: Tensor) -> Tensor:
    """1 well inside a mask, falling to 0 at its edge, (H, W) float64."""
    padded = np.pad(mask.to(torch.uint8).numpy(), 1)
    far = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    return torch.from_numpy(np.clip(far / _MIRROR_SOFT_PX, 0, 1).astype(np.float64))


def _described(hole: Tensor, choice: Choice, donor: Donor) -> dict[str, Any]:
    pixels = int(hole.sum())
    described: dict[str, Any] = {"pixels": pixels, "donor": "membrane" if choice.donor == "none" else choice.donor}
    if choice.donor != "none":
        described["covered_by_donor"] = round(float(donor.valid[hole].double().mean()), 4)
        described["mirror_share"] = round(choice.mirror_share, 4)
        described["scale"] = round(choice.scale, 4)
        for name in ("mirror_cost", "reference_cost"):
            cost = getattr(choice, name)
            described[name] = None if cost is None else round(cost, 6)
        described["nearest_reference"] = choice.nearest
    return described
