// csrc/core/face_normal.h -- unit normal of one triangle, and the pull-back of a gradient on it.
// Right-handed: corners a, b, c anticlockwise seen from outside give an outward normal.
// A triangle of no area, or with a corner that is not finite, has no direction: normal 0, gradient 0 (never NaN).
#pragma once
#include "core/vec.h"

namespace pyface3d {

// Positive and finite (infinity less itself is NaN).
template <class T> PF3D_HD bool has_direction(T len) { return len > T(0) && len - len == T(0); }

// v / |v|, and 0 for a vector without length or with one that overflows.
template <class T> PF3D_HD Vec3<T> normalized(Vec3<T> v) {
  const T len = length(v);
  return has_direction(len) ? v / len : Vec3<T>{};
}

// With n = v/|v|:  dL/dv = (g - n (n.g)) / |v|,  g = dL/dn.
template <class T> PF3D_HD Vec3<T> normalized_vjp(Vec3<T> v, Vec3<T> g) {
  const T len = length(v);
  if (!has_direction(len)) return {};
  const Vec3<T> n = v / len;
  return (g - n * dot(n, g)) / len;
}

// Twice the area times the outward unit normal.
template <class T> PF3D_HD Vec3<T> area_normal(Vec3<T> a, Vec3<T> b, Vec3<T> c) { return cross(b - a, c - a); }

template <class T> PF3D_HD void area_normal_vjp(Vec3<T> a, Vec3<T> b, Vec3<T> c, Vec3<T> g, Vec3<T> (&grad)[3]) {
  grad[1] = cross(c - a, g);
  grad[2] = cross(g, b - a);
  grad[0] = -(grad[1] + grad[2]);  // shifting all three corners changes nothing
}

// The part of area_normal_vjp that one corner gets; `next` and `previous` follow and precede it on the triangle.
template <class T> PF3D_HD Vec3<T> area_normal_vjp_corner(Vec3<T> next, Vec3<T> previous, Vec3<T> g) {
  return cross(next - previous, g);
}

template <class T> PF3D_HD Vec3<T> face_normal(Vec3<T> a, Vec3<T> b, Vec3<T> c) {
  return normalized(area_normal(a, b, c));
}

template <class T> PF3D_HD void face_normal_vjp(Vec3<T> a, Vec3<T> b, Vec3<T> c, Vec3<T> g, Vec3<T> (&grad)[3]) {
  area_normal_vjp(a, b, c, normalized_vjp(area_normal(a, b, c), g), grad);
}

}  // namespace pyface3d
