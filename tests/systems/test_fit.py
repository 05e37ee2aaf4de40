"""The default system on the bundled portrait, and what it says when it cannot work."""

import numpy as np
import pytest
import torch

from pyface3d.errors import InputError, NoFaceError
from pyface3d.face_models import load_face_model
from pyface3d.io.images import read_image
from pyface3d.io.weights import ASSETS_DIR
from pyface3d.systems.fit import _find, reconstruct


@pytest.fixture(scope="module")
def portrait():
    return read_image(ASSETS_DIR / "demo" / "astronaut.png")


@pytest.fixture(scope="module")
def result(portrait):
    (face,) = reconstruct(portrait)
    return face


def test_result_is_whole(portrait, result):
    assert result.image_size == portrait.shape[:2]
    assert result.texture.shape[2] == 3
    assert bool(torch.isfinite(result.verts).all())
    torch.testing.assert_close(
        result.verts @ result.rotation.T + result.translation, result.verts_aligned, rtol=0, atol=1e-3
    )
    steps = {"detect", "landmarks", "parts", "fit_landmarks", "fit_photometric", "texture"}
    assert set(result.timings) == steps


def test_mesh_lies_on_the_landmarks(result):
    embedding = result.model.landmarks("ibug68")
    points = embedding.points(result.verts_aligned[None], result.topology)
    inner = slice(17, 68)  # the jaw points slide over the mesh
    drawn = result.camera.project(points)[0, inner, :2]
    eyes = (result.landmarks[45] - result.landmarks[36]).norm()
    error = (drawn - result.landmarks[inner]).norm(dim=-1).mean() / eyes
    assert error < 0.05


def test_provenance_says_what_was_seen(result):
    face = result.model.regions["face"]
    back = result.model.regions["back"]
    assert (result.source[face] == 1).float().mean() > 0.5
    assert (result.source[back] == 1).float().mean() < 0.02
    assert float(result.confidence[result.source == 0].max()) == 0


def test_an_occluder_lowers_what_was_seen(result):
    (hidden,) = reconstruct(read_image(ASSETS_DIR / "demo" / "astronaut_scarf.png"))
    mouth = result.model.regions["mouth"]
    seen = [(face.source[mouth] == 1).float().mean() for face in (result, hidden)]
    assert seen[0] > 0.5
    assert seen[1] < 0.25
    # A mouth that nobody sees is not opened: 6.9 mm between the lips where hidden points counted like seen ones.
    neutral = result.model.vertices(torch.zeros(1, 70), hidden.coefficients["expression"][None])
    lips = result.model.landmarks("ibug68").points(neutral, result.model.topology)[0]
    assert (lips[62] - lips[66]).norm() < 4  # mm; 2.4 at rest
    # The half that both photos show is the same person.
    assert (hidden.verts - result.verts).norm(dim=-1)[result.model.regions["brows"]].mean() < 4


def test_bits_do_not_depend_on_threads(portrait, result):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        (again,) = reconstruct(portrait)
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
    assert torch.equal(again.verts, result.verts)
    assert torch.equal(again.texture, result.texture)


def test_given_landmarks_replace_detection(portrait, result):
    (face,) = reconstruct(portrait, result.landmarks.numpy(), fit="landmarks")
    assert "detect" not in face.timings
    assert (face.verts - result.verts).norm(dim=-1)[face.model.regions["face"]].mean() < 4


def test_without_fit_the_mean_face_is_posed(portrait, result):
    (face,) = reconstruct(portrait, fit="none")
    assert float(face.coefficients["identity"].abs().max()) < 1e-3
    assert float(face.coefficients["expression"].abs().max()) < 1e-3
    assert float((face.rotation - result.rotation).norm()) < 0.2


def test_a_model_without_chart_has_provenance_and_no_texture(portrait, shared_data):
    path = shared_data / "ict_facekit" / "ict_facekit_light.npz"
    (face,) = reconstruct(portrait, model=str(path), fit="landmarks")
    assert face.texture is None
    assert 0.05 < (face.source == 1).float().mean() < 0.9


def test_a_face_at_the_border_and_small_pictures(portrait):
    (whole,) = reconstruct(portrait, fit="none")
    x0, y0, x1, y1 = (int(v) for v in whole.box)
    cut = np.ascontiguousarray(portrait[y0 : y1 + 1, (x0 + x1) // 2 - (x1 - x0) // 3 : x1 + 1])
    (face,) = reconstruct(cut, whole.landmarks.numpy() - [(x0 + x1) // 2 - (x1 - x0) // 3, y0], fit="full")
    assert bool(torch.isfinite(face.texture).all())


def test_errors_say_what_to_do(portrait):
    with pytest.raises(NoFaceError, match="no face was found"):
        reconstruct(np.full((64, 64, 3), 128, np.uint8))
    with pytest.raises(InputError, match="fit must be one of none, landmarks, full"):
        reconstruct(portrait, fit="best")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="max_faces must be at least 1"):
        reconstruct(portrait, max_faces=0)
    with pytest.raises(InputError, match="uint8"):
        reconstruct(portrait.astype(np.float32))


def test_hidden_points_count_less(portrait):
    """What the network calls hidden goes into the fit with a larger deviation, landmarks and dense points alike."""
    (found,) = _find(portrait, None, "network", "network", 1, "cpu")
    head = load_face_model("head")
    dense = found.dense(head, identity=True)
    ratio = np.concatenate([found.sigma, dense.sigma[0].numpy()]) / found.prediction.sigma
    visible = found.prediction.visible
    assert (ratio >= 1).all() and (ratio[visible < 0.1] > 4).all() and (ratio[visible > 0.95] < 1.1).all()
    assert (np.diff(ratio[np.argsort(-visible)]) > -1e-4).all()
    np.testing.assert_allclose(dense.identity[0], found.prediction.identity)
    assert found.dense(head, identity=False).identity is None
