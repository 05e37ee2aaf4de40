"""`pyface3d evaluate bump`; see `commands.evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from pyface3d.commands.tables import Json, names_of, progress, show


@dataclass(frozen=True)
class Bump:
    """Relief recovered under pasted occluders, beside a membrane, the own mirror image alone, and none.

    On synthetic people, whose relief is known exactly, or on relief maps of a folder.
    """

    maps: Annotated[Positional[Path | None], arg(metavar="[FOLDER]")] = None
    """Folder with imgs/, bump_original/ and bump_blended/ (data/paper of Extreme 3D Faces) to measure on instead of
    synthetic people. What the published maps had blended in is left out."""
    count: Annotated[int, arg(metavar="N")] = 24
    """People, or cases of FOLDER at most."""
    methods: Annotated[str | None, arg(metavar="LIST", help_behavior_hint="(default: all)")] = None
    """What to measure, of ours, mirror (ours without references), membrane, flat."""
    occluders: Annotated[str | None, arg(metavar="LIST", help_behavior_hint="(default: all)")] = None
    """What to paste, of eye, glasses, hand, strand, mouth."""
    references: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: the user's cache)")] = None
    """Reference set of scripts/build_relief_references.py; drawn at first use."""
    model: Annotated[str, arg(metavar="NAME|PATH")] = "head"
    """Face model of the heads."""
    seed: int = 0
    """Of everything random."""
    json: Json = None
    """Write the table as JSON too."""
    csv: Json = None
    """Write the table as CSV too."""

    def run(self) -> int:
        from pyface3d.evaluate.bump import METHODS, evaluate_bump
        from pyface3d.systems.extreme3d.recovery import load_references

        methods = METHODS if self.methods is None else tuple(names_of(self.methods))
        table = evaluate_bump(
            self.count,
            references=load_references(self.references, progress=progress) if "ours" in methods else None,
            maps=self.maps,
            methods=methods,
            occluders=None if self.occluders is None else names_of(self.occluders),
            model=self.model,
            seed=self.seed,
            progress=progress,
        )
        return show(table, self.json, self.csv)
