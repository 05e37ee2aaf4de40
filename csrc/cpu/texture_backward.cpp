// csrc/cpu/texture_backward.cpp -- gradients of sample_texture and render_texture.
// The texture's gradient is gathered by bands of rows: every band looks at all pixels in order and keeps its own, so
// the bits do not depend on the number of bands.
#include <algorithm>

#include "core/texture.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/quad.h"
#include "cpu/scratch.h"
#include "cpu/texture_block.h"

namespace pyface3d::cpu {
namespace {

// dL/d(u, v) of pixel i, its gradient g on the colours; 0 where nothing is read.
template <class T>
Vec2<T> uv_gradient(const T* texels, const Texture<T>& texture, const Block<T>& block, int i, const T* g) {
  Vec2<T> grad;
  if (block.texel[i] < 0) return grad;
  const Patch at = block.patch(i, texture.channels);
  for (int64_t c = 0; c < texture.channels; ++c) {
    const T a = texels[at.a + c], b = texels[at.b + c], e = texels[at.c + c], d = texels[at.d + c];
    grad.x += bilinear_ds(a, b, e, d, block.t[i]) * g[c];
    grad.y += bilinear_dt(a, b, e, d, block.s[i]) * g[c];
  }
  return {grad.x * block.slope_u[i], grad.y * block.slope_v[i]};
}

#ifdef PF3D_QUADS
// The same with three channels at once; adds in the same order.
inline Vec2<float> uv_gradient_quads(const float* texels, const Block<float>& block, int i, const float* g) {
  if (block.texel[i] < 0) return {};
  const Patch at = block.patch(i, 3);
  const Quad a = load_quad(texels + at.a), b = load_quad(texels + at.b), c = load_quad(texels + at.c),
             d = load_quad(texels + at.d), grad{g[0], g[1], g[2], 0.0f};
  const Quad x = bilinear_ds(a, b, c, d, block.t[i]) * grad, y = bilinear_dt(a, b, c, d, block.s[i]) * grad;
  return {(x[0] + x[1] + x[2]) * block.slope_u[i], (y[0] + y[1] + y[2]) * block.slope_v[i]};
}
#endif

// store(pixel, dL/d(u, v)) for the pixels of a block.
template <class T, class Store>
void store_uv_gradients(const T* texels, const Texture<T>& texture, const Span& span, const Block<T>& block, const T* g,
                        const Store& store) {
  const bool held = block.one_place && block.slope_u[0] == T(0) && block.slope_v[0] == T(0);  // at a corner, as 0 is
  if (texture.filter == kNearest || held) {
    for (int i = 0; i < span.count; ++i) store(span.pixel + i, Vec2<T>{});
    return;
  }
#ifdef PF3D_QUADS
  if constexpr (kHasQuads<T>) {
    if (texture.channels == 3 && !block.last_texel) {
      for (int i = 0; i < span.count; ++i)
        store(span.pixel + i, uv_gradient_quads(texels, block, block.one_place ? 0 : i, g + 3 * i));
      return;
    }
  }
#endif
  for (int i = 0; i < span.count; ++i)
    store(span.pixel + i, uv_gradient(texels, texture, block, block.one_place ? 0 : i, g + i * texture.channels));
}

template <class T, class Uvs, class Store>
void backward_uvs(const Texture<T>& texture, const Uvs& source, const T* grad_colours, int64_t batch, int64_t count,
                  int threads, const Store& store) {
  parallel_for(threads, batch * blocks_of(count), kGrain, [&](int64_t begin, int64_t end) {
    walk_blocks(
        texture, source, begin, end, [=](int64_t k) { return block_span(k, count); },
        [&](int64_t, const Span& span, const Block<T>& block) {
          prefetch_patches(texture.texels + texture.first(span.image), texture, block);
        },
        [&](int64_t, const Span& span, const Block<T>& block) {
          store_uv_gradients(texture.texels + texture.first(span.image), texture, span, block,
                             grad_colours + span.pixel * texture.channels, store);
        });
  });
}

// The gradient of a texture's rows [top, bottom). A row is zeroed when a block first needs it, so that it is still in
// the cache when that block adds to it; rows between are zeroed with it, and the rest in the end.
template <class T> class Sums {
 public:
  Sums(T* texels, int64_t row_size, int64_t top, int64_t bottom)
      : texels_(texels), row_size_(row_size), top_(top), bottom_(bottom), first_(top), end_(top) {}

  T* texels() const { return texels_; }
  bool has(int64_t row) const { return row >= top_ && row < bottom_; }
  int64_t bottom() const { return bottom_; }

  void need(int64_t low, int64_t high) {
    low = std::max(low, top_);
    high = std::min(high, bottom_);
    if (low >= high) return;
    if (first_ == end_) first_ = end_ = low;
    if (low < first_) zero(low, first_);
    if (high > end_) zero(end_, high);
    first_ = std::min(first_, low);
    end_ = std::max(end_, high);
  }
  // Before the pixels of a block are added.
  void need(const Block<T>& block, int count, int32_t height) {
    int32_t low = height, high = 0;
    for (int i = 0; i < count; ++i) {
      const bool reads = block.texel[i] >= 0, wraps = block.below[i] < 0;
      const int32_t row = block.row[i], end = wraps ? height : row + (block.below[i] > 0 ? 2 : 1);
      low = std::min(low, reads ? (wraps ? 0 : row) : height);
      high = std::max(high, reads ? end : 0);
    }
    need(low, high);
  }
  void finish() {
    zero(top_, first_);
    zero(end_, bottom_);
  }

 private:
  void zero(int64_t low, int64_t high) { std::fill(texels_ + low * row_size_, texels_ + high * row_size_, T(0)); }

  T* texels_;
  int64_t row_size_, top_, bottom_, first_, end_;
};

// Adds g, weighted, to the patch of pixel i: those of its rows that `sums` has. kChannels 0: known at run time.
template <int kChannels, class T>
void spread(const Block<T>& block, int i, const T* g, int64_t run_time_channels, const Sums<T>& sums) {
  const int64_t channels = kChannels ? kChannels : run_time_channels;
  const int64_t row = block.row[i], lower = block.below[i] > 0 ? row + 1 : 0;  // below < 0: wrapped
  const Patch at = block.patch(i, channels);
  const T s = block.s[i], t = block.t[i];
  T* grad = sums.texels();
  const auto add = [=](int64_t texel, T weight) {
    for (int64_t c = 0; c < channels; ++c) grad[texel + c] += g[c] * weight;
  };
  if (sums.has(row)) {
    add(at.a, (T(1) - s) * (T(1) - t));
    if (block.right[i]) add(at.b, s * (T(1) - t));
  }
  if (block.below[i] && sums.has(lower)) {
    add(at.c, (T(1) - s) * t);
    if (block.right[i]) add(at.d, s * t);
  }
}

#ifdef PF3D_QUADS
// Two texels of three numbers side by side, and two numbers of the third, which get 0.
inline void add_pair(float* texels, Quad g, float left, float right) {
  const Quad zero{};
  const Quad first = __builtin_shufflevector(g, g, 0, 1, 2, 0) * Quad{left, left, left, right};
  const Quad second = __builtin_shufflevector(g, zero, 1, 2, 4, 4) * right;
  const Quad a = load_quad(texels) + first, b = load_quad(texels + 4) + second;
  store_quad(texels, a);
  store_quad(texels + 4, b);
}

// Three channels. Pixels side by side in the picture read patches that overlap, and a load that waits for a store which
// covers it in part is slow; so they are taken sixteen apart.
inline void spread_triples(const Block<float>& block, int count, const float* g, int32_t width,
                           const Sums<float>& sums) {
  const int64_t end = sums.bottom() * width;
  for (int k = 0; k < count; ++k) {
    const int i = count == kBlock ? k % 4 * 16 + k / 4 : k;
    const int64_t texel = block.texel[i];
    if (texel < 0) continue;
    const bool plain = block.right[i] == 1 && block.below[i] == width && sums.has(block.row[i]);
    if (!plain || texel + width + 3 > end) {
      spread<3>(block, i, g + 3 * i, 3, sums);
      continue;
    }
    const float s = block.s[i], t = block.t[i];
    const Quad colour{g[3 * i], g[3 * i + 1], g[3 * i + 2], 0.0f};
    float* upper = sums.texels() + 3 * texel;
    add_pair(upper, colour, (1.0f - s) * (1.0f - t), s * (1.0f - t));
    add_pair(upper + 3 * static_cast<int64_t>(width), colour, (1.0f - s) * t, s * t);
  }
}
#endif

template <class T>
void spread_block(const Block<T>& block, int count, const T* g, const Texture<T>& texture, Sums<T>& sums) {
  const int64_t channels = texture.channels;
  sums.need(block, block.one_place ? 1 : count, texture.height);
  if (block.one_place) {
    if (block.texel[0] < 0) return;
    T* sum = scratch<T>(channels);
    sum_pixels(g, count, channels, sum);
    spread<0>(block, 0, sum, channels, sums);
    return;
  }
#ifdef PF3D_QUADS
  if constexpr (kHasQuads<T>) {
    if (channels == 3) return spread_triples(block, count, g, texture.width, sums);
  }
#endif
  for (int i = 0; i < count; ++i)
    if (block.texel[i] >= 0) spread<0>(block, i, g + i * channels, channels, sums);
}

// The texture's gradient and, on the way over the pixels, that of the coordinates; each band does its share of those.
template <bool with_uvs, class T, class Uvs, class Store>
void backward_texture(const Texture<T>& texture, const Uvs& source, const T* grad_colours, T* grad_texture,
                      int64_t batch, int64_t count, int threads, const Store& store) {
  const int64_t channels = texture.channels;
  const int64_t textures = std::max<int64_t>(texture.batch, 1);
  const int64_t bands = std::max<int64_t>(std::min<int64_t>(texture.height, (threads + textures - 1) / textures), 1);
  const int64_t blocks = (texture.batch == 1 ? batch : 1) * blocks_of(count);
  parallel_for(threads, texture.batch * bands, 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t owner = k / bands, band = k % bands;
      const int64_t first_uv = blocks * band / bands, last_uv = blocks * (band + 1) / bands;
      const T* texels = texture.texels + texture.first(owner);
      Sums<T> sums(grad_texture + texture.first(owner), texture.width * channels, texture.height * band / bands,
                   texture.height * (band + 1) / bands);
      walk_blocks(
          texture, source, 0, blocks, [=](int64_t b) { return block_span(owner * blocks + b, count); },
          [&](int64_t b, const Span&, const Block<T>& block) {
            if (with_uvs && b >= first_uv && b < last_uv) prefetch_patches(texels, texture, block);
            prefetch_patches(sums.texels(), texture, block);
          },
          [&](int64_t b, const Span& span, const Block<T>& block) {
            const T* g = grad_colours + span.pixel * channels;
            if (with_uvs && b >= first_uv && b < last_uv) store_uv_gradients(texels, texture, span, block, g, store);
            spread_block(block, span.count, g, texture, sums);
          });
      sums.finish();
    }
  });
}

template <class T, class Uvs, class Store>
void backward(const Texture<T>& texture, const Uvs& source, const T* grad_colours, T* grad_texture, bool with_uvs,
              int64_t batch, int64_t count, int threads, const Store& store) {
  if (!grad_texture) {
    if (with_uvs) backward_uvs(texture, source, grad_colours, batch, count, threads, store);
  } else if (with_uvs) {
    backward_texture<true>(texture, source, grad_colours, grad_texture, batch, count, threads, store);
  } else {
    backward_texture<false>(texture, source, grad_colours, grad_texture, batch, count, threads, store);
  }
}

}  // namespace

template <class T>
void sample_texture_backward(const T* texture, const T* uvs, const T* grad_colours, T* grad_texture, T* grad_uvs,
                             int64_t textures, int64_t height, int64_t width, int64_t channels, int64_t batch,
                             int64_t count, int filter, int wrap, int threads) {
  const Texture<T> read{texture, textures, int32_t(height), int32_t(width), channels, filter, wrap};
  const GivenUvs<T> source{uvs};
  backward(read, source, grad_colours, grad_texture, grad_uvs != nullptr, batch, count, threads,
           [=](int64_t pixel, Vec2<T> grad) { source.store_grad(grad_uvs, pixel, grad); });
}

template <class T>
void render_texture_backward(const T* texture, const int32_t* face_index, const T* barycentrics, const T* uvs,
                             const int32_t* uv_faces, const T* grad_colours, T* grad_texture, T* grad_barycentrics,
                             int64_t textures, int64_t height, int64_t width, int64_t channels, int64_t batch,
                             int64_t count, int64_t num_faces, int filter, int wrap, int threads) {
  const Texture<T> read{texture, textures, int32_t(height), int32_t(width), channels, filter, wrap};
  const FragmentUvs<T> source{face_index, barycentrics, uvs, uv_faces, num_faces};
  backward(read, source, grad_colours, grad_texture, grad_barycentrics != nullptr, batch, count, threads,
           [=](int64_t pixel, Vec2<T> grad) { source.store_grad(grad_barycentrics, pixel, grad); });
}

#define PF3D_INSTANCES(T)                                                                                           \
  template void sample_texture_backward(const T*, const T*, const T*, T*, T*, int64_t, int64_t, int64_t, int64_t,   \
                                        int64_t, int64_t, int, int, int);                                           \
  template void render_texture_backward(const T*, const int32_t*, const T*, const T*, const int32_t*, const T*, T*, \
                                        T*, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int,     \
                                        int, int)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cpu
