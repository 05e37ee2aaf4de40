"""Priors of the fit: what people look like before a photo is seen.

68 points hold far less than a face model can express, and a fit that is free follows their noise into faces
nobody has: puffed cheeks, sneers, tongues between the lips, jaws pushed sideways. Three things keep it on people:
identity is N(0, 1) in σ units; facial actions live in [0, 1] with a spread of their own and move in pairs;
actions that 68 points cannot tell from identity start almost closed.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel

# Spread of an action's strength, by its ARKit name less the side. First match wins. A wide spread means "seen in
# every second photo and told by the landmarks"; a narrow one "rare, or the points cannot tell it from identity".
_ACTION_SPREAD: tuple[tuple[str, float], ...] = (
    (r"tongueOut", 0.01),
    (r"cheekPuff", 0.03),
    (r"noseSneer", 0.08),
    (r"jaw(Left|Right)?$", 0.08),
    (r"jawForward", 0.08),
    (r"mouth(Left|Right)?$", 0.144),
    (r"eyeLook", 0.08),
    (r"cheekSquint|cheekRaiser|PupilDilate", 0.12),
    (r"mouthShrug|mouthRoll|mouthPress|mouthDimple", 0.18),
    (r"mouthFunnel|mouthPucker|mouthClose", 0.24),
    (r"mouthStretch|mouthFrown", 0.24),
    (r"jawOpen|mouthSmile", 0.6),
    (r"eyeBlink", 0.48),
    (r"browDown", 0.25),  # else it makes up for brows that mesh and annotators place differently
)
_OTHER_SPREAD = 0.36
# How far the two sides of one action usually differ.
_SIDE_SPREAD = 0.08
# Landmarks tell open from shut eyes per side, and people do wink.
_WINK_SPREAD = 0.20


@dataclass(frozen=True)
class ExpressionPrior:
    """Gaussian over the expression with bounds.

    Attributes:
        precision: (E, E), the quadratic form of the cost ``e' precision e``.
        lower, upper: bounds of each coefficient, (E,); infinite for a model without facial actions.
    """

    precision: Tensor
    lower: Tensor
    upper: Tensor


def split_side(name: str) -> tuple[str, str]:
    """An action's name less its side, and the side: "L", "R" or "".

    Reads ARKit ("eyeBlinkLeft") and ICT-FaceKit ("eyeBlink_L"). ``jawLeft`` and ``mouthLeft`` are directions of an
    unpaired action, not sides: they come back whole. A gaze to the left is "in" for one eye and "out" for the
    other, so the four sideways gazes pair crosswise.
    """
    if name in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
        return name, ""
    match = re.fullmatch(r"(.+?)(?:_?(Left|Right)|_([LR]))", name)
    if match is None:
        return name, ""
    stem, side = match[1], (match[2] or match[3])[0]
    if stem in ("eyeLookIn", "eyeLookOut"):
        towards_left = (stem == "eyeLookOut") == (side == "L")
        stem = "eyeLookLeft" if towards_left else "eyeLookRight"
    return stem, side


def has_actions(names: tuple[str, ...]) -> bool:
    """Whether expression coefficients are facial actions in [0, 1] (ARKit names) or free components in σ."""
    return any(split_side(name)[0] in ("jawOpen", "eyeBlink", "mouthSmile") for name in names)


@lru_cache(maxsize=16)
def _prior_of_names(names: tuple[str, ...]) -> ExpressionPrior:
    if not has_actions(names):
        free = torch.full((len(names),), torch.inf, dtype=torch.float64)
        return ExpressionPrior(torch.eye(len(names), dtype=torch.float64), -free, free)
    precision = torch.zeros(len(names), len(names), dtype=torch.float64)
    sides: dict[str, dict[str, int]] = {}
    for index, name in enumerate(names):
        stem, side = split_side(name)
        bare = re.sub(r"(jaw|mouth)(Left|Right)$", r"\1", stem)
        spread = next((value for rule, value in _ACTION_SPREAD if re.match(rule, bare)), _OTHER_SPREAD)
        precision[index, index] += spread**-2
        if side:
            sides.setdefault(stem, {})[side] = index
    for stem, pair in sides.items():
        if len(pair) == 2:
            both = torch.tensor([pair["L"], pair["R"]])
            spread = _WINK_SPREAD if stem == "eyeBlink" else _SIDE_SPREAD
            difference = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
            precision[both[:, None], both] += difference * spread**-2
    return ExpressionPrior(precision, torch.zeros(len(names)).double(), torch.ones(len(names)).double())


def expression_prior(model: "FaceModel") -> ExpressionPrior:
    """The prior over ``model``'s expression, float64 on the CPU.

    Facial actions (ARKit or ICT names) get bounds [0, 1], a spread each and coupled sides; any other expression
    space is N(0, 1) without bounds.
    """
    return _prior_of_names(tuple(model.expression_names))
