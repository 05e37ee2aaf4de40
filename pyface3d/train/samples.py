"""What one training step sees, and where it comes from; every network has its own kind of samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11 on


@dataclass(frozen=True)
class SampleSet:
    """Base of B labelled crops: a dataclass of tensors, all with B first and on one device.

    Attributes:
        image: (B, 3, S, S) uint8 sRGB.
    """

    image: Tensor

    def __len__(self) -> int:
        return len(self.image)

    def to(self, device: torch.device | str) -> Self:
        return replace(self, **{field.name: getattr(self, field.name).to(device) for field in fields(self)})

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The fields as arrays, to be sent or stored."""
        return {field.name: getattr(self, field.name).cpu().numpy() for field in fields(self)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Undoes `arrays`."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: torch.from_numpy(np.ascontiguousarray(arrays[name])) for name in names})

    def rows(self, chosen: Tensor) -> Self:
        """Some of the samples."""
        return replace(self, **{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    def split(self, parts: int) -> list[Self]:
        """As many parts, one after the other; the number of samples is a multiple of theirs."""
        size = len(self) // parts
        return [self] if parts == 1 else [self.rows(torch.arange(k * size, (k + 1) * size)) for k in range(parts)]

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        return cls(**{field.name: torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)})


Render = Callable[[Any, int, int], SampleSet]
"""``render(sampler, start, count)``: samples ``start`` to ``start + count``; a function of a module, to be sent."""


class Source(Protocol):
    """Makes a sampler where it is used; to be sent."""

    @property
    def seed(self) -> int: ...

    @property
    def size(self) -> int: ...

    def __call__(self) -> Any: ...

    def with_occluders(self, seed: int) -> Source:
        """The same with another seed, and occluders before the faces: what is measured on."""
        ...


@dataclass(frozen=True)
class FaceSource:
    """Makes the sampler of synthetic faces where it is used: in this process or in rendering ones.

    Attributes:
        assets: packed file; None for procedural content.
        size, seed, device: see `pyface3d.data.synthetic.engine.SyntheticFaces`.
        options: its other arguments.
    """

    assets: str | None
    size: int
    seed: int
    device: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def with_occluders(self, seed: int) -> FaceSource:
        return replace(self, seed=seed, options={**self.options, "occluders": True})

    def __call__(self) -> Any:
        from pyface3d.data.synthetic.engine import SyntheticFaces

        return SyntheticFaces(self.assets, self.size, self.seed, self.device, **self.options)


def render_many(render: Render, sampler: Any, count: int, at_once: int = 32) -> Any:
    """The first ``count`` samples of a sampler, on the CPU."""
    parts = [
        render(sampler, start, min(at_once, count - start)).to("cpu") for start in range(0, max(count, 1), at_once)
    ]
    return type(parts[0]).joined(parts)
