"""Areas of the head that a texture treats each in its own way, as vertex masks of any face model with 68 landmarks."""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel

_EYES = ("left_eye", "right_eye", "eyes", "eyeballs")
_MOUTH = ("mouth_bag", "mouth_inside", "tongue", "upper_teeth", "lower_teeth", "teeth", "gums")
_TEETH = ("upper_teeth", "lower_teeth", "teeth")
_LASHES = ("left_upper_lashes", "left_lower_lashes", "right_upper_lashes", "right_lower_lashes", "lashes")
_SOCKETS = ("left_eye_socket", "right_eye_socket", "eye_sockets")


@dataclass(frozen=True)
class FaceAreas:
    """Vertex masks, (V,). Left and right are in one mask; the mean head decides on what is where.

    Attributes:
        face: how far the photo may colour a vertex, in [0, 1]: 1 on face and ears, fading to 0 towards the back of
            the head, the top and the neck, where photos show hair and collars.
        core: forehead, cheeks, nose and chin, in [0, 1]: what skin is learnt from, most where masks rarely reach.
        eyes, mouth, lashes, sockets: eyeballs; teeth, tongue and mouth bag; lashes; the hollows behind the eyes.
        teeth: those of ``mouth`` that are teeth and gums.
        mouth_depth: from the lips (0) to the back of the mouth (1), in [0, 1]; 0 off the mouth.
        lips, brows, nostrils, lids: parts of the skin that are not skin-coloured, or deep in shade.
        beard: jaw, chin and upper lip.
        nose: tip and wings.
        rim: upper forehead, temples and ears, in [0, 1]: where hair falls into the face.
        scalp: where hair grows on most people.
        lower: everything below the middle of the nose: what a mask covers.
        forehead: above the brows, in [0, 1].
        hollows: around the eyes, outside the lids: shade and make-up.
    """

    face: Tensor
    core: Tensor
    eyes: Tensor
    mouth: Tensor
    teeth: Tensor
    mouth_depth: Tensor
    lashes: Tensor
    sockets: Tensor
    lips: Tensor
    brows: Tensor
    nostrils: Tensor
    lids: Tensor
    beard: Tensor
    nose: Tensor
    rim: Tensor
    scalp: Tensor
    lower: Tensor
    forehead: Tensor
    hollows: Tensor

    @property
    def skin(self) -> Tensor:
        """``face`` where it is skin: not on eyes, lashes, mouth and eye sockets, (V,) in [0, 1]."""
        return self.face * (~(self.eyes | self.mouth | self.lashes | self.sockets)).float()


_CACHE: "WeakKeyDictionary[FaceModel, FaceAreas]" = WeakKeyDictionary()


def face_areas(model: "FaceModel") -> FaceAreas:
    """The areas of ``model``, computed once."""
    if model not in _CACHE:
        _CACHE[model] = _build(model)
    return _CACHE[model]


def _build(model: "FaceModel") -> FaceAreas:
    with torch.no_grad():
        verts = model.vertices(torch.zeros(1, model.identity_dim), torch.zeros(1, model.expression_dim))[0].float()
    embedding = model.landmarks("ibug68")
    corners = verts[model.topology.faces.long()[embedding.faces.long()]]
    marks = (corners * embedding.barycentrics.float()[..., None]).sum(1)
    eyes, mouth, lashes, sockets = (_part(model, names) for names in (_EYES, _MOUTH, _LASHES, _SOCKETS))
    skin = ~(eyes | mouth | lashes | sockets)
    left_eye, right_eye = marks[42:48].mean(0), marks[36:42].mean(0)
    middle = (left_eye + right_eye) / 2
    unit = float((left_eye - right_eye).norm())  # between the eyes' middles; about 63 mm
    x, y, z = ((verts - middle) / unit).unbind(1)

    def inside(index: list[int], grow: float, depth: float = 0.6) -> Tensor:
        polygon = marks[index]
        near = (verts[:, 2] - polygon[:, 2].mean()).abs() < depth * unit
        return torch.from_numpy(_in_polygon(verts[:, :2].numpy(), polygon[:, :2].numpy(), grow * unit)) & near & skin

    lips = inside(list(range(48, 60)), 0.02)
    lids = inside(list(range(36, 42)), 0.09) | inside(list(range(42, 48)), 0.09)
    brows = _band(verts, marks[17:22], 0.14 * unit) | _band(verts, marks[22:27], 0.14 * unit)
    nose = inside([29, 31, 33, 35], 0.14)
    nostrils = inside([31, 32, 33, 34, 35], 0.06, 0.35) & (verts[:, 1] < marks[30, 1] + 0.05 * unit)
    back = z + 0.25 * (y > 1.1) * (y - 1.1)
    ears = _part(model, ("ears",))
    if not bool(ears.any()):
        ears = (x.abs() > 0.95) & (y < 0.35) & (y > -1.25) & (z > -1.75)
    front = _ramp(back, -1.55, -1.15) * _ramp(-x.abs(), -1.32, -1.12)
    front = torch.maximum(front, ears.float())
    above_jaw = y - torch.from_numpy(_height_of_jaw(((marks - middle) / unit).numpy(), x.numpy()))
    face = front * _ramp(-y, -1.45, -1.05) * _ramp(above_jaw, -0.15, 0.05)
    core = face * (z > -0.95) * _ramp(-y, -0.9, -0.7) * (~(lips | brows | lids | nostrils)).float() * skin
    core = core * torch.where(y < 0.5 * float((marks[33, 1] - middle[1]) / unit), 0.2, 1.0)
    return FaceAreas(
        face=torch.where(skin, face, (eyes | mouth).float()),
        core=core,
        eyes=eyes,
        mouth=mouth,
        teeth=_part(model, _TEETH),
        mouth_depth=_depth_behind(verts, mouth, float(verts[lips, 2].mean()) if bool(lips.any()) else 0.0),
        lashes=lashes,
        sockets=sockets,
        lips=lips,
        brows=brows & skin,
        nostrils=nostrils,
        lids=lids,
        beard=skin & (y < float((marks[33, 1] - middle[1]) / unit) + 0.02) & (z > -1.3) & ~lips,
        nose=nose,
        rim=torch.maximum(_ramp(y, 0.7, 1.15), _ramp(x.abs() + 0.5 * y.clamp(0, 0.5), 0.85, 1.1) * (y > -0.9)) * skin,
        lower=skin & (y < 0.55 * float((marks[33, 1] - middle[1]) / unit)) & ~ears,
        forehead=skin * _ramp(y, 0.25, 0.45),
        hollows=(inside(list(range(36, 42)), 0.22) | inside(list(range(42, 48)), 0.22)) & ~lids & ~brows,
        scalp=skin & ~ears & ((y > 1.35) | ((z < -1.25) & (y > -0.3))),
    )


def _height_of_jaw(marks: np.ndarray, x: np.ndarray) -> np.ndarray:
    """y of the jaw line (landmarks 0 to 16) at the places ``x``; both sides averaged, beyond the ears as at them."""
    half = (marks[8:17] + marks[8::-1] * [-1, 1, 1]) / 2
    width = np.maximum.accumulate(half[:, 0])
    return np.interp(np.abs(x), width, half[:, 1]).astype(np.float32)


def _depth_behind(verts: Tensor, part: Tensor, front: float) -> Tensor:
    """How far back vertices of ``part`` lie between z = ``front`` (0) and the part's hindmost (1), (V,)."""
    if not bool(part.any()):
        return torch.zeros(len(verts))
    length = max(front - float(verts[part, 2].min()), 1e-3)
    return torch.where(part, ((front - verts[:, 2]) / length).clamp(0, 1), 0.0)


def _part(model: "FaceModel", names: tuple[str, ...]) -> Tensor:
    mask = torch.zeros(model.topology.num_verts, dtype=torch.bool)
    for name in names:
        if name in model.regions:
            mask |= model.regions[name].cpu()
    return mask


def _ramp(value: Tensor, low: float, high: float) -> Tensor:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _in_polygon(points: np.ndarray, polygon: np.ndarray, grow: float) -> np.ndarray:
    """Whether points (N, 2) lie inside a polygon or within ``grow`` of it."""
    import cv2

    outline = polygon.astype(np.float32)[:, None]
    return np.array([cv2.pointPolygonTest(outline, (float(u), float(v)), True) >= -grow for u, v in points])


def _band(verts: Tensor, line: Tensor, width: float) -> Tensor:
    """Vertices within ``width`` of a polyline (K, 3)."""
    start, step = line[:-1], line[1:] - line[:-1]
    along = ((verts[:, None] - start) * step).sum(-1) / (step**2).sum(-1)
    nearest = start + along.clamp(0, 1)[..., None] * step
    return (verts[:, None] - nearest).norm(dim=-1).amin(1) < width
