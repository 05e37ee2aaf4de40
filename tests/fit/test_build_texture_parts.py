"""The parts a texture is made of, each by itself."""

import numpy as np
import pytest
import torch

from pyface3d.errors import InputError
from pyface3d.fit.skin import LOG_FLOOR, learn_colors, learn_skin, shading_basis, smooth_along_edges
from pyface3d.fit.texture_areas import face_areas
from pyface3d.fit.texture_chart import texel_grid
from pyface3d.fit.texture_detail import blur_to_resolution, grain
from pyface3d.fit.texture_light import extend_colors, extend_over_mesh
from pyface3d.fit.texture_mask import without_specks
from pyface3d.fit.texture_view import depth_edges, edge_distance, landmark_warp

SIZE = 256


@pytest.fixture(scope="module")
def grid(head):
    return texel_grid(head, SIZE)


def test_grid_interpolates_and_averages_back(head, grid):
    verts = head.vertices(torch.zeros(1, head.identity_dim), torch.zeros(1, head.expression_dim))[0]
    texels = grid.from_verts(verts)
    back, weight = grid.to_verts(texels, torch.ones(SIZE, SIZE))
    face = (face_areas(head).core > 0.5) & (weight > 0)
    # A linear function averaged over the faces around a vertex differs by their asymmetry, under a texel or two.
    assert (back - verts)[face].norm(dim=1).median() < 1.0


def test_grid_mirrors_texels(head, grid):
    x = head.vertices(torch.zeros(1, head.identity_dim), torch.zeros(1, head.expression_dim))[0, :, :1]
    texels = grid.from_verts(x)[..., 0]
    skin = grid.from_verts(face_areas(head).core[:, None])[..., 0] > 0.5
    partner = (grid.mirror_uvs * SIZE).long().clamp(0, SIZE - 1)
    mirrored = texels[partner[..., 1], partner[..., 0]]
    assert (mirrored + texels)[skin].abs().max() < 2.0  # mm


def test_eyes_are_exchanged_without_mirroring_the_gaze(head, grid):
    verts = head.vertices(torch.zeros(1, head.identity_dim), torch.zeros(1, head.expression_dim))[0]
    eyes = face_areas(head).eyes
    left = eyes & (verts[:, 0] > 0)
    x = torch.where(left, verts[:, 0] - verts[left, 0].mean(), verts[:, 0] - verts[eyes & ~left, 0].mean())
    texels = grid.from_verts(torch.stack([x, eyes.float()], 1))
    partner = (grid.mirror_uvs * SIZE).long().clamp(0, SIZE - 1)
    other = texels[partner[..., 1], partner[..., 0]]
    both = (texels[..., 1] > 0.99) & (other[..., 1] > 0.99)
    assert both.sum() > 50
    # Mirrored, it would be of the order of the eyeball's radius, 13 mm.
    assert (texels[..., 0] - other[..., 0])[both].abs().median() < 2.0


def test_grid_fills_gaps_from_islands(grid):
    picture = torch.where(grid.covered[..., None], 1.0, 0.0)
    assert (grid.spread(picture) == 1).all()


def test_model_without_chart_is_refused(head):
    class Chartless:
        name = "flat"
        topology = type(head.topology)(head.topology.faces, head.topology.num_verts)
        mirror = head.mirror

    with pytest.raises(InputError, match="has no texture coordinates"):
        texel_grid(Chartless(), 64)


def test_extension_keeps_data_and_fades_to_the_prior(head):
    values = torch.zeros(head.topology.num_verts, 1)
    weight = torch.zeros(head.topology.num_verts)
    nose = face_areas(head).nose
    values[nose], weight[nose] = 2.0, 1.0
    field = extend_over_mesh(head, values, weight, torch.tensor([0.5]))
    assert field[nose].mean() > 1.7
    back = head.regions["back"]
    assert (field[back] - 0.5).abs().max() < 0.1
    assert field.min() > 0.5 - 1e-4 and field.max() < 2.0 + 1e-4  # a membrane does not overshoot


def test_extension_without_data_is_the_prior(head):
    nothing = torch.zeros(head.topology.num_verts, 3)
    field = extend_over_mesh(head, nothing, nothing[:, 0], torch.tensor([0.1, 0.2, 0.3]))
    torch.testing.assert_close(field, torch.tensor([0.1, 0.2, 0.3]).expand_as(field))


def test_unseen_side_takes_its_mirror_and_the_difference_in_light(head):
    """The left side differs from the right by a step in light that both sides show near the middle."""
    verts = head.vertices(torch.zeros(1, head.identity_dim), torch.zeros(1, head.expression_dim))[0]
    core = face_areas(head).core > 0.3
    freckle = core & ((verts[:, 0].abs() - 45).abs() < 8) & (verts[:, 1].abs() < 15)
    offset = torch.where(freckle, 0.8, 0.2)[:, None].repeat(1, 3)
    seen = (core & (verts[:, 0] < 20)).float()
    field = extend_colors(head, offset * seen[:, None], seen, torch.full((3,), 0.2))
    hidden = freckle & (verts[:, 0] > 25)
    plain = core & (verts[:, 0] > 25) & ~freckle & ((verts[:, 0] - 45).abs() > 20)
    assert field[hidden].mean() > field[plain].mean() + 0.25


def test_distance_counts_from_the_edge_of_the_pixel_and_of_the_picture():
    mask = torch.ones(9, 9, dtype=torch.bool)
    mask[:, 6:] = False
    distance = edge_distance(mask)
    assert distance[4, 5] == 0.5 and distance[4, 4] == 1.5
    assert distance[0, 2] == 0.5
    assert (distance[~mask] == 0).all()


def test_depth_edges_are_steps():
    depth = torch.full((4, 6), 500.0)
    depth[:, 3:] = 520.0
    depth[0] = torch.inf
    edges = depth_edges(depth, 8.0)
    assert edges[2, 2] and edges[2, 3]
    assert not edges[2, 0] and not edges[2, 5]
    assert edges[1].all()  # beside what is not there


def test_warp_moves_to_the_landmarks_and_fades():
    generator = torch.Generator().manual_seed(0)
    source = 100 + 100 * torch.rand(40, 2, generator=generator)
    target = source + torch.tensor([3.0, -2.0])
    near = landmark_warp(source, source, target, 200.0)
    assert (near - torch.tensor([3.0, -2.0])).norm(dim=1).mean() < 0.6
    far = landmark_warp(torch.tensor([[600.0, 600.0]]), source, target, 200.0)
    assert far.abs().max() < 1e-3
    lost = landmark_warp(source, source, source + 100.0, 200.0)
    assert (lost == 0).all()


def people_pixels(share_skin: float, occluder: list[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log ratios of skin in a slanted light and of an occluder, normals, and which are skin."""
    random = np.random.default_rng(0)
    normals = random.normal(size=(6000, 3)) * [0.5, 0.5, 0.2] + [0, 0, -1]
    normals = (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)
    is_skin = random.random(6000) < share_skin
    light = 0.3 * normals[:, :1] + np.array([0.1, 0.0, -0.1])
    skin = light + random.normal(size=(6000, 3)) * 0.02 + random.normal(size=(6000, 1)) * 0.1
    other = np.array(occluder) + random.normal(size=(6000, 3)) * 0.05
    return np.where(is_skin[:, None], skin, other).astype(np.float32), normals, is_skin


@pytest.mark.parametrize(
    "occluder", [[-0.8, 0.1, 0.9], [0.2, 0.8, 1.2], [-2.5, -1.9, -1.5]], ids=["blue", "white", "black"]
)
def test_skin_is_found_though_most_pixels_are_not(occluder):
    log_ratio, normals, is_skin = people_pixels(0.45, occluder)
    skin = learn_skin(log_ratio, normals, np.ones(len(log_ratio), np.float32))
    distance = np.linalg.norm(skin.distance(log_ratio, normals), axis=1)
    assert np.mean(distance[is_skin] < 3) > 0.95
    assert np.mean(distance[~is_skin] > 3) > 0.95


def test_learnt_light_follows_the_direction():
    log_ratio, normals, _ = people_pixels(1.0, [0, 0, 0])
    skin = learn_skin(log_ratio, normals, np.ones(len(log_ratio), np.float32))
    left, right = (np.array([[s * 0.4, 0.0, -0.917]], np.float32) for s in (-1, 1))
    step = (skin.shade(right) - skin.shade(left))[0]
    np.testing.assert_allclose(step, 0.3 * 0.8, atol=0.07)  # the ridge keeps a part of it


def test_shading_basis_is_the_ops():
    normals = np.array([[0, 0, 1.0], [0.6, 0, 0.8]], np.float32)
    basis = shading_basis(normals)
    assert basis.shape == (2, 9)
    np.testing.assert_allclose(basis[:, 0], 0.2820948, rtol=1e-5)
    np.testing.assert_allclose(basis[0, 2] / basis[1, 2], 1 / 0.8, rtol=1e-5)


def test_colour_histogram_prefers_what_it_saw():
    blue = np.log(np.tile([0.05, 0.1, 0.6], (500, 1)) + LOG_FLOOR).astype(np.float32)
    red = np.log(np.array([[0.6, 0.1, 0.05]]) + LOG_FLOOR).astype(np.float32)
    colors = learn_colors((blue, 0.5))
    uniform = learn_colors()
    assert colors(blue[:1]) > uniform(blue[:1]) + 2
    np.testing.assert_allclose(colors(red), uniform(red) + np.log(0.5), atol=1e-4)


def test_smoothing_stops_at_edges():
    guide = np.zeros((40, 40), np.float32)
    guide[:, 20:] = 3.0
    values = guide + np.random.default_rng(0).normal(size=guide.shape).astype(np.float32)
    smooth = smooth_along_edges(values, guide, 4, 0.05)
    assert abs(smooth[20, 15:20].mean()) < 0.4
    assert abs(smooth[20, 20:25].mean() - 3) < 0.4
    assert smooth[:, :15].std() < 0.4


def test_specks_turn_and_large_parts_stay():
    mask = np.zeros((100, 100), bool)
    mask[10:90, 10:90] = True
    mask[20:22, 20:22] = False  # a mole
    mask[50:70, 50:70] = False  # an occluder
    mask[95:97, 95:97] = True  # a lookalike
    clean = without_specks(mask, 100.0**2, np.ones_like(mask), np.zeros_like(mask))
    assert clean[20, 20] and not clean[60, 60] and not clean[95, 95] and clean[12, 12]
    eye = np.zeros_like(mask)
    eye[48:72, 48:72] = True
    assert without_specks(mask, 100.0**2, np.ones_like(mask), eye)[60, 60]


def test_blur_follows_the_photo():
    picture = torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(0))
    assert blur_to_resolution(picture, 1.0) is picture
    assert blur_to_resolution(picture, 4.0).std() < 0.5 * picture.std()


def test_grain_has_the_photos_strength():
    noise = 0.02 * torch.randn(128, 128, generator=torch.Generator().manual_seed(1))
    everywhere = torch.ones(128, 128, dtype=torch.bool)
    made = grain(noise, everywhere, 1.0)
    assert 0.3 * noise.std() < made.std() < noise.std()
    assert torch.equal(made, grain(noise, everywhere, 1.0))
    assert (grain(noise, ~everywhere, 1.0) == 0).all()


def test_areas_are_symmetric_and_apart(head):
    areas = face_areas(head)
    mirror = head.mirror.long()
    for name in ("face", "core", "rim", "lips", "brows", "lids", "nose", "beard"):
        area = getattr(areas, name).float()
        assert (area - area[mirror]).abs().mean() < 0.01, name
    assert not (areas.lips & areas.beard).any()
    verts = head.vertices(torch.zeros(1, head.identity_dim), torch.zeros(1, head.expression_dim))[0]
    behind = head.regions["skin"] & ~head.regions["ears"] & (verts[:, 2] < verts[:, 2].quantile(0.1))
    assert areas.face[behind].max() < 0.05
    assert areas.face[areas.lashes].max() == 0
