// csrc/cuda/occlusion_weights.cu -- frontal pixels count where they land (integers, so in any order), the counts are
// blurred, the vertices read their windows.
#include "core/occlusion.h"
#include "core/visibility.h"
#include "cuda/common.cuh"
#include "cuda/kernels.h"

namespace pyface3d::cuda {
namespace {

template <class T>
__global__ void count_kernel(const T* verts_image, const int32_t* faces, const int32_t* face_index, const T* depth,
                             const int32_t* frontal_faces, const T* frontal_barycentrics, int32_t* counts,
                             int64_t num_verts, int64_t height, int64_t width, int64_t frontal_pixels, T tolerance,
                             bool perspective, int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const int64_t b = k / frontal_pixels, first = b * height * width;
    const int64_t landed =
        carried_pixel(verts_image + 3 * b * num_verts, faces, frontal_faces[k], load3(frontal_barycentrics, k),
                      face_index + first, depth + first, height, width, tolerance, perspective);
    if (landed >= 0) atomicAdd(counts + first + landed, 1);
  }
}

__global__ void blur_kernel(const int32_t* counts, int32_t* blurred, int64_t height, int64_t width, bool compat,
                            int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const int64_t line = k / width, row = line % height, column = k % width;
    const int32_t* image = counts + (line - row) * width;
    int32_t sums[2 * kBlurReach + 1];
    for (int i = -kBlurReach; i <= kBlurReach; ++i)
      sums[i + kBlurReach] = row_blur(image + reflected(row + i, height) * width, column, width, compat);
    blurred[k] = column_blur(sums[0], sums[1], sums[2], sums[3], sums[4], compat);
  }
}

template <class T>
__global__ void weight_kernel(const T* verts_image, const int32_t* faces, const int32_t* face_index, const T* depth,
                              const int32_t* blurred, T* weights, int64_t num_verts, int64_t height, int64_t width,
                              T tolerance, int64_t items) {
  PF3D_GRID_STRIDE(k, items) {
    const int64_t first = k / num_verts * height * width;
    const Vec3<T> vertex = load3(verts_image, k);
    const bool seen = vertex_visible(vertex, static_cast<int32_t>(k % num_verts), faces, face_index + first,
                                     depth + first, height, width, tolerance);
    weights[k] = seen ? occlusion_weight(vertex, blurred + first, height, width) : T(0);
  }
}

}  // namespace

template <class T>
void occlusion_weights(const T* verts_image, const int32_t* faces, const int32_t* face_index, const T* depth,
                       const int32_t* frontal_faces, const T* frontal_barycentrics, int32_t* counts, int32_t* blurred,
                       T* weights, int64_t batch, int64_t num_verts, int64_t height, int64_t width,
                       int64_t frontal_pixels, double tolerance, bool perspective, bool compat, Stream stream) {
  const int64_t pixels = batch * height * width, items = batch * num_verts;
  if (pixels > 0) PF3D_CUDA_CHECK(cudaMemsetAsync(counts, 0, sizeof(int32_t) * pixels, stream));
  launch(count_kernel<T>, batch * frontal_pixels, stream, verts_image, faces, face_index, depth, frontal_faces,
         frontal_barycentrics, counts, num_verts, height, width, frontal_pixels, T(tolerance), perspective,
         batch * frontal_pixels);
  launch(blur_kernel, pixels, stream, counts, blurred, height, width, compat, pixels);
  launch(weight_kernel<T>, items, stream, verts_image, faces, face_index, depth, blurred, weights, num_verts, height,
         width, T(tolerance), items);
}

#define PF3D_INSTANCES(T)                                                                                             \
  template void occlusion_weights(const T*, const int32_t*, const int32_t*, const T*, const int32_t*, const T*,       \
                                  int32_t*, int32_t*, T*, int64_t, int64_t, int64_t, int64_t, int64_t, double, bool,  \
                                  bool, Stream)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cuda
