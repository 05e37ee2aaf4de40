"""Outlines: a sheet whose border lies in the picture, and one folded over itself."""

import torch
from antialias_oracle import slow_antialias
from op_case import OpCase, Outputs, Size, Tensors, fragments_of, mesh, random_values, rasterized_sheet, sheet_image

from pyface3d import ops
from pyface3d.ops import Topology


def _inputs(size: Size) -> Tensors:
    return {"image": random_values(7, size.batch, size.height, size.width, 3), **rasterized_sheet(size)}


def _folded(size: Size) -> Tensors:
    """The right third of the sheet turned back over the rest, both sides drawn."""
    verts = sheet_image(size)
    x = verts[..., 0]
    fold = size.width * 0.6
    turned = torch.where(x > fold, 2 * fold - x + 0.1, x)
    verts = torch.stack([turned, verts[..., 1], verts[..., 2] - 3.0 * (x > fold)], -1)
    fragments = ops.rasterize(verts, mesh(size), size.height, size.width, cull="none")
    image = random_values(8, size.batch, size.height, size.width, 2)
    return {"image": image, "verts_image": verts, **fragments._asdict()}


def _call(t: Tensors, topology: Topology) -> Outputs:
    return (ops.antialias(t["image"], fragments_of(t), t["verts_image"], topology),)


def _oracle(t: Tensors, topology: Topology) -> Outputs:
    return (slow_antialias(t["image"], fragments_of(t), t["verts_image"], topology),)


CASES = [
    OpCase(
        "antialias",
        variant,
        inputs,
        _call,
        _oracle,
        ("image", "verts_image"),
        ("image", "verts_image", "face_index", "barycentrics", "depth"),
        needs_faces=True,
    )
    for variant, inputs in (("border", _inputs), ("fold", _folded))
]
