"""Named parts of the head, and the importance of each vertex."""

from __future__ import annotations

import numpy as np

from .source import Array, SourceHead


def eye_centres(head: SourceHead, verts: Array) -> Array:
    """Middle of the left and right eyeball, (…, 2, 3)."""
    sides = [verts[..., head.part(name), :] for name in ("left_eye", "right_eye")]
    return np.stack([0.5 * (side.max(axis=-2) + side.min(axis=-2)) for side in sides], axis=-2)


def build_regions(head: SourceHead, verts: Array, marks: Array) -> dict[str, np.ndarray]:
    """Vertex masks (V,) bool of the mean head ``verts`` (V, 3) with its 68 points ``marks``; all symmetric."""
    part = head.part
    masks = {
        "skin": part("skin"),
        "left_eye": part("left_eye"),
        "right_eye": part("right_eye"),
        "eyes": part("left_eye", "right_eye"),
        "eye_sockets": part("left_eye_socket", "right_eye_socket"),
        "teeth": part("upper_teeth", "lower_teeth"),
        "upper_teeth": part("upper_teeth"),
        "lower_teeth": part("lower_teeth"),
        "tongue": part("tongue"),
        "mouth_bag": part("mouth_bag"),
        "lashes": part("left_upper_lashes", "left_lower_lashes", "right_upper_lashes", "right_lower_lashes"),
    }
    skin = masks["skin"]
    y, z = verts[:, 1], verts[:, 2]
    brow_y, chin = marks[17:27, 1].max(), marks[8]
    jaw = marks[:17]
    ears = skin & _ear_mask(head)
    depth_limit = np.interp(y, np.sort(jaw[8:, 1]), jaw[8:, 2][np.argsort(jaw[8:, 1])])
    in_front = z > depth_limit - 4.0
    face = skin & ~ears & in_front & (y > chin[1] - 4.0) & (y < brow_y + 45.0)
    neck = skin & ~ears & (y < np.interp(z, [marks[16, 2] - 10.0, chin[2]], [jaw[3, 1], chin[1] - 6.0])) & ~face
    brow_points = np.concatenate(
        [marks[17:27], 0.5 * (marks[17:21] + marks[18:22]), 0.5 * (marks[22:26] + marks[23:27])]
    )
    masks |= {
        "face": face,
        "ears": ears,
        "neck": neck,
        "scalp": skin & ~face & ~ears & ~neck,
        "back": skin & ~ears & (z < marks[16, 2] - 25.0),
        "brows": face & _near(verts, brow_points, 8.0),
        "nose": face & _nose_mask(verts, marks),
        "mouth": skin & _mouth_mask(verts, marks),
        "lips": skin & _lip_mask(verts, marks),
        "left_lids": skin & _lid_mask(verts, marks[42:48]),
        "right_lids": skin & _lid_mask(verts, marks[36:42]),
        "contour": skin & ~ears & _near(verts, jaw, 10.0),
    }
    masks["lids"] = masks["left_lids"] | masks["right_lids"]
    pair = {"left_eye": "right_eye", "right_eye": "left_eye", "left_lids": "right_lids", "right_lids": "left_lids"}
    return {name: mask | masks[pair.get(name, name)][head.mirror] for name, mask in masks.items()}


def face_importance(head: SourceHead, verts: Array, eyes: Array) -> Array:
    """Weight of every vertex in calibration and PCA, (V,): 1 on the face, fading to 0.05 at the back of the skull."""
    _, y, z = (verts - eyes.mean(axis=0)).T
    behind = np.exp(-np.maximum(0.0, -(z + 35.0)) / 25.0)
    above = np.exp(-np.maximum(0.0, y - 70.0) / 20.0)
    below = np.exp(-np.maximum(0.0, -(y + 118.0)) / 10.0)
    return np.clip(behind * above * below, 0.05, 1.0)


def texel_density(head: SourceHead, importance: Array) -> Array:
    """Texels per millimetre wanted at each vertex, relative to the face: few behind it, half as many on the ears."""
    return (0.05 + 0.95 * importance**1.5) * np.where(_ear_mask(head), 0.5, 1.0)


def jaw_skin(head: SourceHead) -> np.ndarray:
    """Skin that can be the outline of a face: all but the ears, (V,) bool."""
    return head.part("skin") & ~_ear_mask(head)


def _near(verts: Array, points: Array, distance_mm: float) -> np.ndarray:
    return np.linalg.norm(verts[:, None] - points, axis=2).min(axis=1) < distance_mm


def _ear_mask(head: SourceHead) -> np.ndarray:
    """The auricle: what the targets of its wing, lobe and flap move by a quarter of their largest displacement."""
    names = [i for i, name in enumerate(head.local_names) if name[2:].startswith(("ear-wing", "ear-lobe", "ear-flap"))]
    moved = np.linalg.norm(head.local_shapes[names, 0], axis=2)
    return (moved > 0.25 * moved.max(axis=1, keepdims=True)).any(axis=0)


def _nose_mask(verts: Array, marks: Array) -> np.ndarray:
    half_width = np.interp(verts[:, 1], [marks[33, 1], marks[27, 1]], [abs(marks[35, 0]) + 7.0, 9.0])
    inside = (verts[:, 1] > marks[33, 1] - 4.0) & (verts[:, 1] < marks[27, 1] + 3.0)
    return inside & (np.abs(verts[:, 0]) < half_width)


def _mouth_mask(verts: Array, marks: Array) -> np.ndarray:
    return (
        (np.abs(verts[:, 0]) < abs(marks[54, 0]) + 9.0)
        & (verts[:, 1] < marks[33, 1] - 3.0)
        & (verts[:, 1] > marks[57, 1] - 8.0)
        & (verts[:, 2] > marks[54, 2] - 14.0)
    )


def _lip_mask(verts: Array, marks: Array) -> np.ndarray:
    top = np.interp(np.abs(verts[:, 0]), marks[[51, 52, 53, 54], 0], marks[[51, 52, 53, 54], 1])
    bottom = np.interp(np.abs(verts[:, 0]), marks[[57, 56, 55, 54], 0], marks[[57, 56, 55, 54], 1])
    inside = (verts[:, 1] < top + 0.8) & (verts[:, 1] > bottom - 0.8) & (np.abs(verts[:, 0]) < marks[54, 0] + 1.5)
    return inside & (verts[:, 2] > marks[54, 2] - 14.0)


def _lid_mask(verts: Array, eye: Array) -> np.ndarray:
    middle, width = eye.mean(axis=0), np.ptp(eye[:, 0])
    offset = (verts - middle) / [0.62 * width, 0.46 * width, 0.6 * width]
    return (offset**2).sum(axis=1) < 1.0
