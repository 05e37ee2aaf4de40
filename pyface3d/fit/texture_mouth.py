"""The inside of a mouth: teeth from the photo where it shows some, the rest as people's mouths look.

Lips that open a little too far, or teeth that the fit puts a few pixels off, would else have skin, lips or shade
painted on the teeth, and teeth on the lips. So every texel is asked for its colour: teeth are bright and, next to
this person's skin in the same light, not red.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pyface3d.fit.skin import LOG_FLOOR, SkinStatistics
from pyface3d.fit.texture_areas import FaceAreas
from pyface3d.fit.texture_chart import TexelGrid

_LESS_RED = 0.25  # log red / green: by about this much teeth lie below pale skin; below dark skin, by more
_AS_BRIGHT = 0.8  # log units below the skin that count against teeth as much as _LESS_RED counts for them
_TOOTHLIKE = (0.2, 0.7)  # of that score: no tooth below the first, a tooth above the second
_TOOTHLIKE_GREY = (-0.6, -0.2)  # the same where there is no colour to tell by
_TOOTH_ON_LIP = (0.5, 1.0)  # lips may be pale and glossy: they are left to the photo for longer
_TOOTH_LIGHT = -0.6  # log units against skin: what the lips let through to the front teeth
_TOOTH_TINT = 0.5  # of the skin's offset in colour: half of it is the light's, half the person's
_TOOTH_BRIGHTEST = -0.15  # log linear: enamel is not paper
_CAVITY_LIGHT = -1.3  # log units against skin, of tongue and mouth bag at the lips …
_CAVITY_DEPTH = -1.0  # … and this much less at their back
_CROWN = 0.28  # mean linear albedo above which a texel of the arches is enamel in front, not gum or molar
_REACH = 0.02  # of the chart's side: how far the colour of the seen teeth is carried to their neighbours as it is
_FAINT = 0.05  # mean weight around a texel at which half of the seen colour is carried there
_ENOUGH = 0.02  # of the front teeth's texels: with as many seen, their colour counts as much as the model's


@dataclass(frozen=True)
class MouthTexels:
    """How far each texel is one of the mouth's parts, (S, S) each in [0, 1]."""

    teeth: Tensor
    cavity: Tensor
    lips: Tensor
    depth: Tensor  # from the lips (0) to the throat (1)

    @classmethod
    def of(cls, areas: FaceAreas, grid: TexelGrid) -> "MouthTexels":
        cavity = areas.mouth & ~areas.teeth
        verts = torch.stack([areas.teeth.float(), cavity.float(), areas.lips.float(), areas.mouth_depth], 1)
        return cls(*grid.from_verts(verts).unbind(-1))

    @property
    def inside(self) -> Tensor:
        """Teeth, tongue and mouth bag, (S, S) bool."""
        return self.teeth + self.cavity > 0.5


def tooth_score(log_color: Tensor, skin_tone: Tensor) -> Tensor:
    """How much like teeth colours are beside this person's skin, (...,): 0 as skin, about 1 and more as teeth.

    Args:
        log_color: log linear RGB, (..., 3).
        skin_tone: that of the skin in the same light, (3,).
    """
    difference = log_color - skin_tone
    return (difference[..., 1] - difference[..., 0]) / _LESS_RED + difference.mean(-1).clamp_max(0) / _AS_BRIGHT


def teeth_only(mouth: MouthTexels, photo: Tensor, observed: Tensor, skin_tone: Tensor, *, grey: bool) -> Tensor:
    """How far the photo is used, (S, S), once colours that do not belong are taken out of the mouth and off the lips.

    Args:
        photo: the photo's colour, linear RGB, (S, S, 3).
        observed: how far it could be used by where it lies, (S, S).
        skin_tone: log linear RGB of the skin that is seen, (3,).
        grey: whether the photo has no colours to tell teeth by.
    """
    score = tooth_score(torch.log(photo + LOG_FLOOR), skin_tone)
    tooth = _ramp(score, *(_TOOTHLIKE_GREY if grey else _TOOTHLIKE))
    kept = torch.where(mouth.teeth > 0.5, tooth, 0.0)
    if not grey:
        on_lips = 1 - _ramp(score, *_TOOTH_ON_LIP)
        observed = torch.where(mouth.lips > 0.3, observed * on_lips, observed)
    return torch.where(mouth.inside, observed * kept, observed)


def mouth_colors(mouth: MouthTexels, albedo: Tensor, photo: Tensor, observed: Tensor, skin: SkinStatistics) -> Tensor:
    """Log colour of the inside of the mouth, (S, S, 3); of no meaning elsewhere.

    Unseen teeth go on in the colour of the seen ones, each nearest to those beside it; without any, they are
    enamel in the light of the frontal skin. The cavity is never taken from the photo: what shows there of a mouth
    that is open by mistake is lips.

    Args:
        albedo: linear RGB of the model, (S, S, 3).
        photo: linear RGB, (S, S, 3).
        observed: how far it is used, after `teeth_only`, (S, S).
        skin: of this person in this light.
    """
    even = torch.from_numpy(skin.even)
    light = even.mean() + _TOOTH_TINT * (even - even.mean()) + _TOOTH_LIGHT
    box, colors = _box(mouth.inside), torch.zeros_like(albedo)
    albedo, photo, observed = albedo[box], photo[box], observed[box]
    is_tooth = mouth.teeth[box] > 0.5
    log_albedo, log_photo = torch.log(albedo + LOG_FLOOR), torch.log(photo + LOG_FLOOR)
    crowns = is_tooth & (albedo.mean(-1) > _CROWN)
    brightest = (log_albedo + light).mean(-1)[crowns].amax() if bool(crowns.any()) else log_albedo.new_tensor(0.0)
    light = light - (brightest - _TOOTH_BRIGHTEST).clamp_min(0)
    weight = torch.where(crowns, observed, 0.0)
    offset = light.expand_as(albedo)
    if float(weight.sum()) > 0:
        difference = log_photo - log_albedo
        chosen = weight > 0.5 * weight.max()
        share = weight.sum() / crowns.sum()
        typical = difference[chosen].median(0).values
        typical = light + (typical - light) * share / (share + _ENOUGH)
        offset = typical + _carried(difference - typical, weight, _REACH * mouth.teeth.shape[0])
    filled = log_albedo + offset
    teeth = filled + observed[..., None] * (log_photo - filled)
    cavity = log_albedo + even + _CAVITY_LIGHT + _CAVITY_DEPTH * mouth.depth[box][..., None]
    colors[box] = torch.where(is_tooth[..., None], teeth, cavity)
    return colors


def _carried(values: Tensor, weight: Tensor, sigma: float) -> Tensor:
    """Weighted mean of ``values`` (h, w, 3) within about ``sigma`` texels of each; 0 far from any weight (h, w)."""
    import cv2

    packed = torch.cat([values * weight[..., None], weight[..., None]], -1).numpy()
    near = torch.from_numpy(cv2.GaussianBlur(packed, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT))
    return near[..., :3] / (near[..., 3:] + _FAINT)


def _box(where: Tensor) -> tuple[slice, slice]:
    """Rows and columns that hold all of ``where`` (S, S) bool; empty slices where nothing is."""
    rows, columns = where.any(1).nonzero()[:, 0], where.any(0).nonzero()[:, 0]
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _ramp(value: Tensor, low: float, high: float) -> Tensor:
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)
