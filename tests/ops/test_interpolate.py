"""interpolate: against a slow twin; its gradient; its edges."""

import pytest
import torch
from raster_oracles import random_scene, slow_interpolate

from pyface3d.ops import Fragments, Topology, interpolate, rasterize

SIZE = (9, 13)


def rasterized(dtype, device="cpu", batch=2):
    verts, topology = random_scene(7, dtype, device, batch)
    return rasterize(verts, topology, *SIZE, cull="none"), topology


def random_attributes(shape, dtype, device="cpu"):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(device, dtype)


@pytest.mark.parametrize("channels", [1, 3, 4, 17, 130])
@pytest.mark.parametrize("shared", [False, True])
def test_agrees_with_the_definition(device, dtype, channels, shared):
    fragments, topology = rasterized(dtype, device)
    shape = (topology.num_verts, channels) if shared else (2, topology.num_verts, channels)
    attributes = random_attributes(shape, dtype, device)
    found = interpolate(attributes, fragments, topology)
    on_cpu = Fragments(*(part.cpu() for part in fragments))
    torch.testing.assert_close(found.cpu(), slow_interpolate(attributes.cpu(), on_cpu, topology.to("cpu")))
    assert fragments.mask.any()
    assert (found[~fragments.mask] == 0).all()


def test_depth_is_the_interpolated_depth(device, dtype):
    verts, topology = random_scene(7, dtype, device)
    fragments = rasterize(verts, topology, *SIZE, cull="none")
    torch.testing.assert_close(interpolate(verts[..., 2:], fragments, topology)[..., 0], fragments.depth)


@pytest.mark.parametrize("shared", [False, True])
def test_gradient(device, shared):
    fragments, topology = rasterized(torch.float64, device)
    shape = (topology.num_verts, 5) if shared else (2, topology.num_verts, 5)
    attributes = random_attributes(shape, torch.float64, device).requires_grad_()
    barycentrics = fragments.barycentrics.clone().requires_grad_()

    def values(a, b):
        return interpolate(a, fragments._replace(barycentrics=b), topology)

    # Empty pixels have no weights to differentiate by: the kernel answers 0 there, and so do differences.
    nondet = 1e-9 if device == "cuda" else 0.0
    assert torch.autograd.gradcheck(values, (attributes, barycentrics), nondet_tol=nondet)
    assert torch.autograd.gradcheck(lambda a: values(a, barycentrics.detach()), attributes, nondet_tol=nondet)
    assert torch.autograd.gradcheck(lambda b: values(attributes.detach(), b), barycentrics, nondet_tol=nondet)


def test_gradient_through_the_rasteriser(device):
    verts, topology = random_scene(7, torch.float64, device)
    attributes = random_attributes((2, topology.num_verts, 3), torch.float64, device).requires_grad_()

    def picture(v, a):
        return interpolate(a, rasterize(v, topology, *SIZE, cull="none"), topology)

    nondet = 1e-9 if device == "cuda" else 0.0
    assert torch.autograd.gradcheck(picture, (verts.requires_grad_(), attributes), nondet_tol=nondet)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("channels", [3, 40])
def test_threads_change_no_bit(dtype, shared, channels):
    verts, topology = random_scene(7, dtype, batch=3)
    fragments = rasterize(verts * 20, topology, 180, 260, cull="none")
    shape = (topology.num_verts, channels) if shared else (3, topology.num_verts, channels)
    weights = random_attributes((3, 180, 260, channels), dtype)
    results = []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            attributes = random_attributes(shape, dtype).requires_grad_()
            barycentrics = fragments.barycentrics.clone().requires_grad_()
            values = interpolate(attributes, fragments._replace(barycentrics=barycentrics), topology)
            (values * weights).sum().backward()
            results.append([values, attributes.grad, barycentrics.grad])
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize(
    ("batch", "channels", "height", "faces"), [(0, 3, 4, 3), (2, 0, 4, 3), (2, 3, 0, 3), (2, 3, 4, 0)]
)
def test_empty(device, dtype, batch, channels, height, faces):
    verts, topology = random_scene(0, dtype, device)
    topology = Topology(topology.faces[:faces], topology.num_verts)
    fragments = rasterize(verts[:batch], topology, height, 5)
    for shape in ((batch, topology.num_verts, channels), (topology.num_verts, channels)):
        attributes = random_attributes(shape, dtype, device).requires_grad_()
        values = interpolate(attributes, fragments, topology)
        assert values.shape == (batch, height, 5, channels)
        values.sum().backward()
        assert attributes.grad.shape == attributes.shape
        assert torch.isfinite(attributes.grad).all()


def test_inputs_need_not_be_contiguous(device, dtype):
    fragments, topology = rasterized(dtype, device)
    attributes = random_attributes((2, 3, topology.num_verts), dtype, device).transpose(1, 2)
    weights = random_attributes((3, *SIZE, 2), dtype, device).permute(3, 1, 2, 0)
    results = []
    for dense in (attributes, attributes.contiguous()):
        leaf = dense.detach().requires_grad_()
        values = interpolate(leaf, fragments, topology)
        results.append((values, *torch.autograd.grad((values * weights).sum(), leaf)))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-6 if device == "cuda" else 0)


def test_registration(device):
    fragments, topology = rasterized(torch.float64, device)
    attributes = random_attributes((2, topology.num_verts, 3), torch.float64, device).requires_grad_()
    barycentrics = fragments.barycentrics.clone().requires_grad_()
    torch.library.opcheck(
        torch.ops.pyface3d.interpolate.default, (attributes, topology.faces, fragments.face_index, barycentrics)
    )


def test_wrong_arguments():
    fragments, topology = rasterized(torch.float32)
    with pytest.raises(ValueError, match="attributes must have shape"):
        interpolate(torch.rand(2, topology.num_verts + 1, 3), fragments, topology)
    with pytest.raises(ValueError, match="attributes must have shape"):
        interpolate(torch.rand(3, topology.num_verts, 3), fragments, topology)
    with pytest.raises(TypeError, match="barycentrics is"):
        interpolate(torch.rand(2, topology.num_verts, 3, dtype=torch.float64), fragments, topology)
    with pytest.raises(TypeError, match="float32 or float64"):
        interpolate(torch.zeros(2, topology.num_verts, 3, dtype=torch.int64), fragments, topology)
