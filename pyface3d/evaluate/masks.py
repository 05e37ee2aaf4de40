"""Masks of the visible face against true ones: `pyface3d evaluate masks`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyface3d.errors import InputError
from pyface3d.evaluate.annotated_faces import evenly
from pyface3d.evaluate.mask_methods import METHODS, Answer, MaskMethod, Sight, landmark_hull, make_method
from pyface3d.evaluate.mask_scores import Confusion, Mask
from pyface3d.evaluate.tables import Cell, Table
from pyface3d.io.label_maps import LABEL_MAPS, read_label_map, to_parts
from pyface3d.part_labels import VISIBLE_FACE, FacePart

VISIBLE = "visible"
"""The label map of masks that only know face (128 and more) and not face."""
TRUTH_LABELS = (*LABEL_MAPS, VISIBLE)
# What is worn, by the numbers of each label map: the pictures that have it make a subset.
_WORN: dict[str, dict[str, tuple[int, ...]]] = {
    "ours": {"glasses": (FacePart.GLASSES,), "hat": (FacePart.OCCLUDER,)},
    "celebamask": {"glasses": (3,), "hat": (14,)},
    "bisenet": {"glasses": (6,), "hat": (18,)},
}
# Endings of files after the stem of the photo: written by segment and reconstruct, and the public set's of FOCUS.
_ENDINGS = {
    "ours": ("_parts", ""),
    "celebamask": ("",),
    "bisenet": ("",),
    VISIBLE: ("_visible", "_occlusion", "_visible_skin_mask", ""),
}
_PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")

Progress = Callable[[Iterable["TrueMask"], int], Iterable["TrueMask"]]


@dataclass(frozen=True)
class TrueMask:
    """One picture of the truth.

    Attributes:
        stem: of the photo.
        path: of the true mask.
        photo: or None where there are no photos.
    """

    stem: str
    path: Path
    photo: Path | None


def evaluate_masks(
    truth: Path,
    *,
    predictions: Path | None = None,
    images: Path | None = None,
    truth_labels: str = "celebamask",
    labels: str | None = None,
    methods: Sequence[str] | None = None,
    weights: Sequence[Path] = (),
    classes: bool = False,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Table:
    """Agreement of masks with true ones, over all pictures and over those with glasses or hats.

    Accuracy, precision, recall, F1 and IoU are of the visible face, over each whole picture, then averaged over the
    pictures. What hides the face is rare, so its figures are pooled over the pixels of all pictures: of the pixels
    inside the hull of the landmarks, those that are not visible face. A picture without prediction, or where no face
    is found, has an empty mask.

    Args:
        truth: folder of true masks, or one with ``masks/`` and ``images/`` in it.
        predictions: folder of masks to measure, named after the photos as `pyface3d segment` and `reconstruct` name
            theirs.
        images: the photos, for methods that look at them; ``images`` beside the masks unless told.
        truth_labels: what the numbers in the true masks mean, of `TRUTH_LABELS`.
        labels: the same of the predictions; unless told ``<stem>_parts.png`` are ours, ``<stem>_visible.png`` and
            ``<stem>_occlusion.png`` masks.
        methods: of `mask_methods.METHODS`, measured beside the predictions; unless told the trivial ones that are
            possible, and our network where there are no predictions.
        weights: files of our part network's weights to measure instead of the shipped ones.
        classes: IoU of every class too, pooled.
        limit: only so many pictures, evenly spread.
        progress: wraps the loop over pictures, given their number (tqdm).

    Raises:
        InputError: files or arguments that cannot be used.
        AssetError: a network's weights are missing.
    """
    if truth_labels not in TRUTH_LABELS:
        raise InputError(f"truth labels must be one of {', '.join(TRUTH_LABELS)}, got {truth_labels!r}")
    if labels is not None and labels not in TRUTH_LABELS:
        raise InputError(f"labels must be one of {', '.join(TRUTH_LABELS)}, got {labels!r}")
    truths = evenly(true_masks(truth, truth_labels, images), limit)
    made = _methods(truths, predictions, labels, methods, weights)
    sums: dict[str, list[_Sums]] = {label: [] for label in made}
    worn: list[frozenset[str]] = []
    for one in truths if progress is None else progress(truths, len(truths)):
        numbers = read_label_map(one.path)
        parts = None if truth_labels == VISIBLE else to_parts(numbers, truth_labels, str(one.path))
        seen = numbers >= 128 if parts is None else np.isin(parts, VISIBLE_FACE)
        sight = Sight(one.stem, one.photo, seen)
        hull = None if sight.points is None else landmark_hull(sight.points, *seen.shape)
        for label, method in made.items():
            sums[label].append(_Sums.of(method(sight), seen, parts, hull, one, classes))
        worn.append(frozenset(n for n, c in _WORN.get(truth_labels, {}).items() if np.isin(numbers, c).any()))
    if predictions is not None and not any(one.found for one in sums[predictions.name]):
        raise InputError(f"{predictions} has no mask of any picture of {truth}; are they named <stem>_visible.png?")
    rows = [
        _row(group, label, [sums[label][k] for k in inside])
        for group, inside in _groups(worn).items()
        for label in made
    ]
    notes = [
        "accuracy to IoU: visible face, over the whole picture, mean over the pictures",
        "hidden: pixels inside the landmarks' hull with forehead that are not visible face, pooled over the pictures",
        f"truth: classes of {truth_labels}",
    ]
    if all(one.photo is None for one in truths):
        notes.append("no photos: no landmark hull and none of our networks; name their folder with --images")
    return Table(f"Visible face, {len(truths)} pictures of {truth.name}", rows, notes)


def true_masks(truth: Path, labels: str, images: Path | None = None) -> list[TrueMask]:
    """The masks of a folder and the photos that belong to them.

    Raises:
        InputError: the folder cannot be read or has no masks, or ``images`` lacks a photo.
    """
    folder = truth / "masks" if (truth / "masks").is_dir() else truth
    if images is None:
        beside = folder.parent / "images"
        images = beside if beside.is_dir() and beside != folder else None
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".png")
    except OSError as error:
        raise InputError(f"cannot list {folder}: {error.strerror or error}; give a folder of masks") from error
    if not paths:
        raise InputError(f"{folder} has no masks; give a folder of PNG files")
    masks = []
    for path in paths:
        ending = next(ending for ending in _ENDINGS[labels] if path.stem.endswith(ending))
        stem = path.stem.removesuffix(ending)
        masks.append(TrueMask(stem, path, None if images is None else _photo(images, stem)))
    return masks


def _photo(folder: Path, stem: str) -> Path:
    for suffix in _PHOTOS:
        if (folder / (stem + suffix)).is_file():
            return folder / (stem + suffix)
    raise InputError(f"{folder} has no photo {stem}.jpg (or {', '.join(_PHOTOS[1:])}) for the mask of that name")


def _methods(
    truths: Sequence[TrueMask],
    predictions: Path | None,
    labels: str | None,
    methods: Sequence[str] | None,
    weights: Sequence[Path],
) -> dict[str, MaskMethod]:
    """What is measured, by the label of its rows."""
    photos = any(one.photo is not None for one in truths)
    if methods is None:
        own = ["ours"] if photos and (predictions is None or weights) else []
        methods = [*own, *(["hull"] if photos else []), "all"]
    made: dict[str, MaskMethod] = {}
    if predictions is not None:
        if not predictions.is_dir():
            raise InputError(f"{predictions} is not a folder; give one with <stem>_visible.png or <stem>_parts.png")
        made[predictions.name] = partial(_from_file, predictions, labels)
    for name in methods:
        if name not in METHODS:
            raise InputError(f"methods must be of {', '.join(METHODS)}, got {name!r}")
        if name != "all" and not photos:
            raise InputError(f"the method {name!r} looks at the photos; name their folder with --images")
        made |= make_method(name, weights)
    if not made:
        raise InputError("there is nothing to measure: give a folder of predictions, or photos with --images")
    return made


def _from_file(folder: Path, labels: str | None, sight: Sight) -> Answer | None:
    """The mask that somebody wrote for a picture; None where there is none."""
    kinds = ("ours", VISIBLE) if labels is None else (labels,)
    for kind in kinds:
        for ending in _ENDINGS[kind]:
            path = folder / f"{sight.stem}{ending}.png"
            if (ending or labels is not None) and path.is_file():
                numbers = read_label_map(path)
                if kind == VISIBLE:
                    return Answer(numbers >= 128, None, path)
                parts = to_parts(numbers, kind, str(path))
                return Answer(np.isin(parts, VISIBLE_FACE), parts, path)
    return None


@dataclass(frozen=True)
class _Sums:
    """One method on one picture; ``classes`` where both know them."""

    found: bool
    face: Confusion
    hidden: Confusion | None
    classes: dict[FacePart, Confusion] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        answer: Answer | None,
        seen: Mask,
        parts: NDArray[np.uint8] | None,
        hull: Mask | None,
        truth: TrueMask,
        classes: bool,
    ) -> _Sums:
        said = np.zeros_like(seen) if answer is None else answer.visible
        if said.shape != seen.shape:
            where = truth.path if answer is None or answer.path is None else answer.path
            raise InputError(
                f"{where} has {said.shape[0]} x {said.shape[1]} pixels but the truth {truth.path} has {seen.shape[0]} "
                f"x {seen.shape[1]}; masks must be of the size of the true ones"
            )
        hidden = None if hull is None else Confusion.of(~said, ~seen, hull)
        each = {}
        if classes and parts is not None and answer is not None and answer.parts is not None:
            each = {part: Confusion.of(answer.parts == part, parts == part) for part in FacePart}
        return cls(answer is not None, Confusion.of(said, seen), hidden, each)


def _groups(worn: Sequence[frozenset[str]]) -> dict[str, list[int]]:
    """Numbers of the pictures of each subset; none is empty."""
    groups = {
        "all": list(range(len(worn))),
        "glasses or hat": [k for k, things in enumerate(worn) if things],
        "glasses": [k for k, things in enumerate(worn) if "glasses" in things],
        "hat": [k for k, things in enumerate(worn) if "hat" in things],
        "neither": [k for k, things in enumerate(worn) if not things],
    }
    if not groups["glasses or hat"]:
        return {"all": groups["all"]}
    return {name: inside for name, inside in groups.items() if inside}


def _row(group: str, label: str, sums: Sequence[_Sums]) -> dict[str, Cell]:
    row: dict[str, Cell] = {"subset": group, "method": label, "pictures": len(sums)}
    row["found"] = sum(one.found for one in sums)
    for name, figure in {"accuracy": "accuracy", "precision": "precision", "recall": "recall"}.items():
        row[f"{name} %"] = _mean(sums, figure)
    row |= {"F1 %": _mean(sums, "f1"), "IoU %": _mean(sums, "iou")}
    hidden = [one.hidden for one in sums if one.hidden is not None]
    pooled = sum(hidden, Confusion()) if hidden else None
    for name in ("precision", "recall", "f1"):
        row[f"hidden {'F1' if name == 'f1' else name} %"] = None if pooled is None else 100 * getattr(pooled, name)
    for part in dict.fromkeys(part for one in sums for part in one.classes):
        whole = sum((one.classes[part] for one in sums if part in one.classes), Confusion())
        row[f"{part.name.lower()} IoU %"] = 100 * whole.iou
    return row


def _mean(sums: Sequence[_Sums], figure: str) -> float:
    return 100 * float(np.mean([getattr(one.face, figure) for one in sums]))
