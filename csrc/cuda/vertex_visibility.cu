// csrc/cuda/vertex_visibility.cu -- one thread a vertex.
#include "core/visibility.h"
#include "cuda/common.cuh"
#include "cuda/kernels.h"

namespace pyface3d::cuda {
namespace {

template <class T>
__global__ void visibility_kernel(const T* verts_image, const int32_t* faces, const int32_t* face_index,
                                  const T* depth, bool* visible, int64_t num_verts, int64_t height, int64_t width,
                                  T tolerance, int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const int64_t pixels = k / num_verts * height * width;
    visible[k] = vertex_visible(load3(verts_image, k), static_cast<int32_t>(k % num_verts), faces,
                                face_index + pixels, depth + pixels, height, width, tolerance);
  }
}

}  // namespace

template <class T>
void vertex_visibility(const T* verts_image, const int32_t* faces, const int32_t* face_index, const T* depth,
                       bool* visible, int64_t batch, int64_t num_verts, int64_t height, int64_t width,
                       double tolerance, Stream stream) {
  const int64_t items = batch * num_verts;
  if (items == 0) return;
  launch(visibility_kernel<T>, items, stream, verts_image, faces, face_index, depth, visible, num_verts, height,
         width, T(tolerance), items);
}

template void vertex_visibility(const float*, const int32_t*, const int32_t*, const float*, bool*, int64_t, int64_t,
                                int64_t, int64_t, double, Stream);
template void vertex_visibility(const double*, const int32_t*, const int32_t*, const double*, bool*, int64_t, int64_t,
                                int64_t, int64_t, double, Stream);

}  // namespace pyface3d::cuda
