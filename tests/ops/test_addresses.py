"""Arrays of more than 2^31 numbers. Their memory is promised by the system, and only the pages that are touched exist;
an index that is cut to 32 bits reads another page, or none.
"""

import mmap
import sys

import pytest
import torch
from cuda_emulation.emulation import install
from torch import Tensor

from pyface3d.ops import Fragments, Topology, face_normals, interpolate, sample_texture

_MAP_NORESERVE = 0x4000  # of Linux; Python names it from 3.13 on


@pytest.fixture(params=["cpu", "cuda-emulated"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "cuda-emulated":
        monkeypatch.setattr(install(monkeypatch), "checks", False)  # a record of every number would be too much


def vast(*shape: int) -> Tensor:
    """Zeros without memory."""
    if sys.platform != "linux":
        pytest.skip("needs memory that is promised only")
    numbers = torch.Size(shape).numel()
    assert numbers > 2**31
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    return torch.frombuffer(mmap.mmap(-1, 4 * numbers, flags=flags), dtype=torch.float32).reshape(shape)


def test_attributes(kernels):
    vertices, channels = 2**23, 300
    attributes = vast(vertices, channels)
    rows = torch.rand(3, channels, generator=torch.Generator().manual_seed(0))
    attributes[-3:] = rows
    topology = Topology(torch.tensor([[vertices - 3, vertices - 2, vertices - 1]]), vertices)
    weights = torch.tensor([0.2, 0.3, 0.5])
    fragments = Fragments(torch.zeros(1, 1, 1, dtype=torch.int32), weights.reshape(1, 1, 1, 3), torch.ones(1, 1, 1))
    torch.testing.assert_close(interpolate(attributes, fragments, topology)[0, 0, 0], weights @ rows)


def test_texels(kernels):
    texture = vast(1, 32768, 32768, 3)
    colour = torch.tensor([0.1, 0.2, 0.3])
    texture[0, -1, -1] = colour
    last = torch.full((1, 1, 1, 2), 32767.5 / 32768)
    for filter in ("nearest", "bilinear"):
        torch.testing.assert_close(sample_texture(texture, last, filter)[0, 0, 0], colour)


def test_vertices(kernels):
    vertices = 800_000_000
    verts = vast(1, vertices, 3)
    verts[0, -2, 0] = 1
    verts[0, -1, 1] = 1
    topology = Topology(torch.tensor([[vertices - 3, vertices - 2, vertices - 1]]), vertices)
    assert torch.equal(face_normals(verts, topology), torch.tensor([[[0.0, 0.0, 1.0]]]))
