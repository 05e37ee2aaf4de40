"""Facial expressions as people make them: actions that come together, never all 52 at random.

An expression is a mixture of named prototypes of different strength, a little stronger on one side, plus faint stray
actions; eyelids and gaze move on their own, both eyes together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PROTOTYPES: dict[str, tuple[float, dict[str, float]]] = {
    "smile, lips closed": (6.0, {"mouthSmile": 0.65, "cheekSquint": 0.2, "mouthDimple": 0.2, "mouthPress": 0.15}),
    "smile, teeth shown": (
        14.0,
        {"mouthSmile": 0.8, "cheekSquint": 0.3, "mouthUpperUp": 0.75, "mouthLowerDown": 0.5, "eyeSquint": 0.15,
         "jawOpen": 0.07},
    ),
    "laughter": (
        6.0,
        {"mouthSmile": 0.85, "cheekSquint": 0.55, "mouthUpperUp": 0.85, "mouthLowerDown": 0.6, "jawOpen": 0.3,
         "eyeSquint": 0.35, "noseSneer": 0.15},
    ),
    "smirk": (0.8, {"mouthSmileLeft": 0.6, "mouthDimpleLeft": 0.4, "cheekSquintLeft": 0.3, "mouthLeft": 0.12}),
    "surprise": (
        1.8, {"jawOpen": 0.5, "browInnerUp": 0.8, "browOuterUp": 0.8, "eyeWide": 0.75, "mouthFunnel": 0.15}
    ),
    "brows up": (1.0, {"browInnerUp": 0.7, "browOuterUp": 0.7, "eyeWide": 0.25}),
    "anger, teeth clenched": (
        0.9,
        {"browDown": 0.9, "eyeSquint": 0.4, "noseSneer": 0.5, "mouthStretch": 0.3, "mouthLowerDown": 0.5,
         "mouthUpperUp": 0.3, "jawForward": 0.15},
    ),
    "anger, lips pressed": (0.9, {"browDown": 0.8, "eyeSquint": 0.35, "mouthPress": 0.6, "mouthFrown": 0.3}),
    "shout": (
        2.0,
        {"jawOpen": 0.65, "mouthUpperUp": 0.5, "mouthLowerDown": 0.5, "browDown": 0.5, "noseSneer": 0.35,
         "mouthStretch": 0.3, "eyeSquint": 0.3},
    ),
    "disgust": (0.9, {"noseSneer": 0.85, "mouthUpperUp": 0.5, "browDown": 0.45, "eyeSquint": 0.4, "mouthFrown": 0.3}),
    "sadness": (1.0, {"browInnerUp": 0.7, "mouthFrown": 0.6, "mouthShrugLower": 0.35, "eyeBlink": 0.15}),
    "weeping": (
        0.4,
        {"browInnerUp": 0.6, "browDown": 0.3, "mouthFrown": 0.5, "mouthStretch": 0.5, "jawOpen": 0.16,
         "eyeSquint": 0.7, "cheekSquint": 0.5, "mouthLowerDown": 0.4},
    ),
    "fear": (0.7, {"browInnerUp": 0.85, "eyeWide": 0.8, "mouthStretch": 0.6, "jawOpen": 0.14, "browOuterUp": 0.3}),
    "contempt": (0.4, {"mouthDimpleRight": 0.6, "mouthUpperUpRight": 0.3, "mouthPressRight": 0.4, "browDown": 0.1}),
    "doubt": (0.6, {"browOuterUpLeft": 0.7, "browDownRight": 0.5, "mouthPress": 0.3, "mouthFrownRight": 0.2}),
    "thought": (0.6, {"browDown": 0.4, "mouthPucker": 0.25, "mouthLeft": 0.2, "eyeSquint": 0.2}),
    "lips pressed": (0.8, {"mouthPress": 0.6, "mouthRollLower": 0.35, "mouthRollUpper": 0.3}),
    "lip bitten": (0.4, {"mouthRollLower": 0.65, "jawOpen": 0.05, "mouthUpperUp": 0.25}),
    "kiss": (0.8, {"mouthPucker": 0.85, "eyeBlink": 0.2}),
    "viseme A": (1.6, {"jawOpen": 0.38, "mouthLowerDown": 0.25, "mouthUpperUp": 0.15}),
    "viseme E": (1.4, {"jawOpen": 0.14, "mouthStretch": 0.3, "mouthLowerDown": 0.35, "mouthUpperUp": 0.25}),
    "viseme I": (1.2, {"jawOpen": 0.06, "mouthSmile": 0.25, "mouthStretch": 0.3, "mouthLowerDown": 0.35}),
    "viseme O": (1.4, {"jawOpen": 0.3, "mouthFunnel": 0.6, "mouthPucker": 0.15}),
    "viseme U": (1.2, {"jawOpen": 0.08, "mouthPucker": 0.65, "mouthFunnel": 0.15}),
    "viseme F": (0.8, {"jawOpen": 0.05, "mouthRollLower": 0.45, "mouthUpperUp": 0.3}),
    "viseme M": (0.8, {"mouthPress": 0.35, "mouthRollUpper": 0.2, "mouthRollLower": 0.2}),
    "viseme SH": (0.8, {"jawOpen": 0.04, "mouthFunnel": 0.65, "mouthUpperUp": 0.2, "mouthLowerDown": 0.2}),
    "yawn": (
        1.2, {"jawOpen": 0.8, "eyeSquint": 0.6, "eyeBlink": 0.5, "browInnerUp": 0.2, "mouthStretch": 0.15}
    ),
    "mouth agape": (0.8, {"jawOpen": 0.22}),
    "eyes squeezed": (0.4, {"eyeBlink": 1.0, "cheekSquint": 0.8, "browDown": 0.6, "noseSneer": 0.3}),
    "squint": (0.9, {"eyeSquint": 0.8, "browDown": 0.3, "cheekSquint": 0.35}),
    "wink": (0.5, {"eyeBlinkLeft": 1.0, "cheekSquintLeft": 0.5, "mouthSmileLeft": 0.4, "mouthSmileRight": 0.2}),
    "tongue out": (0.5, {"tongueOut": 0.9, "jawOpen": 0.26, "mouthLowerDown": 0.3}),
    "cheeks puffed": (0.4, {"cheekPuff": 0.7, "mouthPress": 0.3}),
    "jaw sideways": (0.4, {"jawLeft": 0.7, "mouthLeft": 0.3, "jawOpen": 0.05}),
    "mouth sideways": (0.4, {"mouthRight": 0.7, "mouthPucker": 0.2, "mouthDimpleRight": 0.2}),
    "jaw forward": (0.3, {"jawForward": 0.7, "mouthShrugLower": 0.4}),
    "pout": (0.5, {"mouthShrugLower": 0.8, "mouthFrown": 0.3, "browInnerUp": 0.3, "mouthPucker": 0.15}),
    "nose wrinkled": (0.3, {"noseSneer": 0.8, "cheekSquint": 0.4}),
}  # fmt: skip
"""Name: how often it is drawn, and its actions; an action without a side is made on both. One that is made on one side
is drawn mirrored half of the time."""

# Draws that each sample consumes, whatever they are used for: what follows them never depends on chance.
_NUM_UNIFORM, _NUM_NORMAL = 16, 8

_NEUTRAL, _SECOND, _LOPSIDED = 0.2, 0.35, 0.2  # shares of people
_STRAY, _STRAY_STRENGTH, _FAINT = 0.05, 0.3, 0.035  # stray actions: chance of each, greatest strength; and all of them
_CLOSED, _HALF_CLOSED, _LID_NOISE = 0.06, 0.08, 0.03
_FRIENDLY, _BROW_NOISE = 0.4, 0.25  # a smile on top of anything else; brows up or down, standard deviation
_WAKEFUL = 0.2  # how far eyes are usually wider than those of the models' rest, which are half asleep
_SPEAKING = 0.15  # opens the jaw on top of anything else
_GAZE = (0.3, 0.22)  # standard deviation sideways and up or down, in full actions


def draw_expressions(rngs: list[np.random.Generator], names: tuple[str, ...]) -> NDArray[np.float32]:
    """Strengths (B, E) in [0, 1] of the actions ``names`` for B people."""
    index = {name: i for i, name in enumerate(names)}
    u = np.stack([rng.random(_NUM_UNIFORM + 2 * len(names)) for rng in rngs])
    z = np.stack([rng.standard_normal(_NUM_NORMAL + len(names)) for rng in rngs])
    u, u_stray, u_strength = np.split(u, [_NUM_UNIFORM, _NUM_UNIFORM + len(names)], axis=1)
    z, z_faint = z[:, :_NUM_NORMAL], z[:, _NUM_NORMAL:]

    frequency, actions = _table(names)
    mirrored = actions[:, _partners(names)]
    steps = np.cumsum(frequency) / frequency.sum()

    def prototype(choice: NDArray[np.float64], side: NDArray[np.float64]) -> NDArray[np.float64]:
        row = np.searchsorted(steps, choice).clip(max=len(steps) - 1)
        return np.where((side < 0.5)[:, None], actions[row], mirrored[row])

    first = (0.25 + 0.9 * u[:, 0]) * (u[:, 1] > _NEUTRAL)
    second = 0.7 * u[:, 2] * (u[:, 3] < _SECOND)
    strength = first[:, None] * prototype(u[:, 4], u[:, 5]) + second[:, None] * prototype(u[:, 6], u[:, 7])
    lopsided = np.where(u[:, 8] < _LOPSIDED, 0.4, 0.12) * z[:, 0]
    strength *= 1.0 + lopsided.clip(-0.7, 0.7)[:, None] * _side(names)
    strength += (u_stray < _STRAY) * _STRAY_STRENGTH * u_strength**2 + _FAINT * np.abs(z_faint)
    strength[:, index["jawOpen"]] += 0.35 * u[:, 10] * (u[:, 9] < _SPEAKING)
    _move_with_mood(strength, u, z, index)
    _move_eyes(strength, u, z, index)
    _settle(strength, index)
    return strength.clip(0.0, 1.0).astype(np.float32)


def _move_with_mood(
    strength: NDArray[np.float64], u: NDArray[np.float64], z: NDArray[np.float64], index: dict[str, int]
) -> None:
    """What people do with brows, lids and mouth corners beside any expression, both sides alike."""
    brows = _BROW_NOISE * z[:, 5]
    friendly = 0.45 * u[:, 14] * (u[:, 13] < _FRIENDLY)
    for side in ("Left", "Right"):
        strength[:, index[f"browDown{side}"]] += 1.4 * brows.clip(min=0.0)
        strength[:, index[f"browOuterUp{side}"]] += (-brows).clip(min=0.0)
        strength[:, index[f"mouthSmile{side}"]] += friendly
        strength[:, index[f"eyeWide{side}"]] += _WAKEFUL * (1.0 + z[:, 6]).clip(min=0.0)
    strength[:, index["browInnerUp"]] += (-brows).clip(min=0.0)


def _move_eyes(
    strength: NDArray[np.float64], u: NDArray[np.float64], z: NDArray[np.float64], index: dict[str, int]
) -> None:
    """Lids and gaze of both eyes; gaze replaces what was there."""
    closed = np.where(u[:, 11] < _CLOSED, 0.85 + 0.15 * u[:, 12], 0.0)
    half = np.where(u[:, 11] > 1.0 - _HALF_CLOSED, 0.6 * u[:, 12], 0.0)
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        strength[:, index[f"eyeBlink{side}"]] += closed + half + _LID_NOISE * np.abs(z[:, 1] + 0.3 * sign * z[:, 2])
    sideways = (_GAZE[0] * z[:, 3]).clip(-1.0, 1.0)  # positive: to the subject's left
    upwards = (_GAZE[1] * z[:, 4]).clip(-1.0, 1.0)
    for side, outwards in (("Left", sideways), ("Right", -sideways)):
        strength[:, index[f"eyeLookOut{side}"]] = outwards.clip(min=0.0)
        strength[:, index[f"eyeLookIn{side}"]] = (-outwards).clip(min=0.0)
        strength[:, index[f"eyeLookUp{side}"]] = upwards.clip(min=0.0)
        strength[:, index[f"eyeLookDown{side}"]] = (-upwards).clip(min=0.0)


def _settle(strength: NDArray[np.float64], index: dict[str, int]) -> None:
    """Take back what the anatomy forbids: actions that would push the same skin twice or lips through each other."""

    def of(name: str) -> NDArray[np.float64]:
        return strength[:, index[name]]

    np.clip(strength, 0.0, 1.0, out=strength)
    for side in ("Left", "Right"):
        shut = of(f"eyeBlink{side}")
        strength[:, index[f"eyeWide{side}"]] *= 1.0 - shut
        strength[:, index[f"eyeSquint{side}"]] *= 1.0 - shut
        # Both raise the same skin over the eyeball.
        strength[:, index[f"eyeSquint{side}"]] *= 1.0 - 0.6 * of(f"cheekSquint{side}")
        strength[:, index[f"eyeLookDown{side}"]] *= 1.0 - 0.7 * shut  # the lid follows the gaze: both would overshoot
        narrow = of("mouthPucker") + of("mouthFunnel")
        strength[:, index[f"mouthSmile{side}"]] *= 1.0 - 0.8 * narrow.clip(max=1.0)
        strength[:, index[f"mouthStretch{side}"]] *= 1.0 - 0.8 * narrow.clip(max=1.0)
        strength[:, index[f"mouthFrown{side}"]] *= 1.0 - of(f"mouthSmile{side}")
    strength[:, index["mouthFunnel"]] *= 1.0 - of("mouthPucker")
    strength[:, index["jawOpen"]] = np.maximum(of("jawOpen"), 0.28 * of("tongueOut"))
    strength[:, index["mouthClose"]] = np.minimum(of("mouthClose"), 0.8 * of("jawOpen"))
    apart = 1.0 - (4.0 * of("jawOpen")).clip(max=1.0)
    for name in ("mouthPressLeft", "mouthPressRight", "mouthShrugLower", "mouthShrugUpper", "cheekPuff"):
        strength[:, index[name]] *= 0.3 + 0.7 * apart
    strength[:, index["mouthShrugLower"]] *= 1.0 - 0.6 * of("mouthPressLeft").clip(max=1.0)


def _table(names: tuple[str, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies (P,) and strengths (P, E) of the prototypes."""
    index = {name: i for i, name in enumerate(names)}
    actions = np.zeros((len(PROTOTYPES), len(names)))
    for row, (_, parts) in zip(actions, PROTOTYPES.values()):
        for action, strength in parts.items():
            for name in (action,) if action in index else (f"{action}Left", f"{action}Right"):
                row[index[name]] = strength
    return np.array([frequency for frequency, _ in PROTOTYPES.values()]), actions


def _partners(names: tuple[str, ...]) -> list[int]:
    """The action on the other side of the face for each."""
    swap = {"Left": "Right", "Right": "Left"}
    other = [next((name.removesuffix(a) + b for a, b in swap.items() if name.endswith(a)), name) for name in names]
    return [names.index(name) for name in other]


def _side(names: tuple[str, ...]) -> NDArray[np.float64]:
    """+1 for an action of the left side, -1 for one of the right, 0 for the rest."""
    sideways = ("jaw", "mouthLeft", "mouthRight")  # whole-face movements with a side in the name
    return np.array(
        [0.0 if n.startswith(sideways) else float(n.endswith("Left")) - float(n.endswith("Right")) for n in names]
    )
