// csrc/cuda/displace.cu -- one thread a vertex; backward, where all images share the directions, one thread a vertex of
// all of them, which sums in order.
#include "core/displacement.h"
#include "cuda/common.cuh"
#include "cuda/kernels.h"

namespace pyface3d::cuda {
namespace {

template <class T>
__global__ void forward_kernel(const T* verts, const T* direction, const T* amount, T* moved, bool shared,
                               int64_t num_verts, int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    store3(moved, k, displaced(load3(verts, k), load3(direction, shared ? k % num_verts : k), amount[k]));
  }
}

template <class T>
__global__ void backward_kernel(const T* direction, const T* amount, const T* grad_moved, T* grad_direction,
                                T* grad_amount, int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const Vec3<T> g = load3(grad_moved, k);
    if (grad_amount) grad_amount[k] = displaced_vjp_amount(load3(direction, k), g);
    if (grad_direction) store3(grad_direction, k, displaced_vjp_direction(amount[k], g));
  }
}

template <class T>
__global__ void shared_backward_kernel(const T* direction, const T* amount, const T* grad_moved, T* grad_direction,
                                       T* grad_amount, int64_t batch, int64_t num_verts) {
  PF3D_GRID_STRIDE(v, num_verts) {
    const Vec3<T> d = load3(direction, v);
    Vec3<T> sum;
    for (int64_t b = 0; b < batch; ++b) {
      const int64_t k = b * num_verts + v;
      const Vec3<T> g = load3(grad_moved, k);
      if (grad_amount) grad_amount[k] = displaced_vjp_amount(d, g);
      sum = sum + displaced_vjp_direction(amount[k], g);
    }
    if (grad_direction) store3(grad_direction, v, sum);
  }
}

}  // namespace

template <class T>
void displace(const T* verts, const T* direction, const T* amount, T* moved, int64_t batch, bool shared,
              int64_t num_verts, Stream stream) {
  const int64_t items = batch * num_verts;
  launch(forward_kernel<T>, items, stream, verts, direction, amount, moved, shared, num_verts, items);
}

template <class T>
void displace_backward(const T* direction, const T* amount, const T* grad_moved, T* grad_direction, T* grad_amount,
                       int64_t batch, bool shared, int64_t num_verts, Stream stream) {
  if (shared) {
    launch(shared_backward_kernel<T>, num_verts, stream, direction, amount, grad_moved, grad_direction, grad_amount,
           batch, num_verts);
  } else {
    const int64_t items = batch * num_verts;
    launch(backward_kernel<T>, items, stream, direction, amount, grad_moved, grad_direction, grad_amount, items);
  }
}

#define PF3D_INSTANCES(T)                                                                                    \
  template void displace(const T*, const T*, const T*, T*, int64_t, bool, int64_t, Stream);                  \
  template void displace_backward(const T*, const T*, const T*, T*, T*, int64_t, bool, int64_t, Stream)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cuda
