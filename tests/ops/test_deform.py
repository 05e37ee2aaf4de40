"""deform_conv2d beyond the table: ordinary convolutions, borders, what is not finite, bad input."""

import pytest
import torch
from deform_cases import out_size, slow_deform_conv2d
from hypothesis import given, settings
from hypothesis import strategies as st
from op_case import random_values
from torch.nn import functional as F

from pyface3d.ops import deform_conv2d


def zero_offsets(batch, groups, taps, height, width, like):
    return like.new_zeros(batch, 2 * groups * taps, height, width)


def shifted(offset, dy, dx):
    """Every pair moved by (dy, dx)."""
    pair = offset.new_tensor([dy, dx]).repeat(offset.shape[1] // 2)
    return offset + pair[:, None, None]


@pytest.mark.parametrize(
    ("groups", "offset_groups", "kernel", "stride", "padding", "dilation"),
    [
        (1, 1, (3, 3), 1, 1, 1),
        (1, 4, (1, 1), 1, 0, 1),
        (2, 2, (3, 2), (2, 1), (0, 3), 1),
        (4, 1, (2, 5), 1, (4, 2), (2, 1)),
        (8, 8, (3, 3), 2, 2, 2),
    ],
)
def test_zero_offsets_are_an_ordinary_convolution(
    device, dtype, groups, offset_groups, kernel, stride, padding, dilation
):
    x = random_values(0, 2, 8, 9, 11, low=-1).to(device, dtype)
    weight = random_values(1, 8, 8 // groups, *kernel, low=-1).to(device, dtype)
    bias = random_values(2, 8).to(device, dtype)
    expected = F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    offset = zero_offsets(2, offset_groups, kernel[0] * kernel[1], *expected.shape[2:], x)
    found = deform_conv2d(x, offset, weight, bias, stride, padding, dilation)
    torch.testing.assert_close(found, expected)


def test_zero_offsets_and_mask_one_half_are_the_convolution_of_half_the_input(device, dtype):
    """The temporal encoder's alignment before training: 128 channels, 16 offset groups."""
    x = random_values(0, 1, 128, 14, 15, low=-1).to(device, dtype)
    weight = random_values(1, 64, 128, 3, 3, low=-0.03, high=0.03).to(device, dtype)
    mask = torch.full((1, 16 * 9, 14, 15), 0.5, device=device, dtype=dtype)
    found = deform_conv2d(x, zero_offsets(1, 16, 9, 14, 15, x), weight, padding=1, mask=mask)
    torch.testing.assert_close(found, F.conv2d(x / 2, weight, padding=1), rtol=0, atol=3e-5)  # the spec's bound


@settings(max_examples=30, deadline=None)
@given(dy=st.integers(-4, 4), dx=st.integers(-4, 4), seed=st.integers(0, 99))
def test_whole_pixel_flow_is_the_convolution_of_the_shifted_picture(dy, dx, seed):
    """Zeros come in from outside; the pair is (y, x): a mirrored order fails for dy != dx."""
    x = random_values(seed, 1, 4, 10, 12, low=-1)
    weight, bias = random_values(seed + 1, 3, 4, 3, 3, low=-1), random_values(seed + 2, 3)
    far = F.pad(x, (4, 4, 4, 4))
    moved = far[:, :, 4 + dy : 14 + dy, 4 + dx : 16 + dx]
    offset = shifted(zero_offsets(1, 2, 9, 8, 10, x), dy, dx)  # no padding: the shifted picture is what the kernel sees
    torch.testing.assert_close(deform_conv2d(x, offset, weight, bias), F.conv2d(moved, weight, bias))


def test_each_offset_group_moves_its_own_channels(device):
    x = random_values(0, 1, 4, 6, 7).to(device)
    weight = torch.eye(4, dtype=torch.float64, device=device)[:, :, None, None]
    offset = zero_offsets(1, 2, 1, 6, 7, x)
    offset[:, 3] = 2  # x of the second group
    found = deform_conv2d(x, offset, weight)
    assert torch.equal(found[:, :2], x[:, :2])
    assert torch.equal(found[:, 2:, :, :5], x[:, 2:, :, 2:])
    assert not found[:, 2:, :, 5:].any()


def test_each_tap_has_its_own_offset_and_mask(device):
    """A 1 x 2 kernel that adds two samples of one column, half a pixel up and one down, the second doubled."""
    x = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64, device=device).reshape(1, 1, 3, 1)
    weight = x.new_ones(1, 1, 1, 2)
    offset = x.new_zeros(1, 4, 3, 1)
    offset[:, 0], offset[:, 1] = -0.5, 1.0  # first tap stands one column to the left, in the padding
    offset[:, 2], offset[:, 3] = 1.0, 0.0
    mask = x.new_ones(1, 2, 3, 1)
    mask[:, 1] = 2
    found = deform_conv2d(x, offset, weight, padding=(0, 1), stride=(1, 3), mask=mask)
    expected = x.new_tensor([0.5 + 2 * 2.0, 1.5 + 2 * 4.0, 3.0 + 0.0]).reshape(1, 1, 3, 1)
    assert torch.equal(found, expected)


def test_a_sample_less_than_a_pixel_outside_mixes_with_zero(device, dtype):
    x = torch.full((1, 1, 2, 2), 8.0, device=device, dtype=dtype)
    weight = x.new_ones(1, 1, 1, 1)
    places = [(-0.25, 0.0, 6.0), (1.5, 0.0, 4.0), (-0.5, 1.5, 2.0), (-1.0, 0.0, 0.0), (2.0, 1.0, 0.0), (1.0, 1.0, 8.0)]
    for y, x_at, expected in places:
        offset = x.new_zeros(1, 2, 2, 2)
        offset[0, :, 0, 0] = offset.new_tensor([y, x_at])
        assert float(deform_conv2d(x, offset, weight)[0, 0, 0, 0]) == expected


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e30, -1e30])
def test_samples_out_of_reach_are_zero_and_pass_no_gradient_on(device, dtype, bad):
    x = random_values(0, 1, 2, 4, 4).to(device, dtype).requires_grad_()
    weight = random_values(1, 2, 2, 1, 1).to(device, dtype).requires_grad_()
    offset = x.new_zeros(1, 2, 4, 4)
    offset[0, 0, 1, 2] = bad
    offset[0, 1, 3, 0] = bad
    offset = offset.detach().requires_grad_()
    mask = torch.full((1, 1, 4, 4), 0.5, device=device, dtype=dtype, requires_grad=True)
    found = deform_conv2d(x, offset, weight, mask=mask)
    lost = torch.zeros(4, 4, dtype=torch.bool, device=device)
    lost[1, 2] = lost[3, 0] = True
    torch.testing.assert_close(found, F.conv2d(x * 0.5, weight) * ~lost)
    grads = torch.autograd.grad(found.sum(), (x, offset, weight, mask))
    assert all(grad.isfinite().all() for grad in grads)
    of_x, of_offset, _, of_mask = grads
    assert not of_x[..., lost].any()
    assert not of_offset[..., lost].any()
    assert not of_mask[..., lost].any()
    assert of_mask[..., ~lost].all()


def test_a_nan_in_the_picture_stays_where_it_is_mixed_in(device, dtype):
    x = torch.ones(1, 3, 5, 5, device=device, dtype=dtype)
    x[0, 1, 2, 2] = torch.nan
    weight = x.new_ones(1, 3, 3, 3)
    found = deform_conv2d(x, zero_offsets(1, 3, 9, 5, 5, x), weight, padding=1)
    assert torch.equal(found.isnan(), F.conv2d(x, weight, padding=1).isnan())


def test_the_input_is_not_changed_and_strides_do_not_matter(device):
    x = random_values(0, 2, 4, 6, 5).to(device).to(memory_format=torch.channels_last)
    offset = random_values(1, 2, 18, 6, 5, low=-1).to(device)
    weight = random_values(2, 2, 4, 3, 3).to(device)
    before = x.clone()
    found = deform_conv2d(x, offset, weight, padding=1)
    assert torch.equal(x, before)
    assert torch.equal(found, deform_conv2d(x.contiguous(), offset, weight, padding=1))
    assert found.is_contiguous()


@pytest.mark.parametrize("channels", [1, 7, 8, 33, 40])
@pytest.mark.parametrize("outputs", [1, 5, 17])
def test_any_number_of_channels(channels, outputs):
    """Whole vectors, rests, and slices of different widths; more positions than are computed together."""
    x = random_values(0, 1, channels, 12, 11, low=-1).requires_grad_()
    offset = random_values(1, 1, 8, 11, 10, low=-2, high=2).requires_grad_()
    weight = random_values(2, outputs, channels, 2, 2, low=-1).requires_grad_()
    mask = random_values(3, 1, 4, 11, 10).requires_grad_()
    leaves = (x, offset, weight, mask)
    grads = []
    for op in (deform_conv2d, slow_deform_conv2d):
        found = op(x, offset, weight, mask=mask) if op is deform_conv2d else _autograd_twin(x, offset, weight, mask)
        scale = torch.linspace(-1, 1, found.numel(), dtype=torch.float64).reshape(found.shape)
        grads.append((found, *torch.autograd.grad((found * scale).sum(), leaves)))
    for a, b in zip(*grads):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(grads[0][0], slow_deform_conv2d(x.detach(), offset.detach(), weight, mask=mask.detach()))


def _autograd_twin(x, offset, weight, mask):
    """2 x 2 kernel, no padding, one offset group: tensor operations that autograd differentiates by itself."""
    rows, columns = offset.shape[2:]
    padded = F.pad(x, (4, 4, 4, 4))  # the samples of this test reach no further
    r, c = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    result = 0
    for tap in range(4):
        y = r + tap // 2 + offset[0, 2 * tap] + 4
        at_x = c + tap % 2 + offset[0, 2 * tap + 1] + 4
        top, left = y.detach().floor().long(), at_x.detach().floor().long()
        seen = 0
        for i in (0, 1):
            for j in (0, 1):
                near = (1 - (y - top - i).abs()) * (1 - (at_x - left - j).abs())
                seen = seen + near * padded[0, :, top + i, left + j]
        result = result + torch.einsum("oc,chw->ohw", weight[:, :, tap // 2, tap % 2], seen * mask[0, tap])
    return result[None]


@pytest.mark.parametrize(
    ("batch", "channels", "outputs", "height", "width"),
    [(0, 2, 3, 4, 4), (2, 2, 0, 4, 4), (1, 2, 3, 0, 4), (1, 2, 3, 4, 0), (1, 2, 3, 1, 1)],
)
def test_empty_sizes(device, dtype, batch, channels, outputs, height, width):
    """Nothing in, nothing out; the padding of an empty picture is still a place to sample: it gives the bias."""
    x = torch.ones(batch, channels, height, width, device=device, dtype=dtype, requires_grad=True)
    rows, columns = (max(0, out_size(n, 2, 1, 0, 1)) for n in (height, width))
    weight = torch.ones(outputs, channels, 2, 2, device=device, dtype=dtype, requires_grad=True)
    found = deform_conv2d(x, x.new_zeros(batch, 8, rows, columns), weight)
    assert found.shape == (batch, outputs, rows, columns)
    found.sum().backward()
    assert not x.grad.any()
    assert not weight.grad.any()


def test_an_empty_picture_in_its_padding_gives_the_bias(device, dtype):
    x = torch.ones(1, 2, 0, 3, device=device, dtype=dtype)
    bias = torch.tensor([1.0, 2.0], device=device, dtype=dtype)
    found = deform_conv2d(x, x.new_zeros(1, 2, 2, 5), x.new_ones(2, 2, 1, 1), bias, padding=1)
    assert torch.equal(found, bias[:, None, None].expand(1, 2, 2, 5))


def good():
    return {
        "input": torch.zeros(2, 4, 5, 6),
        "offset": torch.zeros(2, 2 * 2 * 9, 5, 6),
        "weight": torch.zeros(3, 4, 3, 3),
        "bias": torch.zeros(3),
        "mask": torch.zeros(2, 2 * 9, 5, 6),
        "padding": 1,
    }


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("input", [1.0], TypeError, "input must be a torch.Tensor, got list"),
        ("input", torch.zeros(2, 4, 5, 6).int(), TypeError, "input must be float32 or float64"),
        ("input", torch.zeros(4, 5, 6), ValueError, r"input must have shape \(B, Cin, H, W\), got \(4, 5, 6\)"),
        ("offset", torch.zeros(2, 36, 5, 6).double(), TypeError, "offset is torch.float64, but input is torch.float32"),
        ("offset", torch.zeros(2, 35, 5, 6), ValueError, r"offset must have shape \(2, 2 G 9, 5, 6\).*got \(2, 35, 5"),
        ("offset", torch.zeros(2, 54, 5, 6), ValueError, "G divides the 4 channels"),
        ("offset", torch.zeros(2, 36, 5, 5), ValueError, r"offset must have shape .*got \(2, 36, 5, 5\)"),
        ("offset", torch.zeros(36), ValueError, "offset must have shape"),
        ("weight", torch.zeros(3, 3, 3, 3), ValueError, "weight must have shape .*groups dividing Cout"),
        ("weight", torch.zeros(3, 2, 3, 3), ValueError, "groups dividing Cout and the 4 channels"),
        ("weight", torch.zeros(3, 4, 0, 3), ValueError, "at least 1 x 1"),
        ("weight", torch.zeros(3, 4, 3), ValueError, "weight must have shape"),
        ("weight", torch.zeros(3, 4, 3, 3, device="meta"), ValueError, "weight is on meta, but input is on cpu"),
        ("bias", torch.zeros(4), ValueError, r"bias must have shape \(3\), got \(4,\)"),
        ("mask", torch.zeros(2, 9, 5, 6), ValueError, r"mask must have shape \(2, 18, 5, 6\), got \(2, 9, 5, 6\)"),
        ("mask", torch.zeros(2, 18, 5, 6).half(), TypeError, "mask must be float32 or float64"),
        ("stride", 0, ValueError, "stride must be an integer of at least 1 or a pair of them, got 0"),
        ("stride", (1, 2, 3), ValueError, "stride must be"),
        ("padding", -1, ValueError, "padding must be an integer of at least 0"),
        ("dilation", 1.5, ValueError, "dilation must be"),
    ],
)
def test_bad_arguments_are_named(name, value, error, message):
    with pytest.raises(error, match=message):
        deform_conv2d(**{**good(), name: value})


def test_the_good_arguments_are_good():
    assert deform_conv2d(**good()).shape == (2, 3, 5, 6)
