// csrc/cpu/rasterize_uvs.cpp -- bands of rows side by side; each goes through all faces and keeps the smallest key.
#include <algorithm>

#include "core/chart.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"

namespace pyface3d::cpu {

template <class T>
void rasterize_uvs(const T* uvs, const int32_t* uv_faces, int64_t* keys, int32_t* face_index, T* barycentrics,
                   T* distance, int64_t num_faces, int64_t height, int64_t width, int threads) {
  uint64_t* best = reinterpret_cast<uint64_t*>(keys);
  parallel_for(threads, height, 64, [&](int64_t begin, int64_t end) {
    std::fill(best + begin * width, best + end * width, kNoFace);
    for (int64_t f = 0; f < num_faces; ++f) {
      const int32_t* face = uv_faces + 3 * f;
      const TexelBox box = texel_box(uvs, face, height, width);
      for (int64_t row = std::max(begin, box.row_first); row < std::min(end, box.row_end); ++row)
        for (int64_t column = box.column_first; column < box.column_end; ++column) {
          const float d = chart_point(uvs, face, height, width, row, column).distance_squared;
          uint64_t& key = best[row * width + column];
          if (d < kReachSquared) key = std::min(key, chart_key(d, f));
        }
    }
    for (int64_t texel = begin * width; texel < end * width; ++texel)
      resolve_texel(best[texel], uvs, uv_faces, height, width, texel, face_index, barycentrics, distance);
  });
}

template void rasterize_uvs(const float*, const int32_t*, int64_t*, int32_t*, float*, float*, int64_t, int64_t,
                            int64_t, int);
template void rasterize_uvs(const double*, const int32_t*, int64_t*, int32_t*, double*, double*, int64_t, int64_t,
                            int64_t, int);

}  // namespace pyface3d::cpu
