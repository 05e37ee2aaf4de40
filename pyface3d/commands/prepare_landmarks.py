"""`pyface3d prepare landmarks`; see `commands.prepare`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from pyface3d.cli import UsageError
from pyface3d.commands.tables import complain, finish, progress


@dataclass(frozen=True)
class Landmarks:
    """The 68 iBUG landmarks of photos as files and overlay pictures."""

    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")]
    """Pictures, folders, patterns, .txt lists, or - for a list on standard input."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")] = Path("out")
    """Folder for the files; made when missing."""
    backend: Literal["network", "dlib", "tddfa"] = "network"
    """Our network, dlib (extra [dlib-models], research use), or 3DDFA_V2 with files that you bring."""
    tddfa: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder with 3DDFA_V2's weights, basis and parameter file."""
    detector: Literal["network", "mtcnn", "dlib", "dlib-cnn", "retinaface"] = "network"
    """Face detector; tddfa takes its own where FaceBoxesProd.pth is in its folder."""
    formats: Annotated[str, arg(metavar="LIST")] = "npy"
    """Files to write: npy, pts (iBUG), csv (one list of all photos)."""
    overlay: Literal["yes", "no"] = "yes"
    """Draw the landmarks into <stem>_landmarks.png."""
    max_faces: Annotated[int, arg(metavar="N")] = 1
    """At most so many faces of a photo, best detection first."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes CUDA where it works."""
    resume: bool = False
    """Leave out what an earlier run has done."""

    def run(self) -> int:
        if not self.inputs:
            raise UsageError("give at least one picture, folder, pattern or .txt list; see pyface3d prepare --help")
        if self.max_faces < 1:
            raise UsageError(f"--max-faces must be at least 1, got {self.max_faces}")
        from pyface3d.commands.reconstruct import resolved_device
        from pyface3d.errors import InputError
        from pyface3d.systems.inputs import expand_inputs
        from pyface3d.systems.landmark_run import FORMATS, landmark_backend, write_photo_landmarks

        formats = [name.strip() for name in self.formats.split(",") if name.strip()]
        if not formats or not set(formats) <= set(FORMATS):
            raise UsageError(f"--formats must be of {', '.join(FORMATS)}, got {self.formats!r}")
        try:
            backend = landmark_backend(
                self.backend, detector=self.detector, tddfa=self.tddfa, device=resolved_device(self.device)
            )
        except InputError as error:
            raise UsageError(str(error)) from None
        photos = expand_inputs(list(self.inputs))
        rows = write_photo_landmarks(
            *(photos, self.out, backend),
            formats=formats,
            overlay=self.overlay == "yes",
            max_faces=self.max_faces,
            settings={"backend": self.backend, "detector": self.detector},
            resume=self.resume,
        )
        failed = resumed = 0
        for done in progress(rows, len(photos)):
            failed += complain(done.error, str(done.photo.path))
            resumed += done.resumed
        return finish(len(photos), failed, resumed, self.out)
