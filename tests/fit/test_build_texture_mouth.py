"""The inside of a smiling mouth: teeth from the photo, no occluder on them, no teeth on the lips."""

from dataclasses import replace

import pytest
import torch

from pyface3d.evaluate.textured_heads import TexturedPhoto, textured_photo
from pyface3d.fit.texture import build_texture
from pyface3d.fit.texture_areas import face_areas
from pyface3d.fit.texture_chart import texel_grid
from pyface3d.fit.texture_mouth import MouthTexels, teeth_only, tooth_score
from pyface3d.ops import interpolate, rasterize

SIZE = 512
ENAMEL = torch.tensor([0.80, 0.78, 0.70])
OCCLUDERS = {
    "black": torch.tensor([0.004, 0.004, 0.005]),
    "blue": torch.tensor([0.05, 0.15, 0.7]),
    "white": torch.tensor([0.8, 0.8, 0.82]),
}


@pytest.fixture(scope="module")
def smiling(head) -> TexturedPhoto:
    """A smile from the front; where the mesh shows teeth the photo has enamel of one known colour."""
    actions = {"mouthSmile": 0.7, "mouthUpperUp": 0.9, "mouthLowerDown": 0.5}
    expression = torch.zeros(1, head.expression_dim)
    for name, value in [(name + side, value) for name, value in actions.items() for side in ("Left", "Right")]:
        expression[0, head.expression_names.index(name)] = value
    generator = torch.Generator().manual_seed(5)
    photo = textured_photo(head, generator, size=480, texture_size=SIZE, yaw=0.1, expression=expression, occluded=False)
    teeth = shown(head, photo, head.regions["teeth"]) > 0.5
    assert teeth.sum() > 200
    return replace(photo, image=torch.where(teeth[..., None], ENAMEL, photo.image))


def shown(head, photo: TexturedPhoto, verts: torch.Tensor) -> torch.Tensor:
    """How much of each pixel of the photo is of ``verts``, (H, W)."""
    fragments = rasterize(photo.fit.verts_image(head), head.topology, *photo.image.shape[:2])
    return interpolate(verts.float()[:, None], fragments, head.topology)[0, ..., 0]


def with_disc(head, photo: TexturedPhoto, color: torch.Tensor) -> TexturedPhoto:
    """The photo with an opaque disc of one colour over mouth and chin."""
    lips = photo.fit.verts_image(head)[0, face_areas(head).lips, :2]
    y, x = torch.meshgrid(*[torch.arange(photo.image.shape[0]) + 0.5] * 2, indexing="ij")
    middle, radius = lips.mean(0), 0.75 * (lips[:, 0].max() - lips[:, 0].min())
    disc = (x - middle[0]) ** 2 + (y - middle[1]) ** 2 < radius**2
    return replace(photo, image=torch.where(disc[..., None], color, photo.image), occluder=disc)


def texels(head, name: str) -> torch.Tensor:
    return texel_grid(head, SIZE).from_verts(head.regions[name].float()[:, None])[..., 0] > 0.5


def mean_albedo(head) -> torch.Tensor:
    """The model's own colours, (S, S, 3)."""
    albedo = head.albedo(torch.zeros(1, head.albedo_dim)).permute(0, 3, 1, 2)
    return torch.nn.functional.interpolate(albedo, size=(SIZE, SIZE), mode="bilinear")[0].permute(1, 2, 0)


def front_crowns(head) -> torch.Tensor:
    """Texels of the incisors' enamel, (S, S) bool."""
    grid = texel_grid(head, SIZE)
    verts = head.vertices(torch.zeros(1, head.identity_dim), torch.zeros(1, head.expression_dim))[0]
    near = grid.from_verts(verts[:, :1])[..., 0].abs() < 14  # mm from the middle
    return texels(head, "upper_teeth") & near & (mean_albedo(head).mean(-1) > 0.4)


def in_sight(head, photo: TexturedPhoto) -> torch.Tensor:
    """Texels of the upper teeth that the camera sees, (S, S) bool, but for those beside the lips' edges."""
    grid = texel_grid(head, SIZE)
    fragments = rasterize(photo.fit.verts_image(head), head.topology, *photo.image.shape[:2])
    at = grid.from_verts(photo.fit.verts_image(head)[0])
    columns, rows = (at[..., k].long().clamp(0, photo.image.shape[0] - 1) for k in (0, 1))
    teeth = shown(head, photo, head.regions["teeth"]) > 0.5
    eroded = -torch.nn.functional.max_pool2d(-teeth.float()[None], 3, 1, 1)[0] > 0.5
    same_depth = (fragments.depth[0][rows, columns] - at[..., 2]).abs() < 2.0
    return texels(head, "upper_teeth") & eroded[rows, columns] & same_depth


def test_teeth_that_the_photo_shows_are_taken_from_it(head, smiling):
    texture = build_texture(head, smiling.image, smiling.fit, size=SIZE)
    seen = in_sight(head, smiling)
    assert seen.sum() > 100
    assert (texture.observed[seen] > 0.9).float().mean() > 0.8
    torch.testing.assert_close(texture.image[seen].median(0).values, ENAMEL, atol=0.03, rtol=0)


def test_teeth_are_no_hole_in_the_face(head, smiling):
    texture = build_texture(head, smiling.image, smiling.fit, size=SIZE)
    teeth = shown(head, smiling, head.regions["teeth"]) > 0.5
    assert texture.face_mask[teeth].float().mean() > 0.98


def test_unseen_teeth_go_on_in_the_colour_of_the_seen_ones(head, smiling):
    yellow = torch.tensor([0.75, 0.66, 0.40])
    teeth = shown(head, smiling, head.regions["teeth"]) > 0.5
    photo = torch.where(teeth[..., None], yellow, smiling.image)
    texture = build_texture(head, photo, smiling.fit, size=SIZE)
    unseen = texels(head, "lower_teeth") & (texture.observed < 0.05)
    albedo = mean_albedo(head)
    bright = unseen & (albedo.mean(-1) > 0.45)
    assert bright.sum() > 100
    blue_to_red = lambda color: float((color[..., 2] / color[..., 0]).median())  # noqa: E731
    assert blue_to_red(texture.image[bright]) < 0.85 * blue_to_red(albedo[bright])
    assert texture.image[bright].mean() > 0.6 * yellow.mean()


@pytest.mark.parametrize("name", OCCLUDERS)
def test_teeth_behind_an_occluder_are_teeth(head, smiling, name):
    photo = with_disc(head, smiling, OCCLUDERS[name])
    texture = build_texture(head, photo.image, photo.fit, size=SIZE)
    teeth = texels(head, "teeth")
    assert texture.observed[teeth].max() < 0.02
    skin = texel_grid(head, SIZE).from_verts(face_areas(head).core[:, None])[..., 0] > 0.5
    frontal = texture.image[skin & (texture.observed > 0.9)].median(0).values
    crowns = texture.image[front_crowns(head)].median(0).values
    luminance = torch.tensor([0.2126, 0.7152, 0.0722])  # ITU-R BT.709
    assert crowns @ luminance > 0.9 * (frontal @ luminance)
    assert crowns[0] >= crowns[2]  # enamel, not the disc
    assert crowns[1] / crowns[0] > frontal[1] / frontal[0]  # nor skin


def test_back_teeth_are_darker_and_the_cavity_is_dark(head, smiling):
    texture = build_texture(head, smiling.image, smiling.fit, size=SIZE)
    verts = head.vertices(torch.zeros(1, head.identity_dim), torch.zeros(1, head.expression_dim))[0]
    grid = texel_grid(head, SIZE)
    back = texels(head, "upper_teeth") & (grid.from_verts(verts[:, :1])[..., 0].abs() > 24)
    brightness = texture.image.mean(-1)
    assert brightness[back].median() < 0.6 * brightness[front_crowns(head)].median()
    skin = brightness[(texture.observed > 0.9) & (grid.from_verts(face_areas(head).core[:, None])[..., 0] > 0.5)]
    for name in ("mouth_bag", "tongue"):
        inside = texels(head, name)
        assert texture.observed[inside].max() == 0
        assert texture.mirrored[inside].max() == 0
        assert brightness[inside].quantile(0.95) < 0.5 * skin.median()


@pytest.mark.parametrize("pixels", [-3, 3])
def test_misplaced_fit_paints_neither_lips_on_teeth_nor_teeth_on_lips(head, smiling, pixels):
    """A fit that is 3 px too high or too low: teeth fall on one lip, the other lip on teeth."""
    pixel = float(smiling.fit.translation[0, 2] / smiling.fit.camera.focal)
    moved = replace(smiling.fit, translation=smiling.fit.translation + torch.tensor([[0.0, pixels * pixel, 0.0]]))
    texture = build_texture(head, smiling.image, moved, size=SIZE)
    crowns = texture.image[in_sight(head, replace(smiling, fit=moved))]
    reddest = (crowns[:, 1] / crowns[:, 0]).quantile(0.1)
    skin = smiling.image[shown(head, smiling, face_areas(head).core > 0.5) > 0.9].median(0).values
    assert reddest > skin[1] / skin[0]
    lips = texel_grid(head, SIZE).from_verts(face_areas(head).lips.float()[:, None])[..., 0] > 0.9
    enamel = (texture.image[lips] - ENAMEL).abs().amax(1) < 0.1
    assert enamel.float().mean() < 0.01


@pytest.mark.parametrize("skin", [[0.75, 0.5, 0.38], [0.12, 0.06, 0.035]], ids=["pale", "dark"])
def test_score_tells_teeth_from_skin_lips_and_shade(skin):
    light = torch.tensor([0.9, 0.8, 0.65])
    tone = torch.log(torch.tensor(skin) * light)
    score = lambda color: float(tooth_score(torch.log(torch.tensor(color) * light), tone))  # noqa: E731
    assert score([0.5, 0.46, 0.38]) > 0.7
    assert score([0.95 * channel for channel in skin]) < 0.2
    assert score([skin[0] * 0.9, skin[1] * 0.6, skin[2] * 0.6]) < 0  # lips
    assert score([0.003, 0.002, 0.002]) < 0.2


def test_grey_photo_keeps_bright_teeth():
    ones = torch.ones(1, 3)
    mouth = MouthTexels(teeth=ones, cavity=0 * ones, lips=0 * ones, depth=0 * ones)
    photo = torch.tensor([0.6, 0.4, 0.1])[None, :, None].expand(1, 3, 3)
    kept = teeth_only(mouth, photo, ones, torch.log(torch.full((3,), 0.4)), grey=True)
    assert kept[0, 0] == 1 and kept[0, 1] > 0.9 and kept[0, 2] == 0
