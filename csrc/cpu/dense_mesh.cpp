// csrc/cpu/dense_mesh.cpp -- all vertices row by row, then all cells.
#include "core/dense_mesh.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"

namespace pyface3d::cpu {
namespace {

constexpr int64_t kGrain = 16;  // rows

}  // namespace

template <class T>
void dense_mesh(const int32_t* face_index, const T* depth, const T* bump, const bool* mask, const T* cameras, T* verts,
                bool* is_vertex, uint8_t* cells, int64_t batch, int64_t height, int64_t width, bool along_ray,
                double max_gap, double least_cosine, int threads) {
  parallel_for(threads, batch * height, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const Pinhole<T> camera = load_pinhole(cameras, line / height);
      for (int64_t column = 0; column < width; ++column) {
        const int64_t p = line * width + column;
        Vec3<T> vertex{};
        bool is = face_index[p] >= 0 && (!mask || mask[p]);
        if (is) {
          vertex = dense_vertex(pixel_ray(camera, line % height, column), depth[p], bump ? bump[p] : T(0), along_ray);
          is = is_dense_vertex(depth[p], vertex);
        }
        is_vertex[p] = is;
        store3(verts, p, is ? vertex : Vec3<T>{});
      }
    }
  });
  if (height < 2 || width < 2) return;
  parallel_for(threads, batch * (height - 1), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const int64_t b = line / (height - 1), row = line % (height - 1);
      for (int64_t column = 0; column < width - 1; ++column)
        cells[line * (width - 1) + column] =
            cell_at(verts, is_vertex, b, row, column, height, width, T(max_gap), T(least_cosine));
    }
  });
}

template <class T>
void dense_mesh_backward(const bool* is_vertex, const T* cameras, const T* grad_verts, T* grad_depth, T* grad_bump,
                         int64_t batch, int64_t height, int64_t width, bool along_ray, int threads) {
  parallel_for(threads, batch * height, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const Pinhole<T> camera = load_pinhole(cameras, line / height);
      for (int64_t column = 0; column < width; ++column) {
        const int64_t p = line * width + column;
        const Vec3<T> ray = pixel_ray(camera, line % height, column), g = load3(grad_verts, p);
        if (grad_depth) grad_depth[p] = is_vertex[p] ? dense_vertex_vjp_depth(ray, g) : T(0);
        if (grad_bump) grad_bump[p] = is_vertex[p] ? dense_vertex_vjp_bump(ray, g, along_ray) : T(0);
      }
    }
  });
}

#define PF3D_INSTANCES(T)                                                                                            \
  template void dense_mesh(const int32_t*, const T*, const T*, const bool*, const T*, T*, bool*, uint8_t*, int64_t,  \
                           int64_t, int64_t, bool, double, double, int);                                             \
  template void dense_mesh_backward(const bool*, const T*, const T*, T*, T*, int64_t, int64_t, int64_t, bool, int)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cpu
