"""GLB files: valid by the specification, read back by other libraries, morph targets in their places."""

import io
import json
import struct
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pygltflib
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from synthetic_head import ARKIT, chart_texture, egg_reconstruction

from pyface3d.errors import InputError
from pyface3d.io.meshes import Mesh, Morphs, decode_glb, encode_glb, read_glb, write_glb

SIZES = {5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


@pytest.fixture(scope="module")
def result():
    return egg_reconstruction()


@pytest.fixture(scope="module")
def mesh(result) -> Mesh:
    return result.animatable()


@pytest.fixture(scope="module")
def gltf(mesh, tmp_path_factory) -> pygltflib.GLTF2:
    path = tmp_path_factory.mktemp("glb") / "head.glb"
    write_glb(path, mesh, "person")
    return pygltflib.GLTF2().load(str(path))


def values(gltf: pygltflib.GLTF2, index: int) -> np.ndarray:
    """An accessor's numbers, from the definition in the specification; checks its alignment and bounds."""
    accessor, blob = gltf.accessors[index], gltf.binary_blob()
    dtype = SIZES[accessor.componentType]
    width = WIDTHS[accessor.type]

    def read(view_index, offset, kind, count, columns):
        view = gltf.bufferViews[view_index]
        start = (view.byteOffset or 0) + (offset or 0)
        item = np.dtype(kind).itemsize
        assert start % item == 0 and view.byteStride is None
        assert (offset or 0) + count * columns * item <= view.byteLength
        return np.frombuffer(blob, kind, count * columns, start).reshape(count, columns)

    if accessor.bufferView is None:
        found = np.zeros((accessor.count, width), dtype)
    else:
        found = read(accessor.bufferView, accessor.byteOffset, dtype, accessor.count, width).copy()
    if accessor.sparse is not None:
        sparse = accessor.sparse
        kind = SIZES[sparse.indices.componentType]
        rows = read(sparse.indices.bufferView, sparse.indices.byteOffset, kind, sparse.count, 1)[:, 0].astype(int)
        assert sparse.count >= 1 and (np.diff(rows) > 0).all() and rows[-1] < accessor.count
        found[rows] = read(sparse.values.bufferView, sparse.values.byteOffset, dtype, sparse.count, width)
    return found


def test_structure(gltf, mesh):
    assert gltf.asset.version == "2.0"
    assert [node.mesh for node in gltf.nodes] == [0] and gltf.scenes[gltf.scene].nodes == [0]
    assert gltf.buffers[0].byteLength <= len(gltf.binary_blob())
    ends = [(view.byteOffset, view.byteOffset + view.byteLength) for view in gltf.bufferViews]
    assert all(start % 4 == 0 for start, _ in ends)
    assert all(stop <= start for (_, stop), (start, _) in pairwise(ends)), "views overlap"
    assert ends[-1][1] <= gltf.buffers[0].byteLength
    for index, accessor in enumerate(gltf.accessors):
        if accessor.min:
            found = values(gltf, index)
            np.testing.assert_array_equal(np.float32(accessor.min), found.min(axis=0))
            np.testing.assert_array_equal(np.float32(accessor.max), found.max(axis=0))
    primitive = gltf.meshes[0].primitives[0]
    positions = [primitive.attributes.POSITION, *(target["POSITION"] for target in primitive.targets)]
    assert all(gltf.accessors[index].min for index in positions)
    assert gltf.meshes[0].name == "person"


def test_chunks_fill_the_file(mesh):
    data = encode_glb(mesh)
    magic, version, length, size, kind = struct.unpack_from("<IIIII", data)
    assert (magic, version, length, kind) == (0x46546C67, 2, len(data), 0x4E4F534A)
    assert size % 4 == 0 and data[20 + size - 1 : 20 + size] in (b"}", b" ")
    binary, kind = struct.unpack_from("<II", data, 20 + size)
    assert kind == 0x004E4942 and binary % 4 == 0 and 28 + size + binary == length


def test_geometry_is_metres_with_the_same_triangles(gltf, mesh):
    primitive = gltf.meshes[0].primitives[0]
    verts = values(gltf, primitive.attributes.POSITION)
    faces = values(gltf, primitive.indices).reshape(-1, 3).astype(int)
    np.testing.assert_allclose(verts[faces] * 1000, mesh.verts[mesh.faces], rtol=1e-6)
    uvs = values(gltf, primitive.attributes.TEXCOORD_0)
    np.testing.assert_array_equal(uvs[faces], mesh.uvs[mesh.uv_faces])
    normals = values(gltf, primitive.attributes.NORMAL)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-3)
    out = np.einsum("vk,vk->v", normals, verts - verts.mean(axis=0))
    assert (out > 0).mean() > 0.99, "normals of an egg point outwards"


def test_texture_is_the_png(gltf, mesh):
    image = gltf.images[0]
    view = gltf.bufferViews[image.bufferView]
    content = gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    assert image.mimeType == "image/png"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), mesh.texture)
    surface = gltf.materials[gltf.meshes[0].primitives[0].material].pbrMetallicRoughness
    assert gltf.textures[surface.baseColorTexture.index].source == 0 and surface.metallicFactor == 0


def test_morph_targets_are_named_and_move_as_the_model_does(gltf, result):
    entry = gltf.meshes[0]
    assert entry.extras["targetNames"] == ARKIT
    primitive = entry.primitives[0]
    base = values(gltf, primitive.attributes.POSITION) * 1000
    faces = values(gltf, primitive.indices).reshape(-1, 3).astype(int)
    model, identity = result.model, result.coefficients["identity"]
    corners = result.topology.faces.numpy()
    expression = np.zeros(len(ARKIT), np.float32)
    for k in (0, 24, 51):
        moved = base + values(gltf, primitive.targets[k]["POSITION"]) * 1000
        expression[:] = 0
        expression[k] = 1
        wanted = model.vertices(identity[None], result.verts.new_tensor(expression)[None])[0].numpy()
        np.testing.assert_allclose(moved[faces], wanted[corners], atol=2e-3)  # a micrometre is dropped, 1e-3 mm
    shown = base + sum(
        weight * values(gltf, target["POSITION"]) * 1000
        for weight, target in zip(entry.weights, primitive.targets, strict=True)
    )
    np.testing.assert_allclose(shown[faces], result.verts.numpy()[corners], atol=2e-2)  # 52 dropped micrometres


def test_another_library_sees_the_texture_in_its_place(mesh, tmp_path):
    write_glb(tmp_path / "head.glb", replace(mesh, texture=chart_texture()))
    other = next(iter(trimesh.load(tmp_path / "head.glb", process=False).geometry.values()))
    np.testing.assert_allclose(other.vertices[other.faces] * 1000, mesh.verts[mesh.faces], rtol=1e-5)
    uvs = mesh.uvs[mesh.uv_faces]
    looked_up = trimesh.visual.color.uv_to_interpolated_color(
        other.visual.uv[other.faces].reshape(-1, 2), other.visual.material.baseColorTexture
    )
    colors = looked_up[:, :3].astype(float)
    expected = np.stack([np.full(uvs.shape[:2], 200), 255 * uvs[..., 0], 255 * uvs[..., 1]], -1)
    np.testing.assert_allclose(colors, expected.reshape(-1, 3), atol=3)  # a texel is one level wide
    np.testing.assert_allclose(np.unique(other.vertex_attributes["_SOURCE"]), [0, 1, 2, 3])


def test_a_normal_map_is_the_materials_normal_texture(mesh, tmp_path):
    """Read by two other libraries and by our reader; with and without a colour texture."""
    bumps = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    for number, texture in enumerate((mesh.texture, None)):
        path = tmp_path / f"bumps{number}.glb"
        write_glb(path, replace(mesh, texture=texture, normal_map=bumps))
        gltf = pygltflib.GLTF2().load(str(path))
        source = gltf.textures[gltf.materials[0].normalTexture.index].source
        view = gltf.bufferViews[gltf.images[source].bufferView]
        png = gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
        assert np.array_equal(np.array(Image.open(io.BytesIO(png))), bumps)
        other = next(iter(trimesh.load(str(path)).geometry.values())).visual.material
        assert np.array_equal(np.array(other.normalTexture.convert("RGB")), bumps)
        assert (other.baseColorTexture is None) == (texture is None)
        again = read_glb(path)
        assert np.array_equal(again.normal_map, bumps) and (again.texture is None) == (texture is None)
    with pytest.raises(InputError, match="normal_map must have uvs"):
        replace(mesh, uvs=None, uv_faces=None, texture=None, normal_map=bumps)


def test_round_trip(mesh, tmp_path):
    write_glb(tmp_path / "head.glb", mesh)
    again = read_glb(tmp_path / "head.glb")
    split, origin = mesh.split_at_seams()
    np.testing.assert_allclose(again.verts, mesh.verts[origin], rtol=1e-6)
    np.testing.assert_array_equal(again.faces, split.faces)
    np.testing.assert_array_equal(again.texture, mesh.texture)
    np.testing.assert_array_equal(again.source, mesh.source[origin])
    assert again.morphs.names == mesh.morphs.names
    np.testing.assert_allclose(again.morphs.offsets, mesh.morphs.offsets[:, origin], atol=1.1e-3)
    np.testing.assert_allclose(again.morphs.normal_offsets, mesh.morphs.normal_offsets[:, origin], atol=1.1e-3)
    np.testing.assert_allclose(again.morphs.weights, mesh.morphs.weights)


def test_vertex_colors_where_there_is_no_texture():
    colors = np.array([[0, 128, 255], [10, 20, 30], [200, 100, 50]], np.uint8)
    mesh = Mesh(verts=np.eye(3, dtype=np.float32), faces=np.array([[0, 1, 2]], np.int32), colors=colors)
    np.testing.assert_array_equal(decode_glb(encode_glb(mesh)).colors, colors)


def test_a_morph_that_moves_nothing_is_still_there(mesh):
    still = replace(mesh.morphs, offsets=np.zeros_like(mesh.morphs.offsets))
    again = decode_glb(encode_glb(replace(mesh, morphs=still)))
    assert again.morphs.names == mesh.morphs.names and not again.morphs.offsets.any()


def test_points_without_triangles_are_refused():
    points = Mesh(verts=np.zeros((3, 3), np.float32), faces=np.zeros((0, 3), np.int32))
    with pytest.raises(InputError, match="at least one triangle"):
        encode_glb(points)


def test_sparse_targets_are_smaller(mesh):
    """The egg's moves are local, as a face's are; the size matters to a web page."""
    dense = mesh.morphs.offsets.nbytes + mesh.morphs.normal_offsets.nbytes
    assert len(encode_glb(mesh)) < 0.5 * dense


def document_and_binary(data: bytes):
    size = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def packed(document, binary: bytes) -> bytes:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<III", 0x46546C67, 2, 12 + len(body)) + body


@pytest.fixture(scope="module")
def small() -> bytes:
    verts = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    offsets = np.zeros((2, 4, 3), np.float32)
    offsets[0, 1] = 5
    morphs = Morphs(("a", "b"), offsets, offsets * 0.1, np.zeros(2, np.float32))
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    texture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    uvs = verts[:, :2].copy()
    mesh = Mesh(verts=verts, faces=faces, normals=verts, uvs=uvs, uv_faces=faces, texture=texture, morphs=morphs)
    return encode_glb(mesh)


def changed(data: bytes, change) -> bytes:
    document, binary = document_and_binary(data)
    change(document)
    return packed(document, binary)


BIG = 4_000_000_000


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d["meshes"].append(d["meshes"][0]), "one mesh"),
        (lambda d: d["meshes"][0]["primitives"][0].update(mode=1), "plain triangles"),
        (lambda d: d["meshes"][0]["primitives"][0]["attributes"].pop("POSITION"), "malformed"),
        (lambda d: d["accessors"][0].update(count=BIG), "ends behind"),
        (lambda d: d["accessors"][0].update(count=-1), "wanted"),
        (lambda d: d["accessors"][0].update(type="VEC2"), "wanted 3"),
        (lambda d: d["accessors"][0].pop("bufferView"), "no data"),
        (lambda d: d["accessors"][0].update(bufferView=-1), "as an index"),
        (lambda d: d["accessors"][0].update(bufferView=999), "malformed"),
        (lambda d: d["bufferViews"][0].update(byteLength=BIG), "ends behind"),
        (lambda d: d["bufferViews"][0].update(byteOffset=-4), "make no sense"),
        (lambda d: d["bufferViews"][0].update(byteStride=1), "make no sense"),
        (lambda d: d["bufferViews"][0].update(byteStride=BIG), "ends behind"),
        (lambda d: d["buffers"][0].update(uri="http://x/y"), "embedded"),
        (lambda d: d["meshes"][0].update(extras={"targetNames": ["a"]}), "names 1"),
        (lambda d: d["meshes"][0].update(extras={"targetNames": ["a", "a"]}), "twice"),
        (lambda d: d["meshes"][0]["primitives"][0].update(targets=[{}] * 2000), "too many"),
        (lambda d: d["meshes"][0].update(weights="abc"), "malformed"),
        (lambda d: d.update(meshes=7), "malformed"),
        (lambda d: d.update(accessors={}), "malformed"),
    ],
)
def test_damage_is_named(small, change, reason):
    with pytest.raises(InputError, match=reason):
        decode_glb(changed(small, change))


@pytest.mark.parametrize(
    "data",
    [b"", b"glTF", b"x" * 40, struct.pack("<III", 0x46546C67, 1, 20) + b"\0" * 8, packed(b"[]", b""), packed(b"{", b"")]
    + [packed(b"[" * 100_000, b""), struct.pack("<IIIII", 0x46546C67, 2, 99, 4, 0x4E4F534A)],
)
def test_damaged_containers(data):
    with pytest.raises(InputError):
        decode_glb(data)


def test_many_targets_of_a_small_file_claim_no_memory(small):
    def change(document):
        document["meshes"][0]["primitives"][0]["targets"] = [{"POSITION": 0}] * 1000
        for accessor in document["accessors"]:
            accessor["count"] = 4
        document["meshes"][0].pop("extras")

    tracemalloc.start()
    with suppress(InputError):
        decode_glb(changed(small, change))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 2**20


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_damage_gives_a_mesh_or_our_error(small, data):
    damaged = bytearray(small)
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        patch = data.draw(st.binary(min_size=1, max_size=6) | st.sampled_from([b"-1", b"9e9", b"null", b"[]", b'"']))
        damaged[at : at + len(patch)] = patch
    try:
        mesh = decode_glb(bytes(damaged))
    except InputError:
        return
    assert np.isfinite(mesh.verts).all()
