// csrc/core/antialias.h -- how neighbouring pixels mix at the outlines between them, and the pull-back to the mesh.
//
// Between two pixels of colours F (whose surface ends at t of the way) and O, the surface covers t - 1/2 of the pixel
// that the border between the two lies in:  d = t - 1/2,  O <- O + d (F - O) where d > 0,  F <- F - |d| (F - O) where
// d < 0.  With d as the share, a row of pixels sums to the length it covers.
//
// A pixel may mix with four neighbours. Columns first, H = (1 - l - r) C + l C_left + r C_right; then rows,
// out = (1 - a - b) H + a C_above + b C_below. No share passes 1/2, so the result never leaves the range of its
// colours, and a corner with sides along the axes gets the product of its two extents, which is its area.
// Source: Laine et al. 2020, "Modular Primitives for High-Performance Differentiable Rendering", section 3.5 (the pairs
// and their blending); the walk over the mesh (core/outline.h), the two families of lines and the product are ours.
#pragma once
#include "core/outline.h"

namespace pyface3d {

// What the pixels of one image share. `outlines` (2, H, W): codes of outline_between for each pixel and the one to its
// right, then for each pixel and the one below.
template <class T> struct OutlinePicture {
  OutlineMesh<T> mesh;
  const int32_t* outlines;
  int64_t height, width;

  PF3D_HD int32_t code(int64_t x, int64_t y, bool horizontal) const {
    return outlines[((horizontal ? 0 : height) + y) * width + x];
  }
};

// Where an outline cuts the line between two pixels: t from the middle of the pixel whose surface ends, and the way it
// moves with the ends of its edge:  dt = (1 - s) (du_a - slope dv_a) + s (du_b - slope dv_b).
struct OutlineCut {
  int32_t a, b;
  double t, s, slope;
};

template <class T>
PF3D_HD OutlineCut outline_cut(const OutlinePicture<T>& picture, int64_t x, int64_t y, bool horizontal) {
  const int32_t code = picture.code(x, y, horizontal);
  const int32_t corner = (code > 0 ? code : -code) - 1, k = corner % 3;
  const int32_t* face = picture.mesh.faces + (corner - k);
  const int step = code > 0 ? 0 : 1;
  const OutlineLine line{double(x + (horizontal ? step : 0)) + 0.5, double(y + (horizontal ? 0 : step)) + 0.5,
                         horizontal, code > 0 ? 1 : -1};
  const OutlinePoint a = outline_point(picture.mesh.verts, face[(k + 1) % 3], line);
  const OutlinePoint b = outline_point(picture.mesh.verts, face[(k + 2) % 3], line);
  const double t = line_crossing(a, b);
  return {a.vertex, b.vertex, t < 0 ? 0 : t > 1 ? 1 : t, a.v / (a.v - b.v), (b.u - a.u) / (b.v - a.v)};
}

// Positive: the share of the second pixel that the first receives. Negative: minus the share of the first that the
// second receives.
template <class T>
PF3D_HD double signed_share(const OutlinePicture<T>& picture, int64_t x, int64_t y, bool horizontal) {
  const int32_t code = picture.code(x, y, horizontal);
  if (code == 0) return 0;
  const double d = outline_cut(picture, x, y, horizontal).t - 0.5;
  return code > 0 ? -d : d;
}

// The shares of its neighbours that a pixel receives.
template <class T> struct PixelShares {
  T left, right, above, below;

  PF3D_HD T columns() const { return left + right; }
  PF3D_HD T rows() const { return above + below; }
};

template <class T> PF3D_HD PixelShares<T> pixel_shares(const OutlinePicture<T>& picture, int64_t x, int64_t y) {
  const double left = x > 0 ? signed_share(picture, x - 1, y, true) : 0;
  const double right = x + 1 < picture.width ? signed_share(picture, x, y, true) : 0;
  const double above = y > 0 ? signed_share(picture, x, y - 1, false) : 0;
  const double below = y + 1 < picture.height ? signed_share(picture, x, y, false) : 0;
  return {T(left < 0 ? -left : 0), T(right > 0 ? right : 0), T(above < 0 ? -above : 0), T(below > 0 ? below : 0)};
}

// H of one channel. `image` points at the channel of the pixel, `next` is the distance to the pixel at its right.
// A neighbour without a share is not read: it may hold NaN.
template <class T> PF3D_HD T mix_columns(const T* image, int64_t next, const PixelShares<T>& shares) {
  if (!(shares.columns() > T(0))) return *image;
  T mixed = (T(1) - shares.columns()) * *image;
  if (shares.left > T(0)) mixed += shares.left * *(image - next);
  if (shares.right > T(0)) mixed += shares.right * image[next];
  return mixed;
}

template <class T> PF3D_HD T mix_pixel(const T* image, int64_t next, int64_t row, const PixelShares<T>& shares) {
  T mixed = mix_columns(image, next, shares);
  if (!(shares.rows() > T(0))) return mixed;
  mixed *= T(1) - shares.rows();
  if (shares.above > T(0)) mixed += shares.above * *(image - row);
  if (shares.below > T(0)) mixed += shares.below * image[row];
  return mixed;
}

// dL/dC of a pixel: out of its own mixture, and out of those of its neighbours that receive from it.
// `grad` points at the gradients of the pixel's result, all channels.
template <class T>
PF3D_HD void antialias_vjp_image(const OutlinePicture<T>& picture, int64_t x, int64_t y, const T* grad, T* grad_image,
                                 int64_t channels) {
  const int64_t row = picture.width * channels;
  const PixelShares<T> own = pixel_shares(picture, x, y);
  const T kept = (T(1) - own.columns()) * (T(1) - own.rows());
  for (int64_t c = 0; c < channels; ++c) grad_image[c] = kept * grad[c];
  if (x > 0 && signed_share(picture, x - 1, y, true) > 0) {
    const PixelShares<T> at = pixel_shares(picture, x - 1, y);
    for (int64_t c = 0; c < channels; ++c) grad_image[c] += (T(1) - at.rows()) * at.right * grad[c - channels];
  }
  if (x + 1 < picture.width && signed_share(picture, x, y, true) < 0) {
    const PixelShares<T> at = pixel_shares(picture, x + 1, y);
    for (int64_t c = 0; c < channels; ++c) grad_image[c] += (T(1) - at.rows()) * at.left * grad[c + channels];
  }
  if (y > 0 && signed_share(picture, x, y - 1, false) > 0) {
    const PixelShares<T> at = pixel_shares(picture, x, y - 1);
    for (int64_t c = 0; c < channels; ++c) grad_image[c] += at.below * grad[c - row];
  }
  if (y + 1 < picture.height && signed_share(picture, x, y, false) < 0) {
    const PixelShares<T> at = pixel_shares(picture, x, y + 1);
    for (int64_t c = 0; c < channels; ++c) grad_image[c] += at.above * grad[c + row];
  }
}

// dL/d(x, y) of the ends a, b of the edge between a pixel and its neighbour (code != 0), from the result's gradients:
//   dL/dt = dL/dout_target . dout_target/d|d| . sign(d),  dout/d|d| = (1 - rows) (C_source - C) between columns,
//   C_source - H between rows.  `image` and `grad` point at the pixel. At d = 0 the outer pixel's derivative is taken.
template <class T> struct EdgeGradient {
  int32_t a, b;
  Vec2<T> grad_a, grad_b;
};

template <class T>
PF3D_HD EdgeGradient<T> antialias_vjp_edge(const OutlinePicture<T>& picture, int64_t x, int64_t y, bool horizontal,
                                           const T* image, const T* grad, int64_t channels) {
  const bool first_ends = picture.code(x, y, horizontal) > 0;
  const OutlineCut cut = outline_cut(picture, x, y, horizontal);
  const bool outwards = cut.t >= 0.5, target_is_first = first_ends != outwards;
  const int64_t step = horizontal ? channels : picture.width * channels;
  const int64_t tx = x + (horizontal && !target_is_first), ty = y + (!horizontal && !target_is_first);
  const T* target = image + (target_is_first ? 0 : step);
  const T* source = image + (target_is_first ? step : 0);
  const T* g = grad + (target_is_first ? 0 : step);
  const PixelShares<T> shares = pixel_shares(picture, tx, ty);
  double sum = 0;
  for (int64_t c = 0; c < channels; ++c) {
    const T from = horizontal ? target[c] : mix_columns(target + c, channels, shares);
    sum += double(g[c]) * (double(source[c]) - from);
  }
  if (horizontal) sum *= double(T(1) - shares.rows());
  const double grad_u = (outwards ? sum : -sum) * (first_ends ? 1 : -1);  // u is x or y, or minus that
  const double grad_v = -cut.slope * (outwards ? sum : -sum);
  const Vec2<double> g_edge = horizontal ? Vec2<double>{grad_u, grad_v} : Vec2<double>{grad_v, grad_u};
  return {cut.a, cut.b, {T((1 - cut.s) * g_edge.x), T((1 - cut.s) * g_edge.y)},
          {T(cut.s * g_edge.x), T(cut.s * g_edge.y)}};
}

}  // namespace pyface3d
