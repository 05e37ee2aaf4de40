// csrc/cuda/uv_footprint.cu -- one thread a pixel.
#include "core/uv_footprint.h"

#include "cuda/common.cuh"
#include "cuda/kernels.h"

namespace pyface3d::cuda {
namespace {

template <class T>
__global__ void uv_footprint_kernel(const T* verts_image, const int32_t* faces, const T* uvs, const int32_t* uv_faces,
                                    const int32_t* face_index, T* footprints, int64_t num_verts, int64_t num_faces,
                                    int64_t height, int64_t width, bool perspective, int64_t items) {
  PF3D_GRID_STRIDE(pixel, items) {
    const int64_t image = pixel / (height * width), at = pixel % (height * width);
    const UvFootprint<T> found =
        uv_footprint_of(verts_image + 3 * image * num_verts, faces, uvs, uv_faces, face_index[pixel], num_faces,
                        at / width, at % width, perspective);
    for (int k = 0; k < 4; ++k) footprints[4 * pixel + k] = found.values[k];
  }
}

}  // namespace

template <class T>
void uv_footprint(const T* verts_image, const int32_t* faces, const T* uvs, const int32_t* uv_faces,
                  const int32_t* face_index, T* footprints, int64_t batch, int64_t num_verts, int64_t num_faces,
                  int64_t height, int64_t width, bool perspective, Stream stream) {
  const int64_t items = batch * height * width;
  launch(uv_footprint_kernel<T>, items, stream, verts_image, faces, uvs, uv_faces, face_index, footprints, num_verts,
         num_faces, height, width, perspective, items);
}

template void uv_footprint(const float*, const int32_t*, const float*, const int32_t*, const int32_t*, float*, int64_t,
                           int64_t, int64_t, int64_t, int64_t, bool, Stream);
template void uv_footprint(const double*, const int32_t*, const double*, const int32_t*, const int32_t*, double*,
                           int64_t, int64_t, int64_t, int64_t, int64_t, bool, Stream);

}  // namespace pyface3d::cuda
