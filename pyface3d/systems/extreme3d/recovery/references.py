"""Relief of many faces that nothing covers, all in one chart: what recovery takes the hidden part of a face from.

The faces are those of the synthetic data (`data.synthetic.relief`): wrinkles, folds and pores drawn on ``head``, of all
ages and expressions, without beards or glasses. They are drawn at first use, ten seconds of one core, into the user's
cache: a file to ship would be larger than all networks together. `scripts/build_relief_references.py` does it by hand.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pyface3d.errors import AssetError, InputError, OutputError
from pyface3d.io.records import encode_json
from pyface3d.io.staging import staged_files
from pyface3d.systems.extreme3d.recovery.chart import COLUMNS, ROWS, TEXEL_MM, face_chart, sampled

COUNT = 512
"""Faces drawn unless told otherwise."""
CACHE_VARIABLE = "PYFACE3D_CACHE"
"""Environment variable with the folder of what is made once and kept; ~/.cache/pyface3d where it is not set."""
COARSER = 2
"""Texels a side of the chart in one of the maps that are searched."""
AGE_BANDS = ("smooth", "young", "middle", "old")

_VERSION = 1
_SEED = 20181  # of the first entry's stream; tests and evaluations draw from others
_AT_ONCE = 8
_ACTION = 0.15  # weaker actions are not worth a tag
_RELIEF, _COARSE, _INDEX = "relief.npy", "coarse.npy", "index.json"
_MAX_INDEX_BYTES = 1 << 24
_BANDS = (0.02, 0.35, 0.65)


class Tags(NamedTuple):
    """What is known of a reference face: its ``age`` band, strengths of its ``actions``, and its beard."""

    age: str
    actions: dict[str, float]
    beard: str = "none"


@dataclass(frozen=True, eq=False)
class References:
    """Relief maps in the chart.

    Attributes:
        relief: (N, rows, columns) float16 mm along the normal, on the disk until it is read.
        coarse: (N, rows / 2, columns / 2) float16, means of 2 x 2 texels.
        tags: of each.
        recipe: checksum of what they are drawn by.
    """

    relief: NDArray[np.float16]
    coarse: NDArray[np.float16]
    tags: tuple[Tags, ...]
    recipe: str

    def __len__(self) -> int:
        return len(self.relief)

    @cached_property
    def flat(self) -> NDArray[np.float32]:
        """(N, texels) the coarse maps, in memory."""
        return np.asarray(self.coarse, np.float32).reshape(len(self), -1)


def references_folder() -> Path:
    """Where the references of this version of the program are kept; its name tells what they are drawn by."""
    root = os.environ.get(CACHE_VARIABLE) or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "pyface3d")
    return Path(root).expanduser() / f"relief_references-{_recipe()[:12]}"


def load_references(
    folder: Path | None = None, *, progress: Callable[[Iterable[int], int], Iterable[int]] | None = None
) -> References:
    """The references, drawn now if they are not there yet.

    Args:
        folder: `references_folder` where left out.
        progress: wraps the loop over the faces to draw, given their number (tqdm).

    Raises:
        OutputError: the folder cannot be written.
        AssetError: what lies there is damaged.
    """
    place = references_folder() if folder is None else folder
    if not (place / _INDEX).is_file():
        build_references(place, progress=progress)
    return _read(place.resolve())


@lru_cache(maxsize=4)
def _read(folder: Path) -> References:
    path = folder / _INDEX
    try:
        if path.stat().st_size > _MAX_INDEX_BYTES:
            raise AssetError(f"{path} is too long for an index")
        index = json.loads(path.read_text("utf-8"))
        if index["version"] != _VERSION:
            raise AssetError(f"{path} is of version {index['version']}, this program reads {_VERSION}")
        entries = index["entries"]
        tags = tuple(Tags(str(entry["age"]), dict(entry["actions"]), str(entry["beard"])) for entry in entries)
        digests = tuple(str(entry["sha256"]) for entry in entries)
        relief, coarse = (np.load(folder / name, mmap_mode="r") for name in (_RELIEF, _COARSE))
    except AssetError as error:
        raise AssetError(f"{error}; delete {folder}, it is made again") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AssetError(f"the references in {folder} are damaged ({error}); delete it, it is made again") from error
    whole, half = (len(tags), ROWS, COLUMNS), (len(tags), ROWS // COARSER, COLUMNS // COARSER)
    if relief.shape != whole or coarse.shape != half or {relief.dtype, coarse.dtype} != {np.dtype(np.float16)}:
        raise AssetError(f"the references in {folder} do not fit their index; delete it, it is made again")
    for number, digest in enumerate(digests):
        if _digest(relief[number]) != digest:
            raise AssetError(f"reference {number} in {folder} is damaged; delete the folder, it is made again")
    return References(relief, coarse, tags, str(index["recipe"]))


def build_references(
    folder: Path,
    count: int = COUNT,
    seed: int = _SEED,
    *,
    progress: Callable[[Iterable[int], int], Iterable[int]] | None = None,
) -> None:
    """Draw references and write them: ``relief.npy``, ``coarse.npy`` and, last, ``index.json``.

    Args:
        count: how many faces.
        seed: of all of them; each has a stream of its own, so that more faces do not change the first.
        progress: wraps the loop over the faces, given their number (tqdm).

    Raises:
        InputError: no faces are wanted.
        OutputError: the folder cannot be written.
    """
    if count < 1:
        raise InputError(f"count must be at least 1, got {count}")
    drawer = ReliefDrawer(seed)
    with staged_files(folder) as files:
        maps: list[np.memmap[Any, np.dtype[np.float16]]] = []
        for name, share in ((_RELIEF, 1), (_COARSE, COARSER)):
            shape = (count, ROWS // share, COLUMNS // share)
            try:
                maps.append(np.lib.format.open_memmap(files.path(name), "w+", np.float16, shape))
            except OSError as error:
                raise OutputError(f"cannot write {folder / name}: {error.strerror or error}; free space") from error
        entries, numbers = [], range(count)
        for number in numbers if progress is None else progress(numbers, count):
            if number % _AT_ONCE == 0:
                drawn = drawer(range(number, min(number + _AT_ONCE, count)))
            relief, tags = drawn[number % _AT_ONCE]
            maps[0][number] = relief
            maps[1][number] = _halved(maps[0][number])
            sha256 = _digest(maps[0][number])
            entries.append({"stream": [seed, number], **tags._asdict(), "sha256": sha256})
        for array in maps:
            array.flush()
        index = {
            "version": _VERSION,
            "recipe": _recipe(),
            "chart": {"rows": ROWS, "columns": COLUMNS, "texel_mm": TEXEL_MM},
            "entries": entries,
        }
        files.write_bytes(_INDEX, encode_json(index))


class ReliefDrawer:
    """Draws faces' relief into the chart; number k of a seed is the same face in whatever company it is drawn."""

    def __init__(self, seed: int) -> None:
        from pyface3d.data.synthetic.noise_bank import make_noise_bank
        from pyface3d.data.synthetic.relief import RELIEF_SIZE, make_ground
        from pyface3d.face_models.head import load_head

        head = load_head()
        self.seed, self.names = seed, head.expression_names
        self._ground, self._noise = make_ground(head), make_noise_bank()
        chart = face_chart(head)
        shown, topology = chart.fragments, head.topology
        if topology.uvs is None or topology.uv_faces is None:
            raise AssetError("the head model has no texture chart; install the package again")
        corners = topology.uvs.double()[topology.uv_faces.long()[shown.face_index[0].long().clamp_min(0)]]
        self._texels = (corners * shown.barycentrics[0][..., None]).sum(-2) * RELIEF_SIZE
        self._drawn = shown.mask[0].numpy()

    def __call__(self, numbers: Iterable[int]) -> list[tuple[NDArray[np.float32], Tags]]:
        """Relief (rows, columns) mm and tags of each face."""
        from functools import partial

        from pyface3d.data.synthetic.draws import Draws
        from pyface3d.data.synthetic.expressions import draw_expressions
        from pyface3d.data.synthetic.relief import action_strength, draw_aged_relief

        rngs = [np.random.default_rng([self.seed, number]) for number in numbers]
        made = draw_expressions(rngs, self.names)
        strength = partial(action_strength, torch.from_numpy(made), self.names)
        young = torch.zeros(len(rngs), dtype=torch.bool)
        relief, ages = draw_aged_relief(self._ground, self._noise, Draws(rngs, "cpu"), strength, young)
        done = []
        for heights, age, actions in zip(relief, ages.tolist(), made, strict=True):
            strong = {n: round(float(a), 3) for n, a in zip(self.names, actions, strict=True) if a > _ACTION}
            laid = np.where(self._drawn, sampled(heights, self._texels).numpy(), np.float32(0))
            done.append((laid, Tags(AGE_BANDS[int(np.searchsorted(_BANDS, age))], strong)))
        return done


def _halved(relief: NDArray[np.float16]) -> NDArray[np.float32]:
    parts = np.asarray(relief, np.float32).reshape(ROWS // COARSER, COARSER, COLUMNS // COARSER, COARSER)
    return np.asarray(parts.mean((1, 3)), np.float32)


def _digest(relief: NDArray[np.float16]) -> str:
    return hashlib.sha256(np.ascontiguousarray(relief).tobytes()).hexdigest()


@lru_cache(maxsize=1)
def _recipe() -> str:
    """Checksum of what decides about the drawing: the sources of the synthetic relief, the head, and the numbers here
    (a change of the chart needs another `_VERSION`)."""
    from pyface3d.data import synthetic
    from pyface3d.io.weights import find_asset

    folder = Path(synthetic.__file__).parent
    names = ("relief", "wrinkles", "canvas", "curves", "noise_bank", "draws", "expressions")
    sources = [(folder / f"{name}.py").read_bytes() for name in names]
    sources.append(find_asset("head").card.sha256.encode())
    sources.append(json.dumps([_VERSION, _SEED, ROWS, COLUMNS, COARSER, TEXEL_MM]).encode())
    return hashlib.sha256(b"".join(hashlib.sha256(source).digest() for source in sources)).hexdigest()
