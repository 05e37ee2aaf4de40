"""The CUDA kernels in other orders of their threads, and whether the emulation finds what is wrong with a kernel."""

import ctypes
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import torch
from cuda_emulation.emulation import Emulation, emulation, install
from op_case import SMALL, OpCase, Outputs, mesh
from op_cases import CASES
from test_ops import all_cases, assert_same_bits, gradients, made, with_gradient
from torch import Tensor

from pyface3d.ops import Fragments, Topology, _kernels, face_normals, interpolate

ROOT = Path(__file__).resolve().parents[2]
ADDS_INTEGERS = {"blend_gradients.cu", "occlusion_weights.cu"}
SCHEDULES = range(1, 21)


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> Emulation:
    return install(monkeypatch)


def answers(case: OpCase, dtype: torch.dtype) -> Outputs:
    topology = mesh(SMALL)  # a new one: nothing is kept from an earlier order
    return case.call(made(case, dtype), topology)


@all_cases
def test_order_of_the_threads_changes_no_bit_of_a_result(emulated, case, dtype):
    expected = answers(case, dtype)
    for seed in SCHEDULES if dtype == torch.float32 else SCHEDULES[:5]:  # the kernels are the same but for the type
        emulated.schedule(seed, max_blocks=1 + seed % 3)
        assert_same_bits(answers(case, dtype), expected)


@with_gradient
def test_order_of_the_threads_changes_gradients_by_rounding(emulated, case, dtype):
    tensors, topology = made(case, dtype), mesh(SMALL)
    expected = gradients(case, tensors, topology)
    for seed in SCHEDULES[:3]:
        emulated.schedule(seed, max_blocks=1 + seed % 3)
        torch.testing.assert_close(gradients(case, tensors, topology), expected)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@with_gradient
def test_deterministic_gradients_are_the_same_bits_in_any_order(emulated, case, dtype):
    tensors = made(case, dtype)
    free = gradients(case, tensors, mesh(SMALL))
    with deterministic():
        expected = gradients(case, tensors, mesh(SMALL))
        for seed in SCHEDULES[:5]:
            emulated.schedule(seed, max_blocks=1 + seed % 3)
            assert_same_bits(gradients(case, tensors, mesh(SMALL)), expected)
    torch.testing.assert_close(expected, free)


def test_without_it_the_order_shows(emulated):
    case = next(case for case in CASES if case.op == "interpolate")
    tensors, found = made(case, torch.float32), set()
    for seed in SCHEDULES:
        emulated.schedule(seed)
        found.add(gradients(case, tensors, mesh(SMALL))[0].numpy().tobytes())
    assert len(found) > 10


@all_cases
def test_nothing_is_read_that_was_not_written(emulated, case, dtype):
    """In deterministic mode torch fills new tensors with NaN or the greatest integer."""
    expected = answers(case, dtype)
    with deterministic():
        assert_same_bits(answers(case, dtype), expected)


def test_deterministic_sums_of_far_apart_terms(emulated, dtype):
    """Nine terms of the size 1 and two of 1e16 that cancel at other vertices: the small sum keeps its digits."""
    topology = Topology(torch.tensor([[0, 1, 2], [3, 4, 5]]), 6)
    face_index = torch.zeros(1, 1, 11, dtype=torch.int32)
    face_index[..., 9:] = 1
    weights = torch.full((1, 1, 11, 3), 1 / 3, dtype=dtype)
    values = torch.linspace(0.5, 1.5, 11, dtype=dtype)
    values[9], values[10] = 1e16, -1e16
    attributes = torch.zeros(1, 6, 1, dtype=dtype, requires_grad=True)
    with deterministic():
        found = interpolate(attributes, Fragments(face_index, weights, values[None, None]), topology)
        (grad,) = torch.autograd.grad((found[0, 0, :, 0] * values).sum(), attributes)
    expected = (values[:9].double() / 3).sum().to(dtype).expand(3)
    torch.testing.assert_close(grad[0, :3, 0], expected)
    assert not grad[0, 3:].any()


@pytest.mark.parametrize("bad", [float("inf"), float("-inf"), float("nan")])
def test_deterministic_sums_pass_infinity_and_nan_on(emulated, dtype, bad):
    verts = torch.rand(1, 17, 3, dtype=dtype, generator=torch.Generator().manual_seed(0), requires_grad=True)
    topology = mesh(SMALL)
    weights = torch.ones(1, topology.num_faces, 3, dtype=dtype)
    weights[0, 0, 0] = bad
    with deterministic():
        (grad,) = torch.autograd.grad((face_normals(verts, topology) * weights).sum(), verts)
    (free,) = torch.autograd.grad((face_normals(verts, topology) * weights).sum(), verts)
    torch.testing.assert_close(grad, free, equal_nan=True)
    assert not grad.isfinite().all()
    assert grad.isfinite().any()


def test_every_atomic_sum_of_floats_can_be_repeatable():
    """Kernels add floats through add_to; what is left of atomicAdd adds integers."""
    sources = sorted((ROOT / "csrc" / "cuda").glob("*.cu"))
    assert sources
    found = {path.name for path in sources if re.search(r"\batomicAdd\(", path.read_text())}
    assert found <= ADDS_INTEGERS, found - ADDS_INTEGERS


@cache
def faulty() -> ctypes.CDLL:
    emulation()  # skips where nothing can be built
    from cuda_emulation.build import build_faulty

    return ctypes.CDLL(str(build_faulty()))


def run(name: str, values: Tensor, count: int, blocks: int = 1, seed: int = 0) -> str:
    """What the emulation says of a kernel of faulty.cu; nothing when it finds nothing."""
    library = faulty()
    library.emulation_schedule(ctypes.c_uint64(seed), ctypes.c_int64(4))
    one = [(ctypes.c_size_t * 1)(value) for value in (values.data_ptr(), values.numel() * 4, 4)]
    library.emulation_set_arrays(1, *one, 1)
    kernel = getattr(library, name)
    kernel.restype = ctypes.c_char_p
    return kernel(ctypes.c_uint(blocks), ctypes.c_void_p(values.data_ptr()), ctypes.c_int(count)).decode()


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("name", "blocks", "count", "said"),
    [
        ("one_past_the_end", 1, 8, "out of bounds: 4 bytes at byte 32 of tensor 0 of the call, which has 32"),
        ("lost_update", 1, 8, "race"),
        ("lost_update", 2, 8, "race"),
        ("read_of_what_another_block_writes", 8, 8, "race"),
        ("missing_barrier", 1, 8, "(shared memory)"),
        ("barrier_in_a_branch", 1, 8, "deadlock|different warp"),
        ("lane_left_out", 1, 8, "leaves it out"),
    ],
)
def test_finds_the_fault(name, blocks, count, said, seed):
    message = run(name, torch.zeros(8, dtype=torch.int32), count, blocks, seed)
    assert any(part in message for part in said.split("|")), message


def results(name: str, result: Callable[[Tensor], object], count: int, blocks: int) -> set[object]:
    found = set()
    for seed in SCHEDULES:
        values = torch.zeros(8, dtype=torch.int32)
        assert run(name, values, count, blocks, seed) == ""
        found.add(result(values))
    return found


def test_an_order_that_decides_shows_in_the_result():
    assert len(results("last_one_wins", lambda v: v[0].item(), 600, 2)) > 5
    assert len(results("read_then_add", lambda v: v[0].item(), 600, 2)) > 5


@pytest.mark.parametrize("seed", [0, *SCHEDULES])
def test_sound_kernels_pass(seed):
    values = torch.arange(5 * 256, dtype=torch.int32)
    assert run("reversed_blocks", values, 0, 5, seed) == ""
    assert torch.equal(values, torch.arange(5 * 256, dtype=torch.int32).reshape(5, 256).flip(1).reshape(-1))
    values = torch.zeros(1, dtype=torch.int32)
    assert run("sum", values, 1000, 2, seed) == ""
    assert values.item() == 999 * 1000 // 2


def test_goes_on_after_a_fault():
    assert run("lost_update", torch.zeros(8, dtype=torch.int32), 8) != ""
    values = torch.zeros(1, dtype=torch.int32)
    assert run("sum", values, 1000) == ""
    assert values.item() == 999 * 1000 // 2


def test_every_case_runs_cuda_kernels(emulated, monkeypatch):
    """The seam holds: no op finds its way to the CPU's kernels."""
    monkeypatch.setattr(_kernels, "cpu_kernels", lambda: pytest.fail("a CPU kernel was called"))
    for case in CASES:
        answers(case, torch.float64)
        if case.differentiable:
            gradients(case, made(case, torch.float64), mesh(SMALL))
