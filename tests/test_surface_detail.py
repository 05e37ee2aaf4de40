"""Relief as a normal map and as a dense mesh, on a plane whose slopes are known."""

import math

import numpy as np
import pytest
import torch

from pyface3d.geometry import Camera
from pyface3d.ops import Topology
from pyface3d.surface_detail import dense_face, normal_map

SIDE, TEXELS = 128.0, 128  # mm and texels: a texel is a millimetre


def plane(cells=8):
    """A square in the model frame's x, y plane (z towards the viewer), its chart upright: u along x, v against y."""
    axis = torch.linspace(0, 1, cells + 1)
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    uvs = torch.stack([u, v], -1).reshape(-1, 2)
    verts = torch.stack([(uvs[:, 0] - 0.5) * SIDE, (0.5 - uvs[:, 1]) * SIDE, torch.zeros(len(uvs))], -1)
    row, column = (x.flatten() for x in torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij"))
    a = row * (cells + 1) + column  # top left; then anticlockwise: bottom left, bottom right, top right
    b, c, d = a + cells + 1, a + cells + 2, a + 1
    faces = torch.cat([torch.stack([a, b, c], 1), torch.stack([a, c, d], 1)]).int()
    return verts, Topology(faces, len(verts), uvs, faces)


def texels():
    place = (torch.arange(TEXELS) + 0.5) / TEXELS
    v, u = torch.meshgrid(place, place, indexing="ij")
    return (u - 0.5) * SIDE, (0.5 - v) * SIDE  # x and y of every texel


def test_no_relief_is_a_blank_map():
    verts, topology = plane()
    assert (normal_map(verts, topology, torch.zeros(TEXELS, TEXELS)) == np.array([128, 128, 255])).all()


@pytest.mark.parametrize(("across", "up"), [(0.2, 0.0), (0.0, 0.3), (-0.15, 0.25)])
def test_slopes_of_a_tilted_plane(across, up):
    """b = s x + t y raises the normal (-s, -t, 1); red is along u, green upwards in the picture of the chart."""
    verts, topology = plane()
    x, y = texels()
    bump = across * x + up * y + 50.0
    found = normal_map(verts, topology, bump)[20:-20, 20:-20] / 127.5 - 1
    wanted = np.array([-across, -up, 1.0]) / math.sqrt(1 + across**2 + up**2)
    np.testing.assert_allclose(found, np.broadcast_to(wanted, found.shape), atol=1 / 127)


def test_the_map_turns_with_the_head():
    verts, topology = plane()
    x, _ = texels()
    bump = 0.5 * torch.sin(x / 5)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    turn = turn * torch.linalg.det(turn)
    one, other = (normal_map(v, topology, bump).astype(int) for v in (verts, verts @ turn.T + 40.0))
    assert abs(one - other).max() <= 1 and one[..., 0].std() > 3


def camera():
    return Camera(torch.tensor([500.0]), torch.tensor([[100.0, 100.0]]), 200, 200)


def aligned(verts):
    """Model to camera: y and z turn round, half a metre away."""
    return verts * verts.new_tensor([1.0, -1.0, -1.0]) + verts.new_tensor([0.0, 0.0, 500.0])


def test_dense_vertices_lie_on_the_raised_surface():
    verts, topology = plane()
    x, y = texels()
    bump = torch.exp(-((x - 10) ** 2 + (y + 15) ** 2) / 200) * 3
    bump = torch.where(bump > 0.05, bump, 0.0)
    mesh = dense_face(aligned(verts), camera(), topology, bump, side=120)
    height = 500.0 - mesh.verts[:, 2]
    wanted = 3 * torch.exp(-((mesh.verts[:, 0] - 10) ** 2 + (-mesh.verts[:, 1] + 15) ** 2) / 200)
    assert float((height - torch.where(wanted > 0.05, wanted, 0.0)).abs().median()) < 0.01
    assert float((height - wanted).abs().max()) < 0.15 and float(height.max()) > 2.8
    corner = mesh.verts[mesh.faces.long()]
    normal = torch.linalg.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    assert bool((normal[:, 2] < 0).all())  # towards the camera
    assert float((mesh.normals.norm(dim=-1) - 1).abs().max()) < 1e-5
    steep = height.gt(0.5) & height.lt(2.5)
    slope = (
        torch.stack([(mesh.verts[:, 0] - 10), mesh.verts[:, 1] - 15], -1) * (-height / 100)[:, None]
    )  # of z, falling
    expected = torch.nn.functional.normalize(
        torch.stack([slope[:, 0], slope[:, 1], torch.ones_like(height)], -1), dim=-1
    )
    tilt = (mesh.normals[:, :2] - torch.stack([-expected[:, 0], -expected[:, 1]], -1))[steep].norm(dim=-1)
    assert float(tilt.median()) < 0.03
    flat = mesh.verts[:, :2] / 128 + 0.5
    assert float((mesh.uvs - flat)[height < 0.05].abs().max()) < 2e-3
    own = aligned(verts)[mesh.nearest, :2]
    assert float((own - mesh.verts[:, :2]).norm(dim=-1).max()) < SIDE / 8


def test_a_face_without_relief_is_still_a_mesh():
    verts, topology = plane()
    mesh = dense_face(aligned(verts), camera(), topology, torch.zeros(TEXELS, TEXELS), side=40)
    assert len(mesh.faces) > 1000 and float((mesh.verts[:, 2] - 500).abs().max()) < 1e-3
