"""Whose relief goes into a hole: the face's own other side, or what the references say of a face with this collar.

Every reference, and the own mirror image, is compared with what is seen around the hole (the collar). One reference
alone repeats the collar of its own face only roughly; their `combination` is the expected relief of such a face in the
hole. Where the other side of the face is seen, what it has beyond that expectation is added: as far as the collar shows
the face to be symmetric beyond it, and at least by the share by which the mirror image is the cheaper donor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pyface3d.systems.extreme3d.recovery.combination import COARSE_MM, GAIN, Combination, Edges, Floats, Mask, combine
from pyface3d.systems.extreme3d.recovery.references import COARSER, References

COLLAR_MM = 36.0
"""How far from a hole relief is compared, along the seen surface: 60 px of the crop."""
MIRROR_BONUS = 0.9
"""The own mirror image's cost counts for so much: it is this very face."""

_OFFSET_COST, _EXPRESSION_COST = 0.25, 0.1
_COST_SAMPLES = 1500  # texels of the collar that costs are taken over; more change nothing
_LEAST_COLLAR = 40  # coarse texels, 70 mm²
_MIRROR_SEEN = 0.5  # of a hole whose other side is seen, before that may be the donor
_LEAST_OVERLAP = 0.15  # of the collar whose other side is seen, before symmetry is judged by it
_MOSTLY = 0.5
_SCALES = (0.5, 2.0)


@dataclass(frozen=True, eq=False)
class SeenRelief:
    """What is seen of a face, in the coarse chart.

    Attributes:
        relief: (r, c) float32 mm, 0 where not known.
        known: (r, c) bool.
    """

    relief: Floats
    known: Mask

    @property
    def mirrored(self) -> SeenRelief:
        return SeenRelief(self.relief[:, ::-1], self.known[:, ::-1])

    @property
    def flat(self) -> Floats:
        return self.relief.reshape(-1)


@dataclass(frozen=True, eq=False)
class Choice:
    """Where the relief for one hole comes from.

    Attributes:
        donor: which gives most of it: "mirror", "references", or "none" (no collar: nothing to go by).
        combination: of the references; None without them.
        mirror_share: how far the other side replaces the combination, in [0, 1].
        scale: factor on the donor's gradients.
        mirror_cost, reference_cost: of the own mirror image (bonus included) and of the nearest reference; None where
            they cannot be told.
        nearest: number of that reference.
    """

    donor: str
    combination: Combination | None
    mirror_share: float
    scale: float
    mirror_cost: float | None = None
    reference_cost: float | None = None
    nearest: int | None = None


NOTHING = Choice("none", None, 0.0, 1.0)


def choose_donor(
    seen: SeenRelief, hole: Mask, references: References | None, actions: dict[str, float] | None = None
) -> Choice:
    """The donor for one hole, or for several that go together.

    Args:
        seen: of the face.
        hole: (r, c) bool.
        references: None leaves the own mirror image alone.
        actions: of the face's expression, by name, in [0, 1]; references that make others cost more. None: not known.
    """
    distance = geodesic_mm(hole, seen.known & ~hole)
    collar = Edges.within(np.isfinite(distance))
    if len(collar) < _LEAST_COLLAR:
        return NOTHING
    own, other = collar.gradients(seen.flat), seen.mirrored
    opposite = collar.both(other.known)
    overlap = float(opposite.mean())
    mirror_seen = float(other.known[hole].mean()) if hole.any() else 0.0
    mirror_cost = None
    if mirror_seen >= _MIRROR_SEEN and overlap >= _LEAST_OVERLAP:
        mirror_cost = MIRROR_BONUS * _mirror_cost(collar, seen, other, opposite)
    if references is None:
        if mirror_cost is None:
            return NOTHING
        scale = _scale(own[opposite], collar.gradients(other.flat)[opposite])
        return Choice("mirror", None, 1.0, scale, mirror_cost)
    costs = reference_costs(np.isfinite(distance), seen, references, actions)
    nearest = int(costs.argmin())
    found = combine(references, seen.relief, seen.known, hole)
    mirror_share = 0.0
    if mirror_seen > 0 and overlap >= _LEAST_OVERLAP:
        expected = found.gradients(references, collar)
        beyond = (collar.gradients(other.flat) - expected)[opposite]
        left = (own - expected)[opposite]
        mirror_share = float(np.clip((left * beyond).sum() / max(float((beyond**2).sum()), 1e-12), 0, 1))
    if mirror_cost is not None and mirror_cost < costs[nearest]:
        mirror_share = max(mirror_share, 1 - mirror_cost / float(costs[nearest]))
    return Choice(
        "mirror" if mirror_share >= _MOSTLY else "references",
        found,
        mirror_share,
        GAIN,
        mirror_cost,
        float(costs[nearest]),
        nearest,
    )


def geodesic_mm(hole: Mask, known: Mask) -> Floats:
    """Distance from the hole in mm through known texels, up to `COLLAR_MM`; infinite elsewhere and in the hole.

    Octagonal: a step to four neighbours, then one to eight, in turn.
    """
    step = COARSE_MM
    distance = np.full(hole.shape, np.inf, np.float32)
    front = hole.astype(np.uint8)
    shapes = [cv2.getStructuringElement(shape, (3, 3)) for shape in (cv2.MORPH_CROSS, cv2.MORPH_RECT)]
    for number in range(int(COLLAR_MM / step)):
        grown = cv2.dilate(front, shapes[number % 2]).astype(bool) & (known | hole)
        distance[grown & ~front.astype(bool)] = (number + 1) * step
        front = grown.astype(np.uint8)
    distance[hole] = np.inf
    return distance


def _mirror_cost(collar: Edges, seen: SeenRelief, other: SeenRelief, opposite: Mask) -> float:
    unlike = np.abs(collar.gradients(seen.flat) - collar.gradients(other.flat))[opposite].mean()
    first = collar.first[opposite]
    apart = (seen.flat - other.flat)[first]
    return _cost(float(unlike), float(np.abs(apart - np.median(apart)).mean()))


def _cost(unlike: Any, apart: Any) -> Any:
    """From mean differences of gradients along the two axes, mm a coarse texel, and of heights, mm."""
    return 2 * unlike / COARSER + _OFFSET_COST * apart


def reference_costs(
    collar: Mask, seen: SeenRelief, references: References, actions: dict[str, float] | None = None
) -> NDArray[np.float64]:
    """How unlike every reference is what is seen in a collar (r, c), (N,).

    Mean difference of the gradients over both axes, mm a texel of the chart, a quarter of that of the heights about
    their median, and a tenth of the mean square difference of the actions, where they are known. Identity, age and
    beard, which the specification's formula has too, are known of neither side.
    """
    some = Edges.within(collar).thinned(_COST_SAMPLES)
    unlike = np.abs(some.gradients(references.flat) - some.gradients(seen.flat)).mean(1)
    apart = references.flat[:, some.first] - seen.flat[some.first]
    apart = np.abs(apart - np.median(apart, axis=1, keepdims=True)).mean(1)
    costs = np.asarray(_cost(unlike, apart), np.float64)
    if actions:
        for number, tags in enumerate(references.tags):
            names = actions.keys() | tags.actions.keys()
            squares = sum((actions.get(name, 0.0) - tags.actions.get(name, 0.0)) ** 2 for name in names)
            costs[number] += _EXPRESSION_COST * squares / max(len(names), 1)
    return costs


def _scale(own: Floats, donor: Floats) -> float:
    """How much stronger the face's gradients are than the donor's, held within limits."""
    wanted, given = (float(np.sqrt((values.astype(np.float64) ** 2).mean())) for values in (own, donor))
    return float(np.clip(wanted / given, *_SCALES)) if given > 1e-6 else 1.0
