"""Fit where the face-point network should look, from the box of each detector.

`CROP_SQUARES` in `pyface3d/detect/face_points.py` says, for each detector, how far below the middle of its box the
middle of the 68 landmarks lies and how large the canonical crop is (1.5 × the larger side of the landmarks' box), both
in box sizes. This measures them on rendered people of ICT-FaceKit, whose landmarks are exact, and prints medians and
spreads; the spreads are what the jitter of the training crops has to cover.

    python scripts/calibrate_crops.py ICT.npz [--people 120] [--detectors mtcnn,dlib]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from pyface3d.detect.face import Face
from pyface3d.detect.face_points import CROP_MARGIN, upright_roll
from pyface3d.detect.faces import detect_faces
from pyface3d.evaluate.ict_people import IctPeople
from pyface3d.evaluate.landmarks import face_at
from pyface3d.face_models import load_face_model


def square_seen(face: Face, points: np.ndarray) -> tuple[float, float, float]:
    """Right and down of the landmarks' box middle, and the crop's side, in box sizes, in the upright frame."""
    roll = upright_roll(face)
    turn = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    spots = (points - np.array(face.center)) @ turn.T / face.size
    low, high = spots.min(axis=0), spots.max(axis=0)
    right, down = (low + high) / 2
    return float(right), float(down), CROP_MARGIN * float((high - low).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ict", type=Path)
    parser.add_argument("--people", type=int, default=120)
    parser.add_argument("--detectors", default="mtcnn,dlib")
    arguments = parser.parse_args()
    people = IctPeople(load_face_model(arguments.ict), seed=7)
    seen: dict[str, list[tuple[float, float, float]]] = {name: [] for name in arguments.detectors.split(",")}
    for number in range(arguments.people):
        photo = people.photo(number)
        for name, rows in seen.items():
            face = face_at(detect_faces(photo.image, name), photo.landmarks)
            if face is not None:
                rows.append(square_seen(face, photo.landmarks))
    for name, rows in seen.items():
        if not rows:
            print(f"{name}: found nobody")
            continue
        right, down, side = np.array(rows).T
        middle = float(np.exp(np.median(np.log(side))))
        print(
            f"{name}: {len(rows)} faces; down {np.median(down):.3f} ± {down.std() / middle:.3f} of the crop, "
            f"side {middle:.3f}, ± {np.log(side).std():.3f} in its logarithm; right {np.median(right):.3f} ± "
            f"{right.std() / middle:.3f} of the crop"
        )


if __name__ == "__main__":
    main()
