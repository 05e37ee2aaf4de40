"""The regressor's vector, pose, camera, light and picture: the specification's numbers, laws, a slow twin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_bfm_front import front_arrays, write_front

from pyface3d.errors import InputError
from pyface3d.face_models import LinearFaceModel, load_face_model
from pyface3d.geometry import rotation_from_euler
from pyface3d.geometry.rotations import frontal_rotation
from pyface3d.ops import rasterize, vertex_visibility
from pyface3d.systems.occlusion_robust import (
    CoefficientLayout,
    FaceCoefficients,
    FaceDecoder,
    PosedFace,
    camera,
    published_landmarks,
    shade,
)

F64 = torch.float64


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> FaceDecoder:
    """Deng's schema with 1,147 vertices."""
    path = write_front(tmp_path_factory.mktemp("toy") / "BFM_model_front.mat", front_arrays())
    model = load_face_model(path)
    assert isinstance(model, LinearFaceModel)
    return FaceDecoder(model)


@pytest.fixture(scope="module")
def head() -> FaceDecoder:
    model = load_face_model("head")
    assert isinstance(model, LinearFaceModel)
    return FaceDecoder(model)


def zeros(decoder: FaceDecoder, **parts: torch.Tensor) -> FaceCoefficients:
    zero = decoder.layout.zeros(1, torch.zeros((), dtype=F64))
    return FaceCoefficients(**{**vars(zero), **parts})


def test_spec_4_sizes_and_the_way_back() -> None:
    layout = CoefficientLayout()
    assert list(layout.sizes.values()) == [80, 64, 80, 3, 27, 3]
    assert layout.total == 257
    assert layout.slices == {
        "identity": slice(0, 80),
        "expression": slice(80, 144),
        "albedo": slice(144, 224),
        "angles": slice(224, 227),
        "light": slice(227, 254),
        "translation": slice(254, 257),
    }
    vector = torch.arange(2 * 257.0).reshape(2, 257)
    parts = layout.split(vector)
    assert parts.light.shape == (2, 3, 9)
    assert parts.light[1, 2].tolist() == [257 + 227 + 18 + band for band in range(9)]  # colour by colour
    assert torch.equal(parts.joined(), vector)
    for bad in (torch.zeros(257), torch.zeros(1, 256), torch.zeros(1, 257, dtype=torch.int64)):
        with pytest.raises(InputError, match=r"\(B, 257\) \(80, 64, 80, 3, 27, 3\)"):
            layout.split(bad)


def test_spec_3_rotation_and_projection() -> None:
    """The specification's vectors: pitch, yaw, roll 0.1, 0.2, 0.3, and a point through them and the camera."""
    pitch, yaw, roll = torch.tensor([[0.1], [0.2], [0.3]], dtype=F64)
    to_camera = rotation_from_euler(yaw, pitch, roll)
    turn = (frontal_rotation(to_camera) @ to_camera)[0]
    expected = [[0.936293, -0.275096, 0.218351], [0.289629, 0.956425, -0.036957], [-0.198669, 0.097843, 0.975170]]
    torch.testing.assert_close(turn, torch.tensor(expected, dtype=F64), rtol=0, atol=1e-6)
    posed = torch.tensor([0.5, 0.3, 1.0], dtype=F64) @ turn.T + torch.tensor([0.05, -0.02, 0.1], dtype=F64)
    torch.testing.assert_close(posed, torch.tensor([0.653969, 0.374785, 1.005189], dtype=F64), rtol=0, atol=1e-6)
    in_camera = 100 * posed @ frontal_rotation(posed) + torch.tensor([0, 0, 1000.0], dtype=F64)
    u, v, depth = camera(1, posed).project(in_camera[None, None])[0, 0].tolist()
    assert depth / 100 == pytest.approx(8.994811, abs=1e-6)
    assert u == pytest.approx(185.79567, abs=1e-4)
    assert 224 - v == pytest.approx(154.29183, abs=1e-4)
    assert published_landmarks(torch.tensor([[u, v]])).tolist()[0] == pytest.approx([185.79567, 68.70817], abs=1e-4)


def test_decoding_uses_that_rotation_and_camera(toy: FaceDecoder) -> None:
    """The same point as a vertex of a model of one: straight from the formulas, in decimetres, in numpy."""
    draw = np.random.default_rng(0)
    vector = draw.normal(size=(3, 257)) * 0.4
    vector[:, 254:] *= 0.3
    face = toy.decode(torch.tensor(vector))
    model = toy.model
    assert model.albedo_mean is not None and model.albedo_basis is not None
    for row, (a, e, b, angle, light, shift) in enumerate(
        zip(*np.split(vector, np.cumsum([80, 64, 80, 3, 27]), axis=1), strict=True)
    ):
        shape = model.template.double() + torch.einsum("a,avc->vc", torch.tensor(a), model.identity_basis.double())
        shape = (shape + torch.einsum("a,avc->vc", torch.tensor(e), model.expression_basis.double())).numpy() / 100
        (sx, sy, sz), (cx, cy, cz) = np.sin(angle), np.cos(angle)
        x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
        y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
        posed = shape @ (z @ y @ x).T + shift
        np.testing.assert_allclose(face.posed[row].numpy() / 100, posed, rtol=0, atol=1e-6)
        depth = 10 - posed[:, 2]
        u, up = 112 + 1015 * posed[:, 0] / depth, 112 + 1015 * posed[:, 1] / depth
        expected = np.stack([u, 224 - up, 100 * depth], axis=1)
        np.testing.assert_allclose(face.verts_image[row].numpy(), expected, rtol=0, atol=2e-4)
        keypoints = model.contour()[:, 0].tolist()
        np.testing.assert_allclose(face.landmarks[row, :17].numpy(), expected[keypoints, :2], rtol=0, atol=2e-4)
        normals = face.normals[row].numpy()
        h = slow_bands(normals)
        gamma = light.reshape(3, 9) + np.eye(1, 9) * 0.8
        albedo = model.albedo_mean.double() + torch.einsum("a,avc->vc", torch.tensor(b), model.albedo_basis.double())
        np.testing.assert_allclose(face.colours[row].numpy(), albedo.numpy() * (h @ gamma.T), rtol=0, atol=1e-6)


def slow_bands(normals: np.ndarray) -> np.ndarray:
    """The specification's table of nine bands, line by line."""
    x, y, z = normals.T
    a0, a1, a2 = np.pi, 2 * np.pi / np.sqrt(3), 2 * np.pi / np.sqrt(8)
    c0, c1, c2 = 1 / np.sqrt(4 * np.pi), np.sqrt(3) / np.sqrt(4 * np.pi), 3 * np.sqrt(5) / np.sqrt(12 * np.pi)
    rows = [
        a0 * c0 + 0 * x,
        -a1 * c1 * y,
        a1 * c1 * z,
        -a1 * c1 * x,
        a2 * c2 * x * y,
        -a2 * c2 * y * z,
        a2 * c2 * 0.5 / np.sqrt(3) * (3 * z**2 - 1),
        -a2 * c2 * x * z,
        a2 * c2 * 0.5 * (x**2 - y**2),
    ]
    return np.stack(rows, axis=1)


def test_spec_3_light() -> None:
    """Each band by itself at the specification's normal; no coefficients give 0.708982 times the albedo."""
    normal = torch.tensor([[[0.36, 0.48, 0.8]]], dtype=F64)
    bands = [0.886227, -0.850778, 1.417963, -0.638083, 0.419391, -0.931980, 0.644574, -0.698985, -0.122322]
    np.testing.assert_allclose(slow_bands(normal[0].numpy())[0], bands, atol=1e-6)
    white = torch.ones(1, 1, 3, dtype=F64)
    even = shade(normal, torch.zeros(1, 3, 9, dtype=F64), white)
    torch.testing.assert_close(even, torch.full_like(white, 0.708982), rtol=0, atol=1e-6)
    for band, value in enumerate(bands):
        light = torch.zeros(1, 3, 9, dtype=F64)
        light[0, 1, band] = 1.0
        lit = shade(normal, light, white) - even
        torch.testing.assert_close(lit[0, 0], torch.tensor([0, value, 0], dtype=F64), rtol=0, atol=1e-6)
    albedo = torch.tensor([[[1.4, -0.2, 0.5]]], dtype=F64)  # what leaves [0, 1] is not clamped before the light
    torch.testing.assert_close(shade(normal, torch.zeros(1, 3, 9, dtype=F64), albedo), albedo * even)


@pytest.mark.parametrize("which", ["toy", "head"])
def test_spec_4_zero_coefficients_are_the_mean_face_in_the_middle(which: str, request: pytest.FixtureRequest) -> None:
    decoder: FaceDecoder = request.getfixturevalue(which)
    face = decoder.decode(zeros(decoder))
    if which == "toy":
        assert face.verts.mean(dim=1).abs().max() < 1e-4
    points = face.landmarks[0]
    assert bool(((points > 0) & (points < 224)).all())
    from pyface3d.face_models import IBUG68_FLIP

    mirrored = points[list(IBUG68_FLIP)] * torch.tensor([-1.0, 1.0]) + torch.tensor([224.0, 0.0])
    assert (mirrored - points).abs().max() < 2
    eyes, mouth = points[36:48, 1].mean(), points[48:68, 1].mean()
    assert eyes < points[30, 1] < mouth
    assert 0.25 * 224 < mouth - eyes < 0.4 * 224  # of the size of an aligned face


@pytest.mark.parametrize("which", ["toy", "head"])
def test_spec_5_signs_of_the_angles(which: str, request: pytest.FixtureRequest) -> None:
    decoder: FaceDecoder = request.getfixturevalue(which)

    def look(**angles: float) -> tuple[torch.Tensor, torch.Tensor]:
        order = [angles.get(name, 0.0) for name in ("pitch", "yaw", "roll")]
        face = decoder.decode(zeros(decoder, angles=torch.tensor([order], dtype=F64)))
        picture, _ = decoder.render(replace_colours(face))
        columns = torch.arange(224, dtype=F64) + 0.5
        weight = picture[0, ..., 0]
        seen = torch.stack([(weight.sum(0) * columns).sum(), (weight.sum(1) * columns).sum()]) / weight.sum()
        return face.landmarks[0], seen

    def replace_colours(face: PosedFace) -> PosedFace:
        """White about the nose's tip, black elsewhere: where the picture shows the tip."""
        tip = face.verts[:, :, 2] > face.verts[:, :, 2].amax() - 12
        return replace(face, colours=tip[..., None].double().expand(-1, -1, 3))

    start, tip = look()
    assert torch.dist(tip, start[30]) < 15
    right, tip_right = look(yaw=0.3)
    assert right[30, 0] > start[30, 0] + 5 and tip_right[0] > tip[0] + 5
    down, tip_down = look(pitch=0.3)
    assert down[30, 1] > start[30, 1] + 5 and tip_down[1] > tip[1] + 5
    rolled, _ = look(roll=0.3)
    up = start[27] - start[8]
    turned = rolled[27] - rolled[8]
    assert up[1] < 0 and turned[0] < -5  # the way up leans to the left: anticlockwise


def test_spec_6_render_and_projection_agree(toy: FaceDecoder) -> None:
    face = toy.decode(zeros(toy, angles=torch.tensor([[0.1, 0.35, -0.1]], dtype=F64)))
    picture, mask = toy.render(face)
    assert picture.shape == (1, 224, 224, 3) and float(picture.min()) >= 0 and float(picture.max()) <= 1
    assert float(picture[~mask].abs().max()) == 0
    towards = torch.tensor([0, 0, 1000.0], dtype=F64) - face.posed[0]
    front = (face.normals[0] * towards).sum(-1) > 0
    cells = face.verts_image[0, front, :2].floor().long()
    near = torch.nn.functional.max_pool2d(mask.double()[:, None], 3, 1, 1)[0, 0] > 0
    assert near[cells[:, 1], cells[:, 0]].double().mean() >= 0.99
    # A vertex that is seen has its own colour at its pixel, up to the slope of the colours within a pixel.
    fragments = rasterize(face.verts_image, toy.model.topology, 224, 224)
    seen = vertex_visibility(face.verts_image, fragments, toy.model.topology, 1.0)[0] & front
    cells = face.verts_image[0, seen, :2].floor().long()
    inside = mask[0, cells[:, 1], cells[:, 0]]
    there = picture[0, cells[:, 1], cells[:, 0]][inside]
    assert (there - face.colours[0, seen][inside].clamp(0, 1)).abs().quantile(0.95) < 0.02
    larger, more = toy.render(face, 448)
    assert larger.shape == (1, 448, 448, 3)
    assert float(more.double().mean()) == pytest.approx(float(mask.double().mean()), rel=0.02)


def test_landmarks_are_clamped_only_where_published() -> None:
    points = torch.tensor([[-5.0, 100.0], [112.0, 400.0], [300.0, -8.0], [50.5, 60.25]], requires_grad=True)
    found = published_landmarks(points)
    assert found.tolist() == [[0, 99], [112, 223], [223, 0], [50.5, 59.25]]
    found.sum().backward()
    assert points.grad is not None
    assert points.grad.tolist() == [[0, 1], [1, 0], [0, 0], [1, 1]]


def test_gradients_reach_every_coefficient(toy: FaceDecoder) -> None:
    vector = (0.1 * torch.randn(1, 257, generator=torch.Generator().manual_seed(0), dtype=F64)).requires_grad_()
    face = toy.decode(vector)
    picture, _ = toy.render(face, 64)
    (picture.mean() + 1e-3 * face.landmarks.square().mean()).backward()
    assert vector.grad is not None and bool(vector.grad.isfinite().all())
    assert int((vector.grad != 0).sum()) == 257


def test_a_model_without_albedo_is_refused(toy: FaceDecoder) -> None:
    with pytest.raises(InputError, match="has no albedo"):
        FaceDecoder(replace(toy.model, albedo_mean=None, albedo_basis=None))


def test_the_whole_of_a_small_model_is_quick(toy: FaceDecoder, tmp_path: Path) -> None:
    import time

    start = time.process_time()
    vector = 0.3 * torch.randn(4, 257, generator=torch.Generator().manual_seed(1))
    picture, mask = toy.render(toy.decode(vector))
    assert time.process_time() - start < 10
    assert bool(picture.isfinite().all()) and 0.05 < float(mask.double().mean()) < 0.9
