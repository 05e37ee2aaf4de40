"""Fit how much MTCNN's word counts and how much the landmark network's, and print what each threshold would give.

    python scripts/calibrate_detection.py PHOTOS --boxes CSV --faceless FOLDER [--weights face_points.safetensors]

PHOTOS with known faces (CSV as for ``pyface3d evaluate detection``) and FACELESS pictures without any. Every candidate
of MTCNN is judged by the network; logistic regression on "lies on a known face" gives the constants of
`pyface3d/detect/judged_faces.py`. To be run again when the network's weights change.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pyface3d.detect.face import Face
from pyface3d.detect.face_points import FacePointPredictor, load_face_points
from pyface3d.detect.judged_faces import CANDIDATES
from pyface3d.detect.mtcnn import load_mtcnn
from pyface3d.evaluate.detection import Box, is_on_face, read_boxes
from pyface3d.evaluate.landmark_methods import predictor_of
from pyface3d.io.images import read_image
from pyface3d.systems.inputs import PICTURE_SUFFIXES


@dataclass(frozen=True)
class Candidates:
    """Of one picture: log-odds of both (N, 2), and which known face each lies on, (N,), -1 for none."""

    log_odds: NDArray[np.float64]
    on: NDArray[np.int64]


def candidates(path: Path, truths: list[Box], network: FacePointPredictor) -> Candidates:
    image = read_image(path)
    found = load_mtcnn().detect(image, max(20.0, 0.025 * max(image.shape[:2])), CANDIDATES)
    boxes = [tuple(float(value) for value in box) for box in found.boxes]
    faces = [Face(box, 0.5, points, "mtcnn") for box, points in zip(boxes, found.points)]
    judged = network.face_log_odds(image, faces)
    on = [next((k for k, truth in enumerate(truths) if is_on_face(box, truth)), -1) for box in boxes]
    return Candidates(np.column_stack([found.log_odds, judged]), np.array(on, np.int64))


def logistic(values: NDArray[np.float64], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights (3,) of two values and a constant, by Newton's method with a touch of ridge."""
    design = np.column_stack([values, np.ones(len(values))])
    weights = np.zeros(3)
    for _ in range(50):
        chance = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (chance - truth) + 1e-2 * weights
        hessian = (design.T * (chance * (1 - chance))) @ design + 1e-2 * np.eye(3)
        weights -= np.linalg.solve(hessian, gradient)
    return weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--boxes", type=Path, required=True)
    parser.add_argument("--faceless", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    arguments = parser.parse_args()
    network = load_face_points() if arguments.weights is None else predictor_of(arguments.weights)
    known = read_boxes(arguments.boxes)
    groups = []
    for folder in (arguments.photos, arguments.faceless):
        pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
        truths = known if folder == arguments.photos else {}
        groups.append([candidates(path, truths.get(path.name, []), network) for path in tqdm(pictures, unit="picture")])
    photos, faceless = groups
    everything = photos + faceless
    values = np.concatenate([one.log_odds for one in everything])
    weights = logistic(values, np.concatenate([one.on for one in everything]) >= 0)
    print(f"weights of MTCNN and the network, constant: {np.round(weights, 2).tolist()}")
    print("threshold  photos with a face found %  known faces found %  other detections  faceless with an alarm %")
    total = sum(len(known.get(name, [])) for name in known)
    for threshold in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
        least = np.log(threshold / (1 - threshold))
        kept = [one.on[one.log_odds @ weights[:2] + weights[2] >= least] for one in photos]
        alarms = [bool((one.log_odds @ weights[:2] + weights[2] >= least).any()) for one in faceless]
        hit = [bool((on >= 0).any()) for on in kept]
        faces = sum(len(set(on[on >= 0].tolist())) for on in kept)
        extra = sum(int((on < 0).sum()) for on in kept)
        print(
            f"{threshold:9.1f} {100 * np.mean(hit):27.1f} {100 * faces / total:20.1f} {extra:17d} "
            f"{100 * np.mean(alarms):25.1f}"
        )


if __name__ == "__main__":
    main()
