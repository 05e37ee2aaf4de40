// csrc/cpu/displace.cpp -- one vertex at a time, in all images: a direction that they share sums its gradient in order.
#include "core/displacement.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"

namespace pyface3d::cpu {
namespace {

constexpr int64_t kGrain = 8192;

}  // namespace

template <class T>
void displace(const T* verts, const T* direction, const T* amount, T* moved, int64_t batch, bool shared,
              int64_t num_verts, int threads) {
  parallel_for(threads, batch * num_verts, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k)
      store3(moved, k, displaced(load3(verts, k), load3(direction, shared ? k % num_verts : k), amount[k]));
  });
}

template <class T>
void displace_backward(const T* direction, const T* amount, const T* grad_moved, T* grad_direction, T* grad_amount,
                       int64_t batch, bool shared, int64_t num_verts, int threads) {
  parallel_for(threads, num_verts, kGrain, [&](int64_t begin, int64_t end) {
    if (shared && grad_direction)
      for (int64_t v = begin; v < end; ++v) store3(grad_direction, v, Vec3<T>{});
    for (int64_t b = 0; b < batch; ++b) {
      for (int64_t v = begin; v < end; ++v) {
        const int64_t k = b * num_verts + v, d = shared ? v : k;
        const Vec3<T> g = load3(grad_moved, k);
        if (grad_amount) grad_amount[k] = displaced_vjp_amount(load3(direction, d), g);
        if (!grad_direction) continue;
        const Vec3<T> of_direction = displaced_vjp_direction(amount[k], g);
        store3(grad_direction, d, shared ? load3(grad_direction, d) + of_direction : of_direction);
      }
    }
  });
}

#define PF3D_INSTANCES(T)                                                                                   \
  template void displace(const T*, const T*, const T*, T*, int64_t, bool, int64_t, int);                    \
  template void displace_backward(const T*, const T*, const T*, T*, T*, int64_t, bool, int64_t, int)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cpu
