"""PLY (Stanford polygon format): writer.

Source of the format: G. Turk, "The PLY Polygon File Format", 1994.
"""

from __future__ import annotations

import os

import numpy as np

from pyface3d.io.atomic import atomic_file
from pyface3d.io.meshes.mesh import Array, Mesh

_NUMPY_TYPES = {"uchar": "u1", "float": "<f4"}


def encode_ply(mesh: Mesh, *, ascii: bool = False, plain: bool = False) -> bytes:
    """The bytes of a PLY file.

    Args:
        mesh: what to write; ``texture``, ``uvs`` and ``morphs`` have no place in a PLY file and are left out.
        ascii: text instead of little-endian binary. Floats are written so that they read back to the same bits.
        plain: positions and triangles only, as the original Extreme-3D writes.

    Returns:
        A file with the vertex properties ``x y z`` and, for what the mesh has and unless ``plain``,
        ``nx ny nz red green blue source confidence``; triangles are ``vertex_indices``.
    """
    columns: list[tuple[str, str, Array]] = [(name, "float", mesh.verts[:, k]) for k, name in enumerate("xyz")]
    if not plain:
        if mesh.normals is not None:
            columns += [(f"n{name}", "float", mesh.normals[:, k]) for k, name in enumerate("xyz")]
        if mesh.colors is not None:
            columns += [(name, "uchar", mesh.colors[:, k]) for k, name in enumerate(("red", "green", "blue"))]
        if mesh.source is not None:
            columns.append(("source", "uchar", mesh.source))
        if mesh.confidence is not None:
            columns.append(("confidence", "float", mesh.confidence))
    header = ["ply", f"format {'ascii' if ascii else 'binary_little_endian'} 1.0", "comment made by pyface3d"]
    header.append(f"element vertex {len(mesh.verts)}")
    header += [f"property {kind} {name}" for name, kind, _ in columns]
    header += [f"element face {len(mesh.faces)}", "property list uchar int vertex_indices", "end_header", ""]
    if ascii:
        return "\n".join(header).encode("ascii") + _text_body(columns, mesh.faces)
    vertex = np.empty(len(mesh.verts), [(name, _NUMPY_TYPES[kind]) for name, kind, _ in columns])
    for name, _, values in columns:
        vertex[name] = values
    face = np.empty(len(mesh.faces), [("count", "u1"), ("corners", "<i4", 3)])
    face["count"] = 3
    face["corners"] = mesh.faces
    return "\n".join(header).encode("ascii") + vertex.tobytes() + face.tobytes()


def write_ply(path: str | os.PathLike[str], mesh: Mesh, *, ascii: bool = False, plain: bool = False) -> None:
    """Write ``encode_ply`` to ``path``, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_file(path) as stream:
        stream.write(encode_ply(mesh, ascii=ascii, plain=plain))


def _text_body(columns: list[tuple[str, str, Array]], faces: Array) -> bytes:
    # Nine digits give every float32 back to the bit.
    template = " ".join("%.9g" if kind == "float" else "%d" for _, kind, _ in columns)
    lines = [template % row for row in zip(*(values.tolist() for _, _, values in columns), strict=True)]
    lines += [f"3 {a} {b} {c}" for a, b, c in faces.tolist()]
    return ("\n".join(lines) + "\n").encode("ascii") if lines else b""
