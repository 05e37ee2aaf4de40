"""The pinhole camera: projection from the definition, inverses, crops, refusals."""

import pytest
import torch

from pyface3d.errors import InputError
from pyface3d.geometry import Camera


def two_cameras() -> Camera:
    return Camera(torch.tensor([500.0, 800.0]), torch.tensor([[320.0, 240.0], [300.0, 250.0]]), 480, 640)


def test_point_on_the_axis_is_the_centre_and_offsets_follow_similar_triangles():
    camera = two_cameras()
    points = torch.tensor([[[0.0, 0.0, 700.0], [70.0, -35.0, 700.0]]]).expand(2, -1, -1)
    image = camera.project(points)
    torch.testing.assert_close(image[:, 0, :2], camera.center)
    torch.testing.assert_close(image[0, 1], torch.tensor([370.0, 215.0, 700.0]))
    torch.testing.assert_close(image[1, 1], torch.tensor([380.0, 210.0, 700.0]))


def test_unproject_inverts_project():
    camera = two_cameras().to(torch.float64)
    points = torch.randn(2, 50, 3, dtype=torch.float64) * 80 + torch.tensor([0, 0, 600.0])
    torch.testing.assert_close(camera.unproject(camera.project(points)), points)


def test_crop_moves_and_scales_pixels_only():
    camera = two_cameras().to(torch.float64)
    points = torch.randn(2, 50, 3, dtype=torch.float64) * 80 + torch.tensor([0, 0, 600.0])
    left, top, scale = torch.tensor([[100.0, 90.0], [50.0, -20.0], [0.5, 2.0]], dtype=torch.float64)
    whole, crop = camera.project(points), camera.cropped(left, top, scale, 224, 224).project(points)
    corner = torch.stack([left, top], -1)[:, None]
    torch.testing.assert_close(crop[..., :2], (whole[..., :2] - corner) * scale[:, None, None])
    torch.testing.assert_close(crop[..., 2], whole[..., 2])


def test_indexing_keeps_the_batch_axis():
    camera = two_cameras()
    assert camera[1].focal.tolist() == [800.0]
    assert camera[-1].focal.tolist() == [800.0]
    assert len(camera[:1]) == 1
    assert Camera.centered(torch.ones(3), 10, 20).center.tolist() == [[10.0, 5.0]] * 3


def test_gradient():
    camera = two_cameras().to(torch.float64)
    points = (torch.randn(2, 5, 3, dtype=torch.float64) * 80 + torch.tensor([0, 0, 600.0])).requires_grad_()
    assert torch.autograd.gradcheck(camera.project, (points,))


@pytest.mark.parametrize(
    ("focal", "center", "size", "message"),
    [
        (torch.tensor([0.0]), torch.zeros(1, 2), (4, 4), "focal must be positive"),
        (torch.tensor([float("nan")]), torch.zeros(1, 2), (4, 4), "focal must be positive"),
        (torch.tensor([1.0]), torch.zeros(2, 2), (4, 4), "center must have shape"),
        (torch.tensor([1.0]), torch.full((1, 2), torch.inf), (4, 4), "center must be finite"),
        (torch.tensor([1.0]), torch.zeros(1, 2), (0, 4), "at least 1 pixel"),
    ],
)
def test_refusals(focal, center, size, message):
    with pytest.raises(InputError, match=message):
        Camera(focal, center, *size)


def test_wrong_batch_is_refused_and_empty_batch_works():
    with pytest.raises(InputError, match="verts_camera must have shape"):
        two_cameras().project(torch.zeros(3, 4, 3))
    empty = Camera(torch.zeros(0), torch.zeros(0, 2), 4, 4)
    assert empty.project(torch.zeros(0, 7, 3)).shape == (0, 7, 3)
