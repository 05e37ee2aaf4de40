"""Blending by gradients."""

from collections.abc import Callable
from typing import Any

import torch
from blend_oracles import slow_blend
from op_case import OpCase, Outputs, Size, Tensors, random_values
from torch import Tensor

from pyface3d import ops


def _maps(size: Size, donors: int) -> tuple[Tensor, Tensor]:
    shape = (size.batch, size.height, size.width)
    return random_values(20, *shape, high=3.0), random_values(21, shape[0], donors, *shape[1:], high=2.0)


def _patch(size: Size) -> Tensor:
    """A mask over the middle, another in every image."""
    y, x = torch.meshgrid(torch.arange(size.height), torch.arange(size.width), indexing="ij")
    shift = torch.arange(size.batch)[:, None, None]
    return (y * 3 >= size.height) & (y * 4 < 3 * size.height) & (x >= 2 + shift) & (x * 4 < 3 * size.width)


def _fixed_inputs(size: Size) -> Tensors:
    target, donor = _maps(size, 1)
    return {"target": target, "donor": donor[:, 0], "mask": _patch(size).int()}


def _all_inputs(size: Size) -> Tensors:
    """Two donors, one partly not valid, factors, a domain with holes, a feather, and NaN where nothing is read."""
    target, donor = _maps(size, 2)
    mask = _patch(size).int()
    mask[:, size.height // 2 :] *= 2
    domain = random_values(24, *mask.shape) > 0.2
    target[(mask > 0) & domain] = torch.nan
    valid = (random_values(22, *donor.shape) > 0.15).double()
    donor[valid < 0.5] = torch.nan
    return {
        "target": target,
        "donor": donor,
        "mask": mask,
        "donor_valid": valid,
        "scale": random_values(23, size.batch, 2, low=0.5, high=2.0),
        "domain": domain.double(),
    }


def _loose_inputs(size: Size) -> Tensors:
    """Islands that nothing ties to a value."""
    return {**_fixed_inputs(size), "domain": (random_values(25, *_patch(size).shape) > 0.4).double()}


def _case(variant: str, inputs: Callable[[Size], Tensors], differentiable: tuple[str, ...], **options: Any) -> OpCase:
    flags = ("donor_valid", "domain")  # floating in the table, because an op's tensors are made strided by a sum

    def arguments(t: Tensors) -> Tensors:
        return {name: value > 0.5 if name in flags else value for name, value in t.items()}

    def call(t: Tensors, _) -> Outputs:
        return (ops.blend_gradients(**arguments(t), **options),)

    def oracle(t: Tensors, _) -> Outputs:
        return (slow_blend(**arguments(t), **options),)

    names = tuple(inputs(Size()))
    return OpCase("blend_gradients", variant, inputs, call, oracle, differentiable, names)


CASES = [
    _case("fixed", _fixed_inputs, ("target", "donor")),
    _case("everything", _all_inputs, ("donor",), border="free", data_weight=0.05, feather_px=2),
    _case("loose", _loose_inputs, ("target", "donor"), border="free"),
]
