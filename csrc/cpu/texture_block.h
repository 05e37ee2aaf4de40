// csrc/cpu/texture_block.h -- blocks of pixels that look up a texture: where they read, found for all of them at once.
#pragma once
#include <algorithm>

#include "core/texture.h"
#include "cpu/parallel.h"
#include "cpu/quad.h"

namespace pyface3d::cpu {

constexpr int kBlock = 64;
constexpr int64_t kGrain = 128;  // blocks

// `count` pixels of one image.
struct Span {
  int64_t image, pixel;
  int count;
};

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

// Whether the pixels of a block read the same place; quick, because most blocks of a picture are background.
template <class T> bool is_one_place(const GivenUvs<T>& source, int64_t pixel, int count) {
  const T* uvs = source.uvs + 2 * pixel;
  int32_t different = 0;
  for (int i = 2; i < 2 * count; ++i) different |= uvs[i] != uvs[i - 2];
  return !different;
}
template <class T> bool is_one_place(const FragmentUvs<T>& source, int64_t pixel, int count) {
  int32_t faces = 0;
  for (int i = 0; i < count; ++i) faces |= is_face(source.face_index[pixel + i], source.num_faces);
  return !faces;
}

template <class T, class Uvs>
void locate(const Texture<T>& texture, const Uvs& source, int64_t pixel, int count, Block<T>& block) {
  T u[kBlock], v[kBlock];
  block.one_place = is_one_place(source, pixel, count);
  block.count = block.one_place ? 1 : count;
  for (int i = 0; i < block.count; ++i) {
    const Vec2<T> uv = source.at(pixel + i);
    u[i] = uv.x;
    v[i] = uv.y;
  }
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
// kChannels 0: known at run time.
template <int kChannels, class T>
void prefetch_patches(const T* texels, int64_t run_time_channels, const Block<T>& block) {
  const int64_t channels = kChannels ? kChannels : run_time_channels;
  for (int i = 0; i < block.count; ++i) {
    const T* texel = texels + block.texel[i] * channels;
    prefetch(texel);
    prefetch(texel + block.below[i] * channels);
  }
}
template <class T> void prefetch_patches(const T* texels, const Texture<T>& texture, const Block<T>& block) {
  if (block.one_place) return;
  texture.channels == 3 ? prefetch_patches<3>(texels, 3, block)
                        : prefetch_patches<0>(texels, texture.channels, block);
}

// body(k, span, block) for blocks k of [begin, end) in order. While one is worked on, the texels of the next are on
// their way: ask(k, span, block) prefetches them.
template <class T, class Uvs, class SpanOf, class Ask, class Body>
void walk_blocks(const Texture<T>& texture, const Uvs& source, int64_t begin, int64_t end, const SpanOf& span_of,
                 const Ask& ask, const Body& body) {
  if (begin >= end) return;
  Block<T> blocks[2];
  Span next = span_of(begin);
  locate(texture, source, next.pixel, next.count, blocks[0]);
  ask(begin, next, blocks[0]);
  for (int64_t k = begin; k < end; ++k) {
    const Span span = next;
    const int64_t here = (k - begin) % 2;
    if (k + 1 < end) {
      next = span_of(k + 1);
      locate(texture, source, next.pixel, next.count, blocks[1 - here]);
      ask(k + 1, next, blocks[1 - here]);
    }
    body(k, span, blocks[here]);
  }
}

// The same colour `count` times.
template <class T> void repeat(const T* colour, int64_t channels, int count, T* out) {
  if (channels == 3 && count % 16 == 0) {  // in runs of a size known here
    T run[48];
    for (int k = 0; k < 48; ++k) run[k] = colour[k % 3];
    for (int i = 0; i < count; i += 16) std::copy(run, run + 48, out + 3 * i);
    return;
  }
  for (int i = 0; i < count; ++i) std::copy(colour, colour + channels, out + i * channels);
}

// sum over pixels, channel by channel.
template <class T> void sum_pixels(const T* g, int count, int64_t channels, T* sum) {
  if (channels == 3 && count == kBlock) {
    T lanes[48];
    for (int k = 0; k < 48; ++k) lanes[k] = (g[k] + g[48 + k]) + (g[96 + k] + g[144 + k]);
    for (int c = 0; c < 3; ++c) {
      sum[c] = T(0);
      for (int k = c; k < 48; k += 3) sum[c] += lanes[k];
    }
    return;
  }
  std::fill(sum, sum + channels, T(0));
  for (int i = 0; i < count; ++i)
    for (int64_t c = 0; c < channels; ++c) sum[c] += g[i * channels + c];
}

inline int64_t blocks_of(int64_t count) { return (count + kBlock - 1) / kBlock; }

// Block k of images of `count` pixels each.
inline Span block_span(int64_t k, int64_t count) {
  const int64_t blocks = blocks_of(count), image = k / blocks, first = k % blocks * kBlock;
  return {image, image * count + first, static_cast<int>(std::min<int64_t>(kBlock, count - first))};
}

// body(image, first pixel, number of pixels) for blocks that cover images of `count` pixels.
template <class Body> void for_blocks(int threads, int64_t batch, int64_t count, const Body& body) {
  parallel_for(threads, batch * blocks_of(count), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const Span span = block_span(k, count);
      body(span.image, span.pixel, span.count);
    }
  });
}

}  // namespace pyface3d::cpu
