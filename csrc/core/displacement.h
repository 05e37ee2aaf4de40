// csrc/core/displacement.h -- a point moved by an amount along a direction, and the pull-back.
#pragma once
#include "core/vec.h"

namespace pyface3d {

template <class T> PF3D_HD Vec3<T> displaced(Vec3<T> point, Vec3<T> direction, T amount) {
  return point + direction * amount;
}

// dL/dpoint = g, dL/ddirection = amount g, dL/damount = direction . g
template <class T> PF3D_HD Vec3<T> displaced_vjp_direction(T amount, Vec3<T> g) { return g * amount; }
template <class T> PF3D_HD T displaced_vjp_amount(Vec3<T> direction, Vec3<T> g) { return dot(direction, g); }

}  // namespace pyface3d
