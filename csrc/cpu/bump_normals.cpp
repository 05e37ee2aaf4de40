// csrc/cpu/bump_normals.cpp -- a band of rows at a time. Backward, a band first makes the gradients on the steps of its
// rows and of the two around it, then every pixel gathers from its neighbours: no two bands write to one place.
#include "core/bump_normal.h"

#include <algorithm>

#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/scratch.h"

namespace pyface3d::cpu {
namespace {

constexpr int64_t kBand = 32;

// Calls body(image, first row, last row + 1) for every band.
template <class Body> void for_bands(int threads, int64_t batch, int64_t height, const Body& body) {
  const int64_t bands = (height + kBand - 1) / kBand;
  parallel_for(threads, batch * bands, 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t first = k % bands * kBand;
      body(k / bands, first, std::min(first + kBand, height));
    }
  });
}

}  // namespace

template <class T>
void bump_normals(const T* positions, const T* normals, const T* bump, const bool* mask, T* bumped, int64_t batch,
                  int64_t height, int64_t width, double max_gap, int threads) {
  const ReliefMaps<T> maps{positions, normals, bump, mask, height, width, T(max_gap)};
  for_bands(threads, batch, height, [&](int64_t b, int64_t first, int64_t last) {
    const ReliefMaps<T> image = image_of(maps, b);
    T* out = bumped + 3 * b * height * width;
    for (int64_t row = first; row < last; ++row) {
      for (int64_t column = 0; column < width; ++column) {
        const int64_t p = row * width + column;
        const SurfaceSteps<T> steps = surface_steps(image, p, surface_links(image, row, column));
        store3(out, p, bump_normal(load3(image.normals, p), steps));
      }
    }
  });
}

template <class T>
void bump_normals_backward(const T* positions, const T* normals, const T* bump, const bool* mask, const T* grad_bumped,
                           T* grad_positions, T* grad_normals, T* grad_bump, int64_t batch, int64_t height,
                           int64_t width, double max_gap, int threads) {
  const ReliefMaps<T> maps{positions, normals, bump, mask, height, width, T(max_gap)};
  for_bands(threads, batch, height, [&](int64_t b, int64_t first, int64_t last) {
    const ReliefMaps<T> image = image_of(maps, b);
    const int64_t pixels = b * height * width;
    SurfaceSteps<T>* grads = scratch<SurfaceSteps<T>>((kBand + 2) * width);
    const int64_t above = std::max<int64_t>(first - 1, 0), below = std::min(last + 1, height);
    for (int64_t row = above; row < below; ++row) {
      for (int64_t column = 0; column < width; ++column) {
        const int64_t p = row * width + column;
        const SurfaceSteps<T> steps = surface_steps(image, p, surface_links(image, row, column));
        Vec3<T> grad_normal;
        bump_normal_vjp(load3(image.normals, p), steps, load3(grad_bumped, pixels + p), grad_normal,
                        grads[p - above * width]);
        if (grad_normals && row >= first && row < last) store3(grad_normals, pixels + p, grad_normal);
      }
    }
    if (!grad_positions && !grad_bump) return;
    const auto at = [&](int64_t q) { return grads[q]; };
    for (int64_t row = first; row < last; ++row) {
      for (int64_t column = 0; column < width; ++column) {
        const int64_t p = row * width + column;
        const ReliefGrad<T> grad = gathered_steps<T>(surface_links(image, row, column), at, p - above * width, width);
        if (grad_positions) store3(grad_positions, pixels + p, grad.position);
        if (grad_bump) grad_bump[pixels + p] = grad.bump;
      }
    }
  });
}

#define PF3D_INSTANCES(T)                                                                                          \
  template void bump_normals(const T*, const T*, const T*, const bool*, T*, int64_t, int64_t, int64_t, double,     \
                             int);                                                                                 \
  template void bump_normals_backward(const T*, const T*, const T*, const bool*, const T*, T*, T*, T*, int64_t,    \
                                      int64_t, int64_t, double, int)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cpu
