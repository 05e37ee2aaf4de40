"""A chart of the face that all face models share, so that relief of one face can be laid beside that of another.

The mean face is unrolled from a cylinder, and a thin-plate warp takes its landmarks to where ``head`` has them: the
same texel is the same place of any face of any model. Left and right are exact mirror images of each other, column by
column.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from pyface3d.errors import InputError
from pyface3d.face_models import FaceModel, load_face_model
from pyface3d.geometry import align_similarity
from pyface3d.ops import Fragments, Topology, interpolate, rasterize, vertex_normals
from pyface3d.systems.extreme3d.foundation import Foundation
from pyface3d.systems.extreme3d.partners import partner_table
from pyface3d.systems.extreme3d.visibility import TOLERANCE_MM

TEXEL_MM = 0.65
"""Side of a texel on the cylinder: about a pixel of the crop."""
ROWS, COLUMNS = 320, 336

_RADIUS_MM = 75.0  # of the cylinder; its axis lies so far behind the origin of ``head``
_TOP_MM = 92.0  # of the first row, in the frame of ``head``: above the forehead; the last is below the chin
_FRONT = 2.0  # radians to either side; what lies behind is not in the chart
_NOWHERE = -1e4
_WARP_SMOOTHING = 4.0  # mm², how far a landmark may stay off: annotators and models differ by as much
_WHOLE = 0.999  # of what a bilinear lookup mixes must count
_GRAZING = 0.35  # least cosine between the view and skin whose relief counts as seen


@dataclass(frozen=True, eq=False)
class FaceChart:
    """Where each vertex of a model lies in the chart.

    Attributes:
        spots: (V, 2) float64, column and row in texels (first texel's middle at 0.5); far outside for the back.
        topology: of the model.
        depth: (V,) float64, how far behind the outermost skin a vertex lies, mm, positive.
        mirror: partner of each vertex, (V,) int64, −1 where there is none.
    """

    spots: Tensor
    topology: Topology
    depth: Tensor
    mirror: Tensor

    @cached_property
    def fragments(self) -> Fragments:
        """What every texel shows of the model, B = 1."""
        verts = torch.cat([self.spots, self.depth[:, None]], 1)[None]
        return rasterize(verts, self.topology, ROWS, COLUMNS, cull="none", perspective=False)


_CHARTS: WeakKeyDictionary[FaceModel, FaceChart] = WeakKeyDictionary()


def face_chart(model: FaceModel) -> FaceChart:
    """The chart of a face model, made once.

    Raises:
        InputError: the model's landmarks do not look like those of a face.
    """
    if model not in _CHARTS:
        verts = _mean(model)
        marks = model.landmarks().points(verts[None], model.topology)[0]
        wanted = _landmarks_of_head()
        try:
            to_head = align_similarity(marks[None], wanted[None])
        except InputError as error:
            raise InputError(f"model {model.name!r} cannot be laid out in the chart of faces: {error}") from error
        verts, marks = (to_head.apply(points[None])[0] for points in (verts, marks))
        flat, behind = _unrolled(verts)
        flat = _warped(flat, _unrolled(marks)[0], _unrolled(wanted)[0])
        mirror = partner_table(model).cpu()
        flat = _symmetric(flat, mirror)
        front = torch.atan2(verts[:, 0], verts[:, 2] + _RADIUS_MM).abs() < _FRONT
        spots = torch.stack([flat[:, 0] / TEXEL_MM + COLUMNS / 2, (_TOP_MM - flat[:, 1]) / TEXEL_MM], 1)
        spots[~front] = _NOWHERE
        _CHARTS[model] = FaceChart(spots, model.topology, behind, mirror)
    return _CHARTS[model]


def _mean(model: FaceModel) -> Tensor:
    return model.vertices(torch.zeros(1, model.identity_dim), torch.zeros(1, model.expression_dim))[0].cpu().double()


@lru_cache(maxsize=1)
def _landmarks_of_head() -> Tensor:
    head = load_face_model("head")
    return head.landmarks().points(_mean(head)[None], head.topology)[0]


def _unrolled(points: Tensor) -> tuple[Tensor, Tensor]:
    """Points (N, 3) mm in the frame of ``head``: place on the cylinder (N, 2) mm, and depth below 200 mm (N,)."""
    x, y, z = points[:, 0], points[:, 1], points[:, 2] + _RADIUS_MM
    return torch.stack([_RADIUS_MM * torch.atan2(x, z), y], 1), 200.0 - torch.hypot(x, z)


def _warped(spots: Tensor, marks: Tensor, wanted: Tensor) -> Tensor:
    """Spots moved by the thin-plate warp that takes ``marks`` to about where they are wanted."""
    if torch.equal(marks, wanted):
        return spots
    from scipy.interpolate import RBFInterpolator

    warp = RBFInterpolator(marks.numpy(), (wanted - marks).numpy(), smoothing=_WARP_SMOOTHING)
    return spots + torch.from_numpy(warp(spots.numpy()))


def _symmetric(spots: Tensor, mirror: Tensor) -> Tensor:
    """Spots (V, 2) mm whose partners lie exactly opposite."""
    paired = (mirror >= 0) & (mirror[mirror.clamp_min(0)] == torch.arange(len(mirror)))
    other = spots[mirror.clamp_min(0)] * spots.new_tensor([-1.0, 1.0])
    return torch.where(paired[:, None], (spots + other) / 2, spots)


class Placement:
    """Which pixel of a crop shows which texel of the chart, and the other way round, for one foundation.

    Attributes:
        drawn: (H, W) bool, where the crop shows the foundation.
        texels: (H, W, 2) column and row of the chart under each pixel; nonsense where nothing is drawn.
        on_chart: (H, W) bool, where the chart reaches.
        pixels: (rows, columns, 2) pixel of the crop at each texel.
        seen: (rows, columns) bool, texels that the crop shows, and not at a slant.
    """

    def __init__(self, foundation: Foundation, chart: FaceChart) -> None:
        """Raises:
        InputError: the chart is of another model.
        """
        if foundation.topology.num_verts != len(chart.spots):
            raise InputError(
                f"the chart is of a model of {len(chart.spots)} vertices, but the foundation has "
                f"{foundation.topology.num_verts}; make the chart of the foundation's model"
            )
        self.foundation, self.chart = foundation, chart
        self._depth = foundation.fragments.depth[0]
        self.drawn = foundation.fragments.mask[0]
        self._drawn_share = self.drawn.to(self._depth)
        self.texels = self.draw(chart.spots)
        inside = (self.texels > 0).all(-1) & (self.texels < self.texels.new_tensor([COLUMNS, ROWS])).all(-1)
        self.on_chart = self.drawn & inside
        spots = foundation.verts_image
        normals = vertex_normals(foundation.verts_camera, foundation.topology)
        facing = -(normals * normalize(foundation.verts_camera, dim=1)).sum(1, keepdim=True)
        laid = interpolate(torch.cat([spots, facing], 1)[None], chart.fragments, chart.topology)[0]
        self.pixels = laid[..., :2]
        self.seen = chart.fragments.mask[0] & self._shown(laid[..., :3]) & (laid[..., 3] > _GRAZING)

    def draw(self, attributes: Tensor) -> Tensor:
        """Attributes of the vertices (V, C) in the crop, (H, W, C); 0 where nothing is drawn."""
        return interpolate(attributes[None], self.foundation.fragments, self.foundation.closed)[0]

    @cached_property
    def millimetres(self) -> Tensor:
        """(H, W, 2) place in the chart under each pixel: mm along the cylinder from the middle, and up from the origin
        of ``head``."""
        x = (self.texels[..., 0] - COLUMNS / 2) * TEXEL_MM
        return torch.stack([x, _TOP_MM - self.texels[..., 1] * TEXEL_MM], -1)

    def to_chart(self, values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """A map of the crop (H, W), and where it counts (bool), in the chart; 0 where it does not."""
        return _moved(values, valid, self.pixels, self.seen)

    def to_crop(self, values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """A map of the chart (rows, columns), and where it counts (bool), in the crop; 0 where it does not."""
        return _moved(values, valid, self.texels, self.on_chart)

    def mirrored(self, values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """What a map of the crop (H, W) or (H, W, C) holds on the other side of the face; 0 where that is not seen."""
        spots, known = self._opposite
        return _moved(values, valid, spots, known)

    @cached_property
    def _opposite(self) -> tuple[Tensor, Tensor]:
        partner = self.chart.mirror
        spots = self.foundation.verts_image[partner.clamp_min(0)]
        spots = torch.where((partner >= 0)[:, None], spots, torch.full_like(spots, _NOWHERE))
        laid = self.draw(spots)
        return laid[..., :2], self.drawn & self._shown(laid)

    def _shown(self, spots: Tensor) -> Tensor:
        """Whether the crop shows the surface at points (..., 3): px, px, depth mm."""
        depth = sampled(self._depth, spots[..., :2])
        whole = sampled(self._drawn_share, spots[..., :2]) > _WHOLE
        return whole & ((depth - spots[..., 2]).abs() < TOLERANCE_MM)


def _moved(values: Tensor, valid: Tensor, spots: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    known = known & (sampled(valid.to(values), spots) > _WHOLE)
    counted, moved = valid, known
    if values.dim() == 3:
        counted, moved = valid[..., None], known[..., None]
    laid = sampled(torch.where(counted, values, torch.zeros_like(values)), spots)
    return torch.where(moved, laid, torch.zeros_like(laid)), known


def sampled(values: Tensor, spots: Tensor) -> Tensor:
    """``values`` (H, W) or (H, W, C) at ``spots`` (..., 2) px, bilinearly; 0 outside."""
    flat = values[None, None] if values.dim() == 2 else values.permute(2, 0, 1)[None]
    size = spots.new_tensor([values.shape[1], values.shape[0]])
    grid = (2 * spots / size - 1).reshape(1, 1, -1, 2).to(values)
    found = grid_sample(flat, grid, align_corners=False, padding_mode="zeros")[0, :, 0]
    return found[0].view(spots.shape[:-1]) if values.dim() == 2 else found.T.reshape(*spots.shape[:-1], -1)
