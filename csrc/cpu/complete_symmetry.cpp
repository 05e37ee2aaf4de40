// csrc/cpu/complete_symmetry.cpp -- one sparse Cholesky an image; with fewer images than threads, threads share it.
#include <vector>

#include "core/symmetry.h"
#include "cpu/kernels.h"
#include "cpu/mesh_cholesky.h"
#include "cpu/parallel.h"

namespace pyface3d::cpu {
namespace {

// What a thread keeps from call to call.
struct Memory {
  MeshCholesky cholesky;
  std::vector<double> diagonal, values, offsets;
};

Memory& memory() {
  thread_local Memory mine;
  return mine;
}

template <class T> MirrorFill<T> one_image(MirrorFill<T> fill, int64_t b) {
  fill.verts += 3 * fill.num_verts * b;
  fill.weights += fill.num_verts * b;
  fill.reference += 3 * fill.num_verts * b;
  return fill;
}

// mine.offsets (V, 3): the solution for right_hand_side(v) at hole vertices, 0 elsewhere.
template <class T, class Rhs>
void solve(const MirrorFill<T>& fill, const int32_t* order, const int32_t* blocks, uint8_t* states, Memory& mine,
           int threads, const Rhs& right_hand_side) {
  for (int64_t v = 0; v < fill.num_verts; ++v) states[v] = vertex_state(fill, v);
  MeshCholesky& cholesky = mine.cholesky;
  cholesky.analyse(fill.offsets, fill.neighbours, order, blocks, states, kHole, fill.num_verts);
  const std::vector<int32_t>& holes = cholesky.vertices();
  mine.diagonal.resize(holes.size());
  mine.values.resize(3 * holes.size());
  for (size_t k = 0; k < holes.size(); ++k) {
    mine.diagonal[k] = diagonal(fill, holes[k]);
    store3(mine.values.data(), static_cast<int64_t>(k), right_hand_side(holes[k]));
  }
  cholesky.solve(mine.diagonal.data(), mine.values.data(), threads);
  mine.offsets.assign(3 * fill.num_verts, 0.0);
  for (size_t k = 0; k < holes.size(); ++k)
    store3(mine.offsets.data(), holes[k], load3(mine.values.data(), static_cast<int64_t>(k)));
}

// body(image, threads that it may use), images side by side where there are enough of them.
template <class Body> void each_image(int threads, int64_t batch, const Body& body) {
  if (batch < threads) {
    for (int64_t b = 0; b < batch; ++b) body(b, threads);
  } else {
    parallel_for(threads, batch, 1, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) body(b, 1);
    });
  }
}

}  // namespace

template <class T>
void complete_symmetry(const T* verts, const T* weights, const T* reference, const int64_t* mirror,
                       const int32_t* offsets, const int32_t* neighbours, const int32_t* order, const int32_t* blocks,
                       const int32_t*, uint8_t* all_states, double*, T* completed, uint8_t* source, int64_t batch,
                       int64_t num_verts, double threshold, bool soft, bool mirror_borders, int threads) {
  const MirrorFill<T> all{verts, weights, reference, mirror, offsets, neighbours, num_verts,
                          static_cast<T>(threshold), soft, mirror_borders};
  each_image(threads, batch, [&](int64_t b, int helpers) {
    const MirrorFill<T> fill = one_image(all, b);
    Memory& mine = memory();
    uint8_t* states = all_states + num_verts * b;
    solve(fill, order, blocks, states, mine, helpers, [&](int64_t v) { return right_hand_side(fill, states, v); });
    for (int64_t v = 0; v < num_verts; ++v) {
      store3(completed, num_verts * b + v, completed_vertex(fill, states[v], mine.offsets.data(), v));
      source[num_verts * b + v] = vertex_source(states[v]);
    }
  });
}

template <class T>
void complete_symmetry_backward(const T* verts, const T* weights, const T* reference, const int64_t* mirror,
                                const int32_t* offsets, const int32_t* neighbours, const int32_t* order,
                                const int32_t* blocks, const int32_t*, const T* grad_completed, uint8_t* all_states,
                                double*, T* grad_verts, T* grad_reference, int64_t batch, int64_t num_verts,
                                double threshold, bool soft, bool mirror_borders, int threads) {
  const MirrorFill<T> all{verts, weights, reference, mirror, offsets, neighbours, num_verts,
                          static_cast<T>(threshold), soft, mirror_borders};
  each_image(threads, batch, [&](int64_t b, int helpers) {
    const MirrorFill<T> fill = one_image(all, b);
    const T* grads = grad_completed + 3 * num_verts * b;
    Memory& mine = memory();
    uint8_t* states = all_states + num_verts * b;
    solve(fill, order, blocks, states, mine, helpers, [&](int64_t v) {
      const Vec3<T> g = load3(grads, v);
      return Vec3<double>{g.x, g.y, g.z};
    });
    for (int64_t v = 0; v < num_verts; ++v) {
      Vec3<double> own, prior;
      vertex_grad(fill, states, mine.offsets.data(), grads, v, own, prior);
      store3(grad_verts, num_verts * b + v, rounded<T>(own));
      store3(grad_reference, num_verts * b + v, rounded<T>(prior));
    }
  });
}

#define PF3D_INSTANCES(T)                                                                                            \
  template void complete_symmetry(const T*, const T*, const T*, const int64_t*, const int32_t*, const int32_t*,      \
                                  const int32_t*, const int32_t*, const int32_t*, uint8_t*, double*, T*, uint8_t*,   \
                                  int64_t, int64_t, double, bool, bool, int);                                        \
  template void complete_symmetry_backward(const T*, const T*, const T*, const int64_t*, const int32_t*,             \
                                           const int32_t*, const int32_t*, const int32_t*, const int32_t*, const T*, \
                                           uint8_t*, double*, T*, T*, int64_t, int64_t, double, bool, bool, int)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cpu
