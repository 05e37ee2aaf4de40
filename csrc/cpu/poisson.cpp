// csrc/cpu/poisson.cpp -- the iteration runs in double, the multigrid cycle that preconditions it in float: half the
// memory, and the rounding of a preconditioner costs no accuracy. The right-hand side is scaled to a maximum of 1.
#include "cpu/poisson.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cpu/parallel.h"
#include "cpu/scratch.h"

namespace pyface3d::cpu {
namespace {

constexpr int64_t kBlockRows = 32;      // rows whose sums are formed together
constexpr int64_t kGrainPixels = 16384;  // less than this is not worth another thread

void clear_rim(float* plane, Grid grid) {
  std::fill(plane, plane + grid.at(0, 0), 0.0f);
  for (int64_t y = 0; y < grid.height; ++y) plane[grid.at(y, grid.width)] = plane[grid.at(y, -1)] = 0.0f;
  std::fill(plane + grid.at(grid.height, -1), plane + grid.size(), 0.0f);
}

void clear_rim(double* plane, Grid grid) {
  std::fill(plane, plane + grid.at(0, 0), 0.0);
  for (int64_t y = 0; y < grid.height; ++y) plane[grid.at(y, grid.width)] = plane[grid.at(y, -1)] = 0.0;
  std::fill(plane + grid.at(grid.height, -1), plane + grid.size(), 0.0);
}

}  // namespace

PoissonSolver::PoissonSolver(int64_t height, int64_t width, int threads) : threads_(threads) {
  std::vector<Grid> grids{{height, width}};
  while (!grids.back().coarsest()) grids.push_back(grids.back().coarser());
  size_t total = 0;
  for (const Grid& grid : grids) total += kPoissonPlanes * grid.size();
  float* memory = scratch<float>(total);
  for (const Grid& grid : grids) {
    PoissonLevel level{grid, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
    for (float** plane : {&level.right, &level.down, &level.diagonal, &level.inverse, &level.b, &level.x, &level.y}) {
      clear_rim(*plane = memory, grid);
      memory += grid.size();
    }
    levels_.push_back(level);
  }
  double* doubles = scratch<double>(5 * grids[0].size());
  for (double** plane : {&diagonal_, &solution_, &residual_, &direction_, &product_}) {
    clear_rim(*plane = doubles, grids[0]);
    doubles += grids[0].size();
  }
  columns_.resize((height + kBlockRows - 1) / kBlockRows * width);
}

void PoissonSolver::for_rows(Grid grid, const std::function<void(int64_t, int64_t)>& body) const {
  parallel_for(threads_, grid.height, std::max<int64_t>(1, kGrainPixels / std::max<int64_t>(grid.width, 1)), body);
}

// Adds up rows into one sum a column and block, blocks in order, columns last: vectors along x, and a fixed order.
double PoissonSolver::sum_of_rows(const std::function<void(int64_t, double*)>& add_row) {
  const Grid grid = this->grid();
  const int64_t blocks = (grid.height + kBlockRows - 1) / kBlockRows;
  const int64_t grain = std::max<int64_t>(1, kGrainPixels / (kBlockRows * std::max<int64_t>(grid.width, 1)));
  parallel_for(threads_, blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      double* sums = columns_.data() + block * grid.width;
      std::fill(sums, sums + grid.width, 0.0);
      const int64_t last = std::min(grid.height, (block + 1) * kBlockRows);
      for (int64_t y = block * kBlockRows; y < last; ++y) add_row(y, sums);
    }
  });
  for (int64_t block = 1; block < blocks; ++block)
    for (int64_t x = 0; x < grid.width; ++x) columns_[x] += columns_[block * grid.width + x];
  double sum = 0;
  for (int64_t x = 0; x < grid.width; ++x) sum += columns_[x];
  return sum;
}

void PoissonSolver::set_up() {
  PoissonLevel& fine = levels_[0];
  const int64_t stride = fine.grid.stride();
  // The planes of the unknowns are free until the first cycle: x holds pins and y mass.
  for_rows(fine.grid, [&](int64_t y0, int64_t y1) {
    for (int64_t y = y0; y < y1; ++y)
      for (int64_t i = fine.grid.at(y, 0); i < fine.grid.at(y, fine.grid.width); ++i)
        diagonal_[i] += double(sum_of_links(fine.right, fine.down, i, stride)) + double(fine.x[i]);
  });
  for (size_t at = 0; at < levels_.size(); ++at) {
    PoissonLevel& level = levels_[at];
    if (at > 0) {
      const PoissonLevel& finer = levels_[at - 1];
      for_rows(level.grid, [&](int64_t y0, int64_t y1) {
        for (int64_t y = y0; y < y1; ++y)
          for (int64_t x = 0; x < level.grid.width; ++x)
            coarsen_at(finer, finer.x, finer.y, level, level.x, level.y, y, x);
      });
    }
    for_rows(level.grid, [&](int64_t y0, int64_t y1) {
      for (int64_t y = y0; y < y1; ++y)
        for (int64_t i = level.grid.at(y, 0); i < level.grid.at(y, level.grid.width); ++i)
          finish_row(level, level.x, level.y, i);
    });
  }
}

void PoissonSolver::sweep(PoissonLevel& level, float weight) {
  const PoissonLevel from = level;
  const Grid grid = level.grid;
  for_rows(grid, [&](int64_t y0, int64_t y1) {
    const float* x = from.x;
    float* __restrict y = from.y;
    const int64_t stride = grid.stride();
    const PoissonLevel local = from;
    for (int64_t row = y0; row < y1; ++row)
      for (int64_t i = grid.at(row, 0), end = i + grid.width; i < end; ++i) y[i] = swept(local, x, i, stride, weight);
  });
  std::swap(level.x, level.y);
}

void PoissonSolver::cycle(size_t at) {
  PoissonLevel& level = levels_[at];
  const Grid grid = level.grid;
  if (grid.coarsest()) {
    const int64_t i = grid.at(0, 0);
    level.x[i] = level.inverse[i] * level.b[i];
    return;
  }
  for_rows(grid, [&](int64_t y0, int64_t y1) {
    float* __restrict x = level.x;
    const PoissonLevel local = level;
    for (int64_t y = y0; y < y1; ++y)
      for (int64_t i = grid.at(y, 0), end = i + grid.width; i < end; ++i) x[i] = swept_from_zero(local, i);
  });
  for (int k = 1; k < kSweeps; ++k) sweep(level, sweep_weight(k));
  PoissonLevel& coarse = levels_[at + 1];
  for_rows(coarse.grid, [&](int64_t y0, int64_t y1) {
    const PoissonLevel local = level;
    const float* x = local.x;
    float* __restrict residual = local.y;  // by whole rows, as vectors, then summed in blocks
    float* __restrict b = coarse.b;
    const int64_t stride = grid.stride();
    for (int64_t y = y0; y < y1; ++y) {
      for (int64_t row = 2 * y; row < std::min(2 * y + 2, grid.height); ++row)
        for (int64_t i = grid.at(row, 0), end = i + grid.width; i < end; ++i)
          residual[i] = residual_at(local, x, i, stride);
      const int64_t fine = grid.at(2 * y, 0), to = coarse.grid.at(y, 0);
      for (int64_t k = 0; k < coarse.grid.width; ++k) b[to + k] = block_sum(residual, fine + 2 * k, stride);
    }
  });
  cycle(at + 1);
  for_rows(grid, [&](int64_t y0, int64_t y1) {
    const float* correction = coarse.x;
    float* __restrict out = level.x;
    for (int64_t y = y0; y < y1; ++y) {
      const int64_t row = grid.at(y, 0), from = coarse.grid.at(y / 2, 0);
      for (int64_t x = 0; x < grid.width; ++x) out[row + x] += correction[from + x / 2];
    }
  });
  for (int k = kSweeps - 1; k >= 0; --k) sweep(level, sweep_weight(k));
}

int PoissonSolver::solve(double tolerance, int most_iterations) {
  const Grid grid = this->grid();
  const int64_t stride = grid.stride();
  double scale = 0;
  for (int64_t y = 0; y < grid.height; ++y)
    for (int64_t i = grid.at(y, 0); i < grid.at(y, grid.width); ++i) {
      const double size = std::fabs(residual_[i]);
      scale = std::isfinite(size) ? std::max(scale, size) : std::numeric_limits<double>::infinity();
    }
  const bool finite = std::isfinite(scale);
  const double shrink = scale > 0 && finite ? 1 / scale : 0.0;
  double size = sum_of_rows([&](int64_t y, double* __restrict sums) {
    float* __restrict b = levels_[0].b;
    for (int64_t x = 0, i = grid.at(y, 0); x < grid.width; ++x, ++i) {
      solution_[i] = finite ? 0.0 : std::numeric_limits<double>::quiet_NaN();
      direction_[i] = 0;
      residual_[i] = finite ? residual_[i] * shrink : 0.0;
      b[i] = float(residual_[i]);
      sums[x] += residual_[i] * residual_[i];
    }
  });
  const double enough = tolerance * tolerance * size;
  double energy_before = 0;
  int iteration = 0;
  while (size > enough && iteration < most_iterations) {
    cycle(0);
    const float* z = levels_[0].x;
    const double energy = sum_of_rows([&](int64_t y, double* __restrict sums) {
      const double* r = residual_ + grid.at(y, 0);
      const float* zr = z + grid.at(y, 0);
      for (int64_t x = 0; x < grid.width; ++x) sums[x] += r[x] * double(zr[x]);
    });
    if (!(energy > 0)) break;
    const double keep = energy_before > 0 ? energy / energy_before : 0.0;
    energy_before = energy;
    for_rows(grid, [&](int64_t y0, int64_t y1) {
      double* __restrict p = direction_;
      for (int64_t y = y0; y < y1; ++y)
        for (int64_t i = grid.at(y, 0), end = i + grid.width; i < end; ++i) p[i] = double(z[i]) + keep * p[i];
    });
    const double curvature = sum_of_rows([&](int64_t y, double* __restrict sums) {
      const double* p = direction_;
      const float *right = levels_[0].right, *down = levels_[0].down;
      const double* diagonal = diagonal_;
      double* __restrict q = product_;
      for (int64_t x = 0, i = grid.at(y, 0); x < grid.width; ++x, ++i) {
        q[i] = diagonal[i] * p[i] - linked_sum(right, down, p, i, stride);
        sums[x] += p[i] * q[i];
      }
    });
    if (!(curvature > 0)) break;
    const double step = energy / curvature;
    size = sum_of_rows([&](int64_t y, double* __restrict sums) {
      const double *p = direction_, *q = product_;
      double *__restrict u = solution_, *__restrict r = residual_;
      float* __restrict b = levels_[0].b;
      for (int64_t x = 0, i = grid.at(y, 0); x < grid.width; ++x, ++i) {
        u[i] += step * p[i];
        r[i] -= step * q[i];
        b[i] = float(r[i]);
        sums[x] += r[i] * r[i];
      }
    });
    ++iteration;
  }
  for_rows(grid, [&](int64_t y0, int64_t y1) {
    for (int64_t y = y0; y < y1; ++y)
      for (int64_t i = grid.at(y, 0); i < grid.at(y, grid.width); ++i) solution_[i] *= finite ? scale : 1.0;
  });
  return iteration;
}

}  // namespace pyface3d::cpu
