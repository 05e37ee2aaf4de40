// csrc/cpu/vertex_visibility.cpp -- one vertex at a time.
#include "core/visibility.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"

namespace pyface3d::cpu {

template <class T>
void vertex_visibility(const T* verts_image, const int32_t* faces, const int32_t* face_index, const T* depth,
                       bool* visible, int64_t batch, int64_t num_verts, int64_t height, int64_t width,
                       double tolerance, int threads) {
  parallel_for(threads, batch * num_verts, 8192, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t pixels = k / num_verts * height * width;
      visible[k] = vertex_visible(load3(verts_image, k), static_cast<int32_t>(k % num_verts), faces,
                                  face_index + pixels, depth + pixels, height, width, T(tolerance));
    }
  });
}

template void vertex_visibility(const float*, const int32_t*, const int32_t*, const float*, bool*, int64_t, int64_t,
                                int64_t, int64_t, double, int);
template void vertex_visibility(const double*, const int32_t*, const int32_t*, const double*, bool*, int64_t, int64_t,
                                int64_t, int64_t, double, int);

}  // namespace pyface3d::cpu
