// csrc/cpu/texture_block.h -- blocks of pixels that look up a texture: where they read, found for all of them at once.
#pragma once
#include <algorithm>

#include "core/texture.h"
#include "cpu/parallel.h"
#include "cpu/quad.h"

namespace pyface3d::cpu {

constexpr int kBlock = 64;
constexpr int64_t kGrain = 128;  // blocks

// Where the pixels of a block read.
template <class T> struct Block {
  int count;
  bool one_place;   // all of them
  bool last_texel;  // one of them reads the very last texel
  int32_t texel[kBlock], right[kBlock], below[kBlock], row[kBlock];  // texel -1 reads nothing
  T s[kBlock], t[kBlock], slope_u[kBlock], slope_v[kBlock];

  Patch patch(int i, int64_t channels) const { return {texel[i], right[i], below[i], channels}; }
};

// filter and wrap are constants here, so that the loops have no branches.
template <int filter, int wrap, class T>
void find_taps(const Texture<T>& texture, const T* u, const T* v, Block<T>& block) {
  const int32_t height = texture.height, width = texture.width, last = height * width - 1;
  const int count = block.count;
  int32_t reaches_last = 0;
  for (int i = 0; i < count; ++i) {
    const bool reads = is_finite(Vec2<T>{u[i], v[i]});
    const Lookup<T> f = lookup(Vec2<T>{reads ? u[i] : T(0), reads ? v[i] : T(0)}, height, width, filter, wrap);
    const int32_t texel = f.y.index * width + f.x.index, below = f.y.step * width;
    block.row[i] = f.y.index;
    block.texel[i] = reads ? texel : -1;
    block.right[i] = f.x.step;
    block.below[i] = below;
    block.s[i] = f.x.t;
    block.t[i] = f.y.t;
    block.slope_u[i] = f.x.slope;
    block.slope_v[i] = f.y.slope;
    reaches_last |= texel + std::max(f.x.step, 0) + std::max(below, 0) == last;
  }
  block.last_texel = reaches_last;
}

template <class T, class Uvs>
void locate(const Texture<T>& texture, const Uvs& source, int64_t pixel, int count, Block<T>& block) {
  T u[kBlock], v[kBlock];
  for (int i = 0; i < count; ++i) {
    const Vec2<T> uv = source.at(pixel + i);
    u[i] = uv.x;
    v[i] = uv.y;
  }
  int32_t different = 0;
  for (int i = 1; i < count; ++i) different |= u[i] != u[0] || v[i] != v[0];
  block.one_place = !different;
  block.count = block.one_place ? 1 : count;
  if (texture.filter == kNearest) {
    texture.wrap == kRepeat ? find_taps<kNearest, kRepeat>(texture, u, v, block)
                            : find_taps<kNearest, kClamp>(texture, u, v, block);
  } else {
    texture.wrap == kRepeat ? find_taps<kBilinear, kRepeat>(texture, u, v, block)
                            : find_taps<kBilinear, kClamp>(texture, u, v, block);
  }
  block.count = count;
}

// Asks for the texels of a block before they are used: textures are larger than caches, and their rows far apart.
template <class T> void prefetch_patches(const T* texels, const Texture<T>& texture, const Block<T>& block) {
  for (int i = 0; i < block.count; ++i) {
    const Patch at = block.patch(i, texture.channels);
    prefetch(texels + at.a);
    prefetch(texels + at.c);
  }
}

// body(image, first pixel, number of pixels) for blocks that cover images of `count` pixels.
template <class Body> void for_blocks(int threads, int64_t batch, int64_t count, const Body& body) {
  const int64_t blocks = (count + kBlock - 1) / kBlock;
  parallel_for(threads, batch * blocks, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t b = k / blocks, first = k % blocks * kBlock;
      body(b, b * count + first, static_cast<int>(std::min<int64_t>(kBlock, count - first)));
    }
  });
}

}  // namespace pyface3d::cpu
