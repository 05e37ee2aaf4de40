"""Where teeth and tongue lie: just behind the lips, as in people, so that an open mouth shows what it should.

The base mesh hangs its dental arches 11 mm behind the lips and its tongue against the palate: seen from the front, the
tongue then hides everything, the upper teeth never show, and the lower ones shine through the corners of closed lips.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .identity import IdentitySpace
from .source import PARTS, Array, Ints, SourceHead, mirrored_name, reflect

#: Upper teeth: forwards until the incisors touch the lip from behind, down until they end 3 mm below its edge.
UPPER_SHIFT_MM, UPPER_WIDTH = np.array([0.0, -3.7, 8.5]), 0.95
#: Lower teeth: incisors behind and 2 mm above the edge of the upper ones …
LOWER_SHIFT_MM = np.array([0.0, -1.2, 6.6])
#: … but molars only meet, so that this much of it is taken back from front to back; the lower arch is narrower.
MOLAR_DROP_MM, LOWER_WIDTH = 2.4, 0.91
#: Canines and what follows stand further back than in the base mesh, clear of the corners of the lips.
CANINE_X_MM, CANINE_SETBACK_MM = 14.0, 1.5
#: Tongue: half as high above its tip's floor, narrower (it lies inside the lower arch), down, forwards with the teeth …
TONGUE_FLOOR_MM, TONGUE_HEIGHT, TONGUE_WIDTH = -78.0, 0.5, 0.8
TONGUE_SHIFT_MM = np.array([0.0, -2.6, 2.0])
#: … and falling backwards by this much per millimetre: an opening jaw turns it up again.
TONGUE_FALL = 0.22
#: Put out, the tongue goes between the lips: this much higher than in the base mesh, where it goes through the lower.
TONGUE_OUT_RISE_MM = 4.6
#: At the corners the closed lips of the base mesh leave a slit of 1 mm: the lining just inside the lower lip is raised
#: behind it, most where the slit is, |x| = 21.5 mm.
CORNER_X_MM, CORNER_WIDTH_MM = 21.5, 6.0
CORNER_FOLD_MM = np.array([0.0, 6.5, -1.0])
#: Distance over which the lips and the lining of the mouth lose their say in how teeth and tongue vary with identity.
NEIGHBOUR_MM = 15.0

MOVABLE = ("upper_teeth", "lower_teeth", "tongue")


def settle_mouth(head: SourceHead, identity: IdentitySpace) -> tuple[SourceHead, IdentitySpace]:
    """Move teeth and tongue of the mean head, let them follow the jaw and the lips from there, and seal the corners.

    The skin, and all but a few vertices of the mouth bag, keep their place; skin and bag keep components and actions.

    Returns:
        The head with new actions, and the identity space with a new mean and new components.
    """
    mean = _settled(head, identity.mean)
    mean = np.where(head.part("skin")[:, None], identity.mean, 0.5 * (mean + reflect(mean, head.mirror)))
    actions = _actions(head, identity.mean, mean)
    components = _components(head, identity, mean)
    return replace(head, expression_shapes=actions), replace(identity, mean=mean, components=components)


def _settled(head: SourceHead, verts: Array) -> Array:
    verts = verts.copy()
    upper, lower, tongue = (head.part(name) for name in MOVABLE)
    verts[upper] = verts[upper] * [UPPER_WIDTH, 1.0, 1.0] + UPPER_SHIFT_MM
    depth = (verts[lower, 2].max() - verts[lower, 2]) / np.ptp(verts[lower, 2])
    verts[lower] = verts[lower] * [LOWER_WIDTH, 1.0, 1.0] + LOWER_SHIFT_MM
    verts[lower, 1] -= MOLAR_DROP_MM * np.minimum(1.0, 3.0 * depth)
    teeth = upper | lower
    verts[teeth, 2] -= CANINE_SETBACK_MM * np.minimum(1.0, (verts[teeth, 0] / CANINE_X_MM) ** 2)
    height = verts[tongue, 1] - TONGUE_FLOOR_MM
    verts[tongue, 1] -= (1.0 - TONGUE_HEIGHT) * np.maximum(0.0, height)
    verts[tongue, 1] -= TONGUE_FALL * (verts[tongue, 2].max() - verts[tongue, 2])
    verts[tongue] = verts[tongue] * [TONGUE_WIDTH, 1.0, 1.0] + TONGUE_SHIFT_MM
    fold = _inside_lower_lip(head, verts)
    near = np.exp(-0.5 * ((np.abs(verts[fold, 0]) - CORNER_X_MM) / CORNER_WIDTH_MM) ** 2)
    verts[fold] += near[:, None] * CORNER_FOLD_MM
    return verts


def _inside_lower_lip(head: SourceHead, verts: Array) -> Ints:
    """Vertices of the mouth bag next to its rim on the lips, on the side of the lower lip."""
    bag = head.quads[head.parts == list(PARTS).index("mouth_bag")]
    on_rim = (head.part("mouth_bag") & head.part("skin"))[bag]
    beside = np.unique(bag[on_rim.any(axis=1)][~on_rim[on_rim.any(axis=1)]])
    corner = np.abs(verts[bag[on_rim], 0]).argmax()
    return beside[verts[beside, 1] < verts[bag[on_rim], 1][corner]]


def _actions(head: SourceHead, before: Array, after: Array) -> Array:
    """Actions (E, V, 3) of the settled mouth: teeth and tongue ride on the jaw, whose motion is affine in the place."""
    names, shapes = head.expression_names, head.expression_shapes.copy()
    lower, tongue = head.part("lower_teeth"), head.part("tongue")
    for name, shape in zip(names, shapes):
        jaw = affine_field(before[lower], shape[lower], np.ones(lower.sum()))
        shape[lower] = affine_offsets(jaw, after[lower])
        if name == "tongueOut":
            out = shape[tongue, 2:] / shape[tongue, 2].max()
            fall = after[tongue, 1:2] - before[tongue, 1:2]
            shape[tongue, 1:2] += out * (TONGUE_OUT_RISE_MM - fall)
            shape[tongue, 0] *= TONGUE_WIDTH
        elif name == "jawOpen":
            shape[tongue] = affine_offsets(jaw, after[tongue])
    partner = [names.index(mirrored_name(name)) for name in names]
    moved = head.part(*MOVABLE)[:, None]
    return np.where(moved, 0.5 * (shapes + reflect(shapes[partner], head.mirror)), head.expression_shapes)


def _components(head: SourceHead, identity: IdentitySpace, after: Array) -> Array:
    """Components (I, V, 3): teeth and tongue vary as one, by the affine field that fits the mouth around them best."""
    movable = head.part(*MOVABLE)
    lining = np.nonzero(head.part("mouth_bag"))[0]
    front = after[movable & ~head.part("tongue")]
    distance = np.linalg.norm(identity.mean[lining][:, None] - front, axis=2).min(axis=1)
    weights = np.exp(-0.5 * (distance / NEIGHBOUR_MM) ** 2)
    components = identity.components.copy()
    for shape in components:
        field = affine_field(identity.mean[lining], shape[lining], weights)
        flip = reflect(shape, head.mirror)
        sign = 1.0 if np.abs(shape - flip).sum() < np.abs(shape + flip).sum() else -1.0
        shape[movable] = affine_offsets(field, after[movable])
        shape[movable] = (0.5 * (shape + sign * reflect(shape, head.mirror)))[movable]
    return components


def affine_field(points: Array, offsets: Array, weights: Array) -> Array:
    """Weighted least-squares affine field (4, 3) through offsets (N, 3) at points (N, 3)."""
    root = np.sqrt(weights)[:, None]
    design = np.column_stack([points, np.ones(len(points))])
    return np.linalg.lstsq(design * root, offsets * root, rcond=None)[0]


def affine_offsets(field: Array, points: Array) -> Array:
    return points @ field[:3] + field[3]
