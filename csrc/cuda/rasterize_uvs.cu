// csrc/cuda/rasterize_uvs.cu -- one thread a face; the smallest key of a texel does not depend on the order of arrival.
#include "core/chart.h"
#include "cuda/common.cuh"
#include "cuda/kernels.h"

namespace pyface3d::cuda {
namespace {

template <class T>
__global__ void claim_kernel(const T* uvs, const int32_t* uv_faces, unsigned long long* keys, int64_t num_faces,
                             int64_t height, int64_t width) {
  PF3D_GRID_STRIDE(f, num_faces) {
    const int32_t* face = uv_faces + 3 * f;
    const TexelBox box = texel_box(uvs, face, height, width);
    for (int64_t row = box.row_first; row < box.row_end; ++row)
      for (int64_t column = box.column_first; column < box.column_end; ++column) {
        const float d = chart_point(uvs, face, height, width, row, column).distance_squared;
        if (d < kReachSquared) atomicMin(keys + row * width + column, static_cast<unsigned long long>(chart_key(d, f)));
      }
  }
}

template <class T>
__global__ void resolve_kernel(const unsigned long long* keys, const T* uvs, const int32_t* uv_faces,
                               int32_t* face_index, T* barycentrics, T* distance, int64_t height, int64_t width) {
  PF3D_GRID_STRIDE(texel, height * width) {
    resolve_texel(keys[texel], uvs, uv_faces, height, width, texel, face_index, barycentrics, distance);
  }
}

}  // namespace

template <class T>
void rasterize_uvs(const T* uvs, const int32_t* uv_faces, int64_t* keys, int32_t* face_index, T* barycentrics,
                   T* distance, int64_t num_faces, int64_t height, int64_t width, Stream stream) {
  const int64_t texels = height * width;
  if (texels == 0) return;
  unsigned long long* best = reinterpret_cast<unsigned long long*>(keys);
  PF3D_CUDA_CHECK(cudaMemsetAsync(best, 0xff, sizeof(kNoFace) * texels, stream));  // kNoFace
  if (num_faces > 0) {
    launch(claim_kernel<T>, num_faces, stream, uvs, uv_faces, best, num_faces, height, width);
  }
  launch(resolve_kernel<T>, texels, stream, best, uvs, uv_faces, face_index, barycentrics, distance, height,
         width);
}

#define PF3D_INSTANCES(T)                                                                                            \
  template void rasterize_uvs(const T*, const int32_t*, int64_t*, int32_t*, T*, T*, int64_t, int64_t, int64_t, Stream)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cuda
