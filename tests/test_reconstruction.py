"""The frozen result: frames, morph targets, files, checks."""

import json
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from synthetic_head import ARKIT, egg_reconstruction

from pyface3d.errors import InputError, OutputError
from pyface3d.io.meshes import read_glb, read_ply


@pytest.fixture(scope="module")
def result():
    return egg_reconstruction()


def test_aligned_is_the_frontal_mesh_moved(result):
    frontal, aligned = result.stage(pose="frontal"), result.stage(pose="aligned")
    rotation, translation = result.rotation.numpy(), result.translation.numpy()
    np.testing.assert_allclose(aligned.verts, frontal.verts @ rotation.T + translation, atol=1e-3)
    np.testing.assert_allclose(aligned.normals, frontal.normals @ rotation.T, atol=1e-5)
    # Seen from the camera, the front of the face looks back at it.
    front = frontal.normals[:, 2] > 0.9
    assert (aligned.normals[front, 2] < 0).all()


def test_vertex_colors_are_the_texture_at_the_vertex(result):
    """Against a lookup written out for one vertex at a time."""
    texture, topology = result.texture.numpy(), result.topology
    height, width = texture.shape[:2]
    colors = result.stage().colors
    faces, uv_faces = topology.faces.numpy(), topology.uv_faces.numpy()
    for vertex in range(0, topology.num_verts, 37):
        face, corner = np.argwhere(faces == vertex)[0]
        u, v = topology.uvs[int(uv_faces[face, corner])].tolist()
        x, y = u * width - 0.5, v * height - 0.5
        x0, y0 = int(np.floor(x)), int(np.floor(y))
        total = np.zeros(3)
        for i, wx in ((x0, 1 - (x - x0)), (x0 + 1, x - x0)):
            for j, wy in ((y0, 1 - (y - y0)), (y0 + 1, y - y0)):
                total += wx * wy * texture[np.clip(j, 0, height - 1), np.clip(i, 0, width - 1)]
        srgb = np.where(total <= 0.0031308, 12.92 * total, 1.055 * np.maximum(total, 1e-9) ** (1 / 2.4) - 0.055)
        np.testing.assert_allclose(colors[vertex], 255 * srgb, atol=1)


def test_morph_targets_lead_from_neutral_to_the_fit(result):
    neutral, morphs = result.morph_targets()
    assert morphs.names == tuple(ARKIT)
    shown = neutral.numpy() + np.einsum("e,evc->vc", morphs.weights, morphs.offsets)
    np.testing.assert_allclose(shown, result.verts.numpy(), atol=1e-3)
    identity = result.coefficients["identity"][None]
    at_rest = result.model.vertices(identity, torch.zeros(1, len(ARKIT)))[0]
    np.testing.assert_allclose(neutral.numpy(), at_rest.numpy(), atol=1e-3)


def test_expressions_in_sigma_units_keep_their_weights(result, tmp_path):
    """The Basel model's expressions are σ units, either way: a GLB clipped to [0, 1] would show another face."""
    weights = torch.linspace(-2.5, 2.5, len(ARKIT))
    verts = result.model.vertices(result.coefficients["identity"][None], weights[None])[0]
    moved = replace(result, coefficients={**result.coefficients, "expression": weights}, verts=verts)
    moved.export(tmp_path, formats=["glb"])
    read = read_glb(tmp_path / "face.glb")
    np.testing.assert_allclose(read.morphs.weights, weights, atol=1e-6)
    shown = read.verts + np.einsum("e,evc->vc", read.morphs.weights, read.morphs.offsets)
    at = ((shown[:, None] - verts.numpy()[None, :: len(verts) // 40]) ** 2).sum(-1).min(axis=0)
    assert np.sqrt(at).max() < 2e-3  # every vertex is there, whatever the seams do to their order


def test_what_the_fit_adds_beyond_the_model_stays(result):
    """A later stage may move vertices off the model; the animated head keeps that."""
    lifted = replace(result, verts=result.verts + torch.tensor([0.0, 3.0, 0.0]))
    neutral, morphs = lifted.morph_targets()
    shown = neutral.numpy() + np.einsum("e,evc->vc", morphs.weights, morphs.offsets)
    np.testing.assert_allclose(shown, lifted.verts.numpy(), atol=1e-3)


def test_record_is_json_and_complete(result):
    record = json.loads(json.dumps(result.record(), allow_nan=False))
    assert record["pose"]["yaw_deg"] == pytest.approx(np.rad2deg(0.3), abs=1e-3)
    assert record["pose"]["pitch_deg"] == pytest.approx(np.rad2deg(0.1), abs=1e-3)
    assert record["pose"]["roll_deg"] == pytest.approx(np.rad2deg(-0.05), abs=1e-3)
    np.testing.assert_allclose(record["pose"]["rotation"], result.rotation.numpy(), atol=1e-6)
    assert record["image_size"] == {"height": 240, "width": 320} and record["camera"]["focal_px"] == 700
    assert sum(record["source_shares"].values()) == pytest.approx(1) and record["model"]["licence"] == "Apache-2.0"
    assert len(record["landmarks"]) == 68 and "rotation" not in record["coefficients"]
    # What the file says about the camera puts the mesh where the fit has it.
    verts = result.verts.numpy() @ np.array(record["pose"]["rotation"]).T + record["pose"]["translation_mm"]
    pixels = record["camera"]["focal_px"] * verts[:, :2] / verts[:, 2:] + record["camera"]["center_px"]
    expected = result.camera.project(result.verts_aligned[None])[0, :, :2].numpy()
    np.testing.assert_allclose(pixels, expected, atol=0.01)


def test_export_writes_what_it_returns(result, tmp_path):
    image = np.full((240, 320, 3), 90, np.uint8)
    paths = result.export(tmp_path / "new" / "folder", "é", formats=("ply", "obj", "glb"), image=image)
    assert sorted(paths) == sorted((tmp_path / "new" / "folder").iterdir())
    assert paths[-1].name == "é.json" and len(paths) == 9
    np.testing.assert_array_equal(read_ply(tmp_path / "new/folder/é_foundation_frontal.ply").verts, result.verts)
    assert read_glb(tmp_path / "new/folder/é.glb").morphs.names == tuple(ARKIT)


def test_result_without_texture_mask_and_expressions(result, tmp_path):
    model = replace(result.model, expression_names=())
    bare = replace(result, texture=None, occlusion_mask=None, landmarks=None, model=model)
    names = {path.name for path in bare.export(tmp_path, "x")}
    assert names == {"x_foundation_frontal.ply", "x_foundation_aligned.ply", "x.glb", "x.json"}
    mesh = read_glb(tmp_path / "x.glb")
    assert mesh.morphs is None and mesh.texture is None and mesh.colors is None


def test_pictures(result):
    image = np.full((240, 320, 3), 90, np.uint8)
    over = result.overlay(image)
    assert over.shape == image.shape and over.dtype == np.uint8
    changed = (over != 90).any(axis=2)
    pixels = result.camera.project(result.verts_aligned[None])[0, :, :2].numpy()
    rows, columns = np.nonzero(changed)
    assert abs(columns.min() - pixels[:, 0].min()) < 2 and abs(rows.max() - pixels[:, 1].max()) < 2
    part = result.overlay(image, (100, 60, 180, 120))
    assert part.shape == (60, 80, 3)
    # The same pixels; only the finer sampling of a rim may differ.
    assert (np.abs(part.astype(int) - over[60:120, 100:180]) > 8).mean() < 0.02
    assert result.overlay(np.zeros((2400, 3200, 3), np.uint8), (0, 0, 3200, 2400)).shape == (1200, 1600, 3)
    left, right = result.render(yaw=-0.6, size=64), result.render(yaw=0.6, size=64)
    assert left.shape == (64, 64, 3) and np.abs(left.astype(int) - right).mean() > 3
    assert (result.render(size=64, textured=False).std(axis=2) < 6).all(), "clay has no colour"


@pytest.mark.parametrize(
    "change",
    [
        {"verts": torch.zeros(3, 3)},
        {"texture": torch.zeros(8, 8)},
        {"landmarks": torch.zeros(5, 2)},
        {"occlusion_mask": torch.zeros(3, 3, dtype=torch.bool)},
        {"coefficients": {"identity": torch.zeros(2)}},
    ],
)
def test_shapes_are_checked(result, change):
    with pytest.raises(InputError, match=next(iter(change))):
        replace(result, **change)


def test_choices_are_checked_and_nothing_is_written(result, tmp_path):
    for arguments in ({"stages": ["final"]}, {"poses": ["left"]}, {"formats": ["stl"]}):
        with pytest.raises(InputError):
            result.export(tmp_path, **arguments)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError):
        result.stage("withBump")


def test_frozen(result):
    with pytest.raises(FrozenInstanceError):
        result.verts = None


def test_a_failing_export_leaves_the_old_files(result, tmp_path, monkeypatch):
    result.export(tmp_path, "a", formats=("ply",))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(
        "pyface3d.io.staging.os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    with pytest.raises(OutputError, match="No space left"):
        result.export(tmp_path, "a", formats=("ply",))
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {k: v for k, v in after.items() if k != "a.json"} == {k: v for k, v in before.items() if k != "a.json"}
