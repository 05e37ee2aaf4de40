"""Exact distances against brute force and trimesh; the NoW protocol on cases whose answer is known."""

import numpy as np
import pytest
import torch

from pyface3d.errors import InputError
from pyface3d.evaluate.scan_distance import TriangleSurface, face_region, nearest_on_triangles, scan_distance
from pyface3d.geometry import rotation_from_axis_angle

trimesh = pytest.importorskip("trimesh")


def sampled_distance(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Every point against every triangle, by nothing but many samples of the triangle: an upper bound."""
    steps = np.stack([(i, j, 60 - i - j) for i in range(61) for j in range(61 - i)]) / 60
    samples = np.einsum("sk,fkd->fsd", steps, corners).reshape(-1, 3)
    return np.linalg.norm(points[:, None] - samples[None], axis=2).min(1)


def brute_force(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Distance to every triangle, the least taken: no tree, no bound."""
    pairs = np.repeat(points, len(corners), 0), np.tile(corners, (len(points), 1, 1))
    near = nearest_on_triangles(*pairs)
    return np.linalg.norm(near - pairs[0], axis=1).reshape(len(points), -1).min(1)


def bumpy_mesh(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A sphere with bumps and triangles of very different sizes."""
    rng = np.random.default_rng(seed)
    ball = trimesh.creation.icosphere(3, radius=60.0)
    ball = ball.subdivide(face_index=rng.choice(len(ball.faces), 300, replace=False))
    verts = ball.vertices * (1 + 0.15 * np.sin(5 * ball.vertices[:, :1] / 60) * np.cos(4 * ball.vertices[:, 1:2] / 60))
    return np.asarray(verts), np.asarray(ball.faces)


def test_nearest_agrees_with_brute_force_and_trimesh():
    verts, faces = bumpy_mesh()
    rng = np.random.default_rng(1)
    points = np.concatenate([rng.normal(size=(60, 3)) * 80, verts[:20], verts[faces[:20]].mean(1)])
    distance, position, triangle = TriangleSurface(verts, faces).nearest(points)
    np.testing.assert_allclose(distance, brute_force(points, verts[faces]), atol=1e-10)
    near, theirs, _ = trimesh.proximity.closest_point_naive(trimesh.Trimesh(verts, faces, process=False), points)
    np.testing.assert_allclose(distance, theirs, atol=1e-6)
    outside = distance > 1e-3
    np.testing.assert_allclose(position[outside], near[outside], atol=1e-4)
    # The position lies on the triangle named.
    on = nearest_on_triangles(position, verts[faces[triangle]])
    np.testing.assert_allclose(on, position, atol=1e-9)


def test_one_triangle_by_dense_samples():
    rng = np.random.default_rng(2)
    corners = rng.normal(size=(3, 3, 3)) * 10
    points = rng.normal(size=(200, 3)) * 12
    exact = brute_force(points, corners)
    sampled = sampled_distance(points, corners)
    assert (exact <= sampled + 1e-12).all()
    assert (sampled - exact).max() < 0.5  # the samples' spacing
    assert np.median(sampled - exact) < 0.05


def test_mixed_sizes_search_stays_exact():
    """One triangle a thousand times the others: its middle is far from points that lie on it."""
    verts, faces = bumpy_mesh(3)
    big = np.array([[-9e4, -9e4, 70.0], [9e4, -9e4, 70.0], [0, 9e4, 70.0]])
    verts, faces = np.concatenate([verts, big]), np.concatenate([faces, [[len(verts), len(verts) + 1, len(verts) + 2]]])
    points = np.random.default_rng(3).normal(size=(50, 3)) * 60
    distance, _, triangle = TriangleSurface(verts, faces).nearest(points)
    np.testing.assert_allclose(distance, brute_force(points, verts[faces]), atol=1e-9)
    assert (triangle == len(faces) - 1).any()


def test_triangles_of_no_area_are_segments_and_points():
    segment = np.array([[0.0, 0, 0], [10, 0, 0], [10, 0, 0]])
    dot = np.array([[50.0, 0, 0]] * 3)
    surface = TriangleSurface(np.concatenate([segment, dot]), np.array([[0, 1, 2], [3, 4, 5]]))
    distance, position, triangle = surface.nearest(np.array([[5.0, 3, 0], [-4, 3, 0], [50, 0, 2]]))
    np.testing.assert_allclose(distance, [3, 5, 2])
    np.testing.assert_allclose(position[0], [5, 0, 0])
    assert triangle[2] == 1


def face_like(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A bumpy ball with seven landmarks on its front (+z), about the size of a face."""
    verts, faces = bumpy_mesh(seed)
    # eye corners, nose bottom, mouth corners
    wanted = np.array([[-42, 25], [-16, 25], [16, 25], [42, 25], [0, -5], [-24, -30], [24, -30]], float)
    front = verts[:, 2] > 0
    index = [np.flatnonzero(front)[np.linalg.norm(verts[front, :2] - w, axis=1).argmin()] for w in wanted]
    return verts, faces, verts[index]


def moved(points: np.ndarray, scale: float, turn: tuple[float, float, float], shift: tuple[float, float, float]):
    rotation = rotation_from_axis_angle(torch.tensor(turn, dtype=torch.float64)).numpy()
    return scale * points @ rotation.T + np.array(shift)


@pytest.mark.parametrize("metrical", [False, True])
def test_a_moved_copy_is_at_distance_zero(metrical):
    verts, faces, marks = face_like()
    scale = 1.0 if metrical else 0.013
    place = scale, (0.4, -1.2, 2.0), (300.0, -20.0, 5.0)
    rng = np.random.default_rng(0)
    # Landmarks a few mm off: the refinement has to find the surface itself.
    rough = moved(marks + rng.normal(size=marks.shape) * 2, *place)
    result = scan_distance(verts, marks, moved(verts, *place), faces, rough, metrical=metrical)
    assert result.distances.max() < 0.02
    assert float(result.alignment.scale[0]) == pytest.approx(1 / scale, rel=1e-3)
    assert np.abs(result.start.apply(torch.from_numpy(rough)[None])[0].numpy() - marks).max() > 0.5


def test_scale_is_forgiven_only_when_it_may_be():
    verts, faces, marks = face_like()
    free = scan_distance(verts, marks, verts * 1.1, faces, marks * 1.1)
    fixed = scan_distance(verts, marks, verts * 1.1, faces, marks * 1.1, metrical=True)
    assert free.median < 0.01
    assert fixed.median > 0.3
    assert float(fixed.alignment.scale[0]) == 1


def test_a_mirror_image_does_not_match():
    verts, faces, marks = face_like()
    verts[:, 0] += 0.15 * np.maximum(verts[:, 1], 0)  # lopsided
    mirror = verts * [-1, 1, 1]
    turned = marks[[3, 2, 1, 0, 4, 6, 5]] * [-1, 1, 1]
    result = scan_distance(verts, marks, mirror, faces[:, ::-1], turned)
    assert float(torch.linalg.det(result.alignment.rotation[0])) == pytest.approx(1)
    assert result.median > 0.1


def test_refining_never_loses_to_the_landmarks():
    verts, _, marks = face_like()
    rng = np.random.default_rng(5)
    other, other_faces, other_marks = face_like(seed=5)
    noisy = other_marks + rng.normal(size=marks.shape) * 3
    result = scan_distance(verts, marks, other * 1.05, other_faces, noisy)
    points = verts[face_region(verts, marks)]
    begin = result.start.apply(torch.from_numpy(other * 1.05)[None])[0].numpy()
    before, _, _ = TriangleSurface(begin, other_faces).nearest(points)
    assert result.mean < before.mean()


def test_normal_noise_of_known_size():
    """Scan = dense sphere with Gaussian noise along its normals: the median of |N(0, σ)| is 0.6745 σ."""
    ball = trimesh.creation.icosphere(5, radius=70.0)
    verts, faces = np.asarray(ball.vertices), np.asarray(ball.faces)
    _, _, marks = face_like()
    marks = marks / np.linalg.norm(marks, axis=1, keepdims=True) * 70
    noise = np.random.default_rng(0).normal(size=(len(verts), 1)) * 0.8
    result = scan_distance(verts * (1 + noise / 70), marks, verts, faces, marks)
    assert result.median == pytest.approx(0.6745 * 0.8, rel=0.05)


def test_region_is_the_ball_of_the_protocol():
    marks = np.array([[-45, 30, 0], [-15, 30, 0], [15, 30, 0], [45, 30, 0], [0, 0, 10], [-25, -30, 0], [25, -30, 0]])
    middle = np.array([0, 9.0, 7.0])
    radius = 0.7 * (90 + np.hypot(30, 10))
    directions = np.random.default_rng(0).normal(size=(100, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert face_region(middle + directions * radius * 0.999, marks).all()
    assert not face_region(middle + directions * radius * 1.001, marks).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scan_points": np.zeros((4, 2))}, "scan_points must have shape"),
        ({"verts": np.full((5, 3), np.nan)}, "verts must be finite"),
        ({"faces": np.array([[0, 1, 5]])}, r"faces must hold indices in \[0, 5\)"),
        ({"faces": np.zeros((0, 3), int)}, "at least one row"),
        ({"landmarks": np.zeros((68, 3))}, "seven points"),
        ({"scan_points": np.full((4, 3), 1e5)}, "no point near"),
    ],
)
def test_errors_name_the_argument(change, message):
    _, _, marks = face_like()
    verts = np.random.default_rng(0).normal(size=(5, 3))
    given = {
        "scan_points": marks,
        "scan_landmarks": marks,
        "verts": verts,
        "faces": np.array([[0, 1, 2]]),
        "landmarks": marks,
    }
    with pytest.raises(InputError, match=message):
        scan_distance(**{**given, **change})
