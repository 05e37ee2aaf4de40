"""``pyface3d reconstruct --system extreme3d``: our networks, or the published ones where the user has them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyface3d.cli import EXIT_FAILED, EXIT_OK, UsageError
from pyface3d.errors import InputError
from pyface3d.io.checksums import file_sha256

if TYPE_CHECKING:
    from pyface3d.commands.reconstruct import Command
    from pyface3d.systems.extreme3d.recovery import References
    from pyface3d.systems.running import System

_WEIGHT_NAMES = ("extreme3d_bump_generator", "extreme3d_shape", "ckpt_", "shape_")


def run(command: Command) -> int:
    """Run the system over the inputs of a command line; the exit code.

    Raises:
        UsageError: options that contradict each other.
        AssetError: weights or model are missing or damaged.
    """
    from pyface3d.commands.reconstruct import (
        NO_PART_NETWORK,
        listed,
        processors,
        resolved_device,
        run_with_progress,
        summary,
    )
    from pyface3d.systems.extreme3d.output import Extreme3dOptions
    from pyface3d.systems.extreme3d.photo import resolved_bump
    from pyface3d.systems.extreme3d.recovery import load_references
    from pyface3d.systems.extreme3d.stages import STAGES
    from pyface3d.systems.sight import resolved_occlusion

    if command.bump is not None and command.bump != "original" and command.weights is not None and not command.compat:
        raise UsageError(f"--weights is for --bump original, and --bump is {command.bump}; leave one of them out")
    if command.stitch and command.compat:
        raise UsageError(
            "--compat keeps the layers of final apart, as published, and --stitch joins them; leave one out"
        )
    occlusion = "none" if command.compat else resolved_occlusion(command.occlusion)
    bump = resolved_bump(command.bump, command.weights)
    references = None
    if bump != "none" and occlusion == "network" and not command.no_recovery:
        references = load_references(progress=_with_bar)
    settings = {
        "system": "extreme3d",
        "model": command.model,
        "fit": command.fit,
        "bump": bump,
        "weights": None if command.weights is None else str(command.weights.resolve()),
        "weight_files": None if command.weights is None else weight_files(command.weights),
        "detector": command.detector,
        "predictor": command.predictor,
        "occlusion": occlusion,
        "recovery": None if references is None else references.recipe,
        "compat": command.compat,
        "stitch": command.stitch,
        "device": resolved_device(command.device),
    }
    try:
        options = Extreme3dOptions(
            stages=STAGES if command.stages is None else listed(command.stages),
            poses=listed(command.poses),
            formats=listed(command.formats),
            ascii=command.ascii,
            plain=command.plain,
            legacy_names=command.legacy_names,
            pictures=command.pictures == "yes",
            batch=processors() if command.batch is None else command.batch,
            workers=command.workers,
            resume=command.resume,
            max_faces=command.max_faces,
            landmarks=command.landmarks,
            occluders=command.occluders,
            settings=settings,
        )
    except InputError as error:
        raise UsageError(str(error)) from None
    system = extreme3d_system(settings, command.max_faces, references)
    report = run_with_progress(list(command.inputs), command.out, system, options)
    if command.occlusion is None and occlusion == "colours":
        print(NO_PART_NETWORK, file=sys.stderr)
    print(summary(report, command.out))
    return EXIT_OK if report.failed == 0 else EXIT_FAILED


def weight_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a folder that may be a weight file, so that a resumed run notices other weights."""
    found = sorted(path for path in folder.glob("*") if path.is_file() and path.name.startswith(_WEIGHT_NAMES))
    return {path.name: file_sha256(path) for path in found}


def _with_bar(numbers: Iterable[int], count: int) -> Iterable[int]:
    from tqdm import tqdm

    bar: Iterable[int] = tqdm(numbers, "drawing reference faces (once)", count, unit="face", disable=None)
    return bar


def extreme3d_system(settings: Mapping[str, Any], max_faces: int, references: References | None) -> System:
    """The system with its networks and model loaded, as the batch run calls it; one face more than ``max_faces``.

    Args:
        references: for the recovery; None: what is hidden is completed like the far side of the face.

    Raises:
        AssetError: weights or model are missing or damaged.
    """
    from pyface3d.systems.extreme3d.photo import load_models, reconstruct_photo
    from pyface3d.systems.relief import relief_source

    weights = None if settings["weights"] is None else Path(settings["weights"])
    # What is missing is said once, not for every photo.
    relief_source(settings["bump"], weights, settings["device"])
    load_models(settings["model"])

    def system(image: Any, landmarks: Any, hidden: Any = None) -> Any:
        return reconstruct_photo(
            *(image, landmarks),
            hidden=hidden,
            model=settings["model"],
            bump=settings["bump"],
            weights=weights,
            fit=settings["fit"],
            detector=settings["detector"],
            predictor=settings["predictor"],
            occlusion="colours" if settings["occlusion"] == "none" else settings["occlusion"],
            recovery=references is not None,
            references=references,
            max_faces=max_faces + 1,
            compat=settings["compat"],
            stitch=settings["stitch"],
            device=settings["device"],
        )

    return system
