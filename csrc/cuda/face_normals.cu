// csrc/cuda/face_normals.cu -- one thread a triangle; the backward pass adds up at the vertices (sums.cuh).
#include "core/face_normal.h"
#include "cuda/common.cuh"
#include "cuda/kernels.h"
#include "cuda/sums.cuh"

namespace pyface3d::cuda {

int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

namespace {

template <class T>
__global__ void forward_kernel(const T* verts, const int32_t* faces, T* normals, int64_t num_verts, int64_t num_faces,
                               int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const T* v = verts + 3 * num_verts * (k / num_faces);
    const int32_t* i = faces + 3 * (k % num_faces);
    store3(normals, k, face_normal(load3(v, i[0]), load3(v, i[1]), load3(v, i[2])));
  }
}

template <class T, class Sum>
__global__ void backward_kernel(const T* verts, const int32_t* faces, const T* grad_normals, Sum grad_verts,
                                int64_t num_verts, int64_t num_faces, int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const int64_t b = k / num_faces;
    const T* v = verts + 3 * num_verts * b;
    const int32_t* i = faces + 3 * (k % num_faces);
    Vec3<T> g[3];
    face_normal_vjp(load3(v, i[0]), load3(v, i[1]), load3(v, i[2]), load3(grad_normals, k), g);
    for (int c = 0; c < 3; ++c) add3_to(grad_verts + 3 * num_verts * b, i[c], g[c]);
  }
}

}  // namespace

template <class T>
void face_normals(const T* verts, const int32_t* faces, T* normals, int64_t batch, int64_t num_verts,
                  int64_t num_faces, Stream stream) {
  const int64_t items = batch * num_faces;
  if (items == 0) return;  // an empty grid is a launch error
  launch(forward_kernel<T>, items, stream, verts, faces, normals, num_verts, num_faces, items);
}

template <class T>
void face_normals_backward(const T* verts, const int32_t* faces, const T* grad_normals, T* grad_verts,
                           int64_t batch, int64_t num_verts, int64_t num_faces, int64_t* workspace, Stream stream) {
  const int64_t items = batch * num_faces;
  const auto draw = [&](auto grad) {
    launch(backward_kernel<T, decltype(grad)>, items, stream, verts, faces, grad_normals, grad, num_verts, num_faces,
           items);
  };
  add_up(stream, draw, Summed<T>{grad_verts, 3 * batch * num_verts, 3 * num_faces, workspace});
}

template void face_normals(const float*, const int32_t*, float*, int64_t, int64_t, int64_t, Stream);
template void face_normals(const double*, const int32_t*, double*, int64_t, int64_t, int64_t, Stream);
template void face_normals_backward(const float*, const int32_t*, const float*, float*, int64_t, int64_t, int64_t,
                                    int64_t*, Stream);
template void face_normals_backward(const double*, const int32_t*, const double*, double*, int64_t, int64_t, int64_t,
                                    int64_t*, Stream);

}  // namespace pyface3d::cuda
