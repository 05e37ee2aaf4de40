// csrc/core/texture.h -- where a texture coordinate reads, and the pull-back of a gradient on the colour.
// (u, v) = (0, 0) is the outer corner of the first texel, (1, 1) that of the last; texel i has its centre at
// (i + 0.5) / size. A coordinate that is not finite reads nothing: colour 0, no gradient.
#pragma once
#include "core/vec.h"

namespace pyface3d {

enum Filter : int { kNearest = 0, kBilinear = 1 };
enum Wrap : int { kClamp = 0, kRepeat = 1 };

// Along one axis: weight 1 - t on texel `index` and t on texel `index + step`; with step 0, t = 0. slope =
// d(position in texels)/d(u), 0 where clamping holds the position still.
template <class T> struct Tap {
  int32_t index, step;
  T t, slope;
};

template <class T> PF3D_HD T clamped(T x, T low, T high) { return x < low ? low : x > high ? high : x; }
PF3D_HD int32_t lower(int32_t a, int32_t b) { return a < b ? a : b; }

template <class T> PF3D_HD Tap<T> nearest_tap(T u, int32_t size, int wrap) {
  if (wrap == kRepeat) u -= floor(u);
  const T x = clamped(u * T(size), T(0), T(size - 1));
  return {static_cast<int32_t>(x), 0, T(0), T(0)};
}

// x: position in texels from the middle of the first.
template <class T> PF3D_HD Tap<T> clamped_tap(T x, int32_t size) {
  const T held = clamped(x, T(0), T(size - 1));
  const int32_t i = lower(static_cast<int32_t>(held), size > 1 ? size - 2 : 0);
  return {i, size > 1 ? 1 : 0, held - T(i), x > T(0) && x < T(size - 1) ? T(size) : T(0)};
}

template <class T> PF3D_HD Tap<T> bilinear_tap(T u, int32_t size, int wrap) {
  if (wrap == kRepeat) {
    T x = (u - floor(u)) * T(size) - T(0.5);
    if (x < T(0)) x += T(size);
    const int32_t i = lower(static_cast<int32_t>(x), size - 1);
    return {i, i + 1 < size ? 1 : 1 - size, size > 1 ? x - T(i) : T(0), T(size)};  // a lone texel has all the weight
  }
  return clamped_tap(u * T(size) - T(0.5), size);
}

template <class T> PF3D_HD bool is_finite(Vec2<T> uv) {
  const T sum = uv.x * T(0) + uv.y * T(0);  // NaN if either is NaN or infinite
  return sum == T(0);
}

template <class T> struct Lookup {
  Tap<T> x, y;
};

// `filter` and `wrap` are the same for every pixel of a call; `uv` must be finite.
template <class T>
PF3D_HD Lookup<T> lookup(Vec2<T> uv, int32_t height, int32_t width, int filter, int wrap) {
  if (filter == kNearest) return {nearest_tap(uv.x, width, wrap), nearest_tap(uv.y, height, wrap)};
  return {bilinear_tap(uv.x, width, wrap), bilinear_tap(uv.y, height, wrap)};
}

// The four corners a b / c d of a bilinear patch, weights (1-s)(1-t), s (1-t), (1-s) t, s t. T: a number, or several
// side by side.
template <class V, class T> PF3D_HD V bilinear(V a, V b, V c, V d, T s, T t) {
  const V left = a * (T(1) - t) + c * t, right = b * (T(1) - t) + d * t;
  return left * (T(1) - s) + right * s;
}

// Where the texels of a patch a b / c d begin in one texture's array. `below`: texels from a row of the patch to the
// next. With one tap along an axis they fall together.
struct Patch {
  int64_t a, b, c, d;
  PF3D_HD Patch(int64_t texel, int64_t right, int64_t below, int64_t channels)
      : a(texel * channels), b(a + right * channels), c(a + below * channels), d(c + right * channels) {}
};

template <class T> PF3D_HD Patch patch_of(const Lookup<T>& at, int32_t width, int64_t channels) {
  return {static_cast<int64_t>(at.y.index) * width + at.x.index, at.x.step, static_cast<int64_t>(at.y.step) * width,
          channels};
}

// d/ds and d/dt of bilinear.
template <class V, class T> PF3D_HD V bilinear_ds(V a, V b, V c, V d, T t) { return (b - a) * (T(1) - t) + (d - c) * t; }
template <class V, class T> PF3D_HD V bilinear_dt(V a, V b, V c, V d, T s) { return (c - a) * (T(1) - s) + (d - b) * s; }

// dL/d(u, v) of a bilinear lookup, g = dL/dcolour.
template <class T>
PF3D_HD Vec2<T> bilinear_vjp_uv(const T* texels, const Patch& at, const Lookup<T>& taps, const T* g, int64_t channels) {
  Vec2<T> grad;
  for (int64_t c = 0; c < channels; ++c) {
    const T a = texels[at.a + c], b = texels[at.b + c], e = texels[at.c + c], d = texels[at.d + c];
    grad.x += bilinear_ds(a, b, e, d, taps.y.t) * g[c];
    grad.y += bilinear_dt(a, b, e, d, taps.x.t) * g[c];
  }
  return {grad.x * taps.x.slope, grad.y * taps.y.slope};
}

// The texture coordinate at a point of a face: sum of the corners' coordinates by barycentrics.
template <class T> PF3D_HD Vec2<T> uv_at(const T* uvs, const int32_t* uv_face, Vec3<T> barycentrics) {
  Vec2<T> uv;
  const T w[3] = {barycentrics.x, barycentrics.y, barycentrics.z};
  for (int k = 0; k < 3; ++k) uv = uv + Vec2<T>{uvs[2 * uv_face[k]], uvs[2 * uv_face[k] + 1]} * w[k];
  return uv;
}

template <class T> PF3D_HD Vec3<T> uv_at_vjp(const T* uvs, const int32_t* uv_face, Vec2<T> g) {
  T grad[3];
  for (int k = 0; k < 3; ++k) grad[k] = dot(Vec2<T>{uvs[2 * uv_face[k]], uvs[2 * uv_face[k] + 1]}, g);
  return {grad[0], grad[1], grad[2]};
}

// The same test as index >= 0 && index < count.
PF3D_HD bool is_face(int32_t index, int64_t count) { return static_cast<uint32_t>(index) < static_cast<uint64_t>(count); }

// Coordinates read from memory.
template <class T> struct GivenUvs {
  const T* uvs;  // (N, 2)
  PF3D_HD Vec2<T> at(int64_t pixel) const { return {uvs[2 * pixel], uvs[2 * pixel + 1]}; }
  // Into grad_uvs (N, 2).
  PF3D_HD void store_grad(T* grad_uvs, int64_t pixel, Vec2<T> g) const {
    grad_uvs[2 * pixel] = g.x;
    grad_uvs[2 * pixel + 1] = g.y;
  }
};

// Coordinates from the face and the barycentrics of a pixel; infinite on the background.
template <class T> struct FragmentUvs {
  const int32_t* face_index;  // (N,)
  const T* barycentrics;      // (N, 3)
  const T* uvs;
  const int32_t* uv_faces;
  int64_t num_faces;
  PF3D_HD Vec2<T> at(int64_t pixel) const {
    const int32_t f = face_index[pixel];
    if (!is_face(f, num_faces)) return {T(INFINITY), T(INFINITY)};
    return uv_at(uvs, uv_faces + 3 * static_cast<int64_t>(f), load3(barycentrics, pixel));
  }
  PF3D_HD Vec3<T> vjp(int64_t pixel, Vec2<T> g) const {
    const int32_t f = face_index[pixel];
    if (!is_face(f, num_faces)) return {};
    return uv_at_vjp(uvs, uv_faces + 3 * static_cast<int64_t>(f), g);
  }
  // Into grad_barycentrics (N, 3).
  PF3D_HD void store_grad(T* grad_barycentrics, int64_t pixel, Vec2<T> g) const {
    store3(grad_barycentrics, pixel, vjp(pixel, g));
  }
};

template <class T> struct Texture {
  const T* texels;  // (batch, height, width, channels)
  int64_t batch;    // 1: shared by all images
  int32_t height, width;
  int64_t channels;
  int filter, wrap;

  PF3D_HD int64_t size() const { return static_cast<int64_t>(height) * width * channels; }
  PF3D_HD int64_t first(int64_t image) const { return batch == 1 ? 0 : image * size(); }
};

}  // namespace pyface3d
