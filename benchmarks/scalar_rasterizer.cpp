// benchmarks/scalar_rasterizer.cpp -- the loop most face repositories carry: one thread, one triangle after another,
// affine barycentrics by dot products at every pixel of the bounding box. A yardstick, compiled on the fly; it has no
// fill rule and no perspective, so its barycentrics and depth are those of an orthographic camera.
#include <algorithm>
#include <cmath>
#include <cstdint>

extern "C" void scalar_rasterize(const float* verts, const int32_t* faces, int32_t* face_index, float* barycentrics,
                                 float* depth, int64_t batch, int64_t num_verts, int64_t num_faces, int64_t height,
                                 int64_t width) {
  for (int64_t b = 0; b < batch; ++b, verts += 3 * num_verts) {
    int32_t* index = face_index + b * height * width;
    float* weights = barycentrics + 3 * b * height * width;
    float* nearest = depth + b * height * width;
    std::fill(index, index + height * width, -1);
    std::fill(weights, weights + 3 * height * width, 0.0f);
    std::fill(nearest, nearest + height * width, 1e30f);
    for (int64_t f = 0; f < num_faces; ++f) {
      const float* p0 = verts + 3 * faces[3 * f];
      const float* p1 = verts + 3 * faces[3 * f + 1];
      const float* p2 = verts + 3 * faces[3 * f + 2];
      const int x0 = std::max(int(std::ceil(std::min({p0[0], p1[0], p2[0]}) - 0.5f)), 0);
      const int x1 = std::min(int(std::floor(std::max({p0[0], p1[0], p2[0]}) - 0.5f)), int(width) - 1);
      const int y0 = std::max(int(std::ceil(std::min({p0[1], p1[1], p2[1]}) - 0.5f)), 0);
      const int y1 = std::min(int(std::floor(std::max({p0[1], p1[1], p2[1]}) - 0.5f)), int(height) - 1);
      for (int y = y0; y <= y1; ++y) {
        for (int x = x0; x <= x1; ++x) {
          const float v0x = p2[0] - p0[0], v0y = p2[1] - p0[1], v1x = p1[0] - p0[0], v1y = p1[1] - p0[1];
          const float v2x = float(x) + 0.5f - p0[0], v2y = float(y) + 0.5f - p0[1];
          const float d00 = v0x * v0x + v0y * v0y, d01 = v0x * v1x + v0y * v1y, d02 = v0x * v2x + v0y * v2y;
          const float d11 = v1x * v1x + v1y * v1y, d12 = v1x * v2x + v1y * v2y;
          const float det = d00 * d11 - d01 * d01;
          const float inverse = det == 0 ? 0 : 1 / det;
          const float w2 = (d11 * d02 - d01 * d12) * inverse, w1 = (d00 * d12 - d01 * d02) * inverse;
          const float w0 = 1 - w1 - w2;
          if (w0 < 0 || w1 < 0 || w2 < 0 || det == 0) continue;
          const float z = w0 * p0[2] + w1 * p1[2] + w2 * p2[2];
          const int64_t p = int64_t(y) * width + x;
          if (z >= nearest[p]) continue;
          nearest[p] = z;
          index[p] = int32_t(f);
          weights[3 * p] = w0;
          weights[3 * p + 1] = w1;
          weights[3 * p + 2] = w2;
        }
      }
    }
  }
}
