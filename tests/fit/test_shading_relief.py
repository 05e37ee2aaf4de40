"""Shape from shading as a source of relief: on a posed head, in the square of the landmarks, in any other crop."""

import numpy as np
import pytest
import torch

from pyface3d.detect.crops import Crop, square_crop
from pyface3d.detect.relief import ReliefPrediction
from pyface3d.errors import InputError
from pyface3d.face_models import load_face_model
from pyface3d.fit import shading_relief
from pyface3d.fit.illumination import harmonics
from pyface3d.fit.shading_relief import PosedHead, ShadingRelief
from pyface3d.fit.texture_areas import face_areas
from pyface3d.geometry import FRONTAL, Camera
from pyface3d.io.color import linear_to_srgb
from pyface3d.ops import interpolate, rasterize, vertex_normals

SIZE = 300


@pytest.fixture(scope="module")
def head():
    """The mean head, straight ahead."""
    model = load_face_model("head")
    verts = model.vertices(torch.zeros(1, model.identity_dim), torch.zeros(1, model.expression_dim))[0]
    camera = Camera(torch.tensor([1000.0]), torch.tensor([[SIZE / 2, SIZE / 2]]), SIZE, SIZE)
    aligned = verts @ torch.tensor(FRONTAL).T + torch.tensor([0.0, 0.0, 800.0])
    return PosedHead(aligned, camera, model.topology, face_areas(model))


@pytest.fixture(scope="module")
def points(head):
    model = load_face_model("head")
    marks = model.landmarks("ibug68").points(head.verts_camera[None], model.topology)
    return head.camera.project(marks)[0, :, :2].numpy()


def photo(head, wrinkled=True):
    """The head as matt skin in light from above, with grooves across its forehead, which is 25 mm above the brows; and
    where in the picture the first of them is."""
    shown = rasterize(head.camera.project(head.verts_camera[None]), head.topology, SIZE, SIZE)
    normals = vertex_normals(head.verts_camera[None], head.topology)[0]
    maps = interpolate(torch.cat([head.verts_camera, normals], 1)[None], shown, head.topology)[0]
    y, normal = maps[..., 1], torch.nn.functional.normalize(maps[..., 3:], dim=-1)
    brows = head.verts_camera[head.areas.brows, 1].min()
    phase = (y - brows + 12) * (2 * torch.pi / 9)
    on_forehead = ((y < brows - 4) & (y > brows - 30) & (maps[..., 0].abs() < 35)).float() * wrinkled
    slope = (
        0.4 * (2 * torch.pi / 9) * torch.sin(phase) * on_forehead
    )  # of 0.4 cos, grooves where the cosine is -1, by -y
    tilted = torch.nn.functional.normalize(normal + torch.tensor([0.0, 1.0, 0.0]) * slope[..., None], dim=-1)
    light = torch.zeros(9)
    light[0], light[1], light[2] = 2.6, -2.2, -1.2
    shade = (harmonics(tilted) @ light).clamp_min(0)[..., None] * torch.tensor([0.42, 0.24, 0.17])
    linear = torch.where(shown.mask[0][..., None], shade, torch.tensor(0.02))
    truth = 0.4 * torch.cos(phase) * on_forehead
    return (linear_to_srgb(linear.clamp(0, 1)) * 255).round().byte().numpy(), truth.numpy()


@pytest.fixture(autouse=True)
def without_networks(monkeypatch):
    monkeypatch.setattr(shading_relief, "has_part_network", lambda: False)


def whole() -> Crop:
    return square_crop(np.array([SIZE / 2, SIZE / 2]), SIZE, SIZE)


def test_grooves_of_the_forehead(head, points):
    image, truth = photo(head)
    found = ShadingRelief().predict(image, points, head).over(whole())
    inside = np.abs(truth) > 0.05
    assert np.corrcoef(found[inside], truth[inside])[0, 1] > 0.6
    flat = ShadingRelief().predict(photo(head, wrinkled=False)[0], points, head).relief
    assert float(np.abs(flat).std()) < 0.3 * float(found[inside].std())


def test_none_on_what_is_hidden(head, points):
    from dataclasses import replace

    image, _ = photo(head)
    visible = np.ones((SIZE, SIZE), np.bool_)
    visible[:, SIZE // 2 :] = False
    found = ShadingRelief().predict(image, points, replace(head, visible=visible)).over(whole())
    assert float(np.abs(found[:, SIZE // 2 + 2 :]).max()) < 0.02
    assert float(np.abs(found[:, : SIZE // 2]).max()) > 0.1


def test_wrong_arguments(head, points):
    image, _ = photo(head)
    with pytest.raises(InputError, match="needs the fitted head"):
        ShadingRelief().predict(image, points)
    with pytest.raises(InputError, match="picture of the head's camera"):
        ShadingRelief().predict(image[:-4], points, head)


def test_relief_over_another_crop():
    """A field that splines reproduce exactly, in a crop that is turned, moved and finer."""
    first = square_crop(np.array([100.0, 120.0]), 80, 64, roll=0.2)
    second = square_crop(np.array([96.0, 125.0]), 30, 50, roll=-0.4)

    def field(crop):
        places = np.stack(np.meshgrid(np.arange(crop.width) + 0.5, np.arange(crop.height) + 0.5), -1)
        x, y = np.moveaxis(crop.to_image(places), -1, 0)
        return (0.02 * (x - 100) - 0.03 * (y - 120) + 0.1).astype(np.float32)

    np.testing.assert_allclose(ReliefPrediction(field(first), first).over(second), field(second), atol=2e-3)
    far = ReliefPrediction(field(first), first).over(square_crop(np.array([900.0, 900.0]), 30, 50))
    assert not far.any()
