"""PLY files: read back by another library, and a reader that survives any bytes."""

import time
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_head import egg_reconstruction

from pyface3d.errors import InputError, OutputError
from pyface3d.io.meshes import Mesh, decode_ply, encode_ply, read_ply, write_ply


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return egg_reconstruction().stage("foundation", "aligned")


def header(data: bytes) -> list[str]:
    return data[: data.index(b"end_header\n")].decode("ascii").splitlines()


def test_header_names_everything_the_mesh_has(mesh):
    lines = [line for line in header(encode_ply(mesh)) if line.startswith(("property", "format"))]
    assert lines == [
        "format binary_little_endian 1.0",
        *(f"property float {name}" for name in ["x", "y", "z", "nx", "ny", "nz"]),
        *(f"property uchar {name}" for name in ["red", "green", "blue", "source"]),
        "property float confidence",
        "property list uchar int vertex_indices",
    ]


def test_plain_text_has_positions_only(mesh):
    data = encode_ply(mesh, ascii=True, plain=True)
    lines = [line for line in header(data) if not line.startswith("comment")]
    assert lines == [
        "ply",
        "format ascii 1.0",
        f"element vertex {len(mesh.verts)}",
        *(f"property float {name}" for name in "xyz"),
        f"element face {len(mesh.faces)}",
        "property list uchar int vertex_indices",
    ]


@pytest.mark.parametrize("ascii", [False, True])
def test_another_library_reads_the_same(mesh, tmp_path, ascii):
    path = tmp_path / "é.ply"
    write_ply(path, mesh, ascii=ascii)
    other = trimesh.load(path, process=False)
    np.testing.assert_array_equal(other.vertices.astype(np.float32), mesh.verts)
    np.testing.assert_array_equal(other.faces, mesh.faces)
    np.testing.assert_array_equal(other.visual.vertex_colors[:, :3], mesh.colors)
    raw = other.metadata["_ply_raw"]["vertex"]["data"]
    source, confidence, up = (raw[name] for name in ("source", "confidence", "ny"))
    np.testing.assert_array_equal(np.asarray(source).reshape(-1), mesh.source)
    np.testing.assert_array_equal(np.asarray(confidence, np.float32).reshape(-1), mesh.confidence)
    np.testing.assert_array_equal(np.asarray(up, np.float32).reshape(-1), mesh.normals[:, 1])


@pytest.mark.parametrize("ascii", [False, True])
def test_round_trip_is_exact(mesh, tmp_path, ascii):
    write_ply(tmp_path / "a.ply", mesh, ascii=ascii)
    again = read_ply(tmp_path / "a.ply")
    for name in ("verts", "faces", "normals", "colors", "source", "confidence"):
        np.testing.assert_array_equal(getattr(again, name), getattr(mesh, name), err_msg=name)


def test_mesh_without_extras_and_without_faces():
    mesh = Mesh(verts=np.zeros((3, 3), np.float32), faces=np.zeros((0, 3), np.int32))
    for ascii in (False, True):
        again = decode_ply(encode_ply(mesh, ascii=ascii))
        assert again.verts.shape == (3, 3) and again.faces.shape == (0, 3) and again.colors is None


def test_polygons_become_fans_in_either_byte_order():
    for order, word in (("<", "little"), (">", "big")):
        verts = np.arange(15, dtype=order + "f8").reshape(5, 3)
        polygons = [[0, 1, 2, 3], [4, 3, 2], [0, 1, 2, 3, 4], [0, 1]]
        body = b"".join(bytes([len(p)]) + np.array(p, order + "u2").tobytes() for p in polygons)
        head = (
            f"ply\nformat binary_{word}_endian 1.0\nelement vertex 5\nproperty double x\nproperty double y\n"
            "property double z\nelement face 4\nproperty list uchar ushort vertex_index\nend_header\n"
        )
        mesh = decode_ply(head.encode() + verts.tobytes() + body)
        np.testing.assert_array_equal(mesh.verts, verts)
        wanted = [(0, 1, 2), (0, 2, 3), (4, 3, 2), (0, 1, 2), (0, 2, 3), (0, 3, 4)]
        np.testing.assert_array_equal(mesh.faces, wanted)


def test_other_elements_and_lists_are_skipped():
    text = (
        "ply\nformat ascii 1.0\ncomment hello\nobj_info x\nelement camera 2\nproperty list uchar float a\n"
        "element vertex 3\nproperty float x\nproperty list uchar int ring\nproperty float y\nproperty float z\n"
        "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
        "2 1.5 2.5\n0\n0 0 1 2\n1 2 5 6 3 4\n7 1 9 8 9\n3 0 1 2\n"
    )
    mesh = decode_ply(text.encode())
    np.testing.assert_array_equal(mesh.verts, [[0, 1, 2], [1, 3, 4], [7, 8, 9]])
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2]])


HEAD = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
FACE = "element face 1\nproperty list uchar int vertex_indices\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not begin"),
        ("plyx", "does not begin"),
        ("ply\nformat ascii 1.0\n", "no 'end_header'"),
        ("ply\nelement vertex 1\nproperty float x\nend_header\n", "no format"),
        ("ply\nformat ascii 2.0\nend_header\n", "does not know"),
        ("ply\nformat ascii 1.0\nelement vertex 99999999999\nend_header\n", "does not know"),
        ("ply\nformat ascii 1.0\nelement vertex 4000000000\nend_header\n", "no properties"),
        ("ply\nformat ascii 1.0\nelement face 1\nproperty list float int i\nend_header\n", "does not know"),
        ("ply\nformat ascii 1.0\nend_header\n", "no element 'vertex'"),
        (HEAD.replace("float z", "float y") + "end_header\n", "twice"),
        (HEAD.replace("float z", "float w") + "end_header\n" + "0 " * 9, "no properties x, y and z"),
        (HEAD + "end_header\n0 0 0 1 1 1 2 2", "ends before"),
        (HEAD + "end_header\n0 0 0 1 1 1 2 2 zebra", "not a number"),
        (HEAD + "end_header\n0 0 0 1 1 1 2 2 --1", "not a number"),
        (HEAD + "end_header\n0 0 0 1 1 1 2 2 nan", "finite"),
        (HEAD + "end_header\n0 0 0 1 1 1 2 2 1e30", "finite"),
        (HEAD + FACE + "end_header\n" + "0 " * 9 + "3 0 1 3", "indices"),
        (HEAD + FACE + "end_header\n" + "0 " * 9 + "3 0 1 -1", "indices"),
        (HEAD + FACE + "end_header\n" + "0 " * 9 + "-3 0 1 1", "length"),
        (HEAD + FACE + "end_header\n" + "0 " * 9 + "2.5 0 1 1", "length"),
        (HEAD + FACE + "end_header\n" + "0 " * 9 + "9 0 1 1", "ends within"),
        (HEAD + FACE.replace("list uchar int", "int") + "end_header\n" + "0 " * 10, "not lists"),
    ],
)
def test_damage_is_named(text, reason):
    with pytest.raises(InputError, match=reason):
        decode_ply(text.encode())


@pytest.mark.parametrize("count", ["4000000000", "30000000"])
@pytest.mark.parametrize("form", ["ascii", "binary_little_endian"])
def test_a_large_claim_costs_nothing(count, form):
    head = HEAD.replace("ascii", form).replace("vertex 3", f"vertex {count}")
    head += FACE.replace("face 1", f"face {count}") + "end_header\n"
    tracemalloc.start()
    with pytest.raises(InputError):
        decode_ply(head.encode() + b"0 " * 1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("body", [b"\0", b"\1\0\0\0\0\0", b"\1\0\0\0\0\2\0\0\0\0\0\0\0\0", b"0 ", b"3 0 1 2\n"])
def test_a_megabyte_of_odd_faces_stays_cheap(body):
    """design.md 11.4: no file of up to 1 MB may cost more than 2 s or 256 MB."""
    form = "ascii" if body.endswith((b" ", b"\n")) else "binary_little_endian"
    verts = b"0 " * 9 if form == "ascii" else bytes(36)
    data = body * ((2**20 - 300) // len(body))
    count = len(data.split()) if body == b"0 " else len(data) // len(body)
    head = HEAD.replace("ascii", form) + FACE.replace("face 1", f"face {count}") + "end_header\n"
    content = head.encode() + verts + data
    begin = time.process_time()
    with suppress(InputError):
        decode_ply(content)
    assert time.process_time() - begin < 2
    tracemalloc.start()
    with suppress(InputError):
        decode_ply(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 256 * 2**20


SMALL = [
    encode_ply(
        Mesh(
            verts=np.arange(12, dtype=np.float32).reshape(4, 3),
            faces=np.array([[0, 1, 2], [1, 3, 2]], np.int32),
            colors=np.full((4, 3), 7, np.uint8),
            confidence=np.ones(4, np.float32),
        ),
        ascii=ascii,
    )
    for ascii in (False, True)
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SMALL), st.data())
def test_any_damage_gives_a_mesh_or_our_error(seed, data):
    damaged = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(damaged)))
        cut = data.draw(st.integers(0, 12))
        damaged[at : at + cut] = data.draw(
            st.binary(max_size=12) | st.sampled_from([b"4294967295", b" -1 ", b"\xff" * 4])
        )
    try:
        mesh = decode_ply(bytes(damaged))
    except InputError:
        return
    assert np.isfinite(mesh.verts).all()
    assert mesh.faces.size == 0 or mesh.faces.max() < len(mesh.verts)


def test_unreadable_and_unwritable_places(tmp_path, mesh):
    with pytest.raises(InputError, match="does not exist"):
        read_ply(tmp_path / "none.ply")
    with pytest.raises(InputError, match="not a file"):
        read_ply(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_ply(tmp_path / "file" / "a.ply", mesh)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
