"""The completed texture on photos whose truth is known."""

from dataclasses import replace

import pytest
import torch

from pyface3d.errors import InputError
from pyface3d.evaluate.textured_heads import TexturedPhoto, textured_photo
from pyface3d.fit.texture import SOURCE_MIRRORED, SOURCE_OBSERVED, SOURCE_PRIOR, build_texture
from pyface3d.fit.texture_areas import face_areas
from pyface3d.fit.texture_chart import texel_grid
from pyface3d.io.color import linear_to_srgb

SIZE = 256
GREEN = torch.tensor([0.02, 0.6, 0.05])


def photo_of(head, seed: int = 3, **options) -> TexturedPhoto:
    generator = torch.Generator().manual_seed(seed)
    return textured_photo(head, generator, texture_size=SIZE, **options)


def levels(first: torch.Tensor, second: torch.Tensor) -> float:
    """Root mean square difference as displayed, of 255."""
    return 255 * float(((linear_to_srgb(first) - linear_to_srgb(second)) ** 2).mean().sqrt())


def green_disc() -> tuple[torch.Tensor, torch.Tensor]:
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 64)] * 2, indexing="ij")
    return GREEN.expand(64, 64, 3), ((x**2 + y**2) < 0.9).float()


@pytest.fixture(scope="module")
def clear(head):
    """A photo without occluder from the front, and its texture."""
    photo = photo_of(head, occluded=False, yaw=0.1)
    return photo, build_texture(head, photo.image, photo.fit, size=SIZE)


@pytest.fixture(scope="module")
def half_hidden(head):
    photo = photo_of(head, occluder=green_disc(), yaw=0.1)
    return photo, build_texture(head, photo.image, photo.fit, size=SIZE)


def seen_skin(head, texture) -> torch.Tensor:
    skin = texel_grid(head, SIZE).from_verts(face_areas(head).core[:, None])[..., 0] > 0.3
    return skin & (texture.observed > 0.95)


def test_seen_texels_are_the_photos(head, clear):
    photo, texture = clear
    seen = seen_skin(head, texture)
    assert seen.float().mean() > 0.08
    # The sensor's noise is 3 levels; the rest is interpolation.
    assert levels(texture.image[seen], photo.texture[seen]) < 5.0


def test_unseen_skin_is_nearer_to_the_truth_than_one_skin_colour(head, clear):
    photo, texture = clear
    skin = texel_grid(head, SIZE).from_verts(face_areas(head).core[:, None])[..., 0] > 0.3
    unseen = skin & (texture.observed < 0.05)
    assert unseen.sum() > 100
    one_color = photo.image[photo.head].median(0).values.expand_as(photo.texture)
    ours = levels(texture.image[unseen], photo.texture[unseen])
    assert ours < 0.7 * levels(one_color[unseen], photo.texture[unseen])


def test_no_colour_of_an_occluder_is_painted(head, half_hidden):
    photo, texture = half_hidden
    assert photo.occluder.sum() > 1000
    skin = texel_grid(head, SIZE).from_verts(head.regions["skin"].float()[:, None])[..., 0] > 0.99
    greener = texture.image[..., 1] / texture.image[..., 0].clamp_min(0.01)
    assert greener[skin].max() < greener.new_tensor(1.1)
    # Smoothing along edges may let its outermost pixels through; erosion keeps them off the texture.
    assert photo.occluder[texture.face_mask].float().mean() < 0.02


def test_hidden_vertices_are_not_called_observed(head, half_hidden):
    photo, texture = half_hidden
    spots = photo.fit.verts_image(head)[0]
    columns, rows = spots[:, 0].long(), spots[:, 1].long()
    hidden = photo.occluder[rows, columns]
    assert hidden.sum() > 50
    assert not (texture.source[hidden] == SOURCE_OBSERVED).any()
    assert (texture.source == SOURCE_OBSERVED).sum() > 100


def test_edges_of_the_mask_are_eroded(head, half_hidden):
    """No texel that lands within 3 px of a pixel that was not trusted is taken from the photo."""
    photo, texture = half_hidden
    spots = texel_grid(head, SIZE).from_verts(photo.fit.verts_image(head)[0])[..., :2]
    used = spots[texture.observed > 0.02]
    untrusted = (~texture.face_mask).nonzero().flip(1) + 0.5
    nearest = torch.stack([torch.cdist(part, untrusted.float()).amin(1).amin() for part in used.split(2000)]).amin()
    # From a texel to the nearest untrusted pixel's middle: 3 px to its edge, less bilinear sampling of the distance.
    assert nearest > 3.0


def test_known_mask_is_respected(head, clear):
    photo, _ = clear
    mask = torch.ones(photo.image.shape[:2], dtype=torch.bool)
    mask[:, : photo.image.shape[1] // 2] = False
    texture = build_texture(head, photo.image, photo.fit, mask=mask, size=SIZE)
    spots = photo.fit.verts_image(head)[0]
    outside = spots[:, 0] < photo.image.shape[1] // 2
    assert not (texture.source[outside] == SOURCE_OBSERVED).any()
    assert (texture.source == SOURCE_MIRRORED).sum() > 100
    assert not texture.face_mask[~mask].any()


def test_mirrored_side_repeats_the_seen_one(head, clear):
    """In a light from the front, detail on the filled side is the mirror image of the seen side's."""
    photo, _ = clear
    even = replace(photo, image=photo.image)
    mask = torch.ones(even.image.shape[:2], dtype=torch.bool)
    spots = even.fit.verts_image(head)[0]
    middle = int(spots[face_areas(head).nose, 0].mean())
    mask[:, :middle] = False
    texture = build_texture(head, even.image, even.fit, mask=mask, size=SIZE)
    filled = texture.mirrored > 0.95
    assert filled.sum() > 500
    grid = texel_grid(head, SIZE)
    partner = (grid.mirror_uvs[filled] * SIZE).long().clamp(0, SIZE - 1)
    source = texture.image[partner[:, 1], partner[:, 0]]
    made = texture.image[filled]
    # One light on both sides would make them equal; the light's slope leaves a smooth factor.
    ratio = torch.log(made + 0.01) - torch.log(source + 0.01)
    assert (ratio - ratio.median(0).values).abs().median() < 0.12
    correlation = torch.corrcoef(torch.stack([made.mean(1), source.mean(1)]))[0, 1]
    assert correlation > 0.8


def test_nothing_trusted_gives_the_model(head, clear):
    photo, _ = clear
    mask = torch.zeros(photo.image.shape[:2], dtype=torch.bool)
    texture = build_texture(head, torch.zeros_like(photo.image), photo.fit, mask=mask, size=SIZE)
    assert (texture.observed == 0).all()
    assert (texture.source == SOURCE_PRIOR).all()
    assert (texture.confidence == 0).all()
    assert not texture.face_mask.any()


def test_face_outside_the_photo_gives_the_albedo_model(head, clear):
    photo, _ = clear
    away = replace(photo.fit, translation=photo.fit.translation + torch.tensor([[2000.0, 0, 0]]))
    texture = build_texture(head, photo.image, away, size=SIZE)
    albedo = head.albedo(torch.zeros(1, head.albedo_dim)).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(albedo, size=(SIZE, SIZE), mode="bilinear", antialias=True)[0]
    covered = texel_grid(head, SIZE).covered
    torch.testing.assert_close(texture.image[covered], expected.permute(1, 2, 0)[covered].clamp(0, 1))
    assert (texture.source == SOURCE_PRIOR).all()


@pytest.mark.parametrize("kind", ["clear", "half_hidden"])
def test_everything_is_a_colour_and_a_share(kind, request):
    _, texture = request.getfixturevalue(kind)
    for tensor in (texture.image, texture.observed, texture.mirrored, texture.confidence):
        assert tensor.isfinite().all()
        assert tensor.min() >= 0 and tensor.max() <= 1
    assert (texture.observed + texture.mirrored).max() <= 1 + 1e-5
    assert texture.source.dtype == torch.uint8
    assert ((texture.confidence > 0) == (texture.source > 0)).all()


def test_confidence_is_lower_where_borrowed(half_hidden):
    _, texture = half_hidden
    own = texture.confidence[texture.source == SOURCE_OBSERVED].mean()
    assert texture.confidence[texture.source == SOURCE_MIRRORED].mean() < 0.7 * own


def test_same_input_same_bits(head, half_hidden):
    photo, texture = half_hidden
    again = build_texture(head, photo.image, photo.fit, size=SIZE)
    assert torch.equal(again.image, texture.image)
    assert torch.equal(again.source, texture.source)


def test_landmarks_pull_the_photo_into_place(head):
    """A fit that is 4 px off paints the wrong texels; the detected landmarks put them right."""
    photo = photo_of(head, occluded=False, yaw=0.1)
    truth = head.landmarks().points(photo.fit.verts_camera(head), head.topology)
    points = photo.fit.camera.project(truth)[0, :, :2]
    shift = torch.tensor([[4.0 / float(photo.fit.camera.focal) * 900, 0.0, 0.0]])
    moved = replace(photo.fit, translation=photo.fit.translation + shift)
    object.__setattr__(moved, "points", points[None] + torch.tensor([4.0, 0.0]))  # as a LandmarkFit reports them
    wrong = build_texture(head, photo.image, moved, size=SIZE)
    right = build_texture(head, photo.image, moved, points=points, size=SIZE)
    seen = (wrong.observed > 0.9) & (right.observed > 0.9)
    assert levels(right.image[seen], photo.texture[seen]) < 0.75 * levels(wrong.image[seen], photo.texture[seen])


def test_grey_photo_gives_a_grey_head(head, clear):
    photo, _ = clear
    grey = photo.image.mean(-1, keepdim=True).expand_as(photo.image).contiguous()
    texture = build_texture(head, grey, photo.fit, size=SIZE)
    assert (texture.image.amax(-1) - texture.image.amin(-1)).max() < 0.03


def test_large_photo_costs_no_more_texels(head):
    photo = photo_of(head, size=1200, occluded=False, yaw=0.1)
    texture = build_texture(head, photo.image, photo.fit, size=SIZE)
    assert texture.image.shape == (SIZE, SIZE, 3)
    assert texture.face_mask.shape == (1200, 1200)
    seen = seen_skin(head, texture)
    assert levels(texture.image[seen], photo.texture[seen]) < 5.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_linear": torch.zeros(8, 8)}, "image_linear must have shape"),
        ({"image_linear": torch.zeros(8, 8, 3, dtype=torch.uint8)}, "image_linear must be a floating-point"),
        ({"image_linear": torch.full((320, 320, 3), float("nan"))}, "image_linear must be finite"),
        ({"image_linear": torch.zeros(8, 8, 3)}, "fit's camera sees 320 x 320"),
        ({"points": torch.zeros(5, 2)}, "points must have shape"),
        ({"mask": torch.ones(320, 320, dtype=torch.int64)}, "mask must be bool"),
        ({"mask": torch.ones(8, 8, dtype=torch.bool)}, "mask must be bool or floating-point of shape"),
        ({"size": 3}, "size must be from"),
    ],
)
def test_wrong_arguments_are_named(head, clear, change, message):
    photo, _ = clear
    arguments = {"image_linear": photo.image, "fit": photo.fit, "size": SIZE, **change}
    with pytest.raises(InputError, match=message):
        build_texture(head, arguments.pop("image_linear"), arguments.pop("fit"), **arguments)
