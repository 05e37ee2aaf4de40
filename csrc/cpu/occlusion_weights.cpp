// csrc/cpu/occlusion_weights.cpp -- where each frontal pixel lands, the counts per image, their blur, the vertices.
#include <algorithm>

#include "core/occlusion.h"
#include "core/visibility.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/scratch.h"

namespace pyface3d::cpu {
namespace {

void blur_row(const int32_t* counts, int32_t* sums, int64_t width, bool compat) {
  const int64_t first = std::min<int64_t>(kBlurReach, width), last = std::max(width - kBlurReach, first);
  for (int64_t j = 0; j < first; ++j) sums[j] = row_blur(counts, j, width, compat);
  for (int64_t j = first; j < last; ++j) sums[j] = row_blur_inside(counts, j, compat);
  for (int64_t j = last; j < width; ++j) sums[j] = row_blur(counts, j, width, compat);
}

}  // namespace

template <class T>
void occlusion_weights(const T* verts_image, const int32_t* faces, const int32_t* face_index, const T* depth,
                       const int32_t* frontal_faces, const T* frontal_barycentrics, int32_t* counts, int32_t* blurred,
                       T* weights, int64_t batch, int64_t num_verts, int64_t height, int64_t width,
                       int64_t frontal_pixels, double tolerance, bool perspective, bool compat, int threads) {
  const int64_t pixels = height * width;
  int64_t* landed = scratch<int64_t>(batch * frontal_pixels);
  parallel_for(threads, batch * frontal_pixels, 8192, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t b = k / frontal_pixels;
      landed[k] = carried_pixel(verts_image + 3 * b * num_verts, faces, frontal_faces[k],
                                load3(frontal_barycentrics, k), face_index + b * pixels, depth + b * pixels, height,
                                width, T(tolerance), perspective);
    }
  });
  parallel_for(threads, batch, 1, [&](int64_t begin, int64_t end) {
    std::fill(counts + begin * pixels, counts + end * pixels, 0);
    for (int64_t k = begin * frontal_pixels; k < end * frontal_pixels; ++k)
      if (landed[k] >= 0) ++counts[k / frontal_pixels * pixels + landed[k]];
  });
  int32_t* rows = scratch<int32_t>(batch * pixels);
  parallel_for(threads, batch * height, 32, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) blur_row(counts + line * width, rows + line * width, width, compat);
  });
  parallel_for(threads, batch * height, 32, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const int64_t first = line / height * height, row = line % height;
      const int32_t* from[2 * kBlurReach + 1];
      for (int i = -kBlurReach; i <= kBlurReach; ++i)
        from[i + kBlurReach] = rows + (first + reflected(row + i, height)) * width;
      int32_t* out = blurred + line * width;
      for (int64_t j = 0; j < width; ++j)
        out[j] = column_blur(from[0][j], from[1][j], from[2][j], from[3][j], from[4][j], compat);
    }
  });
  parallel_for(threads, batch * num_verts, 1024, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t first = k / num_verts * pixels;
      const Vec3<T> vertex = load3(verts_image, k);
      const bool seen = vertex_visible(vertex, static_cast<int32_t>(k % num_verts), faces, face_index + first,
                                       depth + first, height, width, T(tolerance));
      weights[k] = seen ? occlusion_weight(vertex, blurred + first, height, width) : T(0);
    }
  });
}

#define PF3D_INSTANCES(T)                                                                                             \
  template void occlusion_weights(const T*, const int32_t*, const int32_t*, const T*, const int32_t*, const T*,       \
                                  int32_t*, int32_t*, T*, int64_t, int64_t, int64_t, int64_t, int64_t, double, bool,  \
                                  bool, int)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cpu
