// csrc/cpu/poisson.h -- conjugate gradients preconditioned by multigrid for one Poisson system on a grid.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "core/poisson.h"

namespace pyface3d::cpu {

// Memory is the calling thread's scratch: one solver a thread at a time. Sums are formed in blocks of rows of fixed
// size, so the thread count changes no bit.
class PoissonSolver {
 public:
  PoissonSolver(int64_t height, int64_t width, int threads);

  Grid grid() const { return levels_[0].grid; }
  // What the caller fills on the inner pixels before set_up: links, pins (in the plane x) and mass of the finest grid;
  // and before solve: the right-hand side. The solution may be read after solve.
  const PoissonLevel& finest() const { return levels_[0]; }
  double* mass() { return diagonal_; }
  double* rhs() { return residual_; }
  const double* solution() const { return solution_; }

  void set_up();
  // Until the residual is at most `tolerance` of the right-hand side; returns the number of iterations. The right-hand
  // side may belong to a singular system if its sum over each component without pulls is 0. One that is not finite
  // gives NaN everywhere.
  int solve(double tolerance, int most_iterations);

  // body(y0, y1) for pieces of the rows of a grid, in parallel where the grid is large enough.
  void for_rows(Grid grid, const std::function<void(int64_t, int64_t)>& body) const;

 private:
  void cycle(size_t at);
  void sweep(PoissonLevel& level, float weight);
  double sum_of_rows(const std::function<void(int64_t, double*)>& add_row);

  std::vector<PoissonLevel> levels_;
  std::vector<double> columns_;  // sums of each block of rows, a column each
  double *diagonal_, *solution_, *residual_, *direction_, *product_;
  int threads_;
};

}  // namespace pyface3d::cpu
