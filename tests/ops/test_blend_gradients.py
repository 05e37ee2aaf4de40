"""blend_gradients beyond the table: answers known by hand, what is not used, loose parts, sizes, errors."""

import numpy as np
import pytest
import torch
from blend_oracles import slow_blend
from hypothesis import given, settings
from hypothesis import strategies as st

from pyface3d.ops import blend_gradients


def relief(height, width, dtype=torch.float64, device="cpu", seed=0):
    """A smooth map in mm with some roughness, (1, H, W)."""
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height, dtype=torch.float64),
        torch.linspace(-1, 1, width, dtype=torch.float64),
        indexing="ij",
    )
    rough = torch.randn(height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    shape = 4 * torch.exp(-3 * (x**2 + y**2)) + 0.3 * torch.sin(9 * x + seed) * torch.cos(8 * y) + 0.02 * rough
    return shape[None].to(device, dtype)


def disc(height, width, radius, device="cpu", at=(0.5, 0.5)):
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((y - at[0] * height) ** 2 + (x - at[1] * width) ** 2 < radius**2)[None].to(device)


def laplacian(change):
    inner = change[..., 1:-1, 1:-1]
    around = change[..., 2:, 1:-1] + change[..., :-2, 1:-1] + change[..., 1:-1, 2:] + change[..., 1:-1, :-2]
    return around - 4 * inner


def grown(mask, pixels):
    return torch.nn.functional.max_pool2d(mask.double(), 2 * pixels + 1, 1, pixels) > 0


def stored_residual(blended, target, donor, mask):
    """Relative residual of the normal equations for a fixed border, one donor, no pull."""
    e = [torch.diff(target, dim=d) for d in (1, 2)]
    g = [torch.diff(donor, dim=d) for d in (1, 2)]
    either = [mask[:, 1:] | mask[:, :-1], mask[:, :, 1:] | mask[:, :, :-1]]
    wanted = [torch.where(m, b, a) for m, a, b in zip(either, e, g)]
    found = [torch.diff(blended, dim=d) for d in (1, 2)]

    def divergence(rows, columns):
        return torch.diff(rows[..., 1:-1], dim=1) + torch.diff(columns[:, 1:-1], dim=2)

    return (divergence(*found) - divergence(*wanted)).norm() / divergence(*(w - a for w, a in zip(wanted, e))).norm()


@pytest.mark.parametrize("border", ["fixed", "free"])
@pytest.mark.parametrize("data_weight", [0.0, 0.01])
def test_the_target_s_own_gradients_give_the_target(device, dtype, border, data_weight):
    target = relief(64, 48, dtype, device)
    blended = blend_gradients(
        target, target, disc(64, 48, 20, device), border=border, data_weight=data_weight, feather_px=3
    )
    assert torch.equal(blended, target)
    nothing = torch.zeros_like(target, dtype=torch.bool)
    assert torch.equal(blend_gradients(target, 0 * target, nothing, border=border, data_weight=data_weight), target)


def test_a_constant_added_to_the_donor_changes_nothing(device, dtype):
    target, donor, mask = relief(40, 50, dtype, device), relief(40, 50, dtype, device, seed=1), disc(40, 50, 12, device)
    plain = blend_gradients(target, donor, mask)
    torch.testing.assert_close(blend_gradients(target, donor + 8, mask), plain, rtol=0, atol=4e-6)  # 8 mm in float32
    assert (plain - target).abs().max() > 0.1


def test_whole_image_with_a_fixed_border_changes_by_a_harmonic_field(device):
    """The published maps: nothing moves on the border, and outside the edit the change is as smooth as can be."""
    target, donor = relief(100, 90, device=device), relief(100, 90, device=device, seed=3)
    mask = disc(100, 90, 20, device, at=(0.4, 0.6))
    blended = blend_gradients(target, donor, mask)
    change = blended - target
    for edge in (change[:, 0], change[:, -1], change[:, :, 0], change[:, :, -1]):
        assert not edge.any()
    outside = ~grown(mask, 1)[:, 1:-1, 1:-1]
    assert change.abs().max() > 0.1
    assert laplacian(change)[outside].abs().max() < 1e-12
    inside = ~grown(~mask, 1)[:, 1:-1, 1:-1]
    assert laplacian(blended - donor)[inside].abs().max() < 1e-12


def test_the_pull_keeps_visible_pixels_where_they_were(device, dtype):
    """mm: an occluder of 4 mm is taken out; 15 pixels further on nothing moves by 0.1 mm."""
    donor, mask = relief(128, 128, dtype, device), disc(128, 128, 24, device)
    target = torch.where(mask, donor + 4, donor + 0.3)
    blended = blend_gradients(target, donor, mask, data_weight=0.01, border="free", feather_px=3)
    assert (blended - target)[~grown(mask, 15)].abs().max() <= 0.1
    torch.testing.assert_close(blended, donor + 0.3, rtol=0, atol=1e-5)


def test_pull_with_a_wrong_donor_fades_within_its_reach(device):
    target, donor = relief(128, 128, device=device), 5 * relief(128, 128, device=device, seed=5)
    mask = disc(128, 128, 25, device)
    with_pull = (blend_gradients(target, donor, mask, data_weight=0.01) - target).abs()
    without = (blend_gradients(target, donor, mask) - target).abs()
    far = ~grown(mask, 15)
    assert with_pull[far].max() <= 0.1 < without[far].max()


def test_residual(device, dtype):
    target, donor, mask = (
        relief(130, 97, dtype, device),
        relief(130, 97, dtype, device, 2),
        disc(130, 97, 30, device),
    )
    iterations = torch.ops.pyface3d.blend_gradients(
        target, donor[:, None], mask.int(), None, None, None, False, 0.0, 0, 1e-8
    )[1]
    assert 1 <= int(iterations) <= 12
    blended = blend_gradients(target, donor, mask)
    # What is stored is rounded: in float32 that is 3 mm * 2^-24 a pixel, against a right-hand side of some 0.05 mm.
    assert stored_residual(blended, target, donor, mask) < (1e-8 if dtype == torch.float64 else 2e-5)


@pytest.mark.parametrize("size", [(33, 33), (128, 128), (512, 512), (37, 701)])
@pytest.mark.parametrize("kind", ["image", "disc", "pinned pixels", "free"])
def test_the_number_of_steps_does_not_grow_with_the_size(size, kind):
    target, donor = relief(*size), relief(*size, seed=2)
    mask = disc(*size, min(size) / 4)
    domain = None
    if kind == "disc":
        domain = disc(*size, 0.47 * min(size))
    if kind == "pinned pixels":
        domain = torch.rand(1, *size, generator=torch.Generator().manual_seed(0)) > 0.01
    arguments = (target, donor[:, None], mask.int(), None, None, domain, kind == "free", 0.0, 0)
    assert int(torch.ops.pyface3d.blend_gradients(*arguments, 1e-8)[1]) <= 13


def test_a_winding_corridor_is_solved_too():
    """The worst domain for coarse grids: a path of one pixel's width and 800 pixels' length."""
    size = 41
    domain = torch.zeros(1, size, size, dtype=torch.bool)
    domain[:, 1:-1:2, 1:-1] = True
    domain[:, 2:-1:4, -2] = domain[:, 4:-1:4, 1] = True
    target, donor = relief(size, size), relief(size, size, seed=4)
    mask = disc(size, size, 12)
    options = {"domain": domain, "border": "free"}
    found = blend_gradients(target, donor, mask, **options)
    torch.testing.assert_close(found, slow_blend(target, donor, mask, **options), rtol=0, atol=1e-9)


def test_two_donors_and_a_membrane(device):
    """Three islands, each exactly its own donor's relief or flat, set on the border of their hole."""
    flat = torch.full((1, 60, 90), 2.0, dtype=torch.float64, device=device)
    hump = [torch.where(disc(60, 90, 8, device, at), 1.0, 0.0).double() for at in ((0.5, 0.2), (0.5, 0.5))]
    labels = torch.zeros(1, 60, 90, dtype=torch.uint8, device=device)
    for k in range(3):
        labels[:, 15:45, 30 * k + 3 : 30 * k + 27] = k + 1
    flat_with_occluder = torch.where(labels > 0, 50.0, flat)
    blended = blend_gradients(flat_with_occluder, torch.stack(hump, 1) + 7, labels)
    torch.testing.assert_close(blended, 2 + hump[0] + hump[1], rtol=0, atol=1e-10)


def test_no_valid_donor_is_a_membrane(device):
    target, mask = relief(50, 50, device=device), disc(50, 50, 15, device)
    valid = torch.zeros_like(mask)
    blended = blend_gradients(
        torch.where(mask, torch.nan, target), relief(50, 50, device=device), mask, donor_valid=valid
    )
    assert laplacian(blended)[mask[:, 1:-1, 1:-1]].abs().max() < 1e-12
    zero = blend_gradients(target, 0 * target, mask)
    torch.testing.assert_close(blended, zero)


def test_scale_multiplies_the_donor(device):
    target, donor, mask = relief(40, 40, device=device), relief(40, 40, device=device, seed=1), disc(40, 40, 12, device)
    found = blend_gradients(target, donor, mask, scale=torch.tensor([1.7], dtype=torch.float64, device=device))
    torch.testing.assert_close(found, blend_gradients(target, 1.7 * donor, mask))


def test_the_feather_ramps_the_gradients(device):
    """A donor that is a slope, a flat target: with a feather of 3 the slope falls by quarters outside the mask."""
    columns = torch.arange(64, dtype=torch.float64, device=device)
    donor = columns.expand(1, 3, 64)
    mask = (columns < 32).expand(1, 3, 64)
    blended = blend_gradients(0 * donor, donor, mask, feather_px=3, border="free")
    slopes = torch.diff(blended[0, 1])
    expected = [1.0] * 32 + [0.75, 0.5, 0.25] + [0.0] * 28
    torch.testing.assert_close(slopes, torch.tensor(expected, dtype=torch.float64, device=device), rtol=0, atol=1e-10)


def test_free_border_without_a_pull_keeps_the_mean_of_every_part(device, dtype):
    target, donor = relief(61, 83, dtype, device), relief(61, 83, dtype, device, seed=2)
    domain = torch.ones_like(target, dtype=torch.bool)
    domain[:, 30] = domain[:, :, 40] = False
    blended = blend_gradients(target, donor, disc(61, 83, 20, device), border="free", domain=domain)
    for rows in (slice(0, 30), slice(31, 61)):
        for columns in (slice(0, 40), slice(41, 83)):
            torch.testing.assert_close(blended[:, rows, columns].mean(), target[:, rows, columns].mean())
    assert torch.equal(blended[~domain], target[~domain])
    assert (blended - target).abs().max() > 0.1


NONSENSE = [torch.nan, torch.inf, -torch.inf]


@pytest.mark.parametrize("value", NONSENSE)
@pytest.mark.parametrize("border", ["fixed", "free"])
def test_what_is_not_used_may_hold_anything(device, dtype, value, border):
    target, donor, mask = relief(44, 36, dtype, device), relief(44, 36, dtype, device, 2), disc(44, 36, 10, device)
    domain = torch.ones_like(mask)
    domain[:, :4] = False
    options = {"domain": domain, "border": border, "data_weight": 0.02}
    clean = blend_gradients(target, donor, mask, **options)
    dirty_target, dirty_donor = target.clone(), donor.clone()
    dirty_target[mask] = value
    dirty_donor[~grown(mask, 1)] = value
    if border == "free":
        dirty_target[:, :4] = value  # across a free border nothing is read
    found = blend_gradients(dirty_target, dirty_donor, mask, **options)
    assert torch.equal(found[domain], clean[domain])
    assert torch.equal(found[~domain].nan_to_num(), dirty_target[~domain].nan_to_num())


@pytest.mark.parametrize("value", NONSENSE)
@pytest.mark.parametrize("border", ["fixed", "free"])
@pytest.mark.parametrize("data_weight", [0.0, 0.1])
def test_what_is_used_and_not_finite_is_left_out(device, value, border, data_weight):
    target, donor, mask = relief(14, 13, device=device), relief(14, 13, device=device, seed=2), disc(14, 13, 3, device)
    target[0, 2, 3] = target[0, 0, 5] = target[0, 12, 12] = value
    donor[0, 6, 6] = value
    options = {"border": border, "data_weight": data_weight, "feather_px": 2}
    found = blend_gradients(target, donor, mask, **options)
    expected = slow_blend(target.cpu(), donor.cpu(), mask.cpu(), **options)
    torch.testing.assert_close(found.cpu().nan_to_num(), expected.nan_to_num(), rtol=0, atol=1e-9)
    assert found[:, 1:-1, 1:-1].isfinite().all()


def test_nothing_finite_at_all(device, dtype):
    nan = torch.full((1, 9, 8), torch.nan, dtype=dtype, device=device)
    mask = disc(9, 8, 3, device)
    assert torch.equal(blend_gradients(nan, nan, mask, border="free"), torch.zeros_like(nan))
    fixed = blend_gradients(nan, nan, mask)
    assert not fixed[:, 1:-1, 1:-1].any() and fixed[:, 0].isnan().all()


def test_huge_and_tiny_values(device):
    target, donor, mask = relief(30, 30, device=device), relief(30, 30, device=device, seed=2), disc(30, 30, 9, device)
    plain = blend_gradients(target, donor, mask)
    for factor in (2.0**800, 2.0**-800):
        torch.testing.assert_close(blend_gradients(target * factor, donor * factor, mask) / factor, plain)


def test_garbage_under_the_mask_is_not_read(device, dtype):
    target, donor, mask = relief(30, 30, dtype, device), relief(30, 30, dtype, device, 2), disc(30, 30, 9, device)
    garbage = torch.where(mask, 1e30, target)
    assert torch.equal(blend_gradients(garbage, donor, mask), blend_gradients(target, donor, mask))


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    seed=st.integers(0, 2**31),
    free=st.booleans(),
    data_weight=st.sampled_from([0.0, 0.01, 3.0]),
    feather_px=st.integers(0, 3),
    filled=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    masked=st.sampled_from([0.0, 0.2, 0.8, 1.0]),
)
def test_any_domain_mask_and_size(height, width, seed, free, data_weight, feather_px, filled, masked):
    rng = np.random.default_rng(seed)
    target, donors = torch.from_numpy(rng.normal(size=(1, height, width))), rng.normal(size=(1, 2, height, width))
    labels = torch.from_numpy(rng.integers(1, 4, target.shape) * (rng.random(target.shape) < masked))
    options = {
        "domain": torch.from_numpy(rng.random(target.shape) < filled),
        "donor_valid": torch.from_numpy(rng.random(donors.shape) < 0.8),
        "border": "free" if free else "fixed",
        "data_weight": data_weight,
        "feather_px": feather_px,
    }
    donors = torch.from_numpy(donors)
    found = blend_gradients(target, donors, labels, **options)
    torch.testing.assert_close(found, slow_blend(target, donors, labels, **options), rtol=0, atol=1e-8)


@pytest.mark.parametrize("shape", [(2, 0, 5), (2, 5, 0), (0, 4, 4), (1, 1, 1), (1, 1, 9), (1, 9, 1), (1, 2, 2)])
@pytest.mark.parametrize("border", ["fixed", "free"])
def test_small_and_empty_maps(device, dtype, shape, border):
    target = torch.arange(np.prod(shape), dtype=dtype, device=device).reshape(shape)
    mask = torch.ones(shape, dtype=torch.bool, device=device)
    blended = blend_gradients(target, -target, mask, border=border)
    assert blended.shape == shape
    if border == "fixed":
        assert torch.equal(blended, target)
    elif target.numel():
        torch.testing.assert_close(blended, 2 * target.mean() - target, rtol=0, atol=1e-6)


def test_one_pixel_to_solve(device, dtype):
    target = relief(5, 5, dtype, device)
    domain = torch.zeros_like(target, dtype=torch.bool)
    domain[0, 2, 2] = True
    blended = blend_gradients(target, 0 * target, torch.ones_like(domain), domain=domain)
    middle = (target[0, 1, 2] + target[0, 3, 2] + target[0, 2, 1] + target[0, 2, 3]) / 4
    torch.testing.assert_close(blended[0, 2, 2], middle)
    assert torch.equal(blended != target, domain)


def test_gradients_flow_only_from_what_was_used(device):
    target = relief(24, 24, device=device).requires_grad_()
    donor, mask = relief(24, 24, device=device, seed=1).requires_grad_(), disc(24, 24, 6, device)
    blended = blend_gradients(target, donor, mask)
    of_target, of_donor = torch.autograd.grad(blended.square().sum(), (target, donor))
    assert not of_target[mask].any()
    assert of_donor[mask].any() and not of_donor[~grown(mask, 1)].any()
    torch.testing.assert_close(of_donor.sum(), torch.zeros_like(of_donor.sum()), rtol=0, atol=1e-9)


def test_a_gradient_that_is_not_finite_shows(device):
    target, mask = relief(20, 20, device=device).requires_grad_(), disc(20, 20, 5, device)
    blended = blend_gradients(target.expand(2, -1, -1), target.detach().expand(2, -1, -1), mask.expand(2, -1, -1))
    weights = torch.ones_like(blended)
    weights[0, 10, 10] = torch.nan
    pair = target.detach().expand(2, -1, -1).clone().requires_grad_()
    blended = blend_gradients(pair, pair.detach(), mask.expand(2, -1, -1))
    (grad,) = torch.autograd.grad(blended, pair, weights)
    assert grad[0].isnan().any() and grad[1].isfinite().all()


@pytest.mark.parametrize("options", [{}, {"border": "free", "feather_px": 2}])
def test_threads_share_a_single_map_without_changing_a_bit(options):
    target, donor, mask = relief(260, 301), relief(260, 301, seed=1), disc(260, 301, 60)
    results, before = [], torch.get_num_threads()
    for count in (1, 2, 3, 8):
        torch.set_num_threads(count)
        leaves = target.clone().requires_grad_(), donor.clone().requires_grad_()
        blended = blend_gradients(*leaves, mask, **options)
        results.append((blended, *torch.autograd.grad(blended.square().sum(), leaves)))
    torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(other, results[0]))


MAP = torch.zeros(2, 6, 7)


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (TypeError, "target must be a torch.Tensor, got list", {"target": [1.0]}),
        (TypeError, "target must be float32 or float64", {"target": MAP.half()}),
        (ValueError, r"target must have shape \(B, H, W\), got \(6, 7\)", {"target": MAP[0]}),
        (
            ValueError,
            r"fewer than 2\^31 pixels an image, got 65536 x 32768",
            {"target": MAP[:1, :1, :1].expand(1, 65536, 32768)},
        ),
        (TypeError, "donor is torch.float64, but target is torch.float32", {"donor": MAP.double()}),
        (ValueError, r"donor must have shape \(2, 6, 7\), got \(2, 6, 8\)", {"donor": torch.zeros(2, 6, 8)}),
        (ValueError, r"donor must have shape \(2, 3, 6, 7\)", {"donor": torch.zeros(1, 3, 6, 7)}),
        (ValueError, r"donor must have shape \(B, H, W\) or \(B, D, H, W\), got \(7,\)", {"donor": torch.zeros(7)}),
        (TypeError, "mask must be a torch.Tensor, got NoneType", {"mask": None}),
        (TypeError, "mask must be bool or integer, got torch.float32", {"mask": MAP}),
        (ValueError, r"mask must have shape \(2, 6, 7\)", {"mask": MAP[:1].bool()}),
        (ValueError, "mask is on meta, but target is on cpu", {"mask": MAP.bool().to("meta")}),
        (TypeError, "donor_valid must be bool, got torch.int32", {"donor_valid": MAP.int()}),
        (ValueError, r"donor_valid must have shape \(2, 6, 7\)", {"donor_valid": MAP[0].bool()}),
        (TypeError, "domain must be bool", {"domain": MAP}),
        (ValueError, r"domain must have shape \(2, 6, 7\)", {"domain": MAP[0].bool()}),
        (TypeError, "scale is torch.float64", {"scale": torch.ones(2).double()}),
        (ValueError, r"scale must have shape \(2,\) or \(2, 1\), got \(3,\)", {"scale": torch.ones(3)}),
        (ValueError, "border must be 'fixed' or 'free', got 'open'", {"border": "open"}),
        (ValueError, "data_weight must be finite and at least 0, got -1", {"data_weight": -1.0}),
        (ValueError, "data_weight must be finite and at least 0, got nan", {"data_weight": float("nan")}),
        (ValueError, r"feather_px must be a whole number in \[0, 4096\], got 1.5", {"feather_px": 1.5}),
        (ValueError, "feather_px must be a whole number", {"feather_px": -1}),
        (ValueError, "tolerance must lie between 0 and 1, got 0", {"tolerance": 0.0}),
    ],
)
def test_wrong_arguments(error, message, arguments):
    with pytest.raises(error, match=message):
        blend_gradients(**{"target": MAP, "donor": MAP, "mask": MAP.bool(), **arguments})
