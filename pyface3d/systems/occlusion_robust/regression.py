"""A photo's face by the regressor: aligned by five points, regressed, decoded, and brought back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray

from pyface3d.convert.checkpoints import load_network
from pyface3d.detect.crops import Points, alignment_points
from pyface3d.errors import AssetError, InputError
from pyface3d.networks.or3d import Or3dRegressor, regressor_input
from pyface3d.systems.occlusion_robust.alignment import FivePointAlignment
from pyface3d.systems.occlusion_robust.coefficients import FaceCoefficients
from pyface3d.systems.occlusion_robust.face import FaceDecoder, PosedFace, published_landmarks


@dataclass(frozen=True, eq=False)
class RegressedFace:
    """One face of one photo.

    Attributes:
        alignment: of the crop that was looked at.
        coefficients: of the face, batch of one.
        face: what they stand for, in the crop.
        landmarks: the 68 points (68, 2) px of the photo; exact, not clamped to the crop.
    """

    alignment: FivePointAlignment
    coefficients: FaceCoefficients
    face: PosedFace
    landmarks: NDArray[np.float64]

    @property
    def published_landmarks(self) -> NDArray[np.float64]:
        """The same by the published bookkeeping: clamped to the crop, counted from its last row, edges in whole px."""
        crop_points = published_landmarks(self.face.landmarks[0]).double().cpu().numpy()
        return self.alignment.published_to_image(crop_points) + 0.5


class FaceRegression:
    """The regressor with the face model that its coefficients are of.

    Args:
        network: takes pictures of 0…1 (`load_regressor`).
        decoder: of a model with as many components.

    Raises:
        InputError: the model has other numbers of components than the network answers with.
    """

    def __init__(self, network: Or3dRegressor, decoder: FaceDecoder) -> None:
        answers = sum(network.heads.values())
        if answers != decoder.layout.total:
            raise InputError(
                f"the regressor gives {answers} coefficients but the face model {decoder.model.name!r} has "
                f"{decoder.layout.total}; use the model it was trained with (bfm_front for the published ones)"
            )
        self._network, self._decoder = network.eval(), decoder

    @torch.inference_mode()
    def regress(self, image: NDArray[np.uint8], points5: Points) -> RegressedFace:
        """The face about five points (5, 2) px of a photo (H, W, 3) uint8 sRGB, see `FivePointAlignment.of`.

        Raises:
            InputError: the points are no face's.
        """
        alignment = FivePointAlignment.of(points5, image.shape[1], image.shape[0])
        device = self._network.conv1.weight.device
        answers = self._network(regressor_input(alignment.crop.warp(image)[None]).to(device))
        coefficients = self._decoder.layout.split(answers.cpu())
        face = self._decoder.decode(coefficients)
        landmarks = alignment.crop.to_image(face.landmarks[0].double().numpy())
        return RegressedFace(alignment, coefficients, face, landmarks)


def protocol_points(landmarks: Points) -> NDArray[np.float64]:
    """Five points (5, 2) px of 68 true ones as the published AFLW2000-3D runs take them: eyes in whole pixels, cut."""
    five = alignment_points(np.asarray(landmarks, np.float64) - 0.5)
    five[:2] = np.floor(five[:2])
    return five + 0.5


def load_regressor(path: Path, pictures: Literal["unit", "bytes"] | None = None) -> Or3dRegressor:
    """The regressor of a published or converted file, in evaluation mode, for pictures of 0…1.

    Args:
        path: ``trained_weights_occ_3d.pth``, ``th_model_params.pth``, ``reg_*.pth``, or what became of them.
        pictures: what the weights were made for, 0…1 or 0…255; told from their statistics when left out.

    Raises:
        InputError, AssetError: the file cannot be read, is of another network, or holds what is not finite.
    """
    network = cast(Or3dRegressor, load_network(path, "or3d_regressor"))
    if not all(bool(value.isfinite().all()) for value in network.state_dict().values()):
        raise AssetError(f"{path} holds weights that are not finite; get the file again")
    if network.expects_bytes if pictures is None else pictures == "bytes":
        network.take_unit_pictures()
    return network
