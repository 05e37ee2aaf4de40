"""Posed hands with forearms: the right arm of ``anny``'s body, many grips, views and lights, as cut-outs.

Colours are stored relative to the skin's own, so that a hand can be given any skin. Needs the package ``anny`` 0.6.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from pyface3d.geometry import Camera
from pyface3d.io.color import srgb_to_linear
from pyface3d.ops import Topology, interpolate, rasterize, vertex_normals

COUNT = 360
SIDE = 192  # px of a cut-out
WIDTH_MM = 370.0  # that it shows at the palm
PALM = (0.0, -0.22)  # where the palm's middle lies, -1 … 1
_OVER = 3  # rendered at this many times the size
_DISTANCE_MM = 700.0
_FINGERS = (2, 3, 4, 5)
_SKINS = (
    "young_caucasian_female__young_lightskinned_female_diffuse",
    "old_caucasian_male__old_lightskinned_male_diffuse",
)
#: Share, and how far thumb, index, middle, ring and little finger are curled (0 straight, 1 a fist).
_GRIPS = (
    (0.22, (0.2, 0.1, 0.1, 0.15, 0.2)),  # flat
    (0.22, (0.35, 0.35, 0.4, 0.45, 0.45)),  # at ease
    (0.1, (0.8, 0.95, 1.0, 1.0, 1.0)),  # fist
    (0.12, (0.7, 0.05, 0.9, 0.95, 0.95)),  # pointing
    (0.08, (0.7, 0.05, 0.05, 0.9, 0.95)),  # two fingers
    (0.12, (0.6, 0.55, 0.6, 0.6, 0.65)),  # round something
    (0.07, (0.6, 0.6, 0.15, 0.1, 0.1)),  # thumb to index
    (0.07, (0.0, 0.9, 0.9, 0.95, 0.95)),  # thumb up
)


@dataclass(frozen=True)
class Arm:
    """The right forearm and hand at rest: model frame (+y up, +z ahead), mm.

    Attributes:
        verts: (V, 3).
        heads: bone name -> (3,) where it turns.
        weights: (V, bones) rows of sum 1, in the order of ``heads``.
        parents: bone name -> the bone that carries it; absent for the forearm.
        faces: (F, 3); ``uvs`` (F, 3, 2), v down.
    """

    verts: np.ndarray
    heads: dict[str, np.ndarray]
    weights: np.ndarray
    parents: dict[str, str]
    faces: np.ndarray
    uvs: np.ndarray


def pack(data: Path) -> dict[str, np.ndarray]:
    """The hands.

    Args:
        data: folder that holds ``makehuman_skins/skins``.

    Returns:
        ``occluders.hands`` (360, 192, 192, 4) uint8: root of half the light's and the skin pattern's gain, and cover,
        the forearm leaving downwards; ``occluders.hand_anchors`` (360, 3, 2) in -1 … 1: the tip of the foremost finger,
        the palm's middle and the wrist.
    """
    arms = [read_arm(gender, weight) for gender in (0.0, 1.0) for weight in (0.3, 0.7)]
    skins = [_skin_gain(data / "makehuman_skins" / "skins" / f"{name}.png", arms[0]) for name in _SKINS]
    pictures, anchors = [], []
    for index in range(COUNT):
        rng = np.random.default_rng([index, 77])
        arm = arms[index % len(arms)]
        picture = np.zeros((SIDE, SIDE, 4), np.uint8)
        while not (picture[-1, :, 3] > 128).any():  # an arm that comes straight at us ends inside the picture
            verts, heads = pose(arm, rng)
            picture, anchor = render(arm, verts, heads, skins[index % 2], rng)
        pictures.append(picture)
        anchors.append(anchor)
    return {
        "occluders.hands": np.stack(pictures),
        "occluders.hand_anchors": np.stack(anchors).astype(np.float32),
    }


def read_arm(gender: float, weight: float) -> Arm:
    """The arm of a grown-up; gender 0 … 1 as of ``anny`` (0 female), weight 0 … 1."""
    import anny

    model = anny.Anny(rig="anny", topology="anny", phenotypes="default")
    traits = {"gender": gender, "age": 0.67, "muscle": 0.5, "weight": weight, "height": 0.5, "proportions": 0.5}
    with torch.no_grad():
        body = model(phenotype_kwargs={name: torch.tensor([value]) for name, value in traits.items()})
    kept = [name for name in model.bone_labels if name.endswith(".R") and _is_arm(name)]
    order = [model.bone_labels.index(name) for name in kept]
    weights = model.dense_vertex_bone_weights.numpy()[:, order]
    faces = model.faces.numpy()
    inside = (weights.sum(1) > 0.6)[faces].all(1)
    used, faces_new = np.unique(faces[inside], return_inverse=True)
    uvs = model.texture_coordinates.numpy()[model.face_texture_coordinate_indices.numpy()[inside]]
    names = [name.removesuffix(".R") for name in kept]
    parents = {
        name: model.bone_labels[model.bone_parents[bone]].removesuffix(".R")
        for name, bone in zip(names, order, strict=True)
    }
    heads = _to_model_frame(body["rest_bone_heads"][0].numpy()[order])
    return Arm(
        verts=_to_model_frame(body["rest_vertices"][0].numpy()[used]),
        heads=dict(zip(names, heads, strict=True)),
        weights=weights[used] / weights[used].sum(1, keepdims=True),
        parents={name: parent for name, parent in parents.items() if parent in names},
        faces=faces_new.reshape(-1, 3),
        uvs=uvs * [1, -1] + [0, 1],
    )


def pose(arm: Arm, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The vertices (V, 3) and the bones' places in a random grip, mm."""
    heads = arm.heads
    towards_palm, along = _palm_axes(heads)
    grip = _GRIPS[rng.choice(len(_GRIPS), p=[share for share, _ in _GRIPS])][1]
    curl = np.clip(np.array(grip) + rng.normal(0, 0.12) + rng.normal(0, 0.07, 5), -0.12, 1.05)
    turns = {"wrist": Rotation.from_rotvec(_across(along, towards_palm) * rng.normal(-0.1, 0.3))}
    turns["wrist"] = Rotation.from_rotvec(towards_palm * rng.normal(0, 0.18)) * turns["wrist"]
    spread = rng.normal(0.03, 0.06)
    for number, finger in enumerate(_FINGERS):
        axis = _across(heads[f"finger{finger}-2"] - heads[f"finger{finger}-1"], towards_palm)
        sideways = Rotation.from_rotvec(towards_palm * (spread * (number - 1.5) + rng.normal(0, 0.04)))
        first = curl[number + 1] * rng.uniform(1.1, 1.5)
        second = curl[number + 1] * rng.uniform(1.3, 1.75)
        for joint, angle in enumerate((first, second, 0.65 * second), 1):
            bend = Rotation.from_rotvec(axis * angle)
            turns[f"finger{finger}-{joint}"] = sideways * bend if joint == 1 else bend
    across_palm = heads["finger5-1"] - heads["finger2-1"]
    across_palm /= np.linalg.norm(across_palm)
    thumb = heads["finger1-3"] - heads["finger1-2"]
    axis = _across(thumb, 0.6 * towards_palm + 0.8 * across_palm)
    for joint, most in enumerate((0.45, 0.7, 0.9), 1):
        turns[f"finger1-{joint}"] = Rotation.from_rotvec(axis * (most * curl[0] + rng.normal(0, 0.08)))
    matrices = {name: _chain(arm, turns, name) for name in heads}
    stacked = np.stack([matrices[name] for name in heads])
    moved = np.einsum("bij,vj->vbi", stacked[:, :, :3], arm.verts) + stacked[:, :, 3]
    placed = {name: matrices[name][:, :3] @ head + matrices[name][:, 3] for name, head in heads.items()}
    return np.einsum("vb,vbi->vi", arm.weights, moved), placed


def render(
    arm: Arm, verts: np.ndarray, heads: dict[str, np.ndarray], gain: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A (192, 192, 4) uint8 cut-out of a posed arm from a random side, and its anchors (3, 2)."""
    towards_palm, _ = _palm_axes(heads)
    down = heads["lowerarm01"] - heads["wrist"]
    down /= np.linalg.norm(down)
    # The eye sees the hand's back mostly: the palm is on the face.
    kind = rng.choice(3, p=[0.55, 0.27, 0.18])
    roll = (rng.normal(0, 0.55), rng.choice([-1, 1]) * rng.normal(np.pi / 2, 0.3), np.pi + rng.normal(0, 0.5))[kind]
    ahead = towards_palm - down * (towards_palm @ down)
    ahead = Rotation.from_rotvec(down * roll).apply(ahead / np.linalg.norm(ahead))
    tilt = Rotation.from_rotvec(np.cross(down, ahead) * rng.normal(0, 0.35))
    down, ahead = tilt.apply(down), tilt.apply(ahead)
    rotation = np.stack([np.cross(down, ahead), down, ahead])
    palm = (heads["finger3-1"] + heads["finger4-1"] + heads["wrist"]) / 3
    size = SIDE * _OVER
    focal = _DISTANCE_MM * size / WIDTH_MM
    center = (np.array(PALM) + 1) / 2 * size
    camera_verts = (verts - palm) @ rotation.T + [0, 0, _DISTANCE_MM]
    camera = Camera(torch.tensor([focal]).float(), torch.from_numpy(center[None]).float(), size, size)
    topology = Topology(torch.from_numpy(arm.faces), len(verts))
    points = torch.from_numpy(camera_verts).float()[None]
    fragments = rasterize(camera.project(points), topology, size, size)
    normals = interpolate(vertex_normals(points, topology), fragments, topology)[0].numpy()
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True).clip(1e-6)
    face, weights = fragments.face_index[0].numpy(), fragments.barycentrics[0].numpy()
    cover = (face >= 0).astype(np.float32)
    uv = np.einsum("hwc,hwci->hwi", weights, arm.uvs[np.maximum(face, 0)]).astype(np.float32)
    place = uv * [gain.shape[1], gain.shape[0]] - 0.5
    pattern = cv2.remap(gain, place[..., 0].astype(np.float32), place[..., 1].astype(np.float32), cv2.INTER_LINEAR)
    light = _light(normals, fragments.depth[0].numpy(), cover, rng)
    color = 0.5 * pattern * light[..., None] * cover[..., None]
    small = cv2.resize(np.dstack([color, cover]), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    rgb = np.sqrt((small[..., :3] / small[..., 3:].clip(1 / 255)).clip(0, 1))  # a code that is cheap to undo
    picture = np.round(np.dstack([rgb, small[..., 3].clip(0, 1)]) * 255).astype(np.uint8)

    def place_of(point: np.ndarray) -> np.ndarray:
        x, y, z = rotation @ (point - palm) + [0, 0, _DISTANCE_MM]
        return (np.array([x, y]) * focal / z + center) / size * 2 - 1

    tips = [
        place_of(2 * heads[f"finger{k}-3"] - 0.25 * (3 * heads[f"finger{k}-2"] + heads[f"finger{k}-3"]))
        for k in range(1, 6)
    ]
    anchors = np.stack([min(tips, key=lambda tip: tip[1]), place_of(palm), place_of(heads["wrist"])])
    return picture, anchors


def _light(normals: np.ndarray, depth: np.ndarray, cover: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W) gain about 1: a lamp before the hand that wraps around it, and the dark of the gaps between fingers."""
    towards = np.array([rng.normal(0, 0.7), rng.normal(-0.6, 0.5), -1.0])
    towards /= np.linalg.norm(towards)
    wrap = rng.uniform(0.2, 0.7)
    ambient = rng.uniform(0.25, 0.6)
    lit = np.clip((normals @ towards + wrap) / (1 + wrap), 0, None)
    around = cv2.GaussianBlur(depth * cover, (0, 0), 5.0 * _OVER) / cv2.GaussianBlur(cover, (0, 0), 5.0 * _OVER).clip(
        1e-3
    )
    gap = np.exp(-np.clip((depth - around) / 12.0, 0, 1.5))
    edge = 1 - 0.25 * (1 + normals[..., 2]).clip(0, 1) ** 2  # a surface seen at a slant
    return ((ambient + (1.25 - ambient) * lit) * gap * edge).astype(np.float32)


def _skin_gain(path: Path, arm: Arm) -> np.ndarray:
    """(H, W, 3) float32: a skin's colours divided by their mean over hand and forearm."""
    with Image.open(path) as picture:
        color = srgb_to_linear(np.asarray(picture.convert("RGB")))
    height, width = color.shape[:2]
    middles = arm.uvs.mean(1)
    rows = (middles[:, 1] * height).astype(int).clip(0, height - 1)
    columns = (middles[:, 0] * width).astype(int).clip(0, width - 1)
    return (color / color[rows, columns].mean(0)).astype(np.float32)


def _palm_axes(heads: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors out of the palm, and from the wrist to the middle finger."""
    along = heads["finger3-1"] - heads["wrist"]
    normal = np.cross(along, heads["finger5-1"] - heads["finger2-1"])  # of a right hand
    return normal / np.linalg.norm(normal), along / np.linalg.norm(along)


def _across(direction: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """Unit axis about which a positive turn brings ``direction`` towards ``towards``."""
    axis = np.cross(direction, towards)
    return axis / np.linalg.norm(axis)


def _chain(arm: Arm, turns: dict[str, Rotation], name: str) -> np.ndarray:
    """(3, 4) of a bone: its own turn about its head, carried by its parent's."""
    head = arm.heads[name]
    own = turns[name].as_matrix() if name in turns else np.eye(3)
    matrix = np.column_stack([own, head - own @ head])
    if name not in arm.parents:
        return matrix
    parent = _chain(arm, turns, arm.parents[name])
    return np.column_stack([parent[:, :3] @ matrix[:, :3], parent[:, :3] @ matrix[:, 3] + parent[:, 3]])


def _is_arm(name: str) -> bool:
    return name.startswith(("lowerarm", "wrist", "metacarpal", "finger"))


def _to_model_frame(points: np.ndarray) -> np.ndarray:
    """Metres, z up, ahead -y, to millimetres, y up, ahead +z."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1) * 1000.0
