"""Normals and light."""

from collections.abc import Callable

import surface_oracles
import torch
from op_case import SMALL, OpCase, Size, Tensors, random_values, sheet

from pyface3d import ops


def _normals_cases() -> list[OpCase]:
    return [
        OpCase(
            op,
            "",
            lambda size: {"verts": sheet(size)},
            lambda t, topology, op=op: (getattr(ops, op)(t["verts"], topology),),
            lambda t, topology, op=op: (getattr(surface_oracles, f"slow_{op}")(t["verts"], topology),),
            ("verts",),
            ("verts",),
        )
        for op in ("face_normals", "vertex_normals")
    ]


def _shading_cases() -> list[OpCase]:
    def inputs(size: Size) -> Tensors:
        normals = random_values(7, size.batch, size.height, size.width, 3, low=-1.0)
        light = random_values(8, size.batch, 9, 3, low=-1.0)
        return {"normals": normals / normals.norm(dim=-1, keepdim=True), "light": light}

    def with_albedo(size: Size) -> Tensors:
        return {**inputs(size), "albedo": random_values(9, size.batch, size.height, size.width, 3)}

    def case(convention: str, make: Callable[[Size], Tensors]) -> OpCase:
        names = tuple(make(SMALL))
        return OpCase(
            "shade_spherical_harmonics",
            "-".join((convention, *names[2:])),
            make,
            lambda t, _: (ops.shade_spherical_harmonics(*t.values(), convention=convention),),
            lambda t, _: (surface_oracles.slow_shade(*t.values(), convention=convention),),
            names,
            names,
            tolerance=dict.fromkeys((torch.float32, torch.float64), (1e-5, 5e-6)),  # the oracle has six figures
        )

    return [case("irradiance", inputs), *(case(c, with_albedo) for c in ("irradiance", "deng", "deca", "focus"))]


CASES = [*_normals_cases(), *_shading_cases()]
