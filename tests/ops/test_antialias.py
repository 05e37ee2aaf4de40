"""antialias: areas and their derivatives in closed form, a supersampled picture, surfaces before surfaces, edges."""

import math

import numpy as np
import pytest
import torch
from antialias_oracle import slow_antialias
from hypothesis import given, settings
from hypothesis import strategies as st
from raster_oracles import random_scene, seen_from_camera, sphere
from torch import Tensor

from pyface3d.ops import Fragments, Topology, antialias, interpolate, rasterize

QUAD = torch.tensor([[0, 2, 1], [0, 3, 2]])  # corners clockwise in the y-down picture: right-handed fronts


def fan(points: np.ndarray, depth: float = 5.0) -> tuple[Tensor, Topology]:
    """A star-shaped polygon (N, 2), anticlockwise to the eye, as triangles around its middle: (1, N + 1, 3)."""
    n = len(points)
    verts = np.concatenate([points, points.mean(0, keepdims=True)])
    faces = np.array([[n, i, (i + 1) % n] for i in range(n)])
    return torch.tensor(np.concatenate([verts, np.full((n + 1, 1), depth)], 1)[None]), Topology(
        torch.from_numpy(faces), n + 1
    )


def regular(corners: int, radius: float, middle: tuple[float, float], turn: float) -> np.ndarray:
    angle = turn + 2 * np.pi * np.arange(corners) / corners
    return np.stack([middle[0] + radius * np.cos(angle), middle[1] - radius * np.sin(angle)], -1)


def area(points: Tensor) -> Tensor:
    """Of a polygon (N, 2), anticlockwise to the eye: the shoelace formula, y down."""
    x, y = points.T
    return (y * x.roll(-1) - x * y.roll(-1)).sum() / 2


def rectangle(x0: float, y0: float, x1: float, y1: float, depth: float = 5.0) -> Tensor:
    return torch.tensor([[x0, y0, depth], [x1, y0, depth], [x1, y1, depth], [x0, y1, depth]], dtype=torch.float64)


def mask_of(fragments: Fragments) -> Tensor:
    return fragments.mask[..., None].to(fragments.depth.dtype)


def smooth_mask(verts: Tensor, topology: Topology, height: int, width: int, cull: str = "back") -> Tensor:
    fragments = rasterize(verts, topology, height, width, cull=cull)
    return antialias(mask_of(fragments), fragments, verts, topology)


def test_a_rectangle_covers_its_pixels_by_their_area(device, dtype):
    """Borders beyond the middles of the pixels they cross: all shares are the rectangle's own."""
    verts = rectangle(2.3, 1.2, 6.75, 4.9).to(dtype).to(device)[None]
    found = smooth_mask(verts, Topology(QUAD, 4).to(device), 7, 9)[0, :, :, 0]
    across = torch.tensor([0, 0, 0.7, 1, 1, 1, 0.75, 0, 0], dtype=dtype, device=device)
    down = torch.tensor([0, 0.8, 1, 1, 0.9, 0, 0], dtype=dtype, device=device)
    torch.testing.assert_close(found, down[:, None] * across)


def test_borders_short_of_the_middle_go_to_the_pixels_outside():
    found = smooth_mask(rectangle(2.7, 1.8, 6.25, 4.3)[None], Topology(QUAD, 4), 7, 9)[0, :, :, 0]
    across = torch.tensor([0, 0, 0.3, 1, 1, 1, 0.25, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(found[3], across)
    down = torch.tensor([0, 0.2, 1, 1, 0.3, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(found[:, 4], down)


def test_borders_through_middles_halve_their_pixels_on_either_side():
    """The left and upper ones belong to the rectangle, the right and lower ones do not."""
    found = smooth_mask(rectangle(2.5, 1.5, 6.5, 4.5)[None], Topology(QUAD, 4), 7, 9)[0, :, :, 0]
    torch.testing.assert_close(found[3], torch.tensor([0, 0, 0.5, 1, 1, 1, 0.5, 0, 0], dtype=torch.float64))
    torch.testing.assert_close(found[:, 4], torch.tensor([0, 0.5, 1, 1, 0.5, 0, 0], dtype=torch.float64))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(3, 9),
    st.floats(15, 21),
    st.floats(0, 2 * math.pi),
    st.tuples(st.floats(23, 25), st.floats(23, 25)),
)
def test_the_sum_of_a_mask_is_the_polygons_area_and_so_is_its_derivative(corners, radius, turn, middle):
    """An edge is met by one line a row (or column), one more or less at each of its ends.

    So a derivative by a corner, where two edges meet, is off by less than two lines of 1 / cos 45°, and the area by
    half a pixel a corner. For growth from the middle the errors of the corners partly cancel.
    """
    points = regular(corners, radius, middle, turn)
    verts, topology = fan(points)
    verts.requires_grad_()
    total = smooth_mask(verts, topology, 48, 48).sum()
    exact = area(verts[0, :-1, :2])
    assert abs(total - exact) <= 0.5 * corners
    found, expected = torch.autograd.grad(total, verts)[0], torch.autograd.grad(exact, verts)[0]
    assert (found[0, :-1] - expected[0, :-1]).abs().max() <= 2 * math.sqrt(2)
    growth = (found[0] * (verts[0] - verts[0, -1])).sum()
    assert abs(growth - 2 * exact) <= 0.08 * 2 * exact  # 0.055 the worst of 1500 draws, 0.007 their median
    assert not found[0, -1].any()  # the middle lies on no outline
    assert not found[..., 2].any()


@pytest.mark.parametrize("turn", np.radians(np.arange(0, 360, 7.5)).tolist())
def test_an_edge_of_any_direction_moves_the_area_by_its_length(turn):
    """One side of a square pushed along its normal: by its two corners, whose other sides such a push only slides."""
    points = regular(4, 30 * math.sqrt(2), (64.2, 63.9), turn + math.pi / 4)
    verts, topology = fan(points)
    verts.requires_grad_()
    grad = torch.autograd.grad(smooth_mask(verts, topology, 128, 128).sum(), verts)[0][0]
    outwards = torch.tensor([math.cos(turn + math.pi / 2), -math.sin(turn + math.pi / 2)], dtype=torch.float64)
    assert abs((grad[:2, :2] @ outwards).sum().item() - 60) <= math.sqrt(2) + 1e-9  # a line more or less


def supersampled(verts: Tensor, colours: Tensor, topology: Topology, size: int, times: int = 16) -> Tensor:
    """The box filter: the mean over ``times`` squared pixels for each."""
    scale = torch.tensor([times, times, 1], dtype=verts.dtype)
    fragments = rasterize(verts * scale, topology, size * times, size * times)
    fine = interpolate(colours, fragments, topology)
    return fine.reshape(1, size, times, size, times, -1).mean((2, 4))


def ball(rings: int, sectors: int, size: int, distance: float = 4.0) -> tuple[Tensor, Topology]:
    verts, faces = sphere(rings, sectors)
    turned = verts[:, [1, 2, 0]] * np.array([1.0, -1, -1])
    image = seen_from_camera(turned + np.array([0.02, -0.03, distance]), 1.4 * size, size, size)
    return torch.from_numpy(image)[None].contiguous(), Topology(torch.from_numpy(faces), len(verts))


@pytest.mark.parametrize(("rings", "sectors", "size"), [(9, 14, 40), (60, 90, 40), (60, 90, 96)])
def test_is_far_nearer_to_a_supersampled_picture_than_the_plain_one(rings, sectors, size):
    """Faces larger than a pixel and much smaller ones; the outline is a polygon's and a circle's."""
    verts, topology = ball(rings, sectors, size)
    colours = 0.5 + 0.5 * (verts - verts.mean(1, keepdim=True)) / verts.std(1, keepdim=True) / 3
    fragments = rasterize(verts, topology, size, size)
    plain = interpolate(colours, fragments, topology)
    smooth = antialias(plain, fragments, verts, topology)
    reference = supersampled(verts, colours, topology, size)
    at_outline = (smooth != plain).any(-1)
    errors = [(picture - reference)[at_outline].square().mean().sqrt().item() for picture in (plain, smooth)]
    assert at_outline.sum() > size
    assert errors[1] < 0.3 * errors[0]


def test_no_bit_changes_inside_a_surface(dtype):
    """Every pixel that has no pixel of the background beside it, on a mesh of faces of less than a pixel."""
    verts, topology = ball(60, 90, 64)
    fragments = rasterize(verts.to(dtype), topology, 64, 64)
    image = torch.rand(1, 64, 64, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    smooth = antialias(image, fragments, verts.to(dtype), topology)
    mask = torch.nn.functional.pad(fragments.mask, (1, 1, 1, 1))
    alike = [mask[:, 1 + y : 65 + y, 1 + x : 65 + x] == fragments.mask for y, x in ((0, 1), (1, 0), (0, -1), (-1, 0))]
    inside = torch.stack(alike).all(0)
    assert inside[:, 20:44, 20:44].all()
    assert torch.equal(smooth[inside], image[inside])
    assert (smooth != image).any(-1).sum() > 100


@pytest.mark.parametrize("cull", ["back", "none"])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_agrees_with_the_slow_twin_on_any_heap_of_triangles(cull, seed):
    """Also what may never happen: the result leaves the range of the colours."""
    verts, topology = random_scene(seed, behind=0.1)
    fragments = rasterize(verts, topology, 9, 13, cull=cull)
    image = torch.rand(2, 9, 13, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = antialias(image, fragments, verts, topology)
    torch.testing.assert_close(found, slow_antialias(image, fragments, verts, topology))
    assert found.min() >= image.min() - 1e-12 and found.max() <= image.max() + 1e-12


@pytest.mark.parametrize("seed", range(6))
def test_both_back_ends_agree_with_the_slow_twin_on_heaps(device, seed):
    """The CPU looks only where it has marked the picture, CUDA everywhere."""
    verts, topology = random_scene(seed, device=device, behind=0.05 * (seed % 3))
    fragments = rasterize(verts, topology, 9, 13, cull="none")
    image = torch.rand(2, 9, 13, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = antialias(image.to(device), fragments, verts, topology).cpu()
    on_cpu = Fragments(*(values.cpu() for values in fragments))
    torch.testing.assert_close(found, slow_antialias(image, on_cpu, verts.cpu(), topology.to("cpu")))


def test_agrees_with_the_slow_twin_where_many_faces_lie_in_a_pixel():
    verts, topology = ball(50, 70, 20)
    fragments = rasterize(verts, topology, 20, 20)
    image = torch.rand(1, 20, 20, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = antialias(image, fragments, verts, topology)
    torch.testing.assert_close(found, slow_antialias(image, fragments, verts, topology))
    # Most outlines are edges of faces that no pixel shows: those of the shown faces alone would not do.
    codes = torch.ops.pyface3d.antialias(
        image, verts, fragments.depth, topology.faces, topology.opposite_corners, fragments.face_index
    )[1]
    owners = (codes[codes != 0].abs() - 1) // 3
    assert torch.isin(owners, fragments.face_index).float().mean() < 0.5


def two_rectangles(front: Tensor, behind: Tensor) -> tuple[Tensor, Topology]:
    return torch.cat([front, behind])[None], Topology(torch.cat([QUAD, QUAD + 4]), 8)


def test_the_nearer_surface_decides_where_one_hides_the_other():
    verts, topology = two_rectangles(rectangle(0, 0, 4.2, 8, depth=3), rectangle(2, 0, 20, 8, depth=6))
    fragments = rasterize(verts, topology, 5, 9)
    image = torch.where(fragments.face_index < 2, 1.0, 0.25)[..., None].double()
    row = antialias(image, fragments, verts, topology)[0, 2, :, 0]
    expected = torch.tensor([1, 1, 1, 1, 0.25 + 0.2 * 0.75, 0.25, 0.25, 0.25, 0.25], dtype=torch.float64)
    torch.testing.assert_close(row, expected)


def test_the_farther_pixels_surface_decides_where_the_nearer_ones_goes_on_behind_it():
    """A steep surface is nearer at its pixel's middle, but passes behind the edge of the other one on the way."""
    steep = rectangle(0, 0, 9, 8)
    steep[:, 2] = torch.where(steep[:, 0] > 4, 20.0, 1.0)  # depth 9.5 at x = 3.5 or so, 11.6 at 4.5
    verts, topology = two_rectangles(steep, rectangle(3.8, 0, 9, 8, depth=10))
    fragments = rasterize(verts, topology, 5, 9, perspective=False)
    assert fragments.face_index[0, 2, 3] < 2 <= fragments.face_index[0, 2, 4]
    assert fragments.depth[0, 2, 3] < 10
    row = antialias((fragments.face_index >= 2).double()[..., None], fragments, verts, topology)[0, 2, :, 0]
    torch.testing.assert_close(row, torch.tensor([0, 0, 0, 0.2, 1, 1, 1, 1, 1], dtype=torch.float64))


def test_surfaces_that_cut_each_other_are_left_alone():
    slanted = rectangle(0, 0, 9, 8)
    slanted[:, 2] = torch.where(slanted[:, 0] > 4, 20.0, 1.0)
    verts, topology = two_rectangles(slanted, rectangle(-1, 0, 10, 8, depth=10))
    fragments = rasterize(verts, topology, 5, 9, perspective=False)
    image = (fragments.face_index >= 2).double()[..., None]
    assert image.any() and not image.all()
    assert torch.equal(antialias(image, fragments, verts, topology), image)


def test_a_surface_folded_over_itself_has_an_outline_at_the_fold():
    """Both sides drawn: the fold at x = 5.3 is an edge of two faces that lie on the same side of it."""
    verts = torch.tensor([[[1, 0, 6], [5.3, 0, 4], [5.3, 6, 4], [1, 6, 6], [2, 0, 3], [2, 6, 3]]], dtype=torch.float64)
    topology = Topology(torch.tensor([[0, 2, 1], [0, 3, 2], [1, 2, 5], [1, 5, 4]]), 6)
    row = smooth_mask(verts, topology, 4, 9, cull="none")[0, 2, :, 0]
    torch.testing.assert_close(row, torch.tensor([0, 1, 1, 1, 1, 0.3, 0, 0, 0], dtype=torch.float64))


def test_the_border_of_a_culled_half_is_an_outline():
    """Of a closed ball only the front is drawn; the outline is where its faces turn away."""
    verts, topology = ball(30, 40, 50)
    fragments = rasterize(verts, topology, 50, 50)
    assert (topology.opposite_corners >= 0).all()
    radius = 1.4 * 50 / math.sqrt(4.0**2 - 1)
    total = antialias(mask_of(fragments), fragments, verts, topology).sum().item()
    assert abs(total / (math.pi * radius**2) - 1) < 0.01  # the ball's outline is a polygon of about 40 corners: -0.4 %


def test_seams_of_doubled_vertices_are_ends():
    """Two rectangles side by side without a common vertex: mixed, but only between themselves."""
    verts, topology = two_rectangles(rectangle(0, 0, 4.2, 8), rectangle(4.2, 0, 9, 8))
    fragments = rasterize(verts, topology, 5, 9)
    image = torch.where(fragments.face_index < 2, 1.0, 0.5)[..., None].double()
    row = antialias(image, fragments, verts, topology)[0, 2, :, 0]
    torch.testing.assert_close(row, torch.tensor([1, 1, 1, 1, 0.6, 0.5, 0.5, 0.5, 0.5], dtype=torch.float64))
    whole = torch.ones_like(image)
    assert torch.equal(antialias(whole, fragments, verts, topology), whole)


def test_an_edge_of_three_faces_ends_each_of_them():
    verts = torch.cat([rectangle(0, 0, 9, 8), rectangle(4.2, 0, 9, 8), rectangle(4.2, 0, 9, 8, depth=2)])[None]
    left, right, fin = [[0, 3, 7], [0, 7, 4]], [[4, 7, 6], [4, 6, 5]], [[4, 7, 8]]
    topology = Topology(torch.tensor(left + right + fin), 12)
    fragments = rasterize(verts, topology, 5, 9)
    image = torch.where(fragments.face_index < 2, 1.0, 0.5)[..., None].double()
    row = antialias(image, fragments, verts, topology)[0, 4, :, 0]
    torch.testing.assert_close(row, torch.tensor([1, 1, 1, 1, 0.6, 0.5, 0.5, 0.5, 0.5], dtype=torch.float64))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_next_to_a_face_that_is_not_drawn_the_surface_ends(dtype, bad):
    verts = torch.cat([rectangle(0, 0, 4.2, 8), torch.tensor([[9.0, bad, 5.0]], dtype=torch.float64)])[None].to(dtype)
    topology = Topology(torch.cat([QUAD, torch.tensor([[1, 2, 4]])]), 5)
    verts.requires_grad_()
    smooth = smooth_mask(verts, topology, 5, 9)
    torch.testing.assert_close(smooth[0, 2, :, 0], torch.tensor([1, 1, 1, 1, 0.2, 0, 0, 0, 0], dtype=dtype))
    grad = torch.autograd.grad(smooth.sum(), verts)[0]
    assert grad.isfinite().all()
    assert not grad[0, 4].any()


@pytest.mark.parametrize("depth", [0.0, -2.0])
def test_a_surface_that_reaches_behind_the_camera_is_left_alone(dtype, depth):
    verts = rectangle(0.2, 0, 4.2, 8)
    verts[2, 2] = depth
    verts = verts[None].to(dtype).requires_grad_()
    fragments = rasterize(verts, Topology(QUAD, 4), 5, 9, perspective=False)
    assert fragments.mask.any()
    image = mask_of(fragments)
    smooth = antialias(image, fragments, verts, Topology(QUAD, 4))
    assert torch.equal(smooth, image)
    assert not torch.autograd.grad(smooth.sum(), verts)[0].any()


def test_faces_without_area_and_corners_named_twice_change_nothing():
    verts = rectangle(1.3, 0, 6.8, 8)[None]
    plain = smooth_mask(verts, Topology(QUAD, 4), 6, 9)
    twice = Topology(torch.cat([torch.tensor([[1, 2, 2], [0, 0, 0]]), QUAD]), 4)
    assert torch.equal(smooth_mask(verts, twice, 6, 9), plain)
    flat = torch.cat([verts, torch.tensor([[[6.8, 3.0, 5.0]]], dtype=torch.float64)], 1)  # on the right side
    assert torch.equal(smooth_mask(flat, Topology(torch.cat([QUAD, torch.tensor([[1, 2, 4]])]), 5), 6, 9), plain)


def test_a_neighbour_without_a_share_is_not_read():
    """What lies unmixed beside a pixel may be NaN."""
    verts, topology = rectangle(2.3, 1.2, 6.75, 4.9)[None], Topology(QUAD, 4)
    fragments = rasterize(verts, topology, 7, 9)
    image = mask_of(fragments)
    expected = antialias(image, fragments, verts, topology)
    image[0, 0, 0] = image[0, 3, 4] = math.nan  # the frame's corner, and the inside
    found = antialias(image, fragments, verts, topology)
    changed = torch.isnan(found[..., 0])
    assert changed.nonzero().tolist() == [[0, 0, 0], [0, 3, 4]]
    assert torch.equal(found[~changed], expected[~changed])


def test_borders_on_the_border_of_a_pixel_still_pull():
    """No colour changes there, but the derivative is that of the pixel outside."""
    verts, topology = rectangle(2.0, 1.0, 6.0, 4.0)[None].requires_grad_(), Topology(QUAD, 4)
    fragments = rasterize(verts, topology, 7, 9)
    smooth = antialias(mask_of(fragments), fragments, verts, topology)
    assert torch.equal(smooth, mask_of(fragments))
    grad = torch.autograd.grad(smooth.sum(), verts)[0]
    expected = torch.autograd.grad(area(verts[0, [0, 3, 2, 1], :2]), verts)[0]
    torch.testing.assert_close(grad, expected)


def test_without_it_a_mask_gives_no_gradient_at_all():
    """A triangle one pixel off: the step downhill goes the right way; through rasterize alone there is none."""
    verts, topology = fan(regular(3, 12.0, (20.0, 20.0), 0.3))
    target = smooth_mask(verts + torch.tensor([1.0, -0.7, 0.0], dtype=torch.float64), topology, 40, 40)
    shift = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    moved = torch.cat([verts[..., :2] + shift, verts[..., 2:]], -1)
    fragments = rasterize(moved, topology, 40, 40)
    plain = interpolate(torch.ones_like(verts[..., :1]), fragments, topology)
    through_pixels = torch.autograd.grad((plain - target).square().sum(), shift, retain_graph=True)[0]
    assert through_pixels.abs().max() < 1e-9  # 1 times the sum of the barycentrics: rounding
    smooth = antialias(plain, fragments, moved, topology)
    downhill = -torch.autograd.grad((smooth - target).square().sum(), shift)[0]
    assert downhill[0] > 1 and downhill[1] < -0.7


@pytest.mark.parametrize(
    ("batch", "channels", "height", "faces"), [(0, 3, 4, 2), (2, 0, 4, 2), (2, 3, 0, 2), (2, 3, 4, 0)]
)
def test_empty(device, dtype, batch, channels, height, faces):
    verts = rectangle(1.2, 0.7, 3.8, 3.1).to(dtype).to(device).expand(batch, -1, -1).clone().requires_grad_()
    topology = Topology(QUAD[:faces], 4).to(device)
    fragments = rasterize(verts, topology, height, 5)
    image = torch.ones(batch, height, 5, channels, dtype=dtype, device=device, requires_grad=True)
    smooth = antialias(image, fragments, verts, topology)
    assert smooth.shape == image.shape
    grads = torch.autograd.grad(smooth.sum(), (image, verts))
    assert [g.shape for g in grads] == [image.shape, verts.shape]
    assert all(g.isfinite().all() for g in grads)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (7, 1)])
def test_pictures_of_one_row_column_or_pixel(dtype, height, width):
    verts = rectangle(0.3, 0.2, 5.75, 3.9).to(dtype)[None]
    found = smooth_mask(verts, Topology(QUAD, 4), height, width)[0, :, :, 0]
    across = torch.tensor([0.7, 1, 1, 1, 1, 0.75, 0, 0, 0], dtype=dtype)
    down = torch.tensor([0.8, 1, 1, 0.9, 0, 0, 0], dtype=dtype)
    if (height, width) == (1, 1):
        assert found.item() == 1  # beyond the frame there is nothing to mix with
    elif height == 1:
        across[0] = 1
        torch.testing.assert_close(found[0], across)
    else:
        down[0] = 1
        torch.testing.assert_close(found[:, 0], down)


def test_wrong_arguments():
    verts, topology = rectangle(1.2, 0.7, 3.8, 3.1)[None], Topology(QUAD, 4)
    fragments = rasterize(verts, topology, 4, 5)
    image = mask_of(fragments)
    index = fragments.face_index
    for error, message, arguments in (
        (TypeError, "image must be float32 or float64", (image.long(), fragments, verts)),
        (TypeError, "image must be a torch.Tensor", (None, fragments, verts)),
        (ValueError, r"image must have shape \(B, H, W, C\), got \(1, 4, 5\)", (image[..., 0], fragments, verts)),
        (ValueError, r"face_index must have shape \(1, 3, 5\)", (image[:, :3], fragments, verts)),
        (ValueError, "depth must have shape", (image, fragments._replace(depth=fragments.depth[:, :3]), verts)),
        (
            TypeError,
            "depth is torch.float32, but image",
            (image, fragments._replace(depth=image[..., 0].float()), verts),
        ),
        (TypeError, "face_index must be int32", (image, fragments._replace(face_index=index.long()), verts)),
        (ValueError, r"verts_image must have shape \(1, 4, 3\)", (image, fragments, verts[:, :3])),
        (ValueError, r"verts_image must have shape \(1, 4, 3\)", (image, fragments, verts.expand(2, -1, -1))),
        (TypeError, "verts_image is torch.float32, but image", (image, fragments, verts.float())),
        (TypeError, "verts_image must be float32 or float64", (image, fragments, verts.half())),
    ):
        with pytest.raises(error, match=message):
            antialias(*arguments, topology)
