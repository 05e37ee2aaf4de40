// csrc/cpu/shade_spherical_harmonics.cpp -- the light's gradient is summed per run of kRun normals, then over the runs
// in order: the same bits for any number of threads.
#include <algorithm>

#include "core/spherical_harmonics.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/scratch.h"

namespace pyface3d::cpu {
namespace {

constexpr int64_t kRun = 2048;
constexpr int kLight = 3 * kBands;

}  // namespace

template <class T>
void shade_spherical_harmonics(const T* normals, const T* light, const T* albedo, T* shaded, int64_t batch,
                               int64_t count, int threads) {
  const int64_t runs = (count + kRun - 1) / kRun;
  parallel_for(threads, batch * runs, 8, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t b = r / runs, first = b * count + r % runs * kRun;
      const int64_t last = std::min(first + kRun, (b + 1) * count);
      const T* image_light = light + b * kLight;
      for (int64_t k = first; k < last; ++k) {
        const Vec3<T> colour = shade(load3(normals, k), image_light);
        store3(shaded, k, albedo ? times(colour, load3(albedo, k)) : colour);
      }
    }
  });
}

template <class T>
void shade_spherical_harmonics_backward(const T* normals, const T* light, const T* albedo, const T* grad_shaded,
                                        T* grad_normals, T* grad_light, T* grad_albedo, int64_t batch, int64_t count,
                                        int threads) {
  const int64_t runs = (count + kRun - 1) / kRun;
  T* partial = scratch<T>(batch * runs * kLight);
  parallel_for(threads, batch * runs, 8, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t b = r / runs, first = b * count + r % runs * kRun;
      const int64_t last = std::min(first + kRun, (b + 1) * count);
      const T* image_light = light + b * kLight;
      T sums[kLight] = {};
      for (int64_t k = first; k < last; ++k) {
        const Vec3<T> n = load3(normals, k), g_out = load3(grad_shaded, k);
        const Vec3<T> g = albedo ? times(g_out, load3(albedo, k)) : g_out;
        if (grad_normals) store3(grad_normals, k, shade_vjp_normal(n, image_light, g));
        if (grad_light) shade_vjp_light(n, g, sums);
        if (grad_albedo) store3(grad_albedo, k, times(g_out, shade(n, image_light)));
      }
      std::copy(sums, sums + kLight, partial + r * kLight);
    }
  });
  if (!grad_light) return;
  for (int64_t b = 0; b < batch; ++b) {
    double sums[kLight] = {};
    for (int64_t r = b * runs; r < (b + 1) * runs; ++r)
      for (int k = 0; k < kLight; ++k) sums[k] += partial[r * kLight + k];
    for (int k = 0; k < kLight; ++k) grad_light[b * kLight + k] = T(sums[k]);
  }
}

template void shade_spherical_harmonics(const float*, const float*, const float*, float*, int64_t, int64_t, int);
template void shade_spherical_harmonics(const double*, const double*, const double*, double*, int64_t, int64_t, int);
template void shade_spherical_harmonics_backward(const float*, const float*, const float*, const float*, float*,
                                                 float*, float*, int64_t, int64_t, int);
template void shade_spherical_harmonics_backward(const double*, const double*, const double*, const double*, double*,
                                                 double*, double*, int64_t, int64_t, int);

}  // namespace pyface3d::cpu
