"""What decides a run of the part network."""

from __future__ import annotations

from dataclasses import dataclass

from pyface3d.errors import InputError
from pyface3d.train.config import RunConfig


@dataclass(frozen=True)
class PartsConfig(RunConfig):
    """One run of the part network; further fields: see `RunConfig`.

    Attributes:
        occluders: cover faces, in rendering and in the changes.
        balance: power of a class's rarity that weighs its pixels, 0 leaves all alike.
        border: what a pixel within two of a border between classes weighs beyond 1.
        overlap: weight of the Dice loss of the visible face, beside the cross-entropy.
        hard: share of people that are hard cases, see `SyntheticFaces`.
    """

    batch: int = 20
    size: int = 160
    reuse: int = 3
    occluders: bool = True
    balance: float = 0.25
    border: float = 0.5
    overlap: float = 0.5
    hard: float = 0.4

    def __post_init__(self) -> None:
        from pyface3d.networks.face_parts import STRIDE  # not above: flags are read without torch

        super().__post_init__()
        if self.size % STRIDE:
            raise InputError(f"size must be a multiple of {STRIDE}, got {self.size}")
