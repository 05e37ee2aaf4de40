"""What only a real CUDA device can show: streams, graphs, a second device, no waiting, the same bits a hundred times.

The answers themselves are asked of the device by every test with the ``device`` fixture.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from op_case import LARGE, SMALL, OpCase, Outputs, Tensors, mesh
from test_ops import all_cases, assert_same_bits, gradients, made, with_gradient

from pyface3d.ops import Topology, rasterize

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
REPEATS = 100


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True, warn_only=True)  # ours are to be; what torch adds around them may warn
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def everything(case: OpCase, tensors: Tensors, topology: Topology) -> Outputs:
    found = case.call(tensors, topology)
    return (*found, *(gradients(case, tensors, topology) if case.differentiable else ()))


@all_cases
def test_agrees_with_the_cpu(case, dtype):
    tensors = made(case, dtype, size=LARGE)
    on_device = {name: tensor.cuda() for name, tensor in tensors.items()}
    expected, found = (everything(case, t, mesh(LARGE).to(d)) for t, d in ((tensors, "cpu"), (on_device, "cuda")))
    rtol, atol = case.tolerance.get(dtype, (None, None))
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        if not b.is_floating_point():
            # A pixel's middle on an edge to the last bit may go the other way where the device rounds otherwise.
            assert (a.cpu() != b).double().mean() < 1e-4
        elif i < len(expected) - len(case.differentiable):
            torch.testing.assert_close(a.cpu(), b, rtol=rtol, atol=atol)
        else:
            # A gradient sums many terms, in another order here: off by a few roundings of the largest.
            scale = float(b.abs().max()) if b.numel() else 1.0
            torch.testing.assert_close(a.cpu(), b, rtol=1e-4, atol=scale * (1e-4 if dtype == torch.float32 else 1e-10))


@all_cases
def test_same_bits_a_hundred_times(case, dtype):
    tensors, topology = made(case, dtype, "cuda", LARGE), mesh(LARGE).to("cuda")
    expected = case.call(tensors, topology)
    for _ in range(REPEATS):
        topology.charts.clear()
        assert_same_bits(case.call(tensors, topology), expected)


@with_gradient
def test_deterministic_gradients_are_the_same_bits_a_hundred_times(case, dtype):
    tensors, topology = made(case, dtype, "cuda", LARGE), mesh(LARGE).to("cuda")
    with deterministic():
        expected = gradients(case, tensors, topology)
        for _ in range(REPEATS):
            assert_same_bits(gradients(case, tensors, topology), expected)


@all_cases
def test_works_on_the_stream_of_the_caller(case, dtype):
    """The inputs arrive late on a stream of their own: a kernel on any other stream would see NaN."""
    tensors, topology = made(case, dtype, "cuda"), mesh(SMALL).to("cuda")
    expected = case.call(tensors, topology)
    late = {
        n: torch.full_like(t, float("nan")) if t.is_floating_point() else torch.zeros_like(t)
        for n, t in tensors.items()
    }
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # clock cycles
        for name, tensor in tensors.items():
            late[name].copy_(tensor)
        found = case.call(late, topology)
    stream.synchronize()
    assert_same_bits(found, expected)


@all_cases
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one CUDA device")
def test_works_on_a_second_device(case, dtype):
    expected = case.call(made(case, dtype, "cuda:0"), mesh(SMALL).to("cuda:0"))
    with torch.cuda.device(0):
        tensors, topology = made(case, dtype, "cuda:1"), mesh(SMALL).to("cuda:1")
        found = everything(case, tensors, topology)
    assert all(output.device == torch.device("cuda:1") for output in found)
    for a, b in zip(found, expected):  # the devices need not be of one kind
        torch.testing.assert_close(a.cpu(), b.cpu())


@all_cases
def test_never_waits_for_the_device(case, dtype):
    tensors, topology = made(case, dtype, "cuda"), mesh(SMALL).to("cuda")
    everything(case, tensors, topology)  # what a topology makes once, it makes here
    torch.cuda.set_sync_debug_mode("error")
    try:
        everything(case, tensors, topology)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def captured(run: Callable[[], Outputs]) -> tuple[torch.cuda.CUDAGraph, Outputs]:
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = run()
    return graph, outputs


@all_cases
def test_replays_as_a_graph(case, dtype):
    """Forward and backward, on images in another order than those it was captured with."""
    tensors, topology = made(case, dtype, "cuda"), mesh(SMALL).to("cuda")
    turned = {name: t.flip(0) if name in case.batched else t for name, t in tensors.items()}
    with deterministic():
        expected = everything(case, turned, topology)
        static = {name: tensor.clone() for name, tensor in tensors.items()}
        graph, outputs = captured(lambda: everything(case, static, topology))
        for name, tensor in turned.items():
            static[name].copy_(tensor)
        graph.replay()
    torch.cuda.synchronize()
    assert_same_bits(outputs, expected)


def quad(size: int, batch: int, device: str = "cuda") -> tuple[torch.Tensor, Topology]:
    """Two faces that fill a square picture."""
    corners = torch.tensor([[0, 0, 5], [0, size, 6], [size, size, 7], [size, 0, 8]], dtype=torch.float32)
    topology = Topology(torch.tensor([[0, 1, 2], [0, 2, 3]]), 4)
    return corners.expand(batch, 4, 3).contiguous().to(device), topology.to(device)


def test_a_quad_fills_a_large_picture():
    verts, topology = quad(2048, 1)
    found = rasterize(verts, topology, 2048, 2048)
    assert (found.face_index >= 0).all()
    expected = rasterize(verts.cpu(), topology.to("cpu"), 2048, 2048)
    assert torch.equal(found.face_index.cpu(), expected.face_index)
    torch.testing.assert_close(found.depth.cpu(), expected.depth)


def test_more_than_2_to_the_31_numbers():
    """Barycentrics of 180 pictures of 2048 x 2048: their last addresses need 64 bits."""
    size, batch = 2048, 180
    assert batch * size * size * 3 > 2**31
    if torch.cuda.mem_get_info()[0] < 40 << 30:
        pytest.skip("needs 40 GB of free device memory")
    verts, topology = quad(size, batch)
    verts.requires_grad_()
    found = rasterize(verts, topology, size, size)
    for b in (1, batch // 2, batch - 1):
        assert torch.equal(found.face_index[b], found.face_index[0])
        assert torch.equal(found.barycentrics[b], found.barycentrics[0])
    (grad,) = torch.autograd.grad(found.depth.sum(), verts)
    torch.testing.assert_close(grad[-1], grad[0], rtol=1e-3, atol=1e-3 * float(grad.abs().max()))
