// csrc/core/poisson.h -- the discrete Poisson equation on the pixels of a map, and the multigrid that preconditions it.
//
// A link joins two neighbouring pixels with a conductance (1 on the map itself), a pull ties a pixel to a value:
//   (A u)_p = diagonal_p u_p - sum_q link_pq u_q,   diagonal_p = sum_q link_pq + pull_p.
// Coarser grids hold blocks of 2 x 2 pixels and are systems of the same kind, so any domain (holes, islands, lines of
// one pixel) coarsens down to one block. Corrections go down constant within a block; what that costs is made good by
// links at half their sum (two pixels in series) and by a sweep of weight 1 beside every change of grid, which is the
// same as interpolating linearly (smoothed aggregation, Vanek, Mandel & Brezina 1996).
#pragma once
#include "core/vec.h"

namespace pyface3d {

// A grid with a rim of one pixel around it (two below), so that neighbours and blocks need no bounds checks. The rim
// holds zeros.
struct Grid {
  int64_t height, width;
  PF3D_HD int64_t stride() const { return width + 2; }
  PF3D_HD int64_t size() const { return (height + 3) * stride(); }
  PF3D_HD int64_t at(int64_t y, int64_t x) const { return (y + 1) * stride() + x + 1; }
  PF3D_HD Grid coarser() const { return {(height + 1) / 2, (width + 1) / 2}; }
  PF3D_HD bool coarsest() const { return height <= 1 && width <= 1; }
};

// One grid of the hierarchy: the system, and the correction equation A x = b that a cycle solves roughly.
struct PoissonLevel {
  Grid grid;
  float *right, *down;       // links to the pixel to the right and to the one below
  float *diagonal, *inverse;  // inverse: 1 / diagonal, or 0 where a pixel takes no part
  float *b, *x, *y;          // y: working memory of the sweeps
};
constexpr int kPoissonPlanes = 7;

// Weights of the sweeps towards a change of grid; from it, in reverse. The first two are the roots of the Chebyshev
// polynomial of degree 2 on [1/2, 2], the oscillating half of the spectrum of diagonal^-1 A.
PF3D_HD float sweep_weight(int sweep) { return sweep == 0 ? 1.389f : sweep == 1 ? 0.562f : 1.0f; }
constexpr int kSweeps = 3;

// sum_q link_pq u_q
template <class L, class U>
PF3D_HD U linked_sum(const L* right, const L* down, const U* u, int64_t i, int64_t stride) {
  return (right[i] * u[i + 1] + right[i - 1] * u[i - 1]) + (down[i] * u[i + stride] + down[i - stride] * u[i - stride]);
}

PF3D_HD float sum_of_links(const float* right, const float* down, int64_t i, int64_t stride) {
  return (right[i] + right[i - 1]) + (down[i] + down[i - stride]);
}

// A damped Jacobi sweep: x + weight (inverse (b + links x) - x).
PF3D_HD float swept(const PoissonLevel& level, const float* x, int64_t i, int64_t stride, float weight) {
  const float exact = level.inverse[i] * (level.b[i] + linked_sum(level.right, level.down, x, i, stride));
  return x[i] + weight * (exact - x[i]);
}

// The same, from x = 0.
PF3D_HD float swept_from_zero(const PoissonLevel& level, int64_t i) {
  return sweep_weight(0) * (level.inverse[i] * level.b[i]);
}

PF3D_HD float residual_at(const PoissonLevel& level, const float* x, int64_t i, int64_t stride) {
  return level.b[i] - level.diagonal[i] * x[i] + linked_sum(level.right, level.down, x, i, stride);
}

// Of the four pixels of a block; i is the first of them.
PF3D_HD float block_sum(const float* u, int64_t i, int64_t stride) {
  return (u[i] + u[i + 1]) + (u[i + stride] + u[i + stride + 1]);
}
PF3D_HD float block_residual(const PoissonLevel& level, const float* x, int64_t i, int64_t stride) {
  return (residual_at(level, x, i, stride) + residual_at(level, x, i + 1, stride)) +
         (residual_at(level, x, i + stride, stride) + residual_at(level, x, i + stride + 1, stride));
}

// Two links side by side, each of twice the length.
PF3D_HD float coarse_link(float first, float second) { return 0.5f * (first + second); }

// Pins (links to fixed pixels) of a block. A wall beside pixels of side s at distance s / c has conductance c a pixel;
// from the middle of a block it is s / 2 further away, so c' = 2 / (1 / c + 1 / 2) = 4 (2 c) / (4 + 2 c), and 2 c is the
// sum over the two pixels of the block that touch the wall.
PF3D_HD float coarse_pin(float sum) { return 4.0f * sum / (4.0f + sum); }

// Row i of the coarse system out of the fine one; pins and mass are the two kinds of pull.
PF3D_HD void coarsen_at(const PoissonLevel& fine, const float* fine_pins, const float* fine_mass,
                        const PoissonLevel& coarse, float* pins, float* mass, int64_t y, int64_t x) {
  const int64_t stride = fine.grid.stride(), f = fine.grid.at(2 * y, 2 * x), i = coarse.grid.at(y, x);
  coarse.right[i] = coarse_link(fine.right[f + 1], fine.right[f + stride + 1]);
  coarse.down[i] = coarse_link(fine.down[f + stride], fine.down[f + stride + 1]);
  pins[i] = coarse_pin(block_sum(fine_pins, f, stride));
  mass[i] = block_sum(fine_mass, f, stride);
}

// Row i's diagonal, once all links are there.
PF3D_HD void finish_row(const PoissonLevel& level, const float* pins, const float* mass, int64_t i) {
  const float diagonal = sum_of_links(level.right, level.down, i, level.grid.stride()) + (pins[i] + mass[i]);
  level.diagonal[i] = diagonal;
  level.inverse[i] = diagonal > 0.0f ? 1.0f / diagonal : 0.0f;
}

}  // namespace pyface3d
