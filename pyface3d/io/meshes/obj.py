"""Wavefront OBJ with its material (MTL) and texture (PNG): writer and reader.

The texture's v axis points down here and up in OBJ files: it is turned (``1 - v``) in this file and nowhere else.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from pyface3d.errors import InputError
from pyface3d.io.atomic import atomic_file
from pyface3d.io.meshes.files import read_bytes
from pyface3d.io.meshes.mesh import Array, Mesh
from pyface3d.io.pictures import encode_png

_MAX_TEXT = 256 << 20
_MAX_COORDINATE = 1e9  # mm, as for PLY


def encode_obj(mesh: Mesh, stem: str) -> dict[str, bytes]:
    """The files of an OBJ export by name: ``stem.obj``, and with a texture ``stem.mtl`` and ``stem.png``.

    Positions keep the unit of the mesh (mm). ``source``, ``confidence`` and ``morphs`` have no place in the format.
    """
    lines = ["# made by pyface3d; millimetres"]
    textured = mesh.texture is not None
    if textured:
        lines += [f"mtllib {stem}.mtl", "usemtl face"]
    lines += [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in mesh.verts.tolist()]
    corner = "%d"
    columns = [mesh.faces]
    if mesh.uvs is not None and mesh.uv_faces is not None:
        lines += [f"vt {u:.9g} {1 - v:.9g}" for u, v in mesh.uvs.tolist()]
        columns.append(mesh.uv_faces)
        corner += "/%d"
    if mesh.normals is not None:
        lines += [f"vn {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.normals.tolist()]
        columns.append(mesh.faces)
        corner += "/%d" if mesh.uvs is not None else "//%d"
    template = "f " + " ".join([corner] * 3)
    corners = np.stack(columns, axis=2).reshape(len(mesh.faces), -1) + 1
    lines += [template % tuple(row) for row in corners.tolist()]
    files = {f"{stem}.obj": ("\n".join(lines) + "\n").encode()}
    if mesh.texture is not None:
        material = f"newmtl face\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {stem}.png\n"
        files[f"{stem}.mtl"] = material.encode()
        files[f"{stem}.png"] = encode_png(mesh.texture)
    return files


def write_obj(path: str | os.PathLike[str], mesh: Mesh) -> list[Path]:
    """Write ``path`` (which must end in ``.obj``) and beside it the material and texture; each whole or not at all.

    Returns:
        The paths of the files written, the OBJ last.

    Raises:
        InputError: ``path`` does not end in ``.obj``.
        OutputError: a file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".obj":
        raise InputError(f"path must end in .obj, got {path}")
    written = []
    for name, data in reversed(encode_obj(mesh, path.stem).items()):
        target = path if name.endswith(".obj") else path.with_name(name)
        with atomic_file(target) as stream:
            stream.write(data)
        written.append(target)
    return written


def read_obj(path: str | os.PathLike[str]) -> Mesh:
    """Read an OBJ file, with the colour texture of the first material that names one (a picture in the same folder).

    Polygons become fans of triangles; groups, lines and curves are skipped; a missing texture is left out.

    Raises:
        InputError: the file cannot be read or is not an OBJ file this reader can trust.
    """
    path = Path(path)
    mesh, libraries = decode_obj(read_bytes(path, _MAX_TEXT), str(path))
    texture = None
    if mesh.uvs is not None:
        for library in libraries:
            texture = _texture(path.parent, library)
            if texture is not None:
                break
    return Mesh(
        **{name: getattr(mesh, name) for name in ("verts", "faces", "colors", "uvs", "uv_faces")}, texture=texture
    )


def decode_obj(data: bytes, name: str = "the OBJ data") -> tuple[Mesh, list[str]]:
    """The mesh in the text of an OBJ file, and the names of its material files.

    Raises:
        InputError: naming ``name``, the line and what is wrong with it.
    """
    verts: list[list[float]] = []
    uvs: list[list[float]] = []
    corners: list[tuple[int, int, int]] = []
    uv_corners: list[tuple[int, int, int]] = []
    libraries: list[str] = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        word, _, rest = line.strip().partition(" ")
        try:
            if word == "v":
                verts.append([float(value) for value in rest.split(None, 6)[:6]])
            elif word == "vt":
                uvs.append([float(value) for value in rest.split(None, 2)[:2]])
            elif word == "f":
                _add_polygon(rest.split(), len(verts), len(uvs), corners, uv_corners)
            elif word == "mtllib" and len(libraries) < 16:
                libraries.append(rest.strip())
        except ValueError as error:
            raise InputError(f"{name} cannot be used: line {number} ({line[:60]!r}): {error}") from None
    if not verts or not corners:
        raise InputError(f"{name} is not an OBJ file that can be used: it has no vertices or no faces")
    if any(len(row) < 3 for row in verts) or any(len(row) < 2 for row in uvs):
        raise InputError(f"{name} cannot be used: a 'v' or 'vt' line has too few numbers")
    positions = np.array([row[:3] for row in verts])
    if not (np.abs(positions) <= _MAX_COORDINATE).all():
        raise InputError(f"{name} cannot be used: its coordinates must be finite and within ±{_MAX_COORDINATE:g}")
    colors = None
    if all(len(row) == 6 for row in verts):
        colors = (np.nan_to_num(np.array([row[3:] for row in verts])).clip(0, 1) * 255).round().astype(np.uint8)
    with_uvs = len(uvs) > 0 and min(min(row) for row in uv_corners) >= 0
    return (
        Mesh(
            verts=positions.astype(np.float32),
            faces=np.array(corners, np.int32),
            colors=colors,
            uvs=_upward(np.nan_to_num(np.array(uvs)).clip(-1e6, 1e6)) if with_uvs else None,
            uv_faces=np.array(uv_corners, np.int32) if with_uvs else None,
        ),
        libraries,
    )


def _upward(uvs: Array) -> Array:
    return np.stack([uvs[:, 0], 1 - uvs[:, 1]], axis=1).astype(np.float32)


def _add_polygon(
    words: list[str],
    num_verts: int,
    num_uvs: int,
    corners: list[tuple[int, int, int]],
    uv_corners: list[tuple[int, int, int]],
) -> None:
    if len(words) < 3:
        raise ValueError("a face needs at least three corners")
    points, texels = [], []
    for word in words:
        parts = word.split("/", 2)
        points.append(_index(parts[0], num_verts))
        texels.append(_index(parts[1], num_uvs) if len(parts) > 1 and parts[1] else -1)
    for k in range(1, len(points) - 1):
        corners.append((points[0], points[k], points[k + 1]))
        uv_corners.append((texels[0], texels[k], texels[k + 1]))


def _index(word: str, count: int) -> int:
    """The 0-based index of an OBJ reference: 1 is the first, −1 the latest so far."""
    if len(word) > 11:
        raise ValueError("an index is too long")
    value = int(word)
    index = value - 1 if value > 0 else count + value
    if value == 0 or not 0 <= index < count:
        raise ValueError(f"index {value} points to none of the {count} entries above it")
    return index


def _texture(folder: Path, library: str) -> Array | None:
    """The first colour picture that a material file names; only names in ``folder`` itself are followed."""
    from pyface3d.io.images import read_image

    material = folder / Path(library).name
    if not material.is_file():
        return None
    text = read_bytes(material, 1 << 20).decode("utf-8", "replace")
    for match in re.finditer(r"^\s*map_Kd\s+(.+?)\s*$", text, re.MULTILINE):
        picture = folder / Path(match[1]).name
        if picture.is_file():
            return read_image(picture)
    return None
