"""The landmark network: shapes, ranges, rotations, and weights in half precision."""

import math

import pytest
import torch

from pyface3d.errors import AssetError, InputError
from pyface3d.geometry import FRONTAL
from pyface3d.networks.face_points import (
    LEAST_SIGMA,
    MOST_SIGMA,
    FacePoints,
    face_points_network,
    rotation_from_columns,
)
from pyface3d.train.points.export import stored_points


@pytest.mark.parametrize("size", [64, 128])
def test_shapes_and_ranges(size):
    network = FacePoints(size=size).eval()
    torch.nn.init.normal_(network.outputs.weight, std=5)  # far beyond what training makes
    out = network(torch.rand(3, 3, size, size))
    shapes = {name: tuple(value.shape) for name, value in out._asdict().items()}
    assert shapes == {
        "points": (3, 388, 2),
        "log_sigma": (3, 388),
        "visible": (3, 388),
        "rotation": (3, 3, 3),
        "identity": (3, 70),
        "expression": (3, 52),
        "score": (3,),
    }
    assert math.log(LEAST_SIGMA) - 1e-4 <= out.log_sigma.min() and out.log_sigma.max() <= math.log(MOST_SIGMA) + 1e-4
    assert out.expression.min() >= 0 and out.expression.max() <= 1
    assert out.identity.abs().max() <= 5
    torch.testing.assert_close(out.rotation @ out.rotation.mT, torch.eye(3).expand(3, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(out.rotation), torch.ones(3), atol=1e-5, rtol=0)


def test_a_fresh_network_says_the_mean_face_seen_from_the_front():
    network = FacePoints(size=32, features=16)
    torch.nn.init.zeros_(network.outputs.weight)
    torch.nn.init.zeros_(network.places.heat.weight)
    network.start_from(0.4 + 0.2 * torch.rand(388, 2))
    out = network.eval()(torch.rand(2, 3, 32, 32))
    # A Gaussian on a grid that ends somewhat beyond the crop: its mean is drawn a little inwards.
    torch.testing.assert_close(out.points, network.mean_points.expand(2, -1, -1), atol=0.03, rtol=0)
    torch.testing.assert_close(out.rotation, torch.tensor(FRONTAL).expand(2, 3, 3))
    torch.testing.assert_close(out.log_sigma.exp(), torch.full((2, 388), 0.05), atol=1e-6, rtol=1e-5)


def test_columns_keep_the_first_direction():
    columns = torch.randn(20, 2, 3)
    rotation = rotation_from_columns(columns)
    first = columns[:, 0] + torch.tensor([1.0, 0, 0])
    torch.testing.assert_close(rotation[:, :, 0], first / first.norm(dim=1, keepdim=True))
    second = columns[:, 1] + torch.tensor([0, -1.0, 0])
    assert ((rotation[:, :, 1] * second).sum(1) > 0).all()


def test_half_precision_is_within_a_hundredth_of_a_pixel_and_16_mb():
    torch.manual_seed(0)
    network = FacePoints().eval()
    weights = stored_points(network.state_dict())
    restored = face_points_network(weights)
    image = torch.rand(4, 3, 128, 128)
    with torch.no_grad():
        before, after = network(image), restored(image)
    assert ((before.points - after.points) * 128).abs().max() < 0.01
    assert (before.rotation - after.rotation).abs().max() < 1e-3
    assert sum(value.numel() * value.element_size() for value in weights.values()) < 16e6
    assert not restored.training and not any(parameter.requires_grad for parameter in restored.parameters())


def test_sizes_are_read_off_the_weights():
    network = FacePoints(size=96, features=40)
    assert face_points_network(stored_points(network.state_dict())).config.size == 96


def test_other_weights_and_sizes_are_refused():
    weights = stored_points(FacePoints(size=32, features=8).state_dict())
    del weights["outputs.bias"]
    with pytest.raises(AssetError, match=r"outputs\.bias"):
        face_points_network(weights)
    with pytest.raises(InputError, match="multiple of 32"):
        FacePoints(size=100)
