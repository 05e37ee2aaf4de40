"""Topology: what it refuses, what it makes of its faces."""

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from op_case import Size, mesh

from pyface3d.ops import Topology, rasterize_uvs

TRIANGLES = torch.tensor([[0, 1, 2], [0, 2, 3]])


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (TypeError, "faces must be integers", {"faces": TRIANGLES.float()}),
        (TypeError, "faces must be integers", {"faces": torch.zeros(2, 3, dtype=torch.bool)}),
        (ValueError, r"faces must have shape \(F, 3\), got \(2, 4\)", {"faces": torch.zeros(2, 4, dtype=torch.long)}),
        (ValueError, r"indices in \[0, 4\), got 0 to 4", {"faces": torch.tensor([[0, 1, 4]])}),
        (ValueError, "got -1 to 2", {"faces": torch.tensor([[0, -1, 2]])}),
        (ValueError, "num_verts must lie", {"num_verts": -1}),
        (ValueError, "num_verts must lie", {"num_verts": 2**31}),
        (ValueError, "uv_faces was given without uvs", {"uv_faces": TRIANGLES}),
        (ValueError, r"uvs must be floating point of shape \(T, 2\)", {"uvs": torch.zeros(4, 3)}),
        (ValueError, "uvs must be floating point", {"uvs": torch.zeros(4, 2, dtype=torch.long)}),
        (ValueError, "uvs must be finite", {"uvs": torch.full((4, 2), torch.nan)}),
        (ValueError, "uv_faces must hold indices", {"uvs": torch.zeros(3, 2)}),
        (ValueError, "uv_faces must have shape", {"uvs": torch.zeros(4, 2), "uv_faces": TRIANGLES[:1]}),
    ],
)
def test_refuses(error, message, arguments):
    with pytest.raises(error, match=message):
        Topology(**{"faces": TRIANGLES, "num_verts": 4, **arguments})


def test_an_index_beyond_32_bits_is_not_wrapped():
    with pytest.raises(ValueError, match="faces must hold indices"):
        Topology(torch.tensor([[0, 1, 2**32]]), 4)


def test_keeps_its_own_copy_of_what_it_was_given():
    faces, uvs = TRIANGLES.int(), torch.rand(4, 2)
    topology = Topology(faces.T.contiguous().T, 4, uvs)
    assert topology.faces.is_contiguous()
    assert topology.faces.dtype == torch.int32
    assert not topology.uvs.requires_grad


def test_faces_stand_for_uv_faces_where_none_are_given():
    topology = Topology(TRIANGLES, 4, uvs=torch.rand(4, 2))
    assert torch.equal(topology.uv_faces, topology.faces)


def test_empty():
    topology = Topology(torch.zeros(0, 3, dtype=torch.long), 0)
    offsets, corners = topology.vertex_faces
    assert offsets.tolist() == [0]
    assert corners.numel() == 0
    assert topology.edges.shape == topology.edge_faces.shape == (0, 2)
    assert topology.opposite_corners.shape == (0, 3)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.integers(3, 12), st.integers(0, 20))
def test_vertex_faces_names_every_corner_once_in_rising_order(seed, num_verts, num_faces):
    rng = np.random.default_rng(seed)
    faces = torch.from_numpy(rng.integers(0, num_verts, (num_faces, 3)))
    offsets, corners = Topology(faces, num_verts).vertex_faces
    assert offsets[0] == 0 and offsets[-1] == 3 * num_faces
    assert sorted(corners.tolist()) == list(range(3 * num_faces))
    for v in range(num_verts):
        mine = corners[offsets[v] : offsets[v + 1]].tolist()
        assert mine == sorted(mine)
        assert all(faces.reshape(-1)[c] == v for c in mine)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.integers(3, 9), st.integers(0, 14))
def test_edges_are_the_sides_of_the_faces(seed, num_verts, num_faces):
    rng = np.random.default_rng(seed)
    faces = np.array([rng.permutation(num_verts)[:3] for _ in range(num_faces)], dtype=np.int64).reshape(-1, 3)
    topology = Topology(torch.from_numpy(faces), num_verts)
    owners: dict[tuple[int, int], list[int]] = {}
    for f, (a, b, c) in enumerate(faces.tolist()):
        for pair in ((a, b), (b, c), (c, a)):
            owners.setdefault((min(pair), max(pair)), []).append(f)
    assert [tuple(e) for e in topology.edges.tolist()] == sorted(owners)
    for edge, sides in zip(topology.edges.tolist(), topology.edge_faces.tolist()):
        expected = owners[tuple(edge)]
        assert sides[: len(expected)] == sorted(expected)[:2]
        assert all(side == -1 for side in sides[len(expected) :])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.integers(3, 9), st.integers(0, 14))
def test_opposite_corners_face_the_same_edge_from_its_two_sides(seed, num_verts, num_faces):
    rng = np.random.default_rng(seed)
    faces = rng.integers(0, num_verts, (num_faces, 3))  # some name a vertex twice: they have no edges
    found = Topology(torch.from_numpy(faces), num_verts).opposite_corners.numpy()
    owners: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for f, face in enumerate(faces.tolist()):
        for k in range(3):
            if len(set(face)) == 3:
                a, b = face[(k + 1) % 3], face[(k + 2) % 3]
                owners.setdefault((min(a, b), max(a, b)), []).append((3 * f + k, a))
    expected = np.full(3 * num_faces, -1)
    for corners in owners.values():
        if len(corners) == 2 and corners[0][1] != corners[1][1]:
            expected[corners[0][0]], expected[corners[1][0]] = corners[1][0], corners[0][0]
    assert found.dtype == np.int32 and found.shape == (num_faces, 3)
    assert found.reshape(-1).tolist() == expected.tolist()


def test_to_the_device_it_is_on_is_itself(device):
    topology = Topology(TRIANGLES, 4, uvs=torch.rand(4, 2)).to(device)
    assert topology.to(device) is topology
    assert topology.device.type == device
    for tensor in (
        topology.uvs,
        topology.uv_faces,
        *topology.vertex_faces,
        topology.edge_faces,
        topology.opposite_corners,
    ):
        assert tensor.device.type == device


@pytest.mark.cuda
def test_a_moved_topology_starts_with_nothing_made():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    topology = Topology(TRIANGLES, 4, uvs=torch.rand(4, 2))
    rasterize_uvs(topology, 4, 4)
    moved = topology.to("cuda")
    assert moved.vertex_faces[0].is_cuda
    assert not moved.charts


def test_says_what_it_is():
    assert repr(Topology(TRIANGLES, 4)) == "Topology(2 faces, 4 vertices, no uvs, cpu)"


def test_dissection_lists_neighbours_and_orders_every_vertex_once():
    """Random triangles, some of which repeat a vertex; vertices of no face are there too."""
    count = 300
    faces = torch.randint(0, count, (130, 3), generator=torch.Generator().manual_seed(0))
    faces[0] = 7
    topology = Topology(faces, count)
    offsets, neighbours, order, blocks = topology.dissection
    expected: list[set[int]] = [set() for _ in range(count)]
    for face in faces.tolist():
        for a in face:
            expected[a] |= set(face) - {a}
    for v in range(count):
        assert neighbours[offsets[v] : offsets[v + 1]].tolist() == sorted(expected[v])
    assert len(neighbours) == 6 * 130
    assert (neighbours[offsets[-1] :] == -1).all()
    assert sorted(order.tolist()) == list(range(count))
    assert set(blocks.diff().tolist()) <= {0, 1} and int(blocks[0]) == 0
    assert topology.dissection[0] is offsets


def test_dissection_of_nothing():
    offsets, neighbours, order, blocks = Topology(torch.zeros(0, 3, dtype=torch.long), 0).dissection
    assert offsets.tolist() == [0]
    assert neighbours.numel() == order.numel() == blocks.numel() == 0


def test_dissection_fills_in_as_little_as_minimum_degree():
    """Entries of the Cholesky factor of a 60 x 60 grid's Laplacian, counted by SciPy."""
    topology = mesh(Size(grid=60))
    offsets, neighbours, order, _ = (t.numpy() for t in topology.dissection)
    values = -np.ones(offsets[-1])
    laplacian = scipy.sparse.csr_matrix((values, neighbours[: offsets[-1]], offsets), (len(order), len(order)))
    laplacian = (laplacian + scipy.sparse.diags(np.diff(offsets) + 1.0)).tocsc()

    def entries(matrix: scipy.sparse.csc_matrix, rule: str) -> int:
        options = {"SymmetricMode": True, "DiagPivotThresh": 0.0}
        return scipy.sparse.linalg.splu(matrix, permc_spec=rule, options=options).L.nnz

    ours = entries(laplacian[order][:, order].tocsc(), "NATURAL")
    assert ours < 1.05 * entries(laplacian, "MMD_AT_PLUS_A")
    assert ours < 0.5 * entries(laplacian, "NATURAL")


def test_hierarchy_is_a_tree_of_aggregates_with_the_edges_between_them():
    topology = mesh(Size(grid=30))
    count = topology.num_verts
    nodes = count + count // 4 + 1
    table = topology.hierarchy
    levels, first = int(table[0]), table[1:16].tolist()
    sizes = [nodes, nodes - count + 1, nodes, nodes - count + 1, 2 * count]
    parents, member_offsets, members, edge_offsets, neighbours = (part.tolist() for part in table[16:].split(sizes))
    assert levels >= 2
    assert first[:2] == [0, count]
    edges = {tuple(edge) for edge in topology.edges.tolist()}
    for level in range(1, levels + 1):
        below, own = range(first[level - 1], first[level]), range(first[level], first[level + 1])
        assert len(own) < len(below) / 4
        inside = {v: parents[v] for v in below if parents[v] >= 0}
        assert set(inside) == {v for edge in edges for v in edge}  # all but those without edges
        assert set(inside.values()) == set(own)
        edges = {tuple(sorted((inside[a], inside[b]))) for a, b in edges if inside[a] != inside[b]}
        for a in own:
            k = a - count
            assert members[member_offsets[k] : member_offsets[k + 1]] == [v for v in inside if inside[v] == a]
            around = sorted({b for edge in edges if a in edge for b in edge} - {a})
            assert neighbours[edge_offsets[k] : edge_offsets[k + 1]] == around


def test_hierarchy_of_nothing_has_no_levels():
    assert int(Topology(torch.zeros(0, 3, dtype=torch.long), 0).hierarchy[0]) == 0
    assert int(Topology(TRIANGLES, 4).hierarchy[0]) == 0
