"""GNM: a synthetic file of its published schema against loops straight from the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pyface3d.errors import AssetError, InputError
from pyface3d.face_models import FaceModel, load_face_model
from pyface3d.face_models.gnm import SCHEMA

V, J, IDENTITY, EXPRESSION = 6, 4, 5, 3


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """A six-vertex GNM file in metres: neck, head and two eyes as joints; a quad and a triangle."""
    rng = np.random.default_rng(seed)
    weights = rng.random((J, V)).astype(np.float32)
    template = rng.normal(0, 0.1, (V, 3)).astype(np.float32)
    return {
        "version": np.array("3.0"),
        "variant": np.array("head"),
        "template_vertex_positions": template,
        "template_joint_positions": rng.normal(0, 0.1, (J, 3)).astype(np.float32),
        "vertex_identity_basis": rng.normal(0, 0.01, (IDENTITY, V, 3)).astype(np.float32),
        "joint_identity_basis": rng.normal(0, 0.01, (IDENTITY, J, 3)).astype(np.float32),
        "expression_basis": rng.normal(0, 0.01, (EXPRESSION, V, 3)).astype(np.float32),
        "identity_names": np.array([f"identity_{i}" for i in range(IDENTITY)]),
        "expression_names": np.array([f"expression_{i}" for i in range(EXPRESSION)]),
        "joint_names": np.array(["neck", "head", "left_eye", "right_eye"]),
        "vertex_group_names": np.array(["face", "eyes"]),
        "mesh_component_names": np.array(["skin"]),
        "joint_parent_indices": np.array([-1, 0, 1, 1]),
        "skinning_weights": weights / weights.sum(axis=0),
        "joint_regressor": rng.random((J, V)).astype(np.float32),
        "pose_correctives_regressor": rng.normal(0, 0.01, (9 * J, 3 * V)).astype(np.float32),
        "quads": np.array([[0, 1, 2, 3]]),
        "triangles": np.array([[3, 4, 5]]),
        "quad_uvs": rng.random((1, 4, 2)).astype(np.float32),
        "triangle_uvs": rng.random((1, 3, 2)).astype(np.float32),
        "mirror_indices": np.array([1, 0, 2, 3, 5, 4]),
        "bone_aligned_template_joint_orientations": np.tile(np.eye(3, dtype=np.float32), (J, 1, 1)),
        "vertex_groups": np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 0.2, 0.8, 0.8]], np.float32),
    }


def write(path, **changes):
    content = arrays() | changes
    np.savez(path, **{key: value for key, value in content.items() if value is not None})
    return path


@pytest.fixture
def model(tmp_path):
    return load_face_model(write(tmp_path / "gnm_head.npz"))


def slow_rotation(axis_angle):
    """Rodrigues' formula for one vector."""
    angle = math.sqrt(sum(x * x for x in axis_angle))
    if angle == 0:
        return np.eye(3)
    x, y, z = (value / angle for value in axis_angle)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def slow_gnm(data, identity, expression, pose):
    """One head, one vertex and one joint at a time, in double precision and metres."""
    data = {key: value.astype(np.float64) if value.dtype.kind == "f" else value for key, value in data.items()}
    rotations = [slow_rotation(row) for row in pose]
    feature = np.concatenate([(rotation - np.eye(3)).ravel() for rotation in rotations])
    joints = data["template_joint_positions"].copy()
    for i, weight in enumerate(identity):
        joints += weight * data["joint_identity_basis"][i]
    motions = []
    for j, parent in enumerate(data["joint_parent_indices"]):
        local = np.eye(4)
        local[:3, :3] = rotations[j]
        local[:3, 3] = joints[j] - (joints[parent] if parent >= 0 else 0)
        motions.append(local if parent < 0 else motions[parent] @ local)
    result = []
    for v in range(V):
        point = data["template_vertex_positions"][v].copy()
        for i, weight in enumerate(identity):
            point += weight * data["vertex_identity_basis"][i, v]
        for e, weight in enumerate(expression):
            point += weight * data["expression_basis"][e, v]
        point += feature @ data["pose_correctives_regressor"][:, 3 * v : 3 * v + 3]
        moved = np.zeros(3)
        for j in range(J):
            relative = motions[j] @ np.array([*(point - joints[j]), 1.0])
            moved += data["skinning_weights"][j, v] * relative[:3]
        result.append(moved)
    return torch.tensor(np.array(result)) * 1000.0


def test_agrees_with_the_definition(model):
    generator = torch.Generator().manual_seed(1)
    identity = torch.randn(3, IDENTITY, generator=generator, dtype=torch.float64)
    expression = torch.randn(3, EXPRESSION, generator=generator, dtype=torch.float64)
    pose = 0.7 * torch.randn(3, J, 3, generator=generator, dtype=torch.float64)
    verts = model.vertices(identity, expression, pose)
    for b in range(3):
        expected = slow_gnm(arrays(), identity[b].numpy(), expression[b].numpy(), pose[b].numpy())
        # the file's float32 metres are scaled to mm in float32
        torch.testing.assert_close(verts[b], expected, rtol=1e-6, atol=1e-3)


def test_no_pose_is_the_rest_pose_and_the_bind_shape(model):
    identity, expression = torch.randn(2, IDENTITY), torch.randn(1, EXPRESSION)
    rest = model.vertices(identity, expression)
    torch.testing.assert_close(model.vertices(identity, expression, torch.zeros(2, J, 3)), rest, rtol=0, atol=1e-3)
    moved = model.vertices(identity, expression, translation=torch.tensor([[1.0, 2.0, 3.0]]))
    torch.testing.assert_close(moved - rest, torch.tensor([1.0, 2.0, 3.0]).expand_as(rest), rtol=0, atol=1e-4)


def test_matrices_do_what_axis_angles_do(model):
    pose = torch.tensor([[[0.3, -0.2, 0.1]] * J], dtype=torch.float64)
    matrices = torch.tensor(np.stack([slow_rotation(row) for row in pose[0].tolist()]))[None]
    zeros = torch.zeros(1, IDENTITY).double(), torch.zeros(1, EXPRESSION).double()
    torch.testing.assert_close(model.vertices(*zeros, matrices), model.vertices(*zeros, pose))


def test_gradient(model):
    inputs = [torch.randn(1, n, dtype=torch.float64, requires_grad=True) for n in (IDENTITY, EXPRESSION)]
    pose = torch.randn(1, J, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda i, e, p: model.vertices(i, e, p) / 1000.0, (*inputs, pose))


def test_describes_itself(model):
    assert isinstance(model, FaceModel)
    assert (model.identity_dim, model.expression_dim, model.albedo_dim) == (IDENTITY, EXPRESSION, 0)
    assert model.joint_names[0] == "neck" and model.joint_parents == (-1, 0, 1, 1)
    assert model.topology.faces.tolist() == [[0, 1, 2], [0, 2, 3], [3, 4, 5]]
    torch.testing.assert_close(
        model.topology.uvs[model.topology.uv_faces[2].long()],
        torch.from_numpy(arrays()["triangle_uvs"][0]) * torch.tensor([1.0, -1.0]) + torch.tensor([0.0, 1.0]),
    )
    assert model.regions["eyes"].tolist() == [False, False, False, False, True, True]
    assert "Apache-2.0" in model.card["licence"]
    assert model.to(dtype=torch.float64).joints.dtype == torch.float64 and model.to("cpu") is model


def test_triangles_that_repeat_the_quads_are_not_doubled(tmp_path):
    uvs = arrays()["quad_uvs"]
    halves = {
        "triangles": np.array([[0, 1, 2], [0, 2, 3]]),
        "triangle_uvs": np.concatenate([uvs[:, [0, 1, 2]], uvs[:, [0, 2, 3]]]),
    }
    model = load_face_model(write(tmp_path / "gnm_head.npz", **halves))
    assert model.topology.num_faces == 2


def test_the_unit_is_told_from_the_height(tmp_path):
    metres = load_face_model(write(tmp_path / "metres.npz")).bind.template
    for name, factor in (("centimetres", 100.0), ("millimetres", 1000.0)):
        data = {"template_vertex_positions": arrays()["template_vertex_positions"] * np.float32(factor)}
        template = load_face_model(write(tmp_path / f"{name}.npz", **data)).bind.template
        torch.testing.assert_close(template, metres, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("key", SCHEMA)
def test_every_array_is_required(tmp_path, key):
    # a file without the first marker is of no known kind, any other is a damaged GNM file
    wanted = InputError if key == "template_vertex_positions" else AssetError
    with pytest.raises(wanted, match="is not a face model" if wanted is InputError else f"array '{key}' is missing"):
        load_face_model(write(tmp_path / "gnm_head.npz", **{key: None}))


def test_extra_arrays_are_allowed_with_a_warning(tmp_path):
    with pytest.warns(UserWarning, match="not used: something_new"):
        load_face_model(write(tmp_path / "gnm_head.npz", something_new=np.zeros(3)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"skinning_weights": np.zeros((J, V + 1), np.float32)},
            r"skinning_weights must have shape \(4, 6\), got \(4, 7\)",
        ),
        ({"expression_basis": np.zeros((EXPRESSION, V), np.float32)}, "expression_basis must have shape"),
        ({"expression_names": np.array(["only one"])}, "expression_names must have shape"),
        (
            {"pose_correctives_regressor": np.zeros((9 * J, 7), np.float32)},
            r"must have shape \(36, 18\), got \(36, 7\)",
        ),
        ({"quads": np.array([[0, 1, 2, 6]])}, r"quads must lie in \[0, 6\), got 0 to 6"),
        ({"triangles": np.array([[0, -1, 2]])}, r"triangles must lie in \[0, 6\), got -1 to 2"),
        ({"quads": np.zeros((1, 4), np.float32)}, "quads must hold integers, got dtype float32"),
        ({"mirror_indices": np.array([1, 2, 0, 3, 4, 5])}, "mirror_indices is not its own inverse"),
        ({"joint_parent_indices": np.array([-1, 2, 1, 1])}, "joint 1 has parent 2, which must come before it"),
        ({"template_joint_positions": np.full((J, 3), np.nan, np.float32)}, "holds NaN or infinity"),
    ],
)
def test_damage_is_named(tmp_path, changes, message):
    path = write(tmp_path / "gnm_head.npz", **changes)
    with pytest.raises(AssetError, match=message) as caught:
        load_face_model(path)
    assert str(path) in str(caught.value)


def test_a_small_file_may_not_unpack_into_gigabytes(tmp_path):
    path = tmp_path / "bomb.npz"
    content = arrays() | {"expression_basis": np.zeros((2000, V, 3 * 1000), np.float32)}
    np.savez_compressed(path, **content)
    with pytest.raises(AssetError, match="unpacks to"):
        load_face_model(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pose": torch.zeros(1, 3, 3)}, r"pose must have shape \(B, 4, 3\) or \(B, 4, 3, 3\), got \(1, 3, 3\)"),
        ({"pose": torch.zeros(2, J, 3, dtype=torch.float64)}, "pose must have the dtype of identity"),
        ({"pose": torch.zeros(3, J, 3)}, "must share a batch, got 3 and 2"),
        ({"translation": torch.zeros(3)}, r"translation must have shape \(B, 3\)"),
    ],
)
def test_wrong_arguments_are_named(model, arguments, message):
    with pytest.raises(InputError, match=message):
        model.vertices(torch.zeros(2, IDENTITY), torch.zeros(2, EXPRESSION), **arguments)
