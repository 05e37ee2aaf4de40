"""Shape accuracy by the NoW protocol: people of another face model, or a real scan, photographed and reconstructed.

`pyface3d evaluate now`. The bar is the trivial answer, the mean face of the same head model, measured on the same
pictures in the same run; a method that does not beat it has measured nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.errors import InputError, NoFaceError
from pyface3d.evaluate.ict_people import IctPeople, Lights
from pyface3d.evaluate.occluders import StandardOccluder
from pyface3d.evaluate.scan_distance import NOW_LANDMARKS, scan_distance
from pyface3d.evaluate.scanned_faces import Placement, ScannedFace, read_scan
from pyface3d.evaluate.shape_methods import METHODS, Subject
from pyface3d.evaluate.tables import Cell, Table
from pyface3d.face_models import load_face_model

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel

MEAN = "mean"
"""The trivial answer, always measured: the head model's mean face."""

_YAW_BINS = (0, 20, 40, 60)
_MARKS = list(NOW_LANDMARKS)


@dataclass(frozen=True, eq=False)
class Measured:
    """One picture, one method.

    Attributes:
        picture: name of the picture.
        method: `MEAN`, or one of `shape_methods.METHODS`.
        yaw_deg: of the head.
        distances: scan to mesh, mm, (N,).
        found: False where no face was found: the mean face stands in, as a user would have nothing else.
    """

    picture: str
    method: str
    yaw_deg: float
    distances: NDArray[np.float64]
    found: bool


def evaluate_now(
    identities: int = 50,
    *,
    scan: Path | None = None,
    views: Sequence[float] = (0, 30, -30, 60, -60),
    methods: Sequence[str] = ("mean", "landmarks", "full"),
    model: str = "head",
    weights: Path | None = None,
    ict: Path | None = None,
    lights: Path | None = None,
    seed: int = 0,
    occlude: bool = False,
    size: int = 512,
    progress: Callable[[Iterable[ScannedFace], int], Iterable[ScannedFace]] | None = None,
) -> Table:
    """Scan-to-mesh distances of reconstructions from rendered pictures.

    Args:
        identities: how many people of ICT-FaceKit, each in one picture: yaw uniform in ±60°, pitch and roll in ±15°,
            light, skin, distance and place in the picture random, expression neutral.
        scan: measure on this textured scan instead (`scanned_faces.read_scan`), seen from ``views``.
        views: yaw of the pictures of ``scan``, degrees.
        methods: of `shape_methods.METHODS`; the mean face is always measured.
        weights: file of our network's weights for the methods that ask it directly.
        model: name or path of the head model that is fitted.
        ict: ``.npz`` of ICT-FaceKit or its folder; needed unless ``scan`` is given.
        lights: ``.npz`` of environments (`ict_people.Lights.read`); drawn from a prior where left out.
        seed: of everything random.
        occlude: hide part of each face behind an object of half its width.
        size: side of the pictures, px.
        progress: wraps the loop over pictures, given their number (tqdm).

    Returns:
        A row per method and range of |yaw|: pictures, how many had no face found (there the mean face's distances
        count), median, mean and standard deviation in mm over the points of all scans together, and the median over
        the mean face's.

    Raises:
        InputError: an argument that cannot be used; a file that is missing or damaged.
    """
    strangers = [name for name in methods if name not in (MEAN, *METHODS)]
    if strangers:
        raise InputError(f"methods must be of {', '.join((MEAN, *METHODS))}, got {strangers[0]!r}")
    if scan is None:
        if ict is None:
            raise InputError("evaluate now needs ICT-FaceKit's folder or .npz (--ict), or a scan to measure on")
        if identities < 1:
            raise InputError(f"identities must be at least 1, got {identities}")
        people = IctPeople(
            load_face_model(_ict_file(ict)), Lights.read(lights) if lights else None, seed=seed, size=size
        )
        count, pictures = identities, (people.photo(number, occlude=occlude) for number in range(identities))
    else:
        scanned = read_scan(scan)
        seen = (scanned.view(Placement(float(yaw)), size) for yaw in views)
        count, pictures = len(views), (_occluded(face, seed) if occlude else face for face in seen)
    faces = pictures if progress is None else progress(pictures, count)
    order = [MEAN, *(name for name in METHODS if name in methods)]
    head = _Head(load_face_model(model), weights)
    measured = [one for face in faces for one in head.measure(face, order)]
    if scan is None:
        subject = f"{identities} people of ICT-FaceKit, seed {seed}"
    else:
        subject = f"{scan.stem} from {len(views)} sides"
    if occlude:
        subject += ", behind the standard occluder"
    notes = [
        f"mm from the scan's points about the nose to the neutral mesh of model {model!r}, aligned with scale",
        "where no face was found, the mean face's distances count",
    ]
    return summarise(measured, "|yaw|" if scan is None else "view", f"Geometry by the NoW protocol: {subject}", notes)


def _ict_file(path: Path) -> Path:
    """``path`` itself, or the one ``.npz`` in it where it is a folder: the whole kit in one file, read much faster."""
    files = sorted(path.glob("*.npz")) if path.is_dir() else []
    return files[0] if len(files) == 1 else path


def _occluded(face: ScannedFace, seed: int) -> ScannedFace:
    image, _ = StandardOccluder(seed).apply(face.image, face.landmarks, face.name)
    return replace(face, image=image)


class _Head:
    """The head model under test and the parts of it that the protocol needs."""

    def __init__(self, model: FaceModel, weights: Path | None) -> None:
        self.model = model
        faces = model.topology.faces
        skin = model.regions.get("skin")
        # Teeth, eyeballs and the like lie inside the head; scan points are skin.
        self.faces = faces if skin is None else faces[skin[faces.long()].all(-1)]
        self.embedding = model.landmarks("ibug68")
        self.subject = Subject(model, self.faces, weights)

    def neutral(self, identity: Tensor) -> Tensor:
        """Vertices (V, 3) of an identity (1, I) with a neutral face: what the benchmark compares."""
        return self.model.vertices(identity, identity.new_zeros(1, self.model.expression_dim))[0]

    def measure(self, face: ScannedFace, methods: Sequence[str]) -> Iterator[Measured]:
        """``face`` by each of ``methods``, `MEAN` first."""
        mean = self._distances(face, torch.zeros(1, self.model.identity_dim))
        for method in methods:
            if method == MEAN:
                yield Measured(face.name, method, face.yaw_deg, mean, True)
                continue
            try:
                identity = METHODS[method](self.subject, face)
            except NoFaceError:
                yield Measured(face.name, method, face.yaw_deg, mean, False)
            else:
                yield Measured(face.name, method, face.yaw_deg, self._distances(face, identity), True)

    def _distances(self, face: ScannedFace, identity: Tensor) -> NDArray[np.float64]:
        verts = self.neutral(identity)
        marks = self.embedding.points(verts[None], self.model.topology)[0, _MARKS]
        scan_marks = face.scan_landmarks[_MARKS]
        result = scan_distance(face.scan_points, scan_marks, verts.numpy(), self.faces.numpy(), marks.numpy())
        return result.distances


def summarise(
    measured: Sequence[Measured], by: Literal["|yaw|", "view"], title: str, notes: Sequence[str] = ()
) -> Table:
    """The table of measurements: all together, then by range of |yaw| or by view; empty ranges are left out."""
    methods = list(dict.fromkeys(one.method for one in measured))
    groups: list[tuple[str, list[Measured]]] = [("all", list(measured))]
    if by == "view":
        for picture in dict.fromkeys(one.picture for one in measured):
            groups.append((picture, [one for one in measured if one.picture == picture]))
    else:
        for low, high in pairwise(_YAW_BINS):
            inside = [one for one in measured if low <= abs(one.yaw_deg) < high + (high == _YAW_BINS[-1])]
            groups.append((f"|yaw| {low}–{high}°", inside))
    rows: list[dict[str, Cell]] = []
    for name, group in groups:
        baseline: float | None = None
        for method in methods:
            chosen = [one for one in group if one.method == method]
            if not chosen:
                continue
            pooled = np.concatenate([one.distances for one in chosen])
            median = float(np.median(pooled))
            baseline = median if method == "mean" else baseline
            rows.append(
                {
                    "pictures": name,
                    "method": method,
                    "count": len(chosen),
                    "not found": sum(not one.found for one in chosen),
                    "median mm": median,
                    "mean mm": float(pooled.mean()),
                    "std mm": float(pooled.std()),
                    "over mean face": median / baseline if baseline else float("nan"),
                }
            )
    return Table(title, rows, notes)
