// csrc/core/bump_normal.h -- normal of a surface moved along its normals by a height map, and its pull-back.
//
// The surface is a map of positions P with unit normals n and heights b, in image or in texture space. With the steps
// s, t of P and b_s, b_t of b between the same neighbours along the map's two axes, the gradient of b on the surface
// and the normal of the moved surface are
//   grad b = (b_s (t x n) + b_t (n x s)) / (s . (t x n)),      n' = (n - grad b) / |n - grad b|
// (Blinn 1978; as surface gradient Mikkelsen 2010). grad b does not change with the lengths of the steps nor with the
// map's handedness, and is at right angles to n: no direction is lost and n' never turns its back on n. Left out, as
// there, is the bending of the surface over the height b itself: exact on planes, off by b / radius in slope elsewhere.
#pragma once
#include "core/face_normal.h"

namespace pyface3d {

// Steps whose parallelogram, seen along n, is flatter than this say nothing about the slope: float32 positions 600 mm
// away are rounded to 1e-4 of the 0.5 mm between two pixels.
template <class T> constexpr T kLeastSine = T(1e-4);

// The maps of one image: positions and normals (H, W, 3), bump and mask (H, W).
template <class T> struct ReliefMaps {
  const T* positions;
  const T* normals;
  const T* bump;
  const bool* mask;
  int64_t height, width;
  T max_gap;  // steps longer than this cross from one surface to another
};

template <class T> PF3D_HD ReliefMaps<T> image_of(const ReliefMaps<T>& maps, int64_t b) {
  const int64_t p = b * maps.height * maps.width;
  return {maps.positions + 3 * p, maps.normals + 3 * p, maps.bump + p, maps.mask + p,
          maps.height,            maps.width,           maps.max_gap};
}

// In the mask, with finite position and height.
template <class T> PF3D_HD bool on_surface(const ReliefMaps<T>& maps, int64_t p) {
  if (!maps.mask[p]) return false;
  const Vec3<T> at = load3(maps.positions, p);
  const T reach = fabs(at.x) + fabs(at.y) + fabs(at.z) + fabs(maps.bump[p]);
  return reach - reach == T(0);
}

// Which of the four neighbours a pixel's steps reach: those on the surface that the step to does not jump. All of them
// reach back, to the bit: a pixel's own links tell whose steps it is part of.
struct SurfaceLinks {
  bool left, right, up, down;
};

template <class T> PF3D_HD SurfaceLinks surface_links(const ReliefMaps<T>& maps, int64_t row, int64_t column) {
  const int64_t p = row * maps.width + column;
  if (!on_surface(maps, p)) return {false, false, false, false};
  const Vec3<T> at = load3(maps.positions, p);
  const auto joined = [&](int64_t q) {
    const Vec3<T> d = load3(maps.positions, q) - at;
    return on_surface(maps, q) && dot(d, d) <= maps.max_gap * maps.max_gap;
  };
  return {column > 0 && joined(p - 1), column + 1 < maps.width && joined(p + 1),
          row > 0 && joined(p - maps.width), row + 1 < maps.height && joined(p + maps.width)};
}

// One step along each axis of the map: of the position and of the height. Gradients on them have the same form.
template <class T> struct SurfaceSteps {
  Vec3<T> s, t;
  T bump_s, bump_t;
};

// From the neighbour before to the one behind; the pixel itself stands in for one that is missing.
template <class T>
PF3D_HD SurfaceSteps<T> surface_steps(const ReliefMaps<T>& maps, int64_t p, const SurfaceLinks& links) {
  const int64_t left = p - links.left, right = p + links.right;
  const int64_t up = links.up ? p - maps.width : p, down = links.down ? p + maps.width : p;
  return {load3(maps.positions, right) - load3(maps.positions, left),
          load3(maps.positions, down) - load3(maps.positions, up), maps.bump[right] - maps.bump[left],
          maps.bump[down] - maps.bump[up]};
}

// A vector at length 1 and what it was multiplied with; both 0 for one without direction. (core/face_normal.h, but
// with one division.)
template <class T> struct UnitVector {
  Vec3<T> n;
  T inverse;
};

template <class T> PF3D_HD UnitVector<T> unit_vector(Vec3<T> v) {
  const T len = length(v);
  const T inverse = has_direction(len) ? T(1) / len : T(0);
  return {inverse > T(0) ? v * inverse : Vec3<T>{}, inverse};
}

template <class T> PF3D_HD Vec3<T> unit_vector_vjp(const UnitVector<T>& u, Vec3<T> g) {
  return (g - u.n * dot(u.n, g)) * u.inverse;
}

// The way to n' from unit n, as the derivative needs it; `spanned` is false where the steps span no surface.
template <class T> struct SlopedNormal {
  Vec3<T> t_n, n_s;  // t x n, n x s
  T inverse_area;    // 1 / (s . (t x n))
  Vec3<T> slope;     // grad b
  UnitVector<T> bumped;
  bool spanned;
};

template <class T> PF3D_HD SlopedNormal<T> sloped_normal(Vec3<T> n, const SurfaceSteps<T>& d) {
  SlopedNormal<T> r{cross(d.t, n), cross(n, d.s), T(0), {}, {n, T(0)}, false};
  const T area = dot(d.s, r.t_n);
  if (!(fabs(area) > kLeastSine<T> * sqrt(dot(d.s, d.s) * dot(d.t, d.t)))) return r;  // also for NaN
  r.inverse_area = T(1) / area;
  r.slope = (r.t_n * d.bump_s + r.n_s * d.bump_t) * r.inverse_area;
  const UnitVector<T> bumped = unit_vector(n - r.slope);
  r.spanned = bumped.inverse > T(0);
  if (r.spanned) r.bumped = bumped;
  return r;
}

// `normal` of any length; one without direction gives 0.
template <class T> PF3D_HD Vec3<T> bump_normal(Vec3<T> normal, const SurfaceSteps<T>& d) {
  return sloped_normal(unit_vector(normal).n, d).bumped.n;
}

// With n' = v / |v|, v = n - q / area, q = b_s (t x n) + b_t (n x s), area = s . (t x n) and g_v from g = dL/dn':
//   g_q = -g_v / area       g_area = g_v . q / area^2       g_bs = g_q . (t x n)       g_bt = g_q . (n x s)
//   g_txn = b_s g_q + g_area s       g_nxs = b_t g_q       g_s = g_area (t x n) + ...
// and for a product c = a x b: g_a = b x g_c, g_b = g_c x a. Writes the gradients on the normal and on the steps.
template <class T>
PF3D_HD void bump_normal_vjp(Vec3<T> normal, const SurfaceSteps<T>& d, Vec3<T> g, Vec3<T>& grad_normal,
                             SurfaceSteps<T>& grad) {
  const UnitVector<T> u = unit_vector(normal);
  const SlopedNormal<T> r = sloped_normal(u.n, d);
  grad = {};
  if (!r.spanned) {
    grad_normal = unit_vector_vjp(u, g);
    return;
  }
  const Vec3<T> g_v = unit_vector_vjp(r.bumped, g), g_q = -g_v * r.inverse_area;
  const T g_area = dot(g_v, r.slope) * r.inverse_area;
  grad.bump_s = dot(g_q, r.t_n);
  grad.bump_t = dot(g_q, r.n_s);
  const Vec3<T> g_t_n = g_q * d.bump_s + d.s * g_area, g_n_s = g_q * d.bump_t;
  grad.s = r.t_n * g_area + cross(g_n_s, u.n);
  grad.t = cross(u.n, g_t_n);
  grad_normal = unit_vector_vjp(u, g_v + cross(g_t_n, d.t) + cross(d.s, g_n_s));
}

// Gradient on one pixel's position and height.
template <class T> struct ReliefGrad {
  Vec3<T> position;
  T bump;
};

// Sums what a pixel gets from its own steps and from those of its neighbours, always in this order. grads(q) is the
// gradient on the steps of the pixel at place q, `row_stride` places a row, the pixel itself at `at`.
template <class T, class Grads>
PF3D_HD ReliefGrad<T> gathered_steps(const SurfaceLinks& links, const Grads& grads, int64_t at, int64_t row_stride) {
  ReliefGrad<T> sum{};
  const auto add_s = [&](int64_t q, T sign) {
    const SurfaceSteps<T> grad = grads(q);
    sum.position = sum.position + grad.s * sign;
    sum.bump += grad.bump_s * sign;
  };
  const auto add_t = [&](int64_t q, T sign) {
    const SurfaceSteps<T> grad = grads(q);
    sum.position = sum.position + grad.t * sign;
    sum.bump += grad.bump_t * sign;
  };
  if (links.up) add_t(at - row_stride, T(1));  // p is the far end of that pixel's step
  if (links.left) add_s(at - 1, T(1));
  if (links.left != links.right) add_s(at, links.left ? T(1) : T(-1));
  if (links.up != links.down) add_t(at, links.up ? T(1) : T(-1));
  if (links.right) add_s(at + 1, T(-1));
  if (links.down) add_t(at + row_stride, T(-1));
  return sum;
}

}  // namespace pyface3d
