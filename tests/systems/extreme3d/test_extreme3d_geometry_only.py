"""Geometry-only mode of Extreme 3D Faces: folders in, files out; a made-up Basel model and the real paper cases."""

from __future__ import annotations

import json
import runpy
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pyface3d.detect.landmark_files import read_landmarks
from pyface3d.errors import InputError
from pyface3d.face_models import LinearFaceModel, load_face_model
from pyface3d.geometry import rotation_from_euler
from pyface3d.io.meshes import read_ply
from pyface3d.systems.extreme3d import crop_camera
from pyface3d.systems.extreme3d.geometry_only import find_cases, read_case, reconstruct_case, run_geometry
from pyface3d.systems.inputs import expand_inputs

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "extreme3d_geometry.py"


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory, model: LinearFaceModel) -> Path:
    """Two faces of the made-up model as the published networks would leave them; one has dots in its name."""
    folder = tmp_path_factory.mktemp("cases")
    for name in ("imgs", "shape", "bump"):
        (folder / name).mkdir()
    rng = np.random.default_rng(0)
    for stem, yaw in (("one", 0.1), ("a.b", -0.5)):
        alpha = rng.normal(size=99)
        verts = model.vertices(torch.tensor(alpha)[None], torch.zeros(1, 29).double())
        zero = torch.zeros(1).double()
        turned = model.landmarks().points(verts, model.topology) @ rotation_from_euler(zero + yaw, zero, zero)[0].T
        spots = crop_camera().project(turned + torch.tensor([0.0, 10, 600]).double())[0, :, :2].numpy() - 0.5
        np.savetxt(folder / "imgs" / f"{stem}.pts", spots)
        np.savetxt(folder / "shape" / f"{stem}.ply.alpha", alpha)
        cv2.imwrite(str(folder / "imgs" / f"{stem}.png"), rng.integers(0, 255, (500, 500, 3)).astype(np.uint8))
        levels = 127 + 6 * np.sin(np.arange(512) / 5)[:, None] * np.ones(512)
        cv2.imwrite(str(folder / "bump" / f"{stem}_bump.png"), levels.round().astype(np.uint8))
        mask = np.zeros((512, 512), np.uint8)
        mask[150:450, 120:400] = 255
        cv2.imwrite(str(folder / "bump" / f"{stem}_mask.png"), mask)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_reads_what_was_written(cases: Path) -> None:
    assert find_cases(cases) == ["a.b", "one"]
    case = read_case(cases, "one")
    assert case.alpha is not None and len(case.alpha) == 99
    # crop pixel (x, y) is map pixel (x + 6, y + 6); 12 levels are 1.25 mm
    wanted = np.round(127 + 6 * np.sin((np.arange(500) + 6) / 5)) - 127
    np.testing.assert_allclose(case.relief.mm[:, 250].numpy(), wanted / 12 * 1.25)
    assert case.relief.face[144:444, 114:394].all() and int(case.relief.face.sum()) == 300 * 280
    np.testing.assert_allclose(case.landmarks.numpy(), read_landmarks(cases / "imgs" / "one.pts"))


def test_no_mask_file_is_face_everywhere(cases: Path, tmp_path: Path) -> None:
    shutil.copytree(cases, tmp_path / "cases")
    (tmp_path / "cases" / "bump" / "one_mask.png").unlink()
    assert read_case(tmp_path / "cases", "one").relief.face.all()


def test_single_is_batch_and_resume_adds_what_is_missing(cases: Path, model: LinearFaceModel, tmp_path: Path) -> None:
    """Spec 21: the same bytes alone or in a list, and again."""
    together = list(run_geometry(cases, tmp_path / "both", model, stages=["foundation", "sparseFull", "final"]))
    assert [done.error for done in together] == [None, None]
    names = {f"{stem}_{stage}_{pose}.ply" for stem in ("one", "a.b") for stage in ("foundation", "sparseFull", "final")
             for pose in ("frontal", "aligned")}  # fmt: skip
    assert set(contents(tmp_path / "both")) == names | {"one.json", "a.b.json"}
    for stem in ("one", "a.b"):
        list(run_geometry(cases, tmp_path / "alone", model, [stem], stages=["foundation", "sparseFull", "final"]))
    assert contents(tmp_path / "both") == contents(tmp_path / "alone")
    (tmp_path / "alone" / "one.json").unlink()
    again = list(
        run_geometry(cases, tmp_path / "alone", model, stages=["foundation", "sparseFull", "final"], resume=True)
    )
    assert [len(done.files) for done in again] == [0, 7]
    assert contents(tmp_path / "both") == contents(tmp_path / "alone")


def test_record_projects_the_meshes(cases: Path, model: LinearFaceModel, tmp_path: Path) -> None:
    list(run_geometry(cases, tmp_path, model, ["a.b"], stages=["foundation", "final"]))
    record = json.loads((tmp_path / "a.b.json").read_text())
    rotation, shift = (np.array(record["pose"][name]) for name in ("rotation", "translation_mm"))
    frontal, aligned = (read_ply(tmp_path / f"a.b_foundation_{pose}.ply").verts for pose in ("frontal", "aligned"))
    np.testing.assert_allclose(frontal @ rotation.T + shift, aligned, atol=1e-3)
    plane = record["plane"]
    turn, move = np.array(plane["rotation"]), np.array(plane["translation_mm"])
    frontal, aligned = (read_ply(tmp_path / f"a.b_final_{pose}.ply").verts for pose in ("frontal", "aligned"))
    np.testing.assert_allclose((frontal - move) @ turn @ rotation.T + shift, aligned, atol=1e-3)
    points = (
        model.landmarks()
        .points(torch.from_numpy(read_ply(tmp_path / "a.b_foundation_aligned.ply").verts)[None], model.topology)[0]
        .numpy()
    )
    camera = record["camera"]
    spots = points[:, :2] / points[:, 2:] * camera["focal_px"] + camera["center_px"]
    given = read_landmarks(cases / "imgs" / "a.b.pts")
    assert np.linalg.norm(spots - given, axis=1)[17:].mean() < 2.0


def test_compat_takes_the_pose_of_epnp(cases: Path, model: LinearFaceModel) -> None:
    case = read_case(cases, "one")
    ours, theirs = (reconstruct_case(case, model, compat=compat) for compat in (False, True))
    assert not torch.allclose(ours.stages.foundation.rotation, theirs.stages.foundation.rotation)
    assert ours.placed.landmark_rms_px <= theirs.placed.landmark_rms_px  # spec 7
    assert torch.equal(theirs.stages.completed.plane.rotation, torch.eye(3).double())


def test_coefficients_out_of_reach_are_held(cases: Path, model: LinearFaceModel) -> None:
    case = read_case(cases, "one")
    assert case.alpha is not None
    far = replace(case, alpha=case.alpha.index_fill(0, torch.tensor([3, 7]), -40.0))
    ours, theirs = (reconstruct_case(far, model, compat=compat).placed.identity for compat in (False, True))
    assert ours[[3, 7]].tolist() == [-5, -5] and theirs[[3, 7]].tolist() == [-40, -40]
    assert torch.equal(ours[:3], case.alpha[:3])


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("shape/one.ply.alpha", b"1 2 3", "holds 3 coefficients"),
        ("shape/one.ply.alpha", b"a b", "one number a line"),
        ("shape/one.ply.alpha", b"nan " * 99, "finite coefficients"),
        ("shape/one.ply.alpha", b"", "finite coefficients"),
        ("shape/one.ply.alpha", None, "one.ply.alpha is missing; fit the identity"),
        ("bump/one_bump.png", b"no picture", "one_bump.png"),
        ("bump/one_bump.png", None, "one_bump.png is in none of"),
        ("bump/one_mask.png", b"", "one_mask.png"),
        ("imgs/one.pts", b"1 2\n3 4\n", "68 lines"),
        ("imgs/one.pts", b"7 7\n" * 68, "show no face"),
        ("imgs/one.png", b"", "one.png"),
    ],
)
def test_spec_20_a_bad_case_is_reported_and_the_others_go_on(
    cases: Path, model: LinearFaceModel, tmp_path: Path, file: str, content: bytes | None, message: str
) -> None:
    folder = tmp_path / "cases"
    shutil.copytree(cases, folder)
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    done = {
        row.stem: row for row in run_geometry(folder, tmp_path / "out", model, ["one", "a.b"], stages=["foundation"])
    }
    assert message in (done["one"].error or "") and done["a.b"].error is None
    assert sorted(contents(tmp_path / "out")) == [
        "a.b.json",
        "a.b_foundation_aligned.ply",
        "a.b_foundation_frontal.ply",
    ]


def test_wrong_sizes_are_named(cases: Path, tmp_path: Path) -> None:
    shutil.copytree(cases, tmp_path / "cases")
    cv2.imwrite(str(tmp_path / "cases" / "bump" / "one_bump.png"), np.zeros((500, 500), np.uint8))
    with pytest.raises(InputError, match="must have 512 x 512 pixels"):
        read_case(tmp_path / "cases", "one")
    cv2.imwrite(str(tmp_path / "cases" / "imgs" / "one.png"), np.zeros((50, 50), np.uint8))
    with pytest.raises(InputError, match="must be a crop of 500 x 500"):
        read_case(tmp_path / "cases", "one")
    with pytest.raises(InputError, match="holds no crops"):
        find_cases(tmp_path)


def test_the_script(cases: Path, model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = runpy.run_path(str(SCRIPT))["main"]
    base = [
        str(cases),
        str(tmp_path / "out"),
        "--model",
        str(model_path),
        "--stages",
        "foundation",
        "--poses",
        "frontal",
    ]
    assert main([*base, "--ascii", "--plain"]) == 0
    assert "2 of 2 faces succeeded" in capsys.readouterr().out
    assert (tmp_path / "out" / "a.b_foundation_frontal.ply").read_bytes().startswith(b"ply\nformat ascii")
    assert main([str(cases), str(tmp_path / "out"), "none", "--model", str(model_path)]) == 1
    assert "failed: none:" in capsys.readouterr().err
    assert main([str(tmp_path), str(tmp_path / "out"), "--model", str(model_path)]) == 1
    assert "holds no crops" in capsys.readouterr().err
    assert main([*base[:-1], "sideways"]) == 1
    assert "poses must be of" in capsys.readouterr().err


def test_spec_2_names_of_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blank and # lines, CRLF, blanks, pluses, dots, double extensions, 150 letters; no newline at the end."""
    names = ["a.b.png", "x.jpg.jpg", "mypngs.png", "two words.png", "a+b.png", "n" * 150 + ".png", "sub/a.b.png"]
    (tmp_path / "sub").mkdir()
    for name in names:
        (tmp_path / name).touch()
    lines = ["# photos", "", *names]
    (tmp_path / "list.txt").write_bytes("\r\n".join(lines).encode())
    monkeypatch.chdir(tmp_path)
    photos = expand_inputs(["list.txt"])
    assert [photo.error for photo in photos] == [None] * len(names)
    stems = [photo.stem for photo in photos]
    assert stems == ["a.b", "x.jpg", "mypngs", "two words", "a+b", "n" * 150, "a.b_2"]


def test_real_paper_cases_on_the_head(shared_data: Path, tmp_path: Path) -> None:
    """The shipped crops, landmarks and relief carry our own head through all stages."""
    folder, head = shared_data / "extreme3d" / "paper", load_face_model("head", 1)
    stem = next(stem for stem in find_cases(folder) if stem.startswith("fcb3e8d8"))
    result = reconstruct_case(read_case(folder, stem), head, fit_identity=True)
    stages = result.stages
    assert result.placed.landmark_rms_px < 8 and int(stages.dense.mesh.is_vertex.sum()) > 50_000
    assert len(stages.registration) > 25_000 and bool(stages.final.verts.isfinite().all())
    wrinkled = stages.completed.sampled
    lifted = (stages.completed.seen_verts - stages.completed.reference)[wrinkled].norm(dim=1)
    assert 0.5 < float(lifted.median()) < 4  # the shipped relief is one-sided, about 2 mm
    with pytest.raises(InputError, match="holds 99 coefficients, but model 'head'"):
        reconstruct_case(read_case(folder, stem), head)
    for name in ("bump_original", "bump_blended"):
        assert read_case(folder, stem, name).relief.mm.shape == (500, 500)


def test_what_somebody_drew_as_occluder_is_recovered(cases: Path, model: LinearFaceModel, tmp_path: Path) -> None:
    shutil.copytree(cases, tmp_path / "cases")
    drawn = np.zeros((500, 500), np.uint8)
    drawn[220:260, 150:230] = 255
    cv2.imwrite(str(tmp_path / "cases" / "imgs" / "one_occ.png"), drawn)
    assert find_cases(tmp_path / "cases") == ["a.b", "one"]  # the occluder is no crop
    done = list(
        run_geometry(tmp_path / "cases", tmp_path / "out", model, stages=["foundation"], references=lambda: None)
    )
    assert [one.error for one in done] == [None, None]
    assert not (tmp_path / "out" / "a.b_bump_blended.png").exists()
    assert "recovery" not in json.loads((tmp_path / "out" / "a.b.json").read_text())
    record = json.loads((tmp_path / "out" / "one.json").read_text())["recovery"]
    assert record["state"] == "recovered" and record["holes"][0]["donor"] == "mirror"
    case = read_case(cases, "one")
    millimetres = np.load(tmp_path / "out" / "one_bump_blended.npy")
    levels = cv2.imread(str(tmp_path / "out" / "one_bump_blended.png"), cv2.IMREAD_GRAYSCALE)
    assert millimetres.shape == (500, 500) and levels.shape == (512, 512)
    assert np.abs((levels[6:506, 6:506] - 127.0) / 12 * 1.25 - millimetres).max() <= 0.0527
    far = cv2.distanceTransform((drawn == 0).astype(np.uint8), cv2.DIST_L2, 5) > 30
    assert np.abs(millimetres - case.relief.mm.numpy())[far & case.relief.face.numpy()].max() < 0.1
    kept = list(
        run_geometry(tmp_path / "cases", tmp_path / "kept", model, ["one"], stages=["foundation"], recover=False)
    )
    assert kept[0].error is None and not (tmp_path / "kept" / "one_bump_blended.png").exists()
