"""W6: gradient-domain completion of a mesh of 53,475 vertices, half of them known."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import torch
from torch import Tensor

from benchmarks.timing import Result, median_ms, torch_threads
from benchmarks.workloads import benchmark_mesh
from pyface3d.ops import Topology, complete_symmetry
from pyface3d.ops._kernels import cpu_kernels

TITLE = "Symmetric completion"
NOTES = """
W6 is the membrane: the uniform graph Laplacian of the hole, three right-hand sides, float64. Ours is the whole op on
new values: which vertices are known, right-hand sides, structure of the hole, factorisation, solution, output; only the
order of elimination is kept from the first call with the topology (about 0.1 s once). The peers are handed matrix and
right-hand sides: *spsolve* is SciPy's (SuperLU, minimum degree), *CG* SciPy's conjugate gradients with the diagonal as
preconditioner to 1e-8, *pyamg* its smoothed aggregation with conjugate gradients to 1e-8, set-up included; a dash is a
peer that is not installed or was not asked. Checked: relative residual of ours and of the peers by a matrix that SciPy
assembles from the faces; in brackets the memory of the factor and of all that the factorisation keeps. The bilaplacian
of W6 has no row: the op has no use for it, and its solver takes the mesh's graph as the pattern.
"""
PEER_RESIDUAL = 1e-8


@dataclass(frozen=True)
class Problem:
    """One known set: tensors of the op, and the same system for the peers."""

    verts: Tensor
    weights: Tensor
    mirror: Tensor
    reference: Tensor
    topology: Topology
    matrix: scipy.sparse.csc_matrix
    values: np.ndarray
    hole: np.ndarray

    def residual(self, x: np.ndarray) -> float:
        return float(np.linalg.norm(self.matrix @ x - self.values) / np.linalg.norm(self.values))


def run(threads: list[int], seconds: float) -> Iterator[Result]:
    mesh = benchmark_mesh("bfm53k")
    reference = 100 * torch.from_numpy(mesh.verts)[None]
    topology = mesh.topology
    draw = torch.rand(topology.num_verts, generator=torch.Generator().manual_seed(1))
    known_sets = {"left half": reference[0, :, 0] > 0, "a random half": draw < 0.5}
    for name, known in known_sets.items():
        problem = _problem(reference, known, topology)
        check = _check(problem)
        for count in threads:
            with torch_threads(count):
                ours = median_ms(lambda: _ours(problem), seconds)  # noqa: B023
                peers = {}
                if name == "left half":
                    peers = {peer: median_ms(call, seconds) for peer, call in _peers(problem).items()}
                else:
                    peers = {"spsolve": median_ms(_peers(problem)["spsolve"], seconds)}
            yield Result(f"W6: {mesh.name}, {name} known, float64", count, ours, peers, check)
    problem = _problem(reference, known_sets["left half"], topology)
    eight = [t.expand(8, *t.shape[1:]).float().contiguous() for t in (problem.verts, problem.weights, reference)]
    leaf = problem.verts.clone().requires_grad_()
    for count in threads:
        with torch_threads(count):
            batch = median_ms(
                lambda: complete_symmetry(eight[0], eight[1], problem.mirror, eight[2], topology),
                seconds,
            )
            both = median_ms(
                lambda: torch.autograd.grad(
                    complete_symmetry(leaf, problem.weights, problem.mirror, reference, topology)[0].sum(), leaf
                ),
                seconds,
            )
        yield Result(f"{mesh.name}, left half known, float32, batch 8", count, batch)
        yield Result(f"{mesh.name}, left half known, float64, forward + backward", count, both)


def _problem(reference: Tensor, known: Tensor, topology: Topology) -> Problem:
    """No mirror, so that the membrane is all there is."""
    noise = torch.randn(reference.shape, generator=torch.Generator().manual_seed(0), dtype=reference.dtype)
    verts = reference + noise
    corners = topology.faces.numpy()
    a, b = corners.ravel(), np.roll(corners, 1, axis=1).ravel()
    ends = np.concatenate([a, b]), np.concatenate([b, a])
    adjacency = scipy.sparse.coo_matrix((np.ones(len(ends[0])), ends), (topology.num_verts,) * 2).tocsr()
    adjacency.data[:] = 1
    degree = np.asarray(adjacency.sum(1)).ravel()
    seen = known.numpy()
    hole = ~seen & (degree > 0)
    laplacian = scipy.sparse.diags(degree) - adjacency
    right = (laplacian + 1e-6 * scipy.sparse.diags(degree)) @ reference[0].numpy()
    return Problem(
        verts,
        known.to(reference.dtype)[None],
        torch.full((topology.num_verts,), -1),
        reference,
        topology,
        (laplacian + 1e-6 * scipy.sparse.diags(degree)).tocsr()[hole][:, hole].tocsc(),
        right[hole] + adjacency[hole][:, seen] @ verts[0].numpy()[seen],
        hole,
    )


def _ours(problem: Problem) -> Tensor:
    return complete_symmetry(problem.verts, problem.weights, problem.mirror, problem.reference, problem.topology)[0]


def _peers(problem: Problem) -> dict[str, Callable[[], np.ndarray]]:
    matrix, values = problem.matrix, problem.values
    diagonal = scipy.sparse.diags(1 / matrix.diagonal())

    def conjugate_gradients() -> np.ndarray:
        columns = (scipy.sparse.linalg.cg(matrix, b, rtol=PEER_RESIDUAL, M=diagonal)[0] for b in values.T)
        return np.stack(list(columns), 1)

    def aggregation() -> np.ndarray:
        solver = import_module("pyamg").smoothed_aggregation_solver(matrix.tocsr(), symmetry="symmetric")
        return np.stack([solver.solve(b, tol=PEER_RESIDUAL, accel="cg") for b in values.T], 1)

    peers: dict[str, Callable[[], np.ndarray]] = {
        "spsolve": lambda: scipy.sparse.linalg.spsolve(matrix, values),
        "CG": conjugate_gradients,
    }
    return {**peers, "pyamg": aggregation} if find_spec("pyamg") else peers


def _check(problem: Problem) -> str:
    """Refuses residuals above what is promised; returns them and the memory."""
    found = problem.residual(_ours(problem)[0].numpy()[problem.hole])
    if found > 1e-8:
        raise AssertionError(f"relative residual {found}")
    for name, call in _peers(problem).items():
        if problem.residual(call()) > 3 * PEER_RESIDUAL:  # a peer may measure its own a little differently
            raise AssertionError(f"{name} did not solve it: {problem.residual(call())}")
    chosen = torch.from_numpy(problem.hole.astype(np.uint8))
    size = torch.zeros(2, dtype=torch.int64)
    addresses = (t.data_ptr() for t in (*problem.topology.dissection, chosen, size))
    cpu_kernels().mesh_cholesky_bytes(*addresses, problem.topology.num_verts)
    return f"residual {found:.0e} ({size[0] / 1e6:.1f} / {size[1] / 1e6:.1f} MB)"
