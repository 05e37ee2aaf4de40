"""The soft-symmetry fill as its equations read, one row at a time, solved as a dense system."""

import torch
from torch import Tensor

from pyface3d.ops import Topology

FLIP = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)


def slow_complete_symmetry(
    verts: Tensor,
    weights: Tensor,
    mirror: Tensor,
    reference: Tensor,
    topology: Topology,
    threshold: float = 0.75,
    soft: bool = False,
    mirror_borders: bool = True,
) -> tuple[Tensor, Tensor]:
    reference = reference.expand_as(verts)
    completed, sources = [], []
    for S, w, S0 in zip(verts, weights, reference):
        x, source = _one(S, w, mirror.tolist(), S0, neighbours_of(topology), threshold, soft, mirror_borders)
        completed.append(x)
        sources.append(source)
    return torch.stack(completed), torch.stack(sources)


def neighbours_of(topology: Topology) -> list[set[int]]:
    around: list[set[int]] = [set() for _ in range(topology.num_verts)]
    for face in topology.faces.tolist():
        for a in face:
            around[a] |= set(face) - {a}
    return around


def _one(S, w, mirror, S0, around, threshold, soft, mirror_borders):  # type: ignore[no-untyped-def]
    count = len(S)
    known = [bool(w[v] >= threshold) for v in range(count)]
    hole = [v for v in range(count) if not known[v] and around[v]]
    mirror_ok = [0 <= mirror[v] < count and mirror[mirror[v]] == v and known[mirror[v]] for v in range(count)]
    F = {v: FLIP * S[mirror[v]] for v in range(count) if mirror_ok[v]}
    A = torch.zeros(len(hole), len(hole), dtype=torch.float64)
    rows = []
    for row, i in enumerate(hole):
        degree = len(around[i])
        A[row, row] = degree * (1 + 1e-6)
        b = 1e-6 * degree * S0[i]
        for j in around[i]:
            borrows = mirror_ok[i] and mirror_ok[j] and (mirror_borders or not known[j])
            b = b + (F[i] - F[j] if borrows else S0[i] - S0[j])
            if known[j]:
                b = b + S[j]
            else:
                A[row, hole.index(j)] = -1
        if soft and 0 < w[i] < threshold:
            pull = degree * w[i] / (threshold - w[i])
            A[row, row] += pull
            b = b + pull * S[i]
        rows.append(b)
    x = torch.where(torch.tensor(known)[:, None], S, S0)
    if hole:
        x[hole] = torch.linalg.solve(A, torch.stack(rows))
    source = [1 if known[v] else 2 if mirror_ok[v] and around[v] else 0 for v in range(count)]
    return x, torch.tensor(source, dtype=torch.uint8)
