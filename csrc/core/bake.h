// csrc/core/bake.h -- where a point of a face lies in a photo, and how much of what is there shows that face.
#pragma once
#include "core/raster.h"
#include "core/texture.h"

namespace pyface3d {

template <class T> struct Sighting {
  Vec2<T> uv;  // in the photo, (0, 0) to (1, 1); infinite where the point is not seen
  T weight;    // share of the bilinear lookup there that shows the face, 0 to 1
};

// What decides whether a point is hidden; with neither, nothing is.
template <class T> struct Occlusion {
  const T* depth;         // (H, W) of the rasterised mesh, 0 where empty
  const T* vertex_seen;   // (V,)
  T tolerance;            // on depth
};

// Whether pixel (row, column) shows the face: the depth of the face's plane there is the one that was drawn.
template <class T>
PF3D_HD bool shows(const RasterVertex<T> (&v)[3], const T* depth, int64_t width, int32_t row, int32_t column,
                   T tolerance) {
  const T drawn = depth[row * width + column];
  const double plane = raster_depth(v, edge_values(v, T(column) + T(0.5), T(row) + T(0.5)));
  return drawn > T(0) && fabs(plane - double(drawn)) <= double(tolerance);
}

// verts (V, 3): x px, y px, depth of one image; face: its three corners; barycentrics: on the surface, not in the image.
template <class T>
PF3D_HD Sighting<T> sight(const T* verts, const int32_t* face, Vec3<T> barycentrics, Occlusion<T> occlusion,
                          int64_t height, int64_t width, bool perspective) {
  const Sighting<T> unseen{{T(INFINITY), T(INFINITY)}, T(0)};
  const T b[3] = {barycentrics.x, barycentrics.y, barycentrics.z};
  RasterVertex<T> v[3];
  T x = T(0), y = T(0), scale = T(0), seen = T(0);
  for (int k = 0; k < 3; ++k) {
    v[k] = raster_vertex(load3(verts, face[k]), perspective);
    if (!(v[k].z > T(0) && v[k].w > T(0))) return unseen;
    // The surface is mixed linearly in space, where a corner stands at (x z, y z, z).
    const T m = perspective ? b[k] * v[k].z : b[k];
    x += m * v[k].x;
    y += m * v[k].y;
    scale += m;
    if (occlusion.vertex_seen) seen += b[k] * occlusion.vertex_seen[face[k]];
  }
  x /= scale;
  y /= scale;
  const EdgeValues at = edge_values(v, x, y);
  const bool front = at.e[0] + at.e[1] + at.e[2] > 0;
  if (!(front && x >= T(0) && x < T(width) && y >= T(0) && y < T(height))) return unseen;
  T weight = occlusion.vertex_seen ? clamped(seen, T(0), T(1)) : T(1);
  if (occlusion.depth) {
    const Tap<T> h = clamped_tap(x - T(0.5), static_cast<int32_t>(width));
    const Tap<T> d = clamped_tap(y - T(0.5), static_cast<int32_t>(height));
    T corner[4] = {};
    for (int k = 0; k < 4; ++k)
      corner[k] = shows(v, occlusion.depth, width, d.index + (k / 2) * d.step, h.index + (k % 2) * h.step,
                        occlusion.tolerance) ? T(1) : T(0);
    weight *= bilinear(corner[0], corner[1], corner[2], corner[3], h.t, d.t);
  }
  if (!(weight > T(0))) return unseen;
  return {{x / T(width), y / T(height)}, weight};
}

// A chart laid over B images of a mesh.
template <class T> struct Bake {
  const T* verts_image;          // (B, V, 3)
  const int32_t* faces;          // (F, 3)
  const int32_t* chart_faces;    // (N,)
  const T* chart_barycentrics;   // (N, 3)
  const T* depth;                // (B, H, W) or null
  const T* vertex_seen;          // (B, V) or null
  int64_t num_verts, texels, height, width;
  T tolerance;
  bool perspective;

  // Texel `texel` of image `b`.
  PF3D_HD Sighting<T> at(int64_t b, int64_t texel) const {
    const int64_t f = chart_faces[texel];
    if (f < 0) return {{T(INFINITY), T(INFINITY)}, T(0)};
    const Occlusion<T> occlusion{depth ? depth + b * height * width : nullptr,
                                 vertex_seen ? vertex_seen + b * num_verts : nullptr, tolerance};
    return sight(verts_image + 3 * num_verts * b, faces + 3 * f, load3(chart_barycentrics, texel), occlusion, height,
                 width, perspective);
  }
};

}  // namespace pyface3d
