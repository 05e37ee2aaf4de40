"""ICT-FaceKit: the folder and the arrays are one model, and damage is named."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyface3d.errors import AssetError, InputError
from pyface3d.face_models import IBUG68_FLIP, load_face_model
from pyface3d.face_models.ict import LANDMARK_VERTS, NUM_VERTS, arkit_name


@pytest.fixture(scope="module")
def ict_path(shared_data):
    path = shared_data / "ict_facekit"
    if not path.is_dir():
        pytest.skip("ICT-FaceKit is not in the test data folder")
    return path


@pytest.fixture(scope="module")
def ict(ict_path):
    return load_face_model(ict_path / "ict_facekit_light.npz")


def test_folder_and_arrays_agree(ict, ict_path):
    folder = load_face_model(ict_path)
    assert torch.equal(folder.topology.faces, ict.topology.faces)
    assert torch.equal(folder.topology.uv_faces, ict.topology.uv_faces)
    torch.testing.assert_close(folder.topology.uvs, ict.topology.uvs)
    torch.testing.assert_close(folder.template, ict.template)
    half = {"rtol": 1e-3, "atol": 1e-2}  # the arrays hold offsets as float16 centimetres
    torch.testing.assert_close(folder.identity_basis, ict.identity_basis[: folder.identity_dim], **half)
    for name, shape in zip(folder.expression_names, folder.expression_basis):
        torch.testing.assert_close(shape, ict.expression_basis[ict.expression_names.index(name)], **half)


def test_is_a_head_in_our_frame(ict):
    assert len(ict.template) == NUM_VERTS and ict.identity_dim == 100 and ict.expression_dim == 57
    points = ict.landmarks("ibug68").points(ict.template[None], ict.topology)[0]
    assert points[45, 0] > 20 and points[30, 2] > points[27, 2] and points[8, 1] < -80  # mm; left is +x, z out
    assert (points[list(IBUG68_FLIP)] * torch.tensor([-1.0, 1.0, 1.0]) - points).norm(dim=1).max() < 0.1
    eyes = [ict.template[ict.regions[side]] for side in ("left_eye", "right_eye")]
    middle = sum(0.5 * (eye.amax(dim=0) + eye.amin(dim=0)) for eye in eyes) / 2
    assert middle.abs().max() < 1e-3
    assert {"eyeBlinkLeft", "jawOpen", "mouthSmileRight"} <= set(ict.expression_names)
    assert ict.albedo_kind == "none"


def test_brow_points_are_in_the_middle_of_the_brows(ict):
    """As the embedded head's: half a brow's height below the kit's vertices, on the skin, above the lids."""
    embedding = ict.landmarks("ibug68")
    points = embedding.points(ict.template[None], ict.topology)[0]
    upper_edge = ict.template[list(LANDMARK_VERTS)]
    below = (upper_edge - points)[17:27, 1]
    assert below.min() > 4.5 and below.max() < 6.0
    assert ((upper_edge - points)[17:27, 0].abs() < 3).all()
    assert torch.equal(points[27:], upper_edge[27:]) and torch.equal(points[:17], upper_edge[:17])
    assert points[22:27, 1].min() > points[42:48, 1].max() + 5
    corners = ict.topology.faces[embedding.faces[17:27]].long()
    assert ict.regions["narrow_face"][corners].all()
    torch.testing.assert_close(embedding.barycentrics.sum(1), torch.ones(68))
    assert (embedding.barycentrics >= 0).all()


def test_mirror_is_its_own_inverse_and_lands_on_the_other_side(ict):
    assert torch.equal(ict.mirror[ict.mirror], torch.arange(NUM_VERTS))
    distance = (ict.template[ict.mirror] * torch.tensor([-1.0, 1.0, 1.0]) - ict.template).norm(dim=1)
    assert distance.max() < 0.5 and distance[ict.regions["face"]].max() < 0.06
    assert torch.equal(ict.regions["left_eye"][ict.mirror], ict.regions["right_eye"])


def test_contour_is_on_open_skin(ict):
    contour = ict.contour()
    vertices = contour[contour >= 0]
    assert ict.regions["skin"][vertices].all() and not ict.regions["ears"][vertices].any()
    points = ict.landmarks().points(ict.template[None], ict.topology)[0]
    assert (ict.template[contour[:, 0]] - points[:17]).norm(dim=1).max() < 1.0


def test_names_become_arkit_names():
    assert arkit_name("browDown_L") == "browDownLeft"
    assert arkit_name("eyeLookIn_R") == "eyeLookInRight"
    assert arkit_name("jawOpen") == "jawOpen"


def small_arrays(**changes):
    arrays = {
        "neutral": np.zeros((NUM_VERTS, 3), np.float32),
        "identity": np.zeros((1, NUM_VERTS, 3), np.float16),
        "expression": np.zeros((1, NUM_VERTS, 3), np.float16),
        "expression_names": np.array(["jawOpen"]),
        "faces": np.zeros((2, 3), np.int32),
        "uvs": np.zeros((4, 2), np.float32),
        "uv_faces": np.zeros((2, 3), np.int32),
    }
    return arrays | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"neutral": np.zeros((9, 3), np.float32)}, r"neutral must have shape \(26719, 3\), got \(9, 3\)"),
        ({"identity": np.zeros((1, 5, 3), np.float32)}, "identity must have shape"),
        ({"faces": np.full((2, 3), NUM_VERTS, np.int32)}, r"faces must lie in \[0, 26719\), got 26719 to 26719"),
        ({"faces": np.full((2, 3), -1, np.int32)}, r"faces must lie in \[0, 26719\), got -1 to -1"),
        ({"uv_faces": np.full((2, 3), 4, np.int32)}, r"uv_faces must lie in \[0, 4\), got 4 to 4"),
        ({"faces": np.zeros((2, 3), np.float32)}, "faces must hold integers, got dtype float32"),
        ({"neutral": np.full((NUM_VERTS, 3), np.nan, np.float32)}, "neutral holds NaN or infinity"),
        ({"expression_names": np.array(["a", "b"])}, "expression must have shape"),
    ],
)
def test_damaged_arrays_are_named(tmp_path, changes, message):
    path = tmp_path / "ict.npz"
    np.savez(path, **small_arrays(**changes))
    with pytest.raises(AssetError, match=message):
        load_face_model(path)


def test_a_missing_array_and_no_archive_at_all(tmp_path):
    path = tmp_path / "ict.npz"
    arrays = small_arrays()
    del arrays["faces"]
    np.savez(path, **arrays)
    with pytest.raises(AssetError, match="array 'faces' is missing"):
        load_face_model(path)
    path.write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(InputError, match="is not a face model that is known here"):
        load_face_model(path)


def test_a_folder_that_is_not_ict_facekit(tmp_path):
    with pytest.raises(AssetError, match=r"generic_neutral_mesh\.obj is missing"):
        load_face_model(tmp_path)
    (tmp_path / "generic_neutral_mesh.obj").write_text("v 0 0 0\nv 1 0 0\nf 1/1 2/1 1/1\nvt 0 0\n")
    with pytest.raises(AssetError, match="wanted 26719 vertices, got 2"):
        load_face_model(tmp_path)


def test_found_by_name_in_the_models_folder(ict_path, monkeypatch, tmp_path):
    monkeypatch.setenv("PYFACE3D_MODELS", str(ict_path.parent))
    assert load_face_model("ict").identity_dim == 100
    monkeypatch.setenv("PYFACE3D_MODELS", str(tmp_path))
    with pytest.raises(InputError, match=r"get it from github\.com/ICT-VGL/ICT-FaceKit \(MIT\)"):
        load_face_model("ict")
    monkeypatch.delenv("PYFACE3D_MODELS")
    with pytest.raises(InputError, match="does not come with this package"):
        load_face_model("gnm")
