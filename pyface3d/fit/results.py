"""What a fit returns: coefficients, pose and camera of every photo, and how well they explain it."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import Tensor

from pyface3d.geometry import Camera

if TYPE_CHECKING:
    from pyface3d.face_models import FaceModel


@dataclass(frozen=True)
class FaceFit:
    """Pose and shape of B faces.

    Attributes:
        identity: (B, I) in σ units; equal rows where photos share one person.
        expression: (B, E), in [0, 1] for facial actions.
        rotation: model frame to camera frame, (B, 3, 3).
        translation: position of the model's origin in the camera frame, mm, (B, 3).
        camera: B cameras of the photos, in pixels of the photos.
    """

    identity: Tensor
    expression: Tensor
    rotation: Tensor
    translation: Tensor
    camera: Camera

    def __len__(self) -> int:
        return len(self.identity)

    def verts(self, model: "FaceModel") -> Tensor:
        """Vertices in the model frame, (B, V, 3) mm."""
        return model.vertices(self.identity, self.expression)

    def verts_camera(self, model: "FaceModel") -> Tensor:
        """Vertices in the camera frame, (B, V, 3) mm."""
        return self.verts(model) @ self.rotation.transpose(-1, -2) + self.translation[:, None]

    def verts_image(self, model: "FaceModel") -> Tensor:
        """Vertices in the photo: u px, v px, depth mm, (B, V, 3)."""
        return self.camera.project(self.verts_camera(model))


@dataclass(frozen=True)
class DenseLandmarks:
    """What our network knows of B faces beyond the 68 landmarks; only for models that have its dense points.

    Attributes:
        points: the dense points in the photos, px, (B, D, 2).
        sigma: their σ, px, (B, D); large where they are hidden.
        identity, expression: coefficients, (B, I) and (B, E): where a fit starts and what its priors are centred on.
            None leaves both at zero.
    """

    points: Tensor
    sigma: Tensor
    identity: Tensor | None = None
    expression: Tensor | None = None

    def to(self, like: Tensor) -> "DenseLandmarks":
        """In the dtype and on the device of ``like``."""
        values = (self.points, self.sigma, self.identity, self.expression)
        return DenseLandmarks(*(None if value is None else value.detach().to(like) for value in values))  # type: ignore[arg-type]

    def shifted(self, offset: Tensor) -> "DenseLandmarks":
        """The same in a photo whose pixels are counted from ``-offset`` (2,) px."""
        return replace(self, points=self.points + offset)


@dataclass(frozen=True)
class LandmarkFit(FaceFit):
    """A fit to 68 landmarks.

    Attributes:
        points: the fitted landmarks in the photo, px, (B, 68, 2).
        sigma: σ that each landmark had in the fit, the floor included and unused ones huge, px, (B, 68).
        given: the landmarks that were fitted, px, (B, 68, 2).
        contour: the model vertex behind each of the 17 jaw points in this pose, (B, 17) int64.
        inlier_weight: how far the robust loss believed each landmark, in (0, 1], (B, 68).
        residual_sigma: root mean square distance from the given landmarks in units of their σ, (B,).
        residual_percent: mean distance from the given landmarks in % of the outer eye corners' distance
            in space, projected at the face's depth (so that a profile does not shrink it), (B,).
        converged: whether the step fell under the tolerance, (B,) bool.
        iterations: accepted and rejected steps of the last stage, (B,) int64.
        dense: the dense points that were fitted too, with the σ they had in the fit; None where none were.
    """

    points: Tensor
    sigma: Tensor
    given: Tensor
    contour: Tensor
    inlier_weight: Tensor
    residual_sigma: Tensor
    residual_percent: Tensor
    converged: Tensor
    iterations: Tensor
    dense: DenseLandmarks | None = None


@dataclass(frozen=True)
class PhotometricFit(FaceFit):
    """A fit to pixels.

    Attributes:
        light: spherical harmonics of the light, linear RGB, (B, 9, 3), in the camera frame.
        albedo: albedo coefficients in σ units, (B, A).
        inliers: pixels of the photo that the model explains as this face, (B, H, W) bool; False off the face.
        points: the fitted landmarks in the photo, px, (B, 68, 2).
        residual: robust photometric error over the inliers, linear RGB, (B,).
        iterations: number of parameter updates.
    """

    light: Tensor
    albedo: Tensor
    inliers: Tensor
    points: Tensor
    residual: Tensor
    iterations: int
