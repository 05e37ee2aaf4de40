// csrc/cpu/bake_texture.cpp -- texels side by side; nothing is added up.
#include "core/bake.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"

namespace pyface3d::cpu {

template <class T>
void bake_texture(const T* verts_image, const int32_t* faces, const int32_t* chart_faces,
                  const T* chart_barycentrics, const T* depth, const T* vertex_seen, T* image_uvs, T* weight,
                  int64_t batch, int64_t num_verts, int64_t texels, int64_t height, int64_t width, double tolerance,
                  bool perspective, int threads) {
  const Bake<T> bake{verts_image, faces,  chart_faces, chart_barycentrics, depth,      vertex_seen,
                     num_verts,   texels, height,      width,              T(tolerance), perspective};
  parallel_for(threads, batch * texels, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const Sighting<T> seen = bake.at(k / texels, k % texels);
      image_uvs[2 * k] = seen.uv.x;
      image_uvs[2 * k + 1] = seen.uv.y;
      weight[k] = seen.weight;
    }
  });
}

template void bake_texture(const float*, const int32_t*, const int32_t*, const float*, const float*, const float*,
                           float*, float*, int64_t, int64_t, int64_t, int64_t, int64_t, double, bool, int);
template void bake_texture(const double*, const int32_t*, const int32_t*, const double*, const double*,
                           const double*, double*, double*, int64_t, int64_t, int64_t, int64_t, int64_t, double, bool,
                           int);

}  // namespace pyface3d::cpu
