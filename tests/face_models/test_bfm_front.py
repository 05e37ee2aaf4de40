"""Deng's trim of the Basel Face Model: made-up files of the exact schema against the definition, and damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_bfm_front import as_model_80, front_arrays, write_front, write_parts

from pyface3d.cli import main
from pyface3d.errors import AssetError, InputError
from pyface3d.face_models import LinearFaceModel, load_face_model
from pyface3d.face_models.bfm_front import SKIN_REGION
from pyface3d.io.matlab import matlab_names
from pyface3d.ops import vertex_normals

COLUMNS, ROWS = 31, 37
PARTS = ("template", "identity_basis", "expression_basis", "albedo_mean", "albedo_basis")


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return front_arrays(COLUMNS, ROWS)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, np.ndarray]) -> Path:
    folder = tmp_path_factory.mktemp("front")
    write_front(folder / "BFM_model_front.mat", arrays)
    write_front(folder / "BFM_model_80.mat", as_model_80(arrays))
    write_front(folder / "renamed.mat", arrays)
    write_parts(folder / "parts", arrays)
    return folder


def loaded(path: Path) -> LinearFaceModel:
    model = load_face_model(path)
    assert isinstance(model, LinearFaceModel)
    return model


@pytest.fixture(scope="module")
def model(files: Path) -> LinearFaceModel:
    return loaded(files / "BFM_model_front.mat")


def test_agrees_with_the_definition(model: LinearFaceModel, arrays: dict[str, np.ndarray]) -> None:
    """S = meanshape + idBase a + exBase e, less the mean over the vertices of meanshape; A = meantex + texBase b."""
    draw = np.random.default_rng(1)
    a, e, b = draw.normal(size=80), draw.normal(size=64), draw.normal(size=80)
    wide = {name: value.astype(np.float64) for name, value in arrays.items()}
    shape = (wide["meanshape"].ravel() + wide["idBase"] @ a + wide["exBase"] @ e).reshape(-1, 3)
    shape -= wide["meanshape"].reshape(-1, 3).mean(axis=0)
    verts = model.vertices(torch.tensor(a)[None], torch.tensor(e)[None])[0].numpy()
    np.testing.assert_allclose(verts / 100, shape, rtol=0, atol=1e-5)  # float32 in the file and here
    colour = (wide["meantex"].ravel() + wide["texBase"] @ b).reshape(-1, 3) / 255
    assert model.albedo_mean is not None and model.albedo_basis is not None
    found = model.albedo_mean.double() + torch.einsum("a,avc->vc", torch.tensor(b), model.albedo_basis.double())
    np.testing.assert_allclose(found.numpy(), colour, rtol=0, atol=1e-5)


def test_every_layout_gives_the_same_model(files: Path, model: LinearFaceModel) -> None:
    for name in ("BFM_model_80.mat", "renamed.mat", ".", "parts"):
        other = loaded(files / name)
        assert other.name == "bfm_front"
        for part in PARTS:
            # the parts hold micrometres and σ apart, each rounded to float32
            torch.testing.assert_close(getattr(other, part), getattr(model, part), rtol=1e-5, atol=2e-5)
        assert torch.equal(other.topology.faces, model.topology.faces)
        assert torch.equal(other.mirror, model.mirror)
        for region, mask in model.regions.items():
            assert torch.equal(other.regions[region], mask)
        assert torch.equal(other.landmarks().faces, model.landmarks().faces)


def test_describes_itself(model: LinearFaceModel, arrays: dict[str, np.ndarray]) -> None:
    assert (model.identity_dim, model.expression_dim, model.albedo_dim) == (80, 64, 80)
    assert (model.albedo_kind, model.albedo_srgb) == ("vertex", True)
    keypoints = torch.from_numpy(arrays["keypoints"].ravel().astype(np.int64) - 1)
    assert torch.equal(model.landmarks().points(model.template[None], model.topology)[0], model.template[keypoints])
    assert torch.equal(model.contour(), keypoints[:17, None])
    assert model.template.mean(dim=0).abs().max() < 1e-4
    assert int(model.regions[SKIN_REGION].sum()) == int(arrays["skinmask"].sum())
    own = torch.arange(len(model.template))
    assert torch.equal(model.mirror == own, model.template[:, 0].abs() < 1e-2)
    assert "not redistributable" in model.card["licence"]


def test_normals_are_the_published_ones(model: LinearFaceModel, arrays: dict[str, np.ndarray]) -> None:
    """Sum of the unnormalised face normals (v1 - v2) x (v2 - v3) that point_buf lists, a zero row behind them."""
    verts = model.template.double().numpy()
    corners = verts[arrays["tri"].astype(int) - 1]
    faces = np.cross(corners[:, 0] - corners[:, 1], corners[:, 1] - corners[:, 2])
    total = np.concatenate([faces, np.zeros((1, 3))])[arrays["point_buf"].astype(int) - 1].sum(axis=1)
    expected = total / np.linalg.norm(total, axis=1, keepdims=True)
    found = vertex_normals(model.template.double(), model.topology).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_converts_and_comes_back(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    target = tmp_path / "bfm_front.safetensors"
    assert main(["convert", "model", str(files / "parts"), str(target)]) == 0
    said = capsys.readouterr().out
    assert "80 identity, 64 expression, 80 albedo" in said and "not redistributable" in said
    monkeypatch.setenv("PYFACE3D_MODELS", str(tmp_path))
    back, first = load_face_model("bfm_front"), loaded(files / "parts")
    assert isinstance(back, LinearFaceModel)
    for part in PARTS:
        assert torch.equal(getattr(back, part), getattr(first, part))
    assert torch.equal(back.regions[SKIN_REGION], first.regions[SKIN_REGION])
    monkeypatch.setenv("PYFACE3D_MODELS", str(files / "parts"))
    with pytest.raises(InputError, match=r"bfm_front.*BFM_model_80"):
        load_face_model("bfm_front")


@pytest.mark.parametrize("name", ["01_MorphableModel.mat", "std_exp.txt", "BFM_front_idx.mat", "facemodel_info.mat"])
def test_a_missing_part_is_named_with_its_source(files: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(files / "parts", tmp_path / "parts")
    (tmp_path / "parts" / name).unlink()
    with pytest.raises(AssetError, match=rf"{name} is missing.*(faces\.dmi\.unibas\.ch|github\.com).*convert model"):
        load_face_model(tmp_path / "parts")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"meanshape": np.zeros((1, 7), np.float32)}, "meanshape must hold x, y, z in turn"),
        ({"meanshape": np.full((1, 3 * COLUMNS * ROWS), 1e30, np.float32)}, "reaches beyond|not finite"),
        ({"idBase": np.zeros((12, 80), np.float32)}, "idBase must have shape"),
        ({"exBase": np.full((3 * COLUMNS * ROWS, 64), 1e300)}, "exBase holds NaN or infinity"),
        ({"tri": np.array([[1.0, 2.0, COLUMNS * ROWS + 1]])}, "tri must lie in 0 to"),
        ({"tri": np.array([[1.5, 2.0, 3.0]])}, "tri must hold whole numbers"),
        ({"point_buf": np.ones((COLUMNS * ROWS, 8))}, "point_buf must be filled up with 2161, got 1"),
        ({"point_buf": np.full((COLUMNS * ROWS, 8), 9999.0)}, "point_buf must lie in 1 to 2161"),
        ({"keypoints": np.zeros((1, 68))}, "keypoints must lie in 1 to"),
        ({"keypoints": np.ones((1, 5))}, r"keypoints must have shape \(68\)"),
        ({"skinmask": None}, "array 'skinmask' is missing"),
    ],
)
def test_damage_is_named(tmp_path: Path, arrays: dict[str, np.ndarray], changes: dict, message: str) -> None:
    kept = {name: value for name, value in {**arrays, **changes}.items() if value is not None}
    path = write_front(tmp_path / "BFM_model_front.mat", kept)
    with pytest.raises(AssetError, match=message) as caught:
        load_face_model(path)
    assert "BFM_model_front.mat" in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"\x00", np.int32(5).tobytes() + bytes(44), np.int32(-3).tobytes() + bytes(40), bytes(8)]
)
def test_damaged_expression_components(files: Path, tmp_path: Path, content: bytes) -> None:
    shutil.copytree(files / "parts", tmp_path / "parts")
    (tmp_path / "parts" / "Exp_Pca.bin").write_bytes(content)
    with pytest.raises(AssetError, match=r"Exp_Pca\.bin must hold a number of components"):
        load_face_model(tmp_path / "parts")


def test_names_without_reading(files: Path, tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    assert matlab_names(files / "BFM_model_front.mat") == set(arrays)
    (tmp_path / "text.mat").write_text("no MATLAB file")
    assert matlab_names(tmp_path / "text.mat") == frozenset() == matlab_names(tmp_path / "none.mat")
    good = (files / "BFM_model_80.mat").read_bytes()
    (tmp_path / "cut.mat").write_bytes(good[: len(good) // 2])
    assert matlab_names(tmp_path / "cut.mat") == frozenset()
    draw = np.random.default_rng(0)
    for _ in range(60):  # a look never raises, whatever the bytes
        data = bytearray(good)
        for at in draw.integers(len(data), size=20):
            data[at] = draw.integers(256)
        (tmp_path / "hurt.mat").write_bytes(bytes(data))
        assert matlab_names(tmp_path / "hurt.mat") <= set(arrays) or len(matlab_names(tmp_path / "hurt.mat")) < 20


def test_fuzz(tmp_path: Path) -> None:
    """Changed and cut bytes give a model or our error."""
    small = front_arrays(5, 5)
    small |= {name: small[name][:, :3] for name in ("idBase", "exBase", "texBase")}
    good = write_front(tmp_path / "BFM_model_front.mat", small).read_bytes()
    draw = np.random.default_rng(0)
    refused = 0
    for number in range(80):
        path = tmp_path / f"{number}" / "BFM_model_front.mat"  # a file of that name and time is read once
        path.parent.mkdir()
        data = bytearray(good)
        for at in draw.integers(len(data), size=draw.integers(1, 8)):
            data[at] = draw.integers(256)
        path.write_bytes(bytes(data[: draw.integers(len(data))] if draw.random() < 0.2 else data))
        try:
            load_face_model(path.parent)
        except AssetError:
            refused += 1
    assert refused > 20
