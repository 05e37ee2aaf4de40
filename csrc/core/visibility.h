// csrc/core/visibility.h -- whether a vertex is seen in the picture that was rasterised.
// Seen: in the frame, in front of the camera, and one of the 3 x 3 pixels around it shows a face the vertex belongs to
// or a surface no farther than `tolerance` from it in depth. The 3 x 3 pixels because a vertex at a silhouette falls
// on pixels whose middle is missed; its own faces because on a steep surface depth changes by more than any tolerance
// within a pixel. (The depth test is that of Extreme 3D faces, spec section 1.6.)
#pragma once
#include "core/vec.h"

namespace pyface3d {

template <class T>
PF3D_HD bool vertex_visible(Vec3<T> vertex, int32_t index, const int32_t* faces, const int32_t* face_index,
                            const T* depth, int64_t height, int64_t width, T tolerance) {
  const bool in_frame = vertex.x >= T(0) && vertex.x < T(width) && vertex.y >= T(0) && vertex.y < T(height);
  if (!in_frame || !(vertex.z > T(0) && vertex.z < T(INFINITY))) return false;  // false for NaN as well
  const int64_t x = static_cast<int64_t>(vertex.x), y = static_cast<int64_t>(vertex.y);
  for (int64_t i = y > 0 ? y - 1 : 0; i <= y + 1 && i < height; ++i) {
    for (int64_t j = x > 0 ? x - 1 : 0; j <= x + 1 && j < width; ++j) {
      const int64_t p = i * width + j;
      if (face_index[p] < 0) continue;
      const int32_t* corners = faces + 3 * static_cast<int64_t>(face_index[p]);
      if (corners[0] == index || corners[1] == index || corners[2] == index) return true;
      if (fabs(vertex.z - depth[p]) <= tolerance) return true;
    }
  }
  return false;
}

}  // namespace pyface3d
