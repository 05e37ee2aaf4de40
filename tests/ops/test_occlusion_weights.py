"""occlusion_weights: a view of itself, a turned sphere whose counts are known, the original's bytes, and the edges."""

import math

import cv2
import numpy as np
import pytest
import torch
from raster_oracles import random_scene, seen_from_camera, sphere
from relief_oracles import slow_counts, slow_occlusion_weights
from torch import Tensor

from pyface3d.ops import Fragments, Topology, occlusion_weights, rasterize, vertex_visibility

SIZE, RADIUS = 250, 80.0
LIMIT = 0.75  # of the original: what is below counts as unseen


def turned_sphere(yaw: float, dtype: torch.dtype = torch.float64, device: str = "cpu"):
    """Image vertices of a sphere at 5 m through a long lens, turned to the right; its topology; unit vertices."""
    points, faces = sphere(60, 90)
    c, s = math.cos(yaw), math.sin(yaw)
    camera = points @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]).T * RADIUS + np.array([0, 0, 5000.0])
    verts = seen_from_camera(camera, 6500.0, SIZE, SIZE)
    topology = Topology(torch.tensor(faces, device=device), len(points))
    return torch.tensor(verts, dtype=dtype, device=device)[None], topology, points


def weights_at(yaw: float, dtype: torch.dtype, device: str, **options) -> tuple[Tensor, Tensor, np.ndarray]:
    """Weights of the turned sphere, what is visible, and the unit vertices before the turn."""
    frontal, topology, points = turned_sphere(0.0, dtype, device)
    posed, _, _ = turned_sphere(yaw, dtype, device)
    views = [rasterize(verts, topology, SIZE, SIZE) for verts in (posed, frontal)]
    weights = occlusion_weights(posed, *views, topology, **options)
    return weights[0].cpu(), vertex_visibility(posed, views[0], topology)[0].cpu(), points


def test_a_frontal_view_trusts_all_it_sees(device, dtype):
    """Every pixel lands on itself, so every count is 1."""
    weights, seen, _ = weights_at(0.0, dtype, device)
    assert torch.equal(weights, seen.to(dtype))
    assert seen.any()


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("degrees", [20, 45])
def test_the_stretched_far_side_of_a_turned_sphere_is_not_trusted(device, degrees, compat):
    """At longitude u of the frontal sphere the posed picture has cos u / cos(u + yaw) frontal pixels for each of its
    own (u counted towards the side that turns out of sight): below 1 on the near side, growing to the far horizon."""
    yaw = math.radians(degrees)
    weights, seen, points = weights_at(yaw, torch.float64, device, compat=compat)
    near_equator = np.abs(points[:, 1]) < 0.25
    # Before the turn a front vertex has z < 0 and longitude atan2(x, -z); the turn takes x towards the right.
    longitude = np.arctan2(points[:, 0], -points[:, 2])
    after = np.arctan2(*_turn(points, yaw))
    ratio = np.cos(longitude) / np.maximum(np.cos(after), 1e-6)
    chosen = near_equator & seen.numpy() & (np.abs(longitude) < math.pi / 2 - 0.1)
    squeezed, fair = chosen & (ratio > 3.0), chosen & (ratio < 1.1)
    assert squeezed.sum() > 10
    assert fair.sum() > 100
    assert (weights.numpy()[squeezed] < LIMIT).all()
    assert (weights.numpy()[fair] >= LIMIT).all()
    # A vertex takes the worst of 11 x 11 pixels: no more than its own count grants. Up to the horizon, where few counts
    # pass the depth test; rounding to bytes may give half a count back.
    own = np.exp(-0.2 * np.maximum(ratio - 1, 0)) * (math.exp(0.1) if compat else 1)
    inner = chosen & (after < math.radians(75))
    assert (weights.numpy()[inner] <= own[inner]).all()
    assert not weights[~seen].any()


def _turn(points: np.ndarray, yaw: float) -> tuple[np.ndarray, np.ndarray]:
    """x and -z after the turn."""
    c, s = math.cos(yaw), math.sin(yaw)
    return c * points[:, 0] - s * points[:, 2], -(s * points[:, 0] + c * points[:, 2])


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("perspective", [True, False])
@pytest.mark.parametrize("tolerance", [0.0, 0.2, 2.5])
def test_agrees_with_the_definition(device, compat, perspective, tolerance):
    """Random triangles of all depths, the frontal view from other vertices and of another size."""
    posed, topology = random_scene(3, device=device, batch=3, behind=0.1)
    frontal, _ = random_scene(8, device=device, batch=3)
    larger = frontal * torch.tensor([2.0, 3.0, 1.0], dtype=frontal.dtype, device=device)
    views = (
        rasterize(posed, topology, 9, 13, "none", perspective),
        rasterize(larger, topology, 27, 26, "none", perspective),
    )
    options = {"tolerance_mm": tolerance, "perspective": perspective, "compat": compat}
    found = occlusion_weights(posed, *views, topology, **options)
    cpu_views = [Fragments(*(part.cpu() for part in view)) for view in views]
    expected = slow_occlusion_weights(posed.cpu(), *cpu_views, topology.to("cpu"), tolerance, perspective, compat)
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=1e-12)
    assert (expected > 0).any()
    assert (expected == 0).any()


def test_compat_is_the_blur_of_bytes_of_opencv():
    """The original's steps with its library: counts less one in bytes, GaussianBlur 5 x 5, erosion 11 x 11."""
    frontal, topology, _ = turned_sphere(0.0)
    posed, _, _ = turned_sphere(math.radians(40))
    views = rasterize(posed, topology, SIZE, SIZE), rasterize(1.0 * frontal, topology, SIZE, SIZE)
    weights = occlusion_weights(posed, *views, topology, compat=True)[0]
    counts = slow_counts(posed, *views, topology)[0]
    byte = np.clip(counts - 1, 0, 255).astype(np.uint8)
    kept = np.exp(-0.2 * cv2.GaussianBlur(byte, (5, 5), 0).astype(np.float64))
    windows = cv2.erode(kept, np.ones((11, 11), np.uint8))
    seen = vertex_visibility(posed, views[0], topology)[0]
    x, y = posed[0, seen, :2].long().T
    torch.testing.assert_close(weights[seen], torch.from_numpy(windows)[y, x], rtol=0, atol=1e-12)
    assert len(weights[seen].unique()) > 3


def test_rounding_to_bytes_hides_less_than_a_half():
    """One blurred count of 1/2 and more is 1 with compat, less is 0."""
    weights, seen, _ = weights_at(math.radians(30), torch.float64, "cpu")
    rounded, _, _ = weights_at(math.radians(30), torch.float64, "cpu", compat=True)
    count, whole = (-5 * w[seen].log() for w in (weights, rounded))
    torch.testing.assert_close(whole, (count + 0.5).floor(), rtol=0, atol=1e-9)
    assert ((count - count.round()).abs() > 0.1).any()


def test_what_hides_the_cheek_takes_its_counts():
    """A plate before half the posed sphere: what is behind it is hidden, and none of its pixels counts on the plate."""
    frontal, topology, points = turned_sphere(0.0)
    n = len(points)
    plate = torch.tensor([[120.0, 10, 4000], [120, 240, 4000], [245, 240, 4000], [245, 10, 4000]], dtype=torch.float64)
    behind = plate * torch.tensor([1.0, 1, 1e5])  # in the frontal view the plate is far behind the sphere
    faces = torch.cat([topology.faces, torch.tensor([[n, n + 1, n + 2], [n, n + 2, n + 3]], dtype=torch.int32)])
    both = Topology(faces, n + 4)
    posed = torch.cat([frontal, plate[None]], 1)
    from_front = torch.cat([frontal, behind[None]], 1)
    views = rasterize(posed, both, SIZE, SIZE), rasterize(from_front, both, SIZE, SIZE)
    weights = occlusion_weights(posed, *views, both)[0, :n]
    left, right = frontal[0, :, 0] < 115, (frontal[0, :, 0] > 122) & (frontal[0, :, 0] < 243)
    seen = torch.from_numpy(points[:, 2] < -0.1)
    assert (weights[left & seen] == 1).all()
    assert not weights[right].any()


def test_a_batch_has_its_own_views():
    turned = [turned_sphere(math.radians(d))[0] for d in (0, 25)]
    topology = turned_sphere(0.0)[1]
    posed, frontal = torch.cat(turned), torch.cat(turned[:1] * 2)
    views = [rasterize(v, topology, SIZE, SIZE) for v in (posed, frontal)]
    together = occlusion_weights(posed, *views, topology)
    assert not torch.equal(together[0], together[1])
    for b in range(2):
        one = [Fragments(*(part[b : b + 1] for part in view)) for view in views]
        assert torch.equal(occlusion_weights(posed[b : b + 1], *one, topology)[0], together[b])


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_bad_vertices_have_no_weight_and_crash_nothing(device, dtype, value):
    frontal, topology, _ = turned_sphere(0.0, dtype, device)
    views = [rasterize(frontal, topology, SIZE, SIZE)] * 2
    for axis in range(3):
        broken = frontal.clone()
        broken[0, ::2, axis] = value
        weights = occlusion_weights(broken, *views, topology)
        assert not weights[0, ::2].any()
        assert weights.isfinite().all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (2, 2), (3, 1)])
def test_pictures_smaller_than_the_blur(height, width):
    """The border mirrors as often as it must."""
    posed, topology = random_scene(2)
    views = [rasterize(posed, topology, height, width, "none"), rasterize(posed * 1.0, topology, 40, 40, "none")]
    found = occlusion_weights(posed, *views, topology)
    counts = slow_counts(posed, *views, topology)
    for b in range(2):
        blurred = cv2.GaussianBlur(np.maximum(counts[b] - 1, 0).astype(np.float64), (5, 5), 0)
        kept = cv2.erode(np.exp(-0.2 * blurred), np.ones((11, 11), np.uint8))
        seen = vertex_visibility(posed, views[0], topology)[b]
        x, y = posed[b, seen, :2].long().T
        torch.testing.assert_close(found[b, seen], torch.from_numpy(kept)[y, x], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("batch", "height", "frontal_height"), [(0, 4, 4), (2, 0, 4), (2, 4, 0)])
def test_empty(device, dtype, batch, height, frontal_height):
    verts, topology = random_scene(0, dtype, device)
    verts = verts[:batch]
    views = [rasterize(verts, topology, h, 5, "none") for h in (height, frontal_height)]
    found = occlusion_weights(verts, *views, topology)
    assert found.shape == (batch, topology.num_verts)
    assert found.dtype == dtype
    if not height:
        assert not found.any()
    if not frontal_height:  # nothing was squeezed: what is seen is trusted
        assert torch.equal(found, vertex_visibility(verts, views[0], topology).to(dtype))


def test_registration(device):
    verts, topology = random_scene(0, torch.float64, device)
    view = rasterize(verts, topology, 9, 13)
    torch.library.opcheck(
        torch.ops.pyface3d.occlusion_weights.default,
        (
            verts, topology.faces, view.face_index, view.depth, view.face_index, view.barycentrics, 2.5, True, False,
        ),
    )  # fmt: skip


def test_wrong_arguments():
    verts, topology = random_scene(0)
    view = rasterize(verts, topology, 9, 13)
    other = Fragments(*(part[:1] for part in view))
    with pytest.raises(ValueError, match="tolerance_mm must be finite and at least 0, got -1"):
        occlusion_weights(verts, view, view, topology, tolerance_mm=-1)
    with pytest.raises(ValueError, match=r"verts_image must have shape \(2, 16, 3\)"):
        occlusion_weights(verts[:1], view, view, topology)
    with pytest.raises(ValueError, match=r"frontal_fragments\.face_index must have shape \(2, Hf, Wf\)"):
        occlusion_weights(verts, view, other, topology)
    with pytest.raises(TypeError, match=r"fragments\.depth is torch\.float64"):
        occlusion_weights(verts.float(), view, view, topology)
    with pytest.raises(TypeError, match=r"frontal_fragments\.barycentrics is torch\.float32"):
        occlusion_weights(verts, view, view._replace(barycentrics=view.barycentrics.float()), topology)
    with pytest.raises(TypeError, match="verts_image must be float32 or float64"):
        occlusion_weights(verts.half(), view, view, topology)
    with pytest.raises(ValueError, match="topology is on"):
        occlusion_weights(verts.to("meta"), view, view, topology)
