"""A mask of what is seen steers landmarks, pixels and texture; the masks here are drawn, so their truth is known."""

from __future__ import annotations

import pytest
import torch

from pyface3d.errors import InputError
from pyface3d.evaluate.textured_heads import textured_photo
from pyface3d.fit.hidden_points import visible_shares, widened
from pyface3d.fit.inliers import inlier_probability
from pyface3d.fit.texture import SOURCE_OBSERVED, build_texture
from pyface3d.fit.texture_areas import face_areas
from pyface3d.fit.texture_chart import texel_grid

SIZE = 256


def landmarks() -> torch.Tensor:
    """68 points of a face 100 px wide about (100, 100): jaw on a half circle, the rest inside."""
    angle = torch.linspace(torch.pi, 0, 17)
    points = torch.full((68, 2), 100.0)
    points[:17] = 100 + 50 * torch.stack([torch.cos(angle), torch.sin(angle)], 1)
    points[17:] += torch.linspace(-20, 20, 51)[:, None] * torch.tensor([1.0, 0.0])
    points[30] = 100.0
    return points


def test_visible_shares_by_hand() -> None:
    y, x = torch.meshgrid(torch.arange(200) + 0.5, torch.arange(200) + 0.5, indexing="ij")
    disc = (x - 100) ** 2 + (y - 100) ** 2 < 50**2
    points = landmarks()
    shares = visible_shares(points, disc)
    assert shares[:17].min() > 0.7  # the jaw is on the edge of what is seen, and still seen
    assert shares[17:].min() == 1
    half = disc & (x < 100)
    shares = visible_shares(points, half)
    assert shares[0] > 0.7 and shares[16] == 0
    assert shares[30] == pytest.approx(0.5, abs=0.1)  # the edge goes through it
    assert (visible_shares(points + 500, disc) == 0).all()
    assert (visible_shares(points, torch.zeros(200, 200)) == 0).all()
    torch.testing.assert_close(visible_shares(points, torch.full((200, 200), 0.25))[20:40], torch.full((20,), 0.25))


def test_hidden_landmarks_count_half() -> None:
    sigma, points = torch.linspace(1, 3, 68), landmarks()
    torch.testing.assert_close(widened(sigma, points, torch.ones(200, 200)), sigma)
    torch.testing.assert_close(widened(sigma, points, torch.zeros(200, 200)), 2 * sigma)


def test_what_is_known_beats_a_colour_that_fits() -> None:
    """A hand of the face's own colour: no misfit tells it, the mask does; and a misfit still tells what masks miss."""
    square = torch.zeros(24, 24)
    square[:8] = 100.0
    everywhere = torch.ones(24, 24, dtype=torch.bool)
    known = torch.ones(24, 24)
    known[:, 12:] = 0
    belief = inlier_probability(square, 3.0, torch.ones(24, 24), everywhere, everywhere, known)
    assert (belief[10:, :10] > 0.95).all()
    assert (belief[:, 14:] < 0.05).all()
    assert (belief[:6, :10] < 0.5).all()


@pytest.fixture(scope="module")
def behind_a_hand(head):
    """A person and an occluder in the skin's own colour, which colours cannot tell from the face."""
    generator = torch.Generator().manual_seed(11)
    first = textured_photo(head, generator, texture_size=SIZE, occluded=False, yaw=0.1)
    tone = first.image[first.head].median(0).values
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 64)] * 2, indexing="ij")
    hand = tone * (1 + 0.08 * torch.sin(9 * x + 5 * y))[..., None]
    cut_out = hand.clamp(0, 1), ((x**2 + y**2) < 0.9).float()
    generator = torch.Generator().manual_seed(11)
    return textured_photo(head, generator, texture_size=SIZE, occluder=cut_out, yaw=0.1)


def behind(head, photo) -> torch.Tensor:
    """Vertices of the face whose picture lies on the occluder, (V,)."""
    spots = photo.fit.verts_image(head)[0]
    columns, rows = spots[:, 0].long(), spots[:, 1].long()
    return photo.occluder[rows, columns] & (face_areas(head).face > 0.5)


def test_nothing_behind_a_hand_is_called_observed(head, behind_a_hand) -> None:
    photo = behind_a_hand
    hidden = behind(head, photo)
    assert hidden.sum() > 50
    by_colour = build_texture(head, photo.image, photo.fit, size=SIZE)
    assert (by_colour.source[hidden] == SOURCE_OBSERVED).float().mean() > 0.2  # what the mask is for
    mask = (photo.head & ~photo.occluder).float()
    told = build_texture(head, photo.image, photo.fit, mask=mask, size=SIZE)
    assert not (told.source[hidden] == SOURCE_OBSERVED).any()
    assert (told.confidence[hidden] < 1).all()
    assert not told.face_mask[photo.occluder].any()
    grid = texel_grid(head, SIZE)
    on_hand = grid.from_verts(hidden.float()[:, None])[..., 0] > 0.9
    assert told.observed[on_hand].max() < 0.05
    core = grid.from_verts(face_areas(head).core[:, None])[..., 0] > 0.5
    assert told.observed[core].mean() > 0.1  # what is in sight is still used


def test_a_mask_is_all_that_decides(head, behind_a_hand) -> None:
    """A shade that colours would refuse is used where the mask says face."""
    photo = behind_a_hand
    image = photo.image.clone()
    spots = photo.fit.verts_image(head)[0]
    nose = spots[face_areas(head).nose, :2].mean(0).long().tolist()
    patch = torch.zeros_like(photo.head)
    patch[nose[1] - 14 : nose[1] + 14, nose[0] - 14 : nose[0] + 14] = True
    image[patch] = torch.tensor([0.02, 0.6, 0.05])
    told = build_texture(head, image, photo.fit, mask=photo.head, size=SIZE)
    inner = torch.zeros_like(patch)
    inner[nose[1] - 8 : nose[1] + 8, nose[0] - 8 : nose[0] + 8] = True
    assert told.face_mask[inner].all()
    assert not build_texture(head, image, photo.fit, size=SIZE).face_mask[inner].any()


def test_probabilities_out_of_range_are_refused(head, behind_a_hand) -> None:
    photo = behind_a_hand
    with pytest.raises(InputError, match="from 0 to 1"):
        build_texture(head, photo.image, photo.fit, mask=photo.head.float() * 2, size=SIZE)
    with pytest.raises(InputError, match="mask must be bool or floating-point"):
        build_texture(head, photo.image, photo.fit, mask=photo.head.int(), size=SIZE)
