"""complete_symmetry: half of the sheet seen, with gaps."""

import symmetry_oracles
import torch
from op_case import OpCase, Size, Tensors, random_values, sheet
from torch import Tensor

from pyface3d import ops


def _mirror(size: Size) -> Tensor:
    """Left and right of the sheet exchanged, but for one vertex that points at a partner of another."""
    n = size.grid
    at = torch.arange(n * n).reshape(n, n).flip(1).reshape(-1)
    mirror = torch.cat([at, torch.tensor([n * n])])
    mirror[1] = mirror[n + 1]
    return mirror


def _inputs(size: Size) -> Tensors:
    n = size.grid
    left = (torch.arange(n * n) % n < (n + 1) // 2).double()
    weights = (
        0.2 + 0.7 * torch.cat([left, torch.zeros(1)]) + random_values(21, size.batch, n * n + 1, low=-0.2, high=0.1)
    )
    weights[:, 0] = 1  # the mirrored corner is filled from it
    return {
        "verts": sheet(size),
        "weights": weights,
        "mirror": _mirror(size),
        "reference": sheet(size) + random_values(22, size.batch, n * n + 1, 3, low=-0.1, high=0.1),
    }


def _shared(size: Size) -> Tensors:
    tensors = _inputs(size)
    return {**tensors, "reference": tensors["reference"][0].clone()}


def _case(variant: str, shared: bool = False, **options: bool) -> OpCase:
    return OpCase(
        "complete_symmetry",
        variant,
        _shared if shared else _inputs,
        lambda t, topology: ops.complete_symmetry(*t.values(), topology, **options),
        lambda t, topology: symmetry_oracles.slow_complete_symmetry(*t.values(), topology, **options),
        ("verts", "reference"),
        ("verts", "weights") if shared else ("verts", "weights", "reference"),
    )


CASES = [_case(""), _case("soft", soft=True), _case("reference-borders", shared=True, mirror_borders=False)]
