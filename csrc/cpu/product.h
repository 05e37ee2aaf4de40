// csrc/cpu/product.h -- C += A B for small matrices in cache. Every element is summed over k in rising order from 0 and
// then added to C, whatever tile it falls into: the same bits however the rows are shared out among threads.
#pragma once
#include <cstdint>
#include <type_traits>

#include "cpu/lanes.h"

namespace pyface3d::cpu {

// Element (i, j) is data[i * row + j * column].
template <class T> struct Matrix {
  const T* data;
  int64_t row, column;
};

constexpr int kTileRows = 6;

template <class T, int rows, int vectors>
void add_product_tile(Matrix<T> a, const T* b, int64_t b_row, T* c, int64_t c_row, int64_t inner) {
  using V = Lanes<T, kLanes<T>>;
  V sums[rows][vectors] = {};
  for (int64_t k = 0; k < inner; ++k) {
    V terms[vectors];
    for (int j = 0; j < vectors; ++j) terms[j] = load_lanes<V>(b + k * b_row + j * kLanes<T>);
    for (int i = 0; i < rows; ++i) {
      const V factor = splat<V>(a.data[i * a.row + k * a.column]);
      for (int j = 0; j < vectors; ++j) sums[i][j] = mul_add(factor, terms[j], sums[i][j]);
    }
  }
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < vectors; ++j) {
      T* at = c + i * c_row + j * kLanes<T>;
      store_lanes(at, load_lanes<V>(at) + sums[i][j]);
    }
  }
}

template <class T, int vectors>
void add_product_columns(Matrix<T> a, const T* b, int64_t b_row, T* c, int64_t c_row, int64_t rows, int64_t inner) {
  const auto tile = [&](auto count, int64_t i) {
    add_product_tile<T, decltype(count)::value, vectors>({a.data + i * a.row, a.row, a.column}, b, b_row,
                                                         c + i * c_row, c_row, inner);
    return i + decltype(count)::value;
  };
  int64_t i = 0;
  while (i + kTileRows <= rows) i = tile(std::integral_constant<int, kTileRows>(), i);
  if (i + 4 <= rows) i = tile(std::integral_constant<int, 4>(), i);
  if (i + 2 <= rows) i = tile(std::integral_constant<int, 2>(), i);
  if (i < rows) tile(std::integral_constant<int, 1>(), i);
}

// a: (rows, inner); b: (inner, columns) and c: (rows, columns) with dense rows; `columns` is a whole number of vectors.
template <class T>
void add_product(Matrix<T> a, const T* b, int64_t b_row, T* c, int64_t c_row, int64_t rows, int64_t columns,
                 int64_t inner) {
  int64_t j = 0;
  for (; j + kTileVectors * kLanes<T> <= columns; j += kTileVectors * kLanes<T>)
    add_product_columns<T, kTileVectors>(a, b + j, b_row, c + j, c_row, rows, inner);
  for (; j < columns; j += kLanes<T>) add_product_columns<T, 1>(a, b + j, b_row, c + j, c_row, rows, inner);
}

}  // namespace pyface3d::cpu
