"""Changes of rendered samples keep labels and picture together."""

from dataclasses import replace

import numpy as np
import torch
from conftest import DotSampler

from pyface3d.face_models import load_face_model
from pyface3d.face_models.dense_points import dense_points
from pyface3d.geometry import rotation_from_euler
from pyface3d.geometry.rotations import frontal_rotation
from pyface3d.train.points.changes import Changes, change_samples, mirror_samples
from pyface3d.train.points.samples import Samples, render_samples

NONE = Changes(*[0.0] * 7)


def with_marks(count: int = 6, size: int = 64) -> Samples:
    """Samples that show three of their points as coloured squares, on black."""
    samples = render_samples(DotSampler(size), 0, count)
    image = torch.zeros_like(samples.image)
    rng = np.random.default_rng(0)
    points = samples.points.clone()
    for b in range(count):
        for channel, index in enumerate((0, 30, 200)):
            x, y = rng.integers(20, size - 20, 2)
            image[b, channel, y - 1 : y + 2, x - 1 : x + 2] = 255
            points[b, index] = torch.tensor([x + 0.5, y + 0.5]) / size
    return replace(samples, image=image, points=points)


def centers(image: torch.Tensor) -> torch.Tensor:
    """Centroid of each channel (B, 3, 2) in fractions of the side."""
    size = image.shape[-1]
    axis = (torch.arange(size) + 0.5) / size
    mass = image.float().sum((2, 3))
    x = (image.float().sum(2) * axis).sum(-1) / mass
    y = (image.float().sum(3) * axis).sum(-1) / mass
    return torch.stack([x, y], -1)


def test_turning_shifting_zooming_moves_points_with_the_picture(tables):
    samples = with_marks()
    strong = replace(NONE, turned=0.4, shifted=0.05, zoomed=0.1)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        plain = replace(samples, image=samples.image)
        image, changed = change_samples(plain, tables.mirror, rng, strong)
        # _recolour draws contrast and brightness; the background is then not black: the squares are its brightest.
        marks = (image - image.amin((2, 3), keepdim=True)) > 0.3 * (
            image.amax((2, 3), keepdim=True) - image.amin((2, 3), keepdim=True)
        )
        found, wanted = centers(marks), changed.points[:, [0, 30, 200]]
        inside = ((wanted > 0.06) & (wanted < 0.94)).all(-1)
        assert inside.sum() > 10
        assert ((found - wanted)[inside].abs() * 64).max() < 0.75


def test_turning_turns_the_head_about_the_viewing_ray(tables):
    """A head turned by the labels projects (orthographically) to points turned with the picture."""
    model = load_face_model("head")
    verts = model.vertices(torch.zeros(1, 70), torch.zeros(1, 52))[0, ::15][:320]
    rotation = rotation_from_euler(torch.tensor([0.5]), torch.tensor([0.2]), torch.tensor([0.1]))
    samples = render_samples(DotSampler(64), 0, 1)
    flat = (verts @ rotation[0].T)[:, :2] / 300 + 0.5
    points = torch.cat([samples.points[:, :68], flat[None]], 1)
    samples = replace(samples, points=points, rotation=rotation)
    _, changed = change_samples(samples, tables.mirror, np.random.default_rng(3), replace(NONE, turned=0.5))
    expected = (verts @ changed.rotation[0].T)[:, :2] / 300 + 0.5
    torch.testing.assert_close(changed.points[0, 68:], expected, atol=1e-5, rtol=0)
    assert (changed.rotation - rotation).abs().max() > 0.05


def test_mirrored_labels_are_those_of_the_mirrored_head(tables):
    """Coefficients, rotation and points of a mirrored crop belong together: rendering the labels gives its points."""
    model = load_face_model("head")
    torch.manual_seed(0)
    count = 5
    samples = render_samples(DotSampler(64), 0, count)
    identity, expression = torch.randn(count, 70), torch.rand(count, 52) * (torch.rand(count, 52) < 0.3)
    angles = torch.randn(3, count) * 0.4
    rotation = rotation_from_euler(*angles)
    embedding = dense_points(model)

    def dense(identity, expression, rotation):
        points = embedding.points(model.vertices(identity, expression), model.topology)
        return (points @ rotation.mT)[..., :2] / 300 + 0.5

    points = torch.cat([samples.points[:, :68], dense(identity, expression, rotation)], 1)
    samples = replace(samples, points=points, identity=identity, expression=expression, rotation=rotation)
    flip = torch.tensor([True, False, True, True, False])
    mirrored = mirror_samples(samples, tables.mirror, flip)
    again = dense(mirrored.identity, mirrored.expression, mirrored.rotation)
    torch.testing.assert_close(mirrored.points[:, 68:], again, atol=1e-4, rtol=0)
    assert torch.equal(mirrored.image[0], samples.image[0].flip(2))
    assert torch.equal(mirrored.image[1], samples.image[1])
    assert torch.equal(mirrored.visible[0, 68:], samples.visible[0, 68:][tables.mirror.points[68:] - 68])
    twice = mirror_samples(mirrored, tables.mirror, flip)
    for name in ("points", "rotation", "identity", "expression", "visible", "image"):
        torch.testing.assert_close(getattr(twice, name), getattr(samples, name), atol=1e-6, rtol=0)


def test_mirrored_landmarks_change_sides(tables):
    samples = render_samples(DotSampler(64), 0, 2)
    mirrored = mirror_samples(samples, tables.mirror, torch.tensor([True, True]))
    for left, right in ((36, 45), (0, 16), (48, 54), (30, 30)):
        torch.testing.assert_close(mirrored.points[:, left, 0], 1 - samples.points[:, right, 0])
        torch.testing.assert_close(mirrored.points[:, left, 1], samples.points[:, right, 1])
    frontal = replace(samples, rotation=frontal_rotation(samples.rotation).expand(2, 3, 3))
    assert torch.equal(mirror_samples(frontal, tables.mirror, torch.tensor([True, True])).rotation, frontal.rotation)


def test_covered_points_are_not_visible_and_nothing_else_changes(tables):
    samples = render_samples(DotSampler(64), 0, 32)
    samples = replace(samples, visible=torch.ones_like(samples.visible))
    plain, same = change_samples(samples, tables.mirror, np.random.default_rng(0), NONE)
    covered, changed = change_samples(samples, tables.mirror, np.random.default_rng(0), replace(NONE, covered=1.0))
    assert torch.equal(changed.points, same.points)
    hidden = ~changed.visible & same.visible
    assert 0.05 < hidden.float().mean() < 0.6
    pixels = (samples.points * 64).long().clamp(0, 63)
    touched = (covered - plain).abs().amax(1) > 0
    at_points = touched[torch.arange(32)[:, None], pixels[..., 1], pixels[..., 0]]
    assert not (at_points & ~hidden)[:, 68:].float().mean() > 0.05  # only pixels that the patch's edge cuts


def test_changes_follow_from_the_generator_alone(tables):
    samples = render_samples(DotSampler(64), 0, 4)
    runs = [change_samples(samples, tables.mirror, np.random.default_rng(seed), Changes()) for seed in (1, 1, 2)]
    assert torch.equal(runs[0][0], runs[1][0]) and torch.equal(runs[0][1].points, runs[1][1].points)
    assert not torch.equal(runs[0][0], runs[2][0])
    assert runs[0][0].min() >= 0 and runs[0][0].max() <= 1
