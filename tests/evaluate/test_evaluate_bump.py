"""`evaluate bump`: its occluders, its normals against another way to them, and the bars of recovery in small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pyface3d.errors import InputError
from pyface3d.evaluate.bump import METHODS, OCCLUDERS, drawn_people, evaluate_bump, paste, surface_normals
from pyface3d.face_models import load_face_model
from pyface3d.ops import Topology, vertex_normals
from pyface3d.systems.extreme3d import build_dense
from pyface3d.systems.extreme3d.recovery import References, build_references, load_references


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> References:
    place = tmp_path_factory.mktemp("references")
    build_references(place, 64)
    return load_references(place)


@pytest.fixture(scope="module")
def people() -> list:
    return list(drawn_people(2, load_face_model("head", level=1), seed=3))


def test_normals_are_those_of_the_dense_mesh(people: list) -> None:
    person = people[0]
    dense = build_dense(person.foundation, person.relief)
    verts, faces, pixels = dense.mesh.item(0)
    normals = vertex_normals(verts, Topology(faces, len(verts)))
    ours = surface_normals(person.foundation, person.relief.mm)[pixels[:, 1].long(), pixels[:, 0].long()]
    cosine = (ours * normals).sum(1).abs()
    angle = torch.rad2deg(torch.acos(cosine.clamp(max=1)))
    assert float(angle.median()) < 1.0 and float(angle.quantile(0.95)) < 10.0


def test_occluders_lie_on_the_face_and_differ(people: list) -> None:
    person = people[0]
    shares = {}
    for shape in OCCLUDERS:
        outlines = [paste(shape, person.placement, np.random.default_rng(k)) for k in range(4)]
        assert not torch.equal(outlines[0], outlines[1])
        shares[shape] = np.mean([float((o & person.relief.face).sum() / person.relief.face.sum()) for o in outlines])
    assert all(0.01 < share < 0.5 for share in shares.values()), shares
    assert shares["glasses"] > 1.3 * shares["eye"]


def test_people_are_none_of_the_references(people: list, references: References) -> None:
    for person in people:
        chart, known = person.placement.to_chart(person.relief.mm, person.relief.face)
        kept = known.numpy() & (np.abs(chart.numpy()) > 1e-4)
        apart = np.abs(np.asarray(references.relief, np.float32)[:, kept] - chart.numpy()[kept].astype(np.float32))
        # A reference that is the same face would differ by the resampling alone.
        assert float(apart.mean(1).min()) > 0.2 * float(np.abs(chart.numpy()[kept]).mean())


def test_recovery_beats_the_membrane_where_wrinkles_are(references: References) -> None:
    table = evaluate_bump(4, references=references, occluders=["eye", "hand"], methods=["ours", "membrane"], seed=1)
    rows = {(row["holes"], row["method"]): row for row in table.rows}
    ours, membrane = rows["wrinkled", "ours"], rows["wrinkled", "membrane"]
    assert float(ours["normals °"]) < 0.92 * float(membrane["normals °"])  # type: ignore[arg-type]
    assert float(ours["depth mm"]) < float(membrane["depth mm"])  # type: ignore[arg-type]
    assert 0.4 < float(ours["energy"]) < 1.4 and float(membrane["energy"]) < 0.2  # type: ignore[arg-type]


def test_bad_wishes_and_missing_maps(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="methods must be of " + ", ".join(METHODS)):
        evaluate_bump(1, methods=["best"])
    with pytest.raises(InputError, match="occluders must be of"):
        evaluate_bump(1, occluders=["moustache"])
    with pytest.raises(InputError, match="at least 1"):
        evaluate_bump(0)
    with pytest.raises(InputError, match="no crops"):
        evaluate_bump(1, maps=tmp_path)


def test_published_maps(shared_data: Path) -> None:
    folder = shared_data / "extreme3d" / "paper"
    if not (folder / "bump_original").is_dir():
        pytest.skip("the paper's maps are not on this machine")
    table = evaluate_bump(1, maps=folder, methods=["mirror", "membrane"], occluders=["eye"])
    assert {row["method"] for row in table.rows} == {"mirror", "membrane"}
    assert all(np.isfinite(float(row["normals °"])) for row in table.rows)  # type: ignore[arg-type]
