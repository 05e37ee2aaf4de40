"""Relief of a fitted face by shading alone, in the place of a network's."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from pyface3d.detect.crops import Crop, Points
from pyface3d.detect.faces import check_image
from pyface3d.detect.parts import has_part_network, load_part_predictor
from pyface3d.detect.relief import ReliefPrediction, relief_crop
from pyface3d.errors import InputError
from pyface3d.fit.shape_from_shading import ShadedSurface, relief_from_shading
from pyface3d.fit.skin import Floats
from pyface3d.fit.texture_areas import FaceAreas
from pyface3d.geometry import Camera
from pyface3d.io.color import srgb_to_linear
from pyface3d.ops import Topology, interpolate, rasterize, vertex_normals
from pyface3d.part_labels import FacePart

SIZE = 320
"""Side of the square in pixels of about 0.8 mm."""
_GRAZING, _FACING = 0.25, 0.5  # cosines: skin turned away more than the first says nothing, less than the second all
_RIM = 0.006  # of the side: skin so near to something else is not used, as borders of masks are off by a few pixels


@dataclass(frozen=True, eq=False)
class PosedHead:
    """A head as it stands in a picture.

    Attributes:
        verts_camera: (V, 3) mm, camera frame.
        camera: of the picture, B = 1.
        topology: its surface.
        areas: of the face model (`fit.texture_areas.face_areas`).
        visible: where the picture shows the face, (H, W) bool; None: wherever nothing else says it does not.
    """

    verts_camera: torch.Tensor
    camera: Camera
    topology: Topology
    areas: FaceAreas
    visible: NDArray[np.bool_] | None = None


class ShadingRelief:
    """Shape from shading on a fitted head, see `fit.shape_from_shading`; no weights, no state from picture to picture.

    Bare skin is what the part network calls skin and nose; where it is not installed, what the head has there without
    brows, lips and lids, as far as its colour is the face's.

    Args:
        device: where the part network runs.
        size: S, the square's side in pixels.
    """

    def __init__(self, device: str = "cpu", size: int = SIZE) -> None:
        self.device, self.size = device, size

    def predict(self, image: NDArray[np.uint8], points: Points, head: PosedHead | None = None) -> ReliefPrediction:
        """Relief of one face of a picture.

        Args:
            image: (H, W, 3) uint8, sRGB.
            points: its 68 landmarks (68, 2) px.
            head: what was fitted to it.

        Raises:
            InputError: the image or the landmarks cannot be used, there is no head, or its picture has another size.
        """
        check_image(image)
        if head is None:
            raise InputError("relief from shading needs the fitted head; it cannot be told from the picture alone")
        size = head.camera.height, head.camera.width
        if image.shape[:2] != size:
            raise InputError(f"image must be the {size[0]} x {size[1]} picture of the head's camera, got {image.shape}")
        crop = relief_crop(points, self.size)
        relief = relief_from_shading(self._surface(image, points, head, crop))
        return ReliefPrediction(relief, crop)

    def _surface(self, image: NDArray[np.uint8], points: Points, head: PosedHead, crop: Crop) -> ShadedSurface:
        verts = head.verts_camera.float().cpu()
        normals, areas = vertex_normals(verts[None], head.topology)[0], head.areas
        projected = head.camera.to(torch.float32).project(verts[None])[0]
        matrix = torch.from_numpy(crop.matrix.astype(np.float32))
        flat = torch.cat([projected[:, :2] @ matrix[:, :2].T + matrix[:, 2], projected[:, 2:]], 1)
        shown = rasterize(flat[None], head.topology, crop.height, crop.width)
        networked = has_part_network()
        painted = areas.nostrils if networked else areas.nostrils | areas.brows | areas.lips | areas.lids
        bare = (areas.skin * ~painted)[:, None]
        maps = interpolate(torch.cat([verts, normals, bare], 1)[None], shown, head.topology)[0]
        positions, normal = maps[..., :3], functional.normalize(maps[..., 3:6], dim=-1)
        skin = (maps[..., 6] > 0.5).numpy()
        if networked:
            (said,) = load_part_predictor(self.device).predict(image, [points])
            skin &= crop.warp(said.probability([FacePart.SKIN, FacePart.NOSE], *image.shape[:2])) > 0.5
        if head.visible is not None:
            skin &= crop.warp(head.visible.astype(np.float32)) > 0.5
        weight = skin_weight(skin, positions.numpy(), normal.numpy())
        pixels = srgb_to_linear(torch.from_numpy(crop.warp(image)))
        return ShadedSurface(pixels.numpy(), positions.numpy(), normal.numpy(), weight)


def skin_weight(skin: NDArray[np.bool_], positions: NDArray[np.float32], normals: NDArray[np.float32]) -> Floats:
    """How far pixels (H, W) of bare skin count for shading, in [0, 1]: less where turned away, and not at the rim.

    Args:
        skin: (H, W).
        positions, normals: (H, W, 3), mm and unit, camera frame.
    """
    away = np.maximum(np.linalg.norm(positions, axis=-1), 1e-6)
    facing = -(normals * positions).sum(-1) / away
    steep = np.clip((facing - _GRAZING) / (_FACING - _GRAZING), 0, 1)
    reach = max(round(_RIM * skin.shape[1]), 1)
    inner = cv2.erode(skin.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8), borderValue=0)
    return np.asarray(inner * steep, np.float32)
