"""Occlusion recovery of Extreme 3D Faces: spec tests 22 to 24, each named by its number, faults, and the parts."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.ndimage
import torch
from synthetic_basel import basel_arrays, write_trimmed

from pyface3d.errors import InputError
from pyface3d.face_models import FaceModel, load_face_model
from pyface3d.geometry import rotation_from_euler
from pyface3d.io.color import linear_to_srgb
from pyface3d.ops import vertex_normals
from pyface3d.systems.extreme3d import Foundation, Relief, build_foundation
from pyface3d.systems.extreme3d.geometry_only import read_case
from pyface3d.systems.extreme3d.recovery import (
    Placement,
    References,
    build_references,
    colour_occluder,
    face_chart,
    load_references,
    read_occluder,
    recover_relief,
    tidy_occluder,
)
from pyface3d.systems.extreme3d.recovery.chart import COLUMNS, ROWS, TEXEL_MM
from pyface3d.systems.extreme3d.recovery.fill import Donor, fill_holes

LEVEL_MM = 1.25 / 12  # of a published map


def stand(model: FaceModel, yaw_deg: float = 0.0) -> Foundation:
    angles = (torch.tensor([math.radians(value)], dtype=torch.float64) for value in (yaw_deg, 0, 0))
    nobody = torch.zeros(model.identity_dim), torch.zeros(model.expression_dim)
    shift = torch.tensor([3.0, 10.0, 600.0], dtype=torch.float64)
    return build_foundation(model, *nobody, rotation_from_euler(*angles)[0], shift)


@pytest.fixture(scope="module")
def head() -> FaceModel:
    return load_face_model("head", level=1)


@pytest.fixture(scope="module")
def foundation(head: FaceModel) -> Foundation:
    return stand(head, 12)


@pytest.fixture(scope="module")
def placement(foundation: Foundation, head: FaceModel) -> Placement:
    return Placement(foundation, face_chart(head))


@pytest.fixture(scope="module")
def wrinkled(placement: Placement) -> Relief:
    """Waves of 0.6 mm, the same on both halves of the face."""
    x, y = placement.millimetres.unbind(-1)
    mm = 0.6 * torch.sin(y / 2.5 + 0.02 * x.abs()) * torch.cos(x / 6)
    return Relief(torch.where(placement.on_chart, mm, 0.0), 255 * placement.on_chart.to(torch.uint8))


@pytest.fixture(scope="module")
def one_eye(placement: Placement) -> torch.Tensor:
    """The subject's right eye, the nearer one, with its brow."""
    x, y = placement.millimetres.unbind(-1)
    return placement.on_chart & (((x + 33) / 20) ** 2 + ((y - 3) / 17) ** 2 < 1)


def test_spec_22_published_blending_returns_its_input_and_changes_harmonically() -> None:
    rng = np.random.default_rng(5)
    rough = torch.from_numpy(scipy.ndimage.gaussian_filter(rng.normal(size=(160, 150)), 2.0) * 12)
    whole = torch.ones_like(rough, dtype=torch.bool)
    holes = torch.zeros(160, 150, dtype=torch.int64)
    holes[50:90, 40:100] = 1
    same = fill_holes(rough, whole, holes, [Donor(rough, whole, 1.0)], compat=True)
    assert float((same - rough).abs().max()) < 0.5 * LEVEL_MM
    other = torch.from_numpy(scipy.ndimage.gaussian_filter(rng.normal(size=(160, 150)), 2.0) * 12)
    change = fill_holes(rough, whole, holes, [Donor(other, whole, 1.0)], compat=True) - rough
    assert float(change.abs().max()) > 5 * LEVEL_MM
    border = torch.ones_like(whole)
    border[1:-1, 1:-1] = False
    assert float(change[border].abs().max()) == 0.0
    bend = torch.from_numpy(scipy.ndimage.laplace(change.numpy()))
    outside = torch.from_numpy(scipy.ndimage.distance_transform_edt(~(holes > 0).numpy()) > 2) & ~border
    assert float(bend[outside].abs().mean()) < 0.06 * LEVEL_MM


def test_spec_22_default_blending_leaves_what_is_seen() -> None:
    rng = np.random.default_rng(6)
    rough, other = (
        torch.from_numpy(scipy.ndimage.gaussian_filter(rng.normal(size=(160, 150)), 3.0) * 12) for _ in range(2)
    )
    whole = torch.ones_like(rough, dtype=torch.bool)
    holes = torch.zeros(160, 150, dtype=torch.int64)
    holes[50:90, 40:100] = 1
    change = fill_holes(rough, whole, holes, [Donor(other + 40, whole, 1.0)]) - rough
    far = torch.from_numpy(scipy.ndimage.distance_transform_edt(~(holes > 0).numpy()) > 15)
    assert float(change[far].abs().max()) <= 0.1
    assert float(change[holes > 0].abs().max()) > 0.3


def test_recovered_relief_stays_within_limits() -> None:
    relief = torch.zeros(60, 60, dtype=torch.float64)
    whole = torch.ones_like(relief, dtype=torch.bool)
    holes = torch.zeros(60, 60, dtype=torch.int64)
    holes[10:50, 10:50] = 1
    x = torch.arange(60, dtype=torch.float64)
    steep = Donor(x.expand(60, 60) * 2.0, whole, 1.0)  # 80 mm across the hole, joined to zeros on both sides
    filled = fill_holes(relief, whole, holes, [steep])
    assert float(filled.max()) <= 60 and float(filled.min()) >= -60  # no more than the donor's own range
    assert torch.equal(fill_holes(relief + 3, whole, holes, [])[holes > 0], torch.full((1600,), 3.0).double())


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> References:
    place = tmp_path_factory.mktemp("references")
    build_references(place, 16)
    return load_references(place)


@pytest.mark.parametrize("alone", [True, False], ids=["mirror alone", "beside references"])
def test_spec_23_the_other_eye_is_the_donor(
    foundation: Foundation,
    head: FaceModel,
    wrinkled: Relief,
    one_eye: torch.Tensor,
    references: References,
    alone: bool,
) -> None:
    spoilt = Relief(wrinkled.mm + 4.0 * one_eye, wrinkled.mask)
    found, record = recover_relief(foundation, spoilt, one_eye, face_chart(head), None if alone else references)
    assert record["state"] == "recovered"
    assert [hole["donor"] for hole in record["holes"]] == ["mirror"]
    assert found.mask is spoilt.mask
    assert found.recovered is not None and bool((found.recovered | ~one_eye).all())
    membrane = fill_holes(spoilt.mm, wrinkled.face, found.recovered.long(), [])
    ours, theirs = (
        (gradients(mm) - gradients(wrinkled.mm)).norm(dim=0)[found.recovered].mean() for mm in (found.mm, membrane)
    )
    assert float(ours) < 0.35 * float(theirs)
    seen = wrinkled.face & ~found.recovered
    far = torch.from_numpy(scipy.ndimage.distance_transform_edt(~found.recovered.numpy()) > 15)
    assert float((found.mm - wrinkled.mm)[seen & far].abs().max()) <= 0.1


def gradients(mm: torch.Tensor) -> torch.Tensor:
    return torch.stack(torch.gradient(mm))


def test_both_lenses_are_one_hole(
    foundation: Foundation, head: FaceModel, placement: Placement, wrinkled: Relief
) -> None:
    x, y = placement.millimetres.unbind(-1)
    lenses = placement.on_chart & (((x.abs() - 33) / 20) ** 2 + ((y - 3) / 17) ** 2 < 1)
    _, record = recover_relief(foundation, wrinkled, lenses, face_chart(head))
    assert len(record["holes"]) == 1
    assert record["holes"][0]["donor"] == "membrane"  # neither side is seen, and there are no references


@pytest.mark.parametrize("stem", ["img_03", "img_04", "img_12", "img_14"])
def test_spec_24_nothing_covered_nothing_changed(
    shared_data: Path, stem: str, foundation: Foundation, head: FaceModel
) -> None:
    folder = shared_data / "extreme3d" / "paper"
    if not (folder / "bump_original" / f"{stem}_bump.png").is_file():
        pytest.skip(f"{stem} is not among the paper's maps on this machine")
    before, after = (read_case(folder, stem, name).relief for name in ("bump_original", "bump_blended"))
    found, record = recover_relief(foundation, before, torch.zeros(500, 500, dtype=torch.bool), face_chart(head))
    assert found is before
    assert record["state"] == "none"
    assert torch.equal(found.mm, after.mm) and torch.equal(found.mask, after.mask)


def test_everything_covered_is_weak(foundation: Foundation, head: FaceModel, wrinkled: Relief) -> None:
    found, record = recover_relief(foundation, wrinkled, torch.ones(500, 500, dtype=torch.bool), face_chart(head))
    assert record["state"] == "weak" and record["occluded_share"] == 1.0
    assert bool(torch.isfinite(found.mm).all()) and torch.equal(found.mask, wrinkled.mask)
    assert float(found.mm[wrinkled.face].abs().max()) == 0.0


def test_most_covered_is_a_membrane(
    foundation: Foundation, head: FaceModel, placement: Placement, wrinkled: Relief
) -> None:
    above = placement.millimetres[..., 1] > -60
    found, record = recover_relief(foundation, wrinkled, above & wrinkled.face, face_chart(head))
    assert record["occluded_share"] > 0.6 and record["state"] == "weak"
    assert [hole["donor"] for hole in record["holes"]] == ["membrane"]
    assert bool(torch.isfinite(found.mm).all())


def test_a_hole_at_the_border_of_face_and_picture(head: FaceModel) -> None:
    near = stand(head)
    close = build_foundation(
        head,
        torch.zeros(head.identity_dim),
        torch.zeros(head.expression_dim),
        near.rotation,
        torch.tensor([0.0, 0.0, 220.0], dtype=torch.float64),  # the face fills the crop
    )
    spots = Placement(close, face_chart(head)).millimetres
    mm = 0.5 * torch.sin(spots[..., 1] / 3) * torch.cos(spots[..., 0] / 7)
    relief = Relief(mm, torch.full((500, 500), 255, dtype=torch.uint8))
    occluder = torch.zeros(500, 500, dtype=torch.bool)
    occluder[:130, :200] = True
    found, record = recover_relief(close, relief, occluder, face_chart(head))
    assert record["state"] == "recovered" and bool(torch.isfinite(found.mm).all())
    assert found.recovered is not None and bool(found.recovered[0].any())
    assert float(found.mm[found.recovered].abs().max()) < 1.5


def test_relief_that_is_not_finite_is_filled(
    foundation: Foundation, head: FaceModel, wrinkled: Relief, one_eye: torch.Tensor
) -> None:
    broken = wrinkled.mm.clone()
    broken[one_eye] = math.nan
    broken[300:303, 250:253] = math.inf
    nothing = torch.zeros(500, 500, dtype=torch.bool)
    found, record = recover_relief(foundation, Relief(broken, wrinkled.mask), nothing, face_chart(head))
    assert record["not_finite"] == int((~torch.isfinite(broken)).sum())
    assert bool(torch.isfinite(found.mm).all())
    assert found.recovered is not None and bool(found.recovered[301, 251])


def test_no_face_no_work(foundation: Foundation, head: FaceModel) -> None:
    nowhere = Relief(torch.zeros(500, 500), torch.zeros(500, 500, dtype=torch.uint8))
    found, record = recover_relief(foundation, nowhere, torch.ones(500, 500, dtype=torch.bool), face_chart(head))
    assert found is nowhere and record["state"] == "none"


def test_flat_relief_stays_flat(
    foundation: Foundation, head: FaceModel, wrinkled: Relief, one_eye: torch.Tensor
) -> None:
    flat = Relief(torch.zeros(500, 500), wrinkled.mask)
    found, _ = recover_relief(foundation, flat, one_eye, face_chart(head))
    assert float(found.mm.abs().max()) == 0.0
    assert found.mm.dtype == torch.float32


def test_bad_input_is_named(foundation: Foundation, head: FaceModel, wrinkled: Relief) -> None:
    chart = face_chart(head)
    with pytest.raises(InputError, match="occluder must be bool"):
        recover_relief(foundation, wrinkled, torch.zeros(500, 500), chart)
    with pytest.raises(InputError, match="the crop's size"):
        recover_relief(foundation, wrinkled, torch.zeros(400, 500, dtype=torch.bool), chart)
    small = Relief(torch.zeros(40, 40), torch.zeros(40, 40, dtype=torch.uint8))
    with pytest.raises(InputError, match="500 x 500"):
        recover_relief(foundation, small, torch.zeros(40, 40, dtype=torch.bool), chart)
    with pytest.raises(InputError, match="chart of the foundation's model"):
        Placement(foundation, face_chart(load_face_model("head")))


def test_the_same_bits_twice_and_for_any_number_of_threads(
    foundation: Foundation, head: FaceModel, wrinkled: Relief, one_eye: torch.Tensor, threads_put_back: None
) -> None:
    found = []
    for threads in (1, 1, 2):
        torch.set_num_threads(threads)
        found.append(recover_relief(foundation, wrinkled, one_eye, face_chart(head)))
    assert all(torch.equal(found[0][0].mm, other.mm) and record == found[0][1] for other, record in found[1:])


def test_charts_of_models_agree(head: FaceModel, tmp_path: Path) -> None:
    basel = load_face_model(write_trimmed(tmp_path / "BaselFaceModel_mod.h5", basel_arrays()))
    marks = []
    for model in (head, basel):
        chart = face_chart(model)
        paired = (chart.mirror >= 0) & (chart.spots[:, 0] > -100)
        paired &= chart.mirror[chart.mirror.clamp_min(0)] == torch.arange(len(chart.mirror))
        opposite = chart.spots[chart.mirror[paired]]
        assert float((chart.spots[paired, 0] + opposite[:, 0] - COLUMNS).abs().max()) < 1e-9
        assert torch.allclose(chart.spots[paired, 1], opposite[:, 1])
        spots = torch.cat([chart.spots, torch.zeros(len(chart.spots), 1)], 1)
        marks.append(model.landmarks().points(spots[None], model.topology)[0, :, :2])
    inner = (marks[0] - marks[1])[17:].norm(dim=1) * TEXEL_MM
    assert float(inner.mean()) < 2.0 and float(inner.max()) < 5.0


def test_a_map_goes_to_the_chart_and_back(placement: Placement, wrinkled: Relief) -> None:
    laid, known = placement.to_chart(wrinkled.mm, wrinkled.face)
    assert laid.shape == (ROWS, COLUMNS) and bool((laid[~known] == 0).all())
    again, valid = placement.to_crop(laid, known)
    assert float(valid.sum()) > 0.6 * float(wrinkled.face.sum())
    assert float((again - wrinkled.mm)[valid].abs().mean()) < 0.02
    over, seen = placement.mirrored(wrinkled.mm, wrinkled.face)
    assert float(seen.sum()) > 0.5 * float(wrinkled.face.sum())
    assert float((over - wrinkled.mm)[seen].abs().mean()) < 0.02  # the waves are the same on both halves


def test_tidied_occluders() -> None:
    face = torch.ones(120, 120, dtype=torch.bool)
    occluder = torch.zeros_like(face)
    occluder[40:60, 40:60] = True
    occluder[50:52, 48:50] = False  # a gap
    occluder[100:107, 20:28] = True  # 56 px: a speck
    tidy = tidy_occluder(occluder, face)
    solid = np.zeros((120, 120), bool)
    solid[40:60, 40:60] = True
    far = scipy.ndimage.distance_transform_edt(~solid)
    assert bool(tidy[far <= 6.5].all()) and not bool(tidy[far > 8].any())
    face[:, :50] = False
    assert not bool((tidy_occluder(occluder, face) & ~face).any())


def test_a_users_occluder(tmp_path: Path) -> None:
    drawn = np.zeros((50, 60), np.uint8)
    drawn[10:20, 30:40] = 255
    cv2.imwrite(str(tmp_path / "a_occ.png"), drawn)
    assert torch.equal(read_occluder(tmp_path / "a_occ.png", 50, 60), torch.from_numpy(drawn > 0))
    with pytest.raises(InputError, match="50 rows of 50"):
        read_occluder(tmp_path / "a_occ.png", 50, 50)


@pytest.fixture(scope="module")
def bare_skin(foundation: Foundation, placement: Placement) -> np.ndarray:
    """A picture of the face in slanting light, with dark eyes and red lips, before grey."""
    normals = vertex_normals(foundation.verts_camera, foundation.topology)
    light = placement.draw(normals) @ torch.tensor([-0.4, -0.3, -0.85], dtype=torch.float64)
    colour = torch.tensor([0.36, 0.22, 0.16], dtype=torch.float64) * (0.25 + 0.9 * light.clamp_min(0)[..., None])
    x, y = placement.millimetres.unbind(-1)
    colour[((x.abs() - 31) / 12) ** 2 + ((y + 2) / 5) ** 2 < 1] = torch.tensor([0.05, 0.04, 0.04]).double()
    colour[(x / 24) ** 2 + ((y + 72) / 9) ** 2 < 1] *= torch.tensor([1.1, 0.5, 0.55]).double()
    colour[~placement.drawn] = 0.2
    grain = torch.from_numpy(np.random.default_rng(1).normal(1, 0.04, (500, 500, 1)))
    return (linear_to_srgb((colour * grain).clamp(0, 1)) * 255).round().to(torch.uint8).numpy()


def test_colour_finds_cloth_and_leaves_bare_skin(placement: Placement, bare_skin: np.ndarray) -> None:
    face = placement.on_chart
    bare = tidy_occluder(colour_occluder(bare_skin, placement), face)
    assert float(bare.sum()) < 0.03 * float(face.sum())
    y = placement.millimetres[..., 1]
    scarf = placement.drawn & (y < -55) & (y > -105)
    covered = bare_skin.copy()
    covered[scarf.numpy()] = (60, 70, 130)
    found = tidy_occluder(colour_occluder(covered, placement), face)
    truth = tidy_occluder(scarf, face)
    assert float((found & truth).sum()) / float((found | truth).sum()) > 0.75


def test_colour_says_nothing_where_nose_and_cheeks_are_hidden(bare_skin: np.ndarray, head: FaceModel) -> None:
    away = build_foundation(
        head,
        torch.zeros(head.identity_dim),
        torch.zeros(head.expression_dim),
        stand(head).rotation,
        torch.tensor([900.0, 0.0, 600.0], dtype=torch.float64),
    )
    assert not bool(colour_occluder(bare_skin, Placement(away, face_chart(head))).any())
