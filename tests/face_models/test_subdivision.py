"""Loop subdivision against the rules written out one vertex at a time."""

from __future__ import annotations

import torch

from pyface3d.face_models.subdivision import subdivide
from pyface3d.ops import Topology

OCTAHEDRON = torch.tensor([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])
CORNERS = torch.tensor([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]).double()


def slow_loop(verts, faces):
    """Loop (1987) with Warren's weights, straight from the rules; fine vertices keyed by coarse vertex or edge."""
    sides = {}
    for face in faces.tolist():
        for k in range(3):
            sides.setdefault(tuple(sorted((face[k], face[(k + 1) % 3]))), []).append(face[(k + 2) % 3])
    fine = {}
    for (a, b), opposite in sides.items():
        if len(opposite) == 2:
            fine[a, b] = 0.375 * (verts[a] + verts[b]) + 0.125 * (verts[opposite[0]] + verts[opposite[1]])
        else:
            fine[a, b] = 0.5 * (verts[a] + verts[b])
    for v in range(len(verts)):
        around = [edge for edge in sides if v in edge]
        if not around:
            fine[v] = verts[v]
            continue
        rim = [edge for edge in around if len(sides[edge]) == 1]
        used, weight = (rim, 0.125) if rim else (around, 3 / 16 if len(around) == 3 else 3 / (8 * len(around)))
        others = [verts[a if b == v else b] for a, b in used]
        fine[v] = (1 - weight * len(used)) * verts[v] + weight * sum(others)
    return fine


def check(verts, faces):
    level = subdivide(Topology(faces, len(verts)))
    fine = torch.from_numpy(level.matrix @ verts.numpy())
    expected = slow_loop(verts, faces)
    for v in range(len(verts)):
        torch.testing.assert_close(fine[v], expected[v])
    for row, edge in enumerate(level.edges.tolist()):
        torch.testing.assert_close(fine[len(verts) + row], expected[tuple(edge)])
    assert len(level.topology.faces) == 4 * len(faces)
    return level, fine


def test_closed_mesh_follows_the_rules():
    level, fine = check(CORNERS, OCTAHEDRON)
    corner = fine[level.topology.faces.long()]
    outward = torch.linalg.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    assert ((outward * corner.mean(dim=1)).sum(dim=1) > 0).all()  # children keep the winding


def test_open_mesh_follows_the_rules_at_its_rim():
    check(CORNERS + torch.linspace(0, 1, 18).reshape(6, 3).double(), OCTAHEDRON[:4])


def test_texture_coordinates_are_halved_linearly():
    uvs = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    faces = torch.tensor([[0, 2, 1], [1, 2, 3]])
    level = subdivide(Topology(faces, 4, uvs, faces))
    assert {tuple(uv) for uv in level.topology.uvs.tolist()} >= {
        (0.5, 0.0),
        (0.0, 0.5),
        (0.5, 0.5),
        (1.0, 0.5),
        (0.5, 1.0),
    }
    a, b, c = level.topology.uvs[level.topology.uv_faces.long()].unbind(dim=1)
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    torch.testing.assert_close(area, torch.full_like(area, -0.25))
