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
from pyface3d.systems import fit as default_fit
from pyface3d.systems.batch import run_batch
from pyface3d.systems.extreme3d import placing
from pyface3d.systems.extreme3d.completed import _mirrored_spots
from pyface3d.systems.extreme3d.output import Extreme3dOptions
from pyface3d.systems.extreme3d.photo import Extreme3dFace, reconstruct_photo
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
    (face,) = reconstruct_photo(picture, landmarks, model=head, source=networks, compat=True)
    stages = face.result.stages
    assert face.occlusion == "none" and face.result.placed.landmark_rms_px < 5 and face.head is None
    moved = (stages.completed.seen_verts - stages.completed.reference)[stages.completed.sampled].norm(dim=1)
    assert 0.2 < float(moved.median()) < 0.6
    record = json.loads(json.dumps(face.record()))
    to_crop = np.array(record["crop"])
    np.testing.assert_allclose(
        np.column_stack([landmarks, np.ones(68)]) @ to_crop[:2].T, face.crop.to_crop(landmarks), atol=1e-3
    )
    assert abs(sum(record["source_shares"].values()) - 1) < 1e-9
    assert face.overlay(picture).shape == (500, 500, 3)
    assert record["bump"] == "original" and record["recovery"] == {"state": "none", "occluded_share": 0.0}
    assert stages.mesh("final").colors is not None


@pytest.fixture(scope="module")
def clear(networks: Extreme3dNetworks, landmarks: np.ndarray, picture: np.ndarray) -> Extreme3dFace:
    """The default: the fit's head, the stand-in's relief, nothing hidden."""
    (face,) = reconstruct_photo(picture, landmarks, source=networks, fit="landmarks", occlusion="colours")
    return face


def test_the_default_takes_the_head_of_the_fit(clear: Extreme3dFace, picture: np.ndarray) -> None:
    stages, head = clear.result.stages, clear.head
    assert head is not None and head.system == "extreme3d" and clear.model.topology.num_verts == 19543
    (fitted,) = default_fit.reconstruct(picture, clear.landmarks, fit="landmarks", occlusion="colours")
    for name in ("identity", "expression", "rotation", "translation"):
        assert torch.equal(head.coefficients[name], fitted.coefficients[name])
    torch.testing.assert_close(stages.foundation.translation.float(), fitted.translation)
    moved = (stages.completed.seen_verts - stages.completed.reference)[stages.completed.sampled].norm(dim=1)
    # The furrows along the axis and nothing else: no vertex moves because the surface under its pixels is bent.
    assert 0.2 < float(moved.median()) < 0.5 and float(moved.max()) < 0.51
    record = json.loads(json.dumps(clear.record()))
    assert record["bump"] == "original" and record["occlusion"] == {"from": "none"}
    steps = {
        "fit_landmarks",
        "texture",
        "relief",
        "rounding",
        "dense",
        "visibility",
        "symmetry",
        "registration",
        "merge",
        "head",
    }
    assert set(record["timings_s"]) == steps
    shares = record["source_shares"]
    assert shares["observed"] > 0.1 and shares["mirrored"] > 0.05 and shares["recovered"] == 0


def test_the_completed_head_has_the_relief_of_both_sides(clear: Extreme3dFace) -> None:
    """Furrows across the face: in the chart of the head they are on the side that is seen and on the other."""
    head = clear.head
    assert head is not None and head.bump is not None
    topology, region = head.topology, head.model.regions
    place = torch.zeros(topology.num_verts, dtype=torch.long)
    place[topology.faces.long().flatten()] = topology.uv_faces.long().flatten()
    texel = (topology.uvs[place] * len(head.bump)).long()
    depth = torch.nn.functional.max_pool2d(head.bump.abs()[None], 9, 1, 4)[0][texel[:, 1], texel[:, 0]]
    cheeks = region["face"] & region["skin"] & ~region["lids"] & ~region["lips"] & ~region["nose"]
    seen = depth[cheeks & (head.source == 1)]
    assert len(seen) > 200 and float((seen > 0.2).float().mean()) > 0.6
    other = (cheeks & (head.source == 2)).nonzero()[:, 0]
    there, partner = depth[other], depth[head.model.mirror[other]]
    assert len(other) > 50 and int((there > 0.2).sum()) > 20
    assert float(((there - partner).abs() < 0.1).float().mean()) > 0.8
    assert float(depth[region["back"]].max()) < 0.1
    stage = head.animatable()
    assert stage.normal_map is not None and stage.texture is not None and stage.morphs is not None


def test_the_mirror_image_of_the_chart_has_no_gaps_in_the_skin() -> None:
    """A triangle without one keeps no relief on the far side: its edges would show as scratches."""
    head = load_face_model("head")
    spots, whole = _mirrored_spots(head.topology, head.mirror)
    corners = head.topology.faces.long()
    skin = (head.regions["face"] & head.regions["skin"] & ~head.regions["lips"] & ~head.regions["lids"])[corners].all(1)
    assert int(skin.sum()) > 1500 and float(whole[skin].float().mean()) > 0.995
    chart = head.topology.uvs.float()[head.topology.uv_faces.long()]
    torch.testing.assert_close(
        spots[corners][..., 1][whole & skin].mean(), chart[..., 1][whole & skin].mean(), atol=1e-2, rtol=0
    )


def test_what_the_part_network_calls_an_occluder_is_mirrored_or_recovered(
    clear: Extreme3dFace,
    networks: Extreme3dNetworks,
    landmarks: np.ndarray,
    picture: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    visible = np.ones((SIZE, SIZE), np.float32)
    low, high = landmarks[[3, 31, 30]].min(axis=0), landmarks[[3, 31, 30]].max(axis=0)
    visible[int(low[1]) : int(high[1]), int(low[0]) : int(high[0])] = 0  # the cheek that is turned to the viewer
    monkeypatch.setattr(default_fit, "network_sight", lambda *_: FaceSight(visible, visible, "network"))
    options = {"landmarks": landmarks, "source": networks, "fit": "landmarks"}
    (covered,) = reconstruct_photo(picture, **options, occlusion="network", recovery=False)
    (recovered,) = reconstruct_photo(picture, **options, occlusion="network")
    (compat,) = reconstruct_photo(picture, **options, occlusion="network", compat=True)
    masks = [face.result.stages.relief.mask for face in (covered, clear, compat)]
    assert [face.occlusion for face in (covered, clear, compat)] == ["network", "none", "none"]
    assert bool((masks[0] == 0).any()) and bool((masks[1] == 255).all()) and bool((masks[2] == 255).all())
    assert covered.recovery["state"] == "hidden" and 0 < covered.recovery["occluded_share"] < 0.5
    spots = covered.result.stages.foundation.verts_image
    middle = covered.crop.to_crop((low + high) / 2)
    near = (spots[:, :2] - torch.from_numpy(middle)).norm(dim=1) < 20
    near &= clear.result.stages.completed.source == 1
    assert int(near.sum()) > 10 and not (covered.result.stages.completed.source[near] == 1).any()
    # With recovery they are known, and said to be recovered; the mask stays, colours are not the occluder's.
    assert recovered.recovery["state"] == "recovered" and bool((recovered.result.stages.relief.mask == 255).all())
    sources = recovered.result.stages.completed.source
    assert bool((sources[near] == 3).all()) and recovered.record()["source_shares"]["recovered"] > 0
    assert float(recovered.result.stages.vertex_confidence()[near].max()) <= 0.5
    hole = recovered.result.stages.relief.recovered.numpy()
    assert (recovered.result.stages.image[hole] != recovered.picture[hole]).mean() > 0.9
    assert (recovered.result.stages.image[~hole] == recovered.picture[~hole]).all()


def test_faces_are_found_and_counted(
    networks: Extreme3dNetworks, landmarks: np.ndarray, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, face = load_face_model("head", 1), face_from_landmarks(landmarks)
    monkeypatch.setattr(placing, "detect_faces", lambda *_, **__: [face, face])
    monkeypatch.setattr(placing, "landmarks68", lambda *_: (landmarks.astype(np.float32), np.ones(68)))
    options = {"model": head, "source": networks, "compat": True}
    assert len(reconstruct_photo(picture, **options, max_faces=1)) == 1
    monkeypatch.setattr(placing, "detect_faces", lambda *_, **__: [])
    with pytest.raises(InputError.__mro__[1], match="no face was found"):
        reconstruct_photo(picture, **options)
    with pytest.raises(InputError, match="max_faces must be at least 1"):
        reconstruct_photo(picture, **options, max_faces=0)


def test_a_run_writes_eight_meshes_and_resumes(
    networks: Extreme3dNetworks, landmarks: np.ndarray, picture: np.ndarray, tmp_path: Path
) -> None:
    write_png(tmp_path / "a.b.png", picture)
    (tmp_path / "marks").mkdir()
    np.save(tmp_path / "marks" / "a.b.npy", landmarks - 0.5)
    head = load_face_model("head", 1)

    def system(image: np.ndarray, points: np.ndarray | None) -> list:
        return reconstruct_photo(image, points, model=head, source=networks, compat=True)

    options = Extreme3dOptions(landmarks=tmp_path / "marks", settings={"system": "extreme3d"})
    report = run_batch([str(tmp_path / "a.b.png")], tmp_path / "out", system, options)
    assert report.failed == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    stages = ("foundation", "withBump", "sparseFull", "final")
    assert {f"a.b_{stage}_{pose}.ply" for stage in stages for pose in ("frontal", "aligned")} <= names
    assert {"a.b.json", "a.b.glb", "a.b_overlay.png", "a.b_source.png", "report.html"} <= names
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("a.b*")}
    again = Extreme3dOptions(landmarks=tmp_path / "marks", settings={"system": "extreme3d"}, resume=True)
    run_batch([str(tmp_path / "a.b.png")], tmp_path / "out", system, again)
    assert before == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("a.b*")}
    with pytest.raises(InputError, match="stages must be of foundation, withBump"):
        Extreme3dOptions(stages=("bump",))


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--system", "extreme3d", "--formats", "stl"], 2, "formats must be of"),
        (["--system", "extreme3d", "--weights", ".", "--stages", "bump"], 2, "stages must be of"),
        (["--system", "extreme3d", "--weights", "."], 1, "holds no weights of the bump network"),
        (["--system", "extreme3d", "--weights", ".", "--bump", "net"], 2, "is for --bump original"),
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
