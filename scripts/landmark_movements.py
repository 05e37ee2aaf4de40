"""Does the landmark network follow what faces do, on photos and on synthetic pictures?

    python scripts/landmark_movements.py DATA_DIR [--weights FILE] [--limit 240] [--assets FILE] [--count 240]

DATA_DIR as for ``pyface3d evaluate landmarks``; the network is given the true box. A slope near 0 on both sources says
that the network has not learned a movement; near 0 on photos alone, that the synthetic pictures do not show it as
photos do; and where the true figures differ, that people or labels do. With ``--count 0`` photos only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from pyface3d.data.synthetic.engine import SyntheticFaces
from pyface3d.detect.face_points import FacePointPredictor, load_face_points
from pyface3d.errors import Pyface3dError
from pyface3d.evaluate.annotated_faces import evenly, read_annotated_faces
from pyface3d.evaluate.face_figures import figures_table
from pyface3d.evaluate.landmark_methods import Sight, predictor_of
from pyface3d.io.images import read_image

BATCH = 24
SEED = 777
Marks = NDArray[np.float64]


def on_photos(predictor: FacePointPredictor, folder: Path, limit: int) -> tuple[Marks, Marks]:
    """Predicted and true landmarks (N, 68, 2) px."""
    points, truth = [], []
    for face in tqdm(evenly(read_annotated_faces(folder), limit), desc=folder.name, disable=None):
        sight = Sight(read_image(face.path), face)
        points.append(predictor.predict(sight.image, [sight.given])[0].points[:68])
        truth.append(face.points)
    return np.stack(points).astype(np.float64), np.stack(truth).astype(np.float64)


@torch.inference_mode()
def on_synthetic(predictor: FacePointPredictor, assets: Path | None, count: int) -> tuple[Marks, Marks]:
    """The same on synthetic crops, which the network sees as they are."""
    engine = SyntheticFaces(assets, size=predictor.size, seed=SEED, empty=0.0)
    points, truth = [], []
    for start in tqdm(range(0, count, BATCH), desc="synthetic", disable=None):
        batch = engine.batch(start, min(BATCH, count - start))
        out = predictor.network(batch.image.to(predictor.device).float() / 255)
        points.append(out.points[:, :68].double().cpu().numpy() * predictor.size)
        truth.append(batch.points68.double().cpu().numpy())
    return np.concatenate(points), np.concatenate(truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, help="weights of the network; the shipped ones when left out")
    parser.add_argument("--limit", type=int, default=240, help="photos")
    parser.add_argument("--assets", type=Path, help="packed assets of the synthetic pictures")
    parser.add_argument("--count", type=int, default=240, help="synthetic pictures")
    options = parser.parse_args()
    try:
        predictor = load_face_points() if options.weights is None else predictor_of(options.weights)
        sources = {"photos": on_photos(predictor, options.data, options.limit)}
        if options.count:
            sources["synthetic"] = on_synthetic(predictor, options.assets, options.count)
    except Pyface3dError as error:
        raise SystemExit(str(error)) from error
    print(figures_table(sources).text())


if __name__ == "__main__":
    main()
