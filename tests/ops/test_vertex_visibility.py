"""vertex_visibility: against a slow twin, a sphere whose answer is known, and its edges."""

import numpy as np
import pytest
import torch
from raster_oracles import random_scene, seen_from_camera, slow_vertex_visibility, sphere

from pyface3d.ops import Topology, rasterize, vertex_visibility

SIZE = (9, 13)


@pytest.mark.parametrize("tolerance", [0.0, 0.3, 2.5])
def test_agrees_with_the_definition(device, dtype, tolerance):
    verts, topology = random_scene(3, dtype, device, batch=3, behind=0.1)
    fragments = rasterize(verts, topology, *SIZE)
    found = vertex_visibility(verts, fragments, topology, tolerance).cpu()
    on_cpu = type(fragments)(*(part.cpu() for part in fragments))
    assert torch.equal(found, slow_vertex_visibility(verts.cpu(), on_cpu, topology.to("cpu"), tolerance))
    assert found.any()
    assert not found.all()


def test_sphere_shows_the_side_that_faces_the_camera(device, dtype):
    """A vertex of a sphere of radius 80 mm at 600 mm is seen where its normal looks at the camera."""
    points, faces = sphere(40, 60)
    center = np.array([5.0, -3.0, 600.0])
    camera = points * 80 + center
    verts = torch.tensor(seen_from_camera(camera, 900.0, 320, 320), dtype=dtype, device=device)[None]
    topology = Topology(torch.tensor(faces, device=device), len(points))
    found = vertex_visibility(verts, rasterize(verts, topology, 320, 320), topology)[0].cpu().numpy()
    toward = -(camera * points).sum(-1) / np.linalg.norm(camera, axis=-1)  # cosine of normal and view
    assert found[toward > 0.05].all()
    assert not found[toward < -0.02].any()  # between: the facets and pixels at the horizon


def test_plate_hides_what_is_behind_it(device, dtype):
    """A small plate before a large one; the vertices of the grid behind it are hidden, the others seen."""
    n = 21
    x, y = np.meshgrid(np.linspace(4, 60, n), np.linspace(4, 60, n))
    back = np.stack([x, y, np.full_like(x, 500.0)], -1).reshape(-1, 3)
    plate = np.array([[20.0, 20, 450], [20, 40, 450], [40, 40, 450], [40, 20, 450]])
    at = np.arange(n * n).reshape(n, n)
    a, b, c, d = at[:-1, :-1].ravel(), at[1:, :-1].ravel(), at[1:, 1:].ravel(), at[:-1, 1:].ravel()
    k = n * n
    faces = np.vstack([np.stack([a, b, c], 1), np.stack([a, c, d], 1), [[k, k + 1, k + 2], [k, k + 2, k + 3]]])
    verts = torch.tensor(np.vstack([back, plate]), dtype=dtype, device=device)[None]
    topology = Topology(torch.tensor(faces, device=device), k + 4)
    found = vertex_visibility(verts, rasterize(verts, topology, 64, 64), topology)[0, :k].cpu().numpy()
    distance = np.maximum(abs(back[:, 0] - 30), abs(back[:, 1] - 30)) - 10  # outside the plate's outline > 0
    assert found[distance > 0].all()
    assert not found[distance < -2].any()


def test_steep_surface_is_seen(dtype):
    """Depth changes by 40 mm a pixel: no pixel's middle is within the tolerance, the vertex's own faces decide."""
    verts = torch.tensor([[[2.9, 2, 400], [2.9, 18, 400], [17.1, 10.5, 970]]], dtype=dtype)
    topology = Topology(torch.tensor([[0, 1, 2]]), 3)
    fragments = rasterize(verts, topology, 20, 20, perspective=False)
    assert vertex_visibility(verts, fragments, topology, 0.1).all()


def test_outside_behind_and_bad_vertices_are_not_seen(device, dtype):
    verts, topology = random_scene(1, dtype, device, batch=1)
    fragments = rasterize(verts, topology, *SIZE, cull="none")
    seen = vertex_visibility(verts, fragments, topology)[0]
    bad = int(seen.nonzero()[0])
    for value in (float("nan"), float("inf"), -1.0):
        for axis in range(3):
            broken = verts.clone()
            broken[0, bad, axis] = value
            assert not vertex_visibility(broken, fragments, topology)[0, bad]
    infinite = verts.clone()
    infinite[..., 2] = float("inf")  # the picture still shows their faces
    assert not vertex_visibility(infinite, fragments, topology).any()
    edge = verts.clone()
    edge[0, bad, 0] = SIZE[1]  # the right border itself is outside
    assert not vertex_visibility(edge, fragments, topology)[0, bad]


@pytest.mark.parametrize(("batch", "height"), [(0, 4), (2, 0)])
def test_empty(device, dtype, batch, height):
    verts, topology = random_scene(0, dtype, device)
    verts = verts[:batch]
    found = vertex_visibility(verts, rasterize(verts, topology, height, 5), topology)
    assert found.shape == (batch, topology.num_verts)
    assert found.dtype == torch.bool
    assert not found.any()


def test_registration(device):
    verts, topology = random_scene(0, torch.float64, device)
    fragments = rasterize(verts, topology, *SIZE)
    torch.library.opcheck(
        torch.ops.pyface3d.vertex_visibility.default,
        (verts, topology.faces, fragments.face_index, fragments.depth, 2.5),
    )


def test_wrong_arguments():
    verts, topology = random_scene(0)
    fragments = rasterize(verts, topology, *SIZE)
    with pytest.raises(ValueError, match="tolerance_mm must be"):
        vertex_visibility(verts, fragments, topology, -1)
    with pytest.raises(ValueError, match="verts_image must have shape"):
        vertex_visibility(verts[:1], fragments, topology)
    with pytest.raises(TypeError, match=r"fragments\.depth is"):
        vertex_visibility(verts.float(), fragments, topology)
