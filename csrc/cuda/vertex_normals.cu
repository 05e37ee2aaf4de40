// csrc/cuda/vertex_normals.cu -- one thread a vertex; each gathers in the order of its faces, so there are no atomics
// and the bits are the same every run.
#include "core/face_normal.h"
#include "cuda/common.cuh"
#include "cuda/kernels.h"

namespace pyface3d::cuda {
namespace {

template <class T>
__device__ Vec3<T> sum_around(const T* verts, const int32_t* faces, const int32_t* offsets, const int32_t* corners,
                              int64_t v) {
  Vec3<T> sum;
  for (int32_t k = offsets[v]; k < offsets[v + 1]; ++k) {
    const int32_t* i = faces + 3 * static_cast<int64_t>(corners[k] / 3);
    sum = sum + area_normal(load3(verts, i[0]), load3(verts, i[1]), load3(verts, i[2]));
  }
  return sum;
}

template <class T>
__global__ void forward_kernel(const T* verts, const int32_t* faces, const int32_t* offsets, const int32_t* corners,
                               T* normals, int64_t num_verts, int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const T* image = verts + 3 * num_verts * (k / num_verts);
    store3(normals, k, normalized(sum_around(image, faces, offsets, corners, k % num_verts)));
  }
}

template <class T>
__global__ void sums_kernel(const T* verts, const int32_t* faces, const int32_t* offsets, const int32_t* corners,
                            const T* grad_normals, T* grad_sums, int64_t num_verts, int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const T* image = verts + 3 * num_verts * (k / num_verts);
    const Vec3<T> sum = sum_around(image, faces, offsets, corners, k % num_verts);
    store3(grad_sums, k, normalized_vjp(sum, load3(grad_normals, k)));
  }
}

template <class T>
__global__ void verts_kernel(const T* verts, const int32_t* faces, const int32_t* offsets, const int32_t* corners,
                             const T* grad_sums, T* grad_verts, int64_t num_verts, int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const int64_t first = num_verts * (k / num_verts), v = k % num_verts;
    const T* image = verts + 3 * first;
    const T* sums = grad_sums + 3 * first;
    Vec3<T> grad;
    for (int32_t j = offsets[v]; j < offsets[v + 1]; ++j) {
      const int32_t corner = corners[j] % 3;
      const int32_t* i = faces + 3 * static_cast<int64_t>(corners[j] / 3);
      const Vec3<T> g = load3(sums, i[0]) + load3(sums, i[1]) + load3(sums, i[2]);
      grad = grad + area_normal_vjp_corner(load3(image, i[(corner + 1) % 3]), load3(image, i[(corner + 2) % 3]), g);
    }
    store3(grad_verts, k, grad);
  }
}

}  // namespace

template <class T>
void vertex_normals(const T* verts, const int32_t* faces, const int32_t* offsets, const int32_t* corners, T* normals,
                    int64_t batch, int64_t num_verts, int64_t, Stream stream) {
  const int64_t items = batch * num_verts;
  if (items == 0) return;
  launch(forward_kernel<T>, items, stream, verts, faces, offsets, corners, normals, num_verts, items);
}

template <class T>
void vertex_normals_backward(const T* verts, const int32_t* faces, const int32_t* offsets, const int32_t* corners,
                             const T* grad_normals, T* grad_sums, T* grad_verts, int64_t batch, int64_t num_verts,
                             int64_t, Stream stream) {
  const int64_t items = batch * num_verts;
  if (items == 0) return;
  launch(sums_kernel<T>, items, stream, verts, faces, offsets, corners, grad_normals, grad_sums, num_verts, items);
  launch(verts_kernel<T>, items, stream, verts, faces, offsets, corners, grad_sums, grad_verts, num_verts, items);
}

#define PF3D_INSTANCES(T)                                                                                            \
  template void vertex_normals(const T*, const int32_t*, const int32_t*, const int32_t*, T*, int64_t, int64_t,       \
                               int64_t, Stream);                                                                     \
  template void vertex_normals_backward(const T*, const int32_t*, const int32_t*, const int32_t*, const T*, T*, T*,  \
                                        int64_t, int64_t, int64_t, Stream)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cuda
