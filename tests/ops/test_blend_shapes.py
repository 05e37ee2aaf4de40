"""blend_shapes beyond the table: closed forms, blocks and rests of every size, what is not finite, bad input."""

import pytest
import torch
from blend_shapes_cases import slow_blend_shapes
from op_case import random_values

from pyface3d.ops import blend_shapes


def test_no_strength_is_the_mean_and_one_is_mean_plus_shape(device, dtype):
    mean, basis = (random_values(k, *shape).to(device, dtype) for k, shape in ((0, (9, 3)), (1, (4, 9, 3))))
    found = blend_shapes(torch.eye(5, 4, device=device, dtype=dtype).roll(1, 0), basis, mean)
    assert torch.equal(found[0], mean)
    assert torch.equal(found[1:], mean + basis)  # one rounding, as in the sum


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 7, 8, 9, 15, 33])
@pytest.mark.parametrize("verts", [1, 5, 16, 43, 129])
def test_every_block_and_rest(device, batch, verts):
    """Values and gradients against torch, at sizes on both sides of every block of the kernels."""
    leaves = [
        random_values(k, *shape, low=-1).to(device).requires_grad_()
        for k, shape in enumerate([(batch, 11), (11, verts, 3), (verts, 3)])
    ]
    weights = random_values(9, batch, verts, 3, low=-1).to(device)
    results = []
    for op in (blend_shapes, lambda c, basis, mean: mean + torch.einsum("bk,kvx->bvx", c, basis)):
        out = op(*leaves)
        results.append((out, *torch.autograd.grad((out * weights).sum(), leaves)))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


def test_long_dot_products_in_float32():
    """100,000 vertices: the gradient of the coefficients stays at float32's rounding of a float64 sum."""
    basis = random_values(0, 3, 100_000, 3, low=-1)
    coefficients, mean = torch.zeros(2, 3, dtype=torch.float64), torch.zeros(100_000, 3, dtype=torch.float64)
    weights = random_values(1, 2, 100_000, 3, low=-1)
    exact = torch.einsum("bvx,kvx->bk", weights, basis)
    leaf = coefficients.float().requires_grad_()
    blend_shapes(leaf, basis.float(), mean.float()).backward(weights.float())
    # 300,000 terms of variance 1/9: the sum's size is 183; parts of 2048 keep its rounding near 1e-6 of that.
    torch.testing.assert_close(leaf.grad.double(), exact, rtol=0, atol=183 * 2e-6)


@pytest.mark.parametrize("batch", [1, 2, 5, 8, 19])
def test_an_item_has_the_same_bits_alone_and_in_a_batch(dtype, batch):
    coefficients = random_values(0, batch, 30, low=-2, high=2).to(dtype)
    basis, mean = random_values(1, 30, 700, 3).to(dtype), random_values(2, 700, 3).to(dtype)
    whole = blend_shapes(coefficients, basis, mean)
    for b in range(batch):
        assert torch.equal(blend_shapes(coefficients[b : b + 1], basis, mean)[0], whole[b])


@pytest.mark.parametrize("batch", [1, 3, 9])
def test_threads_change_no_bit_of_a_large_model(dtype, batch):
    """Large enough that every loop is shared out; the table's meshes are not."""
    coefficients = random_values(0, batch, 64, low=-1).to(dtype).requires_grad_()
    basis, mean = random_values(1, 64, 24_000, 3).to(dtype), random_values(2, 24_000, 3).to(dtype)
    basis, mean = basis.requires_grad_(), mean.requires_grad_()
    grad = random_values(3, batch, 24_000, 3, low=-1).to(dtype)
    results, before = [], torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            verts = blend_shapes(coefficients, basis, mean)
            results.append((verts, *torch.autograd.grad(verts, (coefficients, basis, mean), grad)))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_one_basis_on_top_of_another_is_both_at_once(device, dtype):
    """In float32 and float64 the chain of additions is the same one."""
    coefficients = random_values(0, 3, 9, low=-1).to(device, dtype)
    basis, mean = random_values(1, 9, 50, 3).to(device, dtype), random_values(2, 50, 3).to(device, dtype)
    first = blend_shapes(coefficients[:, :4].contiguous(), basis[:4], mean)
    both = blend_shapes(coefficients[:, 4:].contiguous(), basis[4:], first)
    assert torch.equal(both, blend_shapes(coefficients, basis, mean))


def test_nan_goes_where_it_is_used(device, dtype):
    basis, mean = torch.zeros(2, 40, 3, device=device, dtype=dtype), torch.zeros(40, 3, device=device, dtype=dtype)
    basis[1, 7, 2] = torch.nan
    mean[20, 0] = torch.inf
    found = blend_shapes(basis.new_ones(3, 2), basis, mean)
    assert found[:, 7, 2].isnan().all()
    assert found[:, 20, 0].isinf().all()
    assert int((~found.isfinite()).sum()) == 6


@pytest.mark.parametrize(("batch", "shapes", "verts"), [(0, 3, 5), (2, 0, 5), (2, 3, 0), (1, 1, 1)])
def test_empty_and_single(device, dtype, batch, shapes, verts):
    leaves = [
        torch.ones(shape, device=device, dtype=dtype, requires_grad=True)
        for shape in ((batch, shapes), (shapes, verts, 3), (verts, 3))
    ]
    found = blend_shapes(*leaves)
    assert torch.equal(found, torch.full((batch, verts, 3), 1.0 + shapes, device=device, dtype=dtype))
    found.sum().backward()
    assert torch.equal(leaves[0].grad, torch.full_like(leaves[0], 3.0 * verts))
    assert torch.equal(leaves[1].grad, torch.full_like(leaves[1], float(batch)))
    assert torch.equal(leaves[2].grad, torch.full_like(leaves[2], float(batch)))


def test_a_view_of_a_basis_is_as_good_as_its_copy():
    basis, mean = random_values(0, 6, 8, 3), random_values(1, 8, 3)
    coefficients = random_values(2, 2, 3)
    torch.testing.assert_close(
        blend_shapes(coefficients, basis[::2], mean), slow_blend_shapes(coefficients, basis[::2].clone(), mean)
    )


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("coefficients", [1.0], TypeError, "coefficients must be a torch.Tensor, got list"),
        ("coefficients", torch.zeros(2, 4).half(), TypeError, "coefficients must be float32 or float64"),
        ("coefficients", torch.zeros(4), ValueError, r"coefficients must have shape \(B, K\), got \(4,\)"),
        ("basis", torch.zeros(3, 5, 3), ValueError, r"basis must have shape \(4, V, 3\), got \(3, 5, 3\)"),
        ("basis", torch.zeros(4, 5, 2), ValueError, r"basis must have shape \(4, V, 3\), got \(4, 5, 2\)"),
        ("basis", torch.zeros(4, 5, 3).double(), TypeError, "basis is torch.float64, but coefficients is"),
        ("mean", torch.zeros(4, 3), ValueError, r"mean must have shape \(5, 3\) or \(2, 5, 3\), got \(1, 4, 3\)"),
        ("mean", torch.zeros(3, 5, 3), ValueError, r"or \(2, 5, 3\), got \(3, 5, 3\)"),
        ("mean", torch.zeros(5, 3, device="meta"), ValueError, "mean is on meta, but coefficients is on cpu"),
    ],
)
def test_bad_arguments_are_named(name, value, error, message):
    good = {"coefficients": torch.zeros(2, 4), "basis": torch.zeros(4, 5, 3), "mean": torch.zeros(5, 3)}
    assert blend_shapes(**good).shape == (2, 5, 3)
    with pytest.raises(error, match=message):
        blend_shapes(**{**good, name: value})
