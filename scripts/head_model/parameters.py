"""The parameter space that identities are drawn from: phenotypes of adults and head-only local changes, as one vector.

A vector ``t`` is in units of the a-priori spread, so the prior before calibration is N(0, I).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .source import PHENOTYPES, Array, Ints, SourceHead, mirrored_name, reflect

#: Free phenotypes: centre, a-priori spread, range. Age 2/3 is a young adult and 1 the old one, so that no child
#: appears; the three origins sum to one, so caucasian follows from the other two.
FREE_PHENOTYPES: dict[str, tuple[float, float, tuple[float, float]]] = {
    "gender": (0.5, 0.3, (0.0, 1.0)),
    "age": (0.74, 0.08, (0.6, 1.0)),
    "muscle": (0.5, 0.2, (0.0, 1.0)),
    "weight": (0.5, 0.12, (0.0, 1.0)),
    "height": (0.5, 0.15, (0.0, 1.0)),
    "proportions": (0.5, 0.15, (0.0, 1.0)),
    "african": (1 / 3, 0.2, (0.0, 0.9)),
    "asian": (1 / 3, 0.2, (0.0, 0.9)),
}
LOCAL_SPREAD = 0.25
LOCAL_LIMIT = 1.0


@dataclass(frozen=True)
class ParameterSpace:
    """Vectors t (B, K) <-> heads of one :class:`SourceHead`."""

    head: SourceHead

    @property
    def names(self) -> tuple[str, ...]:
        return (*FREE_PHENOTYPES, *self.head.local_names)

    def vertices(self, t: Array) -> Array:
        """Heads (B, V, 3) mm of t (B, K); values are held inside the range the targets were sculpted for."""
        num_free = len(FREE_PHENOTYPES)
        values = {
            name: np.clip(centre + spread * t[:, i], *limits)
            for i, (name, (centre, spread, limits)) in enumerate(FREE_PHENOTYPES.items())
        }
        origin = np.stack([values["african"], values["asian"]])
        origin = origin / np.maximum(origin.sum(axis=0), 0.95) * np.minimum(origin.sum(axis=0), 0.95)
        values |= {"african": origin[0], "asian": origin[1], "caucasian": 1.0 - origin.sum(axis=0)}
        phenotypes = np.stack([values[name] for name in PHENOTYPES], axis=1)
        local = np.clip(LOCAL_SPREAD * t[:, num_free:], -LOCAL_LIMIT, LOCAL_LIMIT)
        return self.head.vertices(phenotypes, local)

    def linearised(self, t: Array, step: float = 0.5) -> Array:
        """Central differences of :meth:`vertices` about t (K,): one shape per parameter, (K, V, 3) mm per unit."""
        offsets = step * np.eye(len(t))
        shapes = [self.vertices(np.stack([t + row, t - row])) for row in offsets]
        return np.stack([(plus - minus) / (2 * step) for plus, minus in shapes])

    def mirror_permutation(self) -> tuple[Ints, Array]:
        """Index and sign that turn a person's vector into that of the mirrored person."""
        names = self.names
        permutation = np.array([names.index(mirrored_name(name)) for name in names])
        sign = np.ones(len(names))
        shapes = self.head.local_shapes[:, 0].astype(np.float64)
        for i, shape in enumerate(shapes):
            row = i + len(FREE_PHENOTYPES)
            if permutation[row] == row and (shape * reflect(shape, self.head.mirror)).sum() < 0:
                sign[row] = -1.0  # a sideways shift
        return permutation, sign
