// csrc/bindings_cuda.cpp -- the CUDA entry points.
#include "bindings.h"
#include "cuda/kernels.h"

PYBIND11_MODULE(PF3D_MODULE, m) {
  m.def("device_count", &pyface3d::cuda::device_count);
  PF3D_DEFINE(pyface3d::cuda, face_normals);
  PF3D_DEFINE(pyface3d::cuda, face_normals_backward);
  PF3D_DEFINE(pyface3d::cuda, rasterize);
  PF3D_DEFINE(pyface3d::cuda, rasterize_backward);
  PF3D_DEFINE(pyface3d::cuda, interpolate);
  PF3D_DEFINE(pyface3d::cuda, interpolate_backward);
  PF3D_DEFINE(pyface3d::cuda, vertex_visibility);
  PF3D_DEFINE(pyface3d::cuda, vertex_normals);
  PF3D_DEFINE(pyface3d::cuda, vertex_normals_backward);
  PF3D_DEFINE(pyface3d::cuda, shade_spherical_harmonics);
  PF3D_DEFINE(pyface3d::cuda, shade_spherical_harmonics_backward);
  PF3D_DEFINE(pyface3d::cuda, sample_texture);
  PF3D_DEFINE(pyface3d::cuda, sample_texture_backward);
  PF3D_DEFINE(pyface3d::cuda, render_texture);
  PF3D_DEFINE(pyface3d::cuda, render_texture_backward);
  PF3D_DEFINE(pyface3d::cuda, mip_pyramid);
  PF3D_DEFINE(pyface3d::cuda, mip_pyramid_backward);
  PF3D_DEFINE(pyface3d::cuda, sample_texture_trilinear);
  PF3D_DEFINE(pyface3d::cuda, sample_texture_trilinear_backward);
  PF3D_DEFINE(pyface3d::cuda, render_texture_trilinear);
  PF3D_DEFINE(pyface3d::cuda, render_texture_trilinear_backward);
  PF3D_DEFINE(pyface3d::cuda, uv_footprint);
  PF3D_DEFINE(pyface3d::cuda, rasterize_uvs);
  PF3D_DEFINE(pyface3d::cuda, bake_texture);
  PF3D_DEFINE(pyface3d::cuda, deform_conv2d);
  PF3D_DEFINE(pyface3d::cuda, deform_conv2d_backward);
  PF3D_DEFINE(pyface3d::cuda, bump_normals);
  PF3D_DEFINE(pyface3d::cuda, bump_normals_backward);
  PF3D_DEFINE(pyface3d::cuda, displace);
  PF3D_DEFINE(pyface3d::cuda, displace_backward);
  PF3D_DEFINE(pyface3d::cuda, dense_mesh);
  PF3D_DEFINE(pyface3d::cuda, dense_mesh_backward);
  PF3D_DEFINE(pyface3d::cuda, occlusion_weights);
  PF3D_DEFINE(pyface3d::cuda, antialias);
  PF3D_DEFINE(pyface3d::cuda, antialias_backward);
  PF3D_DEFINE(pyface3d::cuda, complete_symmetry);
  PF3D_DEFINE(pyface3d::cuda, complete_symmetry_backward);
  PF3D_DEFINE(pyface3d::cuda, blend_gradients);
  PF3D_DEFINE(pyface3d::cuda, blend_gradients_backward);
  PF3D_DEFINE(pyface3d::cuda, blend_shapes);
  PF3D_DEFINE(pyface3d::cuda, blend_shapes_backward);
}
