"""Relief along the crop's axis, and the face under whatever covers it: what the networks of Extreme 3D Faces learn."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pyface3d.data.synthetic import views
from pyface3d.data.synthetic.engine import SyntheticFaces, _axial_relief
from pyface3d.detect.crops import extreme3d_crop
from pyface3d.errors import InputError
from pyface3d.geometry import rotation_from_euler


def leaning(angle: float) -> torch.Tensor:
    """A normal of a surface before an OpenCV camera, turned so far about its y axis."""
    return torch.tensor([math.sin(angle), 0.0, -math.cos(angle)])


def rendered(normals: torch.Tensor, turned: float = 0.0) -> SimpleNamespace:
    """One row of pixels 2 mm high, in a crop whose middle is seen under the angle ``turned``."""
    zero = torch.zeros(1)
    seen = rotation_from_euler(zero, zero, zero)
    ray = torch.tensor([[math.sin(turned), 0.0, math.cos(turned)]])
    rotation = views.rotation_to_ray(ray[:, :2] / ray[:, 2:]) @ seen
    maps = {"relief": torch.full((1, 1, len(normals)), 2.0), "smooth_normals": normals[None, None]}
    return SimpleNamespace(views=SimpleNamespace(rotation=rotation, seen=seen), pictures=SimpleNamespace(maps=maps))


def test_a_plane_raised_along_its_normal_is_met_later_on_a_slant():
    """2 mm along the normal are 2 / cos along the axis: 2 facing it, 4 at 60 degrees, at most 8 at the edge."""
    angles = (0.0, math.pi / 3, -math.pi / 3, 0.49 * math.pi)
    normals = torch.stack([leaning(angle) for angle in angles])
    found = _axial_relief(rendered(normals))[0, 0]
    assert found.tolist() == pytest.approx([2.0, 4.0, 4.0, 8.0], rel=1e-5)


def test_the_axis_goes_through_the_middle_of_the_crop():
    """A surface that faces the camera in a crop 20 degrees off the optical axis leans by 20 degrees in the camera."""
    facing = leaning(-math.radians(20))
    found = _axial_relief(rendered(torch.stack([facing, leaning(0.0)]), math.radians(20)))[0, 0]
    assert found.tolist() == pytest.approx([2.0, 2 / math.cos(math.radians(20))], rel=1e-5)


def faces(occluders: bool, shots: int = 1) -> SyntheticFaces:
    return SyntheticFaces(
        None, 64, 3, shots=shots, empty=0.0, company=False, occluders=occluders, framing=views.EXTREME3D
    )


def test_the_face_is_known_under_occluders():
    maps = ("axial_relief", "face", "occluder", "relief")
    free, covered = (faces(on).batch(0, 8, maps) for on in (False, True))
    assert torch.equal(free.maps["face"], covered.maps["face"])
    torch.testing.assert_close(free.maps["axial_relief"], covered.maps["axial_relief"])
    assert bool((covered.maps["occluder"] & covered.maps["face"]).any())
    face, ratio = free.maps["face"], free.maps["axial_relief"].abs() / free.maps["relief"].abs().clamp_min(1e-6)
    inner = face & (free.maps["relief"].abs() > 0.02)
    assert float((ratio[inner] > 0.99).float().mean()) > 0.95  # pixels are means of relief up and down
    assert 1.0 < float(ratio[inner].median()) < 2.0
    assert 0.05 < float(face.float().mean()) < 0.5
    with pytest.raises(InputError, match="shots=1"):
        faces(False, shots=2).batch(0, 65, ("axial_relief",))


def test_crops_are_those_of_extreme_3d_faces():
    """The crop cut about the labelled points of a sample is the sample, but for the drawn jitter."""
    points = faces(False).batch(0, 8).points68.numpy()
    for one in points:
        crop = extreme3d_crop(one, whole_pixels=False)
        assert abs(64 * crop.scale / 500 - 1) < 0.12
        middle = crop.to_crop(np.array([[32.0, 32.0]]))[0]
        assert np.abs(middle - 250).max() < 30
