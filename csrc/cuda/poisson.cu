// csrc/cuda/poisson.cu -- the launches; a block takes one chunk of one image after another.
#include "cuda/poisson.cuh"

namespace pyface3d::cuda {
namespace {

// body(image, begin, end, chunk) for every chunk of `count` items of every image, block by block; images that are done
// are left out.
template <class Body> __device__ void each_chunk(const PoissonBatch& batch, int64_t count, const Body& body) {
  const int64_t chunks = (count + kChunk - 1) / kChunk;
  for (int64_t item = blockIdx.x; item < chunks * batch.images; item += gridDim.x) {
    const PoissonImage image = batch.image(item / chunks);
    if (image.state->done) continue;
    const int64_t chunk = item % chunks, begin = chunk * kChunk;
    body(image, begin, begin + kChunk < count ? begin + kChunk : count, chunk);
  }
}
// The same over the places of a grid.
template <class Body> __device__ void each_place_chunk(const PoissonBatch& batch, Grid grid, const Body& body) {
  const int64_t first = first_place(grid);
  const int64_t places = last_place(grid) - first;
  each_chunk(batch, places, [&](const PoissonImage& image, int64_t begin, int64_t end, int64_t chunk) {
    body(image, first + begin, first + end, chunk);
  });
}
unsigned chunk_blocks(const PoissonBatch& batch, int64_t count) {
  return static_cast<unsigned>(std::min<int64_t>((count + kChunk - 1) / kChunk * batch.images, max_blocks()));
}
unsigned place_blocks(const PoissonBatch& batch, Grid grid) {
  return chunk_blocks(batch, last_place(grid) - first_place(grid));
}

__device__ Grid grid_of(const PoissonBatch& batch, int at) {
  Grid grid = batch.grid;
  for (int k = 0; k < at; ++k) grid = grid.coarser();
  return grid;
}

__global__ void finish_finest_kernel(PoissonBatch batch) {
  each_place_chunk(batch, batch.grid, [&](const PoissonImage& image, int64_t begin, int64_t end, int64_t) {
    const PoissonLevel l = image.level(0);
    const int64_t stride = l.grid.stride();
    each_place(begin, end, [&](int64_t i) {
      image.diagonal[i] += double(sum_of_links(l.right, l.down, i, stride)) + double(l.x[i]);
      finish_row(l, l.x, l.y, i);
    });
  });
}
__global__ void coarsen_kernel(PoissonBatch batch, int at) {
  const Grid grid = grid_of(batch, at);
  each_chunk(batch, grid.height * grid.width, [&](const PoissonImage& image, int64_t begin, int64_t end, int64_t) {
    const PoissonLevel fine = image.level(at - 1), coarse = image.level(at);
    each_place(begin, end, [&](int64_t p) {
      int64_t y, x;
      pixel_of(p, grid.width, y, x);
      coarsen_at(fine, fine.x, fine.y, coarse, coarse.x, coarse.y, y, x);
    });
  });
}
__global__ void finish_kernel(PoissonBatch batch, int at) {
  each_place_chunk(batch, grid_of(batch, at), [&](const PoissonImage& image, int64_t begin, int64_t end, int64_t) {
    const PoissonLevel l = image.level(at);
    each_place(begin, end, [&](int64_t i) { finish_row(l, l.x, l.y, i); });
  });
}
// The levels from `from` on, by one block an image.
__global__ void coarsen_rest_kernel(PoissonBatch batch, int from) {
  for (int64_t b = blockIdx.x; b < batch.images; b += gridDim.x) {
    const PoissonImage image = batch.image(b);
    for (int at = from; at < batch.levels; ++at) {
      const PoissonLevel fine = image.level(at - 1), coarse = image.level(at);
      each_place(0, coarse.grid.height * coarse.grid.width, [&](int64_t p) {
        int64_t y, x;
        pixel_of(p, coarse.grid.width, y, x);
        coarsen_at(fine, fine.x, fine.y, coarse, coarse.x, coarse.y, y, x);
      });
      __syncthreads();
      each_place(first_place(coarse.grid), last_place(coarse.grid),
                 [&](int64_t i) { finish_row(coarse, coarse.x, coarse.y, i); });
      __syncthreads();
    }
  }
}

__global__ void largest_kernel(PoissonBatch batch) {
  each_place_chunk(batch, batch.grid, [&](const PoissonImage& image, int64_t begin, int64_t end, int64_t) {
    double most = 0;
    each_place(begin, end, [&](int64_t i) {
      const double size = fabs(image.residual[i]);
      if (!(size <= most)) most = size <= 1.7e308 ? size : INFINITY;
    });
    if (most > 0) atomicMax(&image.state->largest, static_cast<unsigned long long>(__double_as_longlong(most)));
  });
}
__global__ void begin_kernel(PoissonBatch batch) {
  each_place_chunk(batch, batch.grid, [&](const PoissonImage& image, int64_t begin, int64_t end, int64_t chunk) {
    const double largest = __longlong_as_double(static_cast<long long>(image.state->largest));
    const bool finite = largest <= 1.7e308;
    const double shrink = finite && largest > 0 ? 1 / largest : 0.0;
    float* to = image.level(0).b;
    double sum = 0;
    each_place(begin, end, [&](int64_t i) {
      const double r = finite ? image.residual[i] * shrink : 0.0;
      image.residual[i] = r;
      to[i] = float(r);
      image.solution[i] = 0;
      image.direction[i] = 0;
      sum += r * r;
    });
    sum = block_sum(sum);
    if (threadIdx.x == 0) image.partial[chunk] = sum;
  });
}

enum class Sum { kBegin, kEnergy, kCurvature, kSize };

// Adds up an image's chunks and draws the conclusion.
template <Sum what> __global__ void conclude_kernel(PoissonBatch batch, double tolerance) {
  const int64_t chunks = chunks_of(batch.grid);
  for (int64_t b = blockIdx.x; b < batch.images; b += gridDim.x) {
    const PoissonImage image = batch.image(b);
    const bool done = image.state->done;
    double sum = 0;
    if (!done)
      for (int64_t k = threadIdx.x; k < chunks; k += blockDim.x) sum += image.partial[k];
    sum = block_sum(sum);
    if (done || threadIdx.x != 0) continue;
    SolverState& state = *image.state;
    if (what == Sum::kBegin) {
      state.scale = __longlong_as_double(static_cast<long long>(state.largest));
      state.enough = tolerance * tolerance * sum;
      state.energy = 0;
      state.iterations = 0;
      state.done = !(sum > state.enough);
    } else if (what == Sum::kEnergy) {
      state.keep = state.energy > 0 ? sum / state.energy : 0.0;
      state.energy = sum;
      state.done = !(sum > 0);
    } else if (what == Sum::kCurvature) {
      state.step = sum > 0 ? state.energy / sum : 0.0;
      state.done = !(sum > 0);
    } else {
      state.iterations += 1;
      state.done = !(sum > state.enough);
    }
  }
}

__global__ void sweep_from_zero_kernel(PoissonBatch batch, int at) {
  each_place_chunk(batch, grid_of(batch, at), [&](const PoissonImage& image, int64_t begin, int64_t end, int64_t) {
    sweep_from_zero(image.level(at), begin, end);
  });
}
__global__ void sweep_kernel(PoissonBatch batch, int at, bool to_y, float weight) {
  each_place_chunk(batch, grid_of(batch, at), [&](const PoissonImage& image, int64_t begin, int64_t end, int64_t) {
    const PoissonLevel l = image.level(at);
    sweep(l, to_y ? l.x : l.y, to_y ? l.y : l.x, weight, begin, end);
  });
}
__global__ void restrict_kernel(PoissonBatch batch, int at) {
  const Grid grid = grid_of(batch, at + 1);
  each_chunk(batch, grid.height * grid.width, [&](const PoissonImage& image, int64_t begin, int64_t end, int64_t) {
    restrict_residual(image.level(at), image.level(at + 1), begin, end);
  });
}
__global__ void correct_kernel(PoissonBatch batch, int at) {
  const Grid grid = grid_of(batch, at + 1);
  each_chunk(batch, grid.height * grid.width, [&](const PoissonImage& image, int64_t begin, int64_t end, int64_t) {
    add_correction(image.level(at + 1), image.level(at), begin, end);
  });
}
__global__ void __launch_bounds__(1024) block_cycle_kernel(PoissonBatch batch, int from) {
  for (int64_t b = blockIdx.x; b < batch.images; b += gridDim.x) {
    const PoissonImage image = batch.image(b);
    if (!image.state->done) block_cycle(image, from, batch.levels);
  }
}

__global__ void energy_kernel(PoissonBatch batch) {
  each_place_chunk(batch, batch.grid, [&](const PoissonImage& image, int64_t begin, int64_t end, int64_t chunk) {
    const double sum = block_sum(energy_of(image, begin, end));
    if (threadIdx.x == 0) image.partial[chunk] = sum;
  });
}
__global__ void direction_kernel(PoissonBatch batch) {
  each_place_chunk(batch, batch.grid, [&](const PoissonImage& image, int64_t begin, int64_t end, int64_t) {
    turn_direction(image, image.state->keep, begin, end);
  });
}
__global__ void apply_kernel(PoissonBatch batch) {
  each_place_chunk(batch, batch.grid, [&](const PoissonImage& image, int64_t begin, int64_t end, int64_t chunk) {
    const double sum = block_sum(apply(image, begin, end));
    if (threadIdx.x == 0) image.partial[chunk] = sum;
  });
}
__global__ void step_kernel(PoissonBatch batch) {
  each_place_chunk(batch, batch.grid, [&](const PoissonImage& image, int64_t begin, int64_t end, int64_t chunk) {
    const double sum = block_sum(take_step(image, image.state->step, begin, end));
    if (threadIdx.x == 0) image.partial[chunk] = sum;
  });
}

// The whole iteration by one block, from wherever the launches have left it.
__global__ void __launch_bounds__(1024) finish_solve_kernel(PoissonBatch batch) {
  const int64_t begin = first_place(batch.grid), end = last_place(batch.grid);
  for (int64_t b = blockIdx.x; b < batch.images; b += gridDim.x) {
    const PoissonImage image = batch.image(b);
    bool done = image.state->done;
    int iterations = image.state->iterations;
    double before = image.state->energy;
    const double enough = image.state->enough;
    __syncthreads();  // all have read the state
    while (!done && iterations < kMostIterations) {
      block_cycle(image, 0, batch.levels);
      const double energy = block_sum(energy_of(image, begin, end));
      if (!(energy > 0)) break;
      turn_direction(image, before > 0 ? energy / before : 0.0, begin, end);
      before = energy;
      __syncthreads();
      const double curvature = block_sum(apply(image, begin, end));
      if (!(curvature > 0)) break;
      done = !(block_sum(take_step(image, energy / curvature, begin, end)) > enough);
      ++iterations;
    }
    const double largest = image.state->scale;
    const double scale = largest <= 1.7e308 ? largest : NAN;
    each_place(begin, end, [&](int64_t i) { image.solution[i] *= scale; });
    if (threadIdx.x == 0) image.state->iterations = iterations;
  }
}

void launch_sweeps(const PoissonBatch& batch, int at, Grid grid, bool down, Stream stream) {
  const unsigned blocks = place_blocks(batch, grid);
  if (down) launch_blocks(sweep_from_zero_kernel, blocks, stream, batch, at);
  for (int k = down ? 1 : 0; k < kSweeps; ++k)
    launch_blocks(sweep_kernel, blocks, stream, batch, at, down ? k == 1 : k != 1,
                  sweep_weight(down ? k : kSweeps - 1 - k));
}

// Threads for a block that has a whole grid to itself.
int threads_for(Grid grid) {
  return static_cast<int>(std::min<int64_t>(1024, (grid.height * grid.width + 127) / 128 * 32));
}

}  // namespace

void set_up(const PoissonBatch& batch, Stream stream) {
  launch_blocks(finish_finest_kernel, place_blocks(batch, batch.grid), stream, batch);
  Grid grid = batch.grid;
  int at = 1;
  for (; at < batch.levels && grid.height * grid.width > kBlockPixels; ++at) {
    grid = grid.coarser();
    launch_blocks(coarsen_kernel, chunk_blocks(batch, grid.height * grid.width), stream, batch, at);
    launch_blocks(finish_kernel, place_blocks(batch, grid), stream, batch, at);
  }
  if (at < batch.levels)
    launch_blocks(coarsen_rest_kernel, static_cast<unsigned>(std::min(batch.images, max_blocks())), stream, batch, at);
}

void solve(const PoissonBatch& batch, double tolerance, Stream stream) {
  const unsigned places = place_blocks(batch, batch.grid);
  const unsigned images = static_cast<unsigned>(std::min(batch.images, max_blocks()));
  launch_blocks(largest_kernel, places, stream, batch);
  launch_blocks(begin_kernel, places, stream, batch);
  launch_blocks(conclude_kernel<Sum::kBegin>, images, stream, batch, tolerance);
  int single = 0;  // the first level that one block takes over
  Grid grid = batch.grid;
  for (; grid.height * grid.width > kBlockPixels; ++single) grid = grid.coarser();
  for (int k = 0; single > 0 && k < kLaunchedIterations; ++k) {
    Grid at = batch.grid;
    for (int l = 0; l < single; ++l, at = at.coarser()) {
      launch_sweeps(batch, l, at, true, stream);
      const Grid coarse = at.coarser();
      launch_blocks(restrict_kernel, chunk_blocks(batch, coarse.height * coarse.width), stream, batch, l);
    }
    run_kernel(block_cycle_kernel, images, threads_for(grid), stream, batch, single);
    PF3D_CUDA_CHECK(cudaGetLastError());
    for (int l = single - 1; l >= 0; --l) {
      at = batch.grid;
      for (int m = 0; m < l; ++m) at = at.coarser();
      const Grid coarse = at.coarser();
      launch_blocks(correct_kernel, chunk_blocks(batch, coarse.height * coarse.width), stream, batch, l);
      launch_sweeps(batch, l, at, false, stream);
    }
    launch_blocks(energy_kernel, places, stream, batch);
    launch_blocks(conclude_kernel<Sum::kEnergy>, images, stream, batch, tolerance);
    launch_blocks(direction_kernel, places, stream, batch);
    launch_blocks(apply_kernel, places, stream, batch);
    launch_blocks(conclude_kernel<Sum::kCurvature>, images, stream, batch, tolerance);
    launch_blocks(step_kernel, places, stream, batch);
    launch_blocks(conclude_kernel<Sum::kSize>, images, stream, batch, tolerance);
  }
  run_kernel(finish_solve_kernel, images, threads_for(batch.grid), stream, batch);
  PF3D_CUDA_CHECK(cudaGetLastError());
}

}  // namespace pyface3d::cuda
