// csrc/cpu/rasterize_backward.cpp -- images side by side; the drawn pixels of an image many at a time, in row order.
//
// A large image is cut into bands of rows, which threads may share. Each has its own sum for every vertex, and these
// are added in order. The cut depends on the size of the image alone, so the bits do not depend on the threads.
#include <algorithm>

#include "core/offsets.h"
#include "core/raster.h"
#include "cpu/corner_lanes.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/scratch.h"

namespace pyface3d::cpu {
namespace {

// One image.
template <class T> struct Image {
  const RasterVertex<T>* verts;
  const int32_t *faces, *face_index;
  const T *grad_barycentrics, *grad_depth;  // may be null
  int32_t width;
  bool perspective;
};

// Calls add(face, gradients of its corners) for every drawn pixel of the given rows, in order.
template <class T, class Add> void pull_back(const Image<T>& image, int64_t row_begin, int64_t row_end, Add add) {
  const int32_t width = image.width;
  uint32_t pixels[3 * kFaceLanes] = {};  // x + (y << 16) of drawn pixels that wait until there are kFaceLanes
  int waiting = 0;
  const auto flush = [&](int count) {
    for (int l = count; l < kFaceLanes; ++l) pixels[l] = pixels[0];
    int32_t position[kFaceLanes];  // an image has 2^30 pixels at most
    T px[kFaceLanes], py[kFaceLanes], seed[4][kFaceLanes], grads[9][kFaceLanes];
    for (int l = 0; l < kFaceLanes; ++l) {
      const int32_t x = int32_t(pixels[l] & 0xffff), y = int32_t(pixels[l] >> 16);
      position[l] = y * width + x;
      px[l] = T(x) + T(0.5);
      py[l] = T(y) + T(0.5);
    }
    const int32_t* face[kFaceLanes];
    for (int l = 0; l < kFaceLanes; ++l) {
      const int64_t p = position[l];
      face[l] = image.faces + corner_offset(image.face_index[p]);
      for (int k = 0; k < 3; ++k) seed[k][l] = image.grad_barycentrics ? image.grad_barycentrics[3 * p + k] : T(0);
      seed[3][l] = image.grad_depth ? image.grad_depth[p] : T(0);
    }
    CornerLanes<T> c;
    load_corner_lanes<true>(image.verts, [&](int l) { return face[l]; }, c);
    const bool perspective = image.perspective;
    for (int l = 0; l < kFaceLanes; ++l) {
      const RasterVertex<T> v[3] = {c.corner(0, l), c.corner(1, l), c.corner(2, l)};
      Vec3<T> g[3];
      raster_vjp(v, px[l], py[l], perspective, {seed[0][l], seed[1][l], seed[2][l]}, seed[3][l], g);
      grads[0][l] = g[0].x, grads[1][l] = g[0].y, grads[2][l] = g[0].z;
      grads[3][l] = g[1].x, grads[4][l] = g[1].y, grads[5][l] = g[1].z;
      grads[6][l] = g[2].x, grads[7][l] = g[2].y, grads[8][l] = g[2].z;
    }
    for (int l = 0; l < count; ++l) {
      const Vec3<T> g[3] = {{grads[0][l], grads[1][l], grads[2][l]},
                            {grads[3][l], grads[4][l], grads[5][l]},
                            {grads[6][l], grads[7][l], grads[8][l]}};
      add(face[l], g);
    }
  };
  for (int64_t y = row_begin; y < row_end; ++y) {
    const int32_t* row = image.face_index + y * width;
    for (int32_t x = 0; x < width; x += kFaceLanes) {
      int32_t drawn[kFaceLanes];
      if (width - x >= kFaceLanes) {
        for (int l = 0; l < kFaceLanes; ++l) drawn[l] = row[x + l] >= 0;
      } else {
        for (int l = 0; l < kFaceLanes; ++l) drawn[l] = x + l < width && row[x + l] >= 0;
      }
      const uint32_t bits = lane_bits(drawn);
      if (bits == 0) continue;
      uint32_t at[kFaceLanes];
      for (int l = 0; l < kFaceLanes; ++l) at[l] = uint32_t(x + l) | uint32_t(y) << 16;
      pack_lanes(bits, at, pixels + waiting);
      waiting += count_bits(bits);
      if (waiting < kFaceLanes) continue;
      flush(kFaceLanes);
      waiting -= kFaceLanes;
      for (int l = 0; l < kFaceLanes; ++l) pixels[l] = pixels[l + kFaceLanes];
    }
  }
  if (waiting > 0) flush(waiting);
}

// Adds the gradients of one band of rows to grad_verts.
template <class T> void add_band(const Image<T>& image, int64_t row_begin, int64_t row_end, T* grad_verts) {
  pull_back(image, row_begin, row_end, [&](const int32_t* face, const Vec3<T> (&g)[3]) {
    for (int k = 0; k < 3; ++k) store3(grad_verts, face[k], load3(grad_verts, face[k]) + g[k]);
  });
}

}  // namespace

template <class T>
void rasterize_backward(const T* verts_image, const int32_t* faces, const int32_t* face_index,
                        const T* grad_barycentrics, const T* grad_depth, T* grad_verts, int64_t batch,
                        int64_t num_verts, int64_t height, int64_t width, bool perspective, int threads) {
  constexpr int64_t kBandPixels = 1 << 16, kMostBands = 8;
  const int64_t bands = std::clamp<int64_t>(height * width / kBandPixels, 1, kMostBands), size = 3 * num_verts;
  const bool by_image = batch >= threads || bands == 1;
  const int per_image = by_image ? 1 : threads;
  parallel_for(by_image ? threads : 1, batch, 1, [&](int64_t begin, int64_t end) {
    RasterVertex<T>* verts = scratch<RasterVertex<T>>(num_verts);
    T* sums = scratch<T>((bands - 1) * size);  // of all bands but the first, which has grad_verts
    for (int64_t b = begin; b < end; ++b) {
      prepare_vertices(verts_image + verts_offset(b, num_verts, 3), num_verts, perspective, verts);
      const int64_t first = image_offset(b, height, width);
      const Image<T> image{verts,
                           faces,
                           face_index + first,
                           grad_barycentrics ? grad_barycentrics + 3 * first : nullptr,
                           grad_depth ? grad_depth + first : nullptr,
                           int32_t(width),
                           perspective};
      T* grad = grad_verts + verts_offset(b, num_verts, 3);
      parallel_for(per_image, bands, 1, [&](int64_t band_begin, int64_t band_end) {
        for (int64_t band = band_begin; band < band_end; ++band) {
          T* sum = band == 0 ? grad : sums + (band - 1) * size;
          std::fill(sum, sum + size, T(0));
          add_band(image, height * band / bands, height * (band + 1) / bands, sum);
        }
      });
      if (bands == 1) continue;
      parallel_for(per_image, size, 16384, [&](int64_t from, int64_t to) {
        for (int64_t band = 1; band < bands; ++band)
          for (int64_t i = from; i < to; ++i) grad[i] += sums[(band - 1) * size + i];
      });
    }
  });
}

#define PF3D_INSTANTIATE(T)                                                                                            \
  template void rasterize_backward(const T*, const int32_t*, const int32_t*, const T*, const T*, T*, int64_t, int64_t, \
                                   int64_t, int64_t, bool, int);
PF3D_INSTANTIATE(float)
PF3D_INSTANTIATE(double)

}  // namespace pyface3d::cpu
