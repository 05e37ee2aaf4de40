// csrc/cpu/interpolate.cpp -- the gradient of the attributes is added pixel by pixel in one order for any threads:
// where several threads share one target, each goes through all its pixels and adds for some of the vertices.
#include <algorithm>
#include <type_traits>

#include "core/interpolation.h"
#include "core/offsets.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"

namespace pyface3d::cpu {
namespace {

// What forward and backward share.
template <class T> struct Interpolation {
  const T* attributes;
  const int32_t *faces, *face_index;
  const T* barycentrics;
  bool shared;
  int64_t num_verts, num_pixels, channels;

  const int32_t* face(int64_t p) const { return faces + corner_offset(face_index[p]); }

  // Calls body(first pixel, end, attributes) for every image that has some of the pixels [begin, end).
  template <class Body> void by_image(int64_t begin, int64_t end, Body body) const {
    while (begin < end) {
      const int64_t image = begin / num_pixels, stop = std::min(end, (image + 1) * num_pixels);
      body(begin, stop, attributes + (shared ? 0 : verts_offset(image, num_verts, channels)));
      begin = stop;
    }
  }
};

// Calls body(n) with the number of channels, a constant where it is a usual one.
template <class Body> void with_channels(int64_t channels, Body body) {
  switch (channels) {
    case 1: return body(std::integral_constant<int64_t, 1>());
    case 2: return body(std::integral_constant<int64_t, 2>());
    case 3: return body(std::integral_constant<int64_t, 3>());
    case 4: return body(std::integral_constant<int64_t, 4>());
    default: return body(channels);
  }
}

template <class T, class Count>
void interpolate_pixels(const Interpolation<T>& in, Count channels, int64_t begin, int64_t end, const T* a, T* values) {
  for (int64_t p = begin; p < end; ++p) {
    T* value = values + channels * p;
    if (in.face_index[p] < 0) {
      for (int64_t k = 0; k < channels; ++k) value[k] = T(0);
      continue;
    }
    const int32_t* i = in.face(p);
    interpolate_at(a + i[0] * channels, a + i[1] * channels, a + i[2] * channels, load3(in.barycentrics, p), value,
                   channels);
  }
}

// The gradients of pixels [begin, end) of one image whose attributes are a: of the barycentrics, unless that is null;
// and of the vertices [first, last), added, unless that is null.
template <class T, class Count>
void pull_back(const Interpolation<T>& in, Count channels, int64_t begin, int64_t end, const T* a, int64_t first,
               int64_t last, const T* grad_values, T* grad_attributes, T* grad_barycentrics) {
  for (int64_t p = begin; p < end; ++p) {
    if (in.face_index[p] < 0) {
      if (grad_barycentrics) store3(grad_barycentrics, p, Vec3<T>{});
      continue;
    }
    const int32_t* i = in.face(p);
    const T* g = grad_values + channels * p;
    if (grad_barycentrics)
      store3(grad_barycentrics, p,
             interpolate_vjp_barycentrics(a + i[0] * channels, a + i[1] * channels, a + i[2] * channels, g, channels));
    if (!grad_attributes) continue;
    for (int k = 0; k < 3; ++k) {
      if (i[k] < first || i[k] >= last) continue;
      const T beta = in.barycentrics[3 * p + k];
      T* row = grad_attributes + i[k] * channels;
      for (int64_t c = 0; c < channels; ++c) row[c] += beta * g[c];
    }
  }
}

}  // namespace

template <class T>
void interpolate(const T* attributes, const int32_t* faces, const int32_t* face_index, const T* barycentrics,
                 T* values, int64_t batch, bool shared, int64_t num_verts, int64_t num_pixels, int64_t channels,
                 int threads) {
  const Interpolation<T> in{attributes, faces, face_index, barycentrics, shared, num_verts, num_pixels, channels};
  const int64_t grain = std::max<int64_t>(1, 131072 / (channels + 4));
  with_channels(channels, [&](auto count) {
    parallel_for(threads, batch * num_pixels, grain, [&](int64_t begin, int64_t end) {
      in.by_image(begin, end, [&](int64_t from, int64_t to, const T* a) {
        interpolate_pixels(in, count, from, to, a, values);
      });
    });
  });
}

// Either output may be null. Shared attributes gather the gradients of all images, in order.
template <class T>
void interpolate_backward(const T* attributes, const int32_t* faces, const int32_t* face_index, const T* barycentrics,
                          const T* grad_values, T* grad_attributes, T* grad_barycentrics, int64_t batch, bool shared,
                          int64_t num_verts, int64_t num_pixels, int64_t channels, int threads) {
  const Interpolation<T> in{attributes, faces, face_index, barycentrics, shared, num_verts, num_pixels, channels};
  const int64_t grain = std::max<int64_t>(1, 131072 / (channels + 4));
  const int64_t targets = shared ? 1 : batch, pixels = (shared ? batch : 1) * num_pixels;
  // A thread takes whole targets and both gradients; or, where that is long work, some pixels and then some vertices.
  const bool together = grad_attributes && (targets >= threads || pixels < 8 * grain);
  const int64_t parts = together ? 1 : threads;
  with_channels(channels, [&](auto count) {
    if (grad_barycentrics && !together) {
      parallel_for(threads, batch * num_pixels, grain, [&](int64_t begin, int64_t end) {
        in.by_image(begin, end, [&](int64_t from, int64_t to, const T* a) {
          pull_back(in, count, from, to, a, 0, 0, grad_values, static_cast<T*>(nullptr), grad_barycentrics);
        });
      });
    }
    if (!grad_attributes) return;
    T* weights = together ? grad_barycentrics : nullptr;
    parallel_for(threads, targets * parts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t target = item / parts, part = item % parts;
        const int64_t first = num_verts * part / parts, last = num_verts * (part + 1) / parts;
        T* grad = grad_attributes + verts_offset(target, num_verts, channels);
        std::fill(grad + first * channels, grad + last * channels, T(0));
        in.by_image(target * pixels, (target + 1) * pixels, [&](int64_t from, int64_t to, const T* a) {
          pull_back(in, count, from, to, a, first, last, grad_values, grad, weights);
        });
      }
    });
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
