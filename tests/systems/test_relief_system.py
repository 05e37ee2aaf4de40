"""Relief on a reconstruction: in its place in the chart, nowhere else, and in every file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pygltflib
import pytest
import torch
from part_network import disc_predictor
from PIL import Image
from synthetic_head import EggModel

from pyface3d.detect.relief import ReliefPredictor, faded
from pyface3d.errors import AssetError, InputError
from pyface3d.face_models import load_face_model
from pyface3d.fit import shading_relief
from pyface3d.geometry import FRONTAL, Camera
from pyface3d.io.meshes import read_ply
from pyface3d.networks.extreme3d import BumpNet
from pyface3d.networks.relief import ReliefNet
from pyface3d.ops import vertex_normals
from pyface3d.reconstruction import Reconstruction
from pyface3d.systems import relief as relief_system
from pyface3d.systems.extreme3d.predict import Extreme3dNetworks
from pyface3d.systems.fit import reconstruct
from pyface3d.systems.relief import check_bump, with_relief

SIZE = 360


class Waves(torch.nn.Module):
    """A relief that is known: a slow wave down the square, in px of the square; symmetric, as a mirrored look wants."""

    def forward(self, image):
        down = torch.arange(image.shape[2], dtype=torch.float32) + 0.5
        return wave(down)[None, :, None].expand(len(image), -1, image.shape[3]).contiguous()


def wave(down):
    return 0.6 * torch.cos(down * (2 * torch.pi / 24))


@pytest.fixture(scope="module")
def result() -> Reconstruction:
    """The mean head, straight ahead, in the middle of a picture."""
    model = load_face_model("head")
    zeros = torch.zeros(1, model.identity_dim), torch.zeros(1, model.expression_dim)
    verts = model.vertices(*zeros)[0]
    rotation, translation = torch.tensor(FRONTAL), torch.tensor([0.0, 0.0, 900.0])
    camera = Camera(torch.tensor([900.0]), torch.tensor([[SIZE / 2, SIZE / 2]]), SIZE, SIZE)
    aligned = verts @ rotation.T + translation
    marks = model.landmarks("ibug68").points(aligned[None], model.topology)
    points = camera.project(marks)[0, :, :2]
    coefficients = {
        "identity": zeros[0][0],
        "expression": zeros[1][0],
        "rotation": rotation,
        "translation": translation,
    }
    return Reconstruction(
        image_size=(SIZE, SIZE),
        box=(*points.amin(0).tolist(), *points.amax(0).tolist()),
        crop=None,
        camera=camera,
        coefficients=coefficients,
        verts=verts,
        verts_aligned=aligned,
        topology=model.topology,
        texture=torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(0)),
        bump=None,
        normals=vertex_normals(verts[None], model.topology)[0],
        occlusion_mask=torch.ones(SIZE, SIZE, dtype=torch.bool),
        source=torch.ones(len(verts), dtype=torch.uint8),
        confidence=torch.ones(len(verts)),
        landmarks=points,
        system="fit",
        model=model,
    )


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def raised(result, image) -> Reconstruction:
    return with_relief(result, image, ReliefPredictor(Waves()), size=512)


def at_verts(result, bump):
    """The chart's value at each vertex, at the texture coordinate of one of its faces; nearest texel."""
    topology = result.topology
    place = torch.zeros(topology.num_verts, dtype=torch.long)
    place[topology.faces.long().flatten()] = topology.uv_faces.long().flatten()
    texel = (topology.uvs[place] * len(bump)).long().clamp(0, len(bump) - 1)
    return bump[texel[:, 1], texel[:, 0]]


def test_relief_lies_where_the_picture_shows_it(result, raised, image):
    """At vertices in the middle of the face: the wave at the pixel that the vertex projects to."""
    crop = ReliefPredictor(Waves()).predict(image, result.landmarks.numpy()).crop
    pixels = crop.to_crop(result.camera.project(result.verts_aligned[None])[0, :, :2].numpy())
    expected = wave(torch.from_numpy(pixels[:, 1]).float())
    regions = result.model.regions
    skin = regions["face"] & regions["skin"] & ~regions["lids"] & ~regions["lips"] & ~regions["nose"]
    inner = skin & (result.normals[:, 2] > 0.8)
    assert int(inner.sum()) > 200
    error = (at_verts(raised, raised.bump) - expected)[inner].abs()
    assert float(error.median()) < 0.06 and float(error.quantile(0.95)) < 0.2


def test_none_where_nothing_is_seen(result, raised):
    found = at_verts(raised, raised.bump)
    regions = result.model.regions
    for name in ("left_eye", "right_eye", "back", "tongue", "teeth"):
        assert float(found[regions[name]].abs().max()) < 1e-6, name
    assert float(found[result.normals[:, 2] < -0.2].abs().max()) < 1e-6
    assert float(found[result.normals[:, 2] < 0.1].abs().max()) < 0.05


def test_none_behind_an_occluder_and_soft_at_its_edge(result, raised, image):
    mask = torch.ones(SIZE, SIZE, dtype=torch.bool)
    mask[:, SIZE // 2 :] = False
    covered = with_relief(replace(result, occlusion_mask=mask), image, ReliefPredictor(Waves()), size=512)
    found, free = at_verts(result, covered.bump), at_verts(result, raised.bump)
    x = result.camera.project(result.verts_aligned[None])[0, :, 0]
    assert float(found[x > SIZE / 2].abs().max()) == 0.0
    far = x < SIZE / 2 - 25
    torch.testing.assert_close(found[far], free[far], atol=1e-5, rtol=0)
    crop = ReliefPredictor(Waves()).predict(image, result.landmarks.numpy()).crop
    share = faded(mask.numpy(), crop)
    steps = np.abs(np.diff(share, axis=1)).max()
    assert share.min() == 0 and share.max() == 1 and steps < 0.5  # no step that would be a crease


def test_a_hidden_face_has_no_relief_and_still_all_stages(result, image):
    nothing = replace(result, occlusion_mask=torch.zeros(SIZE, SIZE, dtype=torch.bool))
    blank = with_relief(nothing, image, ReliefPredictor(Waves()), size=128)
    assert float(blank.bump.abs().max()) == 0.0
    assert len(blank.stage("withBump").faces) > 10_000


def test_files(raised, result, image, tmp_path):
    written = raised.export(tmp_path, "a", stages=raised.stages, image=image)
    names = {path.name for path in written}
    assert {"a_withBump_frontal.ply", "a_withBump_aligned.ply", "a_bump.png", "a.glb"} <= names
    levels = np.array(Image.open(tmp_path / "a_bump.png")).astype(float)
    np.testing.assert_allclose((levels - 127) / 12, raised.bump.numpy(), atol=0.5 / 12 + 1e-6)
    gltf = pygltflib.GLTF2().load(str(tmp_path / "a.glb"))
    assert gltf.materials[0].normalTexture is not None
    dense = read_ply(tmp_path / "a_withBump_frontal.ply")
    assert len(dense.verts) > 40_000 and dense.colors is not None
    aligned = read_ply(tmp_path / "a_withBump_aligned.ply").verts
    expected = dense.verts @ result.rotation.numpy().T + result.translation.numpy()
    np.testing.assert_allclose(aligned, expected, atol=1e-3)
    plain = result.export(tmp_path / "plain", "a")
    assert not any("withBump" in path.name or "bump" in path.name for path in plain)


def test_clay_shows_it(raised, result):
    flat, bumpy = (one.render(size=160, textured=False).astype(int) for one in (result, raised))
    changed = np.abs(flat - bumpy).max(-1) > 4
    assert 0.05 < changed.mean() < 0.5
    assert (result.render(size=64) == raised.render(size=64)).all()  # the texture holds the photo's light already


def test_stage_needs_relief(result, raised):
    assert result.stages == ("foundation",) and raised.stages == ("foundation", "withBump")
    with pytest.raises(InputError, match="stage must be of foundation"):
        result.stage("withBump")


def test_wrong_choices(result, image):
    with pytest.raises(InputError, match="bump must be one of none, net"):
        check_bump("gross", result.model)
    bare = EggModel()
    bare.topology = type(bare.topology)(bare.topology.faces, bare.topology.num_verts)
    with pytest.raises(InputError, match="texture coordinates"):
        check_bump("net", bare)
    with pytest.raises(InputError, match="landmarks"):
        with_relief(replace(result, landmarks=None), image, ReliefPredictor(Waves()))


def test_missing_weights_are_named(result, image, monkeypatch):
    def missing(device="cpu"):
        from pyface3d.io.weights import load_weights

        return load_weights("relief_of_nobody")

    monkeypatch.setattr(relief_system, "load_relief_predictor", missing)
    with pytest.raises(AssetError, match="relief_of_nobody"):
        with_relief(result, image)


def test_the_system_gives_it(result, image, monkeypatch):
    torch.manual_seed(0)
    network = ReliefNet().eval()
    torch.nn.init.constant_(network.last.bias, 1.25)  # a relief that is 0.25 mm everywhere
    monkeypatch.setattr(relief_system, "load_relief_predictor", lambda device="cpu": ReliefPredictor(network))
    (found,) = reconstruct(image, result.landmarks.numpy(), fit="none", bump="net", visible=np.ones((SIZE, SIZE), bool))
    inner = found.model.regions["face"] & found.model.regions["skin"] & (found.normals[:, 2] > 0.85)
    assert float(at_verts(found, found.bump)[inner].median()) == pytest.approx(0.25, abs=0.01)
    assert "relief" in found.timings
    (without,) = reconstruct(image, result.landmarks.numpy(), fit="none", visible=np.ones((SIZE, SIZE), bool))
    assert without.bump is None


def test_shading_needs_no_weights(result, image, monkeypatch):
    # of a picture of noise the part network could say anything
    monkeypatch.setattr(shading_relief, "load_part_predictor", lambda device: disc_predictor(device, hand=False))
    given = {"fit": "none", "bump": "sfs", "visible": np.ones((SIZE, SIZE), bool)}
    (found,) = reconstruct(image, result.landmarks.numpy(), **given)
    (again,) = reconstruct(image, result.landmarks.numpy(), **given)
    assert found.bump is not None and torch.equal(found.bump, again.bump)
    assert 0 < float(found.bump.abs().max()) <= 2  # noise is what the picture holds
    assert float(at_verts(found, found.bump)[found.model.regions["back"]].abs().max()) == 0
    assert found.stages == ("foundation", "withBump")


class Even(BumpNet):
    """Extreme 3D Faces' network, saying face everywhere and 12 levels above none."""

    def forward(self, image):
        maps = torch.ones(1, 1, 512, 512)
        return maps, maps * (139 / 127.5 - 1)


def test_the_published_network_gives_it_too(result, image, monkeypatch):
    with torch.device("meta"):
        network = Even()
    network = network.to_empty(device="cpu")
    monkeypatch.setattr(relief_system, "_original", lambda folder, device: Extreme3dNetworks(network))
    given = {"fit": "none", "bump": "original", "visible": np.ones((SIZE, SIZE), bool)}
    (found,) = reconstruct(image, result.landmarks.numpy(), weights=Path("somewhere"), **given)
    inner = found.model.regions["face"] & found.model.regions["skin"] & (found.normals[:, 2] > 0.85)
    assert float(at_verts(found, found.bump)[inner].median()) == pytest.approx(1.25, abs=0.02)


def test_the_published_network_is_asked_for(result, image, tmp_path):
    with pytest.raises(InputError, match="--weights FOLDER with ckpt_109_grad"):
        reconstruct(image, result.landmarks.numpy(), bump="original")
    with pytest.raises(AssetError, match="holds no weights of the bump network: get ckpt_109_grad"):
        reconstruct(image, result.landmarks.numpy(), bump="original", weights=tmp_path)
