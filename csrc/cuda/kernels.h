// csrc/cuda/kernels.h -- every CUDA entry point; `stream` is always last. Same arrays as cpu/kernels.h, on the device.
#pragma once
#include <cstdint>

struct CUstream_st;

namespace pyface3d::cuda {

using Stream = CUstream_st*;

int device_count();  // 0 when there is no driver

template <class T>
void face_normals(const T* verts, const int32_t* faces, T* normals, int64_t batch, int64_t num_verts,
                  int64_t num_faces, Stream stream);
template <class T>
void face_normals_backward(const T* verts, const int32_t* faces, const T* grad_normals, T* grad_verts,
                           int64_t batch, int64_t num_verts, int64_t num_faces, Stream stream);

}  // namespace pyface3d::cuda
