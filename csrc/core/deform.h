// csrc/core/deform.h -- where a deformable convolution samples its input, and the pull-back of a gradient on a sample.
// Pixel (y, x) of the input stands at the integers (y, x); the picture is surrounded by zeros, so that a point less
// than one pixel outside still mixes with them. One further out, or not finite, samples 0 and passes no gradient on.
// Sources: Dai et al., "Deformable convolutional networks", ICCV 2017, eq. 2-4; Zhu et al., "Deformable ConvNets v2",
// CVPR 2019, eq. 1 (the mask).
#pragma once
#include "core/vec.h"

namespace pyface3d {

// Sizes of one call; height width and out_height out_width are below 2^31. Channels are taken in `slices` of `channels`
// neighbours that share their offsets and the group of the convolution; offset groups and groups are runs of slices.
struct DeformSizes {
  int64_t batch, slices, channels, height, width;
  int64_t out_channels, out_height, out_width;
  int64_t offset_groups, groups;
  int64_t kernel_height, kernel_width, stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x;

  PF3D_HD int64_t taps() const { return kernel_height * kernel_width; }
  PF3D_HD int64_t terms() const { return taps() * channels; }  // of one slice: what one output sums over
  PF3D_HD int64_t pixels() const { return height * width; }
  PF3D_HD int64_t positions() const { return out_height * out_width; }
  PF3D_HD int64_t group_outputs() const { return out_channels / groups; }
  PF3D_HD int64_t group_slices() const { return slices / groups; }
  PF3D_HD int64_t offset_slices() const { return slices / offset_groups; }
  // Rows of the packed weights, and of every matrix made from them, are filled up with zeros to whole vectors.
  static constexpr int64_t kRow = 16;
  PF3D_HD int64_t output_row() const { return (group_outputs() + kRow - 1) / kRow * kRow; }
  PF3D_HD int64_t term_row() const { return (terms() + kRow - 1) / kRow * kRow; }
};

// A point along one axis: pixels `low` and `low + step` with weights 1 - t and t where they exist; `slope_*` are the
// weights' derivatives. `low` is always a pixel, and `step` leads to one.
template <class T> struct DeformAxis {
  int64_t low, step;
  T low_weight, high_weight, low_slope, high_slope;
};

template <class T> PF3D_HD bool deform_inside(T x, int64_t size) { return x > T(-1) && x < T(size); }  // NaN is not

// `x` must be inside.
template <class T> PF3D_HD DeformAxis<T> deform_axis(T x, int64_t size) {
  const T below = floor(x), t = x - below;
  const int64_t i = static_cast<int64_t>(below);
  const bool has_low = i >= 0, has_high = i + 1 < size;
  return {has_low ? i : 0,           has_low && has_high ? 1 : 0,   has_low ? T(1) - t : T(0),
          has_high ? t : T(0),       has_low ? T(-1) : T(0),        has_high ? T(1) : T(0)};
}

// A sample mixes four pixels a b / c d, numbered 0..3.
template <class T> struct DeformSample {
  bool inside;
  T mask;
  DeformAxis<T> y, x;
};

// Its pixels' channels in a slice (pixels, channels) of the input, and their weights, the mask included.
template <class T>
PF3D_HD void deform_corners(const DeformSample<T>& s, const T* slice, const DeformSizes& n, const T* (&pixels)[4],
                            T (&weights)[4]) {
  for (int k = 0; k < 4; ++k) {
    const int64_t y = s.y.low + (k < 2 ? 0 : s.y.step), x = s.x.low + (k % 2 ? s.x.step : 0);
    pixels[k] = slice + (y * n.width + x) * n.channels;
    weights[k] = (k < 2 ? s.y.low_weight : s.y.high_weight) * (k % 2 ? s.x.high_weight : s.x.low_weight) * s.mask;
  }
}

// A pixel of weight 0 is not read: it must not bring in a NaN from a place that the sample does not touch. Then the
// neighbour that is read anyway stands in for it.
template <class T> PF3D_HD void deform_read_only_weighted(DeformSample<T>& s) {
  if (!(s.y.high_weight > T(0))) s.y.step = 0;
  if (!(s.x.high_weight > T(0))) s.x.step = 0;
}

// The sample of `position` (row-major in the output) for `tap` (row-major in the kernel) and offset group `group`.
// offset (B, 2 G taps, positions) holds (y, x) per tap; mask (B, G taps, positions) or null for 1.
template <class T>
PF3D_HD DeformSample<T> deform_sample(const DeformSizes& n, const T* offset, const T* mask, int64_t image,
                                      int64_t group, int64_t tap, int64_t position) {
  const int64_t plane = (image * n.offset_groups + group) * n.taps() + tap, stride = n.positions();
  const uint32_t at = static_cast<uint32_t>(position), columns = static_cast<uint32_t>(n.out_width);  // 32 bits divide
  const int64_t row = at / columns, column = at % columns;                                            // much faster
  const int64_t i = tap / n.kernel_width, j = tap % n.kernel_width;
  const T y = T(row * n.stride_y - n.padding_y + i * n.dilation_y) + offset[2 * plane * stride + position];
  const T x = T(column * n.stride_x - n.padding_x + j * n.dilation_x) + offset[(2 * plane + 1) * stride + position];
  DeformSample<T> s;
  s.inside = deform_inside(y, n.height) && deform_inside(x, n.width);
  s.mask = mask ? mask[plane * stride + position] : T(1);
  s.y = deform_axis(s.inside ? y : T(0), n.height);
  s.x = deform_axis(s.inside ? x : T(0), n.width);
  return s;
}

// With value = mask sum_k w_k v_k over the corners and dots[k] = sum over channels of (gradient on the value) v_k:
//   dL/dmask = sum_k w_k dots[k],  dL/dy = mask sum_k (dw_k/dy) dots[k],  and so for x.
template <class T> struct DeformGradient {
  T y, x, mask;
};

template <class T> PF3D_HD DeformGradient<T> deform_vjp(const DeformSample<T>& s, const T* dots) {
  DeformGradient<T> g{};
  for (int k = 0; k < 4; ++k) {
    const bool bottom = k >= 2, right = k % 2;
    const T wy = bottom ? s.y.high_weight : s.y.low_weight, wx = right ? s.x.high_weight : s.x.low_weight;
    g.mask += wy * wx * dots[k];
    g.y += (bottom ? s.y.high_slope : s.y.low_slope) * wx * dots[k];
    g.x += wy * (right ? s.x.high_slope : s.x.low_slope) * dots[k];
  }
  g.y *= s.mask;
  g.x *= s.mask;
  return g;
}

}  // namespace pyface3d
