"""The triangle mesh that files are written from and read into: plain numpy arrays, no torch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyface3d.errors import InputError

Array = NDArray[Any]


@dataclass(frozen=True)
class Morphs:
    """Named displacements of a mesh, each meant for a weight in [0, 1].

    Attributes:
        names: K names, each once.
        offsets: what weight 1 adds to ``verts``, (K, V, 3) float32, mm.
        normal_offsets: what weight 1 adds to ``normals`` before they are made unit again, (K, V, 3) float32, or None.
        weights: the weights at which the mesh should be shown first, (K,) float32.
    """

    names: tuple[str, ...]
    offsets: Array
    normal_offsets: Array | None
    weights: Array

    def __post_init__(self) -> None:
        count = len(self.names)
        if len(set(self.names)) != count:
            raise InputError("morph names must differ from each other, got one twice")
        if self.offsets.ndim != 3 or self.offsets.shape[0] != count or self.offsets.shape[2] != 3:
            raise InputError(f"morph offsets must have shape ({count}, V, 3), got {self.offsets.shape}")
        if self.normal_offsets is not None and self.normal_offsets.shape != self.offsets.shape:
            raise InputError(
                f"morph normal_offsets must have shape {self.offsets.shape}, got {self.normal_offsets.shape}"
            )
        if self.weights.shape != (count,):
            raise InputError(f"morph weights must have shape ({count},), got {self.weights.shape}")


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh with everything our files can carry. Arrays are not copied and must not be written to.

    Attributes:
        verts: (V, 3) float32, mm; the frame is whatever the caller chose (frontal or camera).
        faces: (F, 3) int32, corners anticlockwise seen from outside.
        normals: unit, (V, 3) float32, or None.
        colors: sRGB, (V, 3) uint8, or None.
        source: {0 prior, 1 observed, 2 mirrored, 3 recovered}, (V,) uint8, or None.
        confidence: in [0, 1], (V,) float32, or None.
        uvs, uv_faces: texture coordinates (T, 2) float32, v down from the top edge, and their triangles (F, 3) int32;
            both or neither.
        texture: sRGB picture of the UV chart, (Ht, Wt, 3) uint8, or None; needs ``uvs``.
        normal_map: tangent-space normals in the UV chart as glTF has them (`surface_detail.normal_map`), (Hn, Wn, 3)
            uint8, or None; needs ``uvs``.
        morphs: named displacements, or None.

    Raises:
        InputError: naming the array whose shape or indices do not fit.
    """

    verts: Array
    faces: Array
    normals: Array | None = None
    colors: Array | None = None
    source: Array | None = None
    confidence: Array | None = None
    uvs: Array | None = None
    uv_faces: Array | None = None
    texture: Array | None = None
    normal_map: Array | None = None
    morphs: Morphs | None = field(default=None)

    def __post_init__(self) -> None:
        count = len(self.verts)
        for entry in fields(self):
            value = getattr(self, entry.name)
            if value is None or entry.name == "morphs":
                continue
            dtype, shape = _LAYOUT[entry.name]
            wanted = tuple(count if size == "V" else size for size in shape)
            if value.dtype != dtype or value.ndim != len(wanted):
                raise InputError(
                    f"{entry.name} must be {np.dtype(dtype)} with {len(wanted)} axes, got {value.dtype} {value.shape}"
                )
            if any(isinstance(size, int) and size != given for size, given in zip(wanted, value.shape, strict=True)):
                raise InputError(f"{entry.name} must have shape {wanted}, got {value.shape}")
        _check_indices("faces", self.faces, count)
        if (self.uvs is None) != (self.uv_faces is None):
            raise InputError("uvs and uv_faces must be given together, got only one of them")
        if self.uvs is not None and self.uv_faces is not None:
            if self.uv_faces.shape != self.faces.shape:
                raise InputError(f"uv_faces must have shape {self.faces.shape} like faces, got {self.uv_faces.shape}")
            _check_indices("uv_faces", self.uv_faces, len(self.uvs))
        for name in ("texture", "normal_map"):
            if getattr(self, name) is not None and self.uvs is None:
                raise InputError(f"a mesh with a {name} must have uvs")
        if self.morphs is not None and self.morphs.offsets.shape[1] != count:
            raise InputError(f"morphs must move {count} vertices, got {self.morphs.offsets.shape[1]}")

    def split_at_seams(self) -> tuple[Mesh, Array]:
        """The same surface with one texture coordinate per vertex, as glTF wants it.

        Returns:
            The mesh with ``uv_faces`` equal to ``faces``, and for each of its vertices the old vertex it came from,
            (V',) int64. A mesh without ``uvs`` comes back as it is. Vertices that no face uses are dropped when the
            mesh has ``uvs`` (they have no texture coordinate).
        """
        if self.uvs is None or self.uv_faces is None:
            return self, np.arange(len(self.verts))
        pairs = self.faces.reshape(-1).astype(np.int64) * max(len(self.uvs), 1) + self.uv_faces.reshape(-1)
        unique, corners = np.unique(pairs, return_inverse=True)
        origin, uv_index = np.divmod(unique, max(len(self.uvs), 1))
        faces = corners.reshape(-1, 3).astype(np.int32)

        def take(values: Array | None) -> Array | None:
            return None if values is None else values[origin]

        morphs = self.morphs
        if morphs is not None:
            normal_offsets = None if morphs.normal_offsets is None else morphs.normal_offsets[:, origin]
            morphs = Morphs(morphs.names, morphs.offsets[:, origin], normal_offsets, morphs.weights)
        mesh = Mesh(
            verts=self.verts[origin],
            faces=faces,
            normals=take(self.normals),
            colors=take(self.colors),
            source=take(self.source),
            confidence=take(self.confidence),
            uvs=self.uvs[uv_index],
            uv_faces=faces,
            texture=self.texture,
            normal_map=self.normal_map,
            morphs=morphs,
        )
        return mesh, origin


_LAYOUT: dict[str, tuple[Any, tuple[int | str, ...]]] = {
    "verts": (np.float32, ("V", 3)),
    "faces": (np.int32, ("F", 3)),
    "normals": (np.float32, ("V", 3)),
    "colors": (np.uint8, ("V", 3)),
    "source": (np.uint8, ("V",)),
    "confidence": (np.float32, ("V",)),
    "uvs": (np.float32, ("T", 2)),
    "uv_faces": (np.int32, ("F", 3)),
    "texture": (np.uint8, ("Ht", "Wt", 3)),
    "normal_map": (np.uint8, ("Hn", "Wn", 3)),
}


def _check_indices(name: str, faces: Array, limit: int) -> None:
    if faces.size and (int(faces.min()) < 0 or int(faces.max()) >= limit):
        raise InputError(f"{name} must hold indices in [0, {limit}), got {int(faces.min())} to {int(faces.max())}")
