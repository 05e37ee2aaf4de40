// csrc/cpu/interpolate.cpp -- the gradient of the attributes is added pixel by pixel in one order for any threads.
#include <algorithm>

#include "core/interpolation.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"

namespace pyface3d::cpu {

template <class T>
void interpolate(const T* attributes, const int32_t* faces, const int32_t* face_index, const T* barycentrics,
                 T* values, int64_t batch, bool shared, int64_t num_verts, int64_t num_pixels, int64_t channels,
                 int threads) {
  const int64_t grain = std::max<int64_t>(1, 32768 / (channels + 4));
  parallel_for(threads, batch * num_pixels, grain, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      T* value = values + channels * p;
      if (face_index[p] < 0) {
        std::fill(value, value + channels, T(0));
        continue;
      }
      const T* a = attributes + (shared ? 0 : p / num_pixels * num_verts * channels);
      const int32_t* i = faces + 3 * int64_t(face_index[p]);
      interpolate_at(a + i[0] * channels, a + i[1] * channels, a + i[2] * channels, load3(barycentrics, p), value,
                     channels);
    }
  });
}

// Either output may be null. Shared attributes gather the gradients of all images, in order.
template <class T>
void interpolate_backward(const T* attributes, const int32_t* faces, const int32_t* face_index, const T* barycentrics,
                          const T* grad_values, T* grad_attributes, T* grad_barycentrics, int64_t batch, bool shared,
                          int64_t num_verts, int64_t num_pixels, int64_t channels, int threads) {
  if (grad_barycentrics) {
    const int64_t grain = std::max<int64_t>(1, 32768 / (channels + 4));
    parallel_for(threads, batch * num_pixels, grain, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) {
        Vec3<T> g;
        if (face_index[p] >= 0) {
          const T* a = attributes + (shared ? 0 : p / num_pixels * num_verts * channels);
          const int32_t* i = faces + 3 * int64_t(face_index[p]);
          g = interpolate_vjp_barycentrics(a + i[0] * channels, a + i[1] * channels, a + i[2] * channels,
                                           grad_values + channels * p, channels);
        }
        store3(grad_barycentrics, p, g);
      }
    });
  }
  if (!grad_attributes) return;
  const int64_t targets = shared ? 1 : batch, images = shared ? batch : 1;
  parallel_for(threads, targets, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      T* grad = grad_attributes + t * num_verts * channels;
      std::fill(grad, grad + num_verts * channels, T(0));
      for (int64_t p = t * num_pixels; p < (t + images) * num_pixels; ++p) {
        if (face_index[p] < 0) continue;
        const int32_t* i = faces + 3 * int64_t(face_index[p]);
        const T* g = grad_values + channels * p;
        for (int k = 0; k < 3; ++k) {
          const T beta = barycentrics[3 * p + k];
          T* row = grad + i[k] * channels;
          for (int64_t c = 0; c < channels; ++c) row[c] += beta * g[c];
        }
      }
    }
  });
}

#define PF3D_INSTANTIATE(T)                                                                                           \
  template void interpolate(const T*, const int32_t*, const int32_t*, const T*, T*, int64_t, bool, int64_t, int64_t,  \
                            int64_t, int);                                                                            \
  template void interpolate_backward(const T*, const int32_t*, const int32_t*, const T*, const T*, T*, T*, int64_t,   \
                                     bool, int64_t, int64_t, int64_t, int);
PF3D_INSTANTIATE(float)
PF3D_INSTANTIATE(double)

}  // namespace pyface3d::cpu
