// csrc/cpu/uv_footprint.cpp -- one pixel at a time.
#include "core/uv_footprint.h"

#include <algorithm>

#include "cpu/kernels.h"
#include "cpu/parallel.h"

namespace pyface3d::cpu {

template <class T>
void uv_footprint(const T* verts_image, const int32_t* faces, const T* uvs, const int32_t* uv_faces,
                  const int32_t* face_index, T* footprints, int64_t batch, int64_t num_verts, int64_t num_faces,
                  int64_t height, int64_t width, bool perspective, int threads) {
  const int64_t count = height * width;
  parallel_for(threads, batch * count, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t pixel = begin; pixel < end; ++pixel) {
      const int64_t image = pixel / count, at = pixel % count;
      const UvFootprint<T> found =
          uv_footprint_of(verts_image + 3 * image * num_verts, faces, uvs, uv_faces, face_index[pixel], num_faces,
                          at / width, at % width, perspective);
      std::copy(found.values, found.values + 4, footprints + 4 * pixel);
    }
  });
}

template void uv_footprint(const float*, const int32_t*, const float*, const int32_t*, const int32_t*, float*, int64_t,
                           int64_t, int64_t, int64_t, int64_t, bool, int);
template void uv_footprint(const double*, const int32_t*, const double*, const int32_t*, const int32_t*, double*,
                           int64_t, int64_t, int64_t, int64_t, int64_t, bool, int);

}  // namespace pyface3d::cpu
