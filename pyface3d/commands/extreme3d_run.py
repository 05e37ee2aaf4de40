"""``pyface3d reconstruct --system extreme3d``: the published networks with weights that the user brings."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyface3d.cli import EXIT_FAILED, EXIT_OK, UsageError
from pyface3d.errors import InputError
from pyface3d.io.checksums import file_sha256

if TYPE_CHECKING:
    from pyface3d.commands.reconstruct import Command
    from pyface3d.systems.running import System

NO_WEIGHTS = (
    "--system extreme3d needs --weights FOLDER with the relief network's weights: ckpt_109_grad.pth.tar of Extreme 3D "
    "Faces, or what pyface3d convert checkpoint made of it (docs/checkpoints.md)"
)
_WEIGHT_NAMES = ("extreme3d_bump_generator", "extreme3d_shape", "ckpt_", "shape_")
_HEAD_LEVEL = 1  # triangles of some 3 mm: the pixels need them


def run(command: Command) -> int:
    """Run the system over the inputs of a command line; the exit code.

    Raises:
        UsageError: options that this system does not have, or without its weights.
        AssetError: weights or model are missing or damaged.
    """
    from pyface3d.commands.reconstruct import listed, processors, resolved_device, run_with_progress, summary
    from pyface3d.systems.extreme3d.photo import Extreme3dOptions
    from pyface3d.systems.extreme3d.stages import STAGES
    from pyface3d.systems.sight import resolved_occlusion

    if command.weights is None:
        raise UsageError(NO_WEIGHTS)
    if command.bump != "none":
        raise UsageError("--system extreme3d takes its relief from the network in --weights; leave --bump out")
    if "ply" not in listed(command.formats):
        raise UsageError(f"--system extreme3d writes ply; --formats {command.formats} leaves it nothing to write")
    occlusion = "none" if command.compat else resolved_occlusion(command.occlusion)
    settings = {
        "system": "extreme3d",
        "model": command.model,
        "weights": str(command.weights),
        "weight_files": weight_files(command.weights),
        "detector": command.detector,
        "predictor": command.predictor,
        "occlusion": occlusion,
        "compat": command.compat,
        "device": resolved_device(command.device),
    }
    try:
        options = Extreme3dOptions(
            stages=STAGES if command.stages is None else listed(command.stages),
            poses=listed(command.poses),
            ascii=command.ascii,
            plain=command.plain,
            legacy_names=command.legacy_names,
            pictures=command.pictures == "yes",
            batch=processors() if command.batch is None else command.batch,
            workers=command.workers,
            resume=command.resume,
            max_faces=command.max_faces,
            landmarks=command.landmarks,
            settings=settings,
        )
    except InputError as error:
        raise UsageError(str(error)) from None
    system = extreme3d_system(settings, command.max_faces)
    report = run_with_progress(list(command.inputs), command.out, system, options)
    if occlusion == "colours":
        print(
            "note: the part network's weights (face_parts) are not installed: what covers a face stays in its relief",
            file=sys.stderr,
        )
    print(summary(report, command.out))
    return EXIT_OK if report.failed == 0 else EXIT_FAILED


def weight_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a folder that may be a weight file, so that a resumed run notices other weights."""
    found = sorted(path for path in folder.glob("*") if path.is_file() and path.name.startswith(_WEIGHT_NAMES))
    return {path.name: file_sha256(path) for path in found}


def extreme3d_system(settings: Mapping[str, Any], max_faces: int) -> System:
    """The system with its networks and model loaded, as the batch run calls it; one face more than ``max_faces``.

    Raises:
        AssetError: weights or model are missing or damaged.
    """
    from pyface3d.face_models import load_face_model
    from pyface3d.systems.extreme3d.photo import reconstruct_photo
    from pyface3d.systems.extreme3d.predict import read_networks

    device = settings["device"]
    networks = read_networks(Path(settings["weights"]), device)
    model = load_face_model(settings["model"], _HEAD_LEVEL if settings["model"] == "head" else 0)

    def system(image: Any, landmarks: Any) -> Any:
        return reconstruct_photo(
            *(image, networks, model, landmarks),
            detector=settings["detector"],
            predictor=settings["predictor"],
            occlusion="colours" if settings["occlusion"] == "none" else settings["occlusion"],
            max_faces=max_faces + 1,
            compat=settings["compat"],
            device=device,
        )

    return system
