// csrc/cuda/blend_gradients.cu -- one thread a pixel around the solver of poisson.cu. Components without a tie are found
// by union-find with atomic minima, and their means by sums of integers (fixed point), so no order of the threads shows.
#include "core/blend.h"
#include "cuda/poisson.cuh"

namespace pyface3d::cuda {
namespace {

struct BlendState {
  OutlineSums outline;
  unsigned long long largest;  // bits of the largest summand of a component's mean
  int32_t may_hang_free;       // whether there can be components that nothing ties to a value
};
constexpr int64_t kStateDoubles = 8;
static_assert(sizeof(BlendState) <= 8 * kStateDoubles);

// Working memory of a batch; Python reserves it (`_workspace` in ops/blend_gradients.py).
template <class T> struct Workspace {
  BlendImage<T> first;  // label and weight are those of the feather, once it is made
  PoissonBatch batch;
  double *guess, *feather_weight;    // of one image: grid.size(), pixels; image b lies `batch.doubles` further
  unsigned long long* sums;          // 2 a pixel: high and low part of a component's sum, by its first pixel
  int32_t *distance, *nearest, *feather_label, *parent, *tied, *pixels_of, *known_of;  // `ints` further
  BlendState* state;  // `batch.doubles` further
  uint8_t* role;
  int64_t ints, pixels;

  __device__ BlendImage<T> image(int64_t b) const {
    BlendImage<T> found = image_of_batch(first, b);
    if (first.weight) {
      found.weight = first.weight + b * batch.doubles;
      found.label = first.label + b * ints;
    }
    return found;
  }
  __device__ BlendState& state_of(int64_t b) const {
    return *reinterpret_cast<BlendState*>(reinterpret_cast<double*>(state) + b * batch.doubles);
  }
  __device__ double* guess_of(int64_t b) const { return guess + b * batch.doubles; }
  __device__ uint8_t* role_of(int64_t b) const { return role + b * batch.grid.size(); }
  __device__ int32_t* of(int32_t* plane, int64_t b) const { return plane + b * ints; }
  __device__ unsigned long long* sums_of(int64_t b) const { return sums + b * batch.doubles; }
};

template <class T>
Workspace<T> lay_out(void* memory, const BlendImage<T>& first, int64_t images) {
  Workspace<T> w{};
  w.first = first;
  PoissonBatch& batch = w.batch;
  batch.grid = {first.height, first.width};
  batch.images = images;
  w.pixels = first.height * first.width;
  const int64_t size = batch.grid.size(), chunks = chunks_of(batch.grid);
  batch.levels = 1;
  batch.floats = kPoissonPlanes * size;
  for (Grid grid = batch.grid; !grid.coarsest(); ++batch.levels) {
    grid = grid.coarser();
    batch.floats += kPoissonPlanes * grid.size();
  }
  const int64_t solver = PoissonBatch::kStateDoubles + 5 * size + chunks;
  batch.doubles = solver + kStateDoubles + size + 3 * w.pixels;
  w.ints = 7 * w.pixels;
  batch.double_memory = static_cast<double*>(memory);
  double* own = batch.double_memory + solver;
  w.state = reinterpret_cast<BlendState*>(own);
  w.guess = own + kStateDoubles;
  w.feather_weight = w.guess + size;
  w.sums = reinterpret_cast<unsigned long long*>(w.feather_weight + w.pixels);
  batch.float_memory = reinterpret_cast<float*>(batch.double_memory + images * batch.doubles);
  int32_t* ints = reinterpret_cast<int32_t*>(batch.float_memory + images * batch.floats);
  for (int32_t** plane : {&w.distance, &w.nearest, &w.feather_label, &w.parent, &w.tied, &w.pixels_of, &w.known_of}) {
    *plane = ints;
    ints += w.pixels;
  }
  w.role = reinterpret_cast<uint8_t*>(w.distance + images * w.ints);
  return w;
}

template <class T> int64_t bytes_of(const Workspace<T>& w) {
  return w.batch.images *
         (8 * w.batch.doubles + 4 * w.batch.floats + 4 * w.ints + w.batch.grid.size());
}

struct Pixel {
  int64_t b, p, y, x, i, item;  // image, number and position in it, place in the grid, number in the batch
};

// body(pixel) for every pixel that this thread has to do.
template <class T, class Body> __device__ __forceinline__ void each_pixel(const Workspace<T>& w, const Body& body) {
  PF3D_GRID_STRIDE(item, w.pixels * w.batch.images) {
    Pixel at;
    at.item = item;
    at.b = item / w.pixels;
    at.p = item - at.b * w.pixels;
    pixel_of(at.p, w.first.width, at.y, at.x);
    at.i = w.batch.grid.at(at.y, at.x);
    body(at);
  }
}

template <class T> __global__ void feather_columns_kernel(Workspace<T> w, int64_t reach) {
  each_pixel(w, [&](const Pixel& at) {
    const BlendImage<T> image = w.image(at.b);
    w.of(w.distance, at.b)[at.p] =
        column_distance(image.label, image.height, image.width, at.y, at.x, reach, w.of(w.nearest, at.b)[at.p]);
  });
}
template <class T> __global__ void feather_rows_kernel(Workspace<T> w, int64_t reach) {
  each_pixel(w, [&](const Pixel& at) {
    int32_t& label = w.of(w.feather_label, at.b)[at.p];
    w.feather_weight[at.b * w.batch.doubles + at.p] =
        feather_weight(w.of(w.distance, at.b), w.of(w.nearest, at.b), w.first.width, at.y, at.x, reach, label);
  });
}

template <class T> __global__ void roles_kernel(Workspace<T> w) {
  each_pixel(w, [&](const Pixel& at) {
    const uint8_t role = pixel_role(w.image(at.b), at.y, at.x);
    w.role_of(at.b)[at.i] = role;
    const bool loose = w.first.free_border ? at.p == 0 : !(role & (kSolved | kPinned));
    if (loose) atomicOr(&w.state_of(at.b).may_hang_free, 1);
  });
}

template <class T> __global__ void links_kernel(Workspace<T> w) {
  each_pixel(w, [&](const Pixel& at) {
    make_row(w.role_of(at.b), w.batch.image(at.b).level(0), at.i, w.first.mu, w.batch.image(at.b).diagonal[at.i]);
  });
}

__device__ inline int32_t root_of(const int32_t* parent, int32_t p) {
  for (;;) {
    const int32_t up = *reinterpret_cast<const volatile int32_t*>(parent + p);
    if (up == p) return p;
    p = up;
  }
}
__device__ inline void join(int32_t* parent, int32_t p, int32_t q) {
  for (;;) {
    p = root_of(parent, p);
    q = root_of(parent, q);
    if (p == q) return;
    const int32_t low = min(p, q), high = max(p, q);
    const int32_t before = atomicMin(parent + high, low);
    if (before == high) return;
    p = before;
    q = low;
  }
}

template <class T> __device__ bool may_hang_free(const Workspace<T>& w, int64_t b) {
  return w.state_of(b).may_hang_free;
}
template <class T> __global__ void start_components_kernel(Workspace<T> w) {
  each_pixel(w, [&](const Pixel& at) {
    if (!may_hang_free(w, at.b)) return;
    w.of(w.parent, at.b)[at.p] = w.role_of(at.b)[at.i] & kSolved ? int32_t(at.p) : -1;
  });
}
template <class T> __global__ void join_kernel(Workspace<T> w) {
  each_pixel(w, [&](const Pixel& at) {
    const uint8_t* role = w.role_of(at.b);
    if (!may_hang_free(w, at.b) || !(role[at.i] & kSolved)) return;
    int32_t* parent = w.of(w.parent, at.b);
    if (role[at.i + 1] & kSolved) join(parent, int32_t(at.p), int32_t(at.p + 1));
    if (role[at.i + w.batch.grid.stride()] & kSolved) join(parent, int32_t(at.p), int32_t(at.p + w.first.width));
  });
}
template <class T> __global__ void count_kernel(Workspace<T> w) {
  each_pixel(w, [&](const Pixel& at) {
    if (!may_hang_free(w, at.b) || !(w.role_of(at.b)[at.i] & kSolved)) return;
    const int32_t root = root_of(w.of(w.parent, at.b), int32_t(at.p));
    *reinterpret_cast<volatile int32_t*>(w.of(w.parent, at.b) + at.p) = root;
    if (is_tied(w.role_of(at.b), at.i, w.batch.grid.stride())) atomicOr(w.of(w.tied, at.b) + root, 1);
    atomicAdd(w.of(w.pixels_of, at.b) + root, 1);
    if (usable(w.image(at.b).target[at.p])) atomicAdd(w.of(w.known_of, at.b) + root, 1);
  });
}

// First pixel of the loose component that a pixel is in, or -1.
template <class T> __device__ int64_t loose_root(const Workspace<T>& w, int64_t b, int64_t p) {
  if (!may_hang_free(w, b)) return -1;
  const int32_t root = w.of(w.parent, b)[p];
  return root < 0 || w.of(w.tied, b)[root] ? -1 : root;
}
template <class T> __device__ double share_of(const Workspace<T>& w, int64_t b, int64_t root, int64_t p) {
  return loose_share(w.of(w.pixels_of, b)[root], w.of(w.known_of, b)[root], usable(w.image(b).target[p]));
}

// What a pixel adds to its component's sum. Forward: target minus solution where the mean is taken; backward: the
// gradient that has come in.
template <class T> __device__ double summand(const Workspace<T>& w, const T* grad, int64_t b, int64_t p, int64_t i) {
  if (grad) return double(grad[b * w.pixels + p]);
  const int64_t root = loose_root(w, b, p);
  if (!(share_of(w, b, root, p) > 0)) return 0;
  const double target = w.image(b).target[p];
  return (usable(target) ? target : 0.0) - (w.guess_of(b)[i] + w.batch.image(b).solution[i]);
}
template <class T> __global__ void largest_summand_kernel(Workspace<T> w, const T* grad) {
  each_pixel(w, [&](const Pixel& at) {
    if (loose_root(w, at.b, at.p) < 0) return;
    const double size = fabs(summand(w, grad, at.b, at.p, at.i));
    if (!(size == 0))
      atomicMax(&w.state_of(at.b).largest,
                static_cast<unsigned long long>(__double_as_longlong(size <= 1.7e308 ? size : INFINITY)));
  });
}
// The unit of the fixed point: so many of the largest summands fit in 62 bits. 0 when there is nothing to sum, NaN when
// a summand is not finite.
template <class T> __device__ double unit_of(const Workspace<T>& w, int64_t b) {
  const double largest = __longlong_as_double(static_cast<long long>(w.state_of(b).largest));
  if (!(largest <= 1.7e308)) return NAN;
  int exponent, size;
  frexp(largest, &exponent);
  frexp(double(w.pixels), &size);
  return largest > 0 ? ldexp(1.0, exponent > -900 ? exponent + size - 62 : -1000) : 0.0;
}
constexpr double kLowUnit = 1.0 / (int64_t(1) << 30);  // of the low part, in units of the high one
template <class T> __global__ void sum_kernel(Workspace<T> w, const T* grad) {
  each_pixel(w, [&](const Pixel& at) {
    const int64_t root = loose_root(w, at.b, at.p);
    const double unit = root >= 0 ? unit_of(w, at.b) : 0.0;
    if (!(unit > 0)) return;
    const double value = summand(w, grad, at.b, at.p, at.i) / unit, high = rint(value);
    unsigned long long* sums = w.sums_of(at.b) + 2 * root;
    atomicAdd(sums, static_cast<unsigned long long>(static_cast<long long>(high)));
    atomicAdd(sums + 1, static_cast<unsigned long long>(static_cast<long long>(rint((value - high) / kLowUnit))));
  });
}
template <class T> __device__ double sum_of(const Workspace<T>& w, int64_t b, int64_t root) {
  const unsigned long long* sums = w.sums_of(b) + 2 * root;
  const double high = double(static_cast<long long>(sums[0])), low = double(static_cast<long long>(sums[1]));
  return unit_of(w, b) * (high + low * kLowUnit);
}

template <class T> __global__ void outline_kernel(Workspace<T> w) {
  for (int64_t b = blockIdx.x; b < w.batch.images; b += gridDim.x) {
    const BlendImage<T> image = w.image(b);
    const uint8_t* role = w.role_of(b);
    OutlineSums sums;
    each_place(0, w.pixels, [&](int64_t p) {
      int64_t y, x;
      pixel_of(p, image.width, y, x);
      if ((role[w.batch.grid.at(y, x)] & (kSolved | kInMask)) == (kSolved | kInMask))
        add_outline(image, w.batch.grid, role, y, x, sums);
    });
    OutlineSums total;
    total.offset = block_sum(sums.offset);
    total.offsets = block_sum(sums.offsets);
    total.value = block_sum(sums.value);
    total.values = block_sum(sums.values);
    if (threadIdx.x == 0) w.state_of(b).outline = total;
  }
}
template <class T> __global__ void guess_kernel(Workspace<T> w) {
  each_pixel(w, [&](const Pixel& at) {
    w.guess_of(at.b)[at.i] = first_guess(w.image(at.b), w.role_of(at.b)[at.i], at.p, w.state_of(at.b).outline);
  });
}
template <class T> __global__ void change_kernel(Workspace<T> w) {
  each_pixel(w, [&](const Pixel& at) {
    const uint8_t* role = w.role_of(at.b);
    double wanted = 0;
    if (may_change(role, at.i, w.batch.grid.stride()))
      wanted = change_wanted(w.image(at.b), w.batch.grid, role, w.guess_of(at.b), at.y, at.x);
    w.batch.image(at.b).residual[at.i] = wanted;
  });
}
template <class T> __global__ void result_kernel(Workspace<T> w, T* blended, int32_t* iterations) {
  each_pixel(w, [&](const Pixel& at) {
    const PoissonImage system = w.batch.image(at.b);
    const int64_t root = loose_root(w, at.b, at.p);
    double value = w.guess_of(at.b)[at.i] + system.solution[at.i];
    if (root >= 0)
      value += sum_of(w, at.b, root) / mean_count(w.of(w.pixels_of, at.b)[root], w.of(w.known_of, at.b)[root]);
    blended[at.item] = w.role_of(at.b)[at.i] & kSolved ? T(value) : w.image(at.b).target[at.p];
    if (at.p == 0) iterations[at.b] = system.state->iterations;
  });
}

template <class T> __global__ void rhs_kernel(Workspace<T> w, const T* grad_blended) {
  each_pixel(w, [&](const Pixel& at) {
    const int64_t root = loose_root(w, at.b, at.p);
    double value = w.role_of(at.b)[at.i] & kSolved ? double(grad_blended[at.item]) : 0.0;
    if (root >= 0) value -= share_of(w, at.b, root, at.p) * sum_of(w, at.b, root);
    w.batch.image(at.b).residual[at.i] = value;
  });
}
template <class T>
__global__ void vjp_kernel(Workspace<T> w, const T* grad_blended, T* grad_target, T* grad_donor) {
  each_pixel(w, [&](const Pixel& at) {
    const uint8_t* role = w.role_of(at.b);
    T* to_donor = grad_donor ? grad_donor + at.b * w.first.donors * w.pixels : nullptr;
    double grad = blend_vjp_at(w.image(at.b), w.batch.grid, role, w.batch.image(at.b).solution, at.y, at.x, to_donor);
    if (!(role[at.i] & kSolved)) grad += double(grad_blended[at.item]);
    const int64_t root = loose_root(w, at.b, at.p);
    if (root >= 0 && usable(w.image(at.b).target[at.p])) grad += share_of(w, at.b, root, at.p) * sum_of(w, at.b, root);
    grad_target[at.item] = T(grad);
  });
}

// Roles, links, components and the coarse grids.
template <class T>
Workspace<T> prepare(const BlendImage<T>& first, int64_t images, int64_t feather, void* memory, Stream stream) {
  Workspace<T> w = lay_out(memory, first, images);
  PF3D_CUDA_CHECK(cudaMemsetAsync(memory, 0, bytes_of(w), stream));
  const int64_t items = images * w.pixels;
  if (feather > 0) {
    launch(feather_columns_kernel<T>, items, stream, w, feather);
    launch(feather_rows_kernel<T>, items, stream, w, feather);
    w.first.label = w.feather_label;
    w.first.weight = w.feather_weight;
  }
  launch(roles_kernel<T>, items, stream, w);
  launch(links_kernel<T>, items, stream, w);
  launch(start_components_kernel<T>, items, stream, w);
  launch(join_kernel<T>, items, stream, w);
  launch(count_kernel<T>, items, stream, w);
  set_up(w.batch, stream);
  return w;
}

template <class T> void sum_components(const Workspace<T>& w, const T* grad, Stream stream) {
  const int64_t items = w.batch.images * w.pixels;
  launch(largest_summand_kernel<T>, items, stream, w, grad);
  launch(sum_kernel<T>, items, stream, w, grad);
}

}  // namespace

template <class T>
void blend_gradients(const T* target, const T* donor, const int32_t* labels, const bool* donor_valid, const T* scale,
                     const bool* domain, T* blended, int32_t* iterations, void* workspace, int64_t batch,
                     int64_t donors, int64_t height, int64_t width, bool free_border, double data_weight,
                     int64_t feather, double tolerance, Stream stream) {
  const int64_t items = batch * height * width;
  if (items == 0) return;
  const Workspace<T> w = prepare<T>({target, donor, donor_valid, scale, domain, labels, nullptr, height, width, donors,
                                     free_border, data_weight},
                                    batch, feather, workspace, stream);
  launch_blocks(outline_kernel<T>, static_cast<unsigned>(std::min(batch, max_blocks())), stream, w);
  launch(guess_kernel<T>, items, stream, w);
  launch(change_kernel<T>, items, stream, w);
  solve(w.batch, tolerance, stream);
  sum_components<T>(w, nullptr, stream);
  launch(result_kernel<T>, items, stream, w, blended, iterations);
}

template <class T>
void blend_gradients_backward(const T* target, const T* donor, const int32_t* labels, const bool* donor_valid,
                              const T* scale, const bool* domain, const T* grad_blended, T* grad_target,
                              T* grad_donor, void* workspace, int64_t batch, int64_t donors, int64_t height,
                              int64_t width, bool free_border, double data_weight, int64_t feather, double tolerance,
                              Stream stream) {
  const int64_t items = batch * height * width;
  if (items == 0) return;
  const Workspace<T> w = prepare<T>({target, donor, donor_valid, scale, domain, labels, nullptr, height, width, donors,
                                     free_border, data_weight},
                                    batch, feather, workspace, stream);
  sum_components(w, grad_blended, stream);
  launch(rhs_kernel<T>, items, stream, w, grad_blended);
  solve(w.batch, tolerance, stream);
  if (grad_donor) PF3D_CUDA_CHECK(cudaMemsetAsync(grad_donor, 0, sizeof(T) * donors * items, stream));
  launch(vjp_kernel<T>, items, stream, w, grad_blended, grad_target, grad_donor);
}

#define PF3D_INSTANCES(T)                                                                                            \
  template void blend_gradients(const T*, const T*, const int32_t*, const bool*, const T*, const bool*, T*,          \
                                int32_t*, void*, int64_t, int64_t, int64_t, int64_t, bool, double, int64_t, double,  \
                                Stream);                                                                             \
  template void blend_gradients_backward(const T*, const T*, const int32_t*, const bool*, const T*, const bool*,     \
                                         const T*, T*, T*, void*, int64_t, int64_t, int64_t, int64_t, bool, double,  \
                                         int64_t, double, Stream)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cuda
