"""Photos to stages with a stand-in network: published weights cannot be shipped, the path around them can be tested."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pyface3d.cli import main
from pyface3d.commands.extreme3d_run import weight_files
from pyface3d.detect.face import face_from_landmarks
from pyface3d.errors import InputError
from pyface3d.face_models import load_face_model
from pyface3d.geometry import Camera, rotation_from_euler
from pyface3d.io.images import write_png
from pyface3d.networks.extreme3d import BumpNet
from pyface3d.systems.batch import run_batch
from pyface3d.systems.extreme3d import photo as photo_module
from pyface3d.systems.extreme3d.photo import Extreme3dOptions, reconstruct_photo
from pyface3d.systems.extreme3d.predict import Extreme3dNetworks
from pyface3d.systems.sight import FaceSight

SIZE = 320


class _Furrowed(BumpNet):
    """Says: face everywhere, and a furrow across every 16 pixels, 0.5 mm deep."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        rows = torch.sin(torch.arange(512) * 2 * torch.pi / 16)[:, None].expand(512, 512)
        level = 0.5 * 12 / 1.25 / 127.5
        return torch.ones(1, 1, 512, 512), (level * rows - 0.5 / 127.5)[None, None]


@pytest.fixture(scope="module")
def networks() -> Extreme3dNetworks:
    with torch.device("meta"):
        bump = _Furrowed()
    return Extreme3dNetworks(bump.to_empty(device="cpu"))


@pytest.fixture(scope="module")
def landmarks() -> np.ndarray:
    """The mean head's, turned a little, in a picture of 320 x 320."""
    head = load_face_model("head")
    verts = head.vertices(torch.zeros(1, head.identity_dim), torch.zeros(1, head.expression_dim))
    zero = torch.zeros(1)
    spots = head.landmarks().points(verts, head.topology) @ rotation_from_euler(zero + 0.2, zero, zero)[0].T
    camera = Camera.centered(torch.tensor([500.0]), SIZE, SIZE)
    return camera.project(spots + torch.tensor([0.0, 0.0, 600.0]))[0, :, :2].numpy()


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def test_all_stages_of_a_photo(networks: Extreme3dNetworks, landmarks: np.ndarray, picture: np.ndarray) -> None:
    head = load_face_model("head", 1)
    (face,) = reconstruct_photo(picture, networks, head, landmarks, occlusion="colours")
    stages = face.result.stages
    assert face.occlusion == "none" and face.result.landmark_rms_px < 5
    moved = (stages.completed.seen_verts - stages.completed.reference)[stages.completed.sampled].norm(dim=1)
    # the furrows, and up to 2.5 mm where the depth between pixels is not quite the vertex's
    assert 0.2 < float(moved.median()) < 0.6 and float(moved.max()) < 3.2
    record = json.loads(json.dumps(face.record()))
    to_crop = np.array(record["crop"])
    np.testing.assert_allclose(
        np.column_stack([landmarks, np.ones(68)]) @ to_crop[:2].T, face.case.landmarks.numpy(), atol=1e-3
    )
    assert abs(sum(record["source_shares"].values()) - 1) < 1e-9
    assert face.overlay().shape == (500, 500, 3)
    assert stages.mesh("final").colors is not None


def test_what_the_part_network_calls_an_occluder_is_mirrored(
    networks: Extreme3dNetworks, landmarks: np.ndarray, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    visible = np.ones((SIZE, SIZE), np.float32)
    low, high = landmarks[[3, 31, 30]].min(axis=0), landmarks[[3, 31, 30]].max(axis=0)
    visible[int(low[1]) : int(high[1]), int(low[0]) : int(high[0])] = 0  # the cheek that is turned to the viewer
    monkeypatch.setattr(photo_module, "network_sight", lambda *_: FaceSight(visible, visible, "given"))
    head = load_face_model("head", 1)
    options = {"landmarks": landmarks, "occlusion": "network"}
    (covered,) = reconstruct_photo(picture, networks, head, **options)
    (clear,) = reconstruct_photo(picture, networks, head, landmarks, occlusion="colours")
    (compat,) = reconstruct_photo(picture, networks, head, **options, compat=True)
    masks = [face.case.relief.mask for face in (covered, clear, compat)]
    assert covered.occlusion == "network" and compat.occlusion == "none"
    assert bool((masks[0] == 0).any()) and bool((masks[1] == 255).all()) and bool((masks[2] == 255).all())
    spots = covered.result.stages.foundation.verts_image
    middle = covered.crop.to_crop((low + high) / 2)
    near = (spots[:, :2] - torch.from_numpy(middle)).norm(dim=1) < 20
    near &= clear.result.stages.completed.source == 1
    assert int(near.sum()) > 10 and not (covered.result.stages.completed.source[near] == 1).any()


def test_faces_are_found_and_counted(
    networks: Extreme3dNetworks, landmarks: np.ndarray, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, face = load_face_model("head", 1), face_from_landmarks(landmarks)
    monkeypatch.setattr(photo_module, "detect_faces", lambda *_, **__: [face, face])
    monkeypatch.setattr(photo_module, "landmarks68", lambda *_: (landmarks.astype(np.float32), np.ones(68)))
    assert len(reconstruct_photo(picture, networks, head, occlusion="colours", max_faces=1)) == 1
    monkeypatch.setattr(photo_module, "detect_faces", lambda *_, **__: [])
    with pytest.raises(InputError.__mro__[1], match="no face was found"):
        reconstruct_photo(picture, networks, head, occlusion="colours")
    with pytest.raises(InputError, match="max_faces must be at least 1"):
        reconstruct_photo(picture, networks, head, max_faces=0)


def test_a_run_writes_eight_meshes_and_resumes(
    networks: Extreme3dNetworks, landmarks: np.ndarray, picture: np.ndarray, tmp_path: Path
) -> None:
    write_png(tmp_path / "a.b.png", picture)
    (tmp_path / "marks").mkdir()
    np.save(tmp_path / "marks" / "a.b.npy", landmarks - 0.5)
    head = load_face_model("head", 1)

    def system(image: np.ndarray, points: np.ndarray | None) -> list:
        return reconstruct_photo(image, networks, head, points, occlusion="colours")

    options = Extreme3dOptions(landmarks=tmp_path / "marks", settings={"system": "extreme3d"})
    report = run_batch([str(tmp_path / "a.b.png")], tmp_path / "out", system, options)
    assert report.failed == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    stages = ("foundation", "withBump", "sparseFull", "final")
    assert {f"a.b_{stage}_{pose}.ply" for stage in stages for pose in ("frontal", "aligned")} <= names
    assert {"a.b.json", "a.b_overlay.png", "report.html"} <= names
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("a.b*")}
    again = Extreme3dOptions(landmarks=tmp_path / "marks", settings={"system": "extreme3d"}, resume=True)
    run_batch([str(tmp_path / "a.b.png")], tmp_path / "out", system, again)
    assert before == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("a.b*")}
    with pytest.raises(InputError, match="stages must be of foundation, withBump"):
        Extreme3dOptions(stages=("bump",))


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--system", "extreme3d"], 2, "needs --weights FOLDER"),
        (["--system", "extreme3d", "--weights", ".", "--formats", "glb"], 2, "writes ply"),
        (["--system", "extreme3d", "--weights", ".", "--stages", "bump"], 2, "stages must be of"),
        (["--system", "extreme3d", "--weights", "."], 1, "holds no weights of the bump network"),
        (["--system", "extreme3d", "--weights", ".", "--bump", "net"], 2, "leave --bump out"),
        (["--compat"], 2, "are for --system extreme3d"),
        (["--system", "focus"], 2, "comes with a later version"),
        (["--system", "magic"], 2, "system must be fit or extreme3d"),
    ],
)
def test_usage(
    options: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    threads_put_back: None,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").touch()
    assert main(["reconstruct", "a.png", *options]) == code
    assert message in capsys.readouterr().err


def test_a_run_knows_its_weights(tmp_path: Path) -> None:
    (tmp_path / "ckpt_109_grad.pth.tar").write_bytes(b"one")
    (tmp_path / "notes.txt").write_text("not a weight")
    first = weight_files(tmp_path)
    assert list(first) == ["ckpt_109_grad.pth.tar"] and len(first["ckpt_109_grad.pth.tar"]) == 64
    (tmp_path / "ckpt_109_grad.pth.tar").write_bytes(b"two")
    assert weight_files(tmp_path) != first
    assert weight_files(tmp_path / "none") == {}
