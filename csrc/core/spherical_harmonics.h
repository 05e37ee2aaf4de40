// csrc/core/spherical_harmonics.h -- light as nine polynomials of the normal, and the pull-back of a gradient.
// The order is that of real spherical harmonics, l = 0..2 and m = -l..l; their factors and signs differ from system to
// system and belong to the light: see pyface3d/ops/shade_spherical_harmonics.py.
#pragma once
#include "core/vec.h"

namespace pyface3d {

constexpr int kBands = 9;

template <class T> PF3D_HD void band_polynomials(Vec3<T> n, T (&p)[kBands]) {
  p[0] = T(1);
  p[1] = n.y;
  p[2] = n.z;
  p[3] = n.x;
  p[4] = n.x * n.y;
  p[5] = n.y * n.z;
  p[6] = T(3) * n.z * n.z - T(1);
  p[7] = n.x * n.z;
  p[8] = n.x * n.x - n.y * n.y;
}

// sum_k p_k(n) light_k, light (9, 3) = bands by colours.
template <class T> PF3D_HD Vec3<T> shade(Vec3<T> n, const T* light) {
  T p[kBands];
  band_polynomials(n, p);
  Vec3<T> colour;
  for (int k = 0; k < kBands; ++k) colour = colour + load3(light, k) * p[k];
  return colour;
}

// dL/dn for g = dL/dshade.  With s_k = light_k . g:  dL/dn = sum_k s_k dp_k/dn.
template <class T> PF3D_HD Vec3<T> shade_vjp_normal(Vec3<T> n, const T* light, Vec3<T> g) {
  T s[kBands];
  for (int k = 0; k < kBands; ++k) s[k] = dot(load3(light, k), g);
  return {s[3] + s[4] * n.y + s[7] * n.z + T(2) * s[8] * n.x,
          s[1] + s[4] * n.x + s[5] * n.z - T(2) * s[8] * n.y,
          s[2] + s[5] * n.y + T(6) * s[6] * n.z + s[7] * n.x};
}

// dL/dlight_k = p_k(n) g, added to the 27 sums.
template <class T, class Sum> PF3D_HD void shade_vjp_light(Vec3<T> n, Vec3<T> g, Sum* grad_light) {
  T p[kBands];
  band_polynomials(n, p);
  for (int k = 0; k < kBands; ++k) {
    grad_light[3 * k] += p[k] * g.x;
    grad_light[3 * k + 1] += p[k] * g.y;
    grad_light[3 * k + 2] += p[k] * g.z;
  }
}

template <class T> PF3D_HD Vec3<T> times(Vec3<T> a, Vec3<T> b) { return {a.x * b.x, a.y * b.y, a.z * b.z}; }

}  // namespace pyface3d
