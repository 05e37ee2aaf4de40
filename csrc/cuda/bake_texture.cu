// csrc/cuda/bake_texture.cu -- one thread a texel; nothing is added up.
#include "core/bake.h"
#include "cuda/common.cuh"
#include "cuda/kernels.h"

namespace pyface3d::cuda {
namespace {

template <class T> __global__ void bake_kernel(Bake<T> bake, T* image_uvs, T* weight, int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const Sighting<T> seen = bake.at(k / bake.texels, k % bake.texels);
    image_uvs[2 * k] = seen.uv.x;
    image_uvs[2 * k + 1] = seen.uv.y;
    weight[k] = seen.weight;
  }
}

}  // namespace

template <class T>
void bake_texture(const T* verts_image, const int32_t* faces, const int32_t* chart_faces,
                  const T* chart_barycentrics, const T* depth, const T* vertex_seen, T* image_uvs, T* weight,
                  int64_t batch, int64_t num_verts, int64_t texels, int64_t height, int64_t width, double tolerance,
                  bool perspective, Stream stream) {
  const int64_t items = batch * texels;
  if (items == 0) return;
  const Bake<T> bake{verts_image, faces,  chart_faces, chart_barycentrics, depth,      vertex_seen,
                     num_verts,   texels, height,      width,              T(tolerance), perspective};
  launch(bake_kernel<T>, items, stream, bake, image_uvs, weight, items);
}

#define PF3D_INSTANCES(T)                                                                                            \
  template void bake_texture(const T*, const int32_t*, const int32_t*, const T*, const T*, const T*, T*, T*,         \
                             int64_t, int64_t, int64_t, int64_t, int64_t, double, bool, Stream)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cuda
