"""The stages of Extreme 3D Faces, one after the other, on the default model."""

import math
import resource
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from benchmarks.timing import Result, median_ms, torch_threads
from pyface3d.face_models import load_face_model
from pyface3d.geometry import rotation_from_euler
from pyface3d.ops import interpolate
from pyface3d.systems.extreme3d import (
    Foundation,
    Relief,
    build_dense,
    build_foundation,
    complete_face,
    look,
    merge_layers,
    register_pixels,
    run_stages,
)
from pyface3d.systems.extreme3d.carried import face_region, relief_along_axis, rounding
from pyface3d.systems.extreme3d.photo import HEAD_LEVEL

TITLE = "Extreme 3D Faces, geometry"
NOTES = """
The mean head at level 1 (19,543 vertices), turned by 25°, with wrinkles of 1.2 mm in the crop of 500²; float64. *All
stages* is everything from foundation and relief to the final mesh, without its files; *peak* is the largest memory that
the process has held, libraries and model included. Checked: the final mesh is finite, and holds seen, mirrored and
prior vertices. A second thread helps little: sparse solve and triangulation have one.
"""


def run(threads: list[int], seconds: float) -> Iterator[Result]:
    foundation, relief = _face()
    dense, seen = build_dense(foundation, relief), look(foundation, relief)
    face = complete_face(foundation, dense, seen)
    registration = register_pixels(foundation, dense, face)
    works: dict[str, Callable[[], object]] = {
        "foundation and its picture": lambda: _again(foundation).fragments,
        "relief along the axis": lambda: _relief(_again(foundation, foundation)),
        "rounding of the triangles": lambda: rounding(_again(foundation, foundation)),
        "dense mesh (withBump)": lambda: build_dense(foundation, relief),
        "visibility and occlusion weights": lambda: look(foundation, relief),
        "relief onto vertices, plane, completion (sparseFull)": lambda: complete_face(foundation, dense, seen),
        "registration of the pixels": lambda: register_pixels(foundation, dense, face),
        "merge (final)": lambda: merge_layers(foundation, relief, face, registration),
        "all stages": lambda: run_stages(_again(foundation), relief),
    }
    check = _check(foundation, relief)
    for name, work in works.items():
        for count in threads:
            with torch_threads(count):
                ours = median_ms(work, seconds)
            peak = f"; peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"
            yield Result(name, count, ours, {}, check + peak if name == "all stages" else "")


def _face() -> tuple[Foundation, Relief]:
    model = load_face_model("head", HEAD_LEVEL)
    angles = (torch.tensor([value], dtype=torch.float64) for value in (math.radians(25), 0.0, 0.0))
    shift = torch.tensor([0.0, 0.0, 600.0], dtype=torch.float64)
    shape = torch.zeros(model.identity_dim), torch.zeros(model.expression_dim)
    foundation = build_foundation(model, *shape, rotation_from_euler(*angles)[0], shift)
    return foundation, _relief(foundation)


def _relief(foundation: Foundation) -> Relief:
    """Wrinkles across the face, from the normal to the axis."""
    model = load_face_model("head", HEAD_LEVEL)
    spots = interpolate(foundation.verts[None], foundation.fragments, foundation.closed)[0]
    mm = 1.2 * torch.sin(spots[..., 1] / 2) * torch.cos(spots[..., 0] / 5)
    region = face_region(foundation, model)
    return Relief(relief_along_axis(foundation, model, mm, region), region.to(torch.uint8) * 255)


def _again(foundation: Foundation, drawn: Foundation | None = None) -> Foundation:
    """The same foundation with nothing computed yet, but for what ``drawn`` shows."""
    copy = replace(foundation)
    if drawn is not None:
        copy.__dict__["fragments"] = drawn.fragments
    return copy


def _check(foundation: Foundation, relief: Relief) -> str:
    final = run_stages(foundation, relief).mesh("final")
    assert final.source is not None
    if not torch.from_numpy(final.verts).isfinite().all() or set(final.source.tolist()) != {0, 1, 2}:
        raise AssertionError(f"the final mesh has sources {set(final.source.tolist())}, or is not finite")
    return f"{len(final.verts)} vertices, {len(final.faces)} triangles"
