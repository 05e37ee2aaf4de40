"""Fit the embedded head to the landmarks of real photos and say how good, and how human, the faces are.

    python scripts/check_fit.py FOLDER [--model head] [--predictor network] [--splits 8] [--json OUT]

For every photo: mean landmark error in % of the inter-ocular distance (outer eye corners in the picture), size of the
identity coefficients, distance between the pupils, and lip and lid triangles that are flipped or cross. Then the error
on 17 landmarks that the fit did not see, over random splits, beside that of those it saw. The first rows are
trivial baselines: the mean face, with the pose alone fitted; the mean face with expressions.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pyface3d.detect import detect_faces, landmarks68
from pyface3d.detect.landmarks import PREDICTOR, PREDICTORS
from pyface3d.errors import Pyface3dError
from pyface3d.face_models import FaceModel, load_face_model
from pyface3d.fit import LandmarkFit, check_plausibility, fit_landmarks
from pyface3d.io.images import read_image

FROZEN = 1e8  # weight of a prior that leaves nothing free


@dataclass(frozen=True)
class Photo:
    """Landmarks of one face: points (1, 68, 2), sigma (1, 68)."""

    name: str
    points: Tensor
    sigma: Tensor
    height: int
    width: int

    @property
    def eye_distance(self) -> float:
        return float((self.points[0, 36] - self.points[0, 45]).norm())


def read_photo(path: Path, predictor: str = PREDICTOR) -> Photo | None:
    """The best face of a picture; a picture without one is named and gives None."""
    try:
        image = read_image(path)
        faces = detect_faces(image)
    except Pyface3dError as error:
        print(f"{path.name}: {error}")
        return None
    if not faces:
        print(f"{path.name}: no face found")
        return None
    points, sigma = landmarks68(image, faces[0], predictor)
    return Photo(path.name, torch.as_tensor(points)[None], torch.as_tensor(sigma)[None], *image.shape[:2])


def percent(photo: Photo, fit: LandmarkFit) -> Tensor:
    """Error of every landmark in % of the inter-ocular distance, (B, 68)."""
    return 100 * (fit.points - photo.points).norm(dim=-1) / photo.eye_distance


def left_out_errors(
    model: FaceModel, photo: Photo, splits: int, generator: torch.Generator, count: int = 17
) -> tuple[float, float]:
    """Mean error of fitted and of left-out landmarks over random splits."""
    use = torch.ones(splits, 68, dtype=torch.bool)
    for row in use:
        row[torch.randperm(68, generator=generator)[:count]] = False
    fit = fit_landmarks(
        model,
        photo.points.expand(splits, -1, -1),
        photo.sigma.expand(splits, -1),
        photo.height,
        photo.width,
        use=use,
    )
    error = percent(photo, fit)
    return float(error[use].mean()), float(error[~use].mean())


def check(model: FaceModel, photos: list[Photo], splits: int) -> dict[str, object]:
    """Table of all photos, printed and returned."""
    print(f"{'photo':32} {'error %':>8} {'id rms':>7} {'id max':>7} {'pupils':>7} {'flipped':>8} {'crossing':>9}")
    rows = []
    baselines = {"mean face, pose only": (FROZEN, FROZEN), "mean face and expression": (FROZEN, 1.0)}
    for name, (identity_weight, expression_weight) in baselines.items():
        errors = [
            percent(
                photo,
                fit_landmarks(
                    *(model, photo.points, photo.sigma, photo.height, photo.width),
                    identity_weight=identity_weight,
                    expression_weight=expression_weight,
                ),
            ).mean()
            for photo in photos
        ]
        print(f"{name:32} {float(torch.stack(errors).mean()):8.2f}")
    for photo in photos:
        fit = fit_landmarks(model, photo.points, photo.sigma, photo.height, photo.width)
        face = check_plausibility(model, fit)
        row = {
            "photo": photo.name,
            "error_percent": float(percent(photo, fit).mean()),
            "identity_rms": float(face.identity_rms),
            "identity_max": float(face.identity_max),
            "interpupil_mm": float(face.interpupil_mm),
            "flipped": int(face.flipped),
            "crossing": int(face.crossing),
        }
        rows.append(row)
        print("{:32.32} {:8.2f} {:7.2f} {:7.2f} {:7.1f} {:8d} {:9d}".format(*row.values()))
    error = sum(row["error_percent"] for row in rows) / len(rows)
    generator = torch.Generator().manual_seed(0)
    both = [left_out_errors(model, photo, splits, generator) for photo in photos]
    fitted, left_out = torch.tensor(both).mean(0).tolist()
    print(f"{'mean of ' + str(len(rows)) + ' photos':32} {error:8.2f}")
    print(f"17 landmarks left out: fitted {fitted:.2f} %, left out {left_out:.2f} %, ratio {left_out / fitted:.2f}")
    return {"photos": rows, "error_percent": error, "fitted_percent": fitted, "left_out_percent": left_out}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="head")
    parser.add_argument("--predictor", choices=PREDICTORS, default=PREDICTOR)
    parser.add_argument("--splits", type=int, default=8)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = [read_photo(path, arguments.predictor) for path in sorted(arguments.folder.iterdir())]
    photos = [photo for photo in found if photo is not None]
    report = check(load_face_model(arguments.model), photos, arguments.splits)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
