// csrc/cpu/blend_shapes.cpp -- weighted sums of long rows. The basis is read once: all results of a block of columns are
// made while that is in cache. Every number is one chain of fused additions over the rows in order, in whatever block,
// and every dot product is cut at the same columns: the same bits for any thread count.
#include <algorithm>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/lanes.h"
#include "cpu/parallel.h"
#include "cpu/product.h"
#include "cpu/quad.h"
#include "cpu/scratch.h"

namespace pyface3d::cpu {
namespace {

constexpr int64_t kWork = 1 << 21;  // multiplications that are worth a thread
#ifdef __AVX512F__
constexpr int kHeight = 8, kVectors = 3;  // results in registers
#else
constexpr int kHeight = 4, kVectors = 2;
#endif
constexpr int kLongVectors = 8;  // with a single result

// out (results, columns) = start + factors (results, terms) rows (terms, columns); start is null for 0.
template <class T> struct WeightedRows {
  const T* factors;                            // element (i, k) is at i * factor_row + k * factor_column
  int64_t factor_row, factor_column;
  const T* rows;
  const T* start;                              // result i starts from the row at i * start_row
  int64_t start_row;
  T* out;
  int64_t results, terms, columns;
};

// factors: (terms, height).
template <class T, int height, int vectors>
void sum_tile(const WeightedRows<T>& w, const T* factors, int64_t first, int64_t column, bool look_ahead) {
  using V = Lanes<T, kLanes<T>>;
  V sums[height][vectors] = {};
  if (w.start) {
    for (int i = 0; i < height; ++i)
      for (int j = 0; j < vectors; ++j)
        sums[i][j] = load_lanes<V>(w.start + (first + i) * w.start_row + column + j * kLanes<T>);
  }
  const T* row = w.rows + column;
  for (int64_t k = 0; k < w.terms; ++k, row += w.columns, factors += height) {
    if (look_ahead)  // the block after the next
      for (int j = 0; j < vectors; ++j) prefetch(row + (2 * vectors + j) * kLanes<T>);
    V values[vectors];
    for (int j = 0; j < vectors; ++j) values[j] = load_lanes<V>(row + j * kLanes<T>);
    for (int i = 0; i < height; ++i) {
      const V factor = splat<V>(factors[i]);
      for (int j = 0; j < vectors; ++j) sums[i][j] = mul_add(factor, values[j], sums[i][j]);
    }
  }
  for (int i = 0; i < height; ++i)
    for (int j = 0; j < vectors; ++j)
      store_lanes(w.out + (first + i) * w.columns + column + j * kLanes<T>, sums[i][j]);
}

// Tiles of kHeight results, then one each of 4, 2 and 1 where there are any left: tile(height, first result).
template <class Tile> void for_tiles(int64_t results, const Tile& tile) {
  int64_t i = 0;
  for (; i + kHeight <= results; i += kHeight) tile(std::integral_constant<int, kHeight>(), i);
  if (i + 4 <= results) tile(std::integral_constant<int, 4>(), i), i += 4;
  if (i + 2 <= results) tile(std::integral_constant<int, 2>(), i), i += 2;
  if (i < results) tile(std::integral_constant<int, 1>(), i);
}

// The factors of each tile side by side: (terms, height).
template <class T> std::vector<T> packed_factors(const WeightedRows<T>& w) {
  std::vector<T> packed(w.results * w.terms);
  for_tiles(w.results, [&](auto height, int64_t first) {
    for (int64_t k = 0; k < w.terms; ++k)
      for (int i = 0; i < height; ++i)
        packed[first * w.terms + k * height + i] = w.factors[(first + i) * w.factor_row + k * w.factor_column];
  });
  return packed;
}

template <class T, int vectors>
void sum_blocks(const WeightedRows<T>& w, const std::vector<T>& factors, int64_t begin, int64_t end, int threads) {
  constexpr int64_t block = vectors * kLanes<T>;
  const int64_t grain = 1 + kWork / (1 + w.results * w.terms * block);
  parallel_for(threads, (end - begin) / block, grain, [&](int64_t from, int64_t to) {
    for (int64_t b = from; b < to; ++b) {
      for_tiles(w.results, [&](auto height, int64_t first) {
        sum_tile<T, decltype(height)::value, vectors>(w, factors.data() + first * w.terms, first, begin + b * block,
                                                      first == 0);
      });
    }
  });
}

template <class T> void sum_column(const WeightedRows<T>& w, int64_t column) {
  for (int64_t i = 0; i < w.results; ++i) {
    T sum = w.start ? w.start[i * w.start_row + column] : T(0);
    for (int64_t k = 0; k < w.terms; ++k)
      sum = mul_add(w.factors[i * w.factor_row + k * w.factor_column], w.rows[k * w.columns + column], sum);
    w.out[i * w.columns + column] = sum;
  }
}

template <class T> void sum_rows(const WeightedRows<T>& w, int threads) {
  const auto factors = packed_factors(w);
  const auto whole = [&](int64_t size) { return w.columns / size * size; };
  const int64_t blocks = w.results == 1 ? whole(kLongVectors * kLanes<T>) : whole(kVectors * kLanes<T>);
  const int64_t vectors = whole(kLanes<T>);
  if (w.results == 1) sum_blocks<T, kLongVectors>(w, factors, 0, blocks, threads);
  else sum_blocks<T, kVectors>(w, factors, 0, blocks, threads);
  sum_blocks<T, 1>(w, factors, blocks, vectors, 1);
  for (int64_t column = vectors; column < w.columns; ++column) sum_column(w, column);
}

// Dot products, a run of columns at a time. A few rows are multiplied lane by lane; many are turned first, so that their
// numbers at one column lie side by side and no sum goes across lanes.
constexpr int64_t kFew = 4, kLongRun = 4096, kShortRun = 512;

template <class T, int count> T sum_of(const T* values) {
  if constexpr (count == 2) {
    return values[0] + values[1];
  } else {
    using Half = Lanes<T, count / 2>;
    T sums[count / 2];
    store_lanes(sums, load_lanes<Half>(values) + load_lanes<Half>(values + count / 2));
    return sum_of<T, count / 2>(sums);
  }
}

// dots (height, width), rows `dots_row` apart: of rows a (height, count) and b (width, count), both `row` apart.
template <class T, int height, int width>
void dot_tile(const T* a, const T* b, int64_t row, int64_t count, T* dots, int64_t dots_row) {
  using V = Lanes<T, kLanes<T>>;
  V sums[height][width] = {};
  int64_t c = 0;
  for (; c + kLanes<T> <= count; c += kLanes<T>) {
    V values[width];
    for (int j = 0; j < width; ++j) values[j] = load_lanes<V>(b + j * row + c);
    for (int i = 0; i < height; ++i) {
      const V factor = load_lanes<V>(a + i * row + c);
      for (int j = 0; j < width; ++j) sums[i][j] = mul_add(factor, values[j], sums[i][j]);
    }
  }
  for (int i = 0; i < height; ++i) {
    for (int j = 0; j < width; ++j) {
      T lanes[kLanes<T>];
      store_lanes(lanes, sums[i][j]);
      T dot = sum_of<T, kLanes<T>>(lanes);
      for (int64_t k = c; k < count; ++k) dot += a[i * row + k] * b[j * row + k];
      dots[i * dots_row + j] = dot;
    }
  }
}

// parts (m, n): of a run of `count` columns.
template <class T>
void dot_few(const T* a, const T* b, int64_t row, int64_t count, T* parts, int64_t m, int64_t n) {
  for_tiles(m, [&](auto tile, int64_t i) {
    constexpr int height = decltype(tile)::value, width = kLongVectors / (height < 4 ? height : 4);
    int64_t j = 0;
    for (; j + width <= n; j += width)
      dot_tile<T, height, width>(a + i * row, b + j * row, row, count, parts + i * n + j, n);
    for (; j < n; ++j) dot_tile<T, height, 1>(a + i * row, b + j * row, row, count, parts + i * n + j, n);
  });
}

// parts (n, width), width the next whole number of vectors from m; turned (count, width) is working memory.
template <class T>
void dot_many(const T* a, const T* b, int64_t row, int64_t count, T* parts, T* turned, int64_t m, int64_t n,
              int64_t width) {
  for (int64_t c = 0; c < count; ++c)
    for (int64_t i = 0; i < width; ++i) turned[c * width + i] = i < m ? a[i * row + c] : T(0);
  std::fill(parts, parts + n * width, T(0));
  add_product({b, row, 1}, turned, width, parts, width, n, width, count);
}

// dots (m, n) of rows a (m, columns) and b (n, columns).
template <class T>
void dot_rows(const T* a, const T* b, T* dots, int64_t m, int64_t n, int64_t columns, int threads) {
  const bool few = m <= kFew;
  const int64_t length = few ? kLongRun : kShortRun, runs = (columns + length - 1) / length;
  const int64_t width = (m + kLanes<T> - 1) / kLanes<T> * kLanes<T>, size = few ? m * n : n * width;
  std::vector<T> parts(runs * size);
  parallel_for(threads, runs, 1 + kWork / (1 + m * n * length), [&](int64_t begin, int64_t end) {
    T* turned = scratch<T>(few ? 0 : width * length);
    for (int64_t run = begin; run < end; ++run) {
      const int64_t first = run * length, count = std::min(length, columns - first);
      if (few) dot_few(a + first, b + first, columns, count, &parts[run * size], m, n);
      else dot_many(a + first, b + first, columns, count, &parts[run * size], turned, m, n, width);
    }
  });
  std::vector<double> sums(size);
  for (int64_t run = 0; run < runs; ++run)
    for (int64_t i = 0; i < size; ++i) sums[i] += parts[run * size + i];
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) dots[i * n + j] = T(few ? sums[i * n + j] : sums[j * width + i]);
}

}  // namespace

template <class T>
void blend_shapes(const T* coefficients, const T* basis, const T* mean, T* verts, int64_t batch, int64_t means,
                  int64_t shapes, int64_t numbers, int threads) {
  const int64_t mean_row = means == 1 ? 0 : numbers;
  sum_rows<T>({coefficients, shapes, 1, basis, mean, mean_row, verts, batch, shapes, numbers}, threads);
}

template <class T>
void blend_shapes_backward(const T* coefficients, const T* basis, const T* grad_verts, T* grad_coefficients,
                           T* grad_basis, T* grad_mean, int64_t batch, int64_t means, int64_t shapes, int64_t numbers,
                           int threads) {
  if (grad_coefficients) dot_rows(grad_verts, basis, grad_coefficients, batch, shapes, numbers, threads);
  if (grad_basis)
    sum_rows<T>({coefficients, 1, shapes, grad_verts, nullptr, 0, grad_basis, shapes, batch, numbers}, threads);
  if (!grad_mean) return;
  const int64_t summed = means == 1 ? batch : 1;
  parallel_for(threads, means * numbers, kWork / 16, [&](int64_t begin, int64_t end) {
    std::fill(grad_mean + begin, grad_mean + end, T(0));
    for (int64_t b = 0; b < summed; ++b)
      for (int64_t i = begin; i < end; ++i) grad_mean[i] += grad_verts[b * numbers + i];
  });
}

#define PF3D_INSTANCES(T)                                                                                            \
  template void blend_shapes(const T*, const T*, const T*, T*, int64_t, int64_t, int64_t, int64_t, int);             \
  template void blend_shapes_backward(const T*, const T*, const T*, T*, T*, T*, int64_t, int64_t, int64_t, int64_t, int)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cpu
