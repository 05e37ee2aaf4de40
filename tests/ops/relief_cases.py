"""Relief: bumped normals, displaced vertices, dense meshes, occlusion weights."""

from collections.abc import Callable
from dataclasses import replace

import relief_oracles
import torch
from op_case import OpCase, Outputs, Size, Tensors, fragment_tensors, mesh, random_values, rasterized_sheet, sheet

from pyface3d import ops
from pyface3d.ops import Fragments, Topology


def _bump_cases() -> list[OpCase]:
    def inputs(size: Size) -> Tensors:
        shape = (size.batch, size.height, size.width)
        y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in shape[1:]), indexing="ij")
        flat = 0.6 * torch.stack([x, y, torch.zeros_like(x)], -1)
        facing = torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64)
        return {
            "positions": flat + random_values(30, *shape, 3, low=-0.2, high=0.2),
            "normals": facing + random_values(31, *shape, 3, low=-0.5, high=0.5),  # of any length
            "bump": random_values(32, *shape, low=-0.5, high=0.5),
            "mask": random_values(33, *shape) < 0.8,
        }

    names = tuple(inputs(Size()))
    return [
        OpCase(
            "bump_normals",
            variant,
            inputs,
            lambda t, _, gap=gap: (ops.bump_normals(*t.values(), max_gap_mm=gap),),
            lambda t, _, gap=gap: (relief_oracles.slow_bump_normals(*t.values(), max_gap_mm=gap),),
            names[:3],
            names,
        )
        for variant, gap in (("", None), ("gap", 0.65))
    ]


def _displace_cases() -> list[OpCase]:
    def inputs(size: Size, shared: bool) -> Tensors:
        verts = sheet(size)
        shape = verts.shape[1:] if shared else verts.shape
        direction = random_values(34, *shape, low=-1.0)
        return {"verts": verts, "direction": direction, "amount": random_values(35, *verts.shape[:2], low=-1.0)}

    return [
        OpCase(
            "displace",
            "shared" if shared else "",
            lambda size, shared=shared: inputs(size, shared),
            lambda t, _: (ops.displace(*t.values()),),
            lambda t, _: (relief_oracles.slow_displace(*t.values()),),
            ("verts", "direction", "amount"),
            ("verts", "amount") if shared else ("verts", "direction", "amount"),
        )
        for shared in (False, True)
    ]


def _dense_mesh_cases() -> list[OpCase]:
    def inputs(size: Size) -> Tensors:
        fragments = fragment_tensors(size)
        shape = fragments["depth"].shape
        return {
            "face_index": fragments["face_index"],
            "depth": random_values(36, *shape, low=8.0, high=12.0),
            "bump": random_values(37, *shape, low=-0.5, high=0.5),
            "mask": random_values(38, *shape) < 0.9,
        }

    def call(along: str) -> Callable[[Tensors, Topology], Outputs]:
        def run(t: Tensors, _: Topology) -> Outputs:
            fragments = Fragments(t["face_index"], t["depth"].new_empty(0), t["depth"])
            return ops.dense_mesh(
                fragments, None, t["bump"], t["mask"], focal=4.0, principal_point=(3.0, 2.5), along=along,
                max_depth_gap_mm=2.5,
            )  # fmt: skip

        return run

    def oracle(along: str) -> Callable[[Tensors, Topology], Outputs]:
        return lambda t, _: relief_oracles.slow_dense_mesh(
            t["face_index"] >= 0, t["depth"], t["bump"], t["mask"], 4.0, (3.0, 2.5), along, 2.5
        )

    names = tuple(inputs(Size()))
    return [
        OpCase("dense_mesh", along, inputs, call(along), oracle(along), ("depth", "bump"), names)
        for along in ("axis", "ray")
    ]


def _occlusion_cases() -> list[OpCase]:
    def inputs(size: Size) -> Tensors:
        """In the frontal view the sheet is stretched to the right: pixels fall on those of the posed one there."""
        size = replace(size, height=max(size.height, 20), width=max(size.width, 24))
        posed = rasterized_sheet(size)
        x, y, depth = posed["verts_image"].unbind(-1)
        stretched = torch.stack([x * (0.6 + x / size.width), 1.2 * y, depth], -1)
        frontal = ops.rasterize(stretched, mesh(size), size.height + 5, 2 * size.width)
        return {**posed, "frontal_index": frontal.face_index, "frontal_barycentrics": frontal.barycentrics}

    def arguments(t: Tensors) -> tuple:
        frontal = Fragments(t["frontal_index"], t["frontal_barycentrics"], t["frontal_barycentrics"][..., 0])
        return t["verts_image"], Fragments(t["face_index"], t["barycentrics"], t["depth"]), frontal

    return [
        OpCase(
            "occlusion_weights",
            "compat" if compat else "",
            inputs,
            lambda t, topology, compat=compat: (
                ops.occlusion_weights(*arguments(t), topology, tolerance_mm=0.3, compat=compat),
            ),
            lambda t, topology, compat=compat: (
                relief_oracles.slow_occlusion_weights(*arguments(t), topology, 0.3, compat=compat),
            ),
            (),
            tuple(inputs(Size())),
            needs_faces=True,
        )
        for compat in (False, True)
    ]


CASES = [*_bump_cases(), *_displace_cases(), *_dense_mesh_cases(), *_occlusion_cases()]
