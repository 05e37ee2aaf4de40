"""Relief recovered under pasted occluders, against what is really there.

People: synthetic relief, which the program knows exactly, on heads of random identity, expression and pose; their
streams of random numbers are none of the reference set's. Or maps of a folder in the layout of Extreme 3D Faces, where
what the relief network saw counts as truth. Nothing is rendered: recovery sees relief and an occluder's outline only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyface3d.errors import InputError, Pyface3dError
from pyface3d.evaluate.tables import Cell, Table
from pyface3d.face_models import FaceModel, load_face_model
from pyface3d.geometry import rotation_from_euler
from pyface3d.systems.extreme3d import Foundation, Relief, build_foundation
from pyface3d.systems.extreme3d.geometry_only import find_cases, place_case, read_case
from pyface3d.systems.extreme3d.recovery import Placement, References, face_chart, recover_relief, tidy_occluder
from pyface3d.systems.extreme3d.recovery.chart import COLUMNS, ROWS
from pyface3d.systems.extreme3d.recovery.fill import fill_holes
from pyface3d.systems.extreme3d.recovery.references import ReliefDrawer

METHODS = ("ours", "mirror", "membrane", "flat")
"""Recovery; the same without references; the smoothest surface that joins what is seen; no relief in the hole."""
OCCLUDERS = ("eye", "glasses", "hand", "strand", "mouth")

_PEOPLE = 70_401  # of their streams: not the references', which are drawn from another seed
_YAW_DEG, _DISTANCE_MM, _IDENTITY = 25.0, 600.0, 0.8
_WRINKLED_DEG = 2.0  # mean tilt of relief in the hole, from which on a face counts as wrinkled there
_LEAST_PIXELS = 200


@dataclass(frozen=True, eq=False)
class Person:
    """A face with relief that nothing covers; ``covered`` (H, W) bool is what is not known to be true."""

    name: str
    foundation: Foundation
    relief: Relief
    covered: Tensor
    model: FaceModel
    placement: Placement


@dataclass(frozen=True)
class _Figures:
    """Of one hole and method: what was measured, and whether the face is wrinkled there."""

    method: str
    occluder: str
    wrinkled: bool
    depth_mm: float
    normal_deg: float
    energy: float
    true_energy: float
    pixels: int


def evaluate_bump(
    count: int = 24,
    *,
    references: References | None = None,
    maps: Path | None = None,
    methods: Sequence[str] | None = None,
    occluders: Sequence[str] | None = None,
    model: str = "head",
    seed: int = 0,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda items, total: items,
) -> Table:
    """Errors inside pasted occluders.

    Args:
        count: people; cases of ``maps`` at most.
        references: of recovery; None makes ours work without any.
        maps: folder with imgs/ and bump_original/ instead of synthetic people.
        methods, occluders: of `METHODS` and `OCCLUDERS`; all where left out.
        model: face model of the heads.
        seed: of people, poses and the occluders' places.
        progress: wraps the loop over people, given their number.

    Raises:
        InputError: an argument or a file cannot be used.
    """
    chosen, shapes = tuple(methods or METHODS), tuple(occluders or OCCLUDERS)
    for what, names, known in (("methods", chosen, METHODS), ("occluders", shapes, OCCLUDERS)):
        if strange := [name for name in names if name not in known]:
            raise InputError(f"{what} must be of {', '.join(known)}, got {', '.join(strange)}")
    if count < 1:
        raise InputError(f"count must be at least 1, got {count}")
    head = load_face_model(model, level=1) if model == "head" else load_face_model(model)
    people = drawn_people(count, head, seed) if maps is None else _people_of_maps(maps, count, head)
    found: list[_Figures] = []
    skipped: list[str] = []
    for number, person in enumerate(progress(people, count)):
        if isinstance(person, str):
            skipped.append(person)
            continue
        rng = np.random.default_rng([seed, number, 7])
        for shape in shapes:
            found += _measured(person, shape, paste(shape, person.placement, rng), chosen, references)
    if not found:
        raise InputError("nothing could be measured: " + ("; ".join(skipped) or "no occluder lies on a face"))
    whose = "synthetic people" if maps is None else f"maps of {maps.name}"
    notes = [
        f"seed {seed}; {len(shapes)} occluders each, grown as in use; errors inside the holes, means over holes",
        "energy: of the gradients, found over true, both summed over the holes; × membrane: normal error over that of "
        "the membrane; wrinkled: relief tilts the normals in the hole by more than "
        f"{_WRINKLED_DEG:g}° on average",
        *(f"left out: {reason}" for reason in skipped),
    ]
    if maps is not None:
        notes.append("truth is what the published network saw, with its albedo leakage")
    return Table(f"Relief recovered under occluders, {whose}", list(_rows(found, chosen, shapes)), notes)


def _rows(found: Sequence[_Figures], methods: Sequence[str], shapes: Sequence[str]) -> Iterator[dict[str, Cell]]:
    groups: list[tuple[str, Callable[[_Figures], bool]]] = [
        ("all", lambda _: True),
        ("wrinkled", lambda one: one.wrinkled),
        ("smooth", lambda one: not one.wrinkled),
        *((shape, lambda one, shape=shape: one.occluder == shape) for shape in shapes),
    ]
    for name, belongs in groups:
        kept = [one for one in found if belongs(one)]
        membrane = [one.normal_deg for one in kept if one.method == "membrane"]
        for method in methods:
            some = [one for one in kept if one.method == method]
            if not some:
                continue
            error = float(np.mean([one.normal_deg for one in some]))
            yield {
                "holes": name,
                "method": method,
                "n": len(some),
                "depth mm": float(np.mean([one.depth_mm for one in some])),
                "normals °": error,
                "× membrane": error / float(np.mean(membrane)) if membrane else None,
                "energy": sum(one.energy for one in some) / max(sum(one.true_energy for one in some), 1e-12),
            }


def _measured(
    person: Person, shape: str, occluder: Tensor, methods: Sequence[str], references: References | None
) -> Iterator[_Figures]:
    face = person.relief.face & person.foundation.fragments.mask[0]
    holes = tidy_occluder(occluder | person.covered, face)
    inside = holes & ~person.covered
    if int(inside.sum()) < _LEAST_PIXELS:
        return
    true = person.relief.mm
    blank = replace(person.relief, mm=torch.where(holes, torch.zeros_like(true), true))
    facing = surface_normals(person.foundation, true)
    tilt = _angle(surface_normals(person.foundation, torch.zeros_like(true)), facing)[inside]
    for method in methods:
        if method == "flat":
            mm = blank.mm
        elif method == "membrane":
            mm = fill_holes(blank.mm, face, holes.long(), [])
        else:
            chart, used = face_chart(person.model), references if method == "ours" else None
            mm = recover_relief(person.foundation, blank, occluder | person.covered, chart, used)[0].mm
        yield _Figures(
            method,
            shape,
            float(tilt.mean()) > _WRINKLED_DEG,
            float((mm - true)[inside].abs().mean()),
            float(_angle(surface_normals(person.foundation, mm), facing)[inside].mean()),
            _energy(mm, inside),
            _energy(true, inside),
            int(inside.sum()),
        )


def _energy(mm: Tensor, inside: Tensor) -> float:
    """Sum of the squared differences between neighbours inside."""
    across, down = inside[:, 1:] & inside[:, :-1], inside[1:] & inside[:-1]
    return float((mm[:, 1:] - mm[:, :-1])[across].square().sum() + (mm[1:] - mm[:-1])[down].square().sum())


def surface_normals(foundation: Foundation, mm: Tensor) -> Tensor:
    """Unit normals of the foundation with relief on it, by central differences between pixels, (H, W, 3)."""
    camera, depth = foundation.camera, foundation.fragments.depth[0]
    height, width = depth.shape
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    rays = torch.stack([x - camera.center[0, 0], y - camera.center[0, 1]], -1) / camera.focal[0]
    height_mm = depth - mm.to(depth)
    points = torch.cat([rays * depth[..., None], height_mm[..., None]], -1)
    down, right = torch.gradient(points, dim=(0, 1))
    return torch.nn.functional.normalize(torch.linalg.cross(right, down), dim=-1)


def _angle(one: Tensor, other: Tensor) -> Tensor:
    return torch.rad2deg(torch.atan2(torch.linalg.cross(one, other).norm(dim=-1), (one * other).sum(-1)))


def paste(shape: str, placement: Placement, rng: np.random.Generator) -> Tensor:
    """The outline of an occluder over the crop, (H, W) bool: somewhere about where such things are."""
    x, y = placement.millimetres.unbind(-1)
    side = 1.0 if rng.random() < 0.5 else -1.0
    dx, dy = rng.normal(0, 3.0, 2)
    x, y = side * (x - dx), y - dy
    grow = rng.uniform(0.85, 1.15)

    def ellipse(left: float, up: float, wide: float, tall: float) -> Tensor:
        return ((x - left) / (grow * wide)) ** 2 + ((y - up) / (grow * tall)) ** 2 < 1

    if shape == "eye":
        found = ellipse(33, -2, 24, 19)
    elif shape == "glasses":
        found = ellipse(33, -4, 25, 19) | ellipse(-33, -4, 25, 19) | ((x.abs() < 12) & (y.abs() < 3))
        found |= (y.abs() < 2.5) & (x.abs() > 50)
    elif shape == "hand":
        found = ellipse(52, -48, 33, 42)
        for finger in range(4):
            found |= ellipse(14 + 3 * finger, -66 + 13 * finger, 26, 6.5)
    elif shape == "strand":
        bend = 12 * torch.sin(y / 40 + rng.uniform(0, 6))
        found = (x - 30 - bend).abs() < 5 * grow
    else:
        found = ellipse(0, -76, 34, 25)
    return found & placement.drawn


def drawn_people(count: int, model: FaceModel, seed: int) -> Iterator[Person]:
    """Heads with the relief that the program drew for them, each the same whatever others are asked for."""
    drawer = ReliefDrawer(_PEOPLE + seed)
    names = list(model.expression_names)
    for number in range(count):
        ((heights, tags),) = drawer([number])
        rng = np.random.default_rng([_PEOPLE + seed, number, 1])
        expression = torch.zeros(model.expression_dim, dtype=torch.float64)
        for name, strength in tags.actions.items():
            if name in names:
                expression[names.index(name)] = strength
        angles = np.radians([rng.uniform(-_YAW_DEG, _YAW_DEG), rng.normal(0, 4), rng.normal(0, 4)])
        foundation = build_foundation(
            model,
            torch.from_numpy(rng.normal(0, _IDENTITY, model.identity_dim).clip(-2, 2)),
            expression,
            rotation_from_euler(*(torch.tensor([float(angle)], dtype=torch.float64) for angle in angles))[0],
            torch.tensor([0.0, 12.0, _DISTANCE_MM], dtype=torch.float64),
        )
        placement = Placement(foundation, face_chart(model))
        whole = torch.ones(ROWS, COLUMNS, dtype=torch.bool)
        mm, known = placement.to_crop(torch.from_numpy(heights).double(), whole)
        nothing = torch.zeros_like(known)
        relief = Relief(mm, known.to(torch.uint8) * 255)
        yield Person(f"person {number}", foundation, relief, nothing, model, placement)


def _people_of_maps(folder: Path, count: int, model: FaceModel) -> Iterator[Person | str]:
    """Cases of a folder; where blending changed the published map more than its drift, the face was covered."""
    for stem in find_cases(folder)[:count]:
        try:
            case = read_case(folder, stem, "bump_original")
            blended = read_case(folder, stem, "bump_blended").relief.mm
            placed = place_case(case, model, fit_identity=case.alpha is None or len(case.alpha) != model.identity_dim)
        except Pyface3dError as error:
            yield f"{stem}: {error}"
            continue
        step = blended - case.relief.mm
        bend = (torch.nn.functional.conv2d(step[None, None], _LAPLACE.to(step), padding=1)[0, 0]).abs()
        around = torch.nn.functional.avg_pool2d(bend[None, None], 9, 1, 4)[0, 0]
        covered = tidy_occluder(around > _EDITED_MM, case.relief.face)
        yield Person(
            stem, placed.foundation, case.relief, covered, model, Placement(placed.foundation, face_chart(model))
        )


_LAPLACE = torch.tensor([[[[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]]])
_EDITED_MM = 0.12  # mean |Laplacian| of the blending's change: rounding to levels alone leaves about half
