"""Occlusion recovery of Extreme 3D Faces on a crop of 500²."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks.timing import Result, median_ms, torch_threads
from pyface3d.evaluate.bump import drawn_people, paste
from pyface3d.face_models import load_face_model
from pyface3d.systems.extreme3d.recovery import Placement, face_chart, load_references, recover_relief, tidy_occluder
from pyface3d.systems.extreme3d.recovery.fill import fill_holes

TITLE = "Occlusion recovery"
NOTES = """
A synthetic head of `head` at level 1 with its relief; 512 references from the user's cache, drawn there first where
they are not. *Placed*: the crop's pixels and the chart of faces found in each other, part of the rows above. Checked:
under the eye patch, recovered relief is nearer the truth than a membrane.
"""


def run(threads: list[int], seconds: float) -> Iterator[Result]:
    references, model = load_references(), load_face_model("head", level=1)
    (person,) = drawn_people(1, model, seed=3)
    chart, foundation, relief = face_chart(model), person.foundation, person.relief
    for shape in ("eye", "glasses", "hand"):
        occluder = paste(shape, person.placement, np.random.default_rng(0))
        found, record = recover_relief(foundation, relief, occluder, chart, references)
        check = record["holes"][0]["donor"]
        if shape == "eye":
            holes = tidy_occluder(occluder, relief.face)
            membrane = fill_holes(relief.mm, relief.face, holes.long(), [])
            ours, theirs = (float((mm - relief.mm)[holes].abs().mean()) for mm in (found.mm, membrane))
            if not ours < theirs:
                raise AssertionError(f"recovered relief is {ours} mm off, the membrane {theirs}")
            check += f"; {ours:.3f} mm off, membrane {theirs:.3f}"
        work = partial(recover_relief, foundation, relief, occluder, chart, references)
        for count in threads:
            with torch_threads(count):
                time = median_ms(work, seconds)
            yield Result(f"recover_relief, {shape}", count, time, {}, check)
    for count in threads:
        with torch_threads(count):
            time = median_ms(lambda: Placement(foundation, chart), seconds)
        yield Result("placed", count, time, {}, "")
