"""Texture lookups, charts, baking."""

from collections.abc import Callable

import mip_oracles
import surface_oracles
import torch
from op_case import (
    SMALL,
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
from torch import Tensor

from pyface3d import ops
from pyface3d.ops import Topology


def _texture_cases() -> list[OpCase]:
    def textures(size: Size, shared: bool) -> Tensor:
        return random_values(10, 1 if shared else size.batch, size.texture, size.texture + 1, 3)

    def sample(filter: str, wrap: str, shared: bool) -> OpCase:
        def inputs(size: Size) -> Tensors:
            uvs = random_values(11, size.batch, size.height, size.width, 2, low=-0.6, high=1.7)
            return {"texture": textures(size, shared), "uvs": uvs}

        return OpCase(
            "sample_texture",
            f"{filter}-{wrap}" + ("-shared" if shared else ""),
            inputs,
            lambda t, _: (ops.sample_texture(t["texture"], t["uvs"], filter, wrap),),
            lambda t, _: (surface_oracles.slow_sample_texture(t["texture"], t["uvs"], filter, wrap),),
            ("texture", "uvs"),
            ("uvs",) if shared else ("texture", "uvs"),
        )

    def render(filter: str, wrap: str, shared: bool) -> OpCase:
        def inputs(size: Size) -> Tensors:
            return {"texture": textures(size, shared), **fragment_tensors(size)}

        fragments = ("face_index", "barycentrics", "depth")
        return OpCase(
            "render_texture",
            f"{filter}-{wrap}" + ("-shared" if shared else ""),
            inputs,
            lambda t, topology: (ops.render_texture(t["texture"], fragments_of(t), topology, filter, wrap),),
            lambda t, topology: (
                surface_oracles.slow_render_texture(t["texture"], fragments_of(t), topology, filter, wrap),
            ),
            ("texture", "barycentrics"),
            fragments if shared else ("texture", *fragments),
            needs_faces=True,
        )

    modes = [(f, w, False) for f in ("nearest", "bilinear") for w in ("clamp", "repeat")]
    return [make(*m) for make in (sample, render) for m in [*modes, ("bilinear", "clamp", True)]]


def _bake_cases() -> list[OpCase]:
    texture_size = (9, 8)

    def case(variant: str, inputs: Callable[[Size], Tensors], visibility: Callable, perspective: bool) -> OpCase:
        def call(t: Tensors, topology: Topology) -> Outputs:
            seen = visibility(t)
            return ops.bake_texture(
                t["image"], t["verts_image"], topology, texture_size, seen, 0.2, perspective=perspective
            )

        def oracle(t: Tensors, topology: Topology) -> Outputs:
            seen = visibility(t)
            return surface_oracles.slow_bake_texture(
                t["image"], t["verts_image"], topology, texture_size, seen, 0.2, perspective
            )

        names = tuple(inputs(SMALL))
        return OpCase(
            "bake_texture",
            variant,
            inputs,
            call,
            oracle,
            ("image",),
            names,
            needs_faces="face_index" in names,
        )

    def image(size: Size) -> Tensor:
        return random_values(12, size.batch, size.height, size.width, 3)

    def with_fragments(size: Size) -> Tensors:
        return {"image": image(size), **rasterized_sheet(size)}

    def with_vertices(size: Size) -> Tensors:
        seen = random_values(13, size.batch, size.grid**2 + 1)
        return {"image": image(size), "verts_image": sheet_image(size), "seen": seen}

    def with_nothing(size: Size) -> Tensors:
        return {"image": image(size), "verts_image": sheet_image(size) * 1.2}  # partly out of the frame

    return [
        case("fragments", with_fragments, fragments_of, True),
        case("vertices", with_vertices, lambda t: t["seen"], True),
        case("everything-affine", with_nothing, lambda t: None, False),
    ]


def _chart_case() -> OpCase:
    # The mesh is what it reads; one tensor decides dtype and device.
    return OpCase(
        "rasterize_uvs",
        "",
        lambda size: {"like": torch.zeros(0, dtype=torch.float64)},
        lambda t, topology: ops.rasterize_uvs(topology, 11, 13, t["like"].dtype),
        lambda t, topology: surface_oracles.slow_rasterize_uvs(topology, 11, 13),
    )


def _trilinear_cases() -> list[OpCase]:
    def inputs(size: Size, shared: bool) -> Tensors:
        # Steps from a tenth of a texel to more than the texture, on odd and even sides.
        steps = random_values(15, size.batch, size.height, size.width, 2, 2, low=-1)
        scale = 2 ** random_values(16, size.batch, size.height, size.width, 1, 1, low=-3.0, high=2.0)
        return {
            "texture": random_values(10, 1 if shared else size.batch, size.texture, size.texture + 3, 3),
            "uv_footprint": steps * scale,
        }

    def sample(wrap: str, shared: bool) -> OpCase:
        def all_inputs(size: Size) -> Tensors:
            uvs = random_values(11, size.batch, size.height, size.width, 2, low=-0.6, high=1.7)
            return {**inputs(size, shared), "uvs": uvs}

        return OpCase(
            "sample_texture",
            f"trilinear-{wrap}" + ("-shared" if shared else ""),
            all_inputs,
            lambda t, _: (ops.sample_texture(t["texture"], t["uvs"], "trilinear", wrap, t["uv_footprint"]),),
            lambda t, _: (mip_oracles.slow_sample_trilinear(t["texture"], t["uvs"], t["uv_footprint"], wrap),),
            ("texture", "uvs"),
            ("uvs", "uv_footprint") if shared else ("texture", "uvs", "uv_footprint"),
        )

    def render(wrap: str, shared: bool) -> OpCase:
        fragments = ("face_index", "barycentrics", "depth")

        def call(t: Tensors, topology: Topology) -> Outputs:
            drawn = ops.render_texture(t["texture"], fragments_of(t), topology, "trilinear", wrap, t["uv_footprint"])
            return (drawn,)

        return OpCase(
            "render_texture",
            f"trilinear-{wrap}" + ("-shared" if shared else ""),
            lambda size: {**inputs(size, shared), **fragment_tensors(size)},
            call,
            lambda t, topology: (
                mip_oracles.slow_render_trilinear(t["texture"], fragments_of(t), topology, t["uv_footprint"], wrap),
            ),
            ("texture", "barycentrics"),
            (*fragments, "uv_footprint") if shared else ("texture", "uv_footprint", *fragments),
            needs_faces=True,
        )

    return [make(*m) for make in (sample, render) for m in [("clamp", False), ("repeat", False), ("clamp", True)]]


def _footprint_cases() -> list[OpCase]:
    def case(variant: str, perspective: bool) -> OpCase:
        return OpCase(
            "uv_footprint",
            variant,
            rasterized_sheet,
            lambda t, topology: (ops.uv_footprint(t["verts_image"], fragments_of(t), topology, perspective),),
            lambda t, topology: (
                mip_oracles.slow_uv_footprint(t["verts_image"], t["face_index"], topology, perspective),
            ),
            (),
            ("verts_image", "face_index", "barycentrics", "depth"),
            needs_faces=True,
            tolerance={torch.float64: (1e-6, 1e-8)},  # the differences of the slow twin
        )

    return [case("perspective", True), case("affine", False)]


CASES = [*_texture_cases(), *_trilinear_cases(), *_footprint_cases(), _chart_case(), *_bake_cases()]
