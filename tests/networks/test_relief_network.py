"""The relief network: shapes, the flat start, what it does at another size, weights in half precision."""

import pytest
import torch

from pyface3d.errors import AssetError
from pyface3d.networks import create_network
from pyface3d.networks.relief import ReliefNet, relief_network
from pyface3d.train.export import half_precision


def trained(seed=0):
    """A network whose every layer speaks."""
    torch.manual_seed(seed)
    network = ReliefNet()
    torch.nn.init.normal_(network.last.weight, std=0.25)
    network(torch.rand(4, 3, 64, 64))  # statistics of its own
    return network.eval()


@pytest.mark.parametrize("size", [(64, 64), (48, 80), (16, 16)])
def test_shapes(size):
    found = trained()(torch.rand(2, 3, *size))
    assert found.shape == (2, *size) and bool(found.isfinite().all()) and float(found.std()) > 0


def test_a_fresh_network_says_flat():
    assert float(ReliefNet().eval()(torch.rand(1, 3, 32, 32)).abs().max()) == 0.0


def test_it_is_convolutional():
    """Moving the crop by its coarsest step moves the answer, away from the borders."""
    network = trained()
    image = torch.rand(1, 3, 400, 400, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = network(image)
        cut = network(image[..., 16:, 32:])
    middle = slice(180, 200)
    torch.testing.assert_close(whole[:, 196:216, 212:232], cut[:, middle, middle], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(2, 3, 60, 64), (3, 64, 64), (1, 1, 64, 64)])
def test_other_sizes_are_refused(shape):
    with pytest.raises(ValueError, match="multiples of 16"):
        ReliefNet()(torch.rand(shape))


def test_weights_in_half_precision_say_almost_the_same():
    network, image = trained(), torch.rand(1, 3, 64, 64)
    stored = half_precision(network.state_dict())
    assert sum(value.numel() * value.element_size() for value in stored.values()) < 16e6
    with torch.no_grad():
        expected, found = network(image), relief_network(stored)(image)
    assert not relief_network(stored).training
    torch.testing.assert_close(found, expected, atol=0.02 * float(expected.std()), rtol=0)


def test_other_weights_are_refused():
    weights = trained().state_dict()
    with pytest.raises(AssetError, match="relief network"):
        relief_network({**weights, "extra": torch.zeros(1)})
    with pytest.raises(AssetError, match="relief network"):
        relief_network({key: value for key, value in weights.items() if not key.startswith("last")})


def test_it_can_be_made_by_name():
    assert isinstance(create_network("relief"), ReliefNet)
