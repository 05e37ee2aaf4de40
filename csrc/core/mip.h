// csrc/core/mip.h -- mip pyramids (Williams 1983): how a level is made from the one below, which levels a pixel reads.
//
// A level has half the texels of the one below along each axis, rounded down, at least 1. A texel is the mean of that
// level over its own area: with an even side two texels, with an odd side n = 2 m + 1 three of which the outer ones
// belong in part to the neighbours. So every level has the mean of the texture, for any size, and the same place has
// the same coordinate in all of them.
#pragma once
#include "core/texture.h"

namespace pyface3d {

// Sizes of the levels; level 0 is the texture. The others lie one after the other in an array of `texels` texels.
struct MipLevels {
  static constexpr int kMost = 32;  // a texture has fewer than 2^31 texels
  int32_t count;
  int32_t height[kMost], width[kMost];
  int64_t first[kMost];  // texel at which a level begins; of no meaning for level 0
  int64_t texels;

  MipLevels(int64_t texture_height, int64_t texture_width) : count(1), height{}, width{}, first{}, texels(0) {
    height[0] = static_cast<int32_t>(texture_height);
    width[0] = static_cast<int32_t>(texture_width);
    while (texture_height * texture_width > 1) {
      texture_height = texture_height > 1 ? texture_height / 2 : 1;
      texture_width = texture_width > 1 ? texture_width / 2 : 1;
      height[count] = static_cast<int32_t>(texture_height);
      width[count] = static_cast<int32_t>(texture_width);
      first[count++] = texels;
      texels += texture_height * texture_width;
    }
  }
};

// Along one axis: a texel is the sum of weight[k] times texel first + k of the level below.
template <class T> struct BoxTaps {
  int32_t first, count;
  T weight[3];
};

// Texel i of m = max(1, n / 2), from n. Odd n: i covers i n / m = 2 i + i / m to (i + 1) n / m = 2 i + 2 + (i + 1) / m.
template <class T> PF3D_HD BoxTaps<T> box_taps(int32_t i, int32_t n) {
  if (n == 1) return {0, 1, {T(1), T(0), T(0)}};
  if (n % 2 == 0) return {2 * i, 2, {T(0.5), T(0.5), T(0)}};
  const int32_t m = n / 2;
  return {2 * i, 3, {T(m - i) / T(n), T(m) / T(n), T(i + 1) / T(n)}};
}

// The transpose: texel k of n gives weight[j] of itself to texel first + j of the level above.
template <class T> PF3D_HD BoxTaps<T> box_taps_vjp(int32_t k, int32_t n) {
  if (n == 1) return {0, 1, {T(1), T(0), T(0)}};
  if (n % 2 == 0) return {k / 2, 1, {T(0.5), T(0), T(0)}};
  const int32_t m = n / 2, i = k / 2;
  if (k % 2 == 1) return {i, 1, {T(m) / T(n), T(0), T(0)}};
  if (i == 0) return {0, 1, {T(m) / T(n), T(0), T(0)}};
  if (i == m) return {i - 1, 1, {T(m) / T(n), T(0), T(0)}};
  return {i - 1, 2, {T(i) / T(n), T(m - i) / T(n), T(0)}};
}

// sum of rows.weight[r] columns.weight[k] from[first row + r, first column + k], channel c; rows first.
template <class T>
PF3D_HD T weighted_box(const T* from, int32_t width, int64_t channels, const BoxTaps<T>& rows,
                       const BoxTaps<T>& columns, int64_t c) {
  T sum = T(0);
  for (int32_t k = 0; k < columns.count; ++k) {
    T column = T(0);
    for (int32_t r = 0; r < rows.count; ++r) {
      const int64_t texel = static_cast<int64_t>(rows.first + r) * width + columns.first + k;
      column += from[texel * channels + c] * rows.weight[r];
    }
    sum += column * columns.weight[k];
  }
  return sum;
}

// Weight 1 - t on `level`, t on the next.
template <class T> struct LevelTap {
  int32_t level;
  T t;
};

// `footprint`: du/dx, du/dy, dv/dx, dv/dy, a pixel's step in texture coordinates. Level of detail: log2 of the longer
// of its two sides in texels (OpenGL 4.6, 8.14.1), within the pyramid. A side that is NaN counts as none.
template <class T> PF3D_HD LevelTap<T> level_tap(const T* footprint, const MipLevels& levels) {
  const T width = T(levels.width[0]), height = T(levels.height[0]);
  T longest = T(1);  // squared
  for (int k = 0; k < 2; ++k) {
    const T u = footprint[k] * width, v = footprint[2 + k] * height, side = u * u + v * v;
    if (side > longest) longest = side;
  }
  const int32_t top = levels.count - 1;
  const T detail = T(0.5) * log2(longest);
  if (!(detail < T(top))) return {top, T(0)};
  const int32_t level = static_cast<int32_t>(detail);
  return {level, detail - T(level)};
}

// A texture with its pyramid. `Texture::filter` is of no meaning here.
template <class T> struct Pyramid {
  Texture<T> texture;
  const T* above;  // levels 1 and up: (batch, levels.texels, channels)
  MipLevels levels;

  Pyramid(const Texture<T>& finest, const T* coarser)
      : texture(finest), above(coarser), levels(finest.height, finest.width) {}

  // Where a level of the image's texture begins in its array: the texture's own for level 0, that of the others above.
  PF3D_HD int64_t first(int64_t image, int32_t level) const {
    if (level == 0) return texture.first(image);
    return ((texture.batch == 1 ? 0 : image) * levels.texels + levels.first[level]) * texture.channels;
  }
  PF3D_HD const T* texels(int64_t image, int32_t level) const {
    return (level == 0 ? texture.texels : above) + first(image, level);
  }
  PF3D_HD Lookup<T> lookup(Vec2<T> uv, int32_t level) const {
    return pyface3d::lookup(uv, levels.height[level], levels.width[level], kBilinear, texture.wrap);
  }
};

// The levels that a pixel reads: none where its coordinate is not finite, one, or two.
template <class T> struct LevelReads {
  int count = 0;
  LevelTap<T> tap{};

  PF3D_HD LevelReads(const Pyramid<T>& pyramid, Vec2<T> uv, const T* footprint) {
    if (!is_finite(uv)) return;
    tap = level_tap(footprint, pyramid.levels);
    count = tap.t > T(0) ? 2 : 1;
  }
  PF3D_HD int32_t level(int k) const { return tap.level + k; }
  PF3D_HD T weight(int k) const { return k ? tap.t : T(1) - tap.t; }
};

template <class T>
Pyramid<T> pyramid_of(const T* texture, const T* above, int64_t textures, int64_t height, int64_t width,
                      int64_t channels, int wrap) {
  return {Texture<T>{texture, textures, int32_t(height), int32_t(width), channels, kBilinear, wrap}, above};
}

}  // namespace pyface3d
