"""rasterize against a second oracle: Moeller and Trumbore's intersection of every pixel's ray, in float64, in 3D."""

import numpy as np
import pytest
import torch
from raster_oracles import Rays, cast_rays, random_scene, seen_from_camera, sphere

from pyface3d.ops import Topology, rasterize

# A head is some 240 mm high; at ten times its half height, 0.01 mm is 1e-5 of the depth.
DEPTH_TOLERANCE = 1e-5


def differences(found, rays: Rays) -> tuple[int, int]:
    """Pixels of another face than the ray's, and how many of them are not near an edge or a tie of depth."""
    other = found.face_index[0].cpu().numpy() != rays.face
    return int(other.sum()), int((other & (rays.margin > 1e-4)).sum())


def assert_depth_agrees(found, rays: Rays, share: float) -> None:
    depth = found.depth[0].double().cpu().numpy()
    both = (rays.face >= 0) & (found.face_index[0].cpu().numpy() >= 0)
    assert both.any()
    near = np.abs(depth - rays.depth)[both] <= DEPTH_TOLERANCE * rays.depth[both]
    assert near.mean() >= share


@pytest.mark.parametrize("cull", ["back", "none"])
def test_small_scenes(device, dtype, cull):
    """Triangles of all sizes that pierce one another; every ray against every face."""
    for seed in range(6):
        verts, topology = random_scene(seed, dtype, device, batch=1)
        found = rasterize(verts, topology, 9, 13, cull=cull)
        rays = cast_rays(verts[0], topology, 9, 13, cull_back=cull == "back")
        assert differences(found, rays)[1] == 0
        assert_depth_agrees(found, rays, 1.0)


def test_a_closed_mesh(device, dtype):
    points, faces = sphere(20, 30)
    verts = torch.tensor(seen_from_camera(points + [0.1, 0, 4.0], 60.0, 40, 50), dtype=dtype, device=device)
    topology = Topology(torch.tensor(faces, device=device), len(points))
    found = rasterize(verts[None], topology, 40, 50)
    rays = cast_rays(verts, topology, 40, 50)
    assert differences(found, rays)[1] == 0
    assert_depth_agrees(found, rays, 1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_head(dtype):
    """52,220 faces of about a pixel, eyes and teeth behind the skin."""
    from benchmarks.workloads import data_folder, load_mesh, scene

    path = data_folder() / "head26k.npz"
    if not path.is_file():
        pytest.skip("the mesh head26k of ../shared/perf is not on this machine")
    verts, topology = scene(load_mesh(path), batch=1, size=224, dtype=dtype)
    found = rasterize(verts, topology, 224, 224)
    rays = cast_rays(verts[0], topology, 224, 224, reach=1.0)
    assert (rays.face >= 0).sum() > 15_000
    total, plain = differences(found, rays)
    assert plain == 0
    assert total <= 3  # middles within rounding of an edge; the corners are exact in both
    assert ((found.face_index[0].numpy() >= 0) != (rays.face >= 0)).sum() <= 1
    assert_depth_agrees(found, rays, 0.999)
