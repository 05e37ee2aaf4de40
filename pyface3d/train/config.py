"""Everything that decides what a training run does; written beside its checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from pyface3d.errors import InputError

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11 on


@dataclass(frozen=True)
class RunConfig:
    """One run; networks derive their own from it.

    Attributes:
        steps: length of the schedule.
        batch: crops a step.
        size: side of the crops in pixels.
        seed: of weights, samples and changes to them.
        reuse: steps that each rendered sample serves, each time changed anew; rendering costs more than a step.
        pool: rendered batches among which a step chooses.
        frozen_stages: of the network's ``trunk``, the stem counted, that keep the weights they start with.
        trunk_norms: "frozen" keeps the statistics in the trunk's batch norms, "batch" learns new ones.
        warm_up: steps over which the learning rates rise.
        learning_rate: the highest one.
        trunk_learning_rate: the highest one of the network's ``trunk``, where it has one.
        weight_decay: of the optimiser, of matrices and kernels alone.
        clip: largest norm of the gradient.
        ema: decay of the averaged weights; 0: the weights themselves.
        optimizer: "adamw" or "sgd".
        momentum: of "sgd".
        decay_at: shares of the schedule at which the rates are multiplied by ``decay``; none: they follow a cosine.
        decay: see ``decay_at``.
        accumulate: parts that a batch is taken in, one after the other, where it is too large for the memory.
        precision: "float32", or "bfloat16" for the network's own arithmetic; weights and losses stay in float32.
    """

    steps: int = 10_000
    batch: int = 48
    size: int = 128
    seed: int = 0
    reuse: int = 4
    pool: int = 16
    frozen_stages: int = 3
    trunk_norms: str = "frozen"
    warm_up: int = 200
    learning_rate: float = 1e-3
    trunk_learning_rate: float = 4e-4
    weight_decay: float = 0.02
    clip: float = 5.0
    ema: float = 0.999
    optimizer: str = "adamw"
    momentum: float = 0.9
    decay_at: tuple[float, ...] = ()
    decay: float = 0.1
    accumulate: int = 1
    precision: str = "float32"

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 1), ("reuse", 1), ("pool", 1), ("size", 32), ("frozen_stages", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}")
        for name, known in (
            ("trunk_norms", ("batch", "frozen")),
            ("optimizer", ("adamw", "sgd")),
            ("precision", ("float32", "bfloat16")),
        ):
            if getattr(self, name) not in known:
                raise InputError(f"{name} must be {' or '.join(map(repr, known))}, got {getattr(self, name)!r}")
        if self.accumulate < 1 or self.batch % self.accumulate:
            raise InputError(f"accumulate must divide the batch of {self.batch}, got {self.accumulate}")

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def of_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Undoes ``dataclasses.asdict``.

        Raises:
            InputError: it has a field that there is not, or a value of another kind.
        """
        known = {item.name: item.default for item in fields(cls)}
        if unknown := sorted(set(values) - set(known)):
            raise InputError(f"the configuration has unknown fields {', '.join(unknown)}; it is of another version")
        for name, value in values.items():
            _check_kind(name, value, known[name])
        if "decay_at" in values:
            values = {**values, "decay_at": tuple(values["decay_at"])}  # files have lists
        return cls(**values)


def _check_kind(name: str, value: Any, default: Any) -> None:
    """Values come from files, where a number may be a text."""
    if isinstance(default, tuple):
        fits = isinstance(value, list | tuple) and all(isinstance(part, int | float) for part in value)
    elif isinstance(default, float):
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    elif isinstance(default, bool | int | str):
        fits = type(value) is type(default)
    else:  # a table of its own
        return
    if not fits:
        raise InputError(f"{name} must be a {type(default).__name__} like {default!r}, got {value!r}")
