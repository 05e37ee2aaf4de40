// csrc/cuda/dense_mesh.cu -- one thread a pixel, then one thread a cell.
#include "core/dense_mesh.h"
#include "cuda/common.cuh"
#include "cuda/kernels.h"

namespace pyface3d::cuda {
namespace {

template <class T>
__global__ void verts_kernel(const int32_t* face_index, const T* depth, const T* bump, const bool* mask,
                             const T* cameras, T* verts, bool* is_vertex, int64_t height, int64_t width,
                             bool along_ray, int64_t items) {
  PF3D_GRID_STRIDE(p, items) {
    Vec3<T> vertex{};
    bool is = face_index[p] >= 0 && (!mask || mask[p]);
    if (is) {
      const int64_t line = p / width;
      const Vec3<T> ray = pixel_ray(load_pinhole(cameras, line / height), line % height, p % width);
      vertex = dense_vertex(ray, depth[p], bump ? bump[p] : T(0), along_ray);
      is = is_dense_vertex(depth[p], vertex);
    }
    is_vertex[p] = is;
    store3(verts, p, is ? vertex : Vec3<T>{});
  }
}

template <class T>
__global__ void cells_kernel(const T* verts, const bool* is_vertex, uint8_t* cells, int64_t height, int64_t width,
                             T max_gap, T least_cosine, int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const int64_t line = k / (width - 1);
    cells[k] = cell_at(verts, is_vertex, line / (height - 1), line % (height - 1), k % (width - 1), height, width,
                       max_gap, least_cosine);
  }
}

template <class T>
__global__ void backward_kernel(const bool* is_vertex, const T* cameras, const T* grad_verts, T* grad_depth,
                                T* grad_bump, int64_t height, int64_t width, bool along_ray, int64_t items) {
  PF3D_GRID_STRIDE(p, items) {
    const int64_t line = p / width;
    const Vec3<T> ray = pixel_ray(load_pinhole(cameras, line / height), line % height, p % width);
    const Vec3<T> g = load3(grad_verts, p);
    if (grad_depth) grad_depth[p] = is_vertex[p] ? dense_vertex_vjp_depth(ray, g) : T(0);
    if (grad_bump) grad_bump[p] = is_vertex[p] ? dense_vertex_vjp_bump(ray, g, along_ray) : T(0);
  }
}

}  // namespace

template <class T>
void dense_mesh(const int32_t* face_index, const T* depth, const T* bump, const bool* mask, const T* cameras, T* verts,
                bool* is_vertex, uint8_t* cells, int64_t batch, int64_t height, int64_t width, bool along_ray,
                double max_gap, double least_cosine, Stream stream) {
  const int64_t items = batch * height * width;
  launch(verts_kernel<T>, items, stream, face_index, depth, bump, mask, cameras, verts, is_vertex, height, width,
         along_ray, items);
  if (height < 2 || width < 2) return;
  const int64_t num_cells = batch * (height - 1) * (width - 1);
  launch(cells_kernel<T>, num_cells, stream, verts, is_vertex, cells, height, width, T(max_gap), T(least_cosine),
         num_cells);
}

template <class T>
void dense_mesh_backward(const bool* is_vertex, const T* cameras, const T* grad_verts, T* grad_depth, T* grad_bump,
                         int64_t batch, int64_t height, int64_t width, bool along_ray, Stream stream) {
  const int64_t items = batch * height * width;
  launch(backward_kernel<T>, items, stream, is_vertex, cameras, grad_verts, grad_depth, grad_bump, height, width,
         along_ray, items);
}

#define PF3D_INSTANCES(T)                                                                                            \
  template void dense_mesh(const int32_t*, const T*, const T*, const bool*, const T*, T*, bool*, uint8_t*, int64_t,  \
                           int64_t, int64_t, bool, double, double, Stream);                                          \
  template void dense_mesh_backward(const bool*, const T*, const T*, T*, T*, int64_t, int64_t, int64_t, bool, Stream)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cuda
