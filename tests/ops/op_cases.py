"""Every public op in one table: what to call it with, a slow twin to compare with, and what it is differentiable in."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import raster_oracles
import surface_oracles
import torch
from torch import Tensor

from pyface3d import ops
from pyface3d.ops import Fragments, Topology

Tensors = dict[str, Tensor]
Outputs = tuple[Tensor, ...]


@dataclass(frozen=True)
class Size:
    """How big the inputs of a case are made."""

    batch: int = 2
    grid: int = 4  # vertices along one side of the mesh
    height: int = 6
    width: int = 7
    texture: int = 5


SMALL = Size()
LARGE = Size(batch=3, grid=80, height=150, width=170, texture=130)  # enough work for every loop to be split


@dataclass(frozen=True)
class OpCase:
    """One way to call one public op.

    Attributes:
        op: name in ``pyface3d.ops.__all__``.
        variant: what is special about this case.
        inputs: tensors by name, made on the CPU in float64 for a size; index tensors keep their type.
        call, oracle: from those tensors and the mesh to the op's outputs; the oracle works in float64, one item at a
            time or with torch operations that can be read at a glance.
        differentiable: the inputs for which ``gradcheck`` must hold.
        batched: the inputs whose first axis is the batch.
        needs_faces: inputs name faces, so the mesh cannot be emptied under them.
    """

    op: str
    variant: str
    inputs: Callable[[Size], Tensors]
    call: Callable[[Tensors, Topology], Outputs]
    oracle: Callable[[Tensors, Topology], Outputs]
    differentiable: tuple[str, ...] = ()
    batched: tuple[str, ...] = ()
    needs_faces: bool = False
    tolerance: dict[torch.dtype, tuple[float, float]] = field(default_factory=dict)  # rtol, atol where not the default

    @property
    def name(self) -> str:
        return f"{self.op}-{self.variant}" if self.variant else self.op


def mesh(size: Size) -> Topology:
    """A bent sheet of grid x grid vertices with a vertex that no face uses and texture coordinates."""
    n = size.grid
    at = np.arange(n * n).reshape(n, n)
    a, b, c, d = (m.reshape(-1) for m in (at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    v, u = np.meshgrid(np.linspace(0.1, 0.85, n), np.linspace(0.05, 0.9, n), indexing="ij")
    uvs = np.concatenate([np.stack([u.ravel(), v.ravel()], 1), [[0.95, 0.95]]])
    return Topology(torch.from_numpy(faces), n * n + 1, uvs=torch.from_numpy(uvs))


def _random(seed: int, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)


def sheet(size: Size) -> Tensor:
    """Positions of ``mesh`` in mm, a different bent sheet in every image."""
    n = size.grid
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n, dtype=torch.float64),) * 2, indexing="ij")
    flat = torch.stack([x, y, torch.zeros_like(x)], -1).reshape(-1, 3)
    verts = torch.cat([flat, torch.zeros(1, 3, dtype=torch.float64)]).expand(size.batch, -1, -1)
    return verts + _random(1, *verts.shape, low=-0.3, high=0.3) / n


def sheet_image(size: Size) -> Tensor:
    """``mesh`` in the image: x px, y px, depth mm; its front, nearly filling the frame."""
    extent = torch.tensor([size.width / 2.2, size.height / 2.2, 0.0], dtype=torch.float64)
    middle = torch.tensor([size.width / 2, size.height / 2, 0.0], dtype=torch.float64)
    depth = _random(2, size.batch, size.grid**2 + 1, 1, low=9.0, high=11.0)
    return torch.cat([(sheet(size) * extent + middle)[..., :2], depth], -1)


def _fragment_tensors(size: Size) -> Tensors:
    """Fragments that no rasteriser has to make: random faces, one pixel in four without."""
    shape = (size.batch, size.height, size.width)
    generator = torch.Generator().manual_seed(3)
    faces = torch.randint(0, mesh(size).num_faces, shape, generator=generator, dtype=torch.int32)
    empty = torch.rand(shape, generator=generator) < 0.25
    weights = _random(4, *shape, 3, low=0.1)
    weights = weights / weights.sum(-1, keepdim=True)
    weights[empty] = 0
    faces[empty] = -1
    depth = _random(5, *shape, low=8.0, high=12.0)
    depth[empty] = 0
    return {"face_index": faces, "barycentrics": weights, "depth": depth}


def _fragments(tensors: Tensors) -> Fragments:
    return Fragments(tensors["face_index"], tensors["barycentrics"], tensors["depth"])


def _rasterized_sheet(size: Size) -> Tensors:
    verts = sheet_image(size)
    return {"verts_image": verts, **ops.rasterize(verts, mesh(size), size.height, size.width)._asdict()}


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
        return {"attributes": _random(6, size.batch, size.grid**2 + 1, 3), **_fragment_tensors(size)}

    return OpCase(
        "interpolate",
        "",
        inputs,
        lambda t, topology: (ops.interpolate(t["attributes"], _fragments(t), topology),),
        lambda t, topology: (raster_oracles.slow_interpolate(t["attributes"], _fragments(t), topology),),
        ("attributes", "barycentrics"),
        ("attributes", "face_index", "barycentrics", "depth"),
        needs_faces=True,
    )


def _visibility_case() -> OpCase:
    return OpCase(
        "vertex_visibility",
        "",
        _rasterized_sheet,
        lambda t, topology: (ops.vertex_visibility(t["verts_image"], _fragments(t), topology, 0.5),),
        lambda t, topology: (raster_oracles.slow_vertex_visibility(t["verts_image"], _fragments(t), topology, 0.5),),
        (),
        ("verts_image", "face_index", "barycentrics", "depth"),
        needs_faces=True,
    )


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
        normals = _random(7, size.batch, size.height, size.width, 3, low=-1.0)
        light = _random(8, size.batch, 9, 3, low=-1.0)
        return {"normals": normals / normals.norm(dim=-1, keepdim=True), "light": light}

    def with_albedo(size: Size) -> Tensors:
        return {**inputs(size), "albedo": _random(9, size.batch, size.height, size.width, 3)}

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


def _texture_cases() -> list[OpCase]:
    def textures(size: Size, shared: bool) -> Tensor:
        return _random(10, 1 if shared else size.batch, size.texture, size.texture + 1, 3)

    def sample(filter: str, wrap: str, shared: bool) -> OpCase:
        def inputs(size: Size) -> Tensors:
            uvs = _random(11, size.batch, size.height, size.width, 2, low=-0.6, high=1.7)
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
            return {"texture": textures(size, shared), **_fragment_tensors(size)}

        fragments = ("face_index", "barycentrics", "depth")
        return OpCase(
            "render_texture",
            f"{filter}-{wrap}" + ("-shared" if shared else ""),
            inputs,
            lambda t, topology: (ops.render_texture(t["texture"], _fragments(t), topology, filter, wrap),),
            lambda t, topology: (
                surface_oracles.slow_render_texture(t["texture"], _fragments(t), topology, filter, wrap),
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
        return _random(12, size.batch, size.height, size.width, 3)

    def with_fragments(size: Size) -> Tensors:
        return {"image": image(size), **_rasterized_sheet(size)}

    def with_vertices(size: Size) -> Tensors:
        seen = _random(13, size.batch, size.grid**2 + 1)
        return {"image": image(size), "verts_image": sheet_image(size), "seen": seen}

    def with_nothing(size: Size) -> Tensors:
        return {"image": image(size), "verts_image": sheet_image(size) * 1.2}  # partly out of the frame

    return [
        case("fragments", with_fragments, _fragments, True),
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


CASES = [
    *_rasterize_cases(),
    _interpolate_case(),
    _visibility_case(),
    *_normals_cases(),
    *_shading_cases(),
    *_texture_cases(),
    _chart_case(),
    *_bake_cases(),
]
