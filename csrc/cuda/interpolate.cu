// csrc/cuda/interpolate.cu -- one thread a value; the gradient of the attributes is added up (sums.cuh).
#include "core/interpolation.h"
#include "cuda/common.cuh"
#include "cuda/kernels.h"
#include "cuda/sums.cuh"

namespace pyface3d::cuda {
namespace {

template <class T>
__global__ void forward_kernel(const T* attributes, const int32_t* faces, const int32_t* face_index,
                               const T* barycentrics, T* values, bool shared, int64_t num_verts, int64_t num_pixels,
                               int64_t channels, int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const int64_t p = k / channels;
    if (face_index[p] < 0) {
      values[k] = T(0);
      continue;
    }
    const T* a = attributes + (shared ? 0 : p / num_pixels * num_verts * channels) + k % channels;
    const int32_t* i = faces + 3 * int64_t(face_index[p]);
    interpolate_at(a + i[0] * channels, a + i[1] * channels, a + i[2] * channels, load3(barycentrics, p), values + k,
                   1);
  }
}

template <class T, class Sum>
__global__ void attributes_kernel(const int32_t* faces, const int32_t* face_index, const T* barycentrics,
                                  const T* grad_values, Sum grad_attributes, bool shared, int64_t num_verts,
                                  int64_t num_pixels, int64_t channels, int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const int64_t p = k / channels;
    if (face_index[p] < 0) continue;
    const Sum grad = grad_attributes + ((shared ? 0 : p / num_pixels * num_verts * channels) + k % channels);
    const int32_t* i = faces + 3 * int64_t(face_index[p]);
    for (int c = 0; c < 3; ++c) add_to(grad + i[c] * channels, barycentrics[3 * p + c] * grad_values[k]);
  }
}

template <class T>
__global__ void barycentrics_kernel(const T* attributes, const int32_t* faces, const int32_t* face_index,
                                    const T* grad_values, T* grad_barycentrics, bool shared, int64_t num_verts,
                                    int64_t num_pixels, int64_t channels, int64_t items) {
  PF3D_GRID_STRIDE(p, items) {
    Vec3<T> g;
    if (face_index[p] >= 0) {
      const T* a = attributes + (shared ? 0 : p / num_pixels * num_verts * channels);
      const int32_t* i = faces + 3 * int64_t(face_index[p]);
      g = interpolate_vjp_barycentrics(a + i[0] * channels, a + i[1] * channels, a + i[2] * channels,
                                       grad_values + channels * p, channels);
    }
    store3(grad_barycentrics, p, g);
  }
}

}  // namespace

template <class T>
void interpolate(const T* attributes, const int32_t* faces, const int32_t* face_index, const T* barycentrics,
                 T* values, int64_t batch, bool shared, int64_t num_verts, int64_t num_pixels, int64_t channels,
                 Stream stream) {
  const int64_t items = batch * num_pixels * channels;
  if (items == 0) return;
  launch(forward_kernel<T>, items, stream, attributes, faces, face_index, barycentrics, values, shared, num_verts,
         num_pixels, channels, items);
}

template <class T>
void interpolate_backward(const T* attributes, const int32_t* faces, const int32_t* face_index, const T* barycentrics,
                          const T* grad_values, T* grad_attributes, T* grad_barycentrics, int64_t batch, bool shared,
                          int64_t num_verts, int64_t num_pixels, int64_t channels, int64_t* workspace,
                          Stream stream) {
  const int64_t pixels = batch * num_pixels, items = pixels * channels;
  if (grad_attributes) {
    const auto draw = [&](auto grad) {
      launch(attributes_kernel<T, decltype(grad)>, items, stream, faces, face_index, barycentrics, grad_values, grad,
             shared, num_verts, num_pixels, channels, items);
    };
    const int64_t size = (shared ? 1 : batch) * num_verts * channels, terms = 3 * (shared ? pixels : num_pixels);
    add_up(stream, draw, Summed<T>{grad_attributes, size, terms, workspace});
  }
  if (grad_barycentrics) {
    launch(barycentrics_kernel<T>, pixels, stream, attributes, faces, face_index, grad_values, grad_barycentrics,
           shared, num_verts, num_pixels, channels, pixels);
  }
}

#define PF3D_INSTANTIATE(T)                                                                                          \
  template void interpolate(const T*, const int32_t*, const int32_t*, const T*, T*, int64_t, bool, int64_t, int64_t, \
                            int64_t, Stream);                                                                        \
  template void interpolate_backward(const T*, const int32_t*, const int32_t*, const T*, const T*, T*, T*, int64_t,  \
                                     bool, int64_t, int64_t, int64_t, int64_t*, Stream);
PF3D_INSTANTIATE(float)
PF3D_INSTANTIATE(double)

}  // namespace pyface3d::cuda
