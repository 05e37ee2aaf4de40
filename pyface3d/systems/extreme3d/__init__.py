"""Extreme 3D Faces without its networks: each stage a pure function of the ones before.

`fit_pose` and `build_foundation` make the foundation; `build_dense`, `look`, `complete_face`, `register_pixels` and
`merge_layers`, which `run_stages` calls in turn, add the relief and complete what the picture does not show.
`geometry_only` reads and writes files.
"""

from pyface3d.systems.extreme3d.foundation import Foundation, build_foundation, crop_camera
from pyface3d.systems.extreme3d.merge import FinalFace, merge_layers
from pyface3d.systems.extreme3d.pose import PoseFit, fit_pose
from pyface3d.systems.extreme3d.registration import Registration, register_pixels
from pyface3d.systems.extreme3d.relief import DenseFace, Relief, build_dense, hide_occluders
from pyface3d.systems.extreme3d.stages import STAGES, Stages, run_stages
from pyface3d.systems.extreme3d.symmetry import CompletedFace, complete_face
from pyface3d.systems.extreme3d.visibility import Visibility, look

__all__ = [
    "STAGES",
    "CompletedFace",
    "DenseFace",
    "FinalFace",
    "Foundation",
    "PoseFit",
    "Registration",
    "Relief",
    "Stages",
    "Visibility",
    "build_dense",
    "build_foundation",
    "complete_face",
    "crop_camera",
    "fit_pose",
    "hide_occluders",
    "look",
    "merge_layers",
    "register_pixels",
    "run_stages",
]
