// csrc/cpu/mip_pyramid.cpp -- level by level, rows side by side. A row is made in two steps, down the columns and then
// along it, in the order of core/mip.h.
#include <algorithm>

#include "core/mip.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/quad.h"
#include "cpu/scratch.h"

namespace pyface3d::cpu {
namespace {

constexpr int64_t kGrain = 1 << 14;  // numbers

// sum of taps.weight[r] times row first + r of `from`, rows of `length` numbers.
template <class T> void mix_rows(const T* from, const BoxTaps<T>& taps, int64_t length, T* mixed) {
  const T* row = from + taps.first * length;
  if (taps.count == 1) {
    for (int64_t k = 0; k < length; ++k) mixed[k] = row[k] * taps.weight[0];
  } else if (taps.count == 2) {
    for (int64_t k = 0; k < length; ++k) mixed[k] = row[k] * taps.weight[0] + row[length + k] * taps.weight[1];
  } else {
    for (int64_t k = 0; k < length; ++k)
      mixed[k] = row[k] * taps.weight[0] + row[length + k] * taps.weight[1] + row[2 * length + k] * taps.weight[2];
  }
}

template <class T> void mix_texels(const T* row, const BoxTaps<T>& taps, int64_t channels, T* out) {
  const T* texel = row + taps.first * channels;
  for (int64_t c = 0; c < channels; ++c) {
    T sum = texel[c] * taps.weight[0];
    for (int32_t k = 1; k < taps.count; ++k) sum += texel[k * channels + c] * taps.weight[k];
    out[c] = sum;
  }
}

// Pairs of texels to their mean; three numbers a texel.
template <class T> void halve_triples(const T* row, int64_t count, T* out) {
  int64_t x = 0;
#ifdef PF3D_QUADS
  if constexpr (kHasQuads<T>)
    for (; x + 1 < count; ++x)  // a store spills into the next texel, which comes later
      store_quad(out + 3 * x, load_quad(row + 6 * x) * 0.5f + load_quad(row + 6 * x + 3) * 0.5f);
#endif
  for (; x < count; ++x)
    for (int c = 0; c < 3; ++c) out[3 * x + c] = row[6 * x + c] * T(0.5) + row[6 * x + 3 + c] * T(0.5);
}

// Its transpose: half of each texel to two.
template <class T> void double_triples(const T* row, int64_t count, T* out) {
  int64_t x = 0;
#ifdef PF3D_QUADS
  if constexpr (kHasQuads<T>) {
    for (; x + 1 < count; ++x) {  // a store spills into the next texel, which comes later
      const Quad half = load_quad(row + 3 * x) * 0.5f;
      store_quad(out + 6 * x, half);
      store_quad(out + 6 * x + 3, half);
    }
  }
#endif
  for (; x < count; ++x)
    for (int c = 0; c < 3; ++c) out[6 * x + c] = out[6 * x + 3 + c] = row[3 * x + c] * T(0.5);
}

// body(image, row) for `height` rows of every image, each of `work` numbers.
template <class Body> void for_rows(int threads, int64_t batch, int64_t height, int64_t work, const Body& body) {
  parallel_for(threads, batch * height, kGrain / std::max<int64_t>(work, 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) body(k / height, static_cast<int32_t>(k % height));
  });
}

}  // namespace

template <class T>
void mip_pyramid(const T* texture, T* above, int64_t batch, int64_t height, int64_t width, int64_t channels,
                 int threads) {
  const Pyramid<T> pyramid({texture, batch, int32_t(height), int32_t(width), channels, kBilinear, kClamp}, above);
  const MipLevels& levels = pyramid.levels;
  for (int32_t level = 1; level < levels.count; ++level) {
    const int32_t rows = levels.height[level - 1], columns = levels.width[level - 1], out_columns = levels.width[level];
    const int64_t length = columns * channels;
    for_rows(threads, batch, levels.height[level], 2 * length, [&](int64_t image, int32_t y) {
      T* mixed = scratch<T>(length);
      mix_rows(pyramid.texels(image, level - 1), box_taps<T>(y, rows), length, mixed);
      T* out = above + pyramid.first(image, level) + y * out_columns * channels;
      if (channels == 3 && columns % 2 == 0) return halve_triples(mixed, out_columns, out);
      for (int32_t x = 0; x < out_columns; ++x)
        mix_texels(mixed, box_taps<T>(x, columns), channels, out + x * channels);
    });
  }
}

// From the coarsest level down: what a level has gathered goes on to the one below. `grad_above` is used up.
template <class T>
void mip_pyramid_backward(T* grad_above, T* grad_texture, int64_t batch, int64_t height, int64_t width,
                          int64_t channels, bool add, int threads) {
  const Pyramid<T> pyramid({grad_texture, batch, int32_t(height), int32_t(width), channels, kBilinear, kClamp},
                           grad_above);
  const MipLevels& levels = pyramid.levels;
  if (levels.count == 1 && !add) std::fill(grad_texture, grad_texture + batch * pyramid.texture.size(), T(0));
  for (int32_t level = levels.count - 1; level > 0; --level) {
    const int32_t rows = levels.height[level - 1], columns = levels.width[level - 1];
    const int64_t above_length = levels.width[level] * channels, length = columns * channels;
    for_rows(threads, batch, rows, length, [&](int64_t image, int32_t y) {
      T* mixed = scratch<T>(above_length + length);
      T* wide = mixed + above_length;
      mix_rows(pyramid.texels(image, level), box_taps_vjp<T>(y, rows), above_length, mixed);
      if (channels == 3 && columns % 2 == 0) {
        double_triples(mixed, levels.width[level], wide);
      } else {
        for (int32_t x = 0; x < columns; ++x)
          mix_texels(mixed, box_taps_vjp<T>(x, columns), channels, wide + x * channels);
      }
      T* out = (level == 1 ? grad_texture : grad_above) + pyramid.first(image, level - 1) + y * length;
      if (level > 1 || add) {
        for (int64_t k = 0; k < length; ++k) out[k] += wide[k];
      } else {
        std::copy(wide, wide + length, out);
      }
    });
  }
}

#define PF3D_INSTANCES(T)                                                                        \
  template void mip_pyramid(const T*, T*, int64_t, int64_t, int64_t, int64_t, int);                    \
  template void mip_pyramid_backward(T*, T*, int64_t, int64_t, int64_t, int64_t, bool, int)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cpu
