// csrc/core/uv_footprint.h -- how fast the texture coordinate runs from pixel to pixel on a face.
// With m_i = e_i w_i, M = sum m and beta_i = m_i / M (core/raster.h), uv = sum beta_i uv_i:
//   d uv = sum dm_i (uv_i - uv) / M
// e_0 = edge(b - p, c - p) and its like are affine in the pixel p: de_0/dp = (c.y - b.y, b.x - c.x), and cyclic.
#pragma once
#include "core/raster.h"
#include "core/texture.h"

namespace pyface3d {

// du/dx, du/dy, dv/dx, dv/dy at the pixel with middle (px, py); all 0 where one of them is not finite.
template <class T> struct UvFootprint {
  T values[4];
};

template <class T>
PF3D_HD UvFootprint<T> uv_footprint_at(const RasterVertex<T> (&v)[3], const T* uvs, const int32_t* uv_face, T px,
                                       T py) {
  const EdgeValues at = edge_values(v, px, py);
  const double x[3] = {double(v[0].x) - px, double(v[1].x) - px, double(v[2].x) - px};
  const double y[3] = {double(v[0].y) - py, double(v[1].y) - py, double(v[2].y) - py};
  double uv[3][2], m[3], mean[2] = {0, 0};
  for (int i = 0; i < 3; ++i) {
    m[i] = at.e[i] * v[i].w;
    for (int k = 0; k < 2; ++k) {
      uv[i][k] = uvs[2 * static_cast<int64_t>(uv_face[i]) + k];
      mean[k] += m[i] * uv[i][k];
    }
  }
  const double inverse = 1 / (m[0] + m[1] + m[2]);
  double d[4] = {0, 0, 0, 0};
  for (int i = 0; i < 3; ++i) {
    const int j = (i + 1) % 3, l = (i + 2) % 3;
    const double dx = (y[l] - y[j]) * v[i].w, dy = (x[j] - x[l]) * v[i].w;
    for (int k = 0; k < 2; ++k) {
      const double away = (uv[i][k] - mean[k] * inverse) * inverse;
      d[2 * k] += dx * away;
      d[2 * k + 1] += dy * away;
    }
  }
  UvFootprint<T> found{{T(d[0]), T(d[1]), T(d[2]), T(d[3])}};
  const T sum = found.values[0] * T(0) + found.values[1] * T(0) + found.values[2] * T(0) + found.values[3] * T(0);
  return sum == T(0) ? found : UvFootprint<T>{{T(0), T(0), T(0), T(0)}};
}

// The same for pixel `pixel` of a picture (H, W) of one image's vertices; 0 where it shows no face.
template <class T>
PF3D_HD UvFootprint<T> uv_footprint_of(const T* verts_image, const int32_t* faces, const T* uvs,
                                       const int32_t* uv_faces, int32_t face, int64_t num_faces, int64_t row,
                                       int64_t column, bool perspective) {
  if (!is_face(face, num_faces)) return {{T(0), T(0), T(0), T(0)}};
  const int64_t corner = 3 * static_cast<int64_t>(face);
  const RasterVertex<T> v[3] = {raster_vertex(load3(verts_image, faces[corner]), perspective),
                                raster_vertex(load3(verts_image, faces[corner + 1]), perspective),
                                raster_vertex(load3(verts_image, faces[corner + 2]), perspective)};
  return uv_footprint_at(v, uvs, uv_faces + corner, T(column) + T(0.5), T(row) + T(0.5));
}

}  // namespace pyface3d
