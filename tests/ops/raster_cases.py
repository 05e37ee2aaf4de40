"""Rasterising, interpolation, visibility."""

from collections.abc import Callable

import raster_oracles
from op_case import (
    OpCase,
    Outputs,
    Size,
    Tensors,
    fragment_tensors,
    fragments_of,
    random_values,
    rasterized_sheet,
    sheet_image,
)

from pyface3d import ops
from pyface3d.ops import Topology


def _rasterize_cases() -> list[OpCase]:
    def call(perspective: bool) -> Callable[[Tensors, Topology], Outputs]:
        return lambda t, topology: ops.rasterize(t["verts_image"], topology, 6, 7, perspective=perspective)

    def oracle(perspective: bool) -> Callable[[Tensors, Topology], Outputs]:
        return lambda t, topology: raster_oracles.slow_rasterize(
            t["verts_image"], topology, 6, 7, perspective=perspective
        )[0]

    def inputs(size: Size) -> Tensors:
        return {"verts_image": sheet_image(Size(size.batch, size.grid))}

    return [
        OpCase("rasterize", name, inputs, call(flag), oracle(flag), ("verts_image",), ("verts_image",))
        for name, flag in (("perspective", True), ("affine", False))
    ]


def _interpolate_case() -> OpCase:
    def inputs(size: Size) -> Tensors:
        return {"attributes": random_values(6, size.batch, size.grid**2 + 1, 3), **fragment_tensors(size)}

    return OpCase(
        "interpolate",
        "",
        inputs,
        lambda t, topology: (ops.interpolate(t["attributes"], fragments_of(t), topology),),
        lambda t, topology: (raster_oracles.slow_interpolate(t["attributes"], fragments_of(t), topology),),
        ("attributes", "barycentrics"),
        ("attributes", "face_index", "barycentrics", "depth"),
        needs_faces=True,
    )


def _visibility_case() -> OpCase:
    return OpCase(
        "vertex_visibility",
        "",
        rasterized_sheet,
        lambda t, topology: (ops.vertex_visibility(t["verts_image"], fragments_of(t), topology, 0.5),),
        lambda t, topology: (raster_oracles.slow_vertex_visibility(t["verts_image"], fragments_of(t), topology, 0.5),),
        (),
        ("verts_image", "face_index", "barycentrics", "depth"),
        needs_faces=True,
    )


CASES = [*_rasterize_cases(), _interpolate_case(), _visibility_case()]
