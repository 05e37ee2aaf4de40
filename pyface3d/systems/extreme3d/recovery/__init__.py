"""Occlusion recovery: relief for the parts of a face that something covers. See docs/systems/extreme3d_recovery.md."""

from pyface3d.systems.extreme3d.recovery.chart import FaceChart, Placement, face_chart
from pyface3d.systems.extreme3d.recovery.occluders import colour_occluder, read_occluder, tidy_occluder
from pyface3d.systems.extreme3d.recovery.recover import encode_recovered, recover_relief
from pyface3d.systems.extreme3d.recovery.references import References, build_references, load_references

__all__ = [
    "FaceChart",
    "Placement",
    "References",
    "build_references",
    "colour_occluder",
    "encode_recovered",
    "face_chart",
    "load_references",
    "read_occluder",
    "recover_relief",
    "tidy_occluder",
]
