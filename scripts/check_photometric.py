"""Judge the photometric fit on pixels it did not see.

    python scripts/check_photometric.py FOLDER [--json OUT]
    python scripts/check_photometric.py --synthetic 12 [--json OUT]

FOLDER: photos. A random half of each face, in square blocks, is hidden from the fit; the colours that the fitted face
predicts there are compared with the photo's, in perceived units (root of linear RGB), over facial pixels that every
method covers. "light" is the trivial baseline: landmark fit, mean albedo, fitted light. "colour" adds albedo, "all"
refines pose, identity and expression on pixels.

--synthetic: heads of the embedded model with known shape, albedo and light, seen with noise in their landmarks; the
errors of shape, normals and albedo before and after the photometric fit.
"""

import argparse
import json
import math
from pathlib import Path

import cv2
import numpy as np
import torch
from check_fit import Photo, read_photo
from torch import Tensor

from pyface3d.face_models import FaceModel, load_face_model
from pyface3d.fit import FaceFit, PhotometricFit, check_plausibility, fit_landmarks, fit_photometric, render_fit
from pyface3d.fit.pixels import to_perceived
from pyface3d.geometry import Camera, align_similarity, rotation_from_euler
from pyface3d.io.color import srgb_to_linear
from pyface3d.io.images import read_image
from pyface3d.ops import vertex_normals

METHODS = ("light", "colour", "all")
EYE_DISTANCE = 90.0  # px; larger photos are shrunk to it, as the fit would do
BLOCKS = 3.0  # blocks per eye distance
CLAMP = 0.35  # perceived difference at which a pixel counts as something else (sunglasses, a hand)


def seen_half(height: int, width: int, block: int) -> Tensor:
    """A random half of the picture in square blocks, (H, W) bool; the same for every call."""
    blocks = np.random.default_rng(0).random((height // block + 1, width // block + 1)) < 0.5
    return torch.from_numpy(np.kron(blocks, np.ones((block, block), bool))[:height, :width].copy())


def held_out_errors(model: FaceModel, photo: Photo, image: Tensor) -> dict[str, dict[str, float]]:
    """Median and clamped root mean square difference on the unseen half, by method."""
    start = fit_landmarks(model, photo.points, photo.sigma, photo.height, photo.width)
    visible = seen_half(photo.height, photo.width, max(4, round(photo.eye_distance / BLOCKS)))
    fits = {
        method: fit_photometric(model, image[None], start, visible=visible[None], unknowns=method) for method in METHODS
    }
    drawn = {method: render_fit(model, fit)[0] for method, fit in fits.items()}
    compared = ~visible & torch.stack([one.facial for one in drawn.values()]).all(0)
    target = to_perceived(image)
    rows = {}
    for method, one in drawn.items():
        misfit = (target - one.colour).norm(dim=-1)[compared]
        error = percent_of_eyes(photo, fits[method])
        face = check_plausibility(model, fits[method])
        rows[method] = {
            "median": float(misfit.median()),
            "clamped_rms": float(misfit.clamp_max(CLAMP).square().mean().sqrt()),
            "landmarks_percent": error,
            "identity_rms": float(face.identity_rms),
            "identity_max": float(face.identity_max),
            "bad_triangles": int(face.flipped + face.crossing),
        }
    return rows


def percent_of_eyes(photo: Photo, fit: PhotometricFit) -> float:
    return float(100 * (fit.points - photo.points).norm(dim=-1).mean() / photo.eye_distance)


def check_photos(model: FaceModel, folder: Path) -> dict[str, object]:
    """Table over a folder of photos, printed and returned."""
    report: dict[str, dict[str, dict[str, float]]] = {}
    print(f"{'photo':32} " + " ".join(f"{method:>15}" for method in METHODS) + "   (median, clamped rms)")
    for path in sorted(folder.iterdir()):
        photo = read_photo(path)
        if photo is None:
            continue
        photo, image = shrunk(photo, read_image(path))
        rows = report[photo.name] = held_out_errors(model, photo, image)
        cells = " ".join(f"{rows[m]['median']:7.3f} {rows[m]['clamped_rms']:7.3f}" for m in METHODS)
        print(f"{photo.name:32.32} {cells}", flush=True)
    for key in next(iter(report.values()))["all"]:
        means = [np.mean([rows[method][key] for rows in report.values()]) for method in METHODS]
        print(f"{'mean ' + key:32} " + " ".join(f"{mean:15.3f}" for mean in means))
    better = sum(rows["all"]["median"] < rows["light"]["median"] for rows in report.values())
    print(f"better than the baseline on {better} of {len(report)} photos")
    return report


def shrunk(photo: Photo, image: np.ndarray) -> tuple[Photo, Tensor]:
    """The photo at the size that the fit works at, and its pixels in linear RGB (H, W, 3)."""
    scale = min(1.0, EYE_DISTANCE / photo.eye_distance)
    height, width = round(photo.height * scale), round(photo.width * scale)
    if scale < 1:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    factor = torch.tensor([width / photo.width, height / photo.height])
    small = Photo(photo.name, photo.points * factor, photo.sigma * scale, height, width)
    return small, torch.as_tensor(srgb_to_linear(image)).float()


def synthetic_people(model: FaceModel, count: int, size: int = 256) -> tuple[PhotometricFit, Tensor, Tensor]:
    """Truth, pictures (B, H, W, 3) in linear RGB, and exact landmarks (B, 68, 2) of random heads."""
    generator = torch.Generator().manual_seed(1)
    identity = 0.8 * torch.randn(count, model.identity_dim, generator=generator)
    expression = torch.zeros(count, model.expression_dim)
    yaw, pitch, roll = (
        (torch.rand(3, count, generator=generator) * 2 - 1) * torch.tensor([[0.5], [0.2], [0.2]])
    ).unbind(0)
    light = torch.zeros(count, 9, 3)
    light[:, 0] = 0.75 * math.sqrt(4 * math.pi)
    light[:, 1:4] = torch.randn(count, 3, 1, generator=generator) * 0.8
    light[:, 4:] = torch.randn(count, 5, 1, generator=generator) * 0.3
    albedo = torch.randn(count, model.albedo_dim, generator=generator)
    camera = Camera.centered(torch.full((count,), 1.2 * size * 2.2), size, size)
    place = torch.tensor([0.0, 0.0, 700.0]).expand(count, 3)
    truth = PhotometricFit(
        *(identity, expression, rotation_from_euler(yaw, pitch, roll), place, camera, light, albedo),
        inliers=torch.zeros(count, size, size, dtype=torch.bool),
        points=torch.zeros(count, 68, 2),
        residual=torch.zeros(count),
        iterations=0,
    )
    drawn = render_fit(model, truth)
    background = 0.2 + 0.1 * torch.rand(count, size, size, 3, generator=generator)
    pictures = torch.stack(
        [torch.where(one.covered[..., None], one.colour.square(), back) for one, back in zip(drawn, background)]
    )
    marks = model.landmarks("ibug68").points(truth.verts_camera(model), model.topology)
    return truth, pictures + 0.005 * torch.randn(pictures.shape, generator=generator), camera.project(marks)[..., :2]


def face_errors(model: FaceModel, fit: FaceFit, truth: FaceFit) -> dict[str, float]:
    """Shape (mm, after alignment with scale) and normals (degrees) over the facial skin."""
    face = model.regions["face"]
    found, wanted = fit.verts(model), truth.verts(model)
    aligned = align_similarity(found[:, face], wanted[:, face])
    turned = vertex_normals(found, model.topology)[:, face] @ fit.rotation.transpose(1, 2)
    normals = vertex_normals(wanted, model.topology)[:, face] @ truth.rotation.transpose(1, 2)
    angle = (turned * normals).sum(-1).clamp(-1, 1).acos().rad2deg()
    return {
        "shape_mm": float((aligned.apply(found[:, face]) - wanted[:, face]).norm(dim=-1).mean()),
        "normals_degrees": float(angle.mean()),
    }


def check_synthetic(model: FaceModel, count: int) -> dict[str, object]:
    """Errors against known truth, printed and returned."""
    truth, pictures, points = synthetic_people(model, count)
    noise = 0.02 * (points[:, 36] - points[:, 45]).norm(dim=-1)
    generator = torch.Generator().manual_seed(2)
    noisy = points + noise[:, None, None] * torch.randn(points.shape, generator=generator)
    sigma = noise[:, None].expand(-1, 68)
    size = pictures.shape[1]
    start = fit_landmarks(model, noisy, sigma, size, size, focal=truth.camera.focal)
    fit = fit_photometric(model, pictures.clamp_min(0), start)
    shown = model.albedo(truth.albedo)
    report: dict[str, object] = {
        "landmarks": face_errors(model, start, truth),
        "photometric": face_errors(model, fit, truth),
        "albedo_mean": float((model.albedo(torch.zeros(1, model.albedo_dim)) - shown).abs().mean()),
        "albedo": float((model.albedo(fit.albedo) - shown).abs().mean()),
        "light_mean": float((truth.light - truth.light.mean(0)).square().mean().sqrt()),
        "light": float((fit.light - truth.light).square().mean().sqrt()),
    }
    print(json.dumps(report, indent=1))
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--synthetic", type=int, metavar="COUNT")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model = load_face_model("head")
    if arguments.synthetic:
        report = check_synthetic(model, arguments.synthetic)
    elif arguments.folder:
        report = check_photos(model, arguments.folder)
    else:
        parser.error("give a FOLDER of photos or --synthetic COUNT")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
