// csrc/cpu/texture_trilinear.cpp -- sample_texture and render_texture through a mip pyramid: two bilinear lookups a
// pixel, mixed. Gradients of texture and pyramid are gathered by bands of rows of every level: each band looks at all
// pixels in order and keeps its own, so the bits do not depend on the number of bands.
#include <algorithm>

#include "core/mip.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/quad.h"
#include "cpu/scratch.h"
#include "cpu/texture_block.h"

namespace pyface3d::cpu {
namespace {

// What a pixel reads: of up to two levels the texels and their weight.
template <class T> struct Reading {
  struct Level {
    int32_t level;
    T weight;
    Lookup<T> at;
    Patch patch{0, 0, 0, 0};
  };
  int count;
  Level levels[2];

  Reading(const Pyramid<T>& pyramid, Vec2<T> uv, const T* footprint) {
    const LevelReads<T> reads(pyramid, uv, footprint);
    count = reads.count;
    for (int k = 0; k < count; ++k) {
      const int32_t level = reads.level(k);
      const Lookup<T> at = pyramid.lookup(uv, level);
      levels[k] = {level, reads.weight(k), at, patch_of(at, pyramid.levels.width[level], pyramid.texture.channels)};
    }
  }
};

// Whether all pixels of a block read the same, as the background does.
template <class T, class Uvs>
bool reads_the_same(const Uvs& source, const T* footprints, int64_t pixel, int count) {
  if (!is_one_place(source, pixel, count)) return false;
  if (!is_finite(source.at(pixel))) return true;
  const T* steps = footprints + 4 * pixel;
  int32_t different = 0;
  for (int i = 4; i < 4 * count; ++i) different |= steps[i] != steps[i - 4];
  return !different;
}

#ifdef PF3D_QUADS
inline Quad load_triple(const float* values) { return Quad{values[0], values[1], values[2], 0.0f}; }
#endif

template <class T> void read(const Pyramid<T>& pyramid, const Reading<T>& reading, int64_t image, T* out) {
  const int64_t channels = pyramid.texture.channels;
  std::fill(out, out + channels, T(0));
  for (int k = 0; k < reading.count; ++k) {
    const auto& [level, weight, at, patch] = reading.levels[k];
    const T* texels = pyramid.texels(image, level);
#ifdef PF3D_QUADS
    if constexpr (kHasQuads<T>) {
      if (channels == 3) {
        const Quad colour = bilinear(load_triple(texels + patch.a), load_triple(texels + patch.b),
                                     load_triple(texels + patch.c), load_triple(texels + patch.d), at.x.t, at.y.t);
        for (int c = 0; c < 3; ++c) out[c] += colour[c] * weight;
        continue;
      }
    }
#endif
    for (int64_t c = 0; c < channels; ++c)
      out[c] += bilinear(texels[patch.a + c], texels[patch.b + c], texels[patch.c + c], texels[patch.d + c], at.x.t,
                         at.y.t) * weight;
  }
}

template <class T, class Uvs>
void forward(const Pyramid<T>& pyramid, const Uvs& source, const T* footprints, T* colours, int64_t batch,
             int64_t count, int threads) {
  const int64_t channels = pyramid.texture.channels;
  for_blocks(threads, batch, count, [&](int64_t image, int64_t first, int n) {
    if (reads_the_same(source, footprints, first, n)) {
      T* colour = scratch<T>(channels);
      read(pyramid, Reading<T>(pyramid, source.at(first), footprints + 4 * first), image, colour);
      repeat(colour, channels, n, colours + first * channels);
      return;
    }
    for (int64_t pixel = first; pixel < first + n; ++pixel)
      read(pyramid, Reading<T>(pyramid, source.at(pixel), footprints + 4 * pixel), image, colours + pixel * channels);
  });
}

// store(pixel, dL/d(u, v)) for every pixel.
template <class T, class Uvs, class Store>
void backward_uvs(const Pyramid<T>& pyramid, const Uvs& source, const T* footprints, const T* grad_colours,
                  int64_t batch, int64_t count, int threads, const Store& store) {
  const int64_t channels = pyramid.texture.channels;
  const auto gradient = [&](const Reading<T>& reading, int64_t image, int64_t pixel) {
    Vec2<T> grad;
    for (int k = 0; k < reading.count; ++k) {
      const auto& [level, weight, at, patch] = reading.levels[k];
      const T* g = grad_colours + pixel * channels;
      grad = grad + bilinear_vjp_uv(pyramid.texels(image, level), patch, at, g, channels) * weight;
    }
    return grad;
  };
  for_blocks(threads, batch, count, [&](int64_t image, int64_t first, int n) {
    if (reads_the_same(source, footprints, first, n)) {
      const Reading<T> reading(pyramid, source.at(first), footprints + 4 * first);
      for (int64_t pixel = first; pixel < first + n; ++pixel) store(pixel, gradient(reading, image, pixel));
      return;
    }
    for (int64_t pixel = first; pixel < first + n; ++pixel)
      store(pixel, gradient(Reading<T>(pyramid, source.at(pixel), footprints + 4 * pixel), image, pixel));
  });
}

// Rows [top, bottom) of one level's gradient.
template <class T> struct Band {
  T* grad;
  int64_t top, bottom;

  bool has(int64_t row) const { return row >= top && row < bottom; }
};

template <class T> void spread(const Reading<T>& reading, const T* g, int64_t channels, const Band<T>* bands) {
  for (int k = 0; k < reading.count; ++k) {
    const auto& [level, weight, at, patch] = reading.levels[k];
    const Band<T>& band = bands[level];
    const T s = at.x.t, t = at.y.t;
    const auto add = [&, share_of_level = weight](int64_t texel, T share) {
      const T whole = share * share_of_level;
      for (int64_t c = 0; c < channels; ++c) band.grad[texel + c] += g[c] * whole;
    };
    if (band.has(at.y.index)) {
      add(patch.a, (T(1) - s) * (T(1) - t));
      if (at.x.step) add(patch.b, s * (T(1) - t));
    }
    if (at.y.step && band.has(at.y.index + at.y.step)) {
      add(patch.c, (T(1) - s) * t);
      if (at.x.step) add(patch.d, s * t);
    }
  }
}

template <class T, class Uvs>
void backward_texture(const Pyramid<T>& pyramid, const Uvs& source, const T* footprints, const T* grad_colours,
                      T* grad_texture, T* grad_above, int64_t batch, int64_t count, int threads) {
  const Texture<T>& texture = pyramid.texture;
  const MipLevels& levels = pyramid.levels;
  const int64_t channels = texture.channels, textures = std::max<int64_t>(texture.batch, 1);
  const int64_t wanted = (threads + textures - 1) / textures;  // bands of a texture
  const int64_t num_bands = std::max<int64_t>(std::min<int64_t>(texture.height, wanted), 1);
  const int64_t blocks = (texture.batch == 1 ? batch : 1) * blocks_of(count);
  parallel_for(threads, texture.batch * num_bands, 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t owner = k / num_bands, b = k % num_bands;
      Band<T> bands[MipLevels::kMost];
      for (int32_t level = 0; level < levels.count; ++level) {
        const int64_t height = levels.height[level], row = levels.width[level] * channels;
        T* grad = (level == 0 ? grad_texture : grad_above) + pyramid.first(owner, level);
        bands[level] = {grad, height * b / num_bands, height * (b + 1) / num_bands};
        std::fill(grad + bands[level].top * row, grad + bands[level].bottom * row, T(0));
      }
      for (int64_t block = owner * blocks; block < (owner + 1) * blocks; ++block) {
        const Span span = block_span(block, count);
        const T* g = grad_colours + span.pixel * channels;
        if (reads_the_same(source, footprints, span.pixel, span.count)) {
          T* sum = scratch<T>(channels);
          sum_pixels(g, span.count, channels, sum);
          spread(Reading<T>(pyramid, source.at(span.pixel), footprints + 4 * span.pixel), sum, channels, bands);
          continue;
        }
        for (int i = 0; i < span.count; ++i)
          spread(Reading<T>(pyramid, source.at(span.pixel + i), footprints + 4 * (span.pixel + i)), g + i * channels,
                 channels, bands);
      }
    }
  });
}

}  // namespace

template <class T>
void sample_texture_trilinear(const T* texture, const T* above, const T* uvs, const T* footprints, T* colours,
                              int64_t textures, int64_t height, int64_t width, int64_t channels, int64_t batch,
                              int64_t count, int wrap, int threads) {
  forward(pyramid_of(texture, above, textures, height, width, channels, wrap), GivenUvs<T>{uvs}, footprints, colours,
          batch, count, threads);
}

template <class T>
void sample_texture_trilinear_backward(const T* texture, const T* above, const T* uvs, const T* footprints,
                                       const T* grad_colours, T* grad_texture, T* grad_above, T* grad_uvs,
                                       int64_t textures, int64_t height, int64_t width, int64_t channels,
                                       int64_t batch, int64_t count, int wrap, int threads) {
  const Pyramid<T> pyramid = pyramid_of(texture, above, textures, height, width, channels, wrap);
  const GivenUvs<T> source{uvs};
  if (grad_texture)
    backward_texture(pyramid, source, footprints, grad_colours, grad_texture, grad_above, batch, count, threads);
  if (grad_uvs)
    backward_uvs(pyramid, source, footprints, grad_colours, batch, count, threads, [=](int64_t pixel, Vec2<T> grad) {
      source.store_grad(grad_uvs, pixel, grad);
    });
}

template <class T>
void render_texture_trilinear(const T* texture, const T* above, const int32_t* face_index, const T* barycentrics,
                              const T* uvs, const int32_t* uv_faces, const T* footprints, T* colours,
                              int64_t textures, int64_t height, int64_t width, int64_t channels, int64_t batch,
                              int64_t count, int64_t num_faces, int wrap, int threads) {
  forward(pyramid_of(texture, above, textures, height, width, channels, wrap),
          FragmentUvs<T>{face_index, barycentrics, uvs, uv_faces, num_faces}, footprints, colours, batch, count,
          threads);
}

template <class T>
void render_texture_trilinear_backward(const T* texture, const T* above, const int32_t* face_index,
                                       const T* barycentrics, const T* uvs, const int32_t* uv_faces,
                                       const T* footprints, const T* grad_colours, T* grad_texture, T* grad_above,
                                       T* grad_barycentrics, int64_t textures, int64_t height, int64_t width,
                                       int64_t channels, int64_t batch, int64_t count, int64_t num_faces, int wrap,
                                       int threads) {
  const Pyramid<T> pyramid = pyramid_of(texture, above, textures, height, width, channels, wrap);
  const FragmentUvs<T> source{face_index, barycentrics, uvs, uv_faces, num_faces};
  if (grad_texture)
    backward_texture(pyramid, source, footprints, grad_colours, grad_texture, grad_above, batch, count, threads);
  if (grad_barycentrics)
    backward_uvs(pyramid, source, footprints, grad_colours, batch, count, threads, [=](int64_t pixel, Vec2<T> grad) {
      source.store_grad(grad_barycentrics, pixel, grad);
    });
}

#define PF3D_INSTANCES(T)                                                                                            \
  template void sample_texture_trilinear(const T*, const T*, const T*, const T*, T*, int64_t, int64_t, int64_t,      \
                                         int64_t, int64_t, int64_t, int, int);                                       \
  template void sample_texture_trilinear_backward(const T*, const T*, const T*, const T*, const T*, T*, T*, T*,      \
                                                  int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int, int);   \
  template void render_texture_trilinear(const T*, const T*, const int32_t*, const T*, const T*, const int32_t*,     \
                                         const T*, T*, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,         \
                                         int64_t, int, int);                                                         \
  template void render_texture_trilinear_backward(const T*, const T*, const int32_t*, const T*, const T*,            \
                                                  const int32_t*, const T*, const T*, T*, T*, T*, int64_t, int64_t,  \
                                                  int64_t, int64_t, int64_t, int64_t, int64_t, int, int)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cpu
