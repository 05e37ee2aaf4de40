"""OBJ with material and texture: read back by another library, and a reader that survives any bytes."""

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from synthetic_head import chart_texture, egg_reconstruction

from pyface3d.errors import InputError
from pyface3d.io.meshes import Mesh, decode_obj, encode_obj, read_obj, write_obj


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return egg_reconstruction().stage()


def test_files_and_their_references(mesh, tmp_path):
    paths = write_obj(tmp_path / "a head.obj", mesh)
    assert [path.name for path in paths] == ["a head.png", "a head.mtl", "a head.obj"]
    assert "mtllib a head.mtl" in paths[2].read_text()
    assert "map_Kd a head.png" in paths[1].read_text()
    np.testing.assert_array_equal(np.asarray(Image.open(paths[0])), mesh.texture)


def test_another_library_sees_the_texture_in_its_place(mesh, tmp_path):
    write_obj(tmp_path / "head.obj", replace(mesh, texture=chart_texture()))
    other = trimesh.load(tmp_path / "head.obj", process=False)
    assert len(other.faces) == len(mesh.faces)
    # Its vertices are split at the seam: compare every corner of every triangle.
    np.testing.assert_allclose(other.vertices[other.faces], mesh.verts[mesh.faces], rtol=0, atol=1e-4)
    uvs = mesh.uvs[mesh.uv_faces]
    np.testing.assert_allclose(other.visual.uv[other.faces][..., 0], uvs[..., 0], atol=1e-6)
    np.testing.assert_allclose(1 - other.visual.uv[other.faces][..., 1], uvs[..., 1], atol=1e-6)
    looked_up = trimesh.visual.color.uv_to_interpolated_color(
        other.visual.uv[other.faces].reshape(-1, 2), other.visual.material.image
    )
    colors = looked_up[:, :3].astype(float)
    expected = np.stack([np.full(uvs.shape[:2], 200), 255 * uvs[..., 0], 255 * uvs[..., 1]], -1)
    np.testing.assert_allclose(colors, expected.reshape(-1, 3), atol=3)  # a texel is one level wide


def test_round_trip(mesh, tmp_path):
    write_obj(tmp_path / "head.obj", mesh)
    again = read_obj(tmp_path / "head.obj")
    np.testing.assert_array_equal(again.verts, mesh.verts)
    np.testing.assert_array_equal(again.faces, mesh.faces)
    np.testing.assert_array_equal(again.uv_faces, mesh.uv_faces)
    np.testing.assert_allclose(again.uvs, mesh.uvs, atol=1e-6)
    np.testing.assert_array_equal(again.texture, mesh.texture)


def test_without_texture_there_is_one_file(mesh):
    bare = Mesh(verts=mesh.verts, faces=mesh.faces, normals=mesh.normals)
    files = encode_obj(bare, "x")
    assert list(files) == ["x.obj"]
    again, libraries = decode_obj(files["x.obj"])
    np.testing.assert_array_equal(again.verts, mesh.verts)
    assert again.uvs is None and libraries == []


def test_polygons_relative_indices_and_colors():
    text = "v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 1 1 0 0 0 1\nv 0 1 0 .5 .5 .5\n# c\ng x\nf -4 -3 -2 -1\nf 1//1 2//1 3//1\n"
    mesh, _ = decode_obj(text.encode())
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 2, 3], [0, 1, 2]])
    np.testing.assert_array_equal(mesh.colors, [[255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128]])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no vertices"),
        ("v 0 0 0\n", "no faces"),
        ("v 0 0\nv 0 0\nv 0 0\nf 1 2 3", "too few numbers"),
        ("v 0 0 x\n", "line 1"),
        ("v 0 0 0\nf 1 1 2", "line 2"),
        ("v 0 0 0\nf 1 1", "three corners"),
        ("v 0 0 0\nf 0 1 1", "index 0"),
        ("v 0 0 0\nf -2 1 1", "index -2"),
        ("v 0 0 0\nf 99999999999999999999 1 1", "too long"),
        ("v 0 0 inf\nf 1 1 1", "finite"),
        ("v 0 0 0\nvt 1\nf 1/1 1/1 1/1", "too few numbers"),
    ],
)
def test_damage_is_named(text, reason):
    with pytest.raises(InputError, match=reason):
        decode_obj(text.encode())


def test_a_material_cannot_reach_other_folders(mesh, tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(mesh.texture).save(tmp_path / "secret.png")
    write_obj(tmp_path / "in" / "head.obj", mesh)
    (tmp_path / "in" / "head.png").unlink()
    (tmp_path / "in" / "head.mtl").write_text("newmtl face\nmap_Kd ../secret.png\n")
    assert read_obj(tmp_path / "in" / "head.obj").texture is None


def test_wrong_ending(mesh, tmp_path):
    with pytest.raises(InputError, match=r"\.obj"):
        write_obj(tmp_path / "head.ply", mesh)


SMALL = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nmtllib a.mtl\nf 1/1 2/2 3/3\nf 3 2 1\n"


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_damage_gives_a_mesh_or_our_error(data):
    damaged = bytearray(SMALL)
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(damaged)))
        cut = data.draw(st.integers(0, 8))
        damaged[at : at + cut] = data.draw(st.binary(max_size=8) | st.sampled_from([b"\nf ", b"-1", b"1e999", b"/"]))
    with suppress(InputError):
        decode_obj(bytes(damaged))
