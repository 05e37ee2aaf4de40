// csrc/cuda/complete_symmetry.cu -- conjugate gradients with the diagonal as preconditioner, one block for each image
// and coordinate: the loop and its end are inside the kernel, so the host neither waits nor looks, and a graph can hold
// it. Sums are taken in a fixed order: repeatable to the bit.
#include "core/symmetry.h"
#include "cuda/common.cuh"
#include "cuda/kernels.h"

namespace pyface3d::cuda {
namespace {

constexpr double kResidual = 1e-11;  // of the right-hand side's norm, where the iteration ends

// Working memory of one image.
struct Work {
  double *diagonal, *offsets, *columns;  // (V), (V, 3), and for each coordinate x, r, p, q: (3, 4, V)
  uint8_t* states;                       // (V)
};

// That of all images; kSymmetryWork numbers a vertex.
struct Memory {
  double* numbers;
  uint8_t* states;
  __device__ Work of(int64_t image, int64_t num_verts) const {
    double* start = numbers + image * num_verts * kSymmetryWork;
    return {start, start + num_verts, start + 4 * num_verts, states + image * num_verts};
  }
};

template <class T> __device__ MirrorFill<T> image_of(MirrorFill<T> fill, int64_t b) {
  fill.verts += 3 * fill.num_verts * b;
  fill.weights += fill.num_verts * b;
  fill.reference += 3 * fill.num_verts * b;
  return fill;
}

template <class T> __global__ void states_kernel(MirrorFill<T> all, Memory memory, int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const int64_t b = k / all.num_verts, v = k % all.num_verts;
    const MirrorFill<T> fill = image_of(all, b);
    const Work work = memory.of(b, all.num_verts);
    work.states[v] = vertex_state(fill, v);
    work.diagonal[v] = diagonal(fill, v);
  }
}

// r = b, p = b / diagonal, x = 0; b is the system's own right-hand side, or the gradient where one is given.
template <class T>
__global__ void begin_kernel(MirrorFill<T> all, const T* grad_completed, Memory memory, int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const int64_t n = all.num_verts, b = k / n, v = k % n;
    const Work work = memory.of(b, n);
    Vec3<double> rhs;
    if (work.states[v] & kHole) {
      if (grad_completed) {
        const Vec3<T> g = load3(grad_completed, k);
        rhs = {g.x, g.y, g.z};
      } else {
        rhs = right_hand_side(image_of(all, b), work.states, v);
      }
    }
    const double values[3] = {rhs.x, rhs.y, rhs.z};
    for (int c = 0; c < 3; ++c) {
      double* column = work.columns + 4 * n * c;
      column[v] = 0.0;
      column[n + v] = values[c];
      column[2 * n + v] = (work.states[v] & kHole) ? values[c] / work.diagonal[v] : 0.0;
      column[3 * n + v] = 0.0;
    }
  }
}

// The sum of `value` over the block, the same in every thread.
__device__ double block_sum(double value, double* shared) {
  shared[threadIdx.x] = value;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (static_cast<int>(threadIdx.x) < half) shared[threadIdx.x] += shared[threadIdx.x + half];
    __syncthreads();
  }
  const double sum = shared[0];
  __syncthreads();
  return sum;
}

__global__ void conjugate_gradients_kernel(const int32_t* offsets, const int32_t* neighbours, Memory memory,
                                           int64_t num_verts) {
  __shared__ double shared[kThreads];
  const int64_t n = num_verts;
  const Work work = memory.of(blockIdx.x / 3, n);
  const int coordinate = static_cast<int>(blockIdx.x % 3);
  double* x = work.columns + 4 * n * coordinate;
  double *r = x + n, *p = x + 2 * n, *q = x + 3 * n;
  double square = 0.0, product = 0.0;
  for (int64_t v = threadIdx.x; v < n; v += kThreads) {
    square += r[v] * r[v];
    product += r[v] * p[v];
  }
  const double enough = kResidual * kResidual * block_sum(square, shared);
  double rz = block_sum(product, shared);
  square = enough > 0.0 ? 2.0 * enough + 1.0 : 0.0;
  // In exact arithmetic n steps are enough; rounding asks for more, never for this many.
  for (int64_t step = 0; step < 4 * n + 100 && square > enough && rz > 0.0; ++step) {
    product = 0.0;
    for (int64_t v = threadIdx.x; v < n; v += kThreads) {
      if (!(work.states[v] & kHole)) continue;
      double sum = work.diagonal[v] * p[v];
      for (int32_t k = offsets[v]; k < offsets[v + 1]; ++k) sum -= p[neighbours[k]];  // 0 off the hole
      q[v] = sum;
      product += p[v] * sum;
    }
    const double alpha = rz / block_sum(product, shared);
    square = product = 0.0;
    for (int64_t v = threadIdx.x; v < n; v += kThreads) {
      if (!(work.states[v] & kHole)) continue;
      x[v] += alpha * p[v];
      r[v] -= alpha * q[v];
      square += r[v] * r[v];
      product += r[v] * r[v] / work.diagonal[v];
    }
    square = block_sum(square, shared);
    const double next = block_sum(product, shared), beta = next / rz;
    rz = next;
    for (int64_t v = threadIdx.x; v < n; v += kThreads)
      if (work.states[v] & kHole) p[v] = r[v] / work.diagonal[v] + beta * p[v];
    __syncthreads();
  }
  for (int64_t v = threadIdx.x; v < n; v += kThreads) work.offsets[3 * v + coordinate] = x[v];
}

template <class T>
__global__ void complete_kernel(MirrorFill<T> all, Memory memory, T* completed, uint8_t* source, int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const int64_t b = k / all.num_verts, v = k % all.num_verts;
    const Work work = memory.of(b, all.num_verts);
    store3(completed, k, completed_vertex(image_of(all, b), work.states[v], work.offsets, v));
    source[k] = vertex_source(work.states[v]);
  }
}

template <class T>
__global__ void grad_kernel(MirrorFill<T> all, Memory memory, const T* grad_completed, T* grad_verts,
                            T* grad_reference, int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const int64_t b = k / all.num_verts, v = k % all.num_verts;
    const Work work = memory.of(b, all.num_verts);
    Vec3<double> own, prior;
    vertex_grad(image_of(all, b), work.states, work.offsets, grad_completed + 3 * all.num_verts * b, v, own, prior);
    store3(grad_verts, k, rounded<T>(own));
    store3(grad_reference, k, rounded<T>(prior));
  }
}

// Leaves the offsets, or the adjoint where a gradient is given, in the working memory.
template <class T>
void solve(const MirrorFill<T>& all, const T* grad_completed, Memory memory, int64_t batch, Stream stream) {
  const int64_t items = batch * all.num_verts;
  launch(states_kernel<T>, items, stream, all, memory, items);
  launch(begin_kernel<T>, items, stream, all, grad_completed, memory, items);
  launch_blocks(conjugate_gradients_kernel, dim3(static_cast<unsigned>(3 * batch)), stream, all.offsets,
                all.neighbours, memory, all.num_verts);
}

}  // namespace

template <class T>
void complete_symmetry(const T* verts, const T* weights, const T* reference, const int64_t* mirror,
                       const int32_t* offsets, const int32_t* neighbours, const int32_t*, const int32_t*,
                       uint8_t* states, double* work, T* completed, uint8_t* source, int64_t batch, int64_t num_verts,
                       double threshold, bool soft, bool mirror_borders, Stream stream) {
  const int64_t items = batch * num_verts;
  if (items == 0) return;
  const MirrorFill<T> all{verts, weights, reference, mirror, offsets, neighbours, num_verts,
                          static_cast<T>(threshold), soft, mirror_borders};
  const Memory memory{work, states};
  solve<T>(all, nullptr, memory, batch, stream);
  launch(complete_kernel<T>, items, stream, all, memory, completed, source, items);
}

template <class T>
void complete_symmetry_backward(const T* verts, const T* weights, const T* reference, const int64_t* mirror,
                                const int32_t* offsets, const int32_t* neighbours, const int32_t*, const int32_t*,
                                const T* grad_completed, uint8_t* states, double* work, T* grad_verts,
                                T* grad_reference, int64_t batch, int64_t num_verts, double threshold, bool soft,
                                bool mirror_borders, Stream stream) {
  const int64_t items = batch * num_verts;
  if (items == 0) return;
  const MirrorFill<T> all{verts, weights, reference, mirror, offsets, neighbours, num_verts,
                          static_cast<T>(threshold), soft, mirror_borders};
  const Memory memory{work, states};
  solve<T>(all, grad_completed, memory, batch, stream);
  launch(grad_kernel<T>, items, stream, all, memory, grad_completed, grad_verts, grad_reference, items);
}

#define PF3D_INSTANCES(T)                                                                                            \
  template void complete_symmetry(const T*, const T*, const T*, const int64_t*, const int32_t*, const int32_t*,      \
                                  const int32_t*, const int32_t*, uint8_t*, double*, T*, uint8_t*, int64_t, int64_t, \
                                  double, bool, bool, Stream);                                                       \
  template void complete_symmetry_backward(const T*, const T*, const T*, const int64_t*, const int32_t*,             \
                                           const int32_t*, const int32_t*, const int32_t*, const T*, uint8_t*,       \
                                           double*, T*, T*, int64_t, int64_t, double, bool, bool, Stream)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cuda
