// csrc/core/chart.h -- which face of a texture chart a texel belongs to: the one over its middle, else the nearest
// within reach of a bilinear lookup; of equally near ones the first.
#pragma once
#include <cfloat>
#include <cstring>

#include "core/texture.h"

namespace pyface3d {

// A lookup inside a face reads texels whose middles are less than one texel away along each axis.
constexpr float kReachSquared = 2.0f;
constexpr uint64_t kNoFace = ~uint64_t(0);

template <class T> struct ChartPoint {
  float distance_squared;  // from the texel's middle to the face, in texels
  Vec3<T> barycentrics;    // of the face's point nearest to it
};

template <class T> PF3D_HD T cross(Vec2<T> a, Vec2<T> b) { return a.x * b.y - a.y * b.x; }

// Corners relative to the texel's middle, in texels; faces of either orientation. A face of no area is nowhere.
template <class T> PF3D_HD ChartPoint<T> chart_point(Vec2<T> a, Vec2<T> b, Vec2<T> c) {
  const T area = cross(b - a, c - a);
  if (!(area != T(0))) return {FLT_MAX, {}};
  const Vec3<T> w = Vec3<T>{cross(b, c), cross(c, a), cross(a, b)} / area;
  if (w.x >= T(0) && w.y >= T(0) && w.z >= T(0)) return {0.0f, w};
  const Vec2<T> corner[3] = {a, b, c};
  T best = T(0), along = T(0);
  int edge = -1;
  for (int k = 0; k < 3; ++k) {
    const Vec2<T> p = corner[k], next = corner[(k + 1) % 3], d = next - p;
    const T t = clamped(-dot(p, d) / dot(d, d), T(0), T(1)), twice = cross(p, next);
    // Written so that faces that share the corner or the side, either way round, are equally near to the bit.
    const T squared = t <= T(0) ? dot(p, p) : t >= T(1) ? dot(next, next) : twice * twice / dot(d, d);
    if (edge < 0 || squared < best) {
      best = squared;
      along = t;
      edge = k;
    }
  }
  T at[3] = {};
  at[edge] = T(1) - along;
  at[(edge + 1) % 3] = along;
  return {static_cast<float>(best), {at[0], at[1], at[2]}};
}

// The face's corners in texels, relative to the middle of texel (row, column).
template <class T>
PF3D_HD ChartPoint<T> chart_point(const T* uvs, const int32_t* uv_face, int64_t height, int64_t width, int64_t row,
                                  int64_t column) {
  Vec2<T> corner[3];
  for (int k = 0; k < 3; ++k)
    corner[k] = {uvs[2 * uv_face[k]] * T(width) - (T(column) + T(0.5)),
                 uvs[2 * uv_face[k] + 1] * T(height) - (T(row) + T(0.5))};
  return chart_point(corner[0], corner[1], corner[2]);
}

// Smaller is nearer, then earlier: the bits of a non-negative float are in its order.
PF3D_HD uint64_t chart_key(float distance_squared, int64_t face) {
  uint32_t bits;
  memcpy(&bits, &distance_squared, sizeof bits);
  return static_cast<uint64_t>(bits) << 32 | static_cast<uint32_t>(face);
}

// Rows and columns [first, end) of the texels a face may reach.
struct TexelBox {
  int64_t row_first, row_end, column_first, column_end;
};

template <class T> PF3D_HD void reach(T low, T high, int64_t size, int64_t& first, int64_t& end) {
  const T before = low - T(2), after = high + T(2), most = T(size);
  first = before > T(0) ? (before < most ? static_cast<int64_t>(before) : size) : 0;
  end = after < most ? (after > T(0) ? static_cast<int64_t>(after) : 0) : size;
}

template <class T>
PF3D_HD TexelBox texel_box(const T* uvs, const int32_t* uv_face, int64_t height, int64_t width) {
  Vec2<T> low{uvs[2 * uv_face[0]], uvs[2 * uv_face[0] + 1]}, high = low;
  for (int k = 1; k < 3; ++k) {
    const Vec2<T> p{uvs[2 * uv_face[k]], uvs[2 * uv_face[k] + 1]};
    low = {p.x < low.x ? p.x : low.x, p.y < low.y ? p.y : low.y};
    high = {p.x > high.x ? p.x : high.x, p.y > high.y ? p.y : high.y};
  }
  TexelBox box;
  reach(low.y * T(height), high.y * T(height), height, box.row_first, box.row_end);
  reach(low.x * T(width), high.x * T(width), width, box.column_first, box.column_end);
  return box;
}

// What the texel (row, column) with this key shows; -1, 0 and 0 where no face is in reach.
template <class T>
PF3D_HD void resolve_texel(uint64_t key, const T* uvs, const int32_t* uv_faces, int64_t height, int64_t width,
                           int64_t texel, int32_t* face_index, T* barycentrics, T* distance) {
  ChartPoint<T> point{0.0f, {}};
  if (key != kNoFace)
    point = chart_point(uvs, uv_faces + 3 * static_cast<uint32_t>(key), height, width, texel / width, texel % width);
  face_index[texel] = key == kNoFace ? -1 : static_cast<int32_t>(static_cast<uint32_t>(key));
  distance[texel] = sqrt(T(point.distance_squared));
  store3(barycentrics, texel, point.barycentrics);
}

}  // namespace pyface3d
