"""Mask the faces of photos: what is seen of each, and which part or thing every pixel shows.

INPUT is any mix of pictures, folders, patterns ('photos/*.jpg'), .txt lists (one path a line, # comments) and - for a
list on standard input. Per face OUT gets <stem>_visible.png (white where skin, brows, eyes, nose, lips or the inner
mouth of the face are seen), <stem>_parts.png (a palette PNG whose pixels are the numbers of twelve classes),
<stem>_overlay.png and <stem>.json (which number is which class); a second face has _face2 after the stem. Per run
report.html and report.json. A picture that cannot be used is reported and the others go on.

classes: 0 background, 1 skin, 2 brow, 3 eye, 4 nose, 5 lip, 6 mouth, 7 hair, 8 glasses, 9 other occluder, 10 neck and
clothes, 11 ear. Read the numbers with Pillow: OpenCV gives the palette's colours.

examples:
  pyface3d segment photo.jpg -o masks
  pyface3d segment photos/ -o masks --resume                              go on where a run was stopped
  pyface3d segment photos/ -o masks --landmarks points/                   photos/a.jpg with points/a.pts
  pyface3d evaluate masks masks/ truth/ --truth-labels celebamask         how good they are
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from pyface3d.cli import EXIT_FAILED, EXIT_OK, UsageError
from pyface3d.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyface3d.systems.running import System


@dataclass(frozen=True)
class Command:
    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")]
    """Pictures, folders, patterns, .txt lists, or - for a list on standard input."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")] = Path("out")
    """Folder for the results; made when missing."""
    landmarks: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Your own 68 landmarks: FOLDER/<stem of the photo>.pts, .txt, .csv or .npy; nothing is detected."""
    detector: Literal["network", "mtcnn", "dlib", "dlib-cnn", "retinaface"] = "network"
    """Face detector: MTCNN's candidates judged by our network, or MTCNN alone; dlib finds frontal faces, dlib-cnn needs
    the extra [dlib-models], retinaface its published weights in the folder of PYFACE3D_MODELS."""
    predictor: Literal["network", "dlib"] = "network"
    """Landmark predictor: ours, or dlib (extra [dlib-models], research use)."""
    max_faces: Annotated[int, arg(metavar="N")] = 10
    """At most so many faces of a photo, best detection first."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes CUDA where it works."""
    batch: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: one per processor, at most 4)")] = None
    """Photos segmented at the same time, each by one thread."""
    workers: Annotated[int, arg(metavar="N")] = 2
    """Threads that read photos ahead, and as many that write results."""
    resume: bool = False
    """Skip photos whose results are complete and were made from the same file with the same options."""
    pictures: Literal["yes", "no"] = "yes"
    """Draw the thumbnails of report.html."""

    def run(self) -> int:
        from pyface3d.commands.reconstruct import (
            compute_on_one_thread,
            processors,
            resolved_device,
            run_with_progress,
            summary,
        )

        if not self.inputs:
            raise UsageError("give at least one picture, folder, pattern or .txt list; see pyface3d segment --help")
        compute_on_one_thread()
        from pyface3d.systems.segment import SegmentOptions

        settings = {
            "system": "segment",
            "detector": self.detector,
            "predictor": self.predictor,
            "device": resolved_device(self.device),
        }
        try:
            options = SegmentOptions(
                pictures=self.pictures == "yes",
                batch=processors() if self.batch is None else self.batch,
                workers=self.workers,
                resume=self.resume,
                max_faces=self.max_faces,
                landmarks=self.landmarks,
                settings=settings,
            )
        except InputError as error:
            raise UsageError(str(error)) from None
        report = run_with_progress(list(self.inputs), self.out, segment_system(settings, self.max_faces), options)
        print(summary(report, self.out))
        return EXIT_OK if report.failed == 0 else EXIT_FAILED


def segment_system(settings: Mapping[str, Any], max_faces: int) -> System:
    """`segment` as the batch run calls it, its network loaded; one face more than ``max_faces``, as `fit_system`.

    Raises:
        AssetError: the network's weights are missing or damaged.
    """
    from pyface3d.detect.parts import load_part_predictor
    from pyface3d.systems.segment import segment

    load_part_predictor(settings["device"])

    def system(image: Any, landmarks: Any) -> Any:
        return segment(
            image,
            landmarks,
            detector=settings["detector"],
            predictor=settings["predictor"],
            max_faces=max_faces + 1,
            device=settings["device"],
        )

    return system
