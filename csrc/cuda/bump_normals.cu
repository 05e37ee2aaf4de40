// csrc/cuda/bump_normals.cu -- one thread a pixel. Backward, a block makes the gradients on the steps of a tile of
// pixels and of the ring around it in shared memory, then every pixel gathers: no atomics, the same bits every run.
#include "core/bump_normal.h"
#include "cuda/common.cuh"
#include "cuda/kernels.h"

namespace pyface3d::cuda {
namespace {

constexpr int kTileWidth = 32, kTileHeight = kThreads / kTileWidth;
constexpr int kRingWidth = kTileWidth + 2, kRingHeight = kTileHeight + 2;
constexpr int kStepNumbers = 8;  // in SurfaceSteps

template <class T> __global__ void forward_kernel(ReliefMaps<T> maps, T* bumped, int64_t items) {
  const int64_t pixels = maps.height * maps.width;
  PF3D_GRID_STRIDE(k, items) {
    const int64_t b = k / pixels, p = k % pixels;
    const ReliefMaps<T> image = image_of(maps, b);
    const SurfaceLinks links = surface_links(image, p / maps.width, p % maps.width);
    store3(bumped, k, bump_normal(load3(image.normals, p), surface_steps(image, p, links)));
  }
}

template <class T>
__global__ void backward_kernel(ReliefMaps<T> maps, const T* grad_bumped, T* grad_positions, T* grad_normals,
                                T* grad_bump, int64_t columns, int64_t tiles_an_image, int64_t tiles) {
  __shared__ T grads[kStepNumbers][kRingHeight * kRingWidth];  // neighbours in a row lie in different banks
  const int64_t pixels = maps.height * maps.width;
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int64_t b = tile / tiles_an_image, in_image = tile % tiles_an_image;
    const int64_t top = in_image / columns * kTileHeight, left = in_image % columns * kTileWidth;
    const ReliefMaps<T> image = image_of(maps, b);
    for (int i = threadIdx.x; i < kRingHeight * kRingWidth; i += kThreads) {
      const int y = i / kRingWidth, x = i % kRingWidth;
      const int64_t row = top + y - 1, column = left + x - 1;
      if (row < 0 || row >= maps.height || column < 0 || column >= maps.width) continue;
      const int64_t p = row * maps.width + column;
      const SurfaceSteps<T> steps = surface_steps(image, p, surface_links(image, row, column));
      Vec3<T> grad_normal;
      SurfaceSteps<T> grad;
      bump_normal_vjp(load3(image.normals, p), steps, load3(grad_bumped, b * pixels + p), grad_normal, grad);
      const T numbers[kStepNumbers] = {grad.s.x, grad.s.y, grad.s.z,    grad.t.x,
                                       grad.t.y, grad.t.z, grad.bump_s, grad.bump_t};
      for (int n = 0; n < kStepNumbers; ++n) grads[n][i] = numbers[n];
      const bool inside = y > 0 && y <= kTileHeight && x > 0 && x <= kTileWidth;
      if (grad_normals && inside) store3(grad_normals, b * pixels + p, grad_normal);
    }
    __syncthreads();
    const int y = threadIdx.x / kTileWidth, x = threadIdx.x % kTileWidth;
    const int64_t row = top + y, column = left + x;
    if (row < maps.height && column < maps.width) {
      const int64_t k = b * pixels + row * maps.width + column;
      const auto at = [&](int64_t q) {
        return SurfaceSteps<T>{{grads[0][q], grads[1][q], grads[2][q]},
                               {grads[3][q], grads[4][q], grads[5][q]},
                               grads[6][q],
                               grads[7][q]};
      };
      const ReliefGrad<T> grad =
          gathered_steps<T>(surface_links(image, row, column), at, int64_t(y + 1) * kRingWidth + x + 1, kRingWidth);
      if (grad_positions) store3(grad_positions, k, grad.position);
      if (grad_bump) grad_bump[k] = grad.bump;
    }
    __syncthreads();
  }
}

}  // namespace

template <class T>
void bump_normals(const T* positions, const T* normals, const T* bump, const bool* mask, T* bumped, int64_t batch,
                  int64_t height, int64_t width, double max_gap, Stream stream) {
  const ReliefMaps<T> maps{positions, normals, bump, mask, height, width, T(max_gap)};
  const int64_t items = batch * height * width;
  launch(forward_kernel<T>, items, stream, maps, bumped, items);
}

template <class T>
void bump_normals_backward(const T* positions, const T* normals, const T* bump, const bool* mask, const T* grad_bumped,
                           T* grad_positions, T* grad_normals, T* grad_bump, int64_t batch, int64_t height,
                           int64_t width, double max_gap, Stream stream) {
  const ReliefMaps<T> maps{positions, normals, bump, mask, height, width, T(max_gap)};
  const int64_t columns = (width + kTileWidth - 1) / kTileWidth, rows = (height + kTileHeight - 1) / kTileHeight;
  const int64_t tiles = batch * rows * columns;
  if (tiles == 0) return;
  launch_blocks(backward_kernel<T>, dim3(blocks_for(tiles * kThreads)), stream, maps, grad_bumped, grad_positions,
                grad_normals, grad_bump, columns, rows * columns, tiles);
}

#define PF3D_INSTANCES(T)                                                                                          \
  template void bump_normals(const T*, const T*, const T*, const bool*, T*, int64_t, int64_t, int64_t, double,     \
                             Stream);                                                                              \
  template void bump_normals_backward(const T*, const T*, const T*, const bool*, const T*, T*, T*, T*, int64_t,    \
                                      int64_t, int64_t, double, Stream)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cuda
