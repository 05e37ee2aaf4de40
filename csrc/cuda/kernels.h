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

// verts_image (B, V, 3), faces (F, 3) -> face_index (B, H, W), barycentrics (B, H, W, 3), depth (B, H, W)
template <class T>
void rasterize(const T* verts_image, const int32_t* faces, int32_t* face_index, T* barycentrics, T* depth,
               int64_t batch, int64_t num_verts, int64_t num_faces, int64_t height, int64_t width, bool cull_back,
               bool perspective, Stream stream);
// Either gradient may be null (zero).
template <class T>
void rasterize_backward(const T* verts_image, const int32_t* faces, const int32_t* face_index,
                        const T* grad_barycentrics, const T* grad_depth, T* grad_verts, int64_t batch,
                        int64_t num_verts, int64_t height, int64_t width, bool perspective, Stream stream);

// attributes (B, V, C), or (V, C) when shared; P = H W pixels an image -> values (B, P, C)
template <class T>
void interpolate(const T* attributes, const int32_t* faces, const int32_t* face_index, const T* barycentrics,
                 T* values, int64_t batch, bool shared, int64_t num_verts, int64_t num_pixels, int64_t channels,
                 Stream stream);
// Either output may be null (not wanted).
template <class T>
void interpolate_backward(const T* attributes, const int32_t* faces, const int32_t* face_index, const T* barycentrics,
                          const T* grad_values, T* grad_attributes, T* grad_barycentrics, int64_t batch, bool shared,
                          int64_t num_verts, int64_t num_pixels, int64_t channels, Stream stream);

// verts_image (B, V, 3), face_index and depth (B, H, W) -> visible (B, V)
template <class T>
void vertex_visibility(const T* verts_image, const int32_t* faces, const int32_t* face_index, const T* depth,
                       bool* visible, int64_t batch, int64_t num_verts, int64_t height, int64_t width,
                       double tolerance, Stream stream);

}  // namespace pyface3d::cuda
