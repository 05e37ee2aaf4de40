"""Teeth and tongue of the shipped head, as a camera sees them: hidden by closed lips, in their place in open ones."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pyface3d.face_models import LinearFaceModel, load_face_model
from pyface3d.ops import Topology, rasterize

SIZE, MM_PER_PIXEL = (300, 400), 0.2
VIEWS = (0.0, math.pi / 4, -math.pi / 4)
#: Actions that part the lips, so that teeth may show.
PARTING = {
    "jawForward", "jawOpen", "mouthFunnel", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthShrugUpper",
    "mouthUpperUpLeft", "mouthUpperUpRight", "tongueOut",
}  # fmt: skip
INSIDE = ("upper_teeth", "lower_teeth", "tongue")


@pytest.fixture(scope="module")
def head() -> LinearFaceModel:
    return load_face_model("head")


def shape(head: LinearFaceModel, identity: Tensor | None = None, **strengths: float) -> Tensor:
    expression = torch.zeros(1, head.expression_dim)
    for name, strength in strengths.items():
        expression[0, head.expression_names.index(name)] = strength
    return head.vertices(torch.zeros(1, head.identity_dim) if identity is None else identity, expression)[0]


def seen(head: LinearFaceModel, verts: Tensor, yaw: float, faces: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Face index into the head's (or the given) triangles and depth at every pixel of a parallel view of the mouth."""
    middle = verts[head.regions["lips"]].mean(dim=0)
    x, y, z = (verts - middle).T
    across, towards = x * math.cos(yaw) - z * math.sin(yaw), x * math.sin(yaw) + z * math.cos(yaw)
    height, width = SIZE
    image = torch.stack([across / MM_PER_PIXEL + width / 2, height / 2 - y / MM_PER_PIXEL, 500.0 - towards], dim=1)
    topology = head.topology if faces is None else Topology(faces, len(verts))
    fragments = rasterize(image[None], topology, height, width, perspective=False)
    return fragments.face_index[0].long(), fragments.depth[0]


def mask(head: LinearFaceModel, index: Tensor, *regions: str) -> Tensor:
    """Pixels that show a triangle of any of the regions."""
    on = torch.stack([head.regions[name][head.topology.faces.long()].all(dim=1) for name in regions]).any(dim=0)
    return (index >= 0) & on[index.clamp(min=0)]


def showing(head: LinearFaceModel, verts: Tensor) -> list[int]:
    return [int(mask(head, seen(head, verts, yaw)[0], *INSIDE).sum()) for yaw in VIEWS]


def through_lips(head: LinearFaceModel, verts: Tensor, yaw: float) -> int:
    """Pixels of teeth or tongue that have lips right behind them; 25 mm: not the far cheek or ear."""
    faces = head.topology.faces
    index, depth = seen(head, verts, yaw)
    behind, skin_depth = seen(head, verts, yaw, faces[head.regions["skin"][faces.long()].all(dim=1)])
    return int((mask(head, index, *INSIDE) & (behind >= 0) & (skin_depth < depth + 25.0)).sum())


def height_mm(pixels: Tensor) -> float:
    """Height of what shows in the middle column."""
    return float(pixels[:, SIZE[1] // 2].sum()) * MM_PER_PIXEL


def test_teeth_that_stand_out_are_seen(head):
    """The measures themselves: 15 mm further forward, the teeth come through the lips."""
    verts = shape(head)
    verts[head.regions["teeth"], 2] += 15.0
    assert min(showing(head, verts)) > 100
    assert min(through_lips(head, verts, yaw) for yaw in VIEWS) > 100


def test_closed_lips_hide_teeth_and_tongue(head):
    assert showing(head, shape(head)) == [0, 0, 0]


def test_closed_lips_hide_teeth_and_tongue_of_other_people(head):
    generator = torch.Generator().manual_seed(3)
    signs = 2.0 * torch.randint(0, 2, (24, head.identity_dim), generator=generator) - 1.0
    shown = {i: showing(head, shape(head, identity[None])) for i, identity in enumerate(signs)}
    assert {i: pixels for i, pixels in shown.items() if any(pixels)} == {}


def test_actions_that_keep_the_lips_closed_hide_teeth_and_tongue(head):
    closed = [name for name in head.expression_names if name not in PARTING]
    assert len(closed) == 52 - len(PARTING)
    shown = {name: showing(head, shape(head, **{name: 1.0})) for name in closed}
    assert {name: pixels for name, pixels in shown.items() if any(pixels)} == {}


def test_no_action_pushes_teeth_through_the_lips(head):
    through = {}
    for name in head.expression_names:
        if name != "tongueOut":
            verts = shape(head, **{name: 1.0})
            through[name] = [through_lips(head, verts, yaw) for yaw in VIEWS]
    assert {name: pixels for name, pixels in through.items() if any(pixels)} == {}


def test_nothing_bright_shines_through_the_corners(head):
    """What the slit at the corners of the lips shows is the lining just behind it, no brighter than the lips."""
    index, depth = seen(head, shape(head), 0.0)
    bag = mask(head, index, "mouth_bag") & ~mask(head, index, "skin")
    assert bag.sum() * MM_PER_PIXEL**2 < 6.0  # mm²
    lips = mask(head, index, "lips")
    texture = head.albedo(torch.zeros(1, head.albedo_dim))[0].mean(dim=2)
    corners = head.topology.uvs[head.topology.uv_faces.long()].mean(dim=1)

    def brightness(pixels: Tensor) -> Tensor:
        u, v = (corners[index[pixels]] * len(texture)).long().clamp(0, len(texture) - 1).T
        return texture[v, u]

    assert brightness(bag).max() < brightness(lips).median()
    assert (depth[bag].max() - depth[lips].max()).item() < 6.0


def test_an_open_mouth_shows_upper_incisors_then_darkness_then_the_lower_mouth(head):
    for jaw in (0.3, 0.5, 0.8):
        index, _ = seen(head, shape(head, jawOpen=jaw), 0.0)
        upper = mask(head, index, "upper_teeth")
        assert 1.0 <= height_mm(upper) <= 4.0, jaw
        dark, tongue = mask(head, index, "mouth_bag"), mask(head, index, "tongue")
        assert height_mm(dark) > height_mm(tongue) + 2.0, jaw
        assert dark.sum() > 1.5 * tongue.sum()
        row_of = torch.arange(SIZE[0])[:, None].expand(SIZE)
        if tongue.any():
            assert row_of[tongue].min() > row_of[upper].max()
    smile = seen(head, shape(head, mouthSmileLeft=0.7, mouthSmileRight=0.7, jawOpen=0.25), 0.0)[0]
    assert height_mm(mask(head, smile, "upper_teeth")) > 2.0
    assert mask(head, smile, "tongue").sum() == 0


def test_incisors_overlap_and_the_tongue_rests_below_them(head):
    verts = shape(head)
    near_middle = verts[:, 0].abs() < 1.0
    edge = {}
    for name, pick in (("upper_teeth", torch.argmin), ("lower_teeth", torch.argmax)):
        teeth = verts[head.regions[name] & near_middle]
        edge[name] = teeth[pick(teeth[:, 1])]
    overbite = edge["lower_teeth"][1] - edge["upper_teeth"][1]
    assert 1.0 < overbite < 3.0
    assert 0.5 < edge["upper_teeth"][2] - edge["lower_teeth"][2] < 4.0
    tongue = verts[head.regions["tongue"]]
    assert tongue[:, 1].max() < edge["lower_teeth"][1] and tongue[:, 2].max() < edge["lower_teeth"][2]
    line = head.landmarks("ibug68").points(verts[None], head.topology)[0, 62]
    assert 0.0 < line[1] - edge["upper_teeth"][1] < 6.0 and 3.0 < line[2] - edge["upper_teeth"][2] < 12.0


def test_the_tongue_comes_out_between_the_lips(head):
    for jaw in (0.0, 0.3):
        verts = shape(head, tongueOut=1.0, jawOpen=jaw)
        upper, lower = head.landmarks("ibug68").points(verts[None], head.topology)[0, [62, 66]]
        tongue = verts[head.regions["tongue"]]
        at_lips = tongue[(tongue[:, 2] > lower[2] - 3.0) & (tongue[:, 2] < lower[2] + 3.0)]
        assert tongue[:, 2].max() > upper[2] + 4.0
        assert lower[1] - 4.0 < at_lips[:, 1].mean() < upper[1] + 4.0
        assert mask(head, seen(head, verts, 0.0)[0], "tongue").sum() * MM_PER_PIXEL**2 > 80.0
