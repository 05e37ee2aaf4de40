"""`pyface3d evaluate nme`; see `commands.evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from pyface3d.commands.tables import Json, names_of, progress, show


@dataclass(frozen=True)
class Nme:
    """Normalised mean error of 68 landmarks by the protocol of AFLW2000-3D, beside the mean shape.

    Scores arrays of predictions, or runs our network over the photos, or both.
    """

    truth: Annotated[Positional[Path], arg(metavar="TRUTH_DIR")]
    """Folder with AFLW2000-3D.pts68.npy, …-Reannotated.pts68.npy, …-new.pose.npy and ….pose.npy (they come with 3DDFA),
    or with annotated pictures and landmarks68.npz."""
    predictions: Annotated[Positional[tuple[Path, ...]], arg(metavar="[PRED...]", help_behavior_hint="")] = ()
    """Landmarks of all pictures, .npy, .npz or .mat, (N, 68, 2) or (N, 2, 68), in photo pixels; every array a row."""
    images: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """The photos, to run the methods on: all, sorted by name, or those that a landmarks.npz in it lists."""
    methods: Annotated[str | None, arg(metavar="LIST", help_behavior_hint="(default: ours,ours-box)")] = None
    """What to run on the photos: ours, ours-box (given the true box), dlib-looks, dlib, openseeface."""
    weights: Annotated[tuple[Path, ...], arg(metavar="FILE…", help_behavior_hint="(default: shipped)")] = ()
    """Weights of our network to measure, each a row of its own."""
    peer_weights: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder with OpenSeeFace's lm_model0_opt.onnx."""
    regressor: Annotated[Path | None, arg(metavar="FILE")] = None
    """Weights of the occlusion-robust regressor or its baseline to measure too, given the true five points."""
    model: Annotated[str, arg(metavar="NAME|PATH")] = "bfm_front"
    """Face model of the regressor."""
    occlude: Annotated[int | None, arg(metavar="SEED")] = None
    """Run the methods behind the standard occluder too, drawn from this seed."""
    occluders: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Cut-outs with alpha to occlude with; a textured ellipse when left out."""
    subset: Annotated[str | None, arg(metavar="NAME")] = None
    """Of annotated pictures only this split, such as afw."""
    limit: Annotated[int | None, arg(metavar="N")] = None
    """Only so many pictures."""
    json: Json = None
    """Write the table as JSON too."""
    csv: Json = None
    """Write the table as CSV too."""
    plot: Annotated[Path | None, arg(metavar="PNG")] = None
    """Draw the cumulative error curves."""

    def run(self) -> int:
        from pyface3d.evaluate.nme import evaluate_nme

        result = evaluate_nme(
            self.truth,
            self.predictions,
            images=self.images,
            methods=None if self.methods is None else names_of(self.methods),
            weights=self.weights,
            peer_weights=self.peer_weights,
            regressor=self.regressor,
            model=self.model,
            occlude_seed=self.occlude,
            occluders=self.occluders,
            subset=self.subset,
            limit=self.limit,
            progress=progress,
        )
        code = show(result.table, self.json, self.csv)
        if self.plot is not None:
            from pyface3d.evaluate.curves import draw_cumulative_errors
            from pyface3d.io.images import write_png

            write_png(self.plot, draw_cumulative_errors(result.errors, f"{result.table.title}: {result.truth} truth"))
        return code
