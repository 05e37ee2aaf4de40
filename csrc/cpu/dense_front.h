// csrc/cpu/dense_front.h -- dense elimination of a front's leading columns, the inner loops of the sparse Cholesky.
//
// A front is two column-major arrays of the lower triangle: the panel (its first `pivots` columns, all its rows) and
// the update (the columns after them, from row `pivots` on). Columns start at multiples of kLanes; rows beyond a
// triangle or a front hold numbers nobody reads. Right-hand sides are extra rows at the end, so that eliminating the
// front solves forward too.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace pyface3d::cpu {

#if defined(__AVX512F__)
constexpr int kLanes = 8, kWide = 3;  // numbers in a register, registers of rows in a tile
#elif defined(__AVX__)
constexpr int kLanes = 4, kWide = 2;
#else
constexpr int kLanes = 2, kWide = 2;
#endif
constexpr int kTile = 4;  // columns of a tile

#if defined(__GNUC__)
typedef double Lanes __attribute__((vector_size(8 * kLanes)));
#else
struct Lanes {
  double v[kLanes];
  Lanes& operator+=(const Lanes& o) { for (int i = 0; i < kLanes; ++i) v[i] += o.v[i]; return *this; }
  Lanes& operator-=(const Lanes& o) { for (int i = 0; i < kLanes; ++i) v[i] -= o.v[i]; return *this; }
  Lanes& operator*=(double s) { for (int i = 0; i < kLanes; ++i) v[i] *= s; return *this; }
  double operator[](int i) const { return v[i]; }
};
inline Lanes operator*(Lanes a, double s) { return a *= s; }
inline Lanes operator*(Lanes a, const Lanes& b) { for (int i = 0; i < kLanes; ++i) a.v[i] *= b.v[i]; return a; }
#endif

inline Lanes load_lanes(const double* p) {
  Lanes a;
  std::memcpy(&a, p, sizeof a);
  return a;
}
inline void store_lanes(double* p, Lanes a) { std::memcpy(p, &a, sizeof a); }

inline int64_t padded(int64_t rows) { return (rows + kLanes - 1) / kLanes * kLanes; }

// tile -= rows (W registers) times columns (N), summed over `depth` columns of the panel, oldest first.
template <int W, int N>
inline void subtract_products(const double* rows, const double* columns, int64_t stride, int64_t depth,
                              Lanes (&tile)[N][W]) {
  for (int64_t k = 0; k < depth; ++k, rows += stride, columns += stride) {
    Lanes a[W];
    for (int w = 0; w < W; ++w) a[w] = load_lanes(rows + w * kLanes);
    for (int n = 0; n < N; ++n) {
      const double b = columns[n];
      for (int w = 0; w < W; ++w) tile[n][w] -= a[w] * b;
    }
  }
}

template <int W, int N> inline void load_tile(const double* at, int64_t stride, Lanes (&tile)[N][W]) {
  for (int n = 0; n < N; ++n)
    for (int w = 0; w < W; ++w) tile[n][w] = load_lanes(at + n * stride + w * kLanes);
}
template <int W, int N> inline void store_tile(double* at, int64_t stride, const Lanes (&tile)[N][W]) {
  for (int n = 0; n < N; ++n)
    for (int w = 0; w < W; ++w) store_lanes(at + n * stride + w * kLanes, tile[n][w]);
}

// Divides the tile's columns by the factor of their own square: l below the diagonal, inverses on it.
template <int W, int N> inline void divide_tile(const double (&l)[N][N], Lanes (&tile)[N][W]) {
  for (int n = 0; n < N; ++n)
    for (int w = 0; w < W; ++w) {
      for (int p = 0; p < n; ++p) tile[n][w] -= tile[p][w] * l[n][p];
      tile[n][w] *= l[n][n];
    }
}

// Columns [first, first + N) of the panel, whose columns before are done.
template <int N> inline void eliminate_columns(double* panel, int64_t stride, int64_t first) {
  constexpr int kHead = kLanes >= kTile ? 1 : kTile / kLanes;  // registers that hold the square on the diagonal
  const int64_t start = first / (kHead * kLanes) * (kHead * kLanes);
  double* block = panel + first * stride;
  double l[N][N] = {};
  {
    Lanes tile[N][kHead];
    load_tile<kHead, N>(block + start, stride, tile);
    subtract_products<kHead, N>(panel + start, panel + first, stride, first, tile);
    store_tile<kHead, N>(block + start, stride, tile);
    for (int n = 0; n < N; ++n)
      for (int i = n; i < N; ++i) {
        double sum = block[n * stride + first + i];
        for (int p = 0; p < n; ++p) sum -= l[i][p] * l[n][p];
        l[i][n] = i == n ? 1.0 / std::sqrt(sum) : sum * l[n][n];
      }
    divide_tile<kHead, N>(l, tile);
    store_tile<kHead, N>(block + start, stride, tile);
    for (int n = 0; n < N; ++n)
      for (int i = n; i < N; ++i) block[n * stride + first + i] = l[i][n];
  }
  int64_t row = start + kHead * kLanes;
  const auto tiles = [&](auto width) {
    constexpr int W = decltype(width)::value;
    for (; row + W * kLanes <= stride; row += W * kLanes) {
      Lanes tile[N][W];
      load_tile<W, N>(block + row, stride, tile);
      subtract_products<W, N>(panel + row, panel + first, stride, first, tile);
      divide_tile<W, N>(l, tile);
      store_tile<W, N>(block + row, stride, tile);
    }
  };
  tiles(std::integral_constant<int, kWide>{});
  tiles(std::integral_constant<int, 1>{});
}

// Columns [first, first + N) of the update; `panel` points at the row of the panel that is row 0 of the update.
template <int N>
inline void update_columns(const double* panel, int64_t stride, int64_t pivots, double* update, int64_t update_stride,
                           int64_t first) {
  int64_t row = first / kLanes * kLanes;
  double* block = update + first * update_stride;
  const auto tiles = [&](auto width) {
    constexpr int W = decltype(width)::value;
    for (; row + W * kLanes <= update_stride; row += W * kLanes) {
      Lanes tile[N][W];
      load_tile<W, N>(block + row, update_stride, tile);
      subtract_products<W, N>(panel + row, panel + first, stride, pivots, tile);
      store_tile<W, N>(block + row, update_stride, tile);
    }
  };
  tiles(std::integral_constant<int, kWide>{});
  tiles(std::integral_constant<int, 1>{});
}

template <class Body> inline void by_tiles(int64_t columns, const Body& body) {
  int64_t first = 0;
  for (; first + kTile <= columns; first += kTile) body(std::integral_constant<int, kTile>{}, first);
  if (columns - first == 3) body(std::integral_constant<int, 3>{}, first);
  if (columns - first == 2) body(std::integral_constant<int, 2>{}, first);
  if (columns - first == 1) body(std::integral_constant<int, 1>{}, first);
}

// Leaves L in the panel, with the inverses of its diagonal on the diagonal, and the Schur complement in the update.
inline void eliminate_front(double* panel, int64_t stride, int64_t pivots, double* update, int64_t update_stride,
                            int64_t update_columns_count) {
  by_tiles(pivots, [&](auto n, int64_t first) { eliminate_columns<decltype(n)::value>(panel, stride, first); });
  by_tiles(update_columns_count, [&](auto n, int64_t first) {
    update_columns<decltype(n)::value>(panel + pivots, stride, pivots, update, update_stride, first);
  });
}

// Backward: the pivots' unknowns in `x`, three arrays of `stride` numbers, from those of the rows below, which are
// given; the rows of the right-hand sides start at `rhs_row`. On entry x is 0 at the pivots and beyond rhs_row.
inline void substitute_back(const double* panel, int64_t stride, int64_t pivots, int64_t rhs_row, double* x) {
  for (int64_t j = pivots - 1; j >= 0; --j) {
    const double* column = panel + j * stride;
    Lanes sums[3] = {};
    for (int64_t i = j / kLanes * kLanes; i < stride; i += kLanes) {
      const Lanes a = load_lanes(column + i);
      for (int q = 0; q < 3; ++q) sums[q] += a * load_lanes(x + q * stride + i);
    }
    for (int q = 0; q < 3; ++q) {
      double sum = 0;
      for (int i = 0; i < kLanes; ++i) sum += sums[q][i];
      x[q * stride + j] = (column[rhs_row + q] - sum) * column[j];
    }
  }
}

}  // namespace pyface3d::cpu
