// csrc/cuda/complete_symmetry.cu -- conjugate gradients, one block for each image and coordinate: the loop and its end
// are inside the kernel, so the host neither waits nor looks, and a graph can hold it. Preconditioner: one multigrid
// V-cycle over the aggregates of core/hierarchy.h, with Galerkin matrices on the hole at hand and a Jacobi step before
// and after. Sums are taken in a fixed order: repeatable to the bit.
#include "core/hierarchy.h"
#include "core/symmetry.h"
#include "cuda/common.cuh"
#include "cuda/kernels.h"

namespace pyface3d::cuda {
namespace {

constexpr double kResidual = 1e-11;   // of the right-hand side's norm, where the iteration ends
constexpr double kDamping = 0.7;      // of a Jacobi step; any value below 1 keeps the cycle positive definite
constexpr double kCorrection = 1.5;   // what a coarse level finds counts more: constant aggregates are too stiff
constexpr int kCoarsestSteps = 8;     // Jacobi steps on the last level
constexpr unsigned kAll = 0xffffffffu;

using Levels = Hierarchy<const int32_t>;

// Working memory of one image. A node is a vertex or an aggregate.
struct Work {
  double *diagonal, *weights, *offsets, *columns;  // (nodes), (edges of aggregates), (V, 3), and of each coordinate:
  uint8_t* states;                                 // x, p (V) and r, z, q (nodes)
  __device__ double* column(int64_t coordinate, const Levels& levels) const {
    return columns + coordinate * (2 * levels.num_verts + 3 * levels.nodes());
  }
};

__device__ int64_t work_size(const Levels& levels) {
  const int64_t n = levels.num_verts;
  return levels.nodes() + aggregate_edge_room(n) + 3 * n + 3 * (2 * n + 3 * levels.nodes());
}

struct Memory {
  double* numbers;
  uint8_t* states;
  __device__ Work of(int64_t image, const Levels& levels) const {
    const int64_t n = levels.num_verts;
    double* start = numbers + image * work_size(levels);
    double* weights = start + levels.nodes();
    double* offsets = weights + aggregate_edge_room(n);
    return {start, weights, offsets, offsets + 3 * n, states + image * n};
  }
};

template <class T> __device__ MirrorFill<T> image_of(MirrorFill<T> fill, int64_t b) {
  fill.verts += 3 * fill.num_verts * b;
  fill.weights += fill.num_verts * b;
  fill.reference += 3 * fill.num_verts * b;
  return fill;
}

// A diagonal of 0 says that a node has no part in the system.
template <class T> __global__ void states_kernel(MirrorFill<T> all, Levels levels, Memory memory, int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const int64_t b = k / all.num_verts, v = k % all.num_verts;
    const MirrorFill<T> fill = image_of(all, b);
    const Work work = memory.of(b, levels);
    const uint8_t state = vertex_state(fill, v);
    work.states[v] = state;
    work.diagonal[v] = (state & kHole) ? diagonal(fill, v) : 0.0;
  }
}

// r = b, x = p = 0; b is the system's own right-hand side, or the gradient where one is given.
template <class T>
__global__ void begin_kernel(MirrorFill<T> all, Levels levels, const T* grad_completed, Memory memory, int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const int64_t n = all.num_verts, b = k / n, v = k % n;
    const Work work = memory.of(b, levels);
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
      double* column = work.column(c, levels);
      column[v] = column[n + v] = 0.0;
      column[2 * n + v] = values[c];
    }
  }
}

// Galerkin matrices: the weight of a coarse edge is the sum of those it stands for, and the diagonal is that of the
// members less the edges inside. One block an image, level by level.
__global__ void coarsen_kernel(const int32_t* offsets, const int32_t* neighbours, Levels levels, Memory memory) {
  const Work work = memory.of(blockIdx.x, levels);
  const int64_t n = levels.num_verts;
  const int32_t *edge_offsets = levels.edge_offsets(), *edges = levels.neighbours(), *parents = levels.parents();
  for (int level = 1; level <= levels.levels(); ++level) {
    const int64_t end = levels.first(level + 1);
    for (int64_t a = levels.first(level) + threadIdx.x; a < end; a += blockDim.x) {
      const int32_t begin_edge = edge_offsets[a - n], end_edge = edge_offsets[a - n + 1];
      for (int32_t e = begin_edge; e < end_edge; ++e) work.weights[e] = 0.0;
      double sum = 0.0;
      for (int32_t i = levels.member_offsets()[a - n]; i < levels.member_offsets()[a - n + 1]; ++i) {
        const int32_t m = levels.members()[i];
        sum += work.diagonal[m];
        const bool fine = level == 1;
        if (fine && !(work.diagonal[m] > 0.0)) continue;
        const int32_t first = fine ? offsets[m] : edge_offsets[m - n];
        const int32_t last = fine ? offsets[m + 1] : edge_offsets[m - n + 1];
        for (int32_t k = first; k < last; ++k) {
          const int32_t other = fine ? neighbours[k] : edges[k];
          const double weight = fine ? (work.diagonal[other] > 0.0 ? 1.0 : 0.0) : work.weights[k];
          const int32_t across = parents[other];
          if (across == a) {
            sum -= weight;
            continue;
          }
          int32_t e = begin_edge;
          while (edges[e] != across) ++e;
          work.weights[e] += weight;
        }
      }
      work.diagonal[a] = sum;
    }
    __syncthreads();
  }
}

// The sum of `value` over the block, the same in every thread.
__device__ double block_sum(double value, double* shared) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_down_sync(kAll, value, step);
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  double sum = 0.0;
  for (unsigned w = 0; w < blockDim.x / 32; ++w) sum += shared[w];
  __syncthreads();
  return sum;
}

// One coordinate of one image, in the hands of one block.
struct System {
  const int32_t *offsets, *neighbours;
  Levels levels;
  const double *diagonal, *weights;
  double *r, *z, *q;  // (nodes)

  // Row i of the matrix of its level, times values, which are 0 where a node has no part.
  __device__ double product(const double* values, int64_t i) const {
    double sum = diagonal[i] * values[i];
    if (i < levels.num_verts) {
      for (int32_t k = offsets[i]; k < offsets[i + 1]; ++k) sum -= values[neighbours[k]];
    } else {
      const int64_t a = i - levels.num_verts;
      const int32_t *edges = levels.neighbours(), last = levels.edge_offsets()[a + 1];
      for (int32_t k = levels.edge_offsets()[a]; k < last; ++k) sum -= weights[k] * values[edges[k]];
    }
    return sum;
  }

  __device__ double step(double residual, int64_t i) const {
    return diagonal[i] > 0.0 ? kDamping * residual / diagonal[i] : 0.0;
  }

  // z moves by one Jacobi step on nodes [begin, end).
  __device__ void smooth(int64_t begin, int64_t end) const {
    for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x)
      q[i] = diagonal[i] > 0.0 ? z[i] + step(r[i] - product(z, i), i) : 0.0;
    __syncthreads();
    for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) z[i] = q[i];
    __syncthreads();
  }

  // z = preconditioner times r, on the vertices; what the levels above hold is overwritten.
  __device__ void cycle() const {
    const int top = levels.levels();
    const int32_t *members = levels.members(), *member_offsets = levels.member_offsets(), *parents = levels.parents();
    for (int level = 0; level <= top; ++level) {
      const int64_t begin = levels.first(level), end = levels.first(level + 1);
      for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) z[i] = step(r[i], i);
      __syncthreads();
      if (level == top) break;
      for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x)
        q[i] = diagonal[i] > 0.0 ? r[i] - product(z, i) : 0.0;
      __syncthreads();
      for (int64_t a = end + threadIdx.x; a < levels.first(level + 2); a += blockDim.x) {
        const int64_t k = a - levels.num_verts;
        double sum = 0.0;
        for (int32_t i = member_offsets[k]; i < member_offsets[k + 1]; ++i) sum += q[members[i]];
        r[a] = sum;
      }
      __syncthreads();
    }
    if (top > 0)
      for (int i = 1; i < kCoarsestSteps; ++i) smooth(levels.first(top), levels.first(top + 1));
    for (int level = top - 1; level >= 0; --level) {
      const int64_t begin = levels.first(level), end = levels.first(level + 1);
      for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x)
        if (diagonal[i] > 0.0 && parents[i] >= 0) z[i] += kCorrection * z[parents[i]];
      __syncthreads();
      smooth(begin, end);
    }
  }
};

__global__ void conjugate_gradients_kernel(const int32_t* offsets, const int32_t* neighbours, Levels levels,
                                           Memory memory) {
  __shared__ double shared[kThreads / 32];
  const int64_t n = levels.num_verts;
  const Work work = memory.of(blockIdx.x / 3, levels);
  const int coordinate = static_cast<int>(blockIdx.x % 3);
  double* x = work.column(coordinate, levels);
  double *p = x + n, *r = x + 2 * n, *z = r + levels.nodes(), *q = z + levels.nodes();
  const System system{offsets, neighbours, levels, work.diagonal, work.weights, r, z, q};
  double square = 0.0, product = 0.0, rz = 1.0;
  for (int64_t v = threadIdx.x; v < n; v += blockDim.x) square += r[v] * r[v];
  square = block_sum(square, shared);
  const double enough = kResidual * kResidual * square;
  // In exact arithmetic n steps are enough; rounding asks for more, never for this many.
  for (int64_t steps = 0; steps < 4 * n + 100 && square > enough; ++steps) {
    system.cycle();
    product = 0.0;
    for (int64_t v = threadIdx.x; v < n; v += blockDim.x) product += r[v] * z[v];
    product = block_sum(product, shared);
    const double beta = steps > 0 ? product / rz : 0.0;
    rz = product;
    for (int64_t v = threadIdx.x; v < n; v += blockDim.x) p[v] = z[v] + beta * p[v];
    __syncthreads();
    product = 0.0;
    for (int64_t v = threadIdx.x; v < n; v += blockDim.x) {
      q[v] = work.diagonal[v] > 0.0 ? system.product(p, v) : 0.0;
      product += p[v] * q[v];
    }
    const double alpha = rz / block_sum(product, shared);
    square = 0.0;
    for (int64_t v = threadIdx.x; v < n; v += blockDim.x) {
      x[v] += alpha * p[v];
      r[v] -= alpha * q[v];
      square += r[v] * r[v];
    }
    square = block_sum(square, shared);
  }
  for (int64_t v = threadIdx.x; v < n; v += blockDim.x) work.offsets[3 * v + coordinate] = x[v];
}

template <class T>
__global__ void complete_kernel(MirrorFill<T> all, Levels levels, Memory memory, T* completed, uint8_t* source,
                                int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const int64_t b = k / all.num_verts, v = k % all.num_verts;
    const Work work = memory.of(b, levels);
    store3(completed, k, completed_vertex(image_of(all, b), work.states[v], work.offsets, v));
    source[k] = vertex_source(work.states[v]);
  }
}

template <class T>
__global__ void grad_kernel(MirrorFill<T> all, Levels levels, Memory memory, const T* grad_completed, T* grad_verts,
                            T* grad_reference, int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const int64_t b = k / all.num_verts, v = k % all.num_verts;
    const Work work = memory.of(b, levels);
    Vec3<double> own, prior;
    vertex_grad(image_of(all, b), work.states, work.offsets, grad_completed + 3 * all.num_verts * b, v, own, prior);
    store3(grad_verts, k, rounded<T>(own));
    store3(grad_reference, k, rounded<T>(prior));
  }
}

// Leaves the offsets, or the adjoint where a gradient is given, in the working memory.
template <class T>
void solve(const MirrorFill<T>& all, const Levels& levels, const T* grad_completed, const Memory& memory,
           int64_t batch, Stream stream) {
  const int64_t items = batch * all.num_verts;
  const unsigned images = static_cast<unsigned>(batch);
  launch(states_kernel<T>, items, stream, all, levels, memory, items);
  launch(begin_kernel<T>, items, stream, all, levels, grad_completed, memory, items);
  launch_blocks(coarsen_kernel, dim3(images), stream, all.offsets, all.neighbours, levels, memory);
  launch_blocks(conjugate_gradients_kernel, dim3(3 * images), stream, all.offsets, all.neighbours, levels, memory);
}

}  // namespace

template <class T>
void complete_symmetry(const T* verts, const T* weights, const T* reference, const int64_t* mirror,
                       const int32_t* offsets, const int32_t* neighbours, const int32_t*, const int32_t*,
                       const int32_t* hierarchy, uint8_t* states, double* work, T* completed, uint8_t* source,
                       int64_t batch, int64_t num_verts, double threshold, bool soft, bool mirror_borders,
                       Stream stream) {
  const int64_t items = batch * num_verts;
  if (items == 0) return;
  const MirrorFill<T> all{verts, weights, reference, mirror, offsets, neighbours, num_verts,
                          static_cast<T>(threshold), soft, mirror_borders};
  const Memory memory{work, states};
  const Levels levels{hierarchy, num_verts};
  solve<T>(all, levels, nullptr, memory, batch, stream);
  launch(complete_kernel<T>, items, stream, all, levels, memory, completed, source, items);
}

template <class T>
void complete_symmetry_backward(const T* verts, const T* weights, const T* reference, const int64_t* mirror,
                                const int32_t* offsets, const int32_t* neighbours, const int32_t*, const int32_t*,
                                const int32_t* hierarchy, const T* grad_completed, uint8_t* states, double* work,
                                T* grad_verts, T* grad_reference, int64_t batch, int64_t num_verts, double threshold,
                                bool soft, bool mirror_borders, Stream stream) {
  const int64_t items = batch * num_verts;
  if (items == 0) return;
  const MirrorFill<T> all{verts, weights, reference, mirror, offsets, neighbours, num_verts,
                          static_cast<T>(threshold), soft, mirror_borders};
  const Memory memory{work, states};
  const Levels levels{hierarchy, num_verts};
  solve<T>(all, levels, grad_completed, memory, batch, stream);
  launch(grad_kernel<T>, items, stream, all, levels, memory, grad_completed, grad_verts, grad_reference, items);
}

#define PF3D_INSTANCES(T)                                                                                            \
  template void complete_symmetry(const T*, const T*, const T*, const int64_t*, const int32_t*, const int32_t*,      \
                                  const int32_t*, const int32_t*, const int32_t*, uint8_t*, double*, T*, uint8_t*,   \
                                  int64_t, int64_t, double, bool, bool, Stream);                                     \
  template void complete_symmetry_backward(const T*, const T*, const T*, const int64_t*, const int32_t*,             \
                                           const int32_t*, const int32_t*, const int32_t*, const int32_t*, const T*, \
                                           uint8_t*, double*, T*, T*, int64_t, int64_t, double, bool, bool, Stream)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cuda
