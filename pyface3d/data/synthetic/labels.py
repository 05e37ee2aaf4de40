"""Where the labelled points of synthetic people lie in the picture, and which of them it shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.weak import WeakIdKeyDictionary

from pyface3d.face_models.base import LandmarkEmbedding
from pyface3d.face_models.contour import outermost_candidates, outward_directions, padded_candidates
from pyface3d.face_models.dense_points import dense_points
from pyface3d.face_models.landmarks import NUM_JAW
from pyface3d.face_models.linear import LinearFaceModel
from pyface3d.ops import Fragments, Topology, vertex_visibility

if TYPE_CHECKING:
    from pyface3d.data.synthetic.people import People
    from pyface3d.data.synthetic.views import Views

VISIBLE_WITHIN_MM = 3.0
"""A point counts as seen when the surface drawn at one of the nine pixels around it is no farther from it in depth."""


@dataclass(frozen=True, eq=False)
class Labels:
    """Points of B people; pixels are those of the S x S crop, the first pixel's middle at (0.5, 0.5).

    Attributes:
        points68: iBUG points as annotators mark them, (B, 68, 2): the jaw's are where the face ends in the picture,
            spread evenly.
        points68_3d: the same points fixed on the skin, (B, 68, 3): u px, v px, depth mm.
        dense: the dense points, (B, 320, 2).
        visible68: for ``points68``, (B, 68) bool: in the frame, and drawn rather than something before it.
        visible_dense: (B, 320) bool.
    """

    points68: Tensor
    points68_3d: Tensor
    dense: Tensor
    visible68: Tensor
    visible_dense: Tensor


@dataclass(frozen=True, eq=False)
class LabelPoints:
    """All points of a head that labels are made of, as one embedding: 68 landmarks, 17 x M contour candidates, 320.

    Attributes:
        corners: (K, 3) int64 vertices.
        weights: (K, 3).
        mask: candidates that are real, (17, M).
        outward: see `contour.outward_directions`, (17, 2).
    """

    corners: Tensor
    weights: Tensor
    mask: Tensor
    outward: Tensor

    def of(self, verts: Tensor) -> Tensor:
        """(B, V, 3) → (B, K, 3)."""
        return (verts[:, self.corners] * self.weights[:, :, None]).sum(2)

    @property
    def num_outline(self) -> int:
        """How many of the points, the first ones, `outline` needs."""
        return 68 + self.mask.numel()

    def outline(self, flat: Tensor, rotation: Tensor) -> Tensor:
        """Which point each of the 68 landmarks is in this view, (B, 68) int64 in [0, 68 + 17 M).

        Args:
            flat: the points in the picture, (B, K, 2), any unit.
            rotation: model to camera, (B, 3, 3).
        """
        rows, count = self.mask.shape
        spots = flat[:, 68 : self.num_outline].unflatten(1, (rows, count))
        jaw = outermost_candidates(spots, self.mask, self.outward, rotation)
        jaw = jaw + 68 + count * torch.arange(rows, device=flat.device)
        inner = torch.arange(NUM_JAW, 68, device=flat.device).expand(len(flat), -1)
        return torch.cat([jaw, inner], 1)


_POINTS: WeakIdKeyDictionary = WeakIdKeyDictionary()


def label_points(model: LinearFaceModel) -> LabelPoints:
    """The labelled points of ``model``, made once."""
    if model.template not in _POINTS:
        _POINTS[model.template] = _build(model)
    return _POINTS[model.template]


def labels(people: People, views: Views, fragments: Fragments, topology: Topology) -> Labels:
    """Exact labels.

    Args:
        people, views: of `draw_people` and `draw_views`.
        fragments, topology: of the whole scene, rasterised with ``views.camera``; see-through things (lenses) left out.

    What occluders cover is for the caller to take away from the visible.
    """
    points = label_points(people.model)
    image = views.image(points.of(people.verts))
    outline = points.outline(image[..., :2], views.rotation)
    seen68 = image.gather(1, outline[..., None].expand(-1, -1, 3))
    dense = image[:, points.num_outline :]
    visible = points_visible(torch.cat([seen68, dense], 1), fragments, topology.num_faces)
    even, nearest = evenly_spread(seen68[:, :NUM_JAW, :2])
    seen68 = torch.cat([even, seen68[:, NUM_JAW:, :2]], 1)
    visible = torch.cat([visible[:, :NUM_JAW].gather(1, nearest), visible[:, NUM_JAW:]], 1)
    scale = views.size / views.camera.width
    to_crop = image.new_tensor([scale, scale, 1.0])
    return Labels(
        points68=seen68 * scale,
        points68_3d=image[:, :68] * to_crop,
        dense=dense[..., :2] * scale,
        visible68=visible[:, :68],
        visible_dense=visible[:, 68:],
    )


def evenly_spread(jaw: Tensor) -> tuple[Tensor, Tensor]:
    """Points along the outline of the face as annotators set them: evenly between its ends and the chin.

    In the annotated photos of 300-W each half of the jaw is cut into eight parts of the same length (to 1 % of it,
    medians); where the head's own points lie is a matter of its mesh.

    Args:
        jaw: (B, 17, 2) in order, px.

    Returns:
        (B, 17, 2), ends and chin as given; and which of the given points lies nearest along the line, (B, 17) int64.
    """
    half = NUM_JAW // 2
    parts, nearest = [], []
    for first, line in ((0, jaw[:, : half + 1]), (half, jaw[:, half:])):
        length = (line[:, 1:] - line[:, :-1]).norm(dim=-1)
        ends = functional.pad(length.cumsum(1), (1, 0))
        at = ends[:, -1:] * torch.linspace(0, 1, half + 1, device=jaw.device)
        piece = torch.searchsorted(ends[:, 1:-1].contiguous(), at.contiguous())
        share = (at - ends.gather(1, piece)) / length.gather(1, piece).clamp_min(1e-9)
        pick = piece[..., None].expand(-1, -1, 2)
        parts.append(line.gather(1, pick).lerp(line.gather(1, pick + 1), share.clamp(0, 1)[..., None]))
        nearest.append(first + piece + (share > 0.5))
    return torch.cat([parts[0], parts[1][:, 1:]], 1), torch.cat([nearest[0], nearest[1][:, 1:]], 1)


def points_visible(
    points: Tensor, fragments: Fragments, num_faces: int, tolerance_mm: float = VISIBLE_WITHIN_MM
) -> Tensor:
    """Which points lie on the surface that is drawn at one of the nine pixels around them, (B, K) bool.

    Args:
        points: u px, v px, depth mm, (B, K, 3).
        fragments: of a scene of ``num_faces`` faces.
    """
    count = points.shape[1]
    # Points are not corners of the drawn faces: an extra one stands in for all corners and leaves depth to decide.
    stand_in = torch.cat([points, points[:, :1]], 1)
    return vertex_visibility(stand_in, fragments, _all_one_corner(count, num_faces, points.device), tolerance_mm)[
        :, :count
    ]


@lru_cache(maxsize=8)
def _all_one_corner(corner: int, num_faces: int, device: torch.device) -> Topology:
    return Topology(torch.full((num_faces, 3), corner, dtype=torch.int32, device=device), corner + 1)


def _build(model: LinearFaceModel) -> LabelPoints:
    candidates, mask = padded_candidates(model)
    landmarks, dense = model.landmarks("ibug68"), dense_points(model)
    faces = model.topology.faces.long()
    alone = candidates.flatten()[:, None].expand(-1, 3)

    def corners(embedding: LandmarkEmbedding) -> Tensor:
        return faces[embedding.faces]

    first = dense.barycentrics.new_tensor([1.0, 0.0, 0.0]).expand(len(alone), 3)
    jaw = landmarks.points(model.template[None], model.topology)[0, :NUM_JAW, :2]
    return LabelPoints(
        corners=torch.cat([corners(landmarks), alone, corners(dense)]),
        weights=torch.cat([landmarks.barycentrics, first, dense.barycentrics]).to(model.template),
        mask=mask,
        outward=outward_directions(jaw),
    )
