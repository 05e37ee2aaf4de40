// csrc/cuda/deform_conv2d.cu -- sampled columns are made in shared memory and multiplied there. Only the gradient of
// the input is added up atomically (sums.cuh); everything else is summed in a fixed order.
#include "core/deform.h"
#include "cuda/common.cuh"
#include "cuda/kernels.h"
#include "cuda/sums.cuh"

namespace pyface3d::cuda {
namespace {

constexpr int kTile = 64;   // positions, or outputs, of a block
constexpr int kDepth = 16;  // terms of a sum that are in shared memory together
constexpr int kOwn = 4;     // a thread has 4 x 4 results, or samples 4 channels
static_assert(kThreads == kTile * kDepth / kOwn && kThreads == kDepth * kDepth, "tiles are shared out evenly");

PF3D_HD int64_t tiles_of(int64_t count, int64_t size) { return (count + size - 1) / size; }

unsigned bounded(int64_t blocks) { return static_cast<unsigned>(std::min<int64_t>(blocks, max_blocks())); }

// for (each block of work of this block of threads)
#define PF3D_BLOCK_STRIDE(index, count) for (int64_t index = blockIdx.x; index < (count); index += gridDim.x)

// The four pixels of one sample; `tap` -1: none yet.
template <class T> struct Corners {
  int64_t tap = -1;
  bool inside = false;
  const T* pixels[4];
  T weights[4];

  __device__ void move_to(int64_t to, const DeformSizes& n, const T* slice, const T* offset, const T* mask,
                          int64_t image, int64_t group, int64_t position) {
    if (to == tap) return;
    tap = to;
    DeformSample<T> s = deform_sample(n, offset, mask, image, group, tap, position);
    inside = s.inside;
    deform_read_only_weighted(s);
    deform_corners(s, slice, n, pixels, weights);
  }
  __device__ T value(int64_t channel) const {
    T sum = T(0);
    for (int k = 0; inside && k < 4; ++k) sum += weights[k] * pixels[k][channel];
    return sum;
  }
};

// A block has kTile positions of an image by kTile outputs of a group.
template <class T>
__global__ void forward_kernel(const T* input, const T* offset, const T* mask, const T* weight, const T* bias,
                               T* output, DeformSizes n, int64_t blocks) {
  __shared__ T columns[kDepth][kTile], weights[kDepth][kTile];
  const int64_t tiles = tiles_of(n.positions(), kTile), out_tiles = tiles_of(n.group_outputs(), kTile);
  const int64_t terms = n.terms(), row = n.output_row();
  const int lane = threadIdx.x % kTile, part = threadIdx.x / kTile;
  PF3D_BLOCK_STRIDE(block, blocks) {
    const int64_t first = block % tiles * kTile, image = block / tiles / out_tiles / n.groups;
    const int64_t first_out = block / tiles % out_tiles * kTile, group = block / tiles / out_tiles % n.groups;
    T sums[kOwn][kOwn] = {};
    for (int64_t s = group * n.group_slices(); s < (group + 1) * n.group_slices(); ++s) {
      const T* slice = input + (image * n.slices + s) * n.pixels() * n.channels;
      Corners<T> corners;
      for (int64_t k0 = 0; k0 < terms; k0 += kDepth) {
        for (int i = 0; i < kOwn; ++i) {
          const int64_t k = k0 + kOwn * part + i;
          const bool there = k < terms && first + lane < n.positions();
          if (there)
            corners.move_to(k / n.channels, n, slice, offset, mask, image, s / n.offset_slices(), first + lane);
          columns[kOwn * part + i][lane] = there ? corners.value(k % n.channels) : T(0);
        }
        for (int i = 0; i < kOwn; ++i) {
          const int64_t k = k0 + kOwn * part + i;
          weights[kOwn * part + i][lane] =
              k < terms && first_out + lane < row ? weight[(s * terms + k) * row + first_out + lane] : T(0);
        }
        __syncthreads();
        for (int k = 0; k < kDepth; ++k)
          for (int i = 0; i < kOwn; ++i)
            for (int j = 0; j < kOwn; ++j)
              sums[i][j] = fma(weights[k][threadIdx.x / kDepth * kOwn + i],
                               columns[k][threadIdx.x % kDepth + kDepth * j], sums[i][j]);
        __syncthreads();
      }
    }
    for (int i = 0; i < kOwn; ++i) {
      for (int j = 0; j < kOwn; ++j) {
        const int64_t o = first_out + threadIdx.x / kDepth * kOwn + i, p = first + threadIdx.x % kDepth + kDepth * j;
        if (o >= n.group_outputs() || p >= n.positions()) continue;
        const int64_t out = group * n.group_outputs() + o;
        output[(image * n.out_channels + out) * n.positions() + p] = sums[i][j] + (bias ? bias[out] : T(0));
      }
    }
  }
}

// grads[i] += sum over the group's outputs of grad_rows and weights, for kOwn channels of this thread's position.
template <class T>
__device__ void multiply_back(const DeformSizes& n, const T* grad_rows, const T* weight, int64_t tap, int64_t first,
                              int64_t first_channel, T (&shared_grads)[kDepth][kTile + 1],
                              T (&shared_weights)[kDepth][kDepth], T (&grads)[kOwn]) {
  const int64_t outputs = n.group_outputs();
  const int lane = threadIdx.x % kTile, part = threadIdx.x / kTile;
  for (int64_t o0 = 0; o0 < outputs; o0 += kDepth) {
    for (int i = threadIdx.x; i < kDepth * kTile; i += kThreads) {
      const int64_t o = o0 + i % kDepth, p = first + i / kDepth;
      shared_grads[i % kDepth][i / kDepth] =
          o < outputs && p < n.positions() ? grad_rows[p * n.out_channels + o] : T(0);
    }
    const int64_t o = o0 + threadIdx.x / kDepth, c = first_channel + threadIdx.x % kDepth;
    shared_weights[threadIdx.x / kDepth][threadIdx.x % kDepth] =
        o < outputs && c < n.channels ? weight[o * n.term_row() + tap * n.channels + c] : T(0);
    __syncthreads();
    for (int k = 0; k < kDepth; ++k)
      for (int i = 0; i < kOwn; ++i)
        grads[i] = fma(shared_grads[k][lane], shared_weights[k][kOwn * part + i], grads[i]);
    __syncthreads();
  }
}

// A block has kTile positions of an image, one tap and one offset group, and goes through the group's channels.
template <class T, class Sum>
__global__ void samples_kernel(const T* input, const T* offset, const T* mask, const T* weight, const T* grad_rows,
                               Sum grad_input, T* grad_offset, T* grad_mask, DeformSizes n, int64_t blocks) {
  __shared__ T shared_grads[kDepth][kTile + 1], shared_weights[kDepth][kDepth];
  __shared__ T dots_of_parts[kThreads / kTile][4][kTile];
  const int64_t tiles = tiles_of(n.positions(), kTile);
  const int lane = threadIdx.x % kTile, part = threadIdx.x / kTile;
  PF3D_BLOCK_STRIDE(block, blocks) {
    const int64_t first = block % tiles * kTile, tap = block / tiles % n.taps(), position = first + lane;
    const int64_t group = block / tiles / n.taps() % n.offset_groups;
    const int64_t image = block / tiles / n.taps() / n.offset_groups;
    DeformSample<T> sample{};
    if (position < n.positions()) sample = deform_sample(n, offset, mask, image, group, tap, position);
    T dots[4] = {};
    for (int64_t s = group * n.offset_slices(); s < (group + 1) * n.offset_slices(); ++s) {
      const int64_t slice = (image * n.slices + s) * n.pixels() * n.channels;
      const T* pixels[4];
      T weights[4];
      if (sample.inside) deform_corners(sample, input + slice, n, pixels, weights);
      const T* rows = grad_rows + image * n.positions() * n.out_channels + s / n.group_slices() * n.group_outputs();
      for (int64_t c0 = 0; c0 < n.channels; c0 += kDepth) {
        T grads[kOwn] = {};
        multiply_back(n, rows, weight + s * n.group_outputs() * n.term_row(), tap, first, c0, shared_grads,
                      shared_weights, grads);
        for (int i = 0; sample.inside && i < kOwn; ++i) {
          const int64_t c = c0 + kOwn * part + i;
          if (c >= n.channels) break;
          for (int k = 0; k < 4; ++k) {
            dots[k] += grads[i] * pixels[k][c];
            if (grad_input && weights[k] != T(0))
              add_to(grad_input + (pixels[k] - input + c), grads[i] * weights[k]);
          }
        }
      }
    }
    for (int k = 0; k < 4; ++k) dots_of_parts[part][k][lane] = dots[k];
    __syncthreads();
    if (SumTraits<Sum>::kLast && part == 0 && position < n.positions()) {
      for (int other = 1; other < kThreads / kTile; ++other)
        for (int k = 0; k < 4; ++k) dots[k] += dots_of_parts[other][k][lane];
      const DeformGradient<T> g = sample.inside ? deform_vjp(sample, dots) : DeformGradient<T>{};
      const int64_t plane = (image * n.offset_groups + group) * n.taps() + tap;
      if (grad_offset) {
        grad_offset[2 * plane * n.positions() + position] = g.y;
        grad_offset[(2 * plane + 1) * n.positions() + position] = g.x;
      }
      if (grad_mask) grad_mask[plane * n.positions() + position] = g.mask;
    }
    __syncthreads();
  }
}

// A block has kTile outputs by 2 kDepth terms of a slice, and sums over its run of all images' positions.
template <class T>
__global__ void weight_kernel(const T* input, const T* offset, const T* mask, const T* grad_rows, T* grad_weight,
                              int64_t runs, DeformSizes n, int64_t blocks) {
  __shared__ T grads[kDepth][kTile], columns[kDepth][2 * kDepth + 1];
  const int64_t outputs = n.group_outputs(), row = n.term_row(), terms = n.terms(), count = n.batch * n.positions();
  const int64_t out_tiles = tiles_of(outputs, kTile), term_tiles = tiles_of(row, 2 * kDepth);
  PF3D_BLOCK_STRIDE(block, blocks) {
    const int64_t first_out = block % out_tiles * kTile, first_term = block / out_tiles % term_tiles * 2 * kDepth;
    const int64_t s = block / out_tiles / term_tiles % n.slices, run = block / out_tiles / term_tiles / n.slices;
    const int64_t last = (run + 1) * count / runs;
    T sums[kOwn][2] = {};
    for (int64_t p0 = run * count / runs; p0 < last; p0 += kDepth) {
      for (int i = threadIdx.x; i < kDepth * kTile; i += kThreads) {
        const int64_t p = p0 + i / kTile, o = first_out + i % kTile;
        grads[i / kTile][i % kTile] =
            p < last && o < outputs ? grad_rows[p * n.out_channels + s / n.group_slices() * outputs + o] : T(0);
      }
      const int64_t p = p0 + threadIdx.x % kDepth, image = p / n.positions();
      const T* slice = input + (image * n.slices + s) * n.pixels() * n.channels;
      Corners<T> corners;
      for (int i = 0; i < 2; ++i) {
        const int64_t k = first_term + threadIdx.x / kDepth * 2 + i;
        const bool there = p < last && k < terms;
        if (there)
          corners.move_to(k / n.channels, n, slice, offset, mask, image, s / n.offset_slices(), p % n.positions());
        columns[threadIdx.x % kDepth][threadIdx.x / kDepth * 2 + i] = there ? corners.value(k % n.channels) : T(0);
      }
      __syncthreads();
      for (int d = 0; d < kDepth; ++d)
        for (int i = 0; i < kOwn; ++i)
          for (int j = 0; j < 2; ++j)
            sums[i][j] = fma(grads[d][threadIdx.x / kDepth * kOwn + i], columns[d][threadIdx.x % kDepth + kDepth * j],
                             sums[i][j]);
      __syncthreads();
    }
    for (int i = 0; i < kOwn; ++i) {
      for (int j = 0; j < 2; ++j) {
        const int64_t o = first_out + threadIdx.x / kDepth * kOwn + i;
        const int64_t k = first_term + threadIdx.x % kDepth + kDepth * j;
        if (o < outputs && k < row) grad_weight[((run * n.slices + s) * outputs + o) * row + k] = sums[i][j];
      }
    }
  }
}

// parts (count, size): the sum over the first axis, in order, into the first.
template <class T> __global__ void sum_kernel(T* parts, int64_t count, int64_t size) {
  PF3D_GRID_STRIDE(i, size) {
    T sum = parts[i];
    for (int64_t k = 1; k < count; ++k) sum += parts[k * size + i];
    parts[i] = sum;
  }
}

// A block has one output.
template <class T>
__global__ void bias_kernel(const T* grad_rows, T* grad_bias, int64_t rows, int64_t out_channels) {
  __shared__ double sums[kThreads];
  PF3D_BLOCK_STRIDE(o, out_channels) {
    double sum = 0;
    for (int64_t p = threadIdx.x; p < rows; p += kThreads) sum += grad_rows[p * out_channels + o];
    sums[threadIdx.x] = sum;
    __syncthreads();
    for (int half = kThreads / 2; half > 0; half /= 2) {
      if (static_cast<int>(threadIdx.x) < half) sums[threadIdx.x] += sums[threadIdx.x + half];
      __syncthreads();
    }
    if (threadIdx.x == 0) grad_bias[o] = T(sums[0]);
    __syncthreads();
  }
}

}  // namespace

template <class T>
void deform_conv2d(const T* input, const T* offset, const T* mask, const T* weight, const T* bias, T* output,
                   int64_t batch, int64_t slices, int64_t channels, int64_t height, int64_t width,
                   int64_t out_channels, int64_t out_height, int64_t out_width, int64_t offset_groups, int64_t groups,
                   int64_t kernel_height, int64_t kernel_width, int64_t stride_y, int64_t stride_x, int64_t padding_y,
                   int64_t padding_x, int64_t dilation_y, int64_t dilation_x, Stream stream) {
  const DeformSizes n{batch,        slices,        channels,      height,       width,    out_channels,
                      out_height,   out_width,     offset_groups, groups,       kernel_height, kernel_width,
                      stride_y,     stride_x,      padding_y,     padding_x,    dilation_y,    dilation_x};
  const int64_t blocks =
      batch * groups * tiles_of(n.group_outputs(), kTile) * tiles_of(n.positions(), kTile);
  if (blocks == 0) return;
  launch_blocks(forward_kernel<T>, bounded(blocks), stream, input, offset, mask, weight, bias, output, n, blocks);
}

template <class T>
void deform_conv2d_backward(const T* input, const T* offset, const T* mask, const T* weight, const T* grad_rows,
                            T* grad_input, T* grad_offset, T* grad_mask, T* grad_weight, T* grad_bias, int64_t runs,
                            int64_t batch, int64_t slices, int64_t channels, int64_t height, int64_t width,
                            int64_t out_channels, int64_t out_height, int64_t out_width, int64_t offset_groups,
                            int64_t groups, int64_t kernel_height, int64_t kernel_width, int64_t stride_y,
                            int64_t stride_x, int64_t padding_y, int64_t padding_x, int64_t dilation_y,
                            int64_t dilation_x, int64_t* workspace, Stream stream) {
  const DeformSizes n{batch,        slices,        channels,      height,       width,    out_channels,
                      out_height,   out_width,     offset_groups, groups,       kernel_height, kernel_width,
                      stride_y,     stride_x,      padding_y,     padding_x,    dilation_y,    dilation_x};
  const int64_t sampled = batch * offset_groups * n.taps() * tiles_of(n.positions(), kTile);
  const auto draw = [&](auto input_sum) {
    if ((grad_input || grad_offset || grad_mask) && sampled > 0)
      launch_blocks(samples_kernel<T, decltype(input_sum)>, bounded(sampled), stream, input, offset, mask, weight,
                    grad_rows, input_sum, grad_offset, grad_mask, n, sampled);
  };
  const int64_t terms = 4 * n.taps() * n.positions();
  add_up(stream, draw, Summed<T>{grad_input, batch * slices * n.pixels() * channels, terms, workspace});
  const int64_t weights = slices * n.group_outputs() * n.term_row();
  if (grad_weight && weights > 0) {
    const int64_t blocks =
        runs * slices * tiles_of(n.group_outputs(), kTile) * tiles_of(n.term_row(), 2 * kDepth);
    launch_blocks(weight_kernel<T>, bounded(blocks), stream, input, offset, mask, grad_rows, grad_weight, runs, n,
                  blocks);
    launch(sum_kernel<T>, weights, stream, grad_weight, runs, weights);
  }
  if (grad_bias && out_channels > 0)
    launch_blocks(bias_kernel<T>, bounded(out_channels), stream, grad_rows, grad_bias, batch * n.positions(),
                  out_channels);
}

#define PF3D_SIZES                                                                                                   \
  int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,        \
      int64_t, int64_t, int64_t, int64_t, int64_t, int64_t
#define PF3D_INSTANCES(T)                                                                                            \
  template void deform_conv2d(const T*, const T*, const T*, const T*, const T*, T*, PF3D_SIZES, Stream);             \
  template void deform_conv2d_backward(const T*, const T*, const T*, const T*, const T*, T*, T*, T*, T*, T*,         \
                                       int64_t, PF3D_SIZES, int64_t*, Stream)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cuda
