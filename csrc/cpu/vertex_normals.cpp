// csrc/cpu/vertex_normals.cpp -- with several threads on one image every vertex gathers from its own faces, with one the
// faces add to their vertices, of several images at once where there are as many; all go through the faces in rising
// order and have the same bits.
#include <algorithm>

#include "core/face_normal.h"
#include "cpu/kernels.h"
#include "cpu/lanes.h"
#include "cpu/parallel.h"
#include "cpu/quad.h"
#include "cpu/scratch.h"

namespace pyface3d::cpu {
namespace {

constexpr int64_t kGrain = 8192;
constexpr int64_t kLargeMesh = 1 << 18;  // faces; a smaller image is done before other threads are awake

// body(image, threads left for its loops): images side by side, but large ones one by one when there are few.
template <class Body> void for_images(int64_t batch, int64_t num_faces, int threads, const Body& body) {
  const bool side_by_side = batch >= threads || num_faces < kLargeMesh;
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

// One image on one thread, vertices as rows of four. rows (V, 4): the vertices; sums (V, 4): the area vectors around each.
template <class T> void pad(const T* verts, T* rows, int64_t num_verts) {
  for (int64_t v = 0; v < num_verts; ++v) {
    for (int c = 0; c < 3; ++c) rows[4 * v + c] = verts[3 * v + c];
    rows[4 * v + 3] = T(0);
  }
}

template <class T> Vec3<T> row3(const T* rows, int64_t v) { return {rows[4 * v], rows[4 * v + 1], rows[4 * v + 2]}; }

template <class T> void add_row3(T* rows, int64_t v, Vec3<T> value) {
  rows[4 * v] += value.x;
  rows[4 * v + 1] += value.y;
  rows[4 * v + 2] += value.z;
}

template <class T>
void scatter_areas(const T* rows, const int32_t* faces, T* sums, int64_t num_faces) {
  for (int64_t f = 0; f < num_faces; ++f) {
    const int32_t* i = faces + 3 * f;
    const Vec3<T> area = area_normal(row3(rows, i[0]), row3(rows, i[1]), row3(rows, i[2]));
    for (int k = 0; k < 3; ++k) add_row3(sums, i[k], area);
  }
}

// grads (V, 4): what the gradients on the sums, grad_sums (V, 4), make of the vertices.
template <class T>
void scatter_gradients(const T* rows, const int32_t* faces, const T* grad_sums, T* grads, int64_t num_faces) {
  for (int64_t f = 0; f < num_faces; ++f) {
    const int32_t* i = faces + 3 * f;
    const Vec3<T> v[3] = {row3(rows, i[0]), row3(rows, i[1]), row3(rows, i[2])};
    const Vec3<T> g = row3(grad_sums, i[0]) + row3(grad_sums, i[1]) + row3(grad_sums, i[2]);
    for (int k = 0; k < 3; ++k) add_row3(grads, i[k], area_normal_vjp_corner(v[(k + 1) % 3], v[(k + 2) % 3], g));
  }
}

#ifdef PF3D_QUADS
inline void add_quad(float* rows, int64_t at, Quad value) { store_quad(rows + at, load_quad(rows + at) + value); }

inline void scatter_areas(const float* rows, const int32_t* faces, float* sums, int64_t num_faces) {
  for (int64_t f = 0; f < num_faces; ++f) {
    const int64_t a = 4 * int64_t(faces[3 * f]), b = 4 * int64_t(faces[3 * f + 1]), c = 4 * int64_t(faces[3 * f + 2]);
    const Quad corner = load_quad(rows + a);
    const Quad area = cross(load_quad(rows + b) - corner, load_quad(rows + c) - corner);
    add_quad(sums, a, area);
    add_quad(sums, b, area);
    add_quad(sums, c, area);
  }
}

inline void scatter_gradients(const float* rows, const int32_t* faces, const float* grad_sums, float* grads,
                              int64_t num_faces) {
  for (int64_t f = 0; f < num_faces; ++f) {
    const int64_t a = 4 * int64_t(faces[3 * f]), b = 4 * int64_t(faces[3 * f + 1]), c = 4 * int64_t(faces[3 * f + 2]);
    const Quad p = load_quad(rows + a), q = load_quad(rows + b), r = load_quad(rows + c);
    const Quad g = load_quad(grad_sums + a) + load_quad(grad_sums + b) + load_quad(grad_sums + c);
    add_quad(grads, a, cross(q - r, g));
    add_quad(grads, b, cross(r - p, g));
    add_quad(grads, c, cross(p - q, g));
  }
}
#endif

#ifdef PF3D_QUADS
// Several images side by side, one a lane: a face costs three loads a corner for all of them. The formulas and the order
// are those of one image, so are the bits. Faces come in any order, the rows of all vertices are wanted at once: an image
// among sixteen takes twice the time of one among eight, because their rows do not stay in cache.
constexpr int kImages = kLanes<float> < 8 ? kLanes<float> : 8;
using Images = Lanes<float, kImages>;

// Columns become rows and back: from[k * row .. + 4] to to[k * to_row .. + 4], k < 4.
inline void turn_quads(const float* from, int64_t row, float* to, int64_t to_row) {
  const Quad a = load_quad(from), b = load_quad(from + row);
  const Quad c = load_quad(from + 2 * row), d = load_quad(from + 3 * row);
  const Quad ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Quad cd = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  store_quad(to, __builtin_shufflevector(ab, cd, 0, 1, 4, 5));
  store_quad(to + to_row, __builtin_shufflevector(ab, cd, 2, 3, 6, 7));
  store_quad(to + 2 * to_row, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
  store_quad(to + 3 * to_row, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
}

// images (kImages, numbers) to rows (numbers, kImages).
inline void side_by_side(const float* images, float* rows, int64_t numbers) {
  int64_t i = 0;
  for (; i + 4 <= numbers; i += 4)
    for (int k = 0; k < kImages; k += 4) turn_quads(images + k * numbers + i, numbers, rows + i * kImages + k, kImages);
  for (; i < numbers; ++i)
    for (int k = 0; k < kImages; ++k) rows[i * kImages + k] = images[k * numbers + i];
}

inline void one_by_one(const float* rows, float* images, int64_t numbers) {
  int64_t i = 0;
  for (; i + 4 <= numbers; i += 4)
    for (int k = 0; k < kImages; k += 4) turn_quads(rows + i * kImages + k, kImages, images + k * numbers + i, numbers);
  for (; i < numbers; ++i)
    for (int k = 0; k < kImages; ++k) images[k * numbers + i] = rows[i * kImages + k];
}

inline Vec3<Images> images3(const float* rows, int64_t v) {
  const float* row = rows + 3 * kImages * v;
  return {load_lanes<Images>(row), load_lanes<Images>(row + kImages), load_lanes<Images>(row + 2 * kImages)};
}

inline void store_images3(float* rows, int64_t v, Vec3<Images> values) {
  float* row = rows + 3 * kImages * v;
  store_lanes(row, values.x);
  store_lanes(row + kImages, values.y);
  store_lanes(row + 2 * kImages, values.z);
}

// verts and normals (kImages, V, 3)
inline void normals_side_by_side(const float* verts, const int32_t* faces, float* normals, int64_t num_verts,
                                 int64_t num_faces) {
  const int64_t numbers = 3 * num_verts;
  float* rows = scratch<float>(2 * numbers * kImages);
  float* sums = rows + numbers * kImages;
  side_by_side(verts, rows, numbers);
  std::fill(sums, sums + numbers * kImages, 0.0f);
  for (int64_t f = 0; f < num_faces; ++f) {
    const int32_t* i = faces + 3 * f;
    const Vec3<Images> area = area_normal(images3(rows, i[0]), images3(rows, i[1]), images3(rows, i[2]));
    for (int k = 0; k < 3; ++k) store_images3(sums, i[k], images3(sums, i[k]) + area);
  }
  for (int64_t v = 0; v < num_verts; ++v) {
    float* row = sums + 3 * kImages * v;
    for (int k = 0; k < kImages; ++k) {
      const Vec3<float> n = normalized(Vec3<float>{row[k], row[kImages + k], row[2 * kImages + k]});
      row[k] = n.x;
      row[kImages + k] = n.y;
      row[2 * kImages + k] = n.z;
    }
  }
  one_by_one(sums, normals, numbers);
}
#endif

}  // namespace

template <class T>
void vertex_normals(const T* verts, const int32_t* faces, const int32_t* offsets, const int32_t* corners, T* normals,
                    int64_t batch, int64_t num_verts, int64_t num_faces, int threads) {
#ifdef PF3D_QUADS
  if constexpr (kHasQuads<T>) {
    const int64_t groups = batch / kImages, size = 3 * num_verts * kImages;
    if (groups >= threads) {
      parallel_for(threads, groups, 1, [&](int64_t begin, int64_t end) {
        for (int64_t g = begin; g < end; ++g)
          normals_side_by_side(verts + g * size, faces, normals + g * size, num_verts, num_faces);
      });
      verts += groups * size;
      normals += groups * size;
      batch -= groups * kImages;
    }
  }
#endif
  for_images(batch, num_faces, threads, [&](int64_t b, int inner) {
    if (inner == 1) {
      T* rows = scratch<T>(8 * num_verts);
      T* sums = rows + 4 * num_verts;
      T* out = normals + 3 * num_verts * b;
      pad(verts + 3 * num_verts * b, rows, num_verts);
      std::fill(sums, sums + 4 * num_verts, T(0));
      scatter_areas(rows, faces, sums, num_faces);
      for (int64_t v = 0; v < num_verts; ++v) store3(out, v, normalized(row3(sums, v)));
      return;
    }
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
  for_images(batch, num_faces, threads, [&](int64_t b, int inner) {
    const T* v = verts + 3 * num_verts * b;
    if (inner == 1) {
      T* rows = scratch<T>(16 * num_verts);
      T* sums = rows + 4 * num_verts;
      T* grads_on_sums = rows + 8 * num_verts;  // not over the sums: GCC 12 gets that loop wrong with AVX2
      T* grads = rows + 12 * num_verts;
      const T* g = grad_normals + 3 * num_verts * b;
      T* out = grad_verts + 3 * num_verts * b;
      pad(v, rows, num_verts);
      std::fill(sums, grads + 4 * num_verts, T(0));
      scatter_areas(rows, faces, sums, num_faces);
      for (int64_t i = 0; i < num_verts; ++i)
        add_row3(grads_on_sums, i, normalized_vjp(row3(sums, i), load3(g, i)));
      scatter_gradients(rows, faces, grads_on_sums, grads, num_faces);
      for (int64_t i = 0; i < num_verts; ++i) store3(out, i, row3(grads, i));
      return;
    }
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
