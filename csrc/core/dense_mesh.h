// csrc/core/dense_mesh.h -- a depth map with relief as a mesh: one vertex a pixel, up to two triangles a cell of 2 x 2.
// (Extreme 3D faces, spec section 1.7, with its missing branch, and with cuts at jumps and at grazing triangles.)
#pragma once
#include "core/face_normal.h"

namespace pyface3d {

// Pinhole camera in pixels; camera axes x right, y down, z forward.
template <class T> struct Pinhole {
  T focal, center_x, center_y;
};

template <class T> PF3D_HD Pinhole<T> load_pinhole(const T* cameras, int64_t b) {
  return {cameras[3 * b], cameras[3 * b + 1], cameras[3 * b + 2]};
}

// The point of depth 1 that the pixel's middle shows.
template <class T> PF3D_HD Vec3<T> pixel_ray(const Pinhole<T>& camera, int64_t row, int64_t column) {
  return {(T(column) + T(0.5) - camera.center_x) / camera.focal, (T(row) + T(0.5) - camera.center_y) / camera.focal,
          T(1)};
}

// The vertex of a pixel; a positive bump moves it towards the camera: along the camera's axis, x and y staying those of
// the depth without bump, or along the pixel's ray.
template <class T> PF3D_HD Vec3<T> dense_vertex(Vec3<T> ray, T depth, T bump, bool along_ray) {
  if (along_ray) return ray * (depth - bump / length(ray));
  return {ray.x * depth, ray.y * depth, depth - bump};
}

// For g = dL/dvertex.
template <class T> PF3D_HD T dense_vertex_vjp_depth(Vec3<T> ray, Vec3<T> g) { return dot(ray, g); }
template <class T> PF3D_HD T dense_vertex_vjp_bump(Vec3<T> ray, Vec3<T> g, bool along_ray) {
  return along_ray ? -dot(ray, g) / length(ray) : -g.z;
}

// Before and after the bump in front of the camera, and finite.
template <class T> PF3D_HD bool is_dense_vertex(T depth, Vec3<T> vertex) {
  const T reach = fabs(vertex.x) + fabs(vertex.y) + depth + vertex.z;
  return depth > T(0) && vertex.z > T(0) && reach - reach == T(0);
}

// The four triangles that may stand in a cell, and their corners: 0 top left, 1 top right, 2 bottom left, 3 bottom
// right. All run anticlockwise to the eye, so their normals point to the camera. A whole cell has the first two; of a
// cell with one corner missing the other three stand.
constexpr int kCellTriangles = 4;
struct CellTriangle {
  uint8_t corners[3];
};
PF3D_HD CellTriangle cell_triangle(int k) {
  switch (k) {
    case 0: return {{1, 0, 2}};
    case 1: return {{1, 2, 3}};
    case 2: return {{1, 0, 3}};
    default: return {{0, 2, 3}};
  }
}

// Bit k set: triangle k has its corners, before any cut. `present`: bit c set where corner c has a vertex.
PF3D_HD unsigned triangles_of_corners(unsigned present) {
  switch (present) {
    case 0b1111: return 0b0011;
    case 0b0111: return 0b0001;  // no bottom right
    case 0b1110: return 0b0010;  // no top left
    case 0b1011: return 0b0100;  // no bottom left
    case 0b1101: return 0b1000;  // no top right
    default: return 0;
  }
}

// Whether a triangle is part of the surface: its depths span no more than max_gap, and its normal is within the angle
// of cosine `least_cosine` of the way from its middle to the camera. One of no area is not.
template <class T>
PF3D_HD bool triangle_stands(Vec3<T> a, Vec3<T> b, Vec3<T> c, T max_gap, T least_cosine) {
  const T nearest = fmin(a.z, fmin(b.z, c.z)), farthest = fmax(a.z, fmax(b.z, c.z));
  if (!(farthest - nearest <= max_gap)) return false;
  const Vec3<T> m = area_normal(a, b, c), view = a + b + c;
  const T len = length(m);
  return has_direction(len) && -dot(m, view) >= least_cosine * len * length(view);
}

// The code of a cell: bit k set where triangle k stands. `verts` are its corners, `present` as above.
template <class T>
PF3D_HD uint8_t cell_code(const Vec3<T> (&verts)[4], unsigned present, T max_gap, T least_cosine) {
  unsigned code = triangles_of_corners(present);
  for (int k = 0; k < kCellTriangles; ++k) {
    if (!(code >> k & 1)) continue;
    const CellTriangle t = cell_triangle(k);
    if (!triangle_stands(verts[t.corners[0]], verts[t.corners[1]], verts[t.corners[2]], max_gap, least_cosine))
      code &= ~(1u << k);
  }
  return static_cast<uint8_t>(code);
}

// The maps of all images that a cell is read from; cells are (H - 1, W - 1) an image.
template <class T>
PF3D_HD uint8_t cell_at(const T* verts, const bool* is_vertex, int64_t b, int64_t row, int64_t column, int64_t height,
                        int64_t width, T max_gap, T least_cosine) {
  const int64_t p = (b * height + row) * width + column;
  const int64_t corners[4] = {p, p + 1, p + width, p + width + 1};
  Vec3<T> at[4];
  unsigned present = 0;
  for (int c = 0; c < 4; ++c) {
    at[c] = load3(verts, corners[c]);
    present |= static_cast<unsigned>(is_vertex[corners[c]]) << c;
  }
  return cell_code(at, present, max_gap, least_cosine);
}

}  // namespace pyface3d
