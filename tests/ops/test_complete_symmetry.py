"""complete_symmetry beyond the table: what must be exact, residuals by SciPy, a symmetric head, edges, errors."""

import math

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from op_case import Size, mesh, random_values, sheet
from scipy.sparse.csgraph import connected_components
from symmetry_cases import _inputs, _mirror
from symmetry_oracles import FLIP, slow_complete_symmetry
from torch import Tensor

from pyface3d.face_models import load_face_model
from pyface3d.ops import Topology, complete_symmetry, rasterize, vertex_normals, vertex_visibility
from pyface3d.render import View

RESIDUAL = {torch.float64: 1e-8, torch.float32: 1e-5}  # relative; what the op promises
TABLE = Size(batch=2, grid=9)


def inputs(device="cpu", dtype=torch.float64, size=TABLE):
    tensors = {name: t.to(dtype) if t.is_floating_point() else t for name, t in _inputs(size).items()}
    return {name: t.to(device) for name, t in tensors.items()}, mesh(size).to(device)


@pytest.fixture(scope="module")
def head():
    model = load_face_model("head", 1)
    rest = model.vertices(torch.zeros(1, model.identity_dim), torch.zeros(1, model.expression_dim)).double()
    mirrored = rest[:, model.mirror] * FLIP
    return model.topology, model.mirror, (rest + mirrored) / 2


def graph(topology: Topology) -> scipy.sparse.csr_matrix:
    """Adjacency of the vertices, from the faces."""
    a = topology.faces.cpu().numpy().ravel()
    b = np.roll(topology.faces.cpu().numpy(), 1, axis=1).ravel()
    ends = np.concatenate([a, b]), np.concatenate([b, a])
    adjacency = scipy.sparse.coo_matrix((np.ones(len(ends[0])), ends), shape=(topology.num_verts,) * 2).tocsr()
    adjacency.setdiag(0)
    adjacency.eliminate_zeros()
    adjacency.data[:] = 1
    return adjacency


def relative_residual(found, verts, known, mirror, reference, topology, mirror_borders=True) -> float:
    """Of one image, from matrices that know nothing of the op: ‖A x − b‖ / ‖b‖ over the hole."""
    adjacency = graph(topology)
    degree = np.asarray(adjacency.sum(1)).ravel()
    known, pair = known.numpy(), mirror.numpy()
    S, S0, x = (t.double().numpy() for t in (verts, reference, found))
    hole = ~known & (degree > 0)
    mirror_ok = (pair[pair] == np.arange(len(pair))) & known[pair]
    F = S[pair] * [-1, 1, 1]
    i, j = adjacency.nonzero()
    borrows = mirror_ok[i] & mirror_ok[j] & (True if mirror_borders else hole[j])
    difference = np.where(borrows[:, None], F[i] - F[j], S0[i] - S0[j])
    b = 1e-6 * degree[:, None] * S0
    np.add.at(b, i, difference + known[j, None] * S[j])
    A = scipy.sparse.diags(degree * (1 + 1e-6)) - adjacency
    residual = A[hole][:, hole] @ x[hole] - b[hole]
    return float(np.linalg.norm(residual) / np.linalg.norm(b[hole]))


@pytest.mark.parametrize("borders", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_residual_on_random_meshes(dtype, seed, borders):
    """Random triangles: not manifold, in several parts, with vertices of no face and faces that repeat a vertex."""
    generator = torch.Generator().manual_seed(seed)
    count = 700
    topology = Topology(torch.randint(0, count, (int(count * 0.55), 3), generator=generator), count)
    verts, reference = (100 * torch.randn(1, count, 3, generator=generator, dtype=dtype) for _ in range(2))
    mirror = torch.arange(count).roll(count // 2)
    weights = torch.rand(1, count, generator=generator, dtype=dtype)
    found, source = complete_symmetry(verts, weights, mirror, reference, topology, mirror_borders=borders)
    known = weights[0] >= 0.75
    assert torch.equal(found[0, known], verts[0, known])
    assert {0, 1, 2} == set(source.unique().tolist())
    residual = relative_residual(found[0], verts[0], known, mirror, reference[0], topology, borders)
    assert residual <= RESIDUAL[dtype]


@pytest.mark.parametrize("part", ["left half", "front", "tenth", "nine tenths"])
def test_residual_on_the_head(head, dtype, part):
    topology, mirror, rest = head
    verts = (rest + random_values(5, *rest.shape, low=-2, high=2)).to(dtype)
    draw = random_values(6, topology.num_verts)
    known = {
        "left half": rest[0, :, 0] > 3,
        "front": rest[0, :, 2] > 20,
        "tenth": draw < 0.1,
        "nine tenths": draw < 0.9,
    }
    weights = known[part].to(dtype)[None]
    found, _ = complete_symmetry(verts, weights, mirror, rest.to(dtype), topology)
    residual = relative_residual(found[0], verts[0], known[part], mirror, rest[0].to(dtype), topology)
    assert residual <= RESIDUAL[dtype]


def test_residual_on_a_coarse_head_on_every_device(device, dtype):
    """Large enough for several levels of the CUDA side's preconditioner."""
    model = load_face_model("head", 0)
    rest = model.vertices(torch.zeros(1, model.identity_dim), torch.zeros(1, model.expression_dim)).to(dtype)
    verts = rest + random_values(5, *rest.shape, low=-2, high=2).to(dtype)
    known = rest[0, :, 0] > 3
    assert int(model.topology.hierarchy[0]) >= 2
    arguments = (verts, known.to(dtype)[None], model.mirror, rest)
    found, _ = complete_symmetry(*(t.to(device) for t in arguments), model.topology.to(device))
    residual = relative_residual(found[0].cpu(), verts[0], known, model.mirror, rest[0], model.topology)
    assert residual <= RESIDUAL[dtype]


def test_known_are_copied_and_sources_told(device, dtype):
    tensors, topology = inputs(device, dtype)
    found, source = complete_symmetry(*tensors.values(), topology)
    known = tensors["weights"] >= 0.75
    assert torch.equal(found[known], tensors["verts"][known])
    assert torch.equal(source == 1, known)
    assert (source == 2).any() and (source == 0).any()
    assert source.dtype == torch.uint8


def test_all_known_is_the_identity(device, dtype):
    tensors, topology = inputs(device, dtype)
    tensors["weights"] = torch.ones_like(tensors["weights"])
    found, source = complete_symmetry(*tensors.values(), topology)
    assert torch.equal(found, tensors["verts"])
    assert (source == 1).all()


def test_none_known_is_the_reference(device, dtype):
    tensors, topology = inputs(device, dtype)
    tensors["weights"] = torch.zeros_like(tensors["weights"])
    found, source = complete_symmetry(*tensors.values(), topology)
    assert torch.equal(found, tensors["reference"])
    assert not source.any()


def test_a_part_without_known_vertices_falls_back_to_the_reference(device, dtype):
    """Two sheets; nothing of the second is known, nor has it a mirror image."""
    tensors, one = inputs(device, dtype)
    count = one.num_verts
    topology = Topology(torch.cat([one.faces, one.faces + count]), 2 * count)
    verts, reference = (torch.cat([tensors[name], 3 - tensors[name]], 1) for name in ("verts", "reference"))
    weights = torch.cat([tensors["weights"], torch.zeros_like(tensors["weights"])], 1)
    mirror = torch.cat([tensors["mirror"], torch.full((count,), -1, device=device)])
    found, source = complete_symmetry(verts, weights, mirror, reference, topology)
    alone, _ = complete_symmetry(*tensors.values(), one)
    torch.testing.assert_close(found[:, :count], alone)
    assert torch.equal(found[:, count:], reference[:, count:])
    assert not source[:, count:].any()


def test_constant_offset_is_carried_into_the_hole(device, dtype):
    """Known vertices moved by one vector, no mirror: the whole connected sheet moves by it, but for the anchor."""
    tensors, topology = inputs(device, dtype)
    shift = torch.tensor([1.0, -2.0, 0.5], device=device, dtype=dtype)
    verts = tensors["reference"] + shift
    nobody = torch.full_like(tensors["mirror"], -1)
    found, _ = complete_symmetry(verts, tensors["weights"], nobody, tensors["reference"], topology)
    # The anchor of 1e-6 pulls each vertex back by less than 1e-6 times the square of the way to a known one.
    torch.testing.assert_close(found[:, :-1], verts[:, :-1], atol=1e-6 * TABLE.grid**2, rtol=1e-6)


def test_chain_of_one_hole_vertex_by_hand():
    """A vertex between three known ones: the mean of what each of them and its reference difference say."""
    topology = Topology(torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1]]), 4)
    verts, reference = random_values(1, 1, 4, 3), random_values(2, 1, 4, 3)
    weights = torch.tensor([[0.0, 1, 1, 1]], dtype=torch.float64)
    found, source = complete_symmetry(verts, weights, torch.full((4,), -1), reference, topology)
    neighbours = verts[0, 1:] + reference[0, 0] - reference[0, 1:]
    expected = (neighbours.mean(0) + 1e-6 * reference[0, 0]) / (1 + 1e-6)
    torch.testing.assert_close(found[0, 0], expected)
    assert source.tolist() == [[0, 1, 1, 1]]


def test_soft_weights_run_from_hole_to_known(device, dtype):
    tensors, topology = inputs(device, dtype)
    hole = tensors["weights"] < 0.75
    distances = []
    for weight in (0.0, 0.3, 0.6, 0.75 * (1 - 1e-6)):
        weights = torch.where(hole, torch.full_like(tensors["weights"], weight), tensors["weights"])
        found, _ = complete_symmetry(*{**tensors, "weights": weights}.values(), topology, soft=True)
        distances.append(float((found - tensors["verts"])[:, :-1].norm()))
    hard, _ = complete_symmetry(*{**tensors, "weights": torch.where(hole, 0, tensors["weights"])}.values(), topology)
    soft, _ = complete_symmetry(
        *{**tensors, "weights": torch.where(hole, 0, tensors["weights"])}.values(), topology, soft=True
    )
    assert torch.equal(hard, soft)
    assert distances[0] > distances[1] > distances[2] > distances[3]
    assert distances[3] < 1e-3 * distances[0]


def test_pairs_that_do_not_name_each_other_are_not_used(dtype):
    tensors, topology = inputs(dtype=dtype)
    n = TABLE.grid
    both = torch.arange(n * n + 1)
    broken = {
        "no partner": torch.full_like(both, -1),
        "out of range": torch.full_like(both, 2**40),
        "a cycle of all": both.roll(1),
        "all at one": torch.zeros_like(both),
    }
    plain, _ = complete_symmetry(*{**tensors, "mirror": broken["no partner"]}.values(), topology)
    for mirror in broken.values():
        found, source = complete_symmetry(*{**tensors, "mirror": mirror}.values(), topology)
        assert torch.equal(found, plain)
        assert not (source == 2).any()
    found, source = complete_symmetry(*tensors.values(), topology)
    assert not torch.equal(found, plain)
    mutual = tensors["mirror"][tensors["mirror"]] == both
    assert mutual.logical_not().any()
    assert not (source[:, ~mutual] == 2).any()
    assert torch.equal(complete_symmetry(*{**tensors, "mirror": tensors["mirror"].int()}.values(), topology)[0], found)


def test_what_is_not_finite_is_not_known(device, dtype):
    tensors, topology = inputs(device, dtype)
    clean = {name: t.clone() for name, t in tensors.items()}
    spots = [3, 12, 40]
    for k, value in enumerate((math.nan, math.inf, -math.inf)):
        tensors["verts"][:, spots[k], k] = value
        tensors["weights"][:, spots[k]] = 1
        clean["weights"][:, spots[k]] = 0
        tensors["weights"][:, 20 + k] = value
        clean["weights"][:, 20 + k] = 0
    found, source = complete_symmetry(*tensors.values(), topology, soft=True)
    expected, source_expected = complete_symmetry(*clean.values(), topology, soft=True)
    assert torch.equal(found, expected)
    assert torch.equal(source, source_expected)
    tensors["reference"][:, 5:9, 1] = math.nan
    clean["reference"][:, 5:9, 1] = 0
    for name in ("verts", "reference"):
        tensors[name].requires_grad_()
    found, _ = complete_symmetry(*tensors.values(), topology, soft=True)
    assert torch.equal(found.detach(), complete_symmetry(*clean.values(), topology, soft=True)[0])
    verts_grad, reference_grad = torch.autograd.grad(found.sum(), [tensors["verts"], tensors["reference"]])
    assert verts_grad.isfinite().all() and not verts_grad[:, spots].any()
    assert reference_grad.isfinite().all() and not reference_grad[:, 5:9, 1].any()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_known_set(data):
    """Against the dense solution, for any set of known vertices and any options."""
    size = Size(batch=1, grid=data.draw(st.integers(2, 7)))
    count = size.grid**2 + 1
    known = torch.tensor(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    options = {name: data.draw(st.booleans()) for name in ("soft", "mirror_borders")}
    weights = torch.where(known, 1.0, random_values(3, count, high=0.7))[None].double()
    reference = sheet(size) + random_values(4, 1, count, 3, high=0.3)
    arguments = (sheet(size), weights, _mirror(size), reference, mesh(size))
    found, source = complete_symmetry(*arguments, **options)
    expected, source_expected = slow_complete_symmetry(*arguments, **options)
    # Where nothing is known the matrix is singular but for the anchor of 1e-6, and so is the oracle's.
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-8)
    assert torch.equal(source, source_expected)


def rings(adjacency: scipy.sparse.csr_matrix, seam: np.ndarray, count: int) -> np.ndarray:
    for _ in range(count):
        seam = seam | (adjacency @ seam > 0)
    return seam


def half_seen(head) -> tuple[Tensor, Tensor, Tensor]:
    """A symmetric head with relief, seen at a yaw of 30 degrees: all of it, what is known, and the vertices given.

    Known is what is visible on the near side of the symmetry plane, as the yaw cut of extreme3d has it; there the
    relief is on the mesh, elsewhere it is the smooth reference.
    """
    topology, mirror, rest = head
    x, y, z = rest[0].T
    taper = (1 - (x / 62) ** 2 - ((y + 30) / 75) ** 2).clamp(min=0).sqrt() * (z > 0)
    relief = taper * (
        1.5 * torch.sin(x.abs() / 9) * torch.cos(y / 11) + 2 + random_values(7, len(x), low=-0.3, high=0.3)
    )
    relief = (relief + relief[mirror]) / 2
    normals = vertex_normals(rest, topology)
    whole = rest + relief[:, None] * (normals + normals[:, mirror] * FLIP) / 2
    view = View.around(rest[0], yaw=math.radians(30), size=800)
    image = view.camera.project(view.apply(rest[0])[None])
    seen = vertex_visibility(image, rasterize(image, topology, 800, 800), topology, tolerance_mm=2.5)[0]
    known = seen & (x <= 1e-6)
    return whole, known, torch.where(known[:, None], whole, rest)


def test_symmetric_head_seen_from_one_side(head):
    """The far half is the near one's mirror image, rms 0.15 mm away from seams."""
    topology, mirror, rest = head
    whole, known, given_verts = half_seen(head)
    assert int(known.sum()) > 5000
    found, source = complete_symmetry(given_verts, known.double()[None], mirror, rest, topology)
    assert torch.equal(found[0, known], whole[0, known])
    adjacency = graph(topology)
    seam = known.numpy() & (adjacency @ (~known).numpy() > 0)
    copied = (source[0] == 2).numpy()
    rim = copied & (adjacency @ (source[0] == 0).numpy() > 0)  # where the mirror image of what was seen ends
    part = connected_components(adjacency, directed=False)[1]
    attached = np.isin(part, np.unique(part[known.numpy()]))  # an eyeball of which nothing was seen falls back
    judged = torch.from_numpy(copied & attached & ~rings(adjacency, seam | rim, 5))
    assert int(judged.sum()) > 2000
    error = (found - whole)[0, judged].norm(dim=-1).square().mean().sqrt()
    before = (rest - whole)[0, judged].norm(dim=-1).square().mean().sqrt()
    assert error <= 0.15
    assert error < 0.15 * before  # the relief is there to be missed


@pytest.mark.parametrize(
    ("argument", "value", "error", "words"),
    [
        ("verts", torch.zeros(2, 5, 3), ValueError, r"verts must have shape \(B, 82, 3\), got \(2, 5, 3\)"),
        ("verts", torch.zeros(2, 82, 3, dtype=torch.int32), TypeError, "verts must be float32 or float64"),
        ("verts", torch.zeros(2, 82, 3), TypeError, "weights is torch.float64, but verts is torch.float32"),
        ("weights", torch.zeros(2, 81), ValueError, r"weights must have shape \(2, 82\)"),
        ("weights", torch.zeros(1, 82).double(), ValueError, r"weights must have shape \(2, 82\)"),
        ("weights", torch.zeros(2, 82), TypeError, "weights is torch.float32"),
        ("weights", torch.zeros(2, 82, dtype=torch.bool), TypeError, "weights must be float32"),
        ("reference", torch.zeros(3, 82, 3).double(), ValueError, r"reference must have shape \(2, 82, 3\)"),
        ("reference", torch.zeros(82, 3), TypeError, "reference is torch.float32"),
        ("reference", None, TypeError, "reference must be a torch.Tensor"),
        ("mirror", torch.zeros(82), TypeError, "mirror must be a tensor of integers, got torch.float32"),
        ("mirror", torch.zeros(82, dtype=torch.bool), TypeError, "mirror must be a tensor of integers"),
        ("mirror", list(range(82)), TypeError, "mirror must be a tensor of integers, got list"),
        ("mirror", torch.zeros(81, dtype=torch.int64), ValueError, r"mirror must have shape \(82\)"),
        ("verts", torch.zeros(2, 82, 3, device="meta").double(), ValueError, "is on"),
        ("mirror", torch.zeros(82, dtype=torch.int64, device="meta"), ValueError, "mirror is on meta"),
    ],
)
def test_errors_name_the_argument(argument, value, error, words):
    tensors, topology = inputs()
    with pytest.raises(error, match=words):
        complete_symmetry(*{**tensors, argument: value}.values(), topology)


@pytest.mark.parametrize("threshold", [0.0, -1.0, math.nan, math.inf])
def test_threshold_must_be_positive(threshold):
    tensors, topology = inputs()
    with pytest.raises(ValueError, match="threshold must be above 0"):
        complete_symmetry(*tensors.values(), topology, threshold=threshold)


def test_one_reference_for_all_is_the_same_as_copies():
    tensors, topology = inputs()
    one = tensors["reference"][:1].clone().requires_grad_()
    copies = one.detach().expand(2, -1, -1).clone().requires_grad_()
    found, _ = complete_symmetry(*{**tensors, "reference": one}.values(), topology)
    expected, _ = complete_symmetry(*{**tensors, "reference": copies}.values(), topology)
    assert torch.equal(found, expected)
    weights = random_values(8, *found.shape)
    (gradient,) = torch.autograd.grad((found * weights).sum(), one)
    (parts,) = torch.autograd.grad((expected * weights).sum(), copies)
    torch.testing.assert_close(gradient, parts.sum(0, keepdim=True))


def test_gradient_of_copies_is_theirs():
    """Known vertices get their own gradient and that of the hole, whose weights sum to one but for the anchor."""
    tensors, topology = inputs()
    verts = tensors["verts"].requires_grad_()
    nobody = torch.full_like(tensors["mirror"], -1)
    found, source = complete_symmetry(*{**tensors, "mirror": nobody}.values(), topology)
    (gradient,) = torch.autograd.grad(found[:, :-1].sum(), verts)
    assert not gradient[source != 1].any()
    # Moving all known vertices together moves all of the sheet, but for the anchor.
    torch.testing.assert_close(gradient.sum(1), torch.full((2, 3), 81.0).double(), rtol=1e-6 * TABLE.grid**2, atol=0)
