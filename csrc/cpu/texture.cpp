// csrc/cpu/texture.cpp -- sample_texture and render_texture: the same loop over blocks of pixels, with texture
// coordinates read from memory or made from barycentrics on the way. A block whose pixels all read one place, as the
// background of a uv image does, is looked up once.
#include "core/texture.h"

#include <algorithm>

#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/quad.h"
#include "cpu/scratch.h"
#include "cpu/texture_block.h"

namespace pyface3d::cpu {
namespace {

// Whether four numbers may be read at every texel of the block: with three channels not at the array's end.
template <class T> bool fits_quads(const Texture<T>& texture, const Block<T>& block) {
  return texture.channels == 4 || (texture.channels == 3 && !block.last_texel);
}

template <class T> void read(const T* texels, const Texture<T>& texture, const Block<T>& block, int i, T* out) {
  const int64_t channels = texture.channels;
  if (block.texel[i] < 0) {
    std::fill(out, out + channels, T(0));
    return;
  }
  const Patch at = block.patch(i, channels);
  if (texture.filter == kNearest) {
    std::copy(texels + at.a, texels + at.a + channels, out);
    return;
  }
  for (int64_t c = 0; c < channels; ++c)
    out[c] = bilinear(texels[at.a + c], texels[at.b + c], texels[at.c + c], texels[at.d + c], block.s[i], block.t[i]);
}

#ifdef PF3D_QUADS
// Bilinear, all but the block's last pixel: with three channels a store spills into the next pixel, which comes later.
template <int channels> void read_quads(const float* texels, const Block<float>& block, float* out) {
  for (int i = 0; i + 1 < block.count; ++i) {
    const Patch at = block.patch(i, channels);
    const bool reads = block.texel[i] >= 0;
    const float* from = reads ? texels : texels + channels;  // texel -1 is then texel 0
    const Quad colour = bilinear(load_quad(from + at.a), load_quad(from + at.b), load_quad(from + at.c),
                                 load_quad(from + at.d), block.s[i], block.t[i]);
    store_quad(out + channels * i, reads ? colour : Quad{});
  }
}
#endif

template <class T, class Uvs>
void forward(const Texture<T>& texture, const Uvs& source, T* colours, int64_t batch, int64_t count, int threads) {
  const int64_t channels = texture.channels;
  const auto ask = [&](int64_t, const Span& span, const Block<T>& block) {
    prefetch_patches(texture.texels + texture.first(span.image), texture, block);
  };
  const auto body = [&](int64_t, const Span& span, const Block<T>& block) {
    const T* texels = texture.texels + texture.first(span.image);
    T* out = colours + span.pixel * channels;
    int next = 0;  // pixel to do one by one
    if (block.one_place) {
      T* colour = scratch<T>(channels);
      read(texels, texture, block, 0, colour);
      repeat(colour, channels, span.count, out);
      return;
    }
#ifdef PF3D_QUADS
    if constexpr (kHasQuads<T>) {
      if (texture.filter == kBilinear && fits_quads(texture, block)) {
        channels == 3 ? read_quads<3>(texels, block, out) : read_quads<4>(texels, block, out);
        next = span.count - 1;
      }
    }
#endif
    for (; next < span.count; ++next) read(texels, texture, block, next, out + next * channels);
  };
  parallel_for(threads, batch * blocks_of(count), kGrain, [&](int64_t begin, int64_t end) {
    walk_blocks(texture, source, begin, end, [=](int64_t k) { return block_span(k, count); }, ask, body);
  });
}

}  // namespace

template <class T>
void sample_texture(const T* texture, const T* uvs, T* colours, int64_t textures, int64_t height, int64_t width,
                    int64_t channels, int64_t batch, int64_t count, int filter, int wrap, int threads) {
  forward(Texture<T>{texture, textures, int32_t(height), int32_t(width), channels, filter, wrap}, GivenUvs<T>{uvs},
          colours, batch, count, threads);
}

template <class T>
void render_texture(const T* texture, const int32_t* face_index, const T* barycentrics, const T* uvs,
                    const int32_t* uv_faces, T* colours, int64_t textures, int64_t height, int64_t width,
                    int64_t channels, int64_t batch, int64_t count, int64_t num_faces, int filter, int wrap,
                    int threads) {
  forward(Texture<T>{texture, textures, int32_t(height), int32_t(width), channels, filter, wrap},
          FragmentUvs<T>{face_index, barycentrics, uvs, uv_faces, num_faces}, colours, batch, count, threads);
}

#define PF3D_INSTANCES(T)                                                                                             \
  template void sample_texture(const T*, const T*, T*, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int, int, \
                               int);                                                                                  \
  template void render_texture(const T*, const int32_t*, const T*, const T*, const int32_t*, T*, int64_t, int64_t,    \
                               int64_t, int64_t, int64_t, int64_t, int64_t, int, int, int)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cpu
