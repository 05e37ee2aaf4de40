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
        learning_rate, trunk_learning_rate: highest ones, of the heads and of the trunk.
        weight_decay, clip, ema: of AdamW; largest norm of the gradient; decay of the averaged weights.
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

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 1), ("reuse", 1), ("pool", 1), ("size", 32), ("frozen_stages", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.trunk_norms not in ("batch", "frozen"):
            raise InputError(f"trunk_norms must be 'batch' or 'frozen', got {self.trunk_norms!r}")

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def of_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Undoes ``dataclasses.asdict``.

        Raises:
            InputError: it has a field that there is not.
        """
        known = {item.name for item in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise InputError(f"the configuration has unknown fields {', '.join(unknown)}; it is of another version")
        return cls(**values)
