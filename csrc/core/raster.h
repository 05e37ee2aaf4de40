// csrc/core/raster.h -- which pixel a triangle covers, its barycentrics and depth there, and their pull-back.
//
// Coverage. With corners taken relative to the pixel's middle, e_0 = edge(b, c), e_1 = edge(c, a), e_2 = edge(a, b)
// are positive inside a front face (anticlockwise to the eye in the y-down picture). edge(a, b) = -edge(b, a) to
// the last bit and its sign is exact, so the two faces of an edge never agree on a pixel: no leak, nothing drawn
// twice. A middle exactly on an edge goes by the top-left rule, which is the same as moving it an infinitely small
// step right and down. Every face sees the same rounded corner at one pixel, so the argument needs no exact
// differences.
//
// Barycentrics (perspective: w = 1 / z, else w = 1):  m_i = e_i w_i,  beta_i = m_i / sum m,  depth = sum beta_i z_i.
//
// Corners behind the camera. (u z, v z, z) are homogeneous coordinates of a corner for either sign of z, and the
// homogeneous edge function is z_a z_b edge(a, b): the same test with the sign flipped on an edge that crosses the
// plane of the camera. So such a face is clipped pixel by pixel: those of positive depth are drawn, exactly.
#pragma once
#include "core/vec.h"

namespace pyface3d {

// A corner in the image: x, y in pixels, depth z, and its weight w in the perspective division: negative behind the
// camera, NaN where the corner cannot be drawn.
template <class T> struct RasterVertex {
  T x, y, z, w;
};

template <class T> PF3D_HD RasterVertex<T> raster_vertex(Vec3<T> p, bool perspective) {
  constexpr T kFar = sizeof(T) == 4 ? T(1) : T(1e208);  // doubles beyond 1e100 go too: then no product below overflows
  const T w = perspective ? T(1) / p.z : T(1);
  const T reach = (fabs(p.x) + fabs(p.y) + fabs(p.z) + fabs(w)) * kFar;
  return {p.x, p.y, p.z, w + T(0) * reach};  // 0 times NaN or infinity is NaN
}

// Sign-exact a.y b.x - a.x b.y.
// float: both products are exact in double, and a difference of doubles never rounds to the wrong side of zero.
// double: rounding keeps order, so only equal products hide a sign; the parts lost to rounding then decide.
PF3D_HD double edge(Vec2<float> a, Vec2<float> b) { return double(a.y) * b.x - double(a.x) * b.y; }
PF3D_HD double edge(Vec2<double> a, Vec2<double> b) {
  const double s = a.y * b.x, t = a.x * b.y;
  return s != t ? s - t : fma(a.y, b.x, -s) - fma(a.x, b.y, -t);
}

// +1 where the pixel lies left of a -> b to the eye, -1 right, never undecided but for an edge of no length (0).
// On the line: left of an edge that goes down, or level and to the left.
template <class T> PF3D_HD int edge_side(double e, Vec2<T> a, Vec2<T> b) {
  if (e != 0) return e > 0 ? 1 : -1;
  if (a.y != b.y) return b.y > a.y ? 1 : -1;
  return b.x < a.x ? 1 : b.x > a.x ? -1 : 0;
}

// e_0, e_1, e_2 of one face at one pixel.
struct EdgeValues {
  double e[3];
};

template <class T> PF3D_HD EdgeValues edge_values(const RasterVertex<T> (&v)[3], T px, T py) {
  const Vec2<T> a{v[0].x - px, v[0].y - py}, b{v[1].x - px, v[1].y - py}, c{v[2].x - px, v[2].y - py};
  return {{edge(b, c), edge(c, a), edge(a, b)}};
}

// Depth of the face's plane at a pixel, whether the face covers it or not.
template <class T> PF3D_HD double raster_depth(const RasterVertex<T> (&v)[3], const EdgeValues& at) {
  const double m0 = at.e[0] * v[0].w, m1 = at.e[1] * v[1].w, m2 = at.e[2] * v[2].w;
  return (m0 * v[0].z + m1 * v[1].z + m2 * v[2].z) * (1 / (m0 + m1 + m2));
}

// What a pixel shows of a face.
template <class T> struct RasterSample {
  Vec3<T> barycentrics;
  T depth;
};

template <class T> PF3D_HD RasterSample<T> raster_sample(const RasterVertex<T> (&v)[3], const EdgeValues& at) {
  const double m0 = at.e[0] * v[0].w, m1 = at.e[1] * v[1].w, m2 = at.e[2] * v[2].w;
  const double inverse = 1 / (m0 + m1 + m2);
  return {{T(m0 * inverse), T(m1 * inverse), T(m2 * inverse)}, T(raster_depth(v, at))};
}

// The full test where a sign is not plain: a middle on an edge, a back face, a corner behind the camera.
template <class T>
PF3D_HD bool covers(const RasterVertex<T> (&v)[3], T px, T py, const EdgeValues& at, bool cull_back) {
  const Vec2<T> a{v[0].x - px, v[0].y - py}, b{v[1].x - px, v[1].y - py}, c{v[2].x - px, v[2].y - py};
  const bool behind0 = v[0].w < 0, behind1 = v[1].w < 0, behind2 = v[2].w < 0;
  const int s0 = edge_side(at.e[0], b, c) * (behind1 != behind2 ? -1 : 1);
  const int s1 = edge_side(at.e[1], c, a) * (behind2 != behind0 ? -1 : 1);
  const int s2 = edge_side(at.e[2], a, b) * (behind0 != behind1 ? -1 : 1);
  return s0 == s1 && s1 == s2 && (s0 > 0 || (s0 < 0 && !cull_back));
}

// Whether the face is drawn at the pixel with middle (px, py), and what is seen of it.
template <class T>
PF3D_HD bool sample_face(const RasterVertex<T> (&v)[3], T px, T py, bool cull_back, RasterSample<T>& sample) {
  const EdgeValues at = edge_values(v, px, py);
  const bool plain = at.e[0] > 0 && at.e[1] > 0 && at.e[2] > 0 && v[0].w > 0 && v[1].w > 0 && v[2].w > 0;
  if (!plain && !covers(v, px, py, at, cull_back)) return false;
  sample = raster_sample(v, at);
  return sample.depth > T(0) && sample.depth < T(INFINITY);  // false for NaN
}

// Columns [x0, x1] and rows [y0, y1] of the pixels a face may cover; empty when x0 > x1 or y0 > y1.
struct PixelBox {
  int x0, x1, y0, y1;
};

// Never too small: rounding keeps order, so a bound that moves lands on a pixel's middle at most.
template <class T>
PF3D_HD PixelBox pixel_box(const RasterVertex<T> (&v)[3], int width, int height) {
  const T weight = v[0].w + v[1].w + v[2].w;
  const bool behind[3] = {v[0].w < T(0), v[1].w < T(0), v[2].w < T(0)};
  const int num_behind = behind[0] + behind[1] + behind[2];
  if (weight != weight || num_behind == 3) return {0, -1, 0, -1};
  const T right = T(width), bottom = T(height);
  T x_min = right, x_max = T(0), y_min = bottom, y_max = T(0);
  if (num_behind == 0) {
    x_min = fmin(v[0].x, fmin(v[1].x, v[2].x));
    x_max = fmax(v[0].x, fmax(v[1].x, v[2].x));
    y_min = fmin(v[0].y, fmin(v[1].y, v[2].y));
    y_max = fmax(v[0].y, fmax(v[1].y, v[2].y));
  } else {
    // The visible part is the hull of the corners in front and of rays from them, away from each corner behind.
    for (int i = 0; i < 3; ++i) {
      if (behind[i]) continue;
      x_min = fmin(x_min, v[i].x);
      x_max = fmax(x_max, v[i].x);
      y_min = fmin(y_min, v[i].y);
      y_max = fmax(y_max, v[i].y);
      for (int k = 0; k < 3; ++k) {
        if (!behind[k]) continue;
        if (v[i].x < v[k].x) x_min = T(0);
        if (v[i].x > v[k].x) x_max = right;
        if (v[i].y < v[k].y) y_min = T(0);
        if (v[i].y > v[k].y) y_max = bottom;
      }
    }
  }
  const T half = T(0.5);
  return {static_cast<int>(fmin(fmax(ceil(x_min - half), T(0)), right)),
          static_cast<int>(fmax(fmin(floor(x_max - half), right - 1), T(-1))),
          static_cast<int>(fmin(fmax(ceil(y_min - half), T(0)), bottom)),
          static_cast<int>(fmax(fmin(floor(y_max - half), bottom - 1), T(-1)))};
}

// Pull-back of (dL/dbeta, dL/ddepth) to the three corners (x, y, z), M = sum m:
//   dL/dbeta_i += z_i dL/ddepth           dL/dz_i  = beta_i dL/ddepth + ...
//   dL/dm_i = (dL/dbeta_i - sum_j beta_j dL/dbeta_j) / M
//   dL/de_i = w_i dL/dm_i                 dL/dz_i += -w_i^2 e_i dL/dm_i      (perspective; w = 1 / z)
//   edge(a, b) = a.y b.x - a.x b.y:       d/da = (-b.y, b.x),  d/db = (a.y, -a.x)
template <class T>
PF3D_HD void raster_vjp(const RasterVertex<T> (&v)[3], T px, T py, bool perspective, Vec3<T> grad_barycentrics,
                        T grad_depth, Vec3<T> (&grad)[3]) {
  // Spelt out, without loops or arrays of results: compilers then treat several pixels side by side.
  const EdgeValues at = edge_values(v, px, py);
  const double m0 = at.e[0] * v[0].w, m1 = at.e[1] * v[1].w, m2 = at.e[2] * v[2].w;
  const double inverse = 1 / (m0 + m1 + m2);
  const double beta0 = m0 * inverse, beta1 = m1 * inverse, beta2 = m2 * inverse;
  const double depth = double(grad_depth);
  const double g0 = grad_barycentrics.x + depth * v[0].z;
  const double g1 = grad_barycentrics.y + depth * v[1].z;
  const double g2 = grad_barycentrics.z + depth * v[2].z;
  const double mean = beta0 * g0 + beta1 * g1 + beta2 * g2;
  const double ge0 = (g0 - mean) * inverse * v[0].w;
  const double ge1 = (g1 - mean) * inverse * v[1].w;
  const double ge2 = (g2 - mean) * inverse * v[2].w;
  const double through_w = perspective ? 1.0 : 0.0;
  const double gz0 = beta0 * depth - through_w * (ge0 * m0);
  const double gz1 = beta1 * depth - through_w * (ge1 * m1);
  const double gz2 = beta2 * depth - through_w * (ge2 * m2);
  const double x0 = double(v[0].x) - px, x1 = double(v[1].x) - px, x2 = double(v[2].x) - px;
  const double y0 = double(v[0].y) - py, y1 = double(v[1].y) - py, y2 = double(v[2].y) - py;
  // Corner 0 begins edge 2 against corner 1 and ends edge 1 against corner 2; and so on round.
  grad[0] = {T(ge1 * y2 - ge2 * y1), T(ge2 * x1 - ge1 * x2), T(gz0)};
  grad[1] = {T(ge2 * y0 - ge0 * y2), T(ge0 * x2 - ge2 * x0), T(gz1)};
  grad[2] = {T(ge0 * y1 - ge1 * y0), T(ge1 * x0 - ge0 * x1), T(gz2)};
}

}  // namespace pyface3d
