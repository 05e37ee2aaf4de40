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
from pyface3d.ops import blend_shapes

STAGE = 1
HEAD, ICT, CHILD = 0, 1, 2

_ICT_SHARE = 0.5
_WIDE_SHARE, _WIDEST = 0.3, 1.4  # people of the head's space drawn wider than the population
_LOPSIDED_SHARE = 0.4
_LOPSIDED_COMPONENTS, _LOPSIDED_SIGMA = 24, 0.35  # how much the two halves of a lopsided face differ, in sigma
_CHILD_SHARE = 0.35  # of the people of the head's space
_CHILD_SPREAD = 0.7  # children differ less from each other
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
            are exact for `HEAD` alone; those of children leave the proportions out.
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
    space = _space(assets, device)
    model = space.model
    drawn = [_draw(rng, space) for rng in rngs]
    identity, sideways, scans, youth = (
        torch.from_numpy(np.stack(rows).astype(np.float32)).to(device) for rows in zip(*drawn, strict=True)
    )
    expression = torch.from_numpy(draw_expressions(rngs, model.expression_names)).to(device)
    source = torch.where(scans.abs().amax(1) > 0, ICT, torch.where(youth.amax(1) > 0, CHILD, HEAD))
    neutral = blend_shapes(identity, model.identity_basis, model.template)
    neutral = blend_shapes(sideways, space.halves, neutral)
    if space.children is not None:
        neutral = blend_shapes(youth, space.children, neutral)
    verts = blend_shapes(expression, model.expression_basis, neutral)
    if space.ict is not None:
        ours = source[:, None, None] != ICT
        theirs = blend_shapes(scans, space.ict.identity, space.ict.mean)
        made = blend_shapes(expression, space.ict.expression, theirs)
        neutral, verts = torch.where(ours, neutral, theirs), torch.where(ours, verts, made)
        found = _affine(torch.cat([scans, expression], 1), space.ict.to_head, space.ict.to_head_offset)
        identity = torch.where(ours[:, 0], identity, found[:, : model.identity_dim])
        actions = found[:, model.identity_dim :].clamp(0.0, 1.0)
        expression = torch.where(ours[:, 0], expression, actions)
    return People(model, verts, neutral, identity, expression, source)


@dataclass(frozen=True, eq=False)
class _Scans:
    """ICT-FaceKit on the head's mesh: mean (V, 3), shapes (100, V, 3) and (52, V, 3), and the least-squares map from
    its coefficients to the head's, (152, 122) and (122,)."""

    mean: Tensor
    identity: Tensor
    expression: Tensor
    to_head: Tensor
    to_head_offset: Tensor


@dataclass(frozen=True, eq=False)
class _Space:
    model: LinearFaceModel
    halves: Tensor
    children: Tensor | None
    ict: _Scans | None


_SPACES: WeakIdKeyDictionary = WeakIdKeyDictionary()


def _space(assets: Mapping[str, Tensor], device: torch.device | str) -> _Space:
    by_device = _SPACES.setdefault(assets["people.template"], {})
    key = str(torch.device(device))
    if key not in by_device:
        model = model_of(assets, device)
        half = torch.tanh(model.template[:, :1] / _HALF_WIDTH_MM)
        scans = None
        if "people.ict_mean" in assets:
            fields = ("mean", "identity", "expression", "to_head", "to_head_offset")
            scans = _Scans(*(assets[f"people.ict_{field}"].to(device).float() for field in fields))
        children = assets["people.children"].to(device).float() if "people.children" in assets else None
        by_device[key] = _Space(model, model.identity_basis[:_LOPSIDED_COMPONENTS] * half, children, scans)
    return by_device[key]


def _draw(rng: np.random.Generator, space: _Space) -> tuple[np.ndarray, ...]:
    """Coefficients of the head, of the difference of its halves, of ICT, and shares of the children's shapes.

    Those of ICT or all others are zero.
    """
    chance = rng.random(4)
    wide = 1.0 + (_WIDEST - 1.0) * chance[1] if chance[2] < _WIDE_SHARE else 1.0
    identity = wide * rng.standard_normal(space.model.identity_dim)
    sideways = (chance[3] < _LOPSIDED_SHARE) * _LOPSIDED_SIGMA * rng.standard_normal(_LOPSIDED_COMPONENTS)
    scans = np.zeros(1) if space.ict is None else rng.standard_normal(len(space.ict.identity))
    youth = np.zeros(1) if space.children is None else _youth(rng, len(space.children))
    if youth.any():
        identity = _CHILD_SPREAD * identity
    theirs = float(space.ict is not None and chance[0] < _ICT_SHARE)
    return (1 - theirs) * identity, (1 - theirs) * sideways, theirs * scans, (1 - theirs) * youth


def _youth(rng: np.random.Generator, ages: int) -> np.ndarray:
    """Shares of the shapes of children, the youngest first: an age between two of them, or grown up."""
    chance, age = rng.random(2)
    if chance >= _CHILD_SHARE:
        return np.zeros(ages)
    return np.maximum(0.0, 1.0 - np.abs(np.arange(ages) - ages * age**0.7))


def _affine(values: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """``values @ matrix + offset`` with the same bits for a person alone and in a batch, which `@` does not promise."""
    return blend_shapes(values, matrix[:, :, None].expand(-1, -1, 3), offset[:, None].expand(-1, 3))[..., 0]
