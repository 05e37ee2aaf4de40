"""Files of torch, old and new: the tensors that torch wrote, and no more than that."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pyface3d.errors import InputError
from pyface3d.io.checkpoints import read_checkpoint, read_state_dict
from pyface3d.io.torch_files import Storage, StoredTensor


class Unknown(nn.Module):
    """Stands for a class that the reader does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout())
        self.head = nn.Linear(4, 5)
        self.register_buffer("kept", torch.arange(3, dtype=torch.int16))
        self.register_buffer("not_kept", torch.ones(3), persistent=False)
        self.register_parameter("none", None)


def network() -> Unknown:
    torch.manual_seed(0)
    return Unknown()


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert found[key].dtype == value.dtype and torch.equal(found[key], value), key


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("whole", [True, False], ids=["module", "state dict"])
def test_what_torch_saves_is_read(tmp_path: Path, new: bool, whole: bool) -> None:
    path = tmp_path / "net.pth.tar"
    net = network()
    torch.save(net if whole else net.state_dict(), path, _use_new_zipfile_serialization=new)
    if whole:  # the class is nowhere to be found when the file is read
        path.write_bytes(path.read_bytes().replace(b"test_checkpoints", b"not_a_module_nor"))
    checkpoint = read_checkpoint(path)
    assert checkpoint.format == ("zip" if new else "legacy") and set(checkpoint.state_dicts) == {""}
    assert {key: value.shape for key, value in checkpoint.state_dicts[""].items()} == {
        key: tuple(value.shape) for key, value in net.state_dict().items()
    }
    same(read_state_dict(path), net.state_dict())


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_types_layouts_and_shared_numbers(tmp_path: Path, new: bool) -> None:
    base = torch.arange(24.0)
    state = {
        "transposed": base.reshape(4, 6).T,
        "part": base[5:9],
        "every other": base[1::2],
        "scalar": torch.tensor(3.5, dtype=torch.float64),
        "empty": torch.zeros(0, 3),
        **{str(t): torch.ones(3).to(t) for t in (torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)},
    }
    torch.save(state, tmp_path / "net.pth", _use_new_zipfile_serialization=new)
    found = read_state_dict(tmp_path / "net.pth")
    assert list(found) == list(state)
    for key, value in state.items():
        assert found[key].dtype == value.dtype and torch.equal(found[key], value), key
        assert found[key].is_contiguous()


def test_entries_beside_each_other(tmp_path: Path) -> None:
    net = network()
    optimiser = torch.optim.Adam(net.parameters())
    net.head(torch.rand(1, 4)).sum().backward()
    optimiser.step()
    content = {"epoch": 3, "model": {"a": net.state_dict(), "b": net.head}, "opt": optimiser.state_dict(), "name": "x"}
    torch.save(content, tmp_path / "all.tar")
    checkpoint = read_checkpoint(tmp_path / "all.tar")
    assert set(checkpoint.state_dicts) == {"model.a", "model.b"}
    assert set(checkpoint.others) == {"epoch", "opt", "name"}
    with pytest.raises(InputError, match=r"several state dicts \(model\.a, model\.b\)"):
        read_state_dict(tmp_path / "all.tar")


def test_arrays_in_a_pickle_are_weights_too(tmp_path: Path) -> None:
    weights = {"conv.weight": np.random.default_rng(0).random((2, 3), np.float32), "conv.bias": np.zeros(2, ">f8")}
    (tmp_path / "caffe.pkl").write_bytes(pickle.dumps(weights, 2))
    found = read_state_dict(tmp_path / "caffe.pkl")
    np.testing.assert_array_equal(found["conv.weight"].numpy(), weights["conv.weight"])
    assert found["conv.bias"].dtype == torch.float64


def test_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = {key: value.clone() for key, value in network().state_dict().items()}
    save_file(state, tmp_path / "net.safetensors", metadata={"made": "here"})
    found = read_state_dict(tmp_path / "net.safetensors")
    assert {key: value.tolist() for key, value in found.items()} == {key: v.tolist() for key, v in state.items()}


# ---- a module as torch 0.3 wrote it under Python 2


class _Storage:
    def __init__(self, key: str, values: np.ndarray) -> None:
        self.key, self.values = key, values


class _OldTensor:
    def __init__(self, storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.call = (storage, offset, size, stride)

    def __reduce__(self):
        return torch._utils._rebuild_tensor, self.call


class _OldParameter:
    def __init__(self, data: _OldTensor) -> None:
        self.data = data

    def __reduce__(self):
        return nn.Parameter, (self.data,), (True, False, OrderedDict())


class KitModel:
    """As the translator from Caffe calls every class."""


class _OldPickler(pickle.Pickler):
    """Storages by reference; a class with its source text the first time it comes."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, protocol=2)
        self.told = False

    def persistent_id(self, value):
        if isinstance(value, _Storage):
            return ("storage", torch.FloatStorage, value.key, "cuda:0", len(value.values), None)
        if value is KitModel and not self.told:
            self.told = True
            return ("module", KitModel, "shape_model.py", "class KitModel: ...")
        return None


def test_a_module_of_torch_before_04(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32)
    storage = _Storage("94021", values)
    layer, whole = KitModel(), KitModel()
    parameters = OrderedDict(weight=_OldParameter(_OldTensor(storage, 0, (2, 2), (2, 1))))
    parameters["bias"] = _OldParameter(_OldTensor(storage, 4, (2,), (1,)))
    layer.__dict__ = {"_parameters": parameters, "_buffers": OrderedDict(), "_modules": OrderedDict(), "training": True}
    whole.__dict__ = {"_parameters": OrderedDict(), "_buffers": OrderedDict(), "_modules": OrderedDict(fc_ftnew=layer)}
    stream = io.BytesIO()
    for head in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}):
        pickle.dump(head, stream, protocol=2)
    _OldPickler(stream).dump(whole)
    pickle.dump(["94021"], stream, protocol=2)
    stream.write(struct.pack("<q", 6) + values.tobytes())
    (tmp_path / "shape_model.pth").write_bytes(stream.getvalue())
    found = read_state_dict(tmp_path / "shape_model.pth")
    assert {key: value.tolist() for key, value in found.items()} == {
        "fc_ftnew.weight": [[0.0, 1.0], [2.0, 3.0]],
        "fc_ftnew.bias": [4.0, 5.0],
    }


# ---- what is refused


def saved(content: object, new: bool = True) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=new)
    return stream.getvalue()


def test_missing_empty_and_other_files(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    with pytest.raises(InputError, match=r"cannot read .*net\.pth"):
        read_checkpoint(path)
    for content in (b"", b"not a checkpoint", b"PK\x03\x04", saved({"state_dict": {"a": 3}}), saved([1, 2], new=False)):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"net\.pth"):
            read_checkpoint(path)
    with pytest.raises(InputError, match="cannot read"):
        read_checkpoint(tmp_path)


class _Harmful:
    def __reduce__(self):
        import os

        return os.system, ("touch harmed",)


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_what_a_checkpoint_asks_to_run_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new: bool) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.pth").write_bytes(saved({"weight": torch.ones(3), "more": _Harmful()}, new))
    with pytest.raises(InputError, match=r"asks to run \w+\.system"):
        read_checkpoint(Path("net.pth"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.pth"]


def test_tensors_outside_their_storage_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    huge = torch.ones(1).expand(2**20, 2**20)
    for content in (saved({"a": huge}), saved({"a": huge}, new=False)):
        path.write_bytes(content)
        with pytest.raises(InputError, match="outside its storage"):
            read_checkpoint(path)
    many = torch.ones(50_000)
    path.write_bytes(saved({f"{k}": many[:] for k in range(2_000)}))
    with pytest.raises(InputError, match="would take 381 MiB"):
        read_checkpoint(path)


def test_compressed_archives_are_refused(tmp_path: Path) -> None:
    source = zipfile.ZipFile(io.BytesIO(saved({"a": torch.zeros(1000)})))
    path = tmp_path / "net.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            archive.writestr(name, source.read(name))
    with pytest.raises(InputError, match="compressed"):
        read_checkpoint(path)


def test_damaged_numbers_are_noticed(tmp_path: Path) -> None:
    data = bytearray(saved({"weight": torch.arange(1000.0)}))
    place = data.find(torch.arange(1000.0).numpy().tobytes())
    data[place + 40] ^= 1
    (tmp_path / "net.pth").write_bytes(data)
    with pytest.raises(InputError, match=r"net\.pth: weight: .*checksum"):
        read_state_dict(tmp_path / "net.pth")


def test_modules_that_hold_each_other_end(tmp_path: Path) -> None:
    loop = nn.Module()
    loop._modules["self"] = loop
    doubling = nn.Module()
    for _ in range(60):
        outer = nn.Module()
        outer._modules.update(a=doubling, b=doubling)
        doubling = outer
    for module in (loop, doubling):
        (tmp_path / "net.pth").write_bytes(saved(module))
        with pytest.raises(InputError, match="nested without end"):
            read_checkpoint(tmp_path / "net.pth")


def test_odd_modules_are_read_or_refused(tmp_path: Path) -> None:
    """What a fuzzer found: attributes of a module that are not what torch puts there; sizes beyond any tensor's."""
    odd = nn.Linear(2, 3)
    odd._non_persistent_buffers_set = nn.ReLU()
    odd._buffers["kept"] = torch.ones(3)
    (tmp_path / "net.pth").write_bytes(saved(odd))
    assert set(read_state_dict(tmp_path / "net.pth")) == {"weight", "bias", "kept"}
    huge = StoredTensor((0, 2**62, 2**62), (0, 0, 0), 0, Storage("float32", 0, memoryview(b"")))
    with pytest.raises(InputError, match="cannot be made"):
        huge.read()


VALID = [saved(network()), saved({"epoch": 1, "state_dict": network().state_dict()}, new=False)]


@given(
    data=st.sampled_from(VALID),
    changes=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 300),
)
@settings(deadline=None, max_examples=300)
def test_changed_bytes_give_tensors_or_our_error(tmp_path_factory, data, changes, cut) -> None:
    changed = bytearray(data)
    for place, value in changes:
        changed[place % len(changed)] = value
    path = tmp_path_factory.getbasetemp() / "fuzzed.pth"
    path.write_bytes(changed[: len(changed) - cut] if cut > 200 else changed)
    try:
        for value in read_state_dict(path).values():
            assert value.numel() < 10_000
    except InputError as error:
        assert "fuzzed.pth" in str(error)  # noqa: PT017
