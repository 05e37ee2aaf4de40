"""Measure the parts against known answers, each with the trivial answer beside it.

examples:
  pyface3d evaluate landmarks landmarks_300w/ --limit 100 --methods ours,dlib
  pyface3d evaluate landmarks landmarks_300w/ --occlude 0 --peer-weights weights_small/ --json landmarks.json
  pyface3d evaluate landmarks landmarks_300w/ --methods ours --weights a.safetensors b.safetensors
  pyface3d evaluate detection real_masked_faces/ --faceless landscapes/
  pyface3d evaluate masks out/ face_masks_celebahq/                       what segment or reconstruct wrote to out/
  pyface3d evaluate masks --images photos/ masks/ --classes               our network on the photos
  pyface3d evaluate relief --assets synthetic_assets.npz                   64 heads in even light
  pyface3d evaluate now --identities 50
  pyface3d evaluate now james.obj --views 0,30,-30,60,-60
  pyface3d evaluate nme 3DDFA/test.configs/ predictions.npy --plot errors.png
  pyface3d evaluate nme 3DDFA/test.configs/ --images AFLW2000/ --occlude 0
  pyface3d evaluate bump --count 24                                        relief recovered under pasted occluders
  pyface3d evaluate bump extreme_3d_faces/data/paper/
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg, subcommand

from pyface3d.cli import UsageError
from pyface3d.commands.evaluate_bump import Bump
from pyface3d.commands.evaluate_nme import Nme
from pyface3d.commands.tables import Json, names_of, progress, show


@dataclass(frozen=True)
class Landmarks:
    """Error of the 68 landmarks on annotated pictures, in percent of the distance between the outer eye corners."""

    data: Annotated[Positional[Path], arg(metavar="DATA_DIR")]
    """Folder with the pictures and landmarks68.npz (names, split, pts)."""
    methods: Annotated[str | None, arg(metavar="LIST", help_behavior_hint="(default: all)")] = None
    """What to measure: ours, ours-box (given the true box), dlib-looks, dlib, openseeface, mtcnn, mean."""
    weights: Annotated[tuple[Path, ...], arg(metavar="FILE…", help_behavior_hint="(default: shipped)")] = ()
    """Weights of our network to measure, each a row of its own."""
    peer_weights: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder with OpenSeeFace's lm_model0_opt.onnx."""
    occlude: Annotated[int | None, arg(metavar="SEED")] = None
    """Measure behind the standard occluder too, drawn from this seed."""
    occluders: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Cut-outs with alpha to occlude with; a textured ellipse when left out."""
    limit: Annotated[int | None, arg(metavar="N")] = None
    """Only so many pictures."""
    parts: bool = False
    """Errors of jaw, brows, nose, eyes and mouth too."""
    json: Json = None
    """Write the table as JSON too."""
    csv: Json = None
    """Write the table as CSV too."""

    def run(self) -> int:
        from pyface3d.evaluate.landmarks import evaluate_landmarks

        table = evaluate_landmarks(
            self.data,
            methods=None if self.methods is None else names_of(self.methods),
            weights=self.weights,
            peer_weights=self.peer_weights,
            occlude_seed=self.occlude,
            occluders=self.occluders,
            limit=self.limit,
            parts=self.parts,
            progress=progress,
        )
        return show(table, self.json, self.csv)


@dataclass(frozen=True)
class Detection:
    """Share of faces found in a folder of pictures with one main face each, and false alarms."""

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """Pictures with a face."""
    detectors: Annotated[str | None, arg(metavar="LIST", help_behavior_hint="(default: the quick ones)")] = None
    """What to measure: detectors of reconstruct, rfb-320 (a public one), middle (the trivial answer)."""
    faceless: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Pictures without one, for the false alarms."""
    boxes: Annotated[Path | None, arg(metavar="FILE")] = None
    """Known faces, CSV with name,x0,y0,x1,y1; boxes.csv in FOLDER when left out."""
    limit: Annotated[int | None, arg(metavar="N")] = None
    """Only so many pictures of each folder."""
    peer_weights: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder with version-RFB-320.onnx."""
    json: Json = None
    """Write the table as JSON too."""
    csv: Json = None
    """Write the table as CSV too."""

    def run(self) -> int:
        from pyface3d.evaluate.detection import evaluate_detection

        table = evaluate_detection(
            self.folder,
            detectors=None if self.detectors is None else names_of(self.detectors),
            faceless=self.faceless,
            boxes=self.boxes,
            peer_weights=self.peer_weights,
            limit=self.limit,
            progress=progress,
        )
        return show(table, self.json, self.csv)


@dataclass(frozen=True)
class Masks:
    """Agreement of masks of the visible face with true ones, beside a landmark hull and a mask that is all face.

    Give a folder of masks and the true ones, or the true ones alone to have our network segment the photos.
    """

    folders: Annotated[Positional[tuple[Path, ...]], arg(metavar="[PRED_DIR] TRUTH_DIR", help_behavior_hint="")]
    """Masks named after the photos (<stem>_visible.png or <stem>_parts.png of segment, <stem>_occlusion.png of
    reconstruct), and the folder of true masks, or one with masks/ and images/ in it."""
    images: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: images beside the masks)")] = (
        None
    )
    """The photos: our network and the landmark hull look at them."""
    truth_labels: Literal["celebamask", "bisenet", "ours", "visible"] = "celebamask"
    """What the numbers of the true masks mean; visible is a grey mask, white where the face is seen."""
    labels: Annotated[
        Literal["celebamask", "bisenet", "ours", "visible"] | None, arg(help_behavior_hint="(default: by the name)")
    ] = None
    """The same of the masks that are measured."""
    methods: Annotated[str | None, arg(metavar="LIST", help_behavior_hint="(default: what is possible)")] = None
    """What to measure beside PRED_DIR: ours, colours (what reconstruct tells without the network; slow), hull (of the
    landmarks, with a forehead), all (everything is face)."""
    weights: Annotated[tuple[Path, ...], arg(metavar="FILE…", help_behavior_hint="(default: shipped)")] = ()
    """Weights of our part network to measure, each a row of its own."""
    classes: bool = False
    """IoU of every class too."""
    limit: Annotated[int | None, arg(metavar="N")] = None
    """Only so many pictures."""
    json: Json = None
    """Write the table as JSON too."""
    csv: Json = None
    """Write the table as CSV too."""

    def run(self) -> int:
        if not 1 <= len(self.folders) <= 2:
            raise UsageError(f"give TRUTH_DIR, or PRED_DIR and TRUTH_DIR, got {len(self.folders)} folders")
        from pyface3d.evaluate.masks import evaluate_masks

        table = evaluate_masks(
            self.folders[-1],
            predictions=self.folders[0] if len(self.folders) == 2 else None,
            images=self.images,
            truth_labels=self.truth_labels,
            labels=self.labels,
            methods=None if self.methods is None else names_of(self.methods),
            weights=self.weights,
            classes=self.classes,
            limit=self.limit,
            progress=progress,
        )
        return show(table, self.json, self.csv)


@dataclass(frozen=True)
class Relief:
    """Relief of synthetic heads whose albedo knows nothing of it, beside shading, none and 'dark is deep'."""

    count: Annotated[int, arg(metavar="N")] = 64
    """Heads to render."""
    assets: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: the embedded head alone)")] = None
    """What they are made of, from scripts/pack_synthetic_assets.py."""
    methods: Annotated[str | None, arg(metavar="LIST", help_behavior_hint="(default: all)")] = None
    """What to measure: ours, sfs (shape from shading), flat (no relief), luminance (dark is deep, as well scaled as can
    be)."""
    weights: Annotated[tuple[Path, ...], arg(metavar="FILE…", help_behavior_hint="(default: shipped)")] = ()
    """Weights of our relief network to measure, each a row of its own."""
    light: Literal["even", "drawn"] = "even"
    """Light on the heads: the same from everywhere, which tells nothing of relief; or lamps and surroundings as in
    photos."""
    seed: int = 0
    """Of everything random."""
    size: Annotated[int, arg(metavar="PX")] = 256
    """Side of the pictures, a multiple of 16."""
    json: Json = None
    """Write the table as JSON too."""
    csv: Json = None
    """Write the table as CSV too."""

    def run(self) -> int:
        from pyface3d.evaluate.relief import evaluate_relief

        table = evaluate_relief(
            self.count,
            assets=self.assets,
            methods=None if self.methods is None else names_of(self.methods),
            weights=self.weights,
            light=self.light,
            seed=self.seed,
            size=self.size,
            progress=progress,
        )
        return show(table, self.json, self.csv)


@dataclass(frozen=True)
class Now:
    """Millimetres between reconstructions and true faces, by the protocol of the NoW benchmark."""

    scan: Annotated[Positional[Path | None], arg(metavar="[SCAN]")] = None
    """A textured scan to measure on, instead of rendered people."""
    identities: Annotated[int, arg(metavar="N")] = 50
    """People of ICT-FaceKit, each rendered in random pose and light."""
    ict: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: in the test data)")] = None
    """ICT-FaceKit's folder or .npz; found in $PYFACE3D_TEST_DATA or ../shared/data when left out."""
    lights: Annotated[Path | None, arg(metavar="NPZ")] = None
    """Environments to light them with; drawn from a prior when left out."""
    views: Annotated[str, arg(metavar="LIST")] = "0,30,-30,60,-60"
    """Yaw of the pictures of the scan, degrees."""
    methods: Annotated[str, arg(metavar="LIST")] = "mean,landmarks,full"
    """What to measure, of dlib-68, network-68, network-dense, coefficients, landmarks, full, full-dlib, landmarks-true,
    full-true, span; mean is always measured."""
    weights: Annotated[Path | None, arg(metavar="FILE")] = None
    """Weights of our network for network-… and coefficients, instead of the shipped ones."""
    model: Annotated[str, arg(metavar="NAME|PATH")] = "head"
    """Face model that is fitted."""
    seed: int = 0
    """Of everything random."""
    occlude: bool = False
    """Hide part of each face behind an object of half its width."""
    size: Annotated[int, arg(metavar="PX")] = 512
    """Side of the rendered pictures."""
    json: Json = None
    """Write the table as JSON too."""
    csv: Json = None
    """Write the table as CSV too."""

    def run(self) -> int:
        try:
            views = [float(value) for value in self.views.split(",")]
        except ValueError:
            raise UsageError(f"--views must be degrees separated by commas, got {self.views!r}") from None
        from pyface3d.evaluate.now import evaluate_now

        table = evaluate_now(
            self.identities,
            scan=self.scan,
            views=views,
            methods=names_of(self.methods),
            model=self.model,
            weights=self.weights,
            ict=self.ict if self.ict is not None or self.scan is not None else _test_data("ict_facekit"),
            lights=self.lights,
            seed=self.seed,
            occlude=self.occlude,
            size=self.size,
            progress=progress,
        )
        return show(table, self.json, self.csv)


Command = (
    Annotated[Landmarks, subcommand("landmarks")]
    | Annotated[Detection, subcommand("detection")]
    | Annotated[Masks, subcommand("masks")]
    | Annotated[Relief, subcommand("relief")]
    | Annotated[Now, subcommand("now")]
    | Annotated[Nme, subcommand("nme")]
    | Annotated[Bump, subcommand("bump")]
)


def _test_data(name: str) -> Path:
    """A folder of the data that the project's tests use; see tests/conftest.py."""
    folder = os.environ.get("PYFACE3D_TEST_DATA")
    found = (Path(folder) if folder else Path("..", "shared", "data")) / name
    if not found.exists():
        raise UsageError(f"{found} does not exist; name ICT-FaceKit's folder with --ict, or set PYFACE3D_TEST_DATA")
    return found
