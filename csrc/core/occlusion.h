// csrc/core/occlusion.h -- how much of a face a picture stretches: frontal pixels counted where a turned view has them.
// (Extreme 3D faces, spec section 1.8 (a); after the back-projection count of Hassner et al. 2015.)
//
// Counts are integers and the blur has the weights 1 4 6 4 1 over 16 an axis, so all is exact up to the last
// exponential: the same on every device and in any order.
#pragma once
#include "core/vec.h"

namespace pyface3d {

constexpr int kBlurReach = 2;            // pixels to each side: 5 x 5
constexpr int kBlurSum = 256;            // of the 25 weights
constexpr int kWindowReach = 5;          // 11 x 11
constexpr double kCountDecay = 0.2;      // O = exp(-0.2 count)
constexpr int32_t kByte = 255;           // where the original's counts end
constexpr int32_t kMostCount = 1 << 20;  // where ours do: the weight is 0 long before, and the blur cannot overflow

// The pixel a frontal pixel's point falls on in the posed picture, or -1 where that picture shows another surface
// there: none of the 3 x 3 pixels around is within `tolerance` of the point's depth.
// With perspective weights the point's homogeneous coordinates are sum beta (u z, v z, z) of its corners.
template <class T>
PF3D_HD int64_t carried_pixel(const T* verts_image, const int32_t* faces, int32_t face, Vec3<T> barycentrics,
                              const int32_t* face_index, const T* depth, int64_t height, int64_t width, T tolerance,
                              bool perspective) {
  if (face < 0) return -1;
  const int32_t* corners = faces + 3 * static_cast<int64_t>(face);
  const T beta[3] = {barycentrics.x, barycentrics.y, barycentrics.z};
  T x = T(0), y = T(0), z = T(0);
  for (int k = 0; k < 3; ++k) {
    const Vec3<T> v = load3(verts_image, corners[k]);
    const T w = beta[k] * (perspective ? v.z : T(1));
    x += w * v.x;
    y += w * v.y;
    z += beta[k] * v.z;
  }
  if (!(z > T(0))) return -1;  // also for NaN
  if (perspective) {
    x /= z;
    y /= z;
  }
  if (!(x >= T(0) && x < T(width) && y >= T(0) && y < T(height))) return -1;
  const int64_t column = static_cast<int64_t>(x), row = static_cast<int64_t>(y);
  for (int64_t i = row > 0 ? row - 1 : 0; i <= row + 1 && i < height; ++i) {
    for (int64_t j = column > 0 ? column - 1 : 0; j <= column + 1 && j < width; ++j) {
      const int64_t q = i * width + j;
      if (face_index[q] >= 0 && fabs(z - depth[q]) <= tolerance) return row * width + column;
    }
  }
  return -1;
}

// Mirrored at the first and last pixel, which are not doubled.
PF3D_HD int64_t reflected(int64_t i, int64_t size) {
  if (size == 1) return 0;
  while (i < 0 || i >= size) i = i < 0 ? -i : 2 * size - 2 - i;
  return i;
}

// One frontal pixel on a posed pixel is what a face that has not turned shows; only those beyond it count.
PF3D_HD int32_t excess(int32_t count, bool compat) {
  const int32_t beyond = count > 1 ? count - 1 : 0, most = compat ? kByte : kMostCount;
  return beyond < most ? beyond : most;
}

// 1 4 6 4 1.
PF3D_HD int32_t blur_sum(int32_t a, int32_t b, int32_t c, int32_t d, int32_t e) { return a + e + 4 * (b + d) + 6 * c; }

// 16 times the excess blurred along a row of the picture; the first for columns at least kBlurReach from its ends.
PF3D_HD int32_t row_blur_inside(const int32_t* line, int64_t column, bool compat) {
  return blur_sum(excess(line[column - 2], compat), excess(line[column - 1], compat), excess(line[column], compat),
                  excess(line[column + 1], compat), excess(line[column + 2], compat));
}
PF3D_HD int32_t row_blur(const int32_t* line, int64_t column, int64_t width, bool compat) {
  const auto at = [&](int64_t j) { return excess(line[reflected(j, width)], compat); };
  return blur_sum(at(column - 2), at(column - 1), at(column), at(column + 1), at(column + 2));
}

// 256 times the blurred excess, of five rows' sums; with `compat` rounded to whole counts, as in the original's bytes.
PF3D_HD int32_t column_blur(int32_t a, int32_t b, int32_t c, int32_t d, int32_t e, bool compat) {
  const int32_t sum = blur_sum(a, b, c, d, e);
  return compat ? (sum + kBlurSum / 2) / kBlurSum * kBlurSum : sum;
}

// The least exp(-0.2 count) of the 11 x 11 pixels around a vertex that is seen, so in the frame.
template <class T>
PF3D_HD T occlusion_weight(Vec3<T> vertex, const int32_t* blurred, int64_t height, int64_t width) {
  const int64_t column = static_cast<int64_t>(vertex.x), row = static_cast<int64_t>(vertex.y);
  int32_t most = 0;
  const bool inside = row >= kWindowReach && row + kWindowReach < height && column >= kWindowReach &&
                      column + kWindowReach < width;
  if (inside) {  // the same with known bounds, eleven at a time
    int32_t of_column[2 * kWindowReach + 1] = {};
    for (int i = -kWindowReach; i <= kWindowReach; ++i) {
      const int32_t* line = blurred + (row + i) * width + column - kWindowReach;
      for (int j = 0; j <= 2 * kWindowReach; ++j) of_column[j] = line[j] > of_column[j] ? line[j] : of_column[j];
    }
    for (int j = 0; j <= 2 * kWindowReach; ++j) most = of_column[j] > most ? of_column[j] : most;
  } else {
    for (int64_t i = row > kWindowReach ? row - kWindowReach : 0; i <= row + kWindowReach && i < height; ++i)
      for (int64_t j = column > kWindowReach ? column - kWindowReach : 0; j <= column + kWindowReach && j < width; ++j)
        most = blurred[i * width + j] > most ? blurred[i * width + j] : most;
  }
  return exp(T(-kCountDecay) * T(most) / T(kBlurSum));
}

}  // namespace pyface3d
