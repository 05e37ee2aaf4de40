// csrc/cpu/texture_trilinear.cpp -- sample_texture and render_texture through a mip pyramid: two bilinear lookups a
// pixel, mixed. Gradients of texture and pyramid are gathered by bands of rows of every level: each band looks at all
// pixels in order and keeps its own, so the bits do not depend on the number of bands.
#include <algorithm>

#include "core/mip.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/quad.h"
#include "cpu/texture_block.h"

namespace pyface3d::cpu {
namespace {

#ifdef PF3D_QUADS
inline Quad load_triple(const float* values) { return Quad{values[0], values[1], values[2], 0.0f}; }
#endif

template <class T, class Uvs>
void forward(const Pyramid<T>& pyramid, const Uvs& source, const T* footprints, T* colours, int64_t batch,
             int64_t count, int threads) {
  const int64_t channels = pyramid.texture.channels;
  for_blocks(threads, batch, count, [&](int64_t image, int64_t first, int n) {
    for (int64_t pixel = first; pixel < first + n; ++pixel) {
      T* out = colours + pixel * channels;
      const Vec2<T> uv = source.at(pixel);
      const LevelReads<T> reads(pyramid, uv, footprints + 4 * pixel);
      std::fill(out, out + channels, T(0));
      for (int k = 0; k < reads.count; ++k) {
        const int32_t level = reads.level(k);
        const Lookup<T> at = pyramid.lookup(uv, level);
        const Patch patch = patch_of(at, pyramid.levels.width[level], channels);
        const T* texels = pyramid.texels(image, level);
        const T weight = reads.weight(k);
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
          out[c] += bilinear(texels[patch.a + c], texels[patch.b + c], texels[patch.c + c], texels[patch.d + c],
                             at.x.t, at.y.t) * weight;
      }
    }
  });
}

// store(pixel, dL/d(u, v)) for every pixel.
template <class T, class Uvs, class Store>
void backward_uvs(const Pyramid<T>& pyramid, const Uvs& source, const T* footprints, const T* grad_colours,
                  int64_t batch, int64_t count, int threads, const Store& store) {
  const int64_t channels = pyramid.texture.channels;
  for_blocks(threads, batch, count, [&](int64_t image, int64_t first, int n) {
    for (int64_t pixel = first; pixel < first + n; ++pixel) {
      const Vec2<T> uv = source.at(pixel);
      const LevelReads<T> reads(pyramid, uv, footprints + 4 * pixel);
      const T* g = grad_colours + pixel * channels;
      Vec2<T> grad;
      for (int k = 0; k < reads.count; ++k) {
        const int32_t level = reads.level(k);
        const Lookup<T> at = pyramid.lookup(uv, level);
        grad = grad + bilinear_vjp_uv(pyramid.texels(image, level), patch_of(at, pyramid.levels.width[level], channels),
                                      at, g, channels) * reads.weight(k);
      }
      store(pixel, grad);
    }
  });
}

template <class T, class Uvs>
void backward_texture(const Pyramid<T>& pyramid, const Uvs& source, const T* footprints, const T* grad_colours,
                      T* grad_texture, T* grad_above, int64_t batch, int64_t count, int threads) {
  const Texture<T>& texture = pyramid.texture;
  const MipLevels& levels = pyramid.levels;
  const int64_t channels = texture.channels, textures = std::max<int64_t>(texture.batch, 1);
  const int64_t bands = std::min<int64_t>(texture.height, (threads + textures - 1) / textures);
  parallel_for(threads, texture.batch * bands, 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t owner = k / bands, band = k % bands;
      T* grad[MipLevels::kMost];
      int64_t top[MipLevels::kMost], bottom[MipLevels::kMost];
      for (int32_t level = 0; level < levels.count; ++level) {
        top[level] = levels.height[level] * band / bands;
        bottom[level] = levels.height[level] * (band + 1) / bands;
        grad[level] = (level == 0 ? grad_texture : grad_above) + pyramid.first(owner, level);
        const int64_t row = levels.width[level] * channels;
        std::fill(grad[level] + top[level] * row, grad[level] + bottom[level] * row, T(0));
      }
      const int64_t first = texture.batch == 1 ? 0 : owner * count;
      const int64_t last = texture.batch == 1 ? batch * count : first + count;
      for (int64_t pixel = first; pixel < last; ++pixel) {
        const Vec2<T> uv = source.at(pixel);
        const LevelReads<T> reads(pyramid, uv, footprints + 4 * pixel);
        for (int r = 0; r < reads.count; ++r) {
          const int32_t level = reads.level(r);
          const Lookup<T> at = pyramid.lookup(uv, level);
          const Patch patch = patch_of(at, levels.width[level], channels);
          const int32_t row = at.y.index, below = row + at.y.step;
          const T s = at.x.t, t = at.y.t, weight = reads.weight(r);
          const T* g = grad_colours + pixel * channels;
          const auto add = [&](int64_t texel, T share) {
            for (int64_t c = 0; c < channels; ++c) grad[level][texel + c] += g[c] * share;
          };
          if (row >= top[level] && row < bottom[level]) {
            add(patch.a, (T(1) - s) * (T(1) - t) * weight);
            if (at.x.step) add(patch.b, s * (T(1) - t) * weight);
          }
          if (at.y.step && below >= top[level] && below < bottom[level]) {
            add(patch.c, (T(1) - s) * t * weight);
            if (at.x.step) add(patch.d, s * t * weight);
          }
        }
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
      grad_uvs[2 * pixel] = grad.x;
      grad_uvs[2 * pixel + 1] = grad.y;
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
      store3(grad_barycentrics, pixel, source.vjp(pixel, grad));
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
