// csrc/cpu/face_normals.cpp -- the backward pass adds in face order, so the result has the same bits every run.
#include "core/face_normal.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"

namespace pyface3d::cpu {

template <class T>
void face_normals(const T* verts, const int32_t* faces, T* normals, int64_t batch, int64_t num_verts,
                  int64_t num_faces, int threads) {
  parallel_for(threads, batch * num_faces, 16384, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const T* v = verts + 3 * num_verts * (k / num_faces);
      const int32_t* i = faces + 3 * (k % num_faces);
      store3(normals, k, face_normal(load3(v, i[0]), load3(v, i[1]), load3(v, i[2])));
    }
  });
}

template <class T>
void face_normals_backward(const T* verts, const int32_t* faces, const T* grad_normals, T* grad_verts,
                           int64_t batch, int64_t num_verts, int64_t num_faces, int threads) {
  parallel_for(threads, batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const T* v = verts + 3 * num_verts * b;
      const T* g_out = grad_normals + 3 * num_faces * b;
      T* grad = grad_verts + 3 * num_verts * b;
      for (int64_t k = 0; k < 3 * num_verts; ++k) grad[k] = T(0);
      for (int64_t f = 0; f < num_faces; ++f) {
        const int32_t* i = faces + 3 * f;
        Vec3<T> g[3];
        face_normal_vjp(load3(v, i[0]), load3(v, i[1]), load3(v, i[2]), load3(g_out, f), g);
        for (int c = 0; c < 3; ++c) store3(grad, i[c], load3(grad, i[c]) + g[c]);
      }
    }
  });
}

template void face_normals(const float*, const int32_t*, float*, int64_t, int64_t, int64_t, int);
template void face_normals(const double*, const int32_t*, double*, int64_t, int64_t, int64_t, int);
template void face_normals_backward(const float*, const int32_t*, const float*, float*, int64_t, int64_t, int64_t, int);
template void face_normals_backward(const double*, const int32_t*, const double*, double*, int64_t, int64_t, int64_t,
                                    int);

}  // namespace pyface3d::cpu
