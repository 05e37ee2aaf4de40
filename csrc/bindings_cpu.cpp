// csrc/bindings_cpu.cpp -- the CPU entry points; built once per instruction set (PF3D_MODULE).
#include "bindings.h"
#include "cpu/aggregation.h"
#include "cpu/dissection.h"
#include "cpu/kernels.h"
#include "cpu/mesh_cholesky.h"

PYBIND11_MODULE(PF3D_MODULE, m) {
  // Which modules this processor can run, best first; asked of the baseline module only.
  m.def("supported", [] {
    pybind11::list names;
#if (defined(__x86_64__) || defined(_M_X64)) && defined(__GNUC__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
      names.append("avx512");
    if (avx2) names.append("avx2");
#endif
    names.append("baseline");
    return names;
  });
  PF3D_DEFINE(pyface3d::cpu, face_normals);
  PF3D_DEFINE(pyface3d::cpu, face_normals_backward);
  PF3D_DEFINE(pyface3d::cpu, rasterize);
  PF3D_DEFINE(pyface3d::cpu, rasterize_backward);
  PF3D_DEFINE(pyface3d::cpu, interpolate);
  PF3D_DEFINE(pyface3d::cpu, interpolate_backward);
  PF3D_DEFINE(pyface3d::cpu, vertex_visibility);
  PF3D_DEFINE(pyface3d::cpu, vertex_normals);
  PF3D_DEFINE(pyface3d::cpu, vertex_normals_backward);
  PF3D_DEFINE(pyface3d::cpu, shade_spherical_harmonics);
  PF3D_DEFINE(pyface3d::cpu, shade_spherical_harmonics_backward);
  PF3D_DEFINE(pyface3d::cpu, sample_texture);
  PF3D_DEFINE(pyface3d::cpu, sample_texture_backward);
  PF3D_DEFINE(pyface3d::cpu, render_texture);
  PF3D_DEFINE(pyface3d::cpu, render_texture_backward);
  PF3D_DEFINE(pyface3d::cpu, mip_pyramid);
  PF3D_DEFINE(pyface3d::cpu, mip_pyramid_backward);
  PF3D_DEFINE(pyface3d::cpu, sample_texture_trilinear);
  PF3D_DEFINE(pyface3d::cpu, sample_texture_trilinear_backward);
  PF3D_DEFINE(pyface3d::cpu, render_texture_trilinear);
  PF3D_DEFINE(pyface3d::cpu, render_texture_trilinear_backward);
  PF3D_DEFINE(pyface3d::cpu, uv_footprint);
  PF3D_DEFINE(pyface3d::cpu, rasterize_uvs);
  PF3D_DEFINE(pyface3d::cpu, bake_texture);
  PF3D_DEFINE(pyface3d::cpu, deform_conv2d);
  PF3D_DEFINE(pyface3d::cpu, deform_conv2d_backward);
  PF3D_DEFINE(pyface3d::cpu, bump_normals);
  PF3D_DEFINE(pyface3d::cpu, bump_normals_backward);
  PF3D_DEFINE(pyface3d::cpu, displace);
  PF3D_DEFINE(pyface3d::cpu, displace_backward);
  PF3D_DEFINE(pyface3d::cpu, dense_mesh);
  PF3D_DEFINE(pyface3d::cpu, dense_mesh_backward);
  PF3D_DEFINE(pyface3d::cpu, occlusion_weights);
  PF3D_DEFINE(pyface3d::cpu, blend_gradients);
  PF3D_DEFINE(pyface3d::cpu, blend_gradients_backward);
  PF3D_DEFINE(pyface3d::cpu, antialias);
  PF3D_DEFINE(pyface3d::cpu, antialias_backward);
  PF3D_DEFINE(pyface3d::cpu, complete_symmetry);
  PF3D_DEFINE(pyface3d::cpu, complete_symmetry_backward);
  pyface3d::define(m, "mesh_graph", &pyface3d::cpu::mesh_graph);
  pyface3d::define(m, "nested_dissection", &pyface3d::cpu::nested_dissection);
  pyface3d::define(m, "aggregate", &pyface3d::cpu::aggregate);
  pyface3d::define(m, "mesh_cholesky_bytes", &pyface3d::cpu::mesh_cholesky_bytes);
  PF3D_DEFINE(pyface3d::cpu, blend_shapes);
  PF3D_DEFINE(pyface3d::cpu, blend_shapes_backward);
}
