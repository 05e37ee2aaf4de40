"""Differentiable kernels: one public function a file, formulas in ``csrc/core``, CPU and CUDA back ends."""

from pyface3d.ops.face_normals import face_normals
from pyface3d.ops.topology import Topology

__all__ = ["Topology", "face_normals"]
