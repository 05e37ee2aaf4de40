"""Basel Face Model 2009: made-up files of the exact schema against the definition, the real trim tables, and damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import torch
from synthetic_basel import basel_arrays, write_raw, write_trimmed

from pyface3d.cli import main
from pyface3d.errors import AssetError, InputError, OutputError
from pyface3d.face_models import FaceModel, LinearFaceModel, load_face_model, subdivide_model
from pyface3d.face_models.conversion import convert_model
from pyface3d.face_models.symmetry import mutual_mirror, symmetric_partners
from pyface3d.fit import fit_landmarks
from pyface3d.geometry import Camera, rotation_from_euler

COLUMNS, ROWS = 31, 37


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return basel_arrays(COLUMNS, ROWS)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, np.ndarray]) -> Path:
    folder = tmp_path_factory.mktemp("basel")
    write_trimmed(folder / "BaselFaceModel_mod.h5", arrays)
    write_trimmed(folder / "BaselFaceModel_mod.mat", arrays)
    (folder / "raw").mkdir()
    write_raw(folder / "raw", arrays)
    return folder


@pytest.fixture(scope="module")
def model(files: Path) -> LinearFaceModel:
    found = load_face_model(files / "BaselFaceModel_mod.h5")
    assert isinstance(found, LinearFaceModel)
    return found


def test_agrees_with_the_definition(model: LinearFaceModel, arrays: dict[str, np.ndarray]) -> None:
    """S = shapeMU + expMU + shapePC (a EV) + expPC (e EV), coordinates interleaved, in double precision."""
    rng = np.random.default_rng(1)
    alpha, e = rng.normal(size=99), rng.uniform(-3, 3, 29)
    wide = {name: value.astype(np.float64) for name, value in arrays.items()}
    expected = wide["shapeMU"].ravel() + wide["expMU"].ravel()
    expected += wide["shapePC"] @ (alpha * wide["shapeEV"].ravel()) + wide["expPC"] @ (e * wide["expEV"].ravel())
    verts = model.vertices(torch.tensor(alpha)[None], torch.tensor(e)[None])
    # float32 in the file and in the products of basis and σ
    np.testing.assert_allclose(verts[0].numpy(), expected.reshape(-1, 3), rtol=0, atol=1e-4)
    beta = rng.normal(size=99)
    colour = (wide["texMU"].ravel() + wide["texPC"] @ (beta * wide["texEV"].ravel())).clip(0, 255).reshape(-1, 3) / 255
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(model.albedo(torch.tensor(beta)[None])[0].numpy(), linear, rtol=0, atol=1e-6)


def test_every_layout_gives_the_same_model(files: Path, model: LinearFaceModel) -> None:
    for name in ("BaselFaceModel_mod.mat", "raw/01_MorphableModel.mat", "raw", "."):
        other = load_face_model(files / name)
        assert isinstance(other, LinearFaceModel)
        for part in ("template", "identity_basis", "expression_basis", "albedo_mean", "albedo_basis"):
            # the raw files hold micrometres, rounded to float32 once more
            torch.testing.assert_close(getattr(other, part), getattr(model, part), rtol=1e-6, atol=2e-5)
        for part in ("mirror", "closing_faces", "published_mirror", "contour_candidates"):
            assert torch.equal(getattr(other, part), getattr(model, part))
        assert torch.equal(other.topology.faces, model.topology.faces)


def test_describes_itself(model: LinearFaceModel, arrays: dict[str, np.ndarray]) -> None:
    assert isinstance(model, FaceModel)
    assert (model.identity_dim, model.expression_dim, model.albedo_dim) == (99, 29, 99)
    assert (model.name, model.albedo_kind, model.albedo_srgb) == ("bfm09", "vertex", True)
    outer = torch.from_numpy(arrays["outerLandmarkIndex"].ravel().astype(np.int64) - 1)
    inner = torch.from_numpy(arrays["innerLandmarkIndex"].ravel().astype(np.int64) - 1)
    verts = model.template[None]
    assert torch.equal(model.landmarks().points(verts, model.topology)[0], model.template[outer])
    assert torch.equal(model.landmarks("ibug68_inner").points(verts, model.topology)[0], model.template[inner])
    assert torch.equal(model.contour(), torch.stack([outer[:17], inner[:17]], dim=1))
    assert model.card["published_pairs"] == {"self": ROWS, "mutual": ROWS * (COLUMNS // 2), "not_mutual": 0}
    assert "non-commercial" in model.card["licence"]


def test_spec_19_pairs_on_a_symmetric_mesh(model: LinearFaceModel) -> None:
    own = torch.arange(len(model.template))
    assert torch.equal(model.mirror[model.mirror], own)
    assert torch.equal(model.mirror == own, model.template[:, 0].abs() < 1e-3)
    assert torch.equal(model.mirror, model.published_mirror)
    partner = symmetric_partners(model.template.double().numpy(), model.mirror.numpy())
    assert (partner == model.mirror.numpy()).all()


def test_a_vertex_without_a_mutual_partner_has_none() -> None:
    verts = np.array([[-10.0, 0, 0], [10, 0, 0], [11, 0, 0], [0, 5, 0], [40, 0, 0]])
    mirror = mutual_mirror(verts)
    assert mirror.tolist() == [1, 0, 2, 3, 4]
    assert symmetric_partners(verts, mirror).tolist() == [1, 0, -1, 3, -1]
    assert mutual_mirror(np.zeros((0, 3))).tolist() == []


@pytest.fixture(scope="module")
def real_size(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> LinearFaceModel:
    """The real trim tables around made-up vertices, with two components."""
    folder = tmp_path_factory.mktemp("real")
    tables_path = shared_data / "extreme3d" / "mod_struct_expr.mat"
    structure = scipy.io.loadmat(tables_path)["mod_struct"][0, 0]
    tables = {name: structure[name] for name in structure.dtype.names}
    count = tables["vertex_indices"].size
    rng = np.random.default_rng(0)
    made_up = {"shapeMU": (3 * count, 1), "expMU": (3 * count, 1), "texMU": (3 * count,), "texPC": (3 * count, 2)}
    made_up |= {"shapePC": (3 * count, 2), "expPC": (3 * count, 29), "shapeEV": (2, 1), "texEV": (2, 1)}
    arrays = {name: rng.normal(0, 40, shape).astype(np.float32) for name, shape in made_up.items()}
    write_raw(folder, arrays | {"pair": tables["pair"].ravel()}, tables)
    shutil.copyfile(tables_path, folder / "mod_struct_expr.mat")
    (folder / "mod_struct_expr.mat").chmod(0o644)
    found = load_face_model(folder)
    assert isinstance(found, LinearFaceModel)
    mean = (arrays["shapeMU"] + arrays["expMU"]).reshape(-1, 3)
    np.testing.assert_allclose(found.template.numpy(), mean, atol=1e-3)
    return found


def test_spec_9_and_19_the_real_tables(real_size: LinearFaceModel) -> None:
    assert (len(real_size.template), real_size.topology.num_faces) == (46_990, 93_323)
    assert real_size.closing_faces is not None and len(real_size.closing_faces) == 639
    assert real_size.card["published_pairs"] == {"self": 180, "mutual": 22_678, "not_mutual": 1_454}
    assert int((real_size.published_mirror == -1).sum()) == 1_454
    assert real_size.expression_dim == 29 and real_size.contour().shape == (17, 2)
    inner, outer = real_size.landmarks("ibug68_inner"), real_size.landmarks()
    at = [points.points(real_size.template[None], real_size.topology)[0] for points in (inner, outer)]
    assert (at[0] != at[1]).any(dim=1).nonzero()[:, 0].tolist() == list(range(17))  # they differ in the jaw alone


def test_fits_landmarks(model: LinearFaceModel) -> None:
    """The generic fit finds a face of the model again, so nothing it needs is missing."""
    rng = torch.Generator().manual_seed(2)
    identity = torch.zeros(1, 99, dtype=torch.float64)
    identity[:, :4] = torch.randn(1, 4, generator=rng, dtype=torch.float64)
    verts = model.vertices(identity, torch.zeros(1, 29, dtype=torch.float64))
    zero = torch.zeros(1, dtype=torch.float64)
    rotation = rotation_from_euler(zero + 0.1, zero, zero)
    camera = Camera.centered(zero + 1000, 500, 500)
    shift = torch.tensor([[0.0, 0.0, 700.0]], dtype=torch.float64)
    spots = model.landmarks().points(verts, model.topology) @ rotation.transpose(1, 2) + shift[:, None]
    points = camera.project(spots)[..., :2]
    fit = fit_landmarks(model, points, torch.ones(1, 68, dtype=torch.float64), 500, 500, focal=1000)
    assert (fit.points - points)[:, 17:].norm(dim=-1).mean() < 1.0


def test_found_by_name(files: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYFACE3D_MODELS", str(files))
    assert load_face_model("bfm09").name == "bfm09"
    monkeypatch.setenv("PYFACE3D_MODELS", str(tmp_path))
    with pytest.raises(InputError, match=r"faces\.dmi\.unibas\.ch .*mod_struct_expr\.mat .*PYFACE3D_MODELS"):
        load_face_model("bfm09")


@pytest.mark.parametrize("name", ["Model_Expression.mat", "mod_struct_expr.mat"])
def test_a_missing_file_is_named_with_its_source_and_the_next_command(files: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(files / "raw", tmp_path / "raw")
    (tmp_path / "raw" / name).unlink()
    with pytest.raises(AssetError, match=rf"{name} is missing.*github\.com.*pyface3d convert model"):
        load_face_model(tmp_path / "raw")


def test_tables_may_stay_in_their_own_folder(files: Path, tmp_path: Path) -> None:
    shutil.copytree(files / "raw", tmp_path / "raw")
    (tmp_path / "raw" / "3DMM_model").mkdir()
    (tmp_path / "raw" / "mod_struct_expr.mat").rename(tmp_path / "raw" / "3DMM_model" / "mod_struct_expr.mat")
    assert load_face_model(tmp_path / "raw").name == "bfm09"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"faces": np.zeros((3, 3), np.uint16)}, "faces must lie in 1 to"),
        ({"faces": np.full((3, 3), 60000, np.uint16)}, "faces must lie in 1 to"),
        ({"faces": np.full((3, 3), 1.5)}, "faces must hold whole numbers"),
        ({"faces_fill": np.ones((3, 3), np.uint16)}, "faces_fill must begin with faces"),
        ({"pair": np.ones(5, np.uint16)}, r"pair must have shape \(1147\), got \(5,\)"),
        ({"shapePC": np.ones((12, 99), np.float32)}, r"shapePC must have shape \(3441, any\), got \(12, 99\)"),
        ({"shapePC": np.ones((3441, 4), np.float32)}, "shape has 4 components but 99"),
        ({"expMU": np.full((3441, 1), np.nan, np.float32)}, "expMU holds NaN or infinity"),
        ({"shapeMU": np.ones((4, 1), np.float32)}, "shapeMU must hold x, y, z in turn"),
        ({"shapeMU": np.full((3441, 1), 3e38, np.float32)}, "the mean face reaches beyond 10000 mm"),
        ({"expEV": np.full((29, 1), 3e38, np.float32), "expPC": np.full((3441, 29), 9.0)}, "are not finite"),
        ({"texMU": np.full(3441, 1e300)}, "texMU holds NaN or infinity"),
        ({"innerLandmarkIndex": np.zeros((68, 1), np.uint16)}, "innerLandmarkIndex must lie in 1 to"),
        ({"expPC": None}, "is not a file of the Basel Face Model"),
        ({"texMU": None}, "array 'texMU' is missing"),
        ({"texMU": np.float32(1)}, r"texMU must have shape"),
    ],
)
def test_damage_is_named(tmp_path: Path, arrays: dict[str, np.ndarray], changes: dict, message: str) -> None:
    kept = {name: value for name, value in {**arrays, **changes}.items() if value is not None}
    path = write_trimmed(tmp_path / "bad.h5", kept)
    with pytest.raises(AssetError, match=message) as caught:
        load_face_model(path)
    assert "bad.h5" in str(caught.value)


def test_landmark_on_no_triangle(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    loose = (arrays["faces_fill"] != arrays["outerLandmarkIndex"][30]).all(axis=1)
    kept = {name: arrays[name][loose[: len(arrays[name])]] for name in ("faces", "faces_fill")}
    with pytest.raises(AssetError, match="is on no triangle"):
        load_face_model(write_trimmed(tmp_path / "bad.h5", arrays | kept))


def test_other_mat_files_are_not_taken_for_it(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "points.mat", {"pts": np.zeros((3, 2))})
    with pytest.raises(AssetError, match=r"it holds pts; give 01_MorphableModel\.mat"):
        load_face_model(tmp_path / "points.mat")
    (tmp_path / "text.mat").write_text("none of these")
    with pytest.raises(AssetError, match="no header of a MATLAB file"):
        load_face_model(tmp_path / "text.mat")


def test_fuzz(tmp_path: Path) -> None:
    """Changed and cut bytes give a model or our error."""
    small = basel_arrays(5, 5, 3)
    rng = np.random.default_rng(0)
    for kind in ("mat", "h5"):
        path = write_trimmed(tmp_path / f"BaselFaceModel_mod.{kind}", small)
        good, refused = path.read_bytes(), 0
        for number in range(60):
            path = tmp_path / f"{number}.{kind}"  # a file of that name and time is read once
            data = bytearray(good)
            for at in rng.integers(len(data), size=rng.integers(1, 8)):
                data[at] = rng.integers(256)
            path.write_bytes(bytes(data[: rng.integers(len(data))] if rng.random() < 0.2 else data))
            try:
                load_face_model(path)
            except AssetError:
                refused += 1
        assert refused > 5


def test_conversion_gives_the_same_model_back(files: Path, model: LinearFaceModel, tmp_path: Path) -> None:
    target = tmp_path / "out" / "bfm09.safetensors"
    convert_model(files / "BaselFaceModel_mod.h5", target)
    back = load_face_model(target)
    assert isinstance(back, LinearFaceModel)
    parts = ("template", "identity_basis", "expression_basis", "albedo_mean", "albedo_basis", "mirror", "closing_faces")
    for part in (*parts, "published_mirror", "contour_candidates"):
        assert torch.equal(getattr(back, part), getattr(model, part))
    assert back.albedo_srgb and set(back.embeddings) == {"ibug68", "ibug68_inner"}
    assert len(back.card["file_sha256"]) == 64 and back.card["licence"] == model.card["licence"]
    first = target.read_bytes()
    convert_model(files / "BaselFaceModel_mod.h5", target)
    assert target.read_bytes() == first
    for bad, error, message in (
        (tmp_path / "a.npz", InputError, "must end in .safetensors"),
        (tmp_path, InputError, "must end in .safetensors"),
    ):
        with pytest.raises(error, match=message):
            convert_model(files / "BaselFaceModel_mod.h5", bad)
    with pytest.raises(InputError, match="is the model that is read"):
        convert_model(target, target)
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        convert_model(files / "raw", tmp_path / "folder.safetensors")


def test_a_finer_level_leaves_the_tables_behind(model: LinearFaceModel) -> None:
    fine = subdivide_model(model)
    assert fine.closing_faces is None and fine.published_mirror is None and fine.albedo_srgb
    assert fine.albedo(torch.zeros(1, 99)).shape == (1, fine.topology.num_verts, 3)


def test_hdf5_of_rank_one_or_two(tmp_path: Path, arrays: dict[str, np.ndarray], model: LinearFaceModel) -> None:
    flat = {name: value.ravel() if 1 in value.shape else value for name, value in arrays.items()}
    with h5py.File(tmp_path / "flat.h5", "w") as file:
        for name, value in flat.items():
            file[name] = value
    other = load_face_model(tmp_path / "flat.h5")
    assert isinstance(other, LinearFaceModel) and torch.equal(other.identity_basis, model.identity_basis)


def test_the_command(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "bfm09.safetensors"
    assert main(["convert", "model", str(files / "raw"), str(target), "--half"]) == 0
    said = capsys.readouterr().out
    assert "99 identity, 29 expression" in said and "research" in said
    assert load_face_model(target).identity_dim == 99
    assert main(["convert", "model", str(tmp_path / "none.mat"), str(target)]) == 1
    assert "no such file exists" in capsys.readouterr().err
    (tmp_path / "01_MorphableModel.mat").write_bytes((files / "raw" / "01_MorphableModel.mat").read_bytes())
    assert main(["convert", "model", str(tmp_path / "01_MorphableModel.mat"), str(target)]) == 1
    assert "mod_struct_expr.mat is missing" in capsys.readouterr().err
