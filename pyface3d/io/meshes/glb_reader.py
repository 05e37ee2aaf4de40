"""Reader of binary glTF 2.0 files with one mesh, as pyface3d writes them; every offset and size is checked."""

from __future__ import annotations

import json
import os
import struct
from typing import Any

import numpy as np

from pyface3d.errors import InputError
from pyface3d.io.meshes.files import read_bytes
from pyface3d.io.meshes.glb import BIN_CHUNK, FLOAT, JSON_CHUNK, MAGIC, UBYTE, UINT, USHORT
from pyface3d.io.meshes.mesh import Array, Mesh, Morphs

_COMPONENTS = {5120: "i1", UBYTE: "u1", 5122: "<i2", USHORT: "<u2", UINT: "<u4", FLOAT: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_MAX_JSON = 16 << 20
_MAX_TARGETS = 1024
# Sparse targets unfold to full arrays; a small file may not claim more than this by naming many of them.
_FREE_MORPH_BYTES, _MORPH_BYTES_PER_FILE_BYTE = 32 << 20, 16


def read_glb(path: str | os.PathLike[str]) -> Mesh:
    """Read a GLB file; see `decode_glb`.

    Raises:
        InputError: the file cannot be read, or is not a GLB file this reader can trust.
    """
    return decode_glb(read_bytes(path), str(path))


def decode_glb(data: bytes, name: str = "the GLB data") -> Mesh:
    """The mesh in the bytes of a GLB file, in mm, with its texture and morph targets.

    Args:
        data: the file's bytes: one mesh of one triangle primitive, everything embedded, no compression extension.
            Transformations of nodes are not applied.
        name: what to call the data in an error.

    Raises:
        InputError: naming ``name`` and what is wrong with it.
    """
    document, binary = split_glb(data, name)
    try:
        return _Reader(document, binary).mesh()
    except InputError as error:
        raise InputError(f"{name} is not a GLB file that can be used: {error}") from None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        # A document of valid JSON but wrong types fails wherever it is first used; the file is at fault.
        raise InputError(
            f"{name} is not a GLB file that can be used: its description is malformed ({type(error).__name__}: {error})"
        ) from None


def split_glb(data: bytes, name: str = "the GLB data") -> tuple[dict[str, Any], bytes]:
    """The JSON document and the binary chunk of a GLB file.

    Raises:
        InputError: the container is damaged.
    """

    def damaged(reason: str) -> InputError:
        return InputError(f"{name} is not a GLB file that can be used: {reason}")

    if len(data) < 20 or struct.unpack_from("<I", data)[0] != MAGIC:
        raise damaged("it does not begin with the word 'glTF'")
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise damaged(f"it has version {version}, wanted 2")
    if length > len(data):
        raise damaged(f"it states {length} bytes and has {len(data)}")
    text_length, kind = struct.unpack_from("<II", data, 12)
    if kind != JSON_CHUNK or text_length > min(length - 20, _MAX_JSON):
        raise damaged("its first chunk is not a JSON text within its length and 16 MB")
    try:
        document = json.loads(data[20 : 20 + text_length])
    except (ValueError, RecursionError) as error:
        raise damaged(f"its JSON cannot be read ({error})") from None
    if not isinstance(document, dict):
        raise damaged("its JSON is not an object")
    at = 20 + text_length
    if at + 8 > length:
        return document, b""
    size, kind = struct.unpack_from("<II", data, at)
    if kind != BIN_CHUNK or at + 8 + size > length:
        raise damaged("its second chunk is not a binary chunk within its length")
    return document, data[at + 8 : at + 8 + size]


class _Reader:
    def __init__(self, document: dict[str, Any], binary: bytes) -> None:
        self.document, self.binary = document, binary

    def mesh(self) -> Mesh:
        meshes = self.document.get("meshes", [])
        if len(meshes) != 1 or len(meshes[0]["primitives"]) != 1:
            raise InputError("it must hold one mesh of one primitive")
        primitive = meshes[0]["primitives"][0]
        if primitive.get("mode", 4) != 4 or primitive.get("extensions"):
            raise InputError("its primitive must be plain triangles without extensions")
        attributes = primitive["attributes"]
        position = self.document["accessors"][attributes["POSITION"]]
        if "bufferView" not in position:
            raise InputError("its positions have no data")
        verts = self.array(attributes["POSITION"], 3)
        count = len(verts)
        if not (np.abs(verts) <= 1e6).all():
            raise InputError("its positions must be finite and within ±1000 km")

        def optional(key: str, width: int) -> Array | None:
            return self.array(attributes[key], width, count) if key in attributes else None

        faces = self.array(primitive["indices"], 1) if "indices" in primitive else np.arange(count)
        if len(faces) % 3 or not ((faces >= 0) & (faces < count)).all():
            raise InputError(f"its indices must be triangles over {count} vertices")
        faces = faces.reshape(-1, 3).astype(np.int32)
        uvs, source, confidence = optional("TEXCOORD_0", 2), optional("_SOURCE", 1), optional("_CONFIDENCE", 1)
        normals, colors = optional("NORMAL", 3), None
        if "COLOR_0" in attributes:
            width = _WIDTHS[self.document["accessors"][attributes["COLOR_0"]]["type"]]
            colors = _encoded(self.array(attributes["COLOR_0"], width, count)[:, :3])
        return Mesh(
            verts=verts * np.float32(1e3),
            faces=faces,
            normals=None if normals is None else np.nan_to_num(normals),
            colors=colors,
            source=None if source is None else np.nan_to_num(source).clip(0, 255).astype(np.uint8),
            confidence=None if confidence is None else np.nan_to_num(confidence).clip(0, 1),
            uvs=None if uvs is None else np.nan_to_num(uvs),
            uv_faces=None if uvs is None else faces,
            texture=None if uvs is None else self.picture(self.surface(primitive).get("baseColorTexture"), "texture"),
            normal_map=None
            if uvs is None
            else self.picture(self.material(primitive).get("normalTexture"), "normal map"),
            morphs=self.morphs(meshes[0], primitive, count),
        )

    def array(self, index: int, width: int, count: int | None = None) -> Array:
        """An accessor's values, (N,) or (N, width), normalised integers and floats as float32."""
        accessor = self.document["accessors"][_index(index)]
        size = accessor["count"]
        if not isinstance(size, int) or size < 0 or (count is not None and size != count):
            raise InputError(f"an accessor has {size} entries, wanted {count}")
        if _WIDTHS[accessor["type"]] != width:
            raise InputError(f"an accessor is of type {accessor['type']}, wanted {width} components")
        dtype = np.dtype(_COMPONENTS[accessor["componentType"]])
        if "bufferView" in accessor:
            values = self.view(accessor["bufferView"], accessor.get("byteOffset", 0), dtype, size, width)
        elif count is None:
            raise InputError("an accessor has no data")
        else:
            values = np.zeros((size, width), dtype)
        if "sparse" in accessor:
            sparse = accessor["sparse"]
            number = sparse["count"]
            at, new = sparse["indices"], sparse["values"]
            kind = np.dtype(_COMPONENTS[at["componentType"]])
            rows = self.view(at["bufferView"], at.get("byteOffset", 0), kind, number, 1)[:, 0].astype(np.int64)
            if not ((rows >= 0) & (rows < size)).all():
                raise InputError("a sparse accessor points outside its array")
            values = values.copy()
            values[rows] = self.view(new["bufferView"], new.get("byteOffset", 0), dtype, number, width)
        if accessor.get("normalized") and dtype.kind in "iu":
            values = np.maximum(values.astype(np.float32) / np.iinfo(dtype).max, -1)
        return values[:, 0] if width == 1 else values

    def view(self, index: int, offset: int, dtype: np.dtype[Any], count: int, width: int) -> Array:
        """``count`` rows of ``width`` numbers from a buffer view, (count, width); checked against its bounds."""
        view = self.document["bufferViews"][_index(index)]
        if view.get("buffer", 0) != 0 or "uri" in self.document["buffers"][0]:
            raise InputError("its data must be embedded in its own binary chunk")
        begin, length = view.get("byteOffset", 0), view["byteLength"]
        row = dtype.itemsize * width
        stride = view.get("byteStride", row)
        numbers = (begin, length, offset, count, stride)
        if not all(isinstance(value, int) and value >= 0 for value in numbers) or stride < row:
            raise InputError("a buffer view has sizes that make no sense")
        if begin + length > len(self.binary) or (count and offset + stride * (count - 1) + row > length):
            raise InputError("a buffer view ends behind the data")
        if count == 0:
            return np.zeros((0, width), dtype)
        return np.ndarray((count, width), dtype, self.binary, begin + offset, (stride, dtype.itemsize))

    def material(self, primitive: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = (
            self.document["materials"][_index(primitive["material"])] if "material" in primitive else {}
        )
        return found

    def surface(self, primitive: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.material(primitive).get("pbrMetallicRoughness", {})
        return found

    def picture(self, texture: dict[str, Any] | None, what: str) -> Array | None:
        """The picture that a material's entry names, (H, W, 3) uint8."""
        if texture is None:
            return None
        source = self.document["textures"][_index(texture["index"])]["source"]
        image = self.document["images"][_index(source)]
        length = self.document["bufferViews"][_index(image["bufferView"])]["byteLength"]
        content = self.view(image["bufferView"], 0, np.dtype("u1"), 1, length)
        from pyface3d.io.images import decode_image

        return decode_image(content.tobytes(), f"its {what}")

    def morphs(self, entry: dict[str, Any], primitive: dict[str, Any], count: int) -> Morphs | None:
        targets = primitive.get("targets", [])
        if not targets:
            return None
        unfolded = len(targets) * count * 24
        if len(targets) > _MAX_TARGETS or unfolded > _FREE_MORPH_BYTES + _MORPH_BYTES_PER_FILE_BYTE * len(self.binary):
            raise InputError(f"its {len(targets)} morph targets over {count} vertices are too many for its length")
        extras = entry.get("extras")
        names = extras.get("targetNames") if isinstance(extras, dict) else None
        names = names if names is not None else [f"morph_{k}" for k in range(len(targets))]
        if len(names) != len(targets) or not all(isinstance(name, str) for name in names):
            raise InputError(f"it names {len(names)} of its {len(targets)} morph targets")
        weights = np.array(entry.get("weights", [0.0] * len(targets)), np.float32)
        offsets = np.zeros((len(targets), count, 3), np.float32)
        normals = np.zeros_like(offsets) if any("NORMAL" in target for target in targets) else None
        for k, target in enumerate(targets):
            if "POSITION" in target:
                offsets[k] = np.nan_to_num(self.array(target["POSITION"], 3, count)) * np.float32(1e3)
            if normals is not None and "NORMAL" in target:
                normals[k] = np.nan_to_num(self.array(target["NORMAL"], 3, count))
        return Morphs(tuple(names), offsets, normals, np.nan_to_num(weights))


def _index(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InputError(f"it uses {value!r} as an index")
    return value


def _encoded(linear: Array) -> Array:
    from pyface3d.io.color import linear_to_srgb

    return (linear_to_srgb(np.nan_to_num(linear.astype(np.float32)).clip(0, 1)) * 255).round().astype(np.uint8)
