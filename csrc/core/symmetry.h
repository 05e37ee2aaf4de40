// csrc/core/symmetry.h -- the linear system of a soft-symmetry fill: which vertices are known, which edges take the
// mirror image's differences, right-hand side, diagonal, and the pull-back of a gradient.
//
// Unknown is the offset d = x - S0 from the reference S0, for every hole vertex i and in each coordinate:
//   sum over neighbours j:  (d_i - d_j) - [edge ij borrows] (E_i - E_j)     with d_j = D_j where j is known
//   + kAnchor deg(i) d_i + soft(i) (d_i - D_i)  =  0
// with D_i = S_i - S0_i, the offset seen at i, and E_i = diag(-1, 1, 1) S_mirror(i) - S0_i, the one seen at its mirror
// image. This is the Poisson system of Extreme 3D (Tran et al. 2018, section 5) with Dirichlet values. Written in
// offsets, reference differences cancel, so that nothing known gives d = 0, which is the reference to the bit.
#pragma once
#include <cstdint>

#include "core/vec.h"

namespace pyface3d {

constexpr double kAnchor = 1e-6;  // pull towards the reference, relative to the degree: places parts without known ones

// One image and what is shared by all: mirror (V), and the neighbours of each vertex as offsets (V + 1) into a list.
template <class T> struct MirrorFill {
  const T *verts, *weights, *reference;
  const int64_t* mirror;
  const int32_t *offsets, *neighbours;
  int64_t num_verts;
  T threshold;
  bool soft, mirror_borders;
};

enum VertexState : uint8_t { kKnown = 1, kBorrows = 2, kHole = 4 };  // bits; kBorrows: its mirror image is known

// Infinities and NaN are the only values whose difference from themselves is not 0.
template <class T> PF3D_HD bool is_finite(T value) { return value - value == T(0); }
template <class T> PF3D_HD bool is_finite(Vec3<T> v) { return is_finite(v.x) && is_finite(v.y) && is_finite(v.z); }

template <class T> PF3D_HD bool is_known(const MirrorFill<T>& f, int64_t v) {
  return is_finite(f.weights[v]) && f.weights[v] >= f.threshold && is_finite(load3(f.verts, v));
}

// The other vertex of a pair that names each other (v itself on the symmetry plane), or -1.
template <class T> PF3D_HD int64_t partner(const MirrorFill<T>& f, int64_t v) {
  const int64_t m = f.mirror[v];
  return m >= 0 && m < f.num_verts && f.mirror[m] == v ? m : -1;
}

template <class T> PF3D_HD uint8_t vertex_state(const MirrorFill<T>& f, int64_t v) {
  const int64_t m = partner(f, v);
  const bool known = is_known(f, v);
  const bool hole = !known && f.offsets[v + 1] > f.offsets[v];
  return static_cast<uint8_t>((known ? kKnown : 0) | (m >= 0 && is_known(f, m) ? kBorrows : 0) | (hole ? kHole : 0));
}

// Whether the edge between a hole vertex and another takes the difference of their mirror images.
PF3D_HD bool edge_borrows(uint8_t one, uint8_t other, bool mirror_borders) {
  return (one & other & kBorrows) && (mirror_borders || !((one | other) & kKnown));
}

PF3D_HD double finite_or_zero(double value) { return is_finite(value) ? value : 0.0; }

// The reference as it is used: a coordinate that is not finite reads 0.
template <class T> PF3D_HD Vec3<double> reference_at(const MirrorFill<T>& f, int64_t v) {
  const Vec3<T> s = load3(f.reference, v);
  return {finite_or_zero(s.x), finite_or_zero(s.y), finite_or_zero(s.z)};
}

// D of a vertex with finite coordinates.
template <class T> PF3D_HD Vec3<double> own_offset(const MirrorFill<T>& f, int64_t v) {
  const Vec3<T> s = load3(f.verts, v);
  return Vec3<double>{s.x, s.y, s.z} - reference_at(f, v);
}

// E of a vertex that borrows.
template <class T> PF3D_HD Vec3<double> mirrored_offset(const MirrorFill<T>& f, int64_t v) {
  const Vec3<T> s = load3(f.verts, f.mirror[v]);
  return Vec3<double>{-static_cast<double>(s.x), s.y, s.z} - reference_at(f, v);
}

template <class T> PF3D_HD double degree(const MirrorFill<T>& f, int64_t v) {
  return f.offsets[v + 1] - f.offsets[v];
}

// Weight of the data term of a hole vertex: 0 at w = 0, without bound towards the threshold, where it would be known.
template <class T> PF3D_HD double soft_weight(const MirrorFill<T>& f, int64_t v) {
  if (!f.soft) return 0.0;
  const double w = f.weights[v], threshold = f.threshold;
  if (!(w > 0.0 && w < threshold) || !is_finite(load3(f.verts, v))) return 0.0;
  return degree(f, v) * w / (threshold - w);
}

template <class T> PF3D_HD double diagonal(const MirrorFill<T>& f, int64_t v) {
  return degree(f, v) * (1.0 + kAnchor) + soft_weight(f, v);
}

// Right-hand side of hole vertex v.
template <class T> PF3D_HD Vec3<double> right_hand_side(const MirrorFill<T>& f, const uint8_t* states, int64_t v) {
  Vec3<double> sum;
  const uint8_t state = states[v];
  const Vec3<double> mine = (state & kBorrows) ? mirrored_offset(f, v) : Vec3<double>{};
  for (int32_t k = f.offsets[v]; k < f.offsets[v + 1]; ++k) {
    const int32_t j = f.neighbours[k];
    if (states[j] & kKnown) sum = sum + own_offset(f, j);
    if (edge_borrows(state, states[j], f.mirror_borders)) sum = sum + (mine - mirrored_offset(f, j));
  }
  const double soft = soft_weight(f, v);
  return soft > 0.0 ? sum + own_offset(f, v) * soft : sum;
}

// dL/dD_v and dL/dE_v from the adjoint solution (V, 3), which solves the same system for dL/dd and is 0 off the hole.
template <class T>
PF3D_HD Vec3<double> own_offset_grad(const MirrorFill<T>& f, const uint8_t* states, const double* adjoint, int64_t v) {
  if (!(states[v] & kKnown)) {
    const double soft = (states[v] & kHole) ? soft_weight(f, v) : 0.0;
    return soft > 0.0 ? load3(adjoint, v) * soft : Vec3<double>{};
  }
  Vec3<double> sum;
  for (int32_t k = f.offsets[v]; k < f.offsets[v + 1]; ++k) sum = sum + load3(adjoint, f.neighbours[k]);
  return sum;
}

template <class T>
PF3D_HD Vec3<double> mirrored_offset_grad(const MirrorFill<T>& f, const uint8_t* states, const double* adjoint,
                                          int64_t v) {
  Vec3<double> sum;
  if (!(states[v] & kBorrows)) return sum;
  for (int32_t k = f.offsets[v]; k < f.offsets[v + 1]; ++k) {
    const int32_t j = f.neighbours[k];
    if (edge_borrows(states[v], states[j], f.mirror_borders)) sum = sum + (load3(adjoint, v) - load3(adjoint, j));
  }
  return sum;
}

// dL/dS_v and dL/dS0_v. A known vertex is passed through, and acts on its neighbours and on its mirror image's edges.
template <class T>
PF3D_HD void vertex_grad(const MirrorFill<T>& f, const uint8_t* states, const double* adjoint, const T* grad_completed,
                         int64_t v, Vec3<double>& grad_verts, Vec3<double>& grad_reference) {
  const bool known = states[v] & kKnown;
  const Vec3<T> g = load3(grad_completed, v);
  const Vec3<double> through{g.x, g.y, g.z}, own = own_offset_grad(f, states, adjoint, v);
  grad_verts = known ? through + own : own;
  grad_reference = (known ? Vec3<double>{} : through) - own - mirrored_offset_grad(f, states, adjoint, v);
  const Vec3<T> s0 = load3(f.reference, v);
  if (!is_finite(s0.x)) grad_reference.x = 0.0;
  if (!is_finite(s0.y)) grad_reference.y = 0.0;
  if (!is_finite(s0.z)) grad_reference.z = 0.0;
  const int64_t m = partner(f, v);
  if (!known || m < 0) return;
  const Vec3<double> mirrored = mirrored_offset_grad(f, states, adjoint, m);
  grad_verts = grad_verts + Vec3<double>{-mirrored.x, mirrored.y, mirrored.z};
}

template <class T> PF3D_HD Vec3<T> rounded(Vec3<double> v) {
  return {static_cast<T>(v.x), static_cast<T>(v.y), static_cast<T>(v.z)};
}

// What the fill makes of vertex v, given the offsets (V, 3).
template <class T>
PF3D_HD Vec3<T> completed_vertex(const MirrorFill<T>& f, uint8_t state, const double* offsets, int64_t v) {
  if (state & kKnown) return load3(f.verts, v);
  const Vec3<double> x = (state & kHole) ? reference_at(f, v) + load3(offsets, v) : reference_at(f, v);
  return rounded<T>(x);
}

// 0 prior, 1 observed, 2 mirrored
PF3D_HD uint8_t vertex_source(uint8_t state) {
  if (state & kKnown) return 1;
  return (state & kHole) && (state & kBorrows) ? 2 : 0;
}

}  // namespace pyface3d
