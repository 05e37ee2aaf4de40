"""The NoW evaluation: people with exact truth, the model's span, pooling, and what counts when no face is found."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pyface3d.errors import InputError, NoFaceError
from pyface3d.evaluate import now, shape_methods
from pyface3d.evaluate.ict_people import IctPeople, Lights
from pyface3d.evaluate.ict_skin import Skin, paint
from pyface3d.evaluate.model_span import barycentrics_of, identity_of_scan
from pyface3d.evaluate.now import Measured, evaluate_now, summarise
from pyface3d.evaluate.scan_distance import NOW_LANDMARKS, TriangleSurface, face_region, scan_distance
from pyface3d.evaluate.scanned_faces import Placement, read_scan
from pyface3d.face_models import FaceModel, load_face_model
from pyface3d.io.meshes import Mesh, write_obj
from pyface3d.ops import shade_spherical_harmonics

MARKS = list(NOW_LANDMARKS)


@pytest.fixture(scope="module")
def ict(shared_data) -> FaceModel:
    return load_face_model(shared_data / "ict_facekit" / "ict_facekit_light.npz")


@pytest.fixture(scope="module")
def people(ict) -> IctPeople:
    return IctPeople(ict, seed=1, size=192)


def test_a_person_is_the_same_every_time(people, ict):
    first = people.photo(3)
    again = IctPeople(ict, seed=1, size=192).photo(3)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.scan_points, again.scan_points)
    assert np.abs(first.image.astype(int) - people.photo(4).image).mean() > 5
    assert np.abs(first.scan_points - people.photo(4).scan_points).max() > 2  # mm


def test_truth_agrees_with_the_picture(ict):
    """The renderer, the camera and the landmarks tell one story: the head is drawn where the landmarks say."""
    radiance = torch.zeros(1, 9, 3)
    radiance[:, 0] = 2 * np.sqrt(np.pi)  # the same from everywhere: differences in the picture are the paint's
    people = IctPeople(ict, Lights(radiance, torch.zeros(1, 4, 8, 3)), seed=1, size=192)
    for number in range(6):
        face = people.photo(number)
        assert face.image.shape == (192, 192, 3)
        assert abs(face.yaw_deg) <= 60
        # Seen from the front the nose's tip is between the eyes; turned to the right of the picture it moves right.
        eyes = face.landmarks[[36, 45]].mean(0)
        up = eyes - face.landmarks[[48, 54]].mean(0)
        right = np.array([-up[1], up[0]]) / np.linalg.norm(up)
        moved = (face.landmarks[30] - eyes) @ right / np.linalg.norm(up)
        assert moved == pytest.approx(np.sin(np.radians(face.yaw_deg)) * 0.5, abs=0.2)
        # Pupils are darker than cheeks (on the side that the camera sees), and the background is black.
        light = face.image.astype(float).mean(2)
        eye, cheek = (range(36, 42), [1, 31]) if face.yaw_deg > 0 else (range(42, 48), [15, 35])
        pupil = _around(light, face.landmarks[list(eye)].mean(0)).min()
        assert pupil < 0.7 * _around(light, face.landmarks[cheek].mean(0)).mean()
        assert light[:5].max() == 0


def _around(picture: np.ndarray, point: np.ndarray) -> np.ndarray:
    column, row = point.astype(int)
    return picture[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]


def test_brows_are_painted_about_their_landmarks(people):
    """Up and down through each inner point of a brow, the hair's middle lies on the point."""
    skin = replace(Skin.draw(np.random.default_rng(0)), hair=torch.zeros(3), bald=True, stubble=0.0, tone=torch.ones(3))
    marks = people._paint_marks
    steps = torch.linspace(-9, 9, 181)
    for index in (18, 19, 20, 23, 24, 25):
        places = marks[index] + steps[:, None] * torch.tensor([0.0, 1.0, 0.0])
        albedo = paint(places, torch.zeros(len(steps), dtype=torch.long), skin, marks).mean(1)
        cover = (albedo.quantile(0.8) - albedo).clamp_min(0)
        assert cover.max() > 0.5
        assert abs(float((cover * steps).sum() / cover.sum())) < 0.7, index  # mm; brows are 6 to 10 mm high


def test_scan_lies_on_the_skin_that_a_scanner_sees(people):
    face = people.photo(0)
    identity = np.random.default_rng([1, 0]).normal(size=(1, 100)).astype(np.float32)  # the person's own stream
    verts = people.verts(torch.from_numpy(identity))[0]
    skin = people.topology.faces[people.face_part == 0]
    distance, _, _ = TriangleSurface(verts.numpy(), skin.numpy()).nearest(face.scan_points)
    assert distance.max() < 1e-3
    # None in the mouth's bag or behind the eyes: in front of every such point lies skin.
    front = face.scan_points[np.linalg.norm(face.scan_points[:, :2] - face.scan_landmarks[66, :2], axis=1) < 8]
    assert front[:, 2].min() > face.scan_landmarks[66, 2] - 12
    assert face_region(face.scan_points, face.scan_landmarks[MARKS]).sum() > 3000


def test_occluder_covers_part_of_the_face_only(people):
    clean, covered = people.photo(2), people.photo(2, occlude=True)
    np.testing.assert_array_equal(clean.scan_points, covered.scan_points)
    changed = (clean.image != covered.image).any(-1).mean()
    assert 0.005 < changed < 0.2


def test_the_true_face_has_no_error_and_the_mean_face_has_some(people, ict):
    face = people.photo(0)
    head = now._Head(ict, None)
    identity = torch.from_numpy(np.random.default_rng([1, 0]).normal(size=(1, 100)).astype(np.float32))
    assert np.median(head._distances(face, identity)) < 0.01
    assert np.median(head._distances(face, torch.zeros(1, 100))) > 0.5


def test_span_recovers_a_face_of_the_model_itself():
    model = load_face_model("head")
    faces = model.topology.faces[model.regions["skin"][model.topology.faces.long()].all(-1)]
    rng = np.random.default_rng(0)
    identity = torch.from_numpy(rng.normal(size=(1, model.identity_dim))) * 0.7
    none = torch.zeros(1, model.expression_dim, dtype=torch.float64)
    verts = model.vertices(identity, none)
    region = torch.nonzero(model.regions["face"])[:, 0]
    points = verts[0, region].numpy()
    embedding = model.landmarks("ibug68")
    marks = embedding.points(verts, model.topology)[0, MARKS].numpy()
    found = identity_of_scan(model, faces, MARKS, points * 1.03 + 20, marks * 1.03 + 20)

    def error(coefficients: torch.Tensor) -> float:
        shape = model.vertices(coefficients, none)
        shape_marks = embedding.points(shape, model.topology)[0, MARKS].numpy()
        return scan_distance(points, marks, shape[0].numpy(), faces.numpy(), shape_marks).median

    assert error(found) < 0.2 * error(torch.zeros_like(identity))
    assert error(found) < 0.1


def test_barycentrics_put_points_back():
    rng = np.random.default_rng(0)
    corners = torch.from_numpy(rng.normal(size=(20, 3, 3)))
    weights = torch.from_numpy(rng.dirichlet(np.ones(3), 20))
    points = (corners * weights[..., None]).sum(1)
    torch.testing.assert_close(barycentrics_of(points, corners), weights)


def test_even_light_shades_one():
    """A panorama of radiance 1 everywhere lights a white surface of any direction with 1."""
    from pyface3d.evaluate.ict_people import _project, _sphere

    direction = _sphere(64, 128)
    light = torch.from_numpy(_project(np.ones((64, 128, 3)), direction))
    normals = torch.nn.functional.normalize(
        torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).double(), dim=-1
    )
    shaded = shade_spherical_harmonics(normals[None], light[None])
    torch.testing.assert_close(shaded, torch.ones_like(shaded), atol=2e-3, rtol=0)  # 64 rows of a sphere


def test_drawn_lights_follow_their_seed():
    first, again, other = Lights.drawn(3, 0), Lights.drawn(3, 0), Lights.drawn(3, 1)
    torch.testing.assert_close(first.radiance, again.radiance)
    assert (first.radiance - other.radiance).abs().max() > 0.1


@pytest.mark.parametrize(
    "content", [None, {"sh9_irradiance": np.zeros((2, 4, 3)), "pan64x128": np.zeros((2, 8, 16, 3))}]
)
def test_light_files_are_checked(tmp_path, content):
    path = tmp_path / "lights.npz"
    if content is None:
        path.write_bytes(b"not a zip file")
    else:
        np.savez(path, **content)
    with pytest.raises(InputError, match=r"lights\.npz"):
        Lights.read(path)


def measured(method: str, yaw: float, distances: Iterable[float], found: bool = True, name: str = "") -> Measured:
    return Measured(name or f"{yaw}", method, yaw, np.array(list(distances)), found)


def test_distances_are_pooled_over_pictures():
    rows = [
        measured("mean", 5, [2, 2, 2, 2]),
        measured("full", 5, [1, 1, 1, 1]),
        measured("mean", -45, [4, 4]),
        measured("full", -45, [4, 4], found=False),
        measured("mean", 60, [6]),
        measured("full", 60, [3]),
    ]
    table = summarise(rows, "|yaw|", "title")
    by = {(row["pictures"], row["method"]): row for row in table.rows}
    assert by["all", "full"]["median mm"] == 1  # of seven points 1 1 1 1 3 4 4
    assert by["all", "full"]["mean mm"] == pytest.approx(15 / 7)
    assert by["all", "full"]["std mm"] == pytest.approx(np.std([1, 1, 1, 1, 3, 4, 4]))
    assert by["all", "full"]["over mean face"] == 0.5
    assert by["all", "full"]["not found"] == 1
    assert by["|yaw| 0–20°", "full"]["count"] == 1
    assert by["|yaw| 40–60°", "full"]["count"] == 2  # both signs, the border included
    assert not any(row["pictures"] == "|yaw| 20–40°" for row in table.rows)


def test_no_face_counts_as_the_mean_face(monkeypatch, shared_data):
    def blind(*_args, **_kwargs):
        raise NoFaceError("no face")

    monkeypatch.setattr(shape_methods, "reconstruct", blind)
    table = evaluate_now(2, ict=shared_data / "ict_facekit", methods=("landmarks",), size=64)
    mean, ours = table.rows[:2]
    assert (mean["method"], mean["not found"], mean["over mean face"]) == ("mean", 0, 1.0)
    assert (ours["method"], ours["not found"], ours["over mean face"]) == ("landmarks", 2, 1.0)


@pytest.mark.slow
def test_true_landmarks_beat_the_mean_face(shared_data):
    """The whole path, less the detector: from a rendered picture to millimetres."""
    table = evaluate_now(3, ict=shared_data / "ict_facekit", methods=("mean", "landmarks-true"))
    ratio = {row["method"]: row["over mean face"] for row in table.rows if row["pictures"] == "all"}
    assert ratio["landmarks-true"] < 0.95
    assert json.loads(table.json())["rows"][0]["count"] == 3


@pytest.mark.slow
def test_a_real_scan_from_its_front(shared_data):
    table = evaluate_now(scan=shared_data / "scans_3d" / "james.obj", views=(0,), methods=("landmarks",), size=256)
    by = {(row["pictures"], row["method"]): row for row in table.rows}
    assert by["james +0°", "landmarks"]["not found"] == 0
    assert 0.5 < by["james +0°", "mean"]["median mm"] < 1.6
    assert by["james +0°", "landmarks"]["median mm"] < 2.0  # an average man: the mean face is hard to beat


def write_small_scan(folder: Path) -> Path:
    """A textured plate of 100 mm with 68 landmarks along its diagonal."""
    square = np.array([[-50, -50, 0], [50, -50, 0], [50, 50, 0], [-50, 50, 0]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    uvs = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)
    texture = np.zeros((16, 16, 3), np.uint8)
    texture[:8, :, 0], texture[8:, :, 2] = 200, 200  # red above, blue below
    write_obj(folder / "plate.obj", Mesh(square, faces, uvs=uvs, uv_faces=faces, texture=texture))
    sizes = {"chin": 17, "leye": 6, "reye": 6, "leyebrow": 5, "nose": 9, "reyebrow": 5, "mouth": 20}
    points = np.linspace(-40, 40, 68)[:, None] * [1, 1, 0]
    ends = np.cumsum(list(sizes.values()))
    labels = [
        {"label": name, "mask": list(range(int(end) - size, int(end)))}
        for (name, size), end in zip(sizes.items(), ends)
    ]
    content = {"groups": {"LJSON": {"labels": labels, "landmarks": {"points": points.tolist()}}}, "version": 2}
    (folder / "plate.ljson").write_text(json.dumps(content))
    return folder / "plate.obj"


def test_scan_and_its_landmarks_in_the_picture(tmp_path):
    scan = read_scan(write_small_scan(tmp_path))
    face = scan.view(Placement(0.0, distance_mm=1000.0, face_share=0.5), size=220)
    # 220 mm are half the picture: 0.5 px per mm, its middle at (110, 110).
    chin = np.linspace(-40, 40, 68)[0]
    np.testing.assert_allclose(face.landmarks[0], [110 + 0.5 * chin, 110 - 0.5 * chin], atol=0.5)
    red, blue = face.image[100, 110], face.image[120, 110]
    assert red[0] > 150 and red[2] < 50 and blue[2] > 150 and blue[0] < 50
    # iBUG order: the brows come before the nose, which this file holds after the eyes.
    diagonal = np.linspace(-40, 40, 68)
    np.testing.assert_allclose(scan.landmarks[17:22, 0], diagonal[29:34])
    np.testing.assert_allclose(scan.landmarks[36:42, 0], diagonal[17:23])


@pytest.mark.parametrize("damage", ["missing", "text", "short", "nan"])
def test_landmark_files_are_checked(tmp_path, damage):
    path = write_small_scan(tmp_path)
    marks = path.with_suffix(".ljson")
    content = json.loads(marks.read_text())
    if damage == "missing":
        marks.unlink()
    elif damage == "text":
        marks.write_text("{")
    elif damage == "short":
        content["groups"]["LJSON"]["landmarks"]["points"] = [[0, 0, 0]] * 60
        marks.write_text(json.dumps(content))
    else:
        content["groups"]["LJSON"]["landmarks"]["points"][3][0] = float("nan")
        marks.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"plate\.ljson"):
        read_scan(path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"methods": ("median",), "ict": Path("x")}, "methods must be of"),
        ({}, "needs ICT-FaceKit"),
        ({"identities": 0, "ict": Path("x")}, "at least 1"),
        ({"scan": Path("nowhere.obj")}, "nowhere.obj"),
    ],
)
def test_errors_say_what_to_give(given, message):
    with pytest.raises(InputError, match=message):
        evaluate_now(**given)


def test_only_the_whole_of_ict_facekit_will_do(shared_data):
    with pytest.raises(InputError, match="must be ICT-FaceKit"):
        IctPeople(load_face_model("head"))
    part = load_face_model(shared_data / "ict_facekit" / "FaceXModel")  # two of its hundred identities
    with pytest.raises(InputError, match="all 100 identity shapes"):
        IctPeople(part)


def test_a_registered_method_is_measured(monkeypatch, shared_data):
    """One that knows the model's span must beat the mean face; one that finds no face counts as it."""
    monkeypatch.setitem(shape_methods.METHODS, "lost", lambda subject, face: shape_methods.no_face())
    table = evaluate_now(1, ict=shared_data / "ict_facekit", methods=("span", "lost"), size=64)
    by = {row["method"]: row for row in table.rows if row["pictures"] == "all"}
    assert by["span"]["over mean face"] < 0.7
    assert (by["lost"]["not found"], by["lost"]["over mean face"]) == (1, 1.0)


def test_the_occluder_stands_before_a_scan_too(monkeypatch, shared_data):
    seen = []

    def look(subject, face):
        seen.append(face.image)
        return torch.zeros(1, subject.model.identity_dim)

    monkeypatch.setitem(shape_methods.METHODS, "look", look)
    scan = shared_data / "scans_3d" / "james.obj"
    for occlude in (False, True):
        evaluate_now(scan=scan, views=(0,), methods=("look",), size=96, occlude=occlude)
    clean, covered = seen
    changed = (clean != covered).any(axis=2).mean()
    assert 0.01 < changed < 0.3
