// csrc/cuda/blend_shapes.cu -- one thread a column of the basis and kItems items of the batch; dot products by blocks.
// Every sum has a fixed order: the same bits every run.
#include "cuda/common.cuh"
#include "cuda/kernels.h"

namespace pyface3d::cuda {
namespace {

constexpr int kItems = 8;  // of the batch, summed side by side

// start null: 0. factors element (i, k) is at i * factor_row + k * factor_column; rows (terms, columns), out (results,
// columns).
template <class T>
__global__ void sum_rows_kernel(const T* factors, int64_t factor_row, int64_t factor_column, const T* rows,
                                const T* start, int64_t start_row, T* out, int64_t results, int64_t terms,
                                int64_t columns, int64_t items) {
  PF3D_GRID_STRIDE(item, items) {
    const int64_t column = item % columns, first = item / columns * kItems;
    const int count = static_cast<int>(results - first < kItems ? results - first : kItems);
    T sums[kItems] = {};
    for (int i = 0; i < kItems; ++i)
      if (start && i < count) sums[i] = start[(first + i) * start_row + column];
    for (int64_t k = 0; k < terms; ++k) {
      const T value = rows[k * columns + column];
      for (int i = 0; i < kItems; ++i)
        if (i < count) sums[i] = fma(factors[(first + i) * factor_row + k * factor_column], value, sums[i]);
    }
    for (int i = 0; i < kItems; ++i)
      if (i < count) out[(first + i) * columns + column] = sums[i];
  }
}

// A block has one shape and kItems items of the batch: dots of their gradients and the shape.
template <class T>
__global__ void dots_kernel(const T* grad_verts, const T* basis, T* grad_coefficients, int64_t batch, int64_t shapes,
                            int64_t numbers, int64_t blocks) {
  __shared__ T parts[kItems][kThreads];
  for (int64_t block = blockIdx.x; block < blocks; block += gridDim.x) {
    const int64_t shape = block % shapes, first = block / shapes * kItems;
    const int count = static_cast<int>(batch - first < kItems ? batch - first : kItems);
    T sums[kItems] = {};
    for (int64_t n = threadIdx.x; n < numbers; n += kThreads) {
      const T value = basis[shape * numbers + n];
      for (int i = 0; i < kItems; ++i)
        if (i < count) sums[i] = fma(grad_verts[(first + i) * numbers + n], value, sums[i]);
    }
    for (int i = 0; i < kItems; ++i) parts[i][threadIdx.x] = sums[i];
    __syncthreads();
    for (int half = kThreads / 2; half > 0; half /= 2) {
      if (static_cast<int>(threadIdx.x) < half)
        for (int i = 0; i < kItems; ++i) parts[i][threadIdx.x] += parts[i][threadIdx.x + half];
      __syncthreads();
    }
    if (static_cast<int>(threadIdx.x) < count)
      grad_coefficients[(first + threadIdx.x) * shapes + shape] = parts[threadIdx.x][0];
    __syncthreads();
  }
}

template <class T>
__global__ void mean_kernel(const T* grad_verts, T* grad_mean, int64_t summed, int64_t numbers, int64_t items) {
  PF3D_GRID_STRIDE(i, items) {
    T sum = T(0);
    for (int64_t b = 0; b < summed; ++b) sum += grad_verts[b * numbers + i];
    grad_mean[i] = sum;
  }
}

template <class T>
void sum_rows(const T* factors, int64_t factor_row, int64_t factor_column, const T* rows, const T* start,
              int64_t start_row, T* out, int64_t results, int64_t terms, int64_t columns, Stream stream) {
  const int64_t items = (results + kItems - 1) / kItems * columns;
  launch(sum_rows_kernel<T>, items, stream, factors, factor_row, factor_column, rows, start, start_row, out, results,
         terms, columns, items);
}

}  // namespace

template <class T>
void blend_shapes(const T* coefficients, const T* basis, const T* mean, T* verts, int64_t batch, int64_t means,
                  int64_t shapes, int64_t numbers, Stream stream) {
  const int64_t one = 1, mean_row = means == 1 ? 0 : numbers;
  sum_rows(coefficients, shapes, one, basis, mean, mean_row, verts, batch, shapes, numbers, stream);
}

template <class T>
void blend_shapes_backward(const T* coefficients, const T* basis, const T* grad_verts, T* grad_coefficients,
                           T* grad_basis, T* grad_mean, int64_t batch, int64_t means, int64_t shapes, int64_t numbers,
                           Stream stream) {
  const int64_t blocks = (batch + kItems - 1) / kItems * shapes;
  if (grad_coefficients && blocks > 0)
    launch_blocks(dots_kernel<T>, static_cast<unsigned>(std::min<int64_t>(blocks, 1 << 20)), stream, grad_verts, basis,
                  grad_coefficients, batch, shapes, numbers, blocks);
  if (grad_basis)
    sum_rows<T>(coefficients, 1, shapes, grad_verts, nullptr, 0, grad_basis, shapes, batch, numbers, stream);
  if (grad_mean)
    launch(mean_kernel<T>, means * numbers, stream, grad_verts, grad_mean, means == 1 ? batch : int64_t(1), numbers,
           means * numbers);
}

#define PF3D_INSTANCES(T)                                                                                            \
  template void blend_shapes(const T*, const T*, const T*, T*, int64_t, int64_t, int64_t, int64_t, Stream);          \
  template void blend_shapes_backward(const T*, const T*, const T*, T*, T*, T*, int64_t, int64_t, int64_t, int64_t,  \
                                      Stream)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cuda
