"""Faces that networks have mistaken, drawn more often than they are met: old eyes without glasses, lenses that show
nothing of the eye, bald heads, hard light through leaves and straw.

A case changes a person's own draws in the stage that makes them (skin, wear, light); whoever is no case is the same
person with and without this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

STAGE = 94


class Case(IntEnum):
    """What is hard about a person."""

    NONE = 0
    OLD_EYES = 1  # bags, dark rings, troughs and hoods, no glasses
    DARK_LENSES = 2
    BALD = 3
    SHADE = 4  # one hard lamp from above, mostly under a brim, through leaves or straw


_WEIGHTS = {Case.OLD_EYES: 0.4, Case.DARK_LENSES: 0.2, Case.BALD: 0.18, Case.SHADE: 0.22}


def draw_cases(rngs: Sequence[np.random.Generator], share: float) -> list[Case]:
    """The case of every sample.

    Args:
        rngs: one generator per sample.
        share: of people that are a case at all, in [0, 1].
    """
    cases, weights = list(_WEIGHTS), list(_WEIGHTS.values())
    return [
        Case(rng.choice(cases, p=np.array(weights) / sum(weights))) if rng.random() < share else Case.NONE
        for rng in rngs
    ]
