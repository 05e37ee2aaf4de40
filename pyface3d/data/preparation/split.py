"""Training and validation sets of aligned pictures: `pyface3d prepare split`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pyface3d.data.preparation.occlude import MASKS, OCCLUDED
from pyface3d.errors import InputError, OutputError
from pyface3d.io.ledger import Ledger
from pyface3d.systems.inputs import PICTURE_SUFFIXES

PICTURES, LANDMARKS = "ori_img", "landmarks"
TRAIN, VAL = "train", "val"
WAYS = ("copy", "link", "move")
_WANTED = {PICTURES: PICTURE_SUFFIXES, LANDMARKS: frozenset([".npy"])}
_OPTIONAL = {OCCLUDED: PICTURE_SUFFIXES, MASKS: frozenset([".png"])}


@dataclass(frozen=True)
class Sample:
    """The files of one face, by the folder they lie in; ``missing`` says what is not there."""

    stem: str
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def missing(self) -> list[str]:
        return [name for name in _WANTED if name not in self.files]


@dataclass(frozen=True)
class Placed:
    """What became of one sample: its set, or why it was left where it is."""

    sample: Sample
    part: str | None
    error: str | None = None
    resumed: bool = False


def find_samples(data: Path) -> list[Sample]:
    """The samples of ``data/ori_img``, ``data/landmarks`` (.npy) and, where there, ``occluded`` and ``masks``, by name;
    files of one sample have one stem.

    Raises:
        InputError: a folder is missing or empty, or two files of a folder have one stem.
    """
    samples: dict[str, dict[str, Path]] = {}
    for name, suffixes in {**_WANTED, **_OPTIONAL}.items():
        folder = data / name
        if not folder.is_dir():
            if name in _OPTIONAL:
                continue
            raise InputError(f"{folder} is not there; {data} must hold the folders {' and '.join(_WANTED)}")
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes and path.is_file())
        if not files and name in _WANTED:
            raise InputError(f"{folder} is empty; it must hold {', '.join(sorted(suffixes))} files")
        for path in files:
            own = samples.setdefault(path.stem, {})
            if name in own:
                raise InputError(f"{path} and {own[name].name} are of one name; remove one")
            own[name] = path
    return [Sample(stem, samples[stem]) for stem in sorted(samples)]


def split_samples(
    samples: list[Sample], out: Path, *, share: float = 0.95, seed: int = 0, way: str = "copy", resume: bool = False
) -> Iterator[Placed]:
    """Put each complete sample into ``out/train`` or ``out/val``, in folders of the same names.

    Args:
        samples: of `find_samples`.
        out: folder.
        share: of the complete samples that train; at least one validates where there are two.
        seed: of the shuffle.
        way: "copy", "link" (hard links, one file system) or "move".
        resume: go on with a run that was cut short: samples keep their set, and what was moved is not missed.

    Yields:
        What became of each sample, by name. A sample that lacks a file is left where it is.

    Raises:
        InputError: an argument cannot be used, no sample is complete, or another run's settings.
        OutputError: a file cannot be written.
    """
    if not 0 <= share <= 1:
        raise InputError(f"share must lie in [0, 1], got {share}")
    if way not in WAYS:
        raise InputError(f"way must be one of {', '.join(WAYS)}, got {way!r}")
    ledger = Ledger(out / "split.jsonl", {"step": "split", "share": share, "seed": seed, "way": way}, resume)
    try:
        parts = {stem: row["part"] for stem, row in ledger.rows.items()}
        if not parts:
            complete = [sample.stem for sample in samples if not sample.missing]
            if not complete:
                raise InputError("no sample has a picture and landmarks of one name; check the names of the files")
            parts = _parts(complete, share, seed)
            for stem in complete:
                ledger.add(stem, part=parts[stem], done=False)
        for sample in samples:
            part: str | None = parts.get(sample.stem)
            row = ledger.rows.get(sample.stem)
            if part is not None and row is not None and row["done"]:
                yield Placed(sample, part, resumed=True)
                continue
            if part is None:
                what = ", ".join(sample.missing) or "the run that is resumed"
                yield Placed(sample, None, f"{sample.stem} has nothing in {what}; it stays where it is")
                continue
            for name, path in sample.files.items():
                _bring(path, out / part / name / path.name, way)
            ledger.add(sample.stem, part=part, done=True)
            yield Placed(sample, part)
    finally:
        ledger.close()


def _parts(stems: list[str], share: float, seed: int) -> dict[str, str]:
    order = np.random.default_rng(seed).permutation(len(stems))
    count = round(share * len(stems))
    if 0 < share < 1 and len(stems) > 1:
        count = min(max(count, 1), len(stems) - 1)
    training = {stems[index] for index in order[:count]}
    return {stem: TRAIN if stem in training else VAL for stem in stems}


def _bring(source: Path, target: Path, way: str) -> None:
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if way == "move":
            shutil.move(source, target)
            return
        part.unlink(missing_ok=True)
        if way == "link":
            os.link(source, part)
        else:
            shutil.copyfile(source, part)
        os.replace(part, target)
        part.unlink(missing_ok=True)  # replacing a file by a link to itself leaves both names
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"cannot {way} {source} to {target}: {reason}; free space or choose another folder"
        ) from error
