"""The geometry alone, on what the networks of Extreme 3D Faces left in folders: the published program's second entry.

imgs/<stem>.png, .pts      crop of 500 x 500 and its 68 landmarks ("x y" a line, first pixel's middle at 0)
shape/<stem>.ply.alpha     99 shape coefficients, σ units
bump/<stem>_bump.png, _mask.png    relief and face mask, 512 x 512 levels; no mask file: face everywhere
imgs/<stem>_occ.png        what covers the face, white on black, 500 x 500, where somebody has drawn it
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.detect.landmark_files import read_landmarks
from pyface3d.errors import InputError, Pyface3dError
from pyface3d.face_models import FaceModel
from pyface3d.fit import fit_landmarks
from pyface3d.geometry.bump_maps import CROP_SIZE, MAP_SIZE, ORIGINAL_GAIN, crop_of_map, relief_from_levels
from pyface3d.io.images import read_image
from pyface3d.io.records import encode_json, versions
from pyface3d.io.staging import staged_files
from pyface3d.reconstruction import POSES
from pyface3d.systems.extreme3d.foundation import HALF_PIXEL, Foundation, build_foundation, crop_camera
from pyface3d.systems.extreme3d.pose import fit_pose
from pyface3d.systems.extreme3d.recovery import (
    References,
    encode_recovered,
    face_chart,
    load_references,
    read_occluder,
    recover_relief,
)
from pyface3d.systems.extreme3d.relief import Relief
from pyface3d.systems.extreme3d.stages import STAGES, Stages, run_stages
from pyface3d.systems.sight import HIDDEN_SUFFIX

RELIEF_FOLDERS = ("bump", "bump_blended", "bump_original")
"""Where relief is looked for unless told, in this order."""

ALPHA_BOUND = 5.0
"""Shape coefficients are held within so many σ; the largest of the published ones is 3.65."""

_NOT_CROPS = ("_detect", HIDDEN_SUFFIX)
_MAX_ALPHA_BYTES = 1 << 20
_LANDMARK_SIGMA_PX = 3.0  # about 2 % of the distance between the eyes in the crop, as annotators differ


@dataclass(frozen=True, eq=False)
class Case:
    """One face: its crop (500, 500, 3) uint8, landmarks (68, 2) px (first pixel's middle at 0.5), coefficients (99,)
    or None, relief over the crop, and what covers the face, (500, 500) bool, where that is known."""

    stem: str
    image: NDArray[np.uint8]
    landmarks: Tensor
    alpha: Tensor | None
    relief: Relief
    occluder: Tensor | None = None


@dataclass(frozen=True)
class Done:
    """What became of one case: the files written, or why there are none."""

    stem: str
    files: tuple[Path, ...] = ()
    error: str | None = None


def find_cases(folder: Path) -> list[str]:
    """Stems of the crops in ``folder/imgs``, by name.

    Raises:
        InputError: there are none.
    """
    stems = sorted(path.stem for path in (folder / "imgs").glob("*.png") if not path.stem.endswith(_NOT_CROPS))
    if not stems:
        raise InputError(f"{folder} holds no crops imgs/<name>.png; give the folder with imgs, shape and bump in it")
    return stems


def read_case(folder: Path, stem: str, relief: str | None = None, gain: float = ORIGINAL_GAIN) -> Case:
    """Read one face.

    Args:
        folder: with ``imgs``, ``bump`` and, unless identities are fitted, ``shape``.
        relief: name of the folder with relief maps; the first of `RELIEF_FOLDERS` where left out.
        gain: see `geometry.bump_maps`.

    Raises:
        InputError: a file is missing, damaged or of the wrong size; the message says which.
    """
    image = read_image(folder / "imgs" / f"{stem}.png")
    if image.shape[:2] != (CROP_SIZE, CROP_SIZE):
        raise InputError(f"{stem}.png must be a crop of {CROP_SIZE} x {CROP_SIZE} pixels, got {image.shape[:2]}")
    landmarks = torch.from_numpy(read_landmarks(folder / "imgs" / f"{stem}.pts"))
    if len(landmarks) != 68:
        raise InputError(f"{stem}.pts must hold 68 landmarks, got {len(landmarks)}")
    names = RELIEF_FOLDERS if relief is None else (relief,)
    maps = next((folder / name for name in names if (folder / name / f"{stem}_bump.png").is_file()), None)
    if maps is None:
        raise InputError(f"{stem}_bump.png is in none of {', '.join(str(folder / name) for name in names)}")
    mask_path = maps / f"{stem}_mask.png"
    mask = torch.full((MAP_SIZE, MAP_SIZE), 255, dtype=torch.uint8)
    if mask_path.is_file():
        mask = _levels(mask_path)
    levels = crop_of_map(_levels(maps / f"{stem}_bump.png"))
    alpha_path = folder / "shape" / f"{stem}.ply.alpha"
    occluder = folder / "imgs" / f"{stem}{HIDDEN_SUFFIX}.png"
    return Case(
        stem=stem,
        image=image,
        landmarks=landmarks,
        alpha=_coefficients(alpha_path) if alpha_path.is_file() else None,
        relief=Relief(relief_from_levels(levels.double(), gain), crop_of_map(mask).contiguous()),
        occluder=read_occluder(occluder, CROP_SIZE, CROP_SIZE) if occluder.is_file() else None,
    )


@dataclass(frozen=True, eq=False)
class Placed:
    """A face of the model before the camera of the crop.

    Attributes:
        foundation: the head.
        identity, expression: (I,) and (E,), what it is made of.
        landmark_rms_px: misfit of the landmarks in the crop; None where other than these were fitted.
    """

    foundation: Foundation
    identity: Tensor
    expression: Tensor
    landmark_rms_px: float | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """All stages of one face and what they are made of; ``recovery`` is the record of `recover_relief`."""

    stages: Stages
    placed: Placed
    recovery: dict[str, Any] | None = None

    def record(self, model: FaceModel) -> dict[str, Any]:
        """Everything but the meshes, as plain values for a JSON file."""
        placed = self.placed
        return {
            "status": "ok",
            "system": "extreme3d",
            "model": {"name": model.name},
            **self.stages.record(),
            "coefficients": {"identity": placed.identity.tolist(), "expression": placed.expression.tolist()},
            "expression_names": list(model.expression_names),
            "landmark_rms_px": placed.landmark_rms_px,
            **({} if self.recovery is None else {"recovery": self.recovery}),
            "versions": versions(),
        }


def reconstruct_case(
    case: Case,
    model: FaceModel,
    *,
    fit_identity: bool = False,
    compact: bool = True,
    compat: bool = False,
    recover: bool = True,
    references: References | None = None,
) -> Result:
    """All stages of one face: `place_case`, `recover_relief` where an occluder is known, and `run_stages`.

    Args:
        recover: fill in the relief under the case's occluder; else the map is taken as it is.
        references: of `load_references`, for recovery; None leaves the face's own other side.

    Raises:
        InputError: no coefficients, or not as many as the model has.
    """
    placed = place_case(case, model, fit_identity=fit_identity, compat=compat)
    relief, record = case.relief, None
    if recover and case.occluder is not None:
        relief, record = recover_relief(
            placed.foundation, relief, case.occluder, face_chart(model), references, compat_blend=compat
        )
    stages = run_stages(placed.foundation, relief, case.image, compact=compact, compat=compat)
    return Result(stages, placed, record)


def place_case(case: Case, model: FaceModel, *, fit_identity: bool = False, compat: bool = False) -> Placed:
    """The foundation of one face, without its relief.

    Args:
        fit_identity: fit identity, pose and expression of the model to the landmarks, instead of the coefficients of
            the file, which mean something for the Basel Face Model alone, and their pose and expression.
        compat: published decisions: the pose of EPnP, half a pixel.

    Raises:
        InputError: no coefficients, or not as many as the model has.
    """
    camera, landmarks = crop_camera(), case.landmarks.double() - (HALF_PIXEL if compat else 0.0)
    if fit_identity:
        identity, expression, rotation, translation, rms = _fitted(model, landmarks, float(camera.focal[0]))
    else:
        identity = _identity(case, model)
        if not compat:
            identity = identity.clamp(-ALPHA_BOUND, ALPHA_BOUND)
        pose = fit_pose(model, identity, landmarks, camera)
        expression, rotation, translation, rms = pose.expression, pose.rotation, pose.translation, pose.rms_px
        if compat:
            rotation, translation, rms = pose.start_rotation, pose.start_translation, pose.start_rms_px
    foundation = build_foundation(model, identity, expression, rotation, translation, camera, compat=compat)
    return Placed(foundation, identity, expression, rms)


def _identity(case: Case, model: FaceModel) -> Tensor:
    if case.alpha is None:
        raise InputError(f"shape/{case.stem}.ply.alpha is missing; fit the identity to the landmarks instead")
    if len(case.alpha) != model.identity_dim:
        raise InputError(
            f"{case.stem}.ply.alpha holds {len(case.alpha)} coefficients, but model {model.name!r} has "
            f"{model.identity_dim}; use the Basel model ('bfm09') or fit the identity to the landmarks"
        )
    return case.alpha.double()


def _fitted(model: FaceModel, landmarks: Tensor, focal: float) -> tuple[Tensor, Tensor, Tensor, Tensor, float]:
    spread = torch.full((1, len(landmarks)), _LANDMARK_SIGMA_PX, dtype=torch.float64)
    fit = fit_landmarks(model, landmarks[None], spread, CROP_SIZE, CROP_SIZE, focal=focal)
    rms = (fit.points[0] - landmarks).square().sum(-1).mean().sqrt()
    return fit.identity[0], fit.expression[0], fit.rotation[0], fit.translation[0], float(rms)


def run_geometry(
    folder: Path,
    out: Path,
    model: FaceModel,
    stems: Sequence[str] | None = None,
    *,
    relief: str | None = None,
    gain: float = ORIGINAL_GAIN,
    fit_identity: bool = False,
    stages: Iterable[str] = STAGES,
    poses: Iterable[str] = POSES,
    ascii: bool = False,
    plain: bool = False,
    legacy_names: bool = False,
    compat: bool = False,
    recover: bool = True,
    references: Callable[[], References | None] = load_references,
    resume: bool = False,
) -> Iterator[Done]:
    """Write ``<stem>_<stage>_<pose>.ply`` and ``<stem>.json`` of every case, one at a time.

    Where relief was recovered, ``<stem>_bump_blended.png`` (levels) and ``.npy`` (mm) hold it. A case that fails is
    reported and the others go on. Files of a case appear together.

    Args:
        stems: which cases; all of ``folder`` where left out.
        references: called once, when the first occluder is there, for what recovery takes its donors from.
        resume: skip cases whose JSON, the last of their files, is there.
        relief, gain, fit_identity, recover, stages, poses, ascii, plain, legacy_names, compat: as of `read_case`,
            `reconstruct_case` and `Stages.encode`.

    Raises:
        InputError: ``folder`` holds no cases, or no such stage or pose.
        OutputError: a file cannot be written.
    """
    stages, poses = tuple(stages), tuple(poses)
    donors = cache(references)
    for stem in find_cases(folder) if stems is None else stems:
        if resume and (out / f"{stem}.json").is_file():
            yield Done(stem)
            continue
        try:
            case = read_case(folder, stem, relief, gain)
            known = donors() if recover and case.occluder is not None else None
            result = reconstruct_case(
                case, model, fit_identity=fit_identity, compat=compat, recover=recover, references=known
            )
        except Pyface3dError as error:
            yield Done(stem, error=str(error))
            continue
        with staged_files(out) as files:
            meshes = result.stages.encode(stem, stages, poses, ascii=ascii, plain=plain, legacy_names=legacy_names)
            for name, content in meshes:
                files.write_bytes(name, content)
            for suffix, content in encode_recovered(result.stages.relief, gain):
                files.write_bytes(f"{stem}{suffix}", content)
            files.write_bytes(f"{stem}.json", encode_json(result.record(model)))
        yield Done(stem, tuple(files.written))


def _levels(path: Path) -> Tensor:
    levels = read_image(path)[..., 0]
    if levels.shape != (MAP_SIZE, MAP_SIZE):
        raise InputError(f"{path} must have {MAP_SIZE} x {MAP_SIZE} pixels, got {levels.shape}")
    return torch.from_numpy(np.ascontiguousarray(levels))


def _coefficients(path: Path) -> Tensor:
    try:
        if path.stat().st_size > _MAX_ALPHA_BYTES:
            raise InputError(f"{path} is too long for the coefficients of one face")
        values = np.array([float(word) for word in path.read_text("ascii").split()])
    except (OSError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} must hold one number a line ({error}); write it again") from error
    if not len(values) or not np.isfinite(values).all() or np.abs(values).max() > 100:
        raise InputError(f"{path} must hold finite coefficients in σ units, one a line; write it again")
    return torch.from_numpy(values)
