"""The backbone: TensorFlow's padding, stage shapes, and the published weights at work."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from pyface3d.errors import AssetError, InputError
from pyface3d.networks import create_network
from pyface3d.networks.efficientnet_lite import (
    EfficientNetLite0,
    ImageNetClassifier,
    InvertedResidual,
    SameConv2d,
    convert_imagenet_weights,
)
from pyface3d.train.imagenet import find_imagenet_weights, load_imagenet_trunk


@pytest.fixture(scope="module")
def imagenet() -> Path:
    """The published weight file, from the installed package or PYFACE3D_IMAGENET_WEIGHTS."""
    if "PYFACE3D_IMAGENET_WEIGHTS" in os.environ:
        return Path(os.environ["PYFACE3D_IMAGENET_WEIGHTS"])
    try:
        return find_imagenet_weights()
    except InputError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [7, 8, 9, 12])
def test_padding_is_that_of_tensorflow(kernel, size):
    """SAME: ceil(n / 2) outputs; the window of output i starts at 2 i less the smaller half of the padding."""
    torch.manual_seed(0)
    layer = SameConv2d(2, 3, kernel, stride=2)
    image = torch.randn(1, 2, size, size)
    out = -(-size // 2)
    before = max((out - 1) * 2 + kernel - size, 0) // 2
    padded = torch.zeros(1, 2, 4 * size, 4 * size)
    padded[:, :, before : before + size, before : before + size] = image
    rows = []
    for y in range(out):
        for x in range(out):
            window = padded[0, :, 2 * y : 2 * y + kernel, 2 * x : 2 * x + kernel]
            rows.append((layer.weight * window).sum((1, 2, 3)))
    expected = torch.stack(rows, 1).reshape(1, 3, out, out)
    torch.testing.assert_close(layer(image), expected, atol=1e-5, rtol=1e-5)


def test_norms_in_evaluation_mode_go_into_the_convolutions():
    """The same values and gradients as layer by layer."""
    torch.manual_seed(0)
    block = InvertedResidual(8, 8, 6, 5, 1).double()
    for layer in block.layers:
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.2, 3)
            torch.nn.init.normal_(layer.weight)
            torch.nn.init.normal_(layer.bias)
    block.eval()
    image = torch.randn(2, 8, 9, 9, dtype=torch.float64)
    one_by_one = image
    for layer in block.layers:
        one_by_one = layer(one_by_one)
    found = block(image)
    torch.testing.assert_close(found, image + one_by_one)
    weights = list(block.parameters())
    pull = torch.randn_like(found)
    for a, b in zip(torch.autograd.grad(found, weights, pull), torch.autograd.grad(image + one_by_one, weights, pull)):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("size", [128, 96, 100])
def test_stages_have_the_stated_sizes(size):
    fine, middle, last = EfficientNetLite0().eval()(torch.rand(2, 3, size, size))
    assert fine.shape == (2, 40, -(-size // 8), -(-size // 8))
    assert fine.shape == (2, 40, -(-size // 8), -(-size // 8))
    assert middle.shape == (2, 112, -(-size // 16), -(-size // 16))
    assert last.shape == (2, 320, -(-size // 32), -(-size // 32))


def test_published_stem_is_reproduced(imagenet):
    """The first layer by hand: plain convolution of an image padded right and below, then the affine batch norm."""
    original = torch.load(imagenet, map_location="cpu", weights_only=True)
    trunk = EfficientNetLite0().eval()
    load_imagenet_trunk(trunk, imagenet)
    image = torch.rand(1, 3, 32, 32)
    padded = functional.pad((255 * image - 127) / 128, (0, 1, 0, 1))
    features = functional.conv2d(padded, original["_conv_stem.weight"], stride=2)
    mean, variance = original["_bn0.running_mean"], original["_bn0.running_var"]
    scale = original["_bn0.weight"] / (variance + 1e-3).sqrt()
    expected = ((features - mean[:, None, None]) * scale[:, None, None] + original["_bn0.bias"][:, None, None]).clamp(
        0, 6
    )
    with torch.no_grad():
        found = trunk.stages[0]((image - 127 / 255) / (128 / 255))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


# Indices of the 1000 ImageNet classes.
@pytest.mark.parametrize(
    ("picture", "classes"),
    [("coffee", {967, 968}), ("chelsea", {281, 282, 283, 285}), ("rocket", {657, 744})],
    ids=["a cup of espresso", "a cat", "a rocket"],
)
def test_published_weights_recognise_pictures(imagenet, picture, classes):
    data = pytest.importorskip("skimage.data")
    network = ImageNetClassifier().eval()
    network.load_state_dict(convert_imagenet_weights(torch.load(imagenet, map_location="cpu", weights_only=True)))
    image = torch.from_numpy(np.array(getattr(data, picture)())).permute(2, 0, 1)[None].float() / 255
    side = min(image.shape[2:])
    top, left = (image.shape[2] - side) // 2, (image.shape[3] - side) // 2
    square = image[:, :, top : top + side, left : left + side]
    small = functional.interpolate(square, size=224, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    with torch.no_grad():
        found = network(small).softmax(1)[0]
    assert int(found.argmax()) in classes
    assert float(found[list(classes)].sum()) > 0.2


def test_other_weights_are_refused(imagenet, tmp_path):
    original = torch.load(imagenet, map_location="cpu", weights_only=True)
    del original["_conv_head.weight"]
    with pytest.raises(AssetError, match=r"head\.0\.weight"):
        convert_imagenet_weights(original)
    (tmp_path / "damaged.pth").write_bytes(b"no weights")
    with pytest.raises(InputError, match="cannot read"):
        load_imagenet_trunk(EfficientNetLite0(), tmp_path / "damaged.pth")


def test_networks_are_made_by_name():
    assert isinstance(create_network("efficientnet_lite0"), EfficientNetLite0)
    assert create_network("face_points", size=64).config.size == 64
    with pytest.raises(InputError, match="there is no network 'resnet'"):
        create_network("resnet")
    with pytest.raises(InputError, match="cannot be made"):
        create_network("face_points", width=3)
