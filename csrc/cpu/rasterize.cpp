// csrc/cpu/rasterize.cpp -- images, and bands of rows when there are fewer images than threads. A pixel is decided
// by the faces alone, in rising order, so that no cut into bands can change it.
#include <algorithm>
#include <limits>
#include <vector>

#include "core/raster.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"

namespace pyface3d::cpu {
namespace {

template <class T> struct Target {
  int32_t* face_index;
  T* barycentrics;
  T* depth;
  int height, width;
};

template <class T> void load_face(const RasterVertex<T>* verts, const int32_t* face, RasterVertex<T> (&v)[3]) {
  for (int k = 0; k < 3; ++k) v[k] = verts[face[k]];
}

template <class T>
void rasterize_rows(const RasterVertex<T>* verts, const int32_t* faces, int64_t num_faces, const Target<T>& out,
                    int row_begin, int row_end, bool cull_back, bool perspective) {
  const int64_t begin = int64_t(row_begin) * out.width, end = int64_t(row_end) * out.width;
  std::fill(out.face_index + begin, out.face_index + end, -1);
  std::fill(out.depth + begin, out.depth + end, std::numeric_limits<T>::infinity());
  for (int64_t f = 0; f < num_faces; ++f) {
    RasterVertex<T> v[3];
    load_face(verts, faces + 3 * f, v);
    const PixelBox box = pixel_box(v, out.width, out.height, perspective);
    for (int y = std::max(box.y0, row_begin); y <= std::min(box.y1, row_end - 1); ++y) {
      for (int x = box.x0; x <= box.x1; ++x) {
        T depth;
        if (!covers(v, T(x) + T(0.5), T(y) + T(0.5), cull_back, perspective, depth)) continue;
        const int64_t p = int64_t(y) * out.width + x;
        if (depth < out.depth[p]) {  // a tie stays with the lower face
          out.depth[p] = depth;
          out.face_index[p] = static_cast<int32_t>(f);
        }
      }
    }
  }
  for (int y = row_begin; y < row_end; ++y) {
    for (int x = 0; x < out.width; ++x) {
      const int64_t p = int64_t(y) * out.width + x;
      if (out.face_index[p] < 0) {
        out.depth[p] = T(0);
        store3(out.barycentrics, p, Vec3<T>{});
        continue;
      }
      RasterVertex<T> v[3];
      load_face(verts, faces + 3 * int64_t(out.face_index[p]), v);
      store3(out.barycentrics, p, raster_barycentrics(v, T(x) + T(0.5), T(y) + T(0.5)));
    }
  }
}

}  // namespace

template <class T>
void rasterize(const T* verts_image, const int32_t* faces, int32_t* face_index, T* barycentrics, T* depth,
               int64_t batch, int64_t num_verts, int64_t num_faces, int64_t height, int64_t width, bool cull_back,
               bool perspective, int threads) {
  const int64_t bands = std::clamp<int64_t>(batch ? (threads + batch - 1) / batch : 1, 1, std::max<int64_t>(height, 1));
  parallel_for(threads, batch * bands, 1, [&](int64_t begin, int64_t end) {
    std::vector<RasterVertex<T>> verts(num_verts);
    for (int64_t k = begin; k < end; ++k) {
      const int64_t b = k / bands, band = k % bands, pixels = b * height * width;
      if (k == begin || band == 0)
        for (int64_t i = 0; i < num_verts; ++i)
          verts[i] = raster_vertex(load3(verts_image, b * num_verts + i), perspective);
      const Target<T> out{face_index + pixels, barycentrics + 3 * pixels, depth + pixels, int(height), int(width)};
      rasterize_rows(verts.data(), faces, num_faces, out, int(band * height / bands), int((band + 1) * height / bands),
                     cull_back, perspective);
    }
  });
}

template <class T>
void rasterize_backward(const T* verts_image, const int32_t* faces, const int32_t* face_index,
                        const T* grad_barycentrics, const T* grad_depth, T* grad_verts, int64_t batch,
                        int64_t num_verts, int64_t height, int64_t width, bool perspective, int threads) {
  parallel_for(threads, batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      T* grad = grad_verts + 3 * num_verts * b;
      std::fill(grad, grad + 3 * num_verts, T(0));
      for (int64_t q = 0; q < height * width; ++q) {
        const int64_t p = b * height * width + q;
        if (face_index[p] < 0) continue;
        const int32_t* i = faces + 3 * int64_t(face_index[p]);
        RasterVertex<T> v[3];
        for (int k = 0; k < 3; ++k) v[k] = raster_vertex(load3(verts_image, b * num_verts + i[k]), perspective);
        Vec3<T> g[3];
        raster_vjp(v, T(q % width) + T(0.5), T(q / width) + T(0.5), perspective,
                   grad_barycentrics ? load3(grad_barycentrics, p) : Vec3<T>{}, grad_depth ? grad_depth[p] : T(0), g);
        for (int k = 0; k < 3; ++k) store3(grad, i[k], load3(grad, i[k]) + g[k]);
      }
    }
  });
}

#define PF3D_INSTANTIATE(T)                                                                                            \
  template void rasterize(const T*, const int32_t*, int32_t*, T*, T*, int64_t, int64_t, int64_t, int64_t, int64_t,     \
                          bool, bool, int);                                                                            \
  template void rasterize_backward(const T*, const int32_t*, const int32_t*, const T*, const T*, T*, int64_t, int64_t, \
                                   int64_t, int64_t, bool, int);
PF3D_INSTANTIATE(float)
PF3D_INSTANTIATE(double)

}  // namespace pyface3d::cpu
