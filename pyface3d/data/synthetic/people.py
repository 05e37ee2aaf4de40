"""Synthetic people: who they are and what face they make, as vertices of the embedded head's mesh.

Half of them are drawn from the embedded head's own identity space, half from that of ICT-FaceKit (scans), which was
carried onto the same mesh together with its expression shapes (scripts/synthetic_assets/people.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from pyface3d.data.synthetic.assets import model_of
from pyface3d.data.synthetic.expressions import draw_expressions
from pyface3d.face_models.linear import LinearFaceModel
from pyface3d.face_models.lips import facing_lips
from pyface3d.ops import blend_shapes

STAGE = 1
HEAD, ICT, CHILD = 0, 1, 2

_ICT_SHARE = 0.5
_WIDE_SHARE, _WIDEST = 0.5, 1.5  # people drawn wider than the population: as far for the head's space …
_WIDEST_SCAN = 1.3  # … and for that of scans
_LOPSIDED_SHARE = 0.4
_LOPSIDED_COMPONENTS, _LOPSIDED_SIGMA = 24, 0.35  # how much the two halves of a lopsided face differ, in sigma
_CHILD_SHARE = 0.35  # of the people of the head's space
_CHILD_SPREAD = 0.7  # children differ less from each other
_LIPS_PRESSED_MM, _MOST_OPENING = 0.4, 0.15  # how deep lips sink into each other, and how far that may open the jaw
_EYES_SHRINK = 0.12  # of their size, behind closed lids of scanned people
_LEAST_RATE = 0.4  # near the corners the jaw parts the lips too slowly to set them right
_HALF_WIDTH_MM = 18.0  # over which one half goes over into the other


@dataclass(frozen=True, eq=False)
class People:
    """B people on the mesh of ``model``.

    Attributes:
        model: the head's linear model, for its topology, regions and landmarks.
        verts: with expression and gaze, (B, V, 3) mm, model frame.
        neutral: without, (B, V, 3).
        identity: the head's coefficients, (B, 70): those drawn, or for people of ICT the least-squares ones.
        expression: likewise, (B, 52) in [0, 1].
        source: `HEAD`, `ICT` or `CHILD` (the head's space and a child's proportions), (B,) int64. The coefficients
            are exact for `HEAD` alone, but for what tells the halves of a lopsided face apart; those of children leave
            the proportions out.
    """

    model: LinearFaceModel
    verts: Tensor
    neutral: Tensor
    identity: Tensor
    expression: Tensor
    source: Tensor

    def __len__(self) -> int:
        return len(self.verts)


def draw_people(
    assets: Mapping[str, Tensor], rngs: list[np.random.Generator], device: torch.device | str = "cpu"
) -> People:
    """One person for each generator; without ICT's keys in ``assets`` all are of the head's own space."""
    model, families = _families(assets, device)
    drawn = [_draw(rng, families) for rng in rngs]
    source = torch.tensor([kind for kind, _ in drawn])
    expression = torch.from_numpy(draw_expressions(rngs, model.expression_names))
    everyone = (len(rngs), len(model.template), 3)
    verts, neutral = torch.empty(everyone, device=device), torch.empty(everyone, device=device)
    coefficients = torch.empty(len(rngs), model.identity_dim + model.expression_dim, device=device)
    for kinds, family in zip(((HEAD, CHILD), (ICT,)), families, strict=False):
        rows = torch.isin(source, torch.tensor(kinds)).nonzero()[:, 0]
        if len(rows) == 0:
            continue
        who = torch.from_numpy(np.stack([drawn[row][1] for row in rows.tolist()]).astype(np.float32)).to(device)
        rows, actions = rows.to(device), expression[rows].to(device)
        neutral[rows] = resting = blend_shapes(who, family.identity, family.mean)
        moved = blend_shapes(actions, family.expression, resting)
        opening = family.opening(moved)
        verts[rows] = blend_shapes(opening[:, None], family.jaw_open, moved)
        actions[:, family.jaw_index] += opening
        coefficients[rows] = family.of_head(who, actions)
    identity, actions = coefficients.split([model.identity_dim, model.expression_dim], 1)
    return People(model, verts, neutral, identity, actions.clamp(0.0, 1.0), source.to(device))


@dataclass(frozen=True, eq=False)
class _Family:
    """A linear space of people on the head's mesh.

    Attributes:
        mean, identity, expression: (V, 3), (N, V, 3), (52, V, 3) mm.
        normals: how many of the identity's coefficients are standard normal and count as identity; of the others, the
            first tell the halves of a face apart, and the last ``ages`` make children, the youngest first.
        to_head, to_head_offset: least-squares map from this family's coefficients to the head's, (N + 52, 122), (122,);
            None where they are the head's.
        jaw_index: of the action ``jawOpen``.
        lips: vertices of the upper and of the lower lip that face each other, (2, G).
    """

    mean: Tensor
    identity: Tensor
    expression: Tensor
    normals: int
    ages: int
    to_head: Tensor | None
    to_head_offset: Tensor | None
    jaw_index: int
    lips: Tensor

    @property
    def jaw_open(self) -> Tensor:
        return self.expression[self.jaw_index : self.jaw_index + 1]

    def opening(self, verts: Tensor) -> Tensor:
        """How much of ``jawOpen`` keeps the lips of ``verts`` (B, V, 3) from passing through each other, (B,)."""
        upper, lower = self.lips
        rate = self.jaw_open[0, upper, 1] - self.jaw_open[0, lower, 1]
        upper, lower, rate = (row[rate > _LEAST_RATE * rate.max()] for row in (upper, lower, rate))
        overlap = verts[:, lower, 1] - verts[:, upper, 1] - _LIPS_PRESSED_MM
        return (overlap / rate).amax(1).clamp(0.0, _MOST_OPENING)

    def of_head(self, who: Tensor, actions: Tensor) -> Tensor:
        """The head's coefficients, (B, 122)."""
        if self.to_head is None or self.to_head_offset is None:
            return torch.cat([who[:, : self.normals], actions], 1)
        return _affine(torch.cat([who, actions], 1), self.to_head, self.to_head_offset)


_FAMILIES: WeakIdKeyDictionary = WeakIdKeyDictionary()


def _families(assets: Mapping[str, Tensor], device: torch.device | str) -> tuple[LinearFaceModel, list[_Family]]:
    """The mesh, and the head's family and ICT's where there are such assets; made once."""
    by_device = _FAMILIES.setdefault(assets["people.template"], {})
    key = str(torch.device(device))
    if key not in by_device:
        model, lips = model_of(assets, device), facing_lips(model_of(assets)).to(device)
        jaw = model.expression_names.index("jawOpen")
        half = torch.tanh(model.template[:, :1] / _HALF_WIDTH_MM)
        young = assets.get("people.children", torch.zeros(0, *model.template.shape)).to(device).float()
        shapes = torch.cat([model.identity_basis, model.identity_basis[:_LOPSIDED_COMPONENTS] * half, young])
        own = model.template, shapes, model.expression_basis, model.identity_dim, len(young)
        families = [_Family(*own, None, None, jaw, lips)]
        if "people.ict_mean" in assets:
            fields = ("mean", "identity", "expression", "to_head", "to_head_offset")
            mean, shapes, actions, to_head, offset = (assets[f"people.ict_{f}"].to(device).float() for f in fields)
            actions = _with_sinking_eyes(model, mean, actions)
            families.append(_Family(mean, shapes, actions, len(shapes), 0, to_head, offset, jaw, lips))
        by_device[key] = model, families
    return by_device[key]


def _with_sinking_eyes(model: LinearFaceModel, mean: Tensor, actions: Tensor) -> Tensor:
    """``actions`` (52, V, 3) whose closing lids make the eyeballs behind them smaller.

    Scanned lids close along straight lines over eyeballs that are only known on average, which else shine through.
    """
    actions = actions.clone()
    for side in ("Left", "Right"):
        eye = model.regions[f"{side.lower()}_eye"]
        middle = 0.5 * (mean[eye].amax(0) + mean[eye].amin(0))
        actions[model.expression_names.index(f"eyeBlink{side}"), eye] -= _EYES_SHRINK * (mean[eye] - middle)
    return actions


def _draw(rng: np.random.Generator, families: list[_Family]) -> tuple[int, np.ndarray]:
    """The source, and coefficients in its family."""
    chance = rng.random(6)
    kind = ICT if len(families) > 1 and chance[0] < _ICT_SHARE else HEAD
    family = families[kind]
    who = rng.standard_normal(len(family.identity))
    wide = chance[1] * (chance[2] < _WIDE_SHARE)
    if kind == ICT:
        who *= 1.0 + (_WIDEST_SCAN - 1.0) * wide
    else:
        young = family.ages > 0 and chance[4] < _CHILD_SHARE
        who[: family.normals] *= _CHILD_SPREAD if young else 1.0 + (_WIDEST - 1.0) * wide
        who[family.normals :] *= _LOPSIDED_SIGMA if chance[3] < _LOPSIDED_SHARE else 0.0
        if family.ages > 0:
            who[-family.ages :] = _youth(chance[5], family.ages) if young else 0.0
        kind = CHILD if young else HEAD
    return kind, who


def _youth(age: float, ages: int) -> np.ndarray:
    """Shares of the shapes of children for an age in [0, 1): between two of them, or of the oldest and a grown-up."""
    return np.maximum(0.0, 1.0 - np.abs(np.arange(ages) - ages * age**0.7))


def _affine(values: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """``values @ matrix + offset`` with the same bits for a person alone and in a batch, which `@` does not promise."""
    return blend_shapes(values, matrix[:, :, None].expand(-1, -1, 3), offset[:, None].expand(-1, 3))[..., 0]
