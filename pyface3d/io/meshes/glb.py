"""Binary glTF 2.0 (GLB): writer with texture and named morph targets, and a reader of such files.

The model frame (+x right of the picture, +y up, +z out of the face) is glTF's own; only the unit differs: glTF counts
metres. The texture's v axis points down in both. Source: the glTF 2.0 specification, Khronos Group, 2021.
"""

from __future__ import annotations

import json
import os
import struct
from typing import Any

import numpy as np

from pyface3d.errors import InputError
from pyface3d.io.atomic import atomic_file
from pyface3d.io.meshes.mesh import Array, Mesh
from pyface3d.io.pictures import encode_png

MAGIC = 0x46546C67
JSON_CHUNK, BIN_CHUNK = 0x4E4F534A, 0x004E4942
UBYTE, USHORT, UINT, FLOAT = 5121, 5123, 5125, 5126
_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963
_LINEAR, _LINEAR_MIPMAP_LINEAR, _CLAMP = 9729, 9987, 33071
_METRES_PER_MM = np.float32(1e-3)
# A morph's entry below these is not stored (sparse accessors): a micrometre, and a normal that turns by 0.06 degrees.
_LEAST_OFFSET_M = 1e-6
_LEAST_NORMAL_CHANGE = 1e-3


def encode_glb(mesh: Mesh, name: str = "head") -> bytes:
    """The bytes of a GLB file.

    Args:
        mesh: what to write, mm, y up, face towards +z. Vertices are split where the texture has seams. With a
            ``texture`` it becomes the material's base colour, else ``colors`` become vertex colours. A ``normal_map``
            becomes the material's normal texture. ``source`` and ``confidence`` become the application attributes
            ``_SOURCE`` and ``_CONFIDENCE`` (floats).
        name: of the node and mesh.

    Returns:
        One mesh with one primitive. Morph targets carry their names in ``extras.targetNames`` (what three.js,
        Blender, Unity and Unreal read) and are sparse where that is smaller.

    Raises:
        InputError: the mesh has no triangles, which the format cannot say.
    """
    if not len(mesh.faces):
        raise InputError("a mesh must have at least one triangle to become a GLB, got none")
    mesh, _ = mesh.split_at_seams()
    buffer = _Buffer()
    attributes = {"POSITION": buffer.add(mesh.verts * _METRES_PER_MM, _ARRAY_BUFFER, bounds=True)}
    if mesh.normals is not None:
        attributes["NORMAL"] = buffer.add(mesh.normals, _ARRAY_BUFFER)
    if mesh.uvs is not None:
        attributes["TEXCOORD_0"] = buffer.add(mesh.uvs, _ARRAY_BUFFER)
    if mesh.texture is None and mesh.colors is not None:
        attributes["COLOR_0"] = buffer.add(_vertex_colors(mesh.colors), _ARRAY_BUFFER)
    if mesh.source is not None:
        attributes["_SOURCE"] = buffer.add(mesh.source.astype(np.float32), _ARRAY_BUFFER)
    if mesh.confidence is not None:
        attributes["_CONFIDENCE"] = buffer.add(mesh.confidence, _ARRAY_BUFFER)
    index_type = np.uint16 if len(mesh.verts) < 0xFFFF else np.uint32
    primitive: dict[str, Any] = {
        "attributes": attributes,
        "indices": buffer.add(mesh.faces.reshape(-1).astype(index_type), _ELEMENT_ARRAY_BUFFER),
        "material": 0,
        "mode": 4,
    }
    entry: dict[str, Any] = {"name": name, "primitives": [primitive]}
    if mesh.morphs is not None and mesh.morphs.names:
        primitive["targets"] = _targets(mesh, buffer)
        entry["weights"] = [float(value) for value in mesh.morphs.weights]
        entry["extras"] = {"targetNames": list(mesh.morphs.names)}
    surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 0.75}
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "pyface3d"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": name, "mesh": 0}],
        "meshes": [entry],
        # One-sided: what a mouth's bag shows to the outside where an expression pushes it through a lip is its back.
        "materials": [{"name": "face", "pbrMetallicRoughness": surface}],
    }
    given = (("face", mesh.texture), ("relief", mesh.normal_map))
    pictures = {name: picture for name, picture in given if picture is not None}
    names = list(pictures)
    if names:
        document["images"] = [
            {"name": name, "mimeType": "image/png", "bufferView": buffer.append(encode_png(picture))}
            for name, picture in pictures.items()
        ]
        document["samplers"] = [
            {"magFilter": _LINEAR, "minFilter": _LINEAR_MIPMAP_LINEAR, "wrapS": _CLAMP, "wrapT": _CLAMP}
        ]
        document["textures"] = [{"sampler": 0, "source": k} for k in range(len(names))]
    if mesh.texture is not None:
        surface["baseColorTexture"] = {"index": names.index("face")}
    if mesh.normal_map is not None:
        # No tangents are stored: glTF then has its readers take them from the texture coordinates.
        document["materials"][0]["normalTexture"] = {"index": names.index("relief")}
    document["accessors"] = buffer.accessors
    document["bufferViews"] = buffer.views
    document["buffers"] = [{"byteLength": len(buffer.data)}]
    return _pack(document, bytes(buffer.data))


def write_glb(path: str | os.PathLike[str], mesh: Mesh, name: str = "head") -> None:
    """Write ``encode_glb`` to ``path``, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_file(path) as stream:
        stream.write(encode_glb(mesh, name))


class _Buffer:
    """The binary chunk under construction, with the views and accessors into it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def append(self, content: bytes, target: int | None = None) -> int:
        """Store bytes at the next multiple of 4; the index of their view."""
        self.data += b"\0" * (-len(self.data) % 4)
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(content)}
        if target is not None:
            view["target"] = target
        self.data += content
        self.views.append(view)
        return len(self.views) - 1

    def add(self, values: Array, target: int, bounds: bool = False) -> int:
        """Store an array densely; the index of its accessor."""
        code = {"f": FLOAT, "H": USHORT, "I": UINT}[values.dtype.char]
        kind = "SCALAR" if values.ndim == 1 else f"VEC{values.shape[1]}"
        view = self.append(np.ascontiguousarray(values).tobytes(), target)
        accessor: dict[str, Any] = {"bufferView": view, "componentType": code, "count": len(values), "type": kind}
        if bounds:
            accessor["min"] = values.min(axis=0).tolist()
            accessor["max"] = values.max(axis=0).tolist()
        if values.ndim == 2 and code == USHORT:  # colours: 65535 means 1
            accessor["normalized"] = True
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def add_displacement(self, values: Array, least: float, bounds: bool = False) -> int:
        """Store (V, 3) float32 that are mostly zero; entries of a length below ``least`` become zero."""
        rows = np.flatnonzero(np.einsum("vc,vc->v", values, values) >= least**2)
        if len(rows) * 16 >= values.nbytes:  # 4 bytes of index and 12 of value, against 12 a vertex
            kept = np.zeros_like(values)
            kept[rows] = values[rows]
            return self.add(kept, _ARRAY_BUFFER, bounds)
        if not len(rows):
            rows = np.zeros(1, np.int64)  # a sparse accessor may not be empty
            moved = np.zeros((1, 3), np.float32)
        else:
            moved = values[rows]
        index_type, code = (np.uint16, USHORT) if len(values) <= 0xFFFF else (np.uint32, UINT)
        sparse = {
            "count": len(rows),
            "indices": {"bufferView": self.append(rows.astype(index_type).tobytes()), "componentType": code},
            "values": {"bufferView": self.append(moved.tobytes())},
        }
        accessor = {"componentType": FLOAT, "count": len(values), "type": "VEC3", "sparse": sparse}
        if bounds:  # of the unfolded array: most of it is zero
            accessor["min"] = np.minimum(moved.min(axis=0), 0).tolist()
            accessor["max"] = np.maximum(moved.max(axis=0), 0).tolist()
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def _targets(mesh: Mesh, buffer: _Buffer) -> list[dict[str, int]]:
    assert mesh.morphs is not None
    targets = []
    for k in range(len(mesh.morphs.names)):
        offsets = mesh.morphs.offsets[k] * _METRES_PER_MM
        target = {"POSITION": buffer.add_displacement(offsets, _LEAST_OFFSET_M, bounds=True)}
        if mesh.normals is not None and mesh.morphs.normal_offsets is not None:
            target["NORMAL"] = buffer.add_displacement(mesh.morphs.normal_offsets[k], _LEAST_NORMAL_CHANGE)
        targets.append(target)
    return targets


def _vertex_colors(colors: Array) -> Array:
    """glTF wants linear vertex colours; 16 bits and alpha keep them exact enough and aligned."""
    from pyface3d.io.color import srgb_to_linear

    linear = (srgb_to_linear(colors) * 65535).round().astype(np.uint16)
    return np.concatenate([linear, np.full((len(linear), 1), 65535, np.uint16)], axis=1)


def _pack(document: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    length = 12 + 8 + len(text) + 8 + len(binary)
    return b"".join(
        [
            struct.pack("<III", MAGIC, 2, length),
            *(struct.pack("<II", len(text), JSON_CHUNK), text),
            *(struct.pack("<II", len(binary), BIN_CHUNK), binary),
        ]
    )
