// csrc/cpu/kernels.h -- every CPU entry point; `threads` is always last. Arrays are dense, in C order.
#pragma once
#include <cstdint>

namespace pyface3d::cpu {

// verts (B, V, 3), faces (F, 3) -> normals (B, F, 3)
template <class T>
void face_normals(const T* verts, const int32_t* faces, T* normals, int64_t batch, int64_t num_verts,
                  int64_t num_faces, int threads);
template <class T>
void face_normals_backward(const T* verts, const int32_t* faces, const T* grad_normals, T* grad_verts,
                           int64_t batch, int64_t num_verts, int64_t num_faces, int threads);

}  // namespace pyface3d::cpu
