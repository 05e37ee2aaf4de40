"""Linear shape models, against one vertex at a time."""

import itertools

from op_case import OpCase, Size, Tensors, random_values
from torch import Tensor

from pyface3d import ops


def slow_blend_shapes(coefficients: Tensor, basis: Tensor, mean: Tensor) -> Tensor:
    """One vertex of one item, shape by shape."""
    verts = coefficients.new_zeros(len(coefficients), *basis.shape[1:])
    for b, v in itertools.product(range(len(coefficients)), range(basis.shape[1])):
        verts[b, v] = mean[v] if mean.dim() == 2 else mean[b, v]
        for k in range(len(basis)):
            verts[b, v] += coefficients[b, k] * basis[k, v]
    return verts


def _inputs(size: Size) -> Tensors:
    verts = size.grid**2 + 3  # 57 numbers: whole vectors of every width, and a rest
    return {
        "coefficients": random_values(30, size.batch, 7, low=-2.0, high=2.0),
        "basis": random_values(31, 7, verts, 3, low=-1.0),
        "mean": random_values(32, verts, 3, low=-1.0),
    }


def _mean_each(size: Size) -> Tensors:
    shared = _inputs(size)
    return {**shared, "mean": random_values(33, size.batch, *shared["mean"].shape, low=-1.0)}


CASES = [
    OpCase(
        "blend_shapes",
        variant,
        inputs,
        lambda t, _: (ops.blend_shapes(**t),),
        lambda t, _: (slow_blend_shapes(**t),),
        ("coefficients", "basis", "mean"),
        batched,
    )
    for variant, inputs, batched in (
        ("", _inputs, ("coefficients",)),
        ("mean-each", _mean_each, ("coefficients", "mean")),
    )
]
