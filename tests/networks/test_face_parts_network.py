"""The part network: shapes at every size, weights in and out, refusals."""

import pytest
import torch

from pyface3d.errors import AssetError, InputError
from pyface3d.io.weights import load_weights
from pyface3d.networks import create_network
from pyface3d.networks.face_parts import FaceParts, face_parts_network
from pyface3d.part_labels import FacePart
from pyface3d.train.export import half_precision
from pyface3d.train.parts.export import write_face_parts

NARROW = {"widths": (8, 8, 8, 8, 16)}


@pytest.fixture(scope="module")
def network() -> FaceParts:
    torch.manual_seed(0)
    return FaceParts(**NARROW).eval()


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 64), (96, 32), (160, 192)])
@torch.no_grad()
def test_answers_every_pixel_of_any_size(network, height, width):
    assert network(torch.rand(2, 3, height, width)).shape == (2, len(FacePart), height, width)


@pytest.mark.parametrize("shape", [(1, 3, 48, 64), (1, 3, 64, 33), (3, 64, 64), (1, 3, 0, 64)])
def test_other_sizes_are_refused(network, shape):
    with pytest.raises(InputError, match="multiples of 32"):
        network(torch.zeros(shape))


@torch.no_grad()
def test_a_shift_by_the_stride_shifts_the_answer(network):
    """Fully convolutional: away from the borders an answer knows nothing of where it is."""
    picture = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(1))
    answer, shifted = network(picture), network(picture.roll((32, 32), (2, 3)))
    inner = slice(240, 272)
    near = answer.roll((32, 32), (2, 3))[..., inner, inner]
    spread = float(answer.std())
    assert (near - shifted[..., inner, inner]).abs().max() < 0.05 * spread


@torch.no_grad()
def test_weights_survive_half_precision_and_the_file(network, tmp_path):
    path = tmp_path / "face_parts.safetensors"
    asset = write_face_parts(path, network.state_dict(), "a test", {"steps": 0})
    assert asset.path.stat().st_size < 16e6
    read = face_parts_network(load_weights("face_parts", tmp_path))
    assert not read.training and not any(p.requires_grad for p in read.parameters())
    assert read.config == network.config
    picture = torch.rand(1, 3, 64, 64)
    share, again = network(picture).softmax(1), read(picture).softmax(1)
    assert (share - again).abs().max() < 0.01
    torch.testing.assert_close(face_parts_network(half_precision(network.state_dict()))(picture), read(picture))


def test_the_file_is_small():
    weights = half_precision(FaceParts().state_dict())
    assert sum(value.numel() * value.element_size() for value in weights.values()) < 16e6


def test_weights_of_another_network_are_refused(network):
    with pytest.raises(AssetError, match="part network"):
        face_parts_network({"outputs.bias": torch.zeros(3)})
    broken = dict(network.state_dict())
    broken["classes.weight"] = broken["classes.weight"][:, :3]
    with pytest.raises(AssetError, match="part network"):
        face_parts_network(broken)


def test_it_is_known_by_name():
    assert isinstance(create_network("face_parts", **NARROW), FaceParts)
