// csrc/cpu/rasterize_backward.cpp -- gradients are added pixel by pixel in one order for any number of threads.
#include <algorithm>

#include "core/raster.h"
#include "cpu/kernels.h"
#include "cpu/corner_lanes.h"
#include "cpu/parallel.h"
#include "cpu/scratch.h"

namespace pyface3d::cpu {

template <class T>
void rasterize_backward(const T* verts_image, const int32_t* faces, const int32_t* face_index,
                        const T* grad_barycentrics, const T* grad_depth, T* grad_verts, int64_t batch,
                        int64_t num_verts, int64_t height, int64_t width, bool perspective, int threads) {
  parallel_for(threads, batch, 1, [&](int64_t begin, int64_t end) {
    RasterVertex<T>* verts = scratch<RasterVertex<T>>(num_verts);
    for (int64_t b = begin; b < end; ++b) {
      prepare_vertices(verts_image + 3 * num_verts * b, num_verts, perspective, verts);
      T* grad = grad_verts + 3 * num_verts * b;
      std::fill(grad, grad + 3 * num_verts, T(0));
      int64_t p = b * height * width;
      for (int64_t y = 0; y < height; ++y) {
        for (int64_t x = 0; x < width; ++x, ++p) {
          if (face_index[p] < 0) continue;
          const int32_t* face = faces + 3 * int64_t(face_index[p]);
          RasterVertex<T> v[3];
          load_corners(verts, face, v);
          Vec3<T> g[3];
          raster_vjp(v, T(x) + T(0.5), T(y) + T(0.5), perspective,
                     grad_barycentrics ? load3(grad_barycentrics, p) : Vec3<T>{}, grad_depth ? grad_depth[p] : T(0), g);
          for (int k = 0; k < 3; ++k) store3(grad, face[k], load3(grad, face[k]) + g[k]);
        }
      }
    }
  });
}

#define PF3D_INSTANTIATE(T)                                                                                            \
  template void rasterize_backward(const T*, const int32_t*, const int32_t*, const T*, const T*, T*, int64_t, int64_t, \
                                   int64_t, int64_t, bool, int);
PF3D_INSTANTIATE(float)
PF3D_INSTANTIATE(double)

}  // namespace pyface3d::cpu
