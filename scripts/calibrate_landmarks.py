"""Fit the constants of pyface3d.detect.dlib_landmarks on annotated faces and print them.

    python scripts/calibrate_landmarks.py DATA_DIR [--occluders FOLDER] [--every 4]

DATA_DIR holds pictures and landmarks68.npz as for ``pyface3d evaluate landmarks`` (300-W was used). Every picture is
taken clean and with the standard occluder. Printed are, per detector, the place and size of dlib's box that give the
least median error, and the constants of the deviation: a floor per landmark (from clean pictures; left and right
averaged) and the weights of the three signs of trouble (maximum likelihood, errors clipped at four deviations).
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from pyface3d.detect import dlib_landmarks as landmarks
from pyface3d.detect.face import Face
from pyface3d.detect.faces import detect_faces
from pyface3d.errors import InputError
from pyface3d.evaluate.annotated_faces import AnnotatedFace, face_at, read_annotated_faces
from pyface3d.evaluate.landmark_errors import landmark_error
from pyface3d.evaluate.occluders import StandardOccluder
from pyface3d.face_models.landmarks import IBUG68_FLIP
from pyface3d.io.images import read_image

Picture = NDArray[np.uint8]
SEED = 5
DOWN, SIDE = (-0.18, -0.12, -0.06, 0.0, 0.06, 0.12), (0.9, 0.95, 1.0, 1.05, 1.1, 1.15)
DETECTORS = ("mtcnn", "dlib", "dlib-cnn", "landmarks")


def find(image: Picture, face: AnnotatedFace, detector: str) -> Face | None:
    """The annotated face as a detector sees it."""
    if detector == "landmarks":
        return landmarks.face_from_landmarks(face.points)
    return face_at(detect_faces(image, detector, min_size=40), face.points)


def fit_square(pictures: list[tuple[Picture, AnnotatedFace]], detector: str) -> tuple[float, float]:
    """(down, side) with the least mean of errors clipped at 20 %, where the detector finds the face."""
    seen = [(image, face, find(image, face, detector)) for image, face in pictures]
    best = (np.inf, (0.0, 1.0))
    for down, side in product(DOWN, SIDE):
        landmarks.DLIB_SQUARES[detector] = (down, side)
        errors = [
            min(landmark_error(landmarks.dlib_landmarks68(image, found)[0], face.points), 20.0)
            for image, face, found in seen
            if found is not None
        ]
        best = min(best, (float(np.mean(errors)), (down, side)))
    print(f"{detector}: found {sum(f is not None for *_, f in seen)}, mean error {best[0]:.2f} %, square {best[1]}")
    return best[1]


def gather(pictures: list[tuple[Picture, AnnotatedFace]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Errors per coordinate (N, 68) and the signs of trouble (3, N, 68), both over the face's size."""
    errors, signs = [], []
    for image, face in pictures:
        found = find(image, face, "mtcnn")
        if found is None:
            continue
        answers = landmarks.ask_predictor(image, found)
        kept = landmarks.best_answers(answers, found)
        points = np.median(kept, axis=0)
        errors.append(np.linalg.norm(points - face.points, axis=1) / np.sqrt(2) / found.size)
        signs.append(landmarks.signs_of_trouble(answers, kept, points, found) / found.size)
    return np.stack(errors), np.stack(signs, axis=1)


def fit_deviation(clean: list[tuple[Picture, AnnotatedFace]], covered: list[tuple[Picture, AnnotatedFace]]) -> None:
    """Print the floors and weights."""
    clean_errors, clean_signs = gather(clean)
    errors, signs = gather(covered)
    # The radius below which 68 % lie is 1.51 deviations per coordinate; `errors` are radii over the root of two.
    floors = np.quantile(clean_errors, 0.68, axis=0) * np.sqrt(2) / 1.51
    floors = (floors + floors[np.array(IBUG68_FLIP)]) / 2
    errors, signs = np.concatenate([clean_errors, errors]), np.concatenate([clean_signs, signs], axis=1)

    def cost(log_weights: NDArray[np.float64]) -> float:
        weights = np.exp(log_weights)
        variance = (weights[0] * floors) ** 2 + np.tensordot(weights[1:] ** 2, signs**2, axes=1)
        return float((np.log(variance) + np.minimum(errors**2 / variance, 16)).mean())

    found = minimize(cost, np.array([0.0, 0.0, 0.0, -1.0]), method="Nelder-Mead", options={"maxiter": 2000})
    weights = np.exp(found.x)
    print("floors:", np.array2string(weights[0] * floors, precision=4, separator=", ", max_line_width=100))
    print("weights (spread, mirror, points5):", weights[1:].round(3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--occluders", type=Path)
    parser.add_argument("--every", type=int, default=4)
    parser.add_argument("--squares", action="store_true", help="fit the boxes too (minutes)")
    options = parser.parse_args()
    try:
        faces = read_annotated_faces(options.data_dir)[:: options.every]
        clean = [(read_image(face.path), face) for face in faces]
        occluder = StandardOccluder(SEED, options.occluders)
        covered = [(occluder.apply(image, face.points, face.path.name)[0], face) for image, face in clean]
    except InputError as error:
        raise SystemExit(str(error)) from error
    if options.squares:
        for detector in DETECTORS:
            landmarks.DLIB_SQUARES[detector] = fit_square(clean, detector)
    fit_deviation(clean, covered)


if __name__ == "__main__":
    main()
