// csrc/core/interpolation.h -- an attribute of the three corners, mixed by barycentrics.  value = sum_i beta_i a_i
#pragma once
#include "core/vec.h"

namespace pyface3d {

template <class T>
PF3D_HD void interpolate_at(const T* a, const T* b, const T* c, Vec3<T> beta, T* value, int64_t channels) {
  for (int64_t k = 0; k < channels; ++k) value[k] = beta.x * a[k] + beta.y * b[k] + beta.z * c[k];
}

// dL/dbeta_i = sum_k a_i[k] dL/dvalue[k]; dL/da_i[k] = beta_i dL/dvalue[k] is the caller's scatter.
template <class T>
PF3D_HD Vec3<T> interpolate_vjp_barycentrics(const T* a, const T* b, const T* c, const T* grad, int64_t channels) {
  Vec3<T> g;
  for (int64_t k = 0; k < channels; ++k) {
    g.x += a[k] * grad[k];
    g.y += b[k] * grad[k];
    g.z += c[k] * grad[k];
  }
  return g;
}

}  // namespace pyface3d
