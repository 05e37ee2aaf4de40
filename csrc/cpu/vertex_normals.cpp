// csrc/cpu/vertex_normals.cpp -- every vertex gathers from its own faces in rising order: no two threads write one
// place, and the bits do not depend on their number.
#include "core/face_normal.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/scratch.h"

namespace pyface3d::cpu {
namespace {

constexpr int64_t kGrain = 8192;

// body(image, threads left for its loops): images side by side while there are enough of them, else one by one.
template <class Body> void for_images(int64_t batch, int threads, const Body& body) {
  const bool side_by_side = batch >= threads;
  parallel_for(side_by_side ? threads : 1, batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) body(b, side_by_side ? 1 : threads);
  });
}

template <class T>
void area_normals(const T* verts, const int32_t* faces, T* area, int64_t num_faces, int threads) {
  parallel_for(threads, num_faces, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t f = begin; f < end; ++f) {
      const int32_t* i = faces + 3 * f;
      store3(area, f, area_normal(load3(verts, i[0]), load3(verts, i[1]), load3(verts, i[2])));
    }
  });
}

template <class T> Vec3<T> sum_around(const T* area, const int32_t* offsets, const int32_t* corners, int64_t v) {
  Vec3<T> sum;
  for (int32_t k = offsets[v]; k < offsets[v + 1]; ++k) sum = sum + load3(area, corners[k] / 3);
  return sum;
}

}  // namespace

template <class T>
void vertex_normals(const T* verts, const int32_t* faces, const int32_t* offsets, const int32_t* corners, T* normals,
                    int64_t batch, int64_t num_verts, int64_t num_faces, int threads) {
  for_images(batch, threads, [&](int64_t b, int inner) {
    T* area = scratch<T>(3 * num_faces);
    area_normals(verts + 3 * num_verts * b, faces, area, num_faces, inner);
    parallel_for(inner, num_verts, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t v = begin; v < end; ++v)
        store3(normals + 3 * num_verts * b, v, normalized(sum_around(area, offsets, corners, v)));
    });
  });
}

template <class T>
void vertex_normals_backward(const T* verts, const int32_t* faces, const int32_t* offsets, const int32_t* corners,
                             const T* grad_normals, T* grad_sums, T* grad_verts, int64_t batch, int64_t num_verts,
                             int64_t num_faces, int threads) {
  for_images(batch, threads, [&](int64_t b, int inner) {
    const T* v = verts + 3 * num_verts * b;
    T* grad_sum = grad_sums + 3 * num_verts * b;
    T* area = scratch<T>(3 * num_faces);  // then the gradient on it
    area_normals(v, faces, area, num_faces, inner);
    parallel_for(inner, num_verts, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        store3(grad_sum, i,
               normalized_vjp(sum_around(area, offsets, corners, i), load3(grad_normals + 3 * num_verts * b, i)));
    });
    parallel_for(inner, num_faces, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t f = begin; f < end; ++f) {
        const int32_t* i = faces + 3 * f;
        store3(area, f, load3(grad_sum, i[0]) + load3(grad_sum, i[1]) + load3(grad_sum, i[2]));
      }
    });
    parallel_for(inner, num_verts, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        Vec3<T> grad;
        for (int32_t k = offsets[i]; k < offsets[i + 1]; ++k) {
          const int32_t face = corners[k] / 3, corner = corners[k] % 3;
          const int32_t* c = faces + 3 * face;
          grad = grad + area_normal_vjp_corner(load3(v, c[(corner + 1) % 3]), load3(v, c[(corner + 2) % 3]),
                                               load3(area, face));
        }
        store3(grad_verts + 3 * num_verts * b, i, grad);
      }
    });
  });
}

template void vertex_normals(const float*, const int32_t*, const int32_t*, const int32_t*, float*, int64_t, int64_t,
                             int64_t, int);
template void vertex_normals(const double*, const int32_t*, const int32_t*, const int32_t*, double*, int64_t, int64_t,
                             int64_t, int);
template void vertex_normals_backward(const float*, const int32_t*, const int32_t*, const int32_t*, const float*,
                                      float*, float*, int64_t, int64_t, int64_t, int);
template void vertex_normals_backward(const double*, const int32_t*, const int32_t*, const int32_t*, const double*,
                                      double*, double*, int64_t, int64_t, int64_t, int);

}  // namespace pyface3d::cpu
