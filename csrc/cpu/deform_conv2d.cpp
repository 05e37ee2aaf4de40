// csrc/cpu/deform_conv2d.cpp -- sampled columns of a few positions at a time, multiplied while they are in cache.
// Forward: a piece of positions at a time, all slices in order. Backward: a run of images and a slice at a time; what
// several runs or slices add to is kept apart and summed in order at the end. The same bits for any thread count.
#include <algorithm>
#include <vector>

#include "core/deform.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/product.h"
#include "cpu/scratch.h"

namespace pyface3d::cpu {
namespace {

constexpr int64_t kPiece = 96;  // positions whose columns are in cache together
constexpr int64_t kGrain = 16384;
constexpr int64_t kWork = 1 << 21;  // multiplications that are worth a thread

// Channels of a pixel side by side: eight or, where a register holds fewer, as many as it does.
template <class T> constexpr int kSide = kLanes<T> < 8 ? kLanes<T> : 8;
template <class T> using Side = Lanes<T, kSide<T>>;

// column[c] = sum of four pixels' channels by weights.
template <class T>
void mix_pixels(const T* const (&pixels)[4], const T (&weights)[4], T* column, int64_t channels) {
  int64_t c = 0;
  for (; c + kSide<T> <= channels; c += kSide<T>) {
    Side<T> sum = load_lanes<Side<T>>(pixels[0] + c) * splat<Side<T>>(weights[0]);
    for (int k = 1; k < 4; ++k)
      sum = mul_add(load_lanes<Side<T>>(pixels[k] + c), splat<Side<T>>(weights[k]), sum);
    store_lanes(column + c, sum);
  }
  for (; c < channels; ++c) {
    T sum = pixels[0][c] * weights[0];
    for (int k = 1; k < 4; ++k) sum = pixels[k][c] * weights[k] + sum;
    column[c] = sum;
  }
}

// columns (count, taps, channels), rows `row` apart: what the kernel of positions first.. sees of a slice.
template <class T>
void sample_columns(const DeformSizes& n, const T* slice_input, const T* offset, const T* mask, int64_t image,
                    int64_t group, int64_t first, int64_t count, T* columns, int64_t row) {
  for (int64_t tap = 0; tap < n.taps(); ++tap) {
    for (int64_t p = 0; p < count; ++p) {
      T* column = columns + p * row + tap * n.channels;
      DeformSample<T> s = deform_sample(n, offset, mask, image, group, tap, first + p);
      if (!s.inside) {
        std::fill(column, column + n.channels, T(0));
        continue;
      }
      deform_read_only_weighted(s);
      const T* pixels[4];
      T weights[4];
      deform_corners(s, slice_input, n, pixels, weights);
      mix_pixels(pixels, weights, column, n.channels);
    }
  }
}

// dots[k] = sum over channels of grad[c] pixels[k][c]; adds weights[k] grad[c] to the pixels' gradients.
template <class T>
void pull_back_pixels(const T* const (&pixels)[4], const T (&weights)[4], const T* grad, T* const (&grad_pixels)[4],
                      bool want_input, T (&dots)[4], int64_t channels) {
  Side<T> sums[4] = {};
  int64_t c = 0;
  for (; c + kSide<T> <= channels; c += kSide<T>) {
    const Side<T> g = load_lanes<Side<T>>(grad + c);
    for (int k = 0; k < 4; ++k) sums[k] = mul_add(g, load_lanes<Side<T>>(pixels[k] + c), sums[k]);
    for (int k = 0; want_input && k < 4; ++k) {
      T* at = grad_pixels[k] + c;
      store_lanes(at, mul_add(g, splat<Side<T>>(weights[k]), load_lanes<Side<T>>(at)));
    }
  }
  for (int k = 0; k < 4; ++k) {
    T lanes[kSide<T>];
    store_lanes(lanes, sums[k]);
    for (int half = kSide<T> / 2; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
    dots[k] = lanes[0];
  }
  for (; c < channels; ++c) {
    for (int k = 0; k < 4; ++k) {
      dots[k] += grad[c] * pixels[k][c];
      if (want_input) grad_pixels[k][c] += grad[c] * weights[k];
    }
  }
}

// The places of one slice's gradients; null where not wanted.
template <class T> struct SliceGradients {
  T* input;   // (pixels, channels)
  T* offset;  // (2 taps, positions)
  T* mask;    // (taps, positions)
};

template <class T>
void pull_back_columns(const DeformSizes& n, const T* slice_input, const T* offset, const T* mask, int64_t image,
                       int64_t group, int64_t first, int64_t count, const T* grad_columns, int64_t row,
                       SliceGradients<T> grads) {
  for (int64_t tap = 0; tap < n.taps(); ++tap) {
    for (int64_t p = 0; p < count; ++p) {
      const DeformSample<T> s = deform_sample(n, offset, mask, image, group, tap, first + p);
      DeformGradient<T> g{};
      if (s.inside) {
        const T* pixels[4];
        T* grad_pixels[4];
        T weights[4], dots[4];
        deform_corners(s, slice_input, n, pixels, weights);
        for (int k = 0; k < 4; ++k) grad_pixels[k] = grads.input + (pixels[k] - slice_input);
        pull_back_pixels(pixels, weights, grad_columns + p * row + tap * n.channels, grad_pixels,
                         grads.input != nullptr, dots, n.channels);
        g = deform_vjp(s, dots);
      }
      const int64_t at = first + p, positions = n.positions();
      if (grads.offset) {
        grads.offset[2 * tap * positions + at] = g.y;
        grads.offset[(2 * tap + 1) * positions + at] = g.x;
      }
      if (grads.mask) grads.mask[tap * positions + at] = g.mask;
    }
  }
}

// parts (count, size): the sum over the first axis, in order, into the first.
template <class T> void sum_parts(T* parts, int64_t count, int64_t size, int threads) {
  if (!parts || count < 2) return;
  parallel_for(threads, size, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t k = 1; k < count; ++k)
      for (int64_t i = begin; i < end; ++i) parts[i] += parts[k * size + i];
  });
}

template <class T> void sum_bias(const DeformSizes& n, const T* grad_rows, T* grad_bias) {
  std::vector<double> sums(n.out_channels);
  for (int64_t p = 0; p < n.batch * n.positions(); ++p)
    for (int64_t o = 0; o < n.out_channels; ++o) sums[o] += grad_rows[p * n.out_channels + o];
  std::copy(sums.begin(), sums.end(), grad_bias);
}

}  // namespace

template <class T>
void deform_conv2d(const T* input, const T* offset, const T* mask, const T* weight, const T* bias, T* output,
                   int64_t batch, int64_t slices, int64_t channels, int64_t height, int64_t width,
                   int64_t out_channels, int64_t out_height, int64_t out_width, int64_t offset_groups, int64_t groups,
                   int64_t kernel_height, int64_t kernel_width, int64_t stride_y, int64_t stride_x, int64_t padding_y,
                   int64_t padding_x, int64_t dilation_y, int64_t dilation_x, int threads) {
  const DeformSizes n{batch,        slices,        channels,      height,       width,    out_channels,
                      out_height,   out_width,     offset_groups, groups,       kernel_height, kernel_width,
                      stride_y,     stride_x,      padding_y,     padding_x,    dilation_y,    dilation_x};
  const int64_t positions = n.positions(), pieces = (positions + kPiece - 1) / kPiece;
  const int64_t outputs = n.group_outputs(), out_row = n.output_row(), terms = n.terms();
  const int64_t grain = 1 + kWork / (1 + kPiece * terms * slices * out_row);
  parallel_for(threads, batch * pieces, grain, [&](int64_t begin, int64_t end) {
    T* columns = scratch<T>(kPiece * (terms + out_row * groups));
    T* sums = columns + kPiece * terms;  // (group, kPiece, out_row)
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t image = piece / pieces, first = piece % pieces * kPiece;
      const int64_t count = std::min(kPiece, positions - first);
      std::fill(sums, sums + kPiece * out_row * groups, T(0));
      for (int64_t s = 0; s < slices; ++s) {
        sample_columns(n, input + (image * slices + s) * n.pixels() * channels, offset, mask, image,
                       s / n.offset_slices(), first, count, columns, terms);
        add_product({columns, terms, 1}, weight + s * terms * out_row, out_row,
                    sums + s / n.group_slices() * kPiece * out_row, out_row, count, out_row, terms);
      }
      for (int64_t o = 0; o < out_channels; ++o) {
        T* out = output + (image * out_channels + o) * positions + first;
        const T* sum = sums + o / outputs * kPiece * out_row + o % outputs;
        for (int64_t p = 0; p < count; ++p) out[p] = sum[p * out_row] + (bias ? bias[o] : T(0));
      }
    }
  });
}

template <class T>
void deform_conv2d_backward(const T* input, const T* offset, const T* mask, const T* weight, const T* grad_rows,
                            T* grad_input, T* grad_offset, T* grad_mask, T* grad_weight, T* grad_bias, int64_t runs,
                            int64_t batch, int64_t slices, int64_t channels, int64_t height, int64_t width,
                            int64_t out_channels, int64_t out_height, int64_t out_width, int64_t offset_groups,
                            int64_t groups, int64_t kernel_height, int64_t kernel_width, int64_t stride_y,
                            int64_t stride_x, int64_t padding_y, int64_t padding_x, int64_t dilation_y,
                            int64_t dilation_x, int threads) {
  const DeformSizes n{batch,        slices,        channels,      height,       width,    out_channels,
                      out_height,   out_width,     offset_groups, groups,       kernel_height, kernel_width,
                      stride_y,     stride_x,      padding_y,     padding_x,    dilation_y,    dilation_x};
  const int64_t positions = n.positions(), outputs = n.group_outputs(), row = n.term_row();
  const int64_t taps = n.taps(), shared = n.offset_slices(), plane = batch * offset_groups * taps * positions;
  const bool want_samples = grad_input || grad_offset || grad_mask;
  parallel_for(threads, runs * slices, 1, [&](int64_t begin, int64_t end) {
    T* columns = scratch<T>(2 * kPiece * row);
    T* grad_columns = columns + kPiece * row;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t run = task / slices, s = task % slices, group = s / shared;
      T* grad_weights = grad_weight ? grad_weight + task * outputs * row : nullptr;
      if (grad_weights) std::fill(grad_weights, grad_weights + outputs * row, T(0));
      for (int64_t image = run * batch / runs; image < (run + 1) * batch / runs; ++image) {
        const int64_t slice_at = (image * slices + s) * n.pixels() * channels;
        const int64_t group_at = (image * offset_groups + group) * taps * positions;
        const SliceGradients<T> grads{grad_input ? grad_input + slice_at : nullptr,
                                      grad_offset ? grad_offset + 2 * (s % shared * plane + group_at) : nullptr,
                                      grad_mask ? grad_mask + s % shared * plane + group_at : nullptr};
        if (grad_input) std::fill(grads.input, grads.input + n.pixels() * channels, T(0));
        for (int64_t first = 0; first < positions; first += kPiece) {
          const int64_t count = std::min(kPiece, positions - first);
          const T* grad = grad_rows + (image * positions + first) * out_channels + s / n.group_slices() * outputs;
          if (want_samples) {
            std::fill(grad_columns, grad_columns + count * row, T(0));
            add_product({grad, out_channels, 1}, weight + s * outputs * row, row, grad_columns, row, count, row,
                        outputs);
            pull_back_columns(n, input + slice_at, offset, mask, image, group, first, count, grad_columns, row, grads);
          }
          if (grad_weights) {
            for (int64_t p = 0; p < count; ++p)
              std::fill(columns + p * row + n.terms(), columns + (p + 1) * row, T(0));
            sample_columns(n, input + slice_at, offset, mask, image, group, first, count, columns, row);
            add_product({grad, 1, out_channels}, columns, row, grad_weights, row, outputs, row, count);
          }
        }
      }
    }
  });
  sum_parts(grad_offset, shared, 2 * plane, threads);
  sum_parts(grad_mask, shared, plane, threads);
  sum_parts(grad_weight, runs, slices * outputs * row, threads);
  if (grad_bias) sum_bias(n, grad_rows, grad_bias);
}

#define PF3D_SIZES                                                                                                   \
  int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,        \
      int64_t, int64_t, int64_t, int64_t, int64_t, int64_t
#define PF3D_INSTANCES(T)                                                                                            \
  template void deform_conv2d(const T*, const T*, const T*, const T*, const T*, T*, PF3D_SIZES, int);                \
  template void deform_conv2d_backward(const T*, const T*, const T*, const T*, const T*, T*, T*, T*, T*, T*,         \
                                       int64_t, PF3D_SIZES, int)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cpu
