// csrc/cuda/mip_pyramid.cu -- a launch a level; one thread a number.
#include "core/mip.h"

#include "cuda/common.cuh"
#include "cuda/kernels.h"

namespace pyface3d::cuda {
namespace {

// Number `k` of a level: of which image, row, column and channel.
struct Place {
  int64_t image, channel;
  int32_t row, column;

  __device__ Place(int64_t k, int32_t height, int32_t width, int64_t channels) {
    channel = k % channels;
    k /= channels;
    column = static_cast<int32_t>(k % width);
    k /= width;
    row = static_cast<int32_t>(k % height);
    image = k / height;
  }
};

template <class T> __global__ void halve_kernel(Pyramid<T> pyramid, T* above, int32_t level, int64_t items) {
  const MipLevels& levels = pyramid.levels;
  const int32_t rows = levels.height[level - 1], columns = levels.width[level - 1];
  const int64_t channels = pyramid.texture.channels;
  PF3D_GRID_STRIDE(k, items) {
    const Place at(k, levels.height[level], levels.width[level], channels);
    const int64_t texel = static_cast<int64_t>(at.row) * levels.width[level] + at.column;
    above[pyramid.first(at.image, level) + texel * channels + at.channel] =
        weighted_box(pyramid.texels(at.image, level - 1), columns, channels, box_taps<T>(at.row, rows),
                     box_taps<T>(at.column, columns), at.channel);
  }
}

// Hands the gradient of `level` on to the one below.
template <class T>
__global__ void spread_kernel(Pyramid<T> pyramid, T* grad_below, bool add, int32_t level, int64_t items) {
  const MipLevels& levels = pyramid.levels;
  const int32_t rows = levels.height[level - 1], columns = levels.width[level - 1];
  const int64_t channels = pyramid.texture.channels;
  PF3D_GRID_STRIDE(k, items) {
    const Place at(k, rows, columns, channels);
    const T share = weighted_box(pyramid.texels(at.image, level), levels.width[level], channels,
                                 box_taps_vjp<T>(at.row, rows), box_taps_vjp<T>(at.column, columns), at.channel);
    const int64_t texel = static_cast<int64_t>(at.row) * columns + at.column;
    T& out = grad_below[pyramid.first(at.image, level - 1) + texel * channels + at.channel];
    out = add ? out + share : share;
  }
}

}  // namespace

template <class T>
void mip_pyramid(const T* texture, T* above, int64_t batch, int64_t height, int64_t width, int64_t channels,
                 Stream stream) {
  const Pyramid<T> pyramid({texture, batch, int32_t(height), int32_t(width), channels, kBilinear, kClamp}, above);
  const MipLevels& levels = pyramid.levels;
  for (int32_t level = 1; level < levels.count; ++level) {
    const int64_t items = batch * levels.height[level] * levels.width[level] * channels;
    launch(halve_kernel<T>, items, stream, pyramid, above, level, items);
  }
}

template <class T>
void mip_pyramid_backward(T* grad_above, T* grad_texture, int64_t batch, int64_t height, int64_t width,
                          int64_t channels, bool add, Stream stream) {
  const Pyramid<T> pyramid({grad_texture, batch, int32_t(height), int32_t(width), channels, kBilinear, kClamp},
                           grad_above);
  const MipLevels& levels = pyramid.levels;
  if (levels.count == 1 && !add)
    PF3D_CUDA_CHECK(cudaMemsetAsync(grad_texture, 0, sizeof(T) * batch * pyramid.texture.size(), stream));
  for (int32_t level = levels.count - 1; level > 0; --level) {
    const int64_t items = batch * levels.height[level - 1] * levels.width[level - 1] * channels;
    launch(spread_kernel<T>, items, stream, pyramid, level == 1 ? grad_texture : grad_above, level > 1 || add,
           level, items);
  }
}

#define PF3D_INSTANCES(T)                                                                     \
  template void mip_pyramid(const T*, T*, int64_t, int64_t, int64_t, int64_t, Stream);        \
  template void mip_pyramid_backward(T*, T*, int64_t, int64_t, int64_t, int64_t, bool, Stream)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cuda
