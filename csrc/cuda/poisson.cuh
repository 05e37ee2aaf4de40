// csrc/cuda/poisson.cuh -- conjugate gradients preconditioned by multigrid for a batch of Poisson systems, without a word
// to the host: a fixed number of launches that return at once for an image whose `done` is set, then one block an image
// that goes on for as long as it takes. Coarse grids are worked on by one block in one launch. Sums are formed in chunks
// of fixed size and order, so the result has the same bits in every run and on every grid of blocks.
#pragma once
#include "core/poisson.h"
#include "cuda/common.cuh"

namespace pyface3d::cuda {

constexpr int64_t kChunk = 1024;         // places of a grid that a block works on at a time
constexpr int64_t kBlockPixels = 4096;   // a grid of so many pixels is worked on by a single block
constexpr int kLaunchedIterations = 24;  // by launches over the whole device; what needs more goes on in one block
constexpr int kMostIterations = 20000;
static_assert(kSweeps == 3, "the cycle goes from x to y to x, and back up to y");

struct SolverState {
  double scale, enough, energy, keep, step;
  unsigned long long largest;  // bits of the largest |rhs|; not finite when any is not
  int done, iterations;
};

// One image's arrays; rims are zero.
struct PoissonImage {
  double *diagonal, *solution, *residual, *direction, *product, *partial;
  SolverState* state;
  float* planes;  // of all levels, finest first
  Grid grid;

  __device__ PoissonLevel level(int at) const {
    PoissonLevel l{};
    float* p = planes;
    l.grid = grid;
    for (int k = 0; k < at; ++k) {
      p += kPoissonPlanes * l.grid.size();
      l.grid = l.grid.coarser();
    }
    const int64_t size = l.grid.size();
    l.right = p, l.down = p + size, l.diagonal = p + 2 * size, l.inverse = p + 3 * size;
    l.b = p + 4 * size, l.x = p + 5 * size, l.y = p + 6 * size;
    return l;
  }
};

// The batch: image b's arrays lie `doubles` and `floats` values further.
struct PoissonBatch {
  double* double_memory;
  float* float_memory;
  int64_t doubles, floats, images;
  Grid grid;
  int levels;

  __device__ PoissonImage image(int64_t b) const {
    const int64_t size = grid.size();
    double* d = double_memory + b * doubles;
    PoissonImage i;
    i.state = reinterpret_cast<SolverState*>(d);
    d += kStateDoubles;
    i.diagonal = d, i.solution = d + size, i.residual = d + 2 * size, i.direction = d + 3 * size;
    i.product = d + 4 * size, i.partial = d + 5 * size;
    i.planes = float_memory + b * floats;
    i.grid = grid;
    return i;
  }
  static constexpr int kStateDoubles = 16;
};
static_assert(sizeof(SolverState) <= 8 * PoissonBatch::kStateDoubles);

// Places [first, last) of a grid hold all its pixels, and rim between the rows, where everything is 0 and stays so.
PF3D_HD int64_t first_place(Grid grid) { return grid.at(0, 0); }
PF3D_HD int64_t last_place(Grid grid) { return grid.at(grid.height - 1, grid.width - 1) + 1; }
PF3D_HD int64_t chunks_of(Grid grid) { return (last_place(grid) - first_place(grid) + kChunk - 1) / kChunk; }

__device__ __forceinline__ void pixel_of(int64_t p, int64_t width, int64_t& y, int64_t& x) {
  if (p < int64_t(1) << 31) {  // a division of 32 bits is several times faster
    y = static_cast<unsigned>(p) / static_cast<unsigned>(width);
    x = p - y * width;
  } else {
    y = p / width;
    x = p % width;
  }
}

// Sum over the block, the same bits in every thread; all threads must call it.
__device__ inline double block_sum(double value) {
  __shared__ double sums[32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = (blockDim.x + 31) / 32;
  for (int by = 16; by > 0; by /= 2) value += __shfl_down_sync(0xffffffffu, value, by);
  __syncthreads();  // what was in `sums` has been read
  if (lane == 0) sums[warp] = value;
  __syncthreads();
  double total = 0;
  for (int k = 0; k < warps; ++k) total += sums[k];
  return total;
}

// body(i) for places begin <= i < end, divided among the block's threads.
template <class Body> __device__ __forceinline__ void each_place(int64_t begin, int64_t end, const Body& body) {
  for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) body(i);
}

// --- what is done at the places [begin, end) of one grid, by the threads of one block ---

__device__ inline void sweep_from_zero(const PoissonLevel& l, int64_t begin, int64_t end) {
  each_place(begin, end, [&](int64_t i) { l.x[i] = swept_from_zero(l, i); });
}
__device__ inline void sweep(const PoissonLevel& l, const float* from, float* to, float weight, int64_t begin,
                             int64_t end) {
  const int64_t stride = l.grid.stride();
  each_place(begin, end, [&](int64_t i) { to[i] = swept(l, from, i, stride, weight); });
}
// For pixels [begin, end) of the coarse grid, by number: b of the coarse grid out of the fine one's residual, ...
__device__ inline void restrict_residual(const PoissonLevel& fine, const PoissonLevel& coarse, int64_t begin,
                                         int64_t end) {
  each_place(begin, end, [&](int64_t p) {
    int64_t y, x;
    pixel_of(p, coarse.grid.width, y, x);
    coarse.b[coarse.grid.at(y, x)] = block_residual(fine, fine.x, fine.grid.at(2 * y, 2 * x), fine.grid.stride());
  });
}
// ... and the coarse correction added to the fine x.
__device__ inline void add_correction(const PoissonLevel& coarse, const PoissonLevel& fine, int64_t begin,
                                      int64_t end) {
  each_place(begin, end, [&](int64_t p) {
    int64_t y, x;
    pixel_of(p, coarse.grid.width, y, x);
    const float correction = coarse.y[coarse.grid.at(y, x)];
    const bool right = 2 * x + 1 < fine.grid.width, below = 2 * y + 1 < fine.grid.height;  // else the rim
    float* at = fine.x + fine.grid.at(2 * y, 2 * x);
    at[0] += correction;
    if (right) at[1] += correction;
    if (below) at[fine.grid.stride()] += correction;
    if (right && below) at[fine.grid.stride() + 1] += correction;
  });
}
__device__ inline double energy_of(const PoissonImage& image, int64_t begin, int64_t end) {
  const float* z = image.level(0).y;
  double sum = 0;
  each_place(begin, end, [&](int64_t i) { sum += image.residual[i] * double(z[i]); });
  return sum;
}
__device__ inline void turn_direction(const PoissonImage& image, double keep, int64_t begin, int64_t end) {
  const float* z = image.level(0).y;
  each_place(begin, end, [&](int64_t i) { image.direction[i] = double(z[i]) + keep * image.direction[i]; });
}
__device__ inline double apply(const PoissonImage& image, int64_t begin, int64_t end) {
  const PoissonLevel l = image.level(0);
  const int64_t stride = l.grid.stride();
  double sum = 0;
  each_place(begin, end, [&](int64_t i) {
    const double p = image.direction[i];
    const double q = image.diagonal[i] * p - linked_sum(l.right, l.down, image.direction, i, stride);
    image.product[i] = q;
    sum += p * q;
  });
  return sum;
}
__device__ inline double take_step(const PoissonImage& image, double step, int64_t begin, int64_t end) {
  float* b = image.level(0).b;
  double sum = 0;
  each_place(begin, end, [&](int64_t i) {
    image.solution[i] += step * image.direction[i];
    const double r = image.residual[i] - step * image.product[i];
    image.residual[i] = r;
    b[i] = float(r);
    sum += r * r;
  });
  return sum;
}

// The cycle from level `from` down and back, by one block.
__device__ inline void block_cycle(const PoissonImage& image, int from, int levels) {
  for (int at = from; at < levels; ++at) {
    const PoissonLevel l = image.level(at);
    const int64_t begin = first_place(l.grid), end = last_place(l.grid);
    if (at + 1 == levels) {
      each_place(begin, end, [&](int64_t i) { l.y[i] = l.inverse[i] * l.b[i]; });
      __syncthreads();
      break;
    }
    sweep_from_zero(l, begin, end);
    __syncthreads();
    sweep(l, l.x, l.y, sweep_weight(1), begin, end);
    __syncthreads();
    sweep(l, l.y, l.x, sweep_weight(2), begin, end);
    __syncthreads();
    const PoissonLevel coarse = image.level(at + 1);
    restrict_residual(l, coarse, 0, coarse.grid.height * coarse.grid.width);
    __syncthreads();
  }
  for (int at = levels - 2; at >= from; --at) {
    const PoissonLevel l = image.level(at), coarse = image.level(at + 1);
    const int64_t begin = first_place(l.grid), end = last_place(l.grid);
    add_correction(coarse, l, 0, coarse.grid.height * coarse.grid.width);
    __syncthreads();
    sweep(l, l.x, l.y, sweep_weight(2), begin, end);
    __syncthreads();
    sweep(l, l.y, l.x, sweep_weight(1), begin, end);
    __syncthreads();
    sweep(l, l.x, l.y, sweep_weight(0), begin, end);
    __syncthreads();
  }
}

// On the host: fills the levels below the finest, whose links, pins (in x) and mass (as float in y, as double in
// diagonal) are there, and finishes all diagonals.
void set_up(const PoissonBatch& batch, Stream stream);
// Solves for the right-hand sides in `residual`; the solutions are in `solution` after that. As on the CPU: relative to
// `tolerance`, for singular systems too, and NaN for what is not finite.
void solve(const PoissonBatch& batch, double tolerance, Stream stream);

}  // namespace pyface3d::cuda
