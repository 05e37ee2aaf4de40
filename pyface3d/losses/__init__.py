"""Losses: pure functions of predictions and truth. Where a mask is given, only its elements count."""

from pyface3d.losses.binary import binary_loss
from pyface3d.losses.coefficients import asymmetric_loss, coefficient_loss, vertex_gram, vertex_loss
from pyface3d.losses.points import distance_loss, gaussian_nll, shape_loss
from pyface3d.losses.reduction import masked_mean
from pyface3d.losses.relief import height_normals, normal_angle_loss, relief_loss, relief_slope_loss
from pyface3d.losses.rotations import chordal_loss, rotation_angle
from pyface3d.losses.segmentation import class_loss, near_borders, overlap_loss

__all__ = [
    "asymmetric_loss",
    "binary_loss",
    "chordal_loss",
    "class_loss",
    "coefficient_loss",
    "distance_loss",
    "gaussian_nll",
    "height_normals",
    "masked_mean",
    "near_borders",
    "normal_angle_loss",
    "overlap_loss",
    "relief_loss",
    "relief_slope_loss",
    "rotation_angle",
    "shape_loss",
    "vertex_gram",
    "vertex_loss",
]
