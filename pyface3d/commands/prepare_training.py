"""`pyface3d prepare align`, `occlude` and `split`; see `commands.prepare`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from pyface3d.cli import UsageError
from pyface3d.commands.tables import complain, finish, progress

if TYPE_CHECKING:
    from pyface3d.data.preparation.align import Finder, Source
    from pyface3d.data.preparation.occlude import Painter

Out = Annotated[Path, arg(aliases=["-o"], metavar="OUT")]


@dataclass(frozen=True)
class Align:
    """Crops of 224 px in which eyes, nose and mouth lie where the occlusion-robust regressor expects them.

    The five points come from a meta file, from a folder of landmarks, or from our network. Lists of what was done lie
    beside the crops; bad lines, missing pictures and pictures without a face are named, and the others go on.
    """

    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")]
    """Pictures, folders, patterns or .txt lists; with --meta the one folder that its names are relative to."""
    out: Out = Path("aligned")
    """Folder for the crops, under the pictures' own names; made when missing."""
    meta: Annotated[Path | None, arg(metavar="FILE")] = None
    """Five points of each picture: filename xl yl xr yr xn yn xml yml xmr ymr a line, px: eyes, nose, mouth corners."""
    landmarks: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Landmarks of each picture, <stem>.npy, .pts, .txt or .csv, 68 or five."""
    landmarks_out: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Write the 68 landmarks of each crop there too, <stem>.npy; needs 68 of each picture."""
    name: Annotated[str, arg(metavar="NAME")] = "aligned"
    """Of the lists: NAME_meta.txt, NAME_crops.csv, NAME_fail.txt, NAME_align.jsonl."""
    prefix: Annotated[str, arg(metavar="TEXT")] = ""
    """Before the names of the crops, such as pred for landmarks that nobody annotated."""
    format: Literal["same", "png", "jpg"] = "same"
    """Of the crops."""
    border: Literal["black", "edge"] = "black"
    """What lies outside the picture: black as published, or its edge repeated."""
    detector: Literal["network", "mtcnn", "dlib", "dlib-cnn", "retinaface"] = "network"
    """Finds the faces of pictures without points; the best one is taken."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes CUDA where it works."""
    resume: bool = False
    """Leave out what an earlier run has done."""

    def run(self) -> int:
        if not self.inputs:
            raise UsageError("give the pictures or their folder; see pyface3d prepare align --help")
        if self.meta is not None and (self.landmarks is not None or len(self.inputs) != 1):
            raise UsageError("--meta goes with one folder of pictures, and not with --landmarks")
        if self.meta is not None and self.landmarks_out is not None:
            raise UsageError("--landmarks-out needs all 68 landmarks, which --meta has not; use prepare landmarks")
        if any(letter in self.prefix + self.name for letter in "/\\\0"):
            raise UsageError("--prefix and --name must not hold slashes")
        from pyface3d.data.preparation.align import align_pictures

        rows = align_pictures(
            sources := self._sources(),
            self.out,
            name=self.name,
            find=self._finder(),
            landmarks_out=self.landmarks_out,
            prefix=self.prefix,
            suffix=None if self.format == "same" else f".{self.format}",
            border=0 if self.border == "black" else None,
            resume=self.resume,
        )
        failed = resumed = 0
        for done in progress(rows, len(sources)):
            failed += complain(done.error, done.source.name)
            resumed += done.resumed
        return finish(len(sources), failed, resumed, self.out)

    def _sources(self) -> list[Source]:
        from pyface3d.data.preparation.align import sources_of_meta, sources_of_photos
        from pyface3d.systems.inputs import expand_inputs

        if self.meta is not None:
            return sources_of_meta(Path(self.inputs[0]), self.meta)
        return sources_of_photos(expand_inputs(list(self.inputs)), self.landmarks)

    def _finder(self) -> Finder | None:
        if self.meta is not None or self.landmarks is not None:
            return None
        from pyface3d.commands.reconstruct import resolved_device
        from pyface3d.systems.landmark_run import landmark_backend

        backend = landmark_backend("network", detector=self.detector, device=resolved_device(self.device))
        return lambda image: next(iter(backend(image)), None)


@dataclass(frozen=True)
class Occlude:
    """Hands and other things before aligned faces, with masks of them, for training against occlusion.

    published: one flat hand or two in the skin's colour, as the original paints them, its defects repaired.
    synthetic: the occluders of our synthetic people: posed hands, face masks, objects, hair, scarves, with shadows.
    """

    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")]
    """Aligned pictures: files, folders, patterns or .txt lists."""
    landmarks: Annotated[Path, arg(metavar="FOLDER")]
    """The 68 landmarks of each, <stem>.npy, .pts, .txt or .csv."""
    out: Out = Path("out")
    """Folder for occluded/<stem>.png and masks/<stem>.png (white where covered)."""
    mode: Literal["published", "synthetic"] = "synthetic"
    """What is put before the faces."""
    silhouettes: Annotated[tuple[Path, ...], arg(metavar="FILE...", help_behavior_hint="(default: our open hand)")] = ()
    """published: hand shapes to draw from, .npy of 0 and 1 or pictures."""
    cutouts: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """synthetic: PNG or WebP pictures with transparency, to be held before the faces."""
    assets: Annotated[Path | None, arg(metavar="FILE")] = None
    """synthetic: from scripts/pack_synthetic_assets.py; without it there are no posed hands or real masks."""
    seed: int = 0
    """Of everything random; a picture depends on it and on its own name."""
    format: Literal["png", "jpg"] = "png"
    """Of the covered pictures."""
    resume: bool = False
    """Leave out what an earlier run has done."""

    def run(self) -> int:
        if not self.inputs:
            raise UsageError("give the aligned pictures or their folder; see pyface3d prepare occlude --help")
        if self.seed < 0:
            raise UsageError(f"--seed must not be negative, got {self.seed}")
        if self.mode == "published" and (self.cutouts or self.assets):
            raise UsageError("--cutouts and --assets go with --mode synthetic")
        if self.mode == "synthetic" and self.silhouettes:
            raise UsageError("--silhouettes goes with --mode published")
        from pyface3d.data.preparation.occlude import occlude_pictures
        from pyface3d.systems.inputs import expand_inputs

        photos = expand_inputs(list(self.inputs))
        settings = {
            "mode": self.mode,
            "seed": self.seed,
            "silhouettes": [path.name for path in self.silhouettes],
            "cutouts": self.cutouts and str(self.cutouts),
            "assets": self.assets and self.assets.name,
        }
        rows = occlude_pictures(
            *(photos, self.landmarks, self.out, self._painter()),
            settings=settings,
            suffix=f".{self.format}",
            resume=self.resume,
        )
        failed = resumed = free = 0
        for done in progress(rows, len(photos)):
            failed += complain(done.error, str(done.photo.path))
            resumed += done.resumed
            free += done.free
        if free:
            print(f"{free} left free: nothing fell on the face")
        return finish(len(photos), failed, resumed, self.out)

    def _painter(self) -> Painter:
        from pyface3d.data.preparation.occlude import PublishedHands, SyntheticOccluders

        if self.mode == "published":
            return PublishedHands(self.seed, self.silhouettes)
        return SyntheticOccluders(self.seed, self.assets, self.cutouts)


@dataclass(frozen=True)
class Split:
    """Training and validation sets: OUT/train and OUT/val, each with ori_img, landmarks, occluded and masks."""

    data: Annotated[Positional[Path], arg(metavar="DATA")]
    """Folder with ori_img/ and landmarks/, and occluded/ and masks/ where there; files of one face have one name."""
    out: Out = Path("sets")
    """Folder for the two sets."""
    share: Annotated[float, arg(metavar="X")] = 0.95
    """Share that trains."""
    seed: int = 0
    """Of the shuffle."""
    way: Literal["copy", "link", "move"] = "copy"
    """Copy the files, make hard links, or move them as the published script does."""
    resume: bool = False
    """Go on with a run that was cut short."""

    def run(self) -> int:
        if self.seed < 0:
            raise UsageError(f"--seed must not be negative, got {self.seed}")
        if not 0 <= self.share <= 1:
            raise UsageError(f"--share must lie in 0 to 1, got {self.share}")
        from pyface3d.data.preparation.split import TRAIN, find_samples, split_samples

        samples = find_samples(self.data)
        rows = split_samples(samples, self.out, share=self.share, seed=self.seed, way=self.way, resume=self.resume)
        failed = resumed = training = 0
        for done in progress(rows, len(samples)):
            failed += complain(done.error, done.sample.stem)
            resumed += done.resumed
            training += done.part == TRAIN
        print(f"{training} train, {len(samples) - failed - training} validate")
        return finish(len(samples), failed, resumed, self.out)
