"""Measure how the errors of ``landmarks68`` go together, and write ``pyface3d/assets/landmark_noise.safetensors``.

    python scripts/calibrate_landmark_noise.py [--lights LIGHTS.npz] [--people 240]

Seeded people of the embedded head (not of the model that `pyface3d evaluate now` measures on) are photographed in
random light at yaw within ±60°, detected and landmarked; errors are taken in the frame that a fit can know: the mean
face posed on the detected points. Every photo counts twice, as it is and mirrored.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from math import pi
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyface3d.detect import detect_faces, landmarks68
from pyface3d.detect.landmarks import MIRRORED_LANDMARKS
from pyface3d.evaluate.ict_people import Lights, background_of, camera_gain
from pyface3d.evaluate.scanned_faces import Placement, photograph
from pyface3d.face_models import FaceModel, load_face_model
from pyface3d.fit import fit_landmarks
from pyface3d.fit.landmark_noise import face_axes, turn_terms
from pyface3d.fit.sparse_model import NUM_JAW, sparse_face, visible_contour
from pyface3d.fit.texture_areas import face_areas
from pyface3d.fit.texture_view import triangles_without
from pyface3d.geometry import rotation_from_euler
from pyface3d.io.weights import ASSETS_DIR, Card, write_weights
from pyface3d.ops import Fragments, interpolate, render_texture, shade_spherical_harmonics, vertex_normals

SEED, SIZE = 1234, 512
IDENTITY_SPREAD, ALBEDO_SPREAD = 0.8, 0.9
COMMON = 24  # errors kept that go together
INFLATION = 1.5  # photos are harder than renders: standard deviations grow by this
LEAST_OWN = 0.02  # variance of what remains, of the stated one's
ROBUST = 4.0  # mean squared error, in typical ones, at which a photo counts a quarter
POSE_ONLY = 1e6


def photo(model: FaceModel, lights: Lights, number: int) -> tuple[np.ndarray, Tensor]:
    """One person's picture (H, W, 3) uint8 and true landmarks (68, 2) px: the jaw's where the face ends as seen."""
    rng = np.random.default_rng([SEED, number])

    def normal(count: int, spread: float) -> Tensor:
        return spread * torch.from_numpy(rng.normal(size=(1, count)).astype(np.float32))

    identity, expression = normal(model.identity_dim, IDENTITY_SPREAD), torch.zeros(1, model.expression_dim)
    placement = Placement(
        yaw_deg=rng.uniform(-60, 60),
        pitch_deg=rng.uniform(-15, 15),
        roll_deg=rng.uniform(-15, 15),
        distance_mm=rng.uniform(600, 1500),
        face_share=rng.uniform(0.42, 0.6),
        offset=tuple(rng.uniform(-0.08, 0.08, 2)),
    )
    albedo = model.albedo(normal(model.albedo_dim, ALBEDO_SPREAD)).clamp(0, 1)
    which = int(rng.integers(len(lights.radiance)))
    to_light = rotation_from_euler(*torch.tensor([[rng.uniform(0, 2 * pi)], [0.0], [0.0]]))[0].T
    light, panorama = lights.radiance[which], lights.panoramas[which]

    sparse = sparse_face(model)
    points = sparse.points(torch.cat([identity, expression], 1).double())[0]
    middle, camera = points[:68].mean(0), placement.camera(SIZE)
    verts = placement.apply(model.vertices(identity, expression)[0], middle, camera)
    normals = vertex_normals(verts.float()[None], model.topology)[0] @ to_light.T
    level = rng.uniform(0.7, 1.25) * camera_gain(normals[model.regions["face"]], to_light, light)
    # Drawn as solid triangles, lashes would cover the eyes.
    topology = triangles_without(model.topology, face_areas(model).lashes)

    def shade(fragments: Fragments) -> Tensor:
        facing = torch.nn.functional.normalize(interpolate(normals, fragments, topology), dim=-1)
        lit = shade_spherical_harmonics(facing.flatten(1, 2), light[None]).view_as(facing).clamp_min(0.02)
        return render_texture(albedo, fragments, topology) * lit * level

    image = photograph(verts, topology, camera, shade, background_of(panorama, to_light, camera) * level)
    seen = camera.project(placement.apply(points, middle, camera)[None])[..., :2]
    jaw = visible_contour(sparse, seen, placement.rotation()[None])[0]
    return image, torch.cat([seen[0, jaw], seen[0, NUM_JAW:68]])


def errors(model: FaceModel, lights: Lights, people: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Of every found face: errors (68, 2) and stated σ (68,) in mm in the face's frame, and `turn_terms` (3,)."""
    for number in range(people):
        image, truth = photo(model, lights, number)
        faces = detect_faces(image)
        if not faces:
            continue
        points, sigma = (torch.from_numpy(value).double() for value in landmarks68(image, faces[0]))
        pose = fit_landmarks(
            *(model, points[None], sigma[None], SIZE, SIZE), identity_weight=POSE_ONLY, expression_weight=POSE_ONLY
        )
        scale = pose.camera.focal[0] / pose.translation[0, 2]
        error = (points - truth) @ face_axes(pose.rotation)[0].T / scale
        yield error, sigma / scale, turn_terms(pose.rotation)[0]


def mirrored(error: Tensor, sigma: Tensor, terms: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same of the mirror image."""
    return (
        error[MIRRORED_LANDMARKS] * error.new_tensor([-1, 1]),
        sigma[MIRRORED_LANDMARKS],
        terms * terms.new_tensor([1, -1, 1]),
    )


def estimate(error: Tensor, sigma: Tensor, terms: Tensor) -> dict[str, Tensor]:
    """Mean and common errors of N faces: errors (N, 68, 2) and sigma (N, 68) mm, terms (N, 3).

    Faces that the predictor missed altogether tell nothing of the usual case: they count little, by their mean
    squared error in σ.
    """
    target, spread = error.flatten(1), sigma.repeat_interleave(2, dim=1)
    belief = torch.ones(len(error), dtype=torch.float64)
    for _ in range(10):
        root = belief.sqrt()[:, None] / spread  # (N, 136): one least squares each coordinate
        columns = (terms[:, None] * root[..., None]).transpose(0, 1)
        bias = torch.linalg.lstsq(columns, (target * root).T[..., None]).solution.squeeze(-1).T
        misfit = (target - terms @ bias) / spread
        typical = misfit.square().median(1).values / 0.455  # the median of a squared N(0, 1)
        belief = (1 + typical / ROBUST).pow(-2)
    covariance = (misfit * belief[:, None]).T @ misfit / belief.sum()
    values, vectors = torch.linalg.eigh(covariance)
    common = vectors[:, -COMMON:] * values[-COMMON:].sqrt()
    own = (covariance.diagonal() - common.square().sum(1)).clamp_min(LEAST_OWN).view(68, 2).mean(1)
    return {
        "bias": bias.view(3, 68, 2),
        "common": INFLATION * common.view(68, 2, COMMON),
        "own": INFLATION * own.sqrt(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lights", type=Path, help="environments; drawn from a prior where left out")
    parser.add_argument("--people", type=int, default=240)
    parser.add_argument("--out", type=Path, default=ASSETS_DIR / "landmark_noise.safetensors")
    options = parser.parse_args()
    lights = Lights.read(options.lights) if options.lights else Lights.drawn(16, SEED)
    seen = list(errors(load_face_model("head"), lights, options.people))
    both = seen + [mirrored(*one) for one in seen]
    found = estimate(*(torch.stack(column) for column in zip(*both, strict=True)))
    card = Card(
        name="landmark_noise",
        description="Mean and covariance of the errors of dlib's 68 landmarks as pyface3d asks for them.",
        licence="same as pyface3d: figures measured by us; dlib's predictor itself is for research use",
        source=f"{len(seen)} rendered people of the embedded head, seed {SEED}",
        made_by="scripts/calibrate_landmark_noise.py",
        details={"people": len(seen), "common_errors": COMMON, "inflation": INFLATION},
    )
    asset = write_weights(options.out, {name: value.float() for name, value in found.items()}, card)
    print(f"{asset.path}: {len(seen)} of {options.people} people found, mean error (mm, yaw 0):")
    print(found["bias"][0].numpy().round(1).tolist())


if __name__ == "__main__":
    main()
