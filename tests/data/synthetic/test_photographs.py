"""Cameras: closed forms of exposure and tones, JPEG against Pillow's, samples that do not depend on their batch."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pyface3d.data.synthetic import cameras
from pyface3d.data.synthetic.jpeg import jpeg
from pyface3d.data.synthetic.resampling import KERNELS, enlarge_matrix, gaussian_matrix, separable, shrink_matrix


def streams(stage: int, first: int, count: int) -> list[np.random.Generator]:
    return [np.random.default_rng([3, index, stage]) for index in range(first, first + count)]


def picture(size: int = 64) -> Tensor:
    """(3, S, S) of smooth colours, a disc and some grain."""
    at = torch.linspace(-1, 1, size)
    x, y = at.expand(size, size), at[:, None].expand(size, size)
    smooth = torch.stack([0.5 + 0.4 * x, 0.5 + 0.3 * torch.sin(4 * y), 0.6 - 0.3 * x * y])
    disc = (x.square() + y.square() < 0.3).float()
    grain = 0.05 * torch.randn(3, size, size, generator=torch.Generator().manual_seed(1))
    return (smooth * (1 - 0.5 * disc) + grain).clamp(0, 1)


def decoded(image: Tensor, quality: int, subsample: bool) -> Tensor:
    pixels = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=2 if subsample else 0)
    with Image.open(io.BytesIO(file.getvalue())) as back:
        return torch.from_numpy(np.array(back)).permute(2, 0, 1) / 255


@pytest.mark.parametrize("quality", [15, 40, 50, 75, 95])
@pytest.mark.parametrize("subsample", [False, True])
@pytest.mark.parametrize("size", [64, 50])
def test_jpeg_agrees_with_pillow(quality: int, subsample: bool, size: int):
    image = picture(size)
    ours = jpeg(image[None], torch.tensor([float(quality)]), torch.tensor([subsample]))[0]
    theirs = decoded(image, quality, subsample)
    # Libjpeg computes in whole numbers; where it rounds the other way, a block differs by a step of quantisation. So
    # the bound is on the mean: 1.23 levels measured at the most, where the file itself costs 3.3 to 12.6.
    difference, damage = (ours - theirs).abs().mean() * 255, (image - theirs).abs().mean() * 255
    assert difference < 1.4 and difference < 0.3 * damage


def test_jpeg_treats_each_sample_by_its_own_quality():
    image = picture()[None].expand(3, -1, -1, -1)
    quality, subsample = torch.tensor([15.0, 60.0, 95.0]), torch.tensor([True, False, True])
    together = jpeg(image, quality, subsample)
    alone = torch.cat([jpeg(image[i : i + 1], quality[i : i + 1], subsample[i : i + 1]) for i in range(3)])
    assert torch.equal(together, alone)
    errors = (together - image).square().mean((1, 2, 3))
    assert errors[0] > errors[1] > errors[2]


def test_exposure_doubles_the_light_per_stop():
    image = picture()[None].expand(2, -1, -1, -1)
    gains = torch.tensor([[1.0, 1.0, 1.0], [1.2, 1.0, 0.5]])
    lit = cameras.expose(image, torch.tensor([1.0, -2.0]), gains)
    torch.testing.assert_close(lit[0], 2 * image[0])
    torch.testing.assert_close(lit[1], image[1] / 4 * gains[1][:, None, None])


def test_tone_curve_that_does_nothing_and_its_fixed_points():
    levels = torch.linspace(1e-3, 1, 50).reshape(1, 1, 1, 50).expand(3, 3, 1, 50)
    zero, one = torch.zeros(3), torch.ones(3)
    torch.testing.assert_close(cameras.tone_curve(levels, zero, one, zero, one), levels)
    bent = cameras.tone_curve(levels, torch.tensor([-1.0, 0.5, 1.0]), one, zero, one)
    assert (bent.diff(dim=-1) >= -1e-6).all(), "a curve that falls inverts tones"
    middle = cameras.tone_curve(torch.full((1, 3, 1, 1), 0.5), one[:1], one[:1], zero[:1], one[:1])
    torch.testing.assert_close(middle, torch.full_like(middle, 0.5))


@pytest.mark.parametrize("kernel", range(len(KERNELS)))
def test_resizing_keeps_a_plain_picture_and_the_middle_of_a_ramp(kernel: int):
    which, small = torch.tensor([kernel]), torch.tensor([20.0])
    shrink, enlarge = shrink_matrix(64, small, which), enlarge_matrix(64, small, which)
    there_and_back = (enlarge @ shrink)[0]
    torch.testing.assert_close(there_and_back.sum(1), torch.ones(64))
    ramp = torch.arange(64.0)
    error = (there_and_back @ ramp - ramp)[8:-8]
    steps = kernel <= KERNELS.index("box")  # piecewise constant; "nearest" also picks a pixel half a pixel off
    assert error.abs().max() <= (3.2 / 2 + 0.5 if steps else 0.1)
    assert error.mean().abs() < (0.2 if kernel == 0 else 1e-4), "nothing is shifted"


def test_no_reduction_is_the_identity():
    for kernel in range(4):
        which, small = torch.tensor([kernel]), torch.tensor([32.0])
        torch.testing.assert_close(shrink_matrix(32, small, which)[0], torch.eye(32))
        torch.testing.assert_close(enlarge_matrix(32, small, which)[0], torch.eye(32))


def test_blur_has_the_width_asked_for():
    point = torch.zeros(2, 1, 65, 65)
    point[:, :, 32, 32] = 1
    sigma = torch.tensor([1.0, 3.0])
    spread = separable(point, gaussian_matrix(65, sigma))[:, 0].sum(1)
    variance = (spread * (torch.arange(65.0) - 32).square()).sum(1)
    torch.testing.assert_close(variance, sigma.square(), rtol=1e-3, atol=0)


def test_a_photograph_depends_on_its_own_stream_only():
    scene = torch.stack([picture(), picture().flip(0), picture() * 0.2, picture() * 3] * 4)
    together = cameras.photograph(streams(cameras.STAGE, 0, 16), scene)
    split = torch.cat(
        [cameras.photograph(streams(cameras.STAGE, i, n), scene[i : i + n]) for i, n in ((0, 1), (1, 10), (11, 5))]
    )
    torch.testing.assert_close(together, split, rtol=0, atol=2 / 255)
    same = ((together * 255).round() == (split * 255).round()).float().mean()
    assert same > 0.999, "matrix products may differ in their last bits with the batch; a level of 255 hardly ever"
    assert together.min() >= 0 and together.max() <= 1 and together.isfinite().all()


def test_photographs_differ_and_half_are_near_the_scene():
    scene = picture()[None].expand(200, -1, -1, -1)
    photos = cameras.photograph(streams(cameras.STAGE, 0, 200), scene)

    def detail(images: Tensor) -> Tensor:
        grey = images.mean(1)
        return (grey[:, 1:] - grey[:, :-1]).abs().mean((1, 2))

    kept = detail(photos) / detail(scene)
    assert 0.25 < (kept < 0.5).float().mean() + (kept > 1.6).float().mean() < 0.75
    grey = (photos[:, 0] - photos[:, 2]).abs().mean((1, 2)) < 1e-3
    assert 0.02 < grey.float().mean() < 0.2


def test_empty_batches():
    assert cameras.photograph([], torch.zeros(0, 3, 32, 32)).shape == (0, 3, 32, 32)
