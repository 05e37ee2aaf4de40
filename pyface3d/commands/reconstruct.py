"""Turn photos into textured, animatable 3D heads.

INPUT is any mix of pictures, folders, patterns ('photos/*.jpg'), .txt lists (one path a line, # comments) and - for a
list on standard input. Per face OUT gets <stem>_foundation_frontal.ply and _aligned.ply, <stem>.glb (textured, with
named expressions), <stem>_overlay.png and <stem>.json; per run report.html and report.json. A picture that cannot be
used is reported and the others go on.

examples:
  pyface3d reconstruct photo.jpg -o out
  pyface3d reconstruct photos/ -o out --formats glb --fit landmarks       faster, pose and shape from landmarks only
  pyface3d reconstruct photo.jpg -o out --bump net                        with wrinkles and folds
  pyface3d reconstruct photo.jpg -o out --system extreme3d                also what hides the face, and its far side
  pyface3d reconstruct list.txt -o out --resume                           go on where a run was stopped
  pyface3d reconstruct photos/ -o out --landmarks points/                 photos/a.jpg with points/a.pts
  pyface3d reconstruct photo.jpg -o out --formats ply --poses frontal --ascii --plain
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from pyface3d.cli import EXIT_FAILED, EXIT_OK, UsageError
from pyface3d.errors import InputError

if TYPE_CHECKING:
    from pyface3d.io.report import Report, Row
    from pyface3d.systems.running import RunOptions, System

NO_PART_NETWORK = (
    "note: the part network's weights (face_parts) are not installed: what hides a face is told by colour alone, which "
    "takes hands for skin"
)
_LATER = ("occlusion-robust", "focus", "temporal-deca")


@dataclass(frozen=True)
class Command:
    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")]
    """Pictures, folders, patterns, .txt lists, or - for a list on standard input."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")] = Path("out")
    """Folder for the results; made when missing."""
    system: Annotated[str, arg(metavar="NAME")] = "fit"
    """How to reconstruct: fit (a whole head with texture), or extreme3d (the same with the face in four stages: relief
    in every pixel, hidden and unseen parts completed; --weights takes the published networks)."""
    model: Annotated[str, arg(metavar="NAME|PATH")] = "head"
    """Face model: head (built in), or a model file or folder."""
    fit: Literal["none", "landmarks", "full"] = "full"
    """How much to fit: nothing but the pose, pose and shape to landmarks, or also the pixels."""
    bump: Annotated[
        Literal["none", "net", "sfs", "original"] | None,
        arg(
            help_behavior_hint="(default: none; of extreme3d original with --weights, else net where it is installed, "
            "else sfs)"
        ),
    ] = None
    """Wrinkles and folds where skin is seen, by our relief network (net), from shading without any weights (sfs), or by
    the network of Extreme 3D Faces (original, needs --weights): a normal map in the GLB, <stem>_bump.png (127 is flat,
    12 levels a millimetre, in the texture chart) and the stage withBump."""
    weights: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Weights that do not ship, as published or from 'pyface3d convert checkpoint': ckpt_109_grad.pth.tar for --bump
    original and --system extreme3d, for the latter also shape_model.pth if you have it."""
    stages: Annotated[str | None, arg(metavar="LIST", help_behavior_hint="(default: all there are)")] = None
    """Stages to write as PLY, separated by commas: foundation, withBump (one vertex a pixel, raised by the relief; fit
    has it with --bump), and of extreme3d sparseFull and final."""
    poses: Annotated[str, arg(metavar="LIST")] = "frontal,aligned"
    """Poses to write as PLY: frontal (model frame), aligned (camera frame of the photo)."""
    formats: Annotated[str, arg(metavar="LIST")] = "ply,glb"
    """Mesh files to write: ply, obj, glb."""
    ascii: bool = False
    """Write PLY as text."""
    plain: bool = False
    """Write PLY with positions and triangles only."""
    compat: bool = False
    """extreme3d: the published program's decisions, defects and all."""
    no_recovery: bool = False
    """extreme3d: complete what is hidden like the far side of the face, instead of recovering its relief."""
    legacy_names: bool = False
    """extreme3d: sparse_full for sparseFull in file names."""
    stitch: bool = False
    """extreme3d: final as one surface without seams: triangles around the pixels are joined to them instead of lying
    over them."""
    landmarks: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Your own 68 landmarks: FOLDER/<stem of the photo>.pts, .txt, .csv or .npy; nothing is detected."""
    occluders: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Your own masks of what hides faces: FOLDER/<stem of the photo>_occ.png of the photo's size, white on what hides;
    beside what the part network finds. A photo may have none."""
    detector: Literal["network", "mtcnn", "dlib", "dlib-cnn", "retinaface"] = "network"
    """Face detector: MTCNN's candidates judged by our network, or MTCNN alone; dlib finds frontal faces, dlib-cnn needs
    the extra [dlib-models], retinaface its published weights in the folder of PYFACE3D_MODELS."""
    predictor: Literal["network", "dlib"] = "network"
    """Landmark predictor: ours, or dlib (extra [dlib-models], research use)."""
    occlusion: Annotated[
        Literal["network", "colours"] | None, arg(help_behavior_hint="(default: network where it is installed)")
    ] = None
    """How to tell the face from what hides it: our part network, or the colour of the skin (knows no hands)."""
    max_faces: Annotated[int, arg(metavar="N")] = 10
    """At most so many faces of a photo, best detection first."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes CUDA where it works."""
    batch: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: one per processor, at most 4)")] = None
    """Photos reconstructed at the same time, each by one thread."""
    workers: Annotated[int, arg(metavar="N")] = 2
    """Threads that read photos ahead, and as many that write results."""
    engine: Literal["local"] = "local"
    """What runs the batch: local (this process)."""
    resume: bool = False
    """Skip photos whose results are complete and were made from the same file with the same options."""
    pictures: Literal["yes", "no"] = "yes"
    """Draw the thumbnails of report.html."""

    def run(self) -> int:
        if not self.inputs:
            raise UsageError("give at least one picture, folder, pattern or .txt list; see pyface3d reconstruct --help")
        if self.system in _LATER:
            raise UsageError(f"the system {self.system!r} comes with a later version; this one has: fit, extreme3d")
        if self.system not in ("fit", "extreme3d"):
            raise UsageError(f"system must be fit or extreme3d, got {self.system!r}")
        if self.bump == "original" and self.weights is None:
            raise UsageError("--bump original needs --weights FOLDER with ckpt_109_grad.pth.tar of Extreme 3D Faces")
        compute_on_one_thread()
        if self.system == "extreme3d":
            from pyface3d.commands.extreme3d_run import run

            return run(self)
        bump = self.bump or "none"
        if self.compat or self.legacy_names or self.no_recovery or self.stitch:
            raise UsageError(
                "--compat, --legacy-names, --no-recovery and --stitch are for --system extreme3d; leave them out"
            )
        from pyface3d.commands.extreme3d_run import weight_files
        from pyface3d.systems.batch import BatchOptions
        from pyface3d.systems.sight import resolved_occlusion

        occlusion = resolved_occlusion(self.occlusion)
        device = resolved_device(self.device)
        try:
            options = BatchOptions(
                stages=self._stages(),
                poses=listed(self.poses),
                formats=listed(self.formats),
                ascii=self.ascii,
                plain=self.plain,
                pictures=self.pictures == "yes",
                batch=processors() if self.batch is None else self.batch,
                workers=self.workers,
                resume=self.resume,
                max_faces=self.max_faces,
                landmarks=self.landmarks,
                occluders=self.occluders,
                settings={
                    "system": self.system,
                    "model": self.model,
                    "fit": self.fit,
                    "detector": self.detector,
                    "predictor": self.predictor,
                    "occlusion": occlusion,
                    "bump": bump,
                    "weights": None if self.weights is None else str(self.weights.resolve()),
                    "weight_files": None if self.weights is None else weight_files(self.weights),
                    "device": device,
                },
            )
        except InputError as error:
            raise UsageError(str(error)) from None
        report = run_with_progress(list(self.inputs), self.out, fit_system(options.settings, self.max_faces), options)
        if self.occlusion is None and occlusion == "colours":
            print(NO_PART_NETWORK, file=sys.stderr)
        print(summary(report, self.out))
        return EXIT_OK if report.failed == 0 else EXIT_FAILED

    def _stages(self) -> tuple[str, ...]:
        if self.stages is None:
            return ("foundation",) if self.bump in (None, "none") else ("foundation", "withBump")
        stages = listed(self.stages)
        if "withBump" in stages and self.bump in (None, "none"):
            raise UsageError("the stage withBump needs relief: add --bump net, sfs or original")
        return stages


def compute_on_one_thread() -> None:
    """Have each photo computed by one thread: sums over several depend in their last bits on how many there are.

    The batch keeps the other processors busy with other photos, and the files are the same on every machine of a kind.
    """
    for library in ("OPENBLAS", "MKL"):  # read when numpy loads them, so this comes before
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    import torch

    torch.set_num_threads(1)


def processors() -> int:
    """How many photos to work on at once: what this process may use, but few enough for their memory."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, 4)


def fit_system(settings: Mapping[str, Any], max_faces: int) -> System:
    """The default system with its model loaded, as the batch run calls it.

    It gives one face more than ``max_faces`` where there are more, so that the run can say so.

    Raises:
        AssetError: the model or a weight file is missing or damaged.
    """
    from pyface3d.face_models import load_face_model
    from pyface3d.systems.fit import reconstruct
    from pyface3d.systems.relief import relief_source

    weights = None if settings["weights"] is None else Path(settings["weights"])
    relief_source(settings["bump"], weights, settings["device"])  # what is missing is said once, not for every photo
    model = load_face_model(settings["model"]).to(settings["device"])

    def system(image: Any, landmarks: Any, hidden: Any = None) -> Any:
        return reconstruct(
            image,
            model=model,
            hidden=hidden,
            fit=settings["fit"],
            landmarks=landmarks,
            detector=settings["detector"],
            predictor=settings["predictor"],
            occlusion=settings["occlusion"],
            bump=settings["bump"],
            weights=weights,
            max_faces=max_faces + 1,
            device=settings["device"],
        )

    return system


def resolved_device(name: str) -> str:
    """``cpu`` or ``cuda``.

    Raises:
        UsageError: ``cuda`` was asked for and does not work here.
    """
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch finds no CUDA device here; use --device cpu, or see pyface3d doctor")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def run_with_progress(inputs: list[str], out: Path, system: System, options: RunOptions) -> Report:
    """Run the batch; on a terminal with a progress bar, else with a line per photo; failures always have a line."""
    from tqdm import tqdm

    from pyface3d.systems.batch import run_batch

    with tqdm(unit="photo", disable=None, file=sys.stderr) as bar:

        def on_row(done: int, total: int, row: Row) -> None:
            bar.total = total
            bar.update()
            if row.error is not None:
                bar.write(f"failed: {one_line(row)}", file=sys.stderr)
                return
            if row.note is not None:
                bar.write(f"note: {row.input}: {row.note}", file=sys.stderr)
            if bar.disable:
                state = "done before" if row.resumed else f"{row.seconds:.1f} s"
                print(f"[{done}/{total}] {row.input}: {state}", file=sys.stderr)

        return run_batch(inputs, out, system, options, on_row=on_row)


def one_line(row: Row) -> str:
    """The error of a row, with its input in front where the sentence does not name it."""
    error = row.error or ""
    return error if row.input in error else f"{row.input}: {error}"


def summary(report: Report, out: Path) -> str:
    """What to tell at the end of a run."""
    resumed = sum(row.resumed for row in report.rows)
    text = f"{report.succeeded} of {report.total} inputs succeeded"
    if resumed:
        text += f" ({resumed} were done before)"
    if report.failed:
        text += f", {report.failed} failed"
    return f"{text}; open {out / 'report.html'}"


def listed(text: str) -> tuple[str, ...]:
    """Words between commas."""
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
