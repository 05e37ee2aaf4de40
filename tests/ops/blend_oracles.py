"""blend_gradients from its definition: the least-squares problem, one edge a row, solved densely."""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor


def slow_blend(
    target: Tensor,
    donor: Tensor,
    mask: Tensor,
    *,
    donor_valid: Tensor | None = None,
    scale: Tensor | None = None,
    domain: Tensor | None = None,
    border: str = "fixed",
    data_weight: float = 0.0,
    feather_px: int = 0,
) -> Tensor:
    batch, height, width = target.shape
    donors = donor.reshape(batch, -1, height, width).double().numpy()
    valid = np.isfinite(donors)
    if donor_valid is not None:
        valid &= donor_valid.reshape(donors.shape).numpy()
    scales = np.ones(donors.shape[:2]) if scale is None else scale.double().reshape(batch, -1).numpy()
    scales = np.broadcast_to(scales, donors.shape[:2])
    inside = np.ones(target.shape, bool) if domain is None else domain.numpy()
    images = [
        _blend_one(
            target[b].double().numpy(),
            donors[b] * scales[b][:, None, None],
            valid[b],
            mask[b].int().numpy(),
            inside[b],
            border == "free",
            data_weight,
            feather_px,
        )
        for b in range(batch)
    ]
    return torch.from_numpy(np.array(images)).reshape(target.shape).to(target.dtype)


def _blend_one(target, donors, valid, mask, domain, free, data_weight, feather_px):
    height, width = target.shape
    known = np.isfinite(target)
    rows, columns = np.indices(target.shape)
    rim = (rows == 0) | (columns == 0) | (rows == height - 1) | (columns == width - 1)
    solved = domain & (free | ~rim)
    weight, label = feathered(mask, feather_px)
    equations: list[tuple[dict[tuple[int, int], float], float]] = []

    def step(k, p, q):
        """A donor's difference over an edge, or None."""
        if not 1 <= k <= len(donors) or not (valid[k - 1][p] and valid[k - 1][q]):
            return None
        return donors[k - 1][p] - donors[k - 1][q]

    def gradient(p, q):
        most = max(weight[p], weight[q])
        of_target, total = 1 - most, 0.0
        for end in (p, q):
            share = most * weight[end] / (weight[p] + weight[q]) if most > 0 else 0.0
            found = step(label[end], p, q) if share > 0 else 0.0
            if found is not None:
                total += share * found
            elif most < 1:  # in the feather, where there is no donor, the target's
                of_target += share
        return total + (of_target * (target[p] - target[q]) if of_target > 0 and known[p] and known[q] else 0.0)

    for p in np.ndindex(height, width):
        for q in ((p[0], p[1] + 1), (p[0] + 1, p[1])):
            if q[0] >= height or q[1] >= width or not (solved[p] or solved[q]):
                continue
            if solved[p] and solved[q]:
                equations.append(({p: 1.0, q: -1.0}, gradient(p, q)))
            elif not free and solved[p] and known[q]:
                equations.append(({p: 1.0}, target[q] + gradient(p, q)))
            elif not free and solved[q] and known[p]:
                equations.append(({q: -1.0}, gradient(p, q) - target[p]))
        if solved[p] and mask[p] == 0 and known[p] and data_weight > 0:
            equations.append(({p: data_weight**0.5}, data_weight**0.5 * target[p]))
    parts, count = ndimage.label(solved)
    for part in range(1, count + 1):
        pixels = [tuple(p) for p in np.argwhere(parts == part)]
        tied = any(
            (solved[p] and mask[p] == 0 and known[p] and data_weight > 0)
            or (not free and any(_fixed(solved, known, p, d) for d in ((0, 1), (0, -1), (1, 0), (-1, 0))))
            for p in pixels
        )
        if not tied:  # the mean of the target, or 0
            among = [p for p in pixels if known[p]] or pixels
            mean = np.mean([target[p] if known[p] else 0.0 for p in among])
            equations.append(({p: 1 / len(among) for p in among}, mean))
    number = {p: n for n, p in enumerate(map(tuple, np.argwhere(solved)))}
    result = target.copy()
    if number:
        system, wanted = np.zeros((len(equations), len(number))), np.zeros(len(equations))
        for row, (factors, value) in enumerate(equations):
            wanted[row] = value
            for p, factor in factors.items():
                system[row, number[p]] = factor
        solution = np.linalg.lstsq(system, wanted, rcond=None)[0]
        for p, n in number.items():
            result[p] = solution[n]
    return result


def _fixed(solved, known, p, offset):
    q = (p[0] + offset[0], p[1] + offset[1])
    return 0 <= q[0] < solved.shape[0] and 0 <= q[1] < solved.shape[1] and not solved[q] and known[q]


def feathered(mask, feather_px):
    """Weight and label of every pixel; of equally near labels the one in the nearest column, left and up first."""
    weight, label = (mask != 0).astype(float), mask.copy()
    for p in np.argwhere(mask == 0) if feather_px else ():
        best = (float(feather_px + 1),)
        for q in np.argwhere(mask != 0):
            dy, dx = q - p
            if max(abs(dy), abs(dx)) <= feather_px:
                best = min(best, (float(np.hypot(dy, dx)), abs(dx), dx > 0, dy > 0, mask[tuple(q)]))
        if len(best) > 1 and best[0] < feather_px + 1:
            weight[tuple(p)], label[tuple(p)] = 1 - best[0] / (feather_px + 1), best[-1]
    return weight, label
