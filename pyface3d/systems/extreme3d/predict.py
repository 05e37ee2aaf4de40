"""What the published networks of Extreme 3D Faces say of a photo: shape coefficients, relief and face mask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyface3d.convert.checkpoints import load_network
from pyface3d.detect.crops import Crop, extreme3d_crop
from pyface3d.detect.relief import ReliefPrediction
from pyface3d.errors import AssetError, InputError
from pyface3d.face_models import FaceModel
from pyface3d.geometry.bump_maps import (
    CROP_SIZE,
    ORIGINAL_GAIN,
    ZERO_LEVEL,
    crop_of_map,
    levels_from_relief,
    map_of_crop,
    mask_levels,
    relief_from_output,
)
from pyface3d.io.atomic import atomic_file
from pyface3d.io.images import write_png
from pyface3d.networks.extreme3d import BumpNet, ShapeRegressor, bump_input, shape_input
from pyface3d.networks.published import ORIGINALS
from pyface3d.systems.extreme3d.foundation import HALF_PIXEL
from pyface3d.systems.extreme3d.geometry_only import Case
from pyface3d.systems.extreme3d.relief import Relief


@dataclass(frozen=True, eq=False)
class Extreme3dNetworks:
    """The two networks in evaluation mode; ``shape`` is None where its weights are not at hand."""

    bump: BumpNet
    shape: ShapeRegressor | None = None

    def gives_identity_of(self, model: FaceModel) -> bool:
        """Whether the shape network is at hand and its coefficients are those of ``model``."""
        return self.shape is not None and model.identity_dim == self.shape.shapes

    @torch.inference_mode()
    def relief(self, crop: NDArray[np.uint8], gain: float = ORIGINAL_GAIN) -> Relief:
        """Relief in mm and mask of a crop (500, 500, 3), sRGB; no rounding to levels on the way."""
        mask, bump = self.bump(bump_input(self._picture(crop)))
        millimetres = relief_from_output(crop_of_map(bump[0, 0]).double().cpu(), gain)
        levels = mask_levels(crop_of_map(mask[0, 0]).double().cpu().numpy())
        return Relief(millimetres.clone(), torch.from_numpy(levels))

    @torch.inference_mode()
    def coefficients(self, crop: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """Shape and texture coefficients, σ units, of a crop (500, 500, 3).

        (99,) each of the Basel Face Model by the published weights; what else the network was trained for.

        Raises:
            AssetError: the weights of the shape network are not at hand.
        """
        if self.shape is None:
            raise AssetError(f"no shape coefficients: {_where('extreme3d_shape')}; or fit the identity to landmarks")
        answer = self.shape(shape_input(self._picture(crop)))[0].double().cpu()
        return answer[: self.shape.shapes].clone(), answer[self.shape.shapes :].clone()

    def predict(self, image: NDArray[np.uint8], points: NDArray[np.floating], head: object = None) -> ReliefPrediction:
        """Relief of a face with landmarks (68, 2) px, as our own network gives it: for a chart of any head.

        What it calls height along the camera's axis counts as height along the normal: the two are nearly the same
        where a face is looked at from the front, and the network knows no other. ``head`` is not needed.
        """
        crop = extreme3d_crop(points)
        relief = self.relief(crop.warp(image))
        return ReliefPrediction(torch.where(relief.inside, relief.mm, 0.0).float().numpy(), crop)

    def _picture(self, crop: NDArray[np.uint8]) -> Tensor:
        if crop.shape != (CROP_SIZE, CROP_SIZE, 3) or crop.dtype != np.uint8:
            raise InputError(f"crop must be uint8 ({CROP_SIZE}, {CROP_SIZE}, 3), got {crop.dtype} {crop.shape}")
        device = next(self.bump.parameters()).device
        return torch.from_numpy(np.ascontiguousarray(crop)).to(device).permute(2, 0, 1)[None].float() / 255


def read_networks(folder: Path, device: str = "cpu") -> Extreme3dNetworks:
    """The networks from a folder with converted weights, or with the published files.

    Args:
        folder: holds ``extreme3d_bump_generator.safetensors`` or ``ckpt_109_grad.pth.tar``; and, for coefficients,
            ``extreme3d_shape.safetensors`` or ``shape_model.pth`` with ``shape_mean.npz``.
        device: where to compute.

    Raises:
        AssetError: there is no bump network, or a file is not what it is called.
        InputError: a file cannot be read.
    """
    bump, shape = (_find(folder, name) for name in ("extreme3d_bump_generator", "extreme3d_shape"))
    if bump is None:
        raise AssetError(f"{folder} holds no weights of the bump network: {_where('extreme3d_bump_generator')}")
    return Extreme3dNetworks(
        cast(BumpNet, load_network(bump, "extreme3d_bump_generator").to(device)),
        None if shape is None else cast(ShapeRegressor, load_network(shape, "extreme3d_shape").to(device)),
    )


def _find(folder: Path, name: str) -> Path | None:
    names = (f"{name}.safetensors", *ORIGINALS[name].files)
    return next((folder / file for file in names if (folder / file).is_file()), None)


def _where(name: str) -> str:
    original = ORIGINALS[name]
    return (
        f"get {original.files[0]} ({original.source}; {original.licence}) and run "
        f"'pyface3d convert checkpoint {original.files[0]} FOLDER'"
    )


def predict_case(
    stem: str, image: NDArray[np.uint8], landmarks: NDArray[np.floating], networks: Extreme3dNetworks
) -> tuple[Case, Crop]:
    """Everything that the geometry needs of one face.

    Args:
        stem: its name.
        image: (H, W, 3) uint8 sRGB.
        landmarks: (68, 2) px of the picture.

    Returns:
        The case in the pixels of the crop, and the crop. Coefficients are None without the shape network.
    """
    crop = extreme3d_crop(landmarks)
    picture = crop.warp(image)
    alpha = None if networks.shape is None else networks.coefficients(picture)[0]
    points = torch.from_numpy(crop.to_crop(landmarks))
    return Case(stem, picture, points, alpha, networks.relief(picture)), crop


def write_case(folder: Path, case: Case, gain: float = ORIGINAL_GAIN) -> None:
    """The files that the published program leaves between its networks and its geometry; `read_case` reads them.

    ``imgs/<stem>.png`` and ``.pts``, ``shape/<stem>.ply.alpha``, ``bump/<stem>_bump.png`` and ``_mask.png``: relief is
    rounded to a level, at most 0.053 mm, and is none outside the crop.

    Raises:
        OutputError: a file cannot be written.
    """
    bump = map_of_crop(levels_from_relief(case.relief.mm.numpy(), gain), int(ZERO_LEVEL))
    mask = map_of_crop(case.relief.mask.numpy(), 0)
    write_png(folder / "imgs" / f"{case.stem}.png", case.image)
    points = case.landmarks.double() - HALF_PIXEL
    _write_lines(folder / "imgs" / f"{case.stem}.pts", [f"{x:.9g} {y:.9g}" for x, y in points.tolist()])
    if case.alpha is not None:
        _write_lines(folder / "shape" / f"{case.stem}.ply.alpha", [f"{value:.9g}" for value in case.alpha.tolist()])
    write_png(folder / "bump" / f"{case.stem}_mask.png", mask)
    write_png(folder / "bump" / f"{case.stem}_bump.png", bump)


def _write_lines(path: Path, lines: list[str]) -> None:
    with atomic_file(path) as stream:
        stream.write("".join(f"{line}\n" for line in lines).encode())
