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
}
