"""Our own model file: what goes in comes out, and what is wrong with a file is said in one sentence."""

from __future__ import annotations

import contextlib
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from pyface3d.errors import AssetError, Pyface3dError
from pyface3d.face_models import LandmarkEmbedding, LinearFaceModel, load_face_model, read_face_model, save_face_model
from pyface3d.ops import Topology


def small_model() -> LinearFaceModel:
    """Two triangles over four vertices, mirrored left and right, with everything a model may have."""
    generator = torch.Generator().manual_seed(0)
    faces = torch.tensor([[0, 2, 1], [1, 2, 3]])
    return LinearFaceModel(
        name="small",
        template=torch.tensor([[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]),
        identity_basis=torch.randn(3, 4, 3, generator=generator).half().float(),
        expression_basis=torch.randn(2, 4, 3, generator=generator).half().float(),
        expression_names=("jawOpen", "cheekPuff"),
        topology=Topology(faces, 4, torch.rand(4, 2, generator=generator), faces),
        mirror=torch.tensor([3, 1, 2, 0]),
        regions={"skin": torch.ones(4, dtype=torch.bool), "nose": torch.tensor([False, True, True, False])},
        card={"licence": "CC0-1.0", "made_by": "a test"},
        embeddings={"ibug68": LandmarkEmbedding(torch.arange(68) % 2, torch.full((68, 3), 1 / 3))},
        contour_candidates=torch.tensor([[0, 1, -1]] * 17),
        albedo_mean=torch.rand(4, 4, 3, generator=generator).half().float(),
        albedo_basis=torch.randn(1, 4, 4, 3, generator=generator).half().float(),
    )


def write(path, tensors, header=None):
    base = {
        "format": "pyface3d face model 1",
        "name": "small",
        "expression_names": json.dumps(["jawOpen", "cheekPuff"]),
        "region_names": json.dumps(["skin", "nose"]),
        "card": json.dumps({"licence": "CC0-1.0"}),
    }
    path.write_bytes(save(tensors, base | (header or {})))


@pytest.fixture
def tensors(tmp_path):
    return load(save_face_model(tmp_path / "small.safetensors", small_model()))


def test_round_trip(tmp_path):
    model = small_model()
    save_face_model(tmp_path / "small.safetensors", model)
    again = load_face_model(tmp_path / "small.safetensors")
    assert again.name == "small" and again.expression_names == model.expression_names and again.card == model.card
    for field in (
        "template",
        "identity_basis",
        "expression_basis",
        "mirror",
        "contour_candidates",
        "albedo_mean",
        "albedo_basis",
    ):
        assert torch.equal(getattr(again, field), getattr(model, field)), field
    assert torch.equal(again.topology.faces, model.topology.faces) and torch.equal(
        again.topology.uvs, model.topology.uvs
    )
    assert all(torch.equal(again.regions[name], mask) for name, mask in model.regions.items())
    torch.testing.assert_close(again.landmarks().barycentrics, model.landmarks().barycentrics)


def test_the_same_model_gives_the_same_bytes(tmp_path):
    first, second = (save_face_model(tmp_path / name, small_model()) for name in ("a.safetensors", "b.safetensors"))
    assert first == second == (tmp_path / "a.safetensors").read_bytes()
    assert int.from_bytes(first[:8], "little") % 8 == 0


def test_optional_parts_may_be_absent(tmp_path, tensors):
    for key in ("uvs", "uv_faces", "contour", "albedo", "albedo_mean", "landmarks.ibug68.faces"):
        del tensors[key]
    write(tmp_path / "bare.safetensors", tensors)
    model = read_face_model(tmp_path / "bare.safetensors")
    assert model.albedo_kind == "none" and model.albedo_dim == 0 and model.topology.uvs is None
    with pytest.raises(Pyface3dError, match="has no contour"):
        model.contour()
    with pytest.raises(Pyface3dError, match="has no albedo"):
        model.albedo(torch.zeros(1, 0))
    with pytest.raises(Pyface3dError, match="it has: none"):
        model.landmarks()


DAMAGE = {
    "tensor 'faces' is missing": lambda t: t.pop("faces"),
    "tensor 'uv_faces' is missing": lambda t: t.pop("uv_faces"),
    "tensor 'albedo' is missing": lambda t: t.pop("albedo"),
    r"template must have shape \(any, 3\), got \(4, 2\)": lambda t: t.update(template=torch.zeros(4, 2)),
    "template must be floating point, got torch.int32": lambda t: t.update(
        template=torch.zeros(4, 3, dtype=torch.int32)
    ),
    "template has no vertices": lambda t: t.update(template=torch.zeros(0, 3)),
    "template holds NaN or infinity": lambda t: t["template"].__setitem__((1, 1), float("nan")),
    "identity holds NaN or infinity": lambda t: t["identity"].__setitem__((0, 1, 1), float("inf")),
    r"identity must have shape \(any, 4, 3\), got \(3, 5, 3\)": lambda t: t.update(identity=torch.zeros(3, 5, 3)),
    r"faces must lie in \[0, 4\), got 1 to 4": lambda t: t["faces"].__setitem__((0, 0), 4),
    r"faces must lie in \[0, 4\), got -1 to 3": lambda t: t["faces"].__setitem__((0, 0), -1),
    "faces must be int32 or int64, got torch.float32": lambda t: t.update(faces=t["faces"].float()),
    r"uv_faces must lie in \[0, 4\)": lambda t: t["uv_faces"].__setitem__((0, 0), 9),
    "mirror is not its own inverse": lambda t: t.update(mirror=torch.tensor([1, 2, 3, 0]).int()),
    r"regions must be bool of shape \(R, 4\), got torch.uint8": lambda t: t.update(regions=t["regions"].byte()),
    r"landmarks.ibug68.faces must lie in \[0, 2\), got 0 to 2": lambda t: t["landmarks.ibug68.faces"].__setitem__(5, 2),
    "barycentrics must be non-negative and sum to one": lambda t: t["landmarks.ibug68.barycentrics"].mul_(2),
    r"contour must lie in \[-1, 4\)": lambda t: t["contour"].__setitem__((3, 1), 77),
    "contour has a row without candidates": lambda t: t["contour"].__setitem__((3, 0), -1),
    "albedo_mean must have shape": lambda t: t.update(albedo_mean=torch.zeros(5, 3)),
    "expression_names must list 3 different names": lambda t: t.update(expression=torch.zeros(3, 4, 3)),
}


@pytest.mark.parametrize("message", DAMAGE)
def test_damage_is_named(tmp_path, tensors, message):
    DAMAGE[message](tensors)
    path = tmp_path / "broken.safetensors"
    write(path, tensors)
    with pytest.raises(AssetError, match=message) as caught:
        read_face_model(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"format": "something else"}, "is not a face model of pyface3d"),
        ({"expression_names": "[1, 2]"}, "expression_names must list 2 different names"),
        ({"region_names": '["skin", "skin"]'}, "region_names must list 2 different names"),
        ({"card": "{"}, "card in its header is not JSON"),
        ({"card": "3"}, "its card is not a table"),
    ],
)
def test_bad_headers_are_named(tmp_path, tensors, header, message):
    write(tmp_path / "broken.safetensors", tensors, header)
    with pytest.raises(AssetError, match=message):
        read_face_model(tmp_path / "broken.safetensors")


def test_files_that_are_no_models(tmp_path):
    for name, content in {"empty": b"", "text": b"hello world, not a model", "huge": b"\xff" * 64}.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(AssetError, match="is not a safetensors file"):
            read_face_model(path)
    with pytest.raises(AssetError, match="cannot read the face model"):
        read_face_model(tmp_path / "missing.safetensors")


@settings(max_examples=60, deadline=None)
@given(cut=st.floats(0.0, 1.0), position=st.floats(0.0, 1.0), value=st.integers(0, 255))
def test_a_truncated_or_changed_file_raises_only_our_error(tmp_path_factory, cut, position, value):
    path = tmp_path_factory.mktemp("fuzz") / "model.safetensors"
    content = bytearray(save_face_model(path, small_model()))
    content[int(position * (len(content) - 1))] = value
    path.write_bytes(content[: int(cut * len(content))] if cut < 0.5 else content)
    with contextlib.suppress(AssetError):
        read_face_model(path)
