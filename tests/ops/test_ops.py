"""What every op owes, driven by the table in op_cases.py: answer, gradient, registration, compiler, edges, bits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from op_case import LARGE, SMALL, OpCase, Outputs, Size, Tensors, mesh
from op_cases import CASES
from torch import Tensor
from torch.autograd import gradcheck
from torch.library import opcheck
from torch.utils._python_dispatch import TorchDispatchMode

from pyface3d import ops
from pyface3d.ops import Topology

NOT_OPS = {"DenseMesh", "Fragments", "Topology"}
NONDET = {"cpu": 0.0, "cuda": 1e-9}  # atomics add in no fixed order
all_cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
with_gradient = pytest.mark.parametrize(
    "case", [case for case in CASES if case.differentiable], ids=lambda case: case.name
)


def made(case: OpCase, dtype: torch.dtype, device: str = "cpu", size: Size = SMALL) -> Tensors:
    return {name: _cast(tensor, dtype).to(device) for name, tensor in case.inputs(size).items()}


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def wanting_gradients(case: OpCase, tensors: Tensors) -> Tensors:
    return {
        name: tensor.clone().requires_grad_() if name in case.differentiable else tensor
        for name, tensor in tensors.items()
    }


def gradients(case: OpCase, tensors: Tensors, topology: Topology) -> Outputs:
    """Gradients of a fixed weighting of all outputs."""
    leaves = wanting_gradients(case, tensors)
    loss: Tensor | None = None
    for output in case.call(leaves, topology):
        if output.requires_grad:
            weights = torch.linspace(-1, 2, output.numel(), dtype=output.dtype, device=output.device)
            term = (output * weights.reshape(output.shape)).sum()
            loss = term if loss is None else loss + term
    assert loss is not None
    return torch.autograd.grad(loss, [leaves[name] for name in case.differentiable], allow_unused=True)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def assert_same_bits(found: Outputs, expected: Outputs) -> None:
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)), f"differs by {(a - b).abs().max():.1e}"
        assert torch.equal(torch.isnan(a), torch.isnan(b))


def test_every_public_op_has_a_case():
    assert {case.op for case in CASES} == set(ops.__all__) - NOT_OPS


def test_names_of_cases_are_unique():
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))


@all_cases
def test_agrees_with_the_slow_twin(case, device, dtype):
    tensors = made(case, dtype, device)
    found = case.call(tensors, mesh(SMALL).to(device))
    expected = case.oracle({name: _cast(t.cpu(), torch.float64) for name, t in tensors.items()}, mesh(SMALL))
    rtol, atol = case.tolerance.get(dtype, (None, None))
    nothing = True
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == (dtype if b.is_floating_point() else b.dtype)
        assert a.device.type == device
        torch.testing.assert_close(a.cpu(), _cast(b, dtype), rtol=rtol, atol=atol)
        nothing &= not (b != 0).any()
    assert not nothing, "the case shows nothing"


@with_gradient
def test_gradient(case, device, request):
    tensors = made(case, torch.float64, device)
    topology = mesh(SMALL).to(device)

    def outputs(*leaves: Tensor) -> Outputs:
        found = case.call({**tensors, **dict(zip(case.differentiable, leaves))}, topology)
        return tuple(output for output in found if output.requires_grad)

    leaves = [tensors[name].clone().requires_grad_() for name in case.differentiable]
    # Along random directions where every call is slow; each number by itself is asked of the CPU's kernels.
    emulated = request.node.callspec.params["device"] == "cuda-emulated"
    assert gradcheck(outputs, leaves, nondet_tol=NONDET[device], fast_mode=emulated)


@with_gradient
def test_gradient_in_float32_is_that_in_float64(case, device):
    topology = mesh(SMALL).to(device)
    single = made(case, torch.float32, device)
    double = {name: _cast(t, torch.float64) for name, t in single.items()}  # the very same numbers
    for a, b in zip(gradients(case, single, topology), gradients(case, double, topology), strict=True):
        assert a.dtype == torch.float32
        # A sum of n products of rounded factors is off by a few roundings of the largest, not of itself.
        scale = max(float(b.abs().max()), 1e-3) if b.numel() else 1.0
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-4 * scale)


@with_gradient
def test_each_gradient_alone_is_the_one_among_all(case, device, dtype):
    tensors, topology = made(case, dtype, device), mesh(SMALL).to(device)
    together = gradients(case, tensors, topology)
    for name, expected in zip(case.differentiable, together):
        outputs = case.call({**tensors, name: tensors[name].clone().requires_grad_()}, topology)
        assert any(output.requires_grad for output in outputs)
        alone = gradients(_only(case, name), tensors, topology)[0]
        if device == "cpu":
            assert_same_bits((alone,), (expected,))
        else:
            torch.testing.assert_close(alone, expected)


def _only(case: OpCase, name: str) -> OpCase:
    return OpCase(case.op, case.variant, case.inputs, case.call, case.oracle, (name,))


class _Recorder(TorchDispatchMode):
    """The calls of our ops, forward and backward, with what they were given."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable, tuple]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func.namespace == "pyface3d":
            self.calls.append((func, tuple(a.detach() if isinstance(a, Tensor) else a for a in args)))
        return func(*args, **(kwargs or {}))


@all_cases
def test_registration(case, device, dtype):
    tensors, topology = made(case, dtype, device), mesh(SMALL).to(device)
    with _Recorder() as recorder:
        if case.differentiable:
            gradients(case, tensors, topology)
        else:
            case.call(tensors, topology)
    assert f"pyface3d::{case.op}" in {func.name() for func, _ in recorder.calls}
    differentiable = {f"pyface3d::{case.op}"} if case.differentiable and case.op != "bake_texture" else set()
    for func, args in recorder.calls:
        if func.name() in differentiable:
            args = tuple(
                a.clone().requires_grad_() if isinstance(a, Tensor) and a.is_floating_point() else a for a in args
            )
        opcheck(func, args)


@all_cases
def test_compiles_whole_and_from_cold(case, dtype):
    torch._dynamo.reset()
    tensors, topology = wanting_gradients(case, made(case, dtype)), mesh(SMALL)
    compiled = torch.compile(lambda t: case.call(t, topology), fullgraph=True, backend="aot_eager")
    found = compiled(tensors)
    assert_same_bits(found, case.call(tensors, mesh(SMALL)))
    assert_same_bits(case.call(tensors, topology), found)  # what was cached while compiling serves outside
    if case.differentiable:
        sums = [sum(o.sum() for o in outputs if o.requires_grad) for outputs in (found, case.call(tensors, topology))]
        leaves = [tensors[name] for name in case.differentiable]
        assert_same_bits(*(torch.autograd.grad(total, leaves) for total in sums))


@all_cases
def test_inputs_need_not_be_contiguous(case, device, dtype):
    tensors, topology = made(case, dtype, device), mesh(SMALL).to(device)
    strided = {
        name: torch.stack([t, ~t if t.dtype == torch.bool else t + 1], -1)[..., 0] for name, t in tensors.items()
    }
    assert all(not t.is_contiguous() for t in strided.values() if t.numel())
    assert_same_bits(case.call(strided, topology), case.call(tensors, topology))
    if case.differentiable and device == "cpu":
        assert_same_bits(gradients(case, strided, topology), gradients(case, tensors, topology))


@all_cases
def test_no_images(case, device, dtype):
    if not case.batched:
        pytest.skip("has no batch")
    tensors = made(case, dtype, device)
    empty = {name: t[:0] if name in case.batched else t for name, t in tensors.items()}
    topology = mesh(SMALL).to(device)
    full, found = case.call(tensors, topology), case.call(empty, topology)
    assert [o.shape for o in found] == [(0, *o.shape[1:]) for o in full]
    for name, gradient in zip(case.differentiable, gradients(case, empty, topology) if case.differentiable else ()):
        assert gradient.shape == empty[name].shape
        assert not gradient.any()  # a shared input has seen nothing


@all_cases
def test_no_faces(case, device, dtype):
    if case.needs_faces:
        pytest.skip("its inputs name faces")
    tensors, topology = made(case, dtype, device), mesh(SMALL).to(device)
    bare = Topology(topology.faces[:0], topology.num_verts, topology.uvs, topology.uv_faces[:0])
    found, full = case.call(tensors, bare), case.call(tensors, topology)
    assert len(found) == len(full)
    if case.differentiable:
        for name, gradient in zip(case.differentiable, gradients(case, tensors, bare)):
            assert gradient.shape == tensors[name].shape
            assert gradient.isfinite().all()


@all_cases
def test_threads_change_no_bit(case, dtype):
    tensors, topology = made(case, dtype, size=LARGE), mesh(LARGE)
    results = []
    for count in (1, 2, 4):
        topology.charts.clear()
        with threads(count):
            found = case.call(tensors, topology)
            results.append((*found, *(gradients(case, tensors, topology) if case.differentiable else ())))
    for other in results[1:]:
        assert_same_bits(other, results[0])


@all_cases
def test_the_batch_is_the_images_one_by_one(case, dtype):
    """An image's answer and gradient do not depend on its neighbours."""
    if not case.batched:
        pytest.skip("has no batch")
    tensors, topology = made(case, dtype), mesh(SMALL)
    whole = case.call(tensors, topology)
    for b in range(SMALL.batch):
        one = {name: t[b : b + 1] if name in case.batched else t for name, t in tensors.items()}
        assert_same_bits(case.call(one, topology), tuple(o[b : b + 1] for o in whole))


@all_cases
def test_wrong_dtype_says_which_argument(case):
    tensors, topology = made(case, torch.float64), mesh(SMALL)
    name = case.differentiable[0] if case.differentiable else next(iter(tensors))
    half = {**tensors, name: tensors[name].half()}
    with pytest.raises(TypeError, match=r"float32|float64"):
        case.call(half, topology)


@pytest.mark.slow
def test_inductor_takes_a_chain_of_ops(monkeypatch):
    """Mesh to shaded, textured picture in one graph, forward and backward."""
    # Compiled graphs are kept by the names of the ops in them: one of an older build of ours would be found.
    monkeypatch.setattr(torch._inductor.config, "force_disable_caches", True)
    torch._dynamo.reset()
    topology = mesh(SMALL)
    verts = next(c for c in CASES if c.op == "rasterize").inputs(SMALL)["verts_image"].float()
    texture = torch.rand(1, 5, 6, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    light = torch.zeros(9, 3).index_fill_(0, torch.tensor(0), 1.0).requires_grad_()

    def picture(verts: Tensor, texture: Tensor, light: Tensor) -> Tensor:
        fragments = ops.rasterize(verts, topology, 6, 7)
        normals = ops.interpolate(ops.vertex_normals(verts, topology), fragments, topology)
        albedo = ops.render_texture(texture, fragments, topology)
        return ops.shade_spherical_harmonics(normals, light, albedo)

    leaves = (verts.requires_grad_(), texture, light)
    expected = picture(*leaves)
    found = torch.compile(picture, fullgraph=True)(*leaves)
    torch.testing.assert_close(found, expected)
    weights = torch.linspace(0, 1, found.numel()).reshape(found.shape)
    for a, b in zip(*(torch.autograd.grad((p * weights).sum(), leaves) for p in (found, expected))):
        torch.testing.assert_close(a, b)
