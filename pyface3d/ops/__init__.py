"""Differentiable kernels: one public function a file, formulas in ``csrc/core``, CPU and CUDA back ends."""

from pyface3d.ops.antialias import antialias
from pyface3d.ops.bake_texture import bake_texture
from pyface3d.ops.blend_gradients import blend_gradients
from pyface3d.ops.blend_shapes import blend_shapes
from pyface3d.ops.bump_normals import bump_normals
from pyface3d.ops.complete_symmetry import complete_symmetry
from pyface3d.ops.deform_conv2d import deform_conv2d
from pyface3d.ops.dense_mesh import DenseMesh, dense_mesh
from pyface3d.ops.displace import displace
from pyface3d.ops.face_normals import face_normals
from pyface3d.ops.fragments import Fragments
from pyface3d.ops.interpolate import interpolate
from pyface3d.ops.occlusion_weights import occlusion_weights
from pyface3d.ops.rasterize import rasterize
from pyface3d.ops.rasterize_uvs import rasterize_uvs
from pyface3d.ops.render_texture import render_texture
from pyface3d.ops.sample_texture import sample_texture
from pyface3d.ops.shade_spherical_harmonics import shade_spherical_harmonics
from pyface3d.ops.topology import Topology
from pyface3d.ops.uv_footprint import uv_footprint
from pyface3d.ops.vertex_normals import vertex_normals
from pyface3d.ops.vertex_visibility import vertex_visibility

__all__ = [
    "DenseMesh",
    "Fragments",
    "Topology",
    "antialias",
    "bake_texture",
    "blend_gradients",
    "blend_shapes",
    "bump_normals",
    "complete_symmetry",
    "deform_conv2d",
    "dense_mesh",
    "displace",
    "face_normals",
    "interpolate",
    "occlusion_weights",
    "rasterize",
    "rasterize_uvs",
    "render_texture",
    "sample_texture",
    "shade_spherical_harmonics",
    "uv_footprint",
    "vertex_normals",
    "vertex_visibility",
]
