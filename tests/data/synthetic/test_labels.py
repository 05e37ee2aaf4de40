"""Labels: the same points as the fit's own formulas give, and visibility against ray casting."""

import numpy as np
import pytest
import torch
from conftest import generators

from pyface3d.data.synthetic import people as people_stage
from pyface3d.data.synthetic.labels import VISIBLE_WITHIN_MM, evenly_spread, labels
from pyface3d.data.synthetic.people import STAGE as PEOPLE
from pyface3d.data.synthetic.people import draw_people
from pyface3d.data.synthetic.views import RENDER_SCALE, STAGE, draw_views
from pyface3d.face_models.dense_points import dense_mirror
from pyface3d.face_models.landmarks import IBUG68_FLIP
from pyface3d.fit.sparse_model import NUM_JAW, sparse_face, visible_contour
from pyface3d.ops import Topology, rasterize

SIZE = 96


def labelled(assets, count, seed=0, size=SIZE):
    people = draw_people(assets, generators(seed, 0, count, PEOPLE))
    views = draw_views(generators(seed, 0, count, STAGE), people, size)
    image = views.image(people.verts)
    fragments = rasterize(image, people.model.topology, views.camera.height, views.camera.width)
    return people, views, image, labels(people, views, fragments, people.model.topology)


def test_points_are_those_of_the_model_through_the_camera(head_assets):
    people, views, _, found = labelled(head_assets, 8)
    head = people.model
    for scheme, got in (("ibug68", found.points68_3d[..., :2]), ("dense320", found.dense)):
        points = head.landmarks(scheme).points(people.verts, head.topology)
        wanted = views.camera.project(points @ views.rotation.mT + views.translation[:, None])
        torch.testing.assert_close(got, wanted[..., :2] / RENDER_SCALE, atol=1e-3, rtol=0)
        if scheme == "ibug68":
            torch.testing.assert_close(found.points68_3d[..., 2], wanted[..., 2], atol=1e-2, rtol=0)
    assert torch.equal(found.points68[:, NUM_JAW:], found.points68_3d[:, NUM_JAW:, :2])


def test_jaw_points_are_where_the_fit_looks_for_them(head_assets, monkeypatch):
    monkeypatch.setattr(people_stage, "_LOPSIDED_SHARE", 0.0)
    people, views, _, found = labelled(head_assets, 24)
    sparse = sparse_face(people.model)
    spots = sparse.points(torch.cat([people.identity, people.expression], 1).double())
    camera = views.camera.to(torch.float64)
    image = camera.project(spots @ views.rotation.double().mT + views.translation[:, None].double())
    jaw = visible_contour(sparse, image[..., :2], views.rotation.double())
    wanted = image.gather(1, jaw[..., None].expand(-1, -1, 3))[..., :2] / RENDER_SCALE
    wanted, _ = evenly_spread(wanted)
    error = (found.points68[:, :NUM_JAW] - wanted).norm(dim=-1)
    # Float32 and float64 may take another of two candidates that lie equally far out.
    assert (error < 0.05).float().mean() > 0.99


def test_jaw_points_cut_each_half_of_the_line_into_equal_parts():
    bent = torch.rand(5, 17, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).cumsum(1)
    even, nearest = evenly_spread(bent)
    assert torch.equal(even[:, [0, 8, 16]], bent[:, [0, 8, 16]])
    for jaw, line, near in zip(even.numpy(), bent.numpy(), nearest.numpy()):
        for first in (0, 8):
            knots = line[first : first + 9]
            ends = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
            at = np.linspace(0, ends[-1], 9)
            wanted = np.stack([np.interp(at, ends, knots[:, axis]) for axis in (0, 1)], 1)
            np.testing.assert_allclose(jaw[first : first + 9], wanted, atol=1e-9)
            assert (np.abs(ends[near[first : first + 9] - first] - at) <= np.diff(ends).max()).all()
    straight = torch.arange(17.0)[None, :, None].expand(1, 17, 2)
    torch.testing.assert_close(evenly_spread(straight)[0], straight)
    assert torch.isfinite(evenly_spread(torch.zeros(1, 17, 2))[0]).all()


def first_hit(origin, points, corners):
    """Distance along the ray from ``origin`` to each point, in units of that point's, of the first triangle met."""
    nearest = torch.full((len(points),), torch.inf, dtype=torch.float64)
    a, u, v = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    for row, point in enumerate(points):
        ray = point - origin
        across = torch.linalg.cross(ray.expand_as(v), v)
        determinant = (u * across).sum(1)
        front = determinant > 1e-12  # faces seen from outside
        inverse = 1 / determinant.where(front, torch.ones_like(determinant))
        first = ((origin - a) * across).sum(1) * inverse
        other = torch.linalg.cross(origin - a, u)
        second = (ray * other).sum(1) * inverse
        hit = front & (first >= 0) & (second >= 0) & (first + second <= 1)
        distance = (v * other).sum(1) * inverse
        if hit.any():
            nearest[row] = distance[hit].min()
    return nearest


def test_visibility_agrees_with_ray_casting(head_assets):
    people, views, _, found = labelled(head_assets, 6, seed=2, size=256)
    head = people.model
    faces = head.topology.faces.long()
    for index in range(6):
        verts = views.verts_camera(people.verts)[index].double()
        points = head.landmarks("dense320").points(verts[None], head.topology)[0]
        hit = first_hit(torch.zeros(3, dtype=torch.float64), points, verts[faces])
        hidden_by = points[:, 2] * (1 - hit)  # mm in depth
        inside = ((found.dense[index] > 1) & (found.dense[index] < 255)).all(1)
        seen = found.visible_dense[index]
        # A pixel and the tolerance leave room near silhouettes; away from it there is none.
        clearly_hidden, clear = hidden_by > 4 * VISIBLE_WITHIN_MM, hidden_by < 0.3
        assert (seen & clearly_hidden & inside).float().sum() <= 0.02 * 320
        assert (~seen & clear & inside).float().sum() <= 0.02 * 320


def test_what_stands_before_the_face_hides_it(head_assets):
    people, views, image, found = labelled(head_assets, 4)
    head = people.model.topology
    before = image[:, :, 2].amin(1) - 20.0
    corners = torch.tensor([[-1e3, -1e3], [-1e3, 1e3], [1e3, 1e3], [1e3, -1e3]]).expand(4, -1, -1)
    plate = torch.cat([corners, before[:, None, None].expand(-1, 4, 1)], 2)
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32) + head.num_verts
    scene = Topology(torch.cat([head.faces, faces]), head.num_verts + 4)
    side = views.camera.width
    fragments = rasterize(torch.cat([image, plate], 1), scene, side, side, cull="none")
    covered = labels(people, views, fragments, scene)
    assert found.visible68.any() and found.visible_dense.any()
    assert not covered.visible68.any() and not covered.visible_dense.any()
    assert torch.equal(covered.points68, found.points68)


def test_points_outside_the_frame_are_not_visible(head_assets):
    _, _, _, found = labelled(head_assets, 64)
    outside = ((found.dense < -1) | (found.dense > SIZE + 1)).any(-1)
    assert outside.any() and not (found.visible_dense & outside).any()


def test_a_mirrored_head_has_mirrored_labels(head_assets):
    people, views, _, found = labelled(head_assets, 6, seed=5)
    head = people.model
    flip = torch.tensor([-1.0, 1.0, 1.0])
    mirrored = people_stage.People(
        head,
        people.verts[:, head.mirror] * flip,
        people.neutral[:, head.mirror] * flip,
        people.identity,
        people.expression,
        people.source,
    )
    across = torch.diag(flip)
    camera = type(views.camera)(
        views.camera.focal,
        torch.stack([views.camera.width - views.camera.center[:, 0], views.camera.center[:, 1]], 1),
        views.camera.height,
        views.camera.width,
    )
    other = type(views)(
        across @ views.rotation @ across, views.translation * flip, across @ views.seen @ across, camera, views.size
    )
    fragments = rasterize(other.image(mirrored.verts), head.topology, camera.height, camera.width)
    got = labels(mirrored, other, fragments, head.topology)
    back = torch.tensor([SIZE, 0.0]), torch.tensor([-1.0, 1.0])
    inner = list(IBUG68_FLIP)
    torch.testing.assert_close(
        got.points68_3d[:, inner, :2] * back[1] + back[0], found.points68_3d[..., :2], atol=0.02, rtol=0
    )
    torch.testing.assert_close(got.dense[:, dense_mirror(head)] * back[1] + back[0], found.dense, atol=0.02, rtol=0)
    same = got.visible_dense[:, dense_mirror(head)] == found.visible_dense
    assert same.float().mean() > 0.98  # pixels are not where their mirror images are, to a rounding


@pytest.mark.parametrize("yaw", [-80, 80])
def test_in_profile_the_far_eye_is_hidden(head_assets, yaw):
    from pyface3d.geometry import Camera, rotation_from_euler

    people = draw_people(head_assets, generators(1, 0, 1, PEOPLE))
    rotation = rotation_from_euler(*(torch.tensor([np.radians(a)], dtype=torch.float32) for a in (yaw, 0, 0)))
    side = round(RENDER_SCALE * SIZE)
    camera = Camera(torch.tensor([side * 5.0]), torch.full((1, 2), side / 2), side, side)
    from pyface3d.data.synthetic.views import Views

    views = Views(rotation, torch.tensor([[0.0, 0.0, 1200.0]]), rotation, camera, SIZE)
    fragments = rasterize(views.image(people.verts), people.model.topology, side, side)
    seen = labels(people, views, fragments, people.model.topology).visible68[0]
    near, far = (slice(36, 42), slice(42, 48)) if yaw > 0 else (slice(42, 48), slice(36, 42))
    assert seen[near].sum() >= 4 and not seen[far].any()
