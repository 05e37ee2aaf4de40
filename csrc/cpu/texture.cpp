// csrc/cpu/texture.cpp -- sample_texture and render_texture: the same loop over blocks of pixels, with texture
// coordinates read from memory or made from barycentrics on the way. A block whose pixels all read one place, as the
// background of a uv image does, is looked up once.
// The texture's gradient is gathered by bands of rows: every band looks at all pixels in order and keeps its own, so the
// bits do not depend on the number of bands.
#include "core/texture.h"

#include <algorithm>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/quad.h"
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
  for_blocks(threads, batch, count, [&](int64_t image, int64_t pixel, int n) {
    Block<T> block;
    locate(texture, source, pixel, n, block);
    const T* texels = texture.texels + texture.first(image);
    T* out = colours + pixel * channels;
    if (!block.one_place) prefetch_patches(texels, texture, block);
    int next = 0;  // pixel to do one by one
    if (block.one_place) {
      read(texels, texture, block, 0, out);
      for (int64_t filled = channels, all = n * channels; filled < all; filled *= 2)
        std::copy(out, out + std::min(filled, all - filled), out + filled);
      next = n;
    }
#ifdef PF3D_QUADS
    if constexpr (kHasQuads<T>) {
      if (!block.one_place && texture.filter == kBilinear && fits_quads(texture, block)) {
        channels == 3 ? read_quads<3>(texels, block, out) : read_quads<4>(texels, block, out);
        next = n - 1;
      }
    }
#endif
    for (; next < n; ++next) read(texels, texture, block, next, out + next * channels);
  });
}

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

// store(pixel, dL/d(u, v)) for every pixel.
template <class T, class Uvs, class Store>
void backward_uvs(const Texture<T>& texture, const Uvs& source, const T* grad_colours, int64_t batch, int64_t count,
                  int threads, const Store& store) {
  for_blocks(threads, batch, count, [&](int64_t image, int64_t pixel, int n) {
    if (texture.filter == kNearest) {
      for (int i = 0; i < n; ++i) store(pixel + i, Vec2<T>{});
      return;
    }
    Block<T> block;
    locate(texture, source, pixel, n, block);
    if (block.one_place && block.slope_u[0] == T(0) && block.slope_v[0] == T(0)) {  // held at a corner, as 0 is
      for (int i = 0; i < n; ++i) store(pixel + i, Vec2<T>{});
      return;
    }
    const T* texels = texture.texels + texture.first(image);
    const T* g = grad_colours + pixel * texture.channels;
    if (!block.one_place) prefetch_patches(texels, texture, block);
#ifdef PF3D_QUADS
    if constexpr (kHasQuads<T>) {
      if (texture.channels == 3 && !block.last_texel) {
        for (int i = 0; i < n; ++i) store(pixel + i, uv_gradient_quads(texels, block, block.one_place ? 0 : i, g + 3 * i));
        return;
      }
    }
#endif
    for (int i = 0; i < n; ++i)
      store(pixel + i, uv_gradient(texels, texture, block, block.one_place ? 0 : i, g + i * texture.channels));
  });
}

// Adds g, weighted, to the patch of pixel i: those of its rows that lie in [top, bottom). kChannels 0: known at run time.
template <int kChannels, class T>
void spread(const Block<T>& block, int i, const T* g, int64_t run_time_channels, int64_t top, int64_t bottom, T* grad) {
  const int64_t channels = kChannels ? kChannels : run_time_channels;
  const int64_t row = block.row[i], below = block.below[i], lower = below > 0 ? row + 1 : 0;  // below < 0: wrapped
  const Patch at = block.patch(i, channels);
  const T s = block.s[i], t = block.t[i];
  const bool right = block.right[i] != 0;
  const auto add = [=](int64_t texel, T weight) {
    for (int64_t c = 0; c < channels; ++c) grad[texel + c] += g[c] * weight;
  };
  if (row >= top && row < bottom) {
    add(at.a, (T(1) - s) * (T(1) - t));
    if (right) add(at.b, s * (T(1) - t));
  }
  if (below != 0 && lower >= top && lower < bottom) {
    add(at.c, (T(1) - s) * t);
    if (right) add(at.d, s * t);
  }
}

template <class T, class Uvs>
void backward_texture(const Texture<T>& texture, const Uvs& source, const T* grad_colours, T* grad_texture,
                      int64_t batch, int64_t count, int threads) {
  const int64_t channels = texture.channels, textures = std::max<int64_t>(texture.batch, 1);
  const int64_t bands = std::min<int64_t>(texture.height, (threads + textures - 1) / textures);
  parallel_for(threads, texture.batch * bands, 1, [&](int64_t begin, int64_t end) {
    std::vector<T> sum(channels);
    for (int64_t k = begin; k < end; ++k) {
      const int64_t owner = k / bands, band = k % bands;
      const int64_t top = texture.height * band / bands, bottom = texture.height * (band + 1) / bands;
      T* grad = grad_texture + owner * texture.size();
      std::fill(grad + top * texture.width * channels, grad + bottom * texture.width * channels, T(0));
      const int64_t first = texture.batch == 1 ? 0 : owner * count;
      const int64_t last = texture.batch == 1 ? batch * count : first + count;
      for (int64_t pixel = first; pixel < last; pixel += kBlock) {
        Block<T> block;
        const int n = static_cast<int>(std::min<int64_t>(kBlock, last - pixel));
        locate(texture, source, pixel, n, block);
        const T* g = grad_colours + pixel * channels;
        if (block.one_place) {
          if (block.texel[0] < 0) continue;
          std::fill(sum.begin(), sum.end(), T(0));
          for (int i = 0; i < n; ++i)
            for (int64_t c = 0; c < channels; ++c) sum[c] += g[i * channels + c];
          spread<0>(block, 0, sum.data(), channels, top, bottom, grad);
          continue;
        }
        prefetch_patches(grad, texture, block);
        for (int i = 0; i < n; ++i) {
          if (block.texel[i] < 0) continue;
          channels == 3 ? spread<3>(block, i, g + 3 * i, 3, top, bottom, grad)
                        : spread<0>(block, i, g + i * channels, channels, top, bottom, grad);
        }
      }
    }
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
void sample_texture_backward(const T* texture, const T* uvs, const T* grad_colours, T* grad_texture, T* grad_uvs,
                             int64_t textures, int64_t height, int64_t width, int64_t channels, int64_t batch,
                             int64_t count, int filter, int wrap, int threads) {
  const Texture<T> read{texture, textures, int32_t(height), int32_t(width), channels, filter, wrap};
  const GivenUvs<T> source{uvs};
  if (grad_texture) backward_texture(read, source, grad_colours, grad_texture, batch, count, threads);
  if (grad_uvs)
    backward_uvs(read, source, grad_colours, batch, count, threads, [=](int64_t pixel, Vec2<T> grad) {
      grad_uvs[2 * pixel] = grad.x;
      grad_uvs[2 * pixel + 1] = grad.y;
    });
}

template <class T>
void render_texture(const T* texture, const int32_t* face_index, const T* barycentrics, const T* uvs,
                    const int32_t* uv_faces, T* colours, int64_t textures, int64_t height, int64_t width,
                    int64_t channels, int64_t batch, int64_t count, int64_t num_faces, int filter, int wrap,
                    int threads) {
  forward(Texture<T>{texture, textures, int32_t(height), int32_t(width), channels, filter, wrap},
          FragmentUvs<T>{face_index, barycentrics, uvs, uv_faces, num_faces}, colours, batch, count, threads);
}

template <class T>
void render_texture_backward(const T* texture, const int32_t* face_index, const T* barycentrics, const T* uvs,
                             const int32_t* uv_faces, const T* grad_colours, T* grad_texture, T* grad_barycentrics,
                             int64_t textures, int64_t height, int64_t width, int64_t channels, int64_t batch,
                             int64_t count, int64_t num_faces, int filter, int wrap, int threads) {
  const Texture<T> read{texture, textures, int32_t(height), int32_t(width), channels, filter, wrap};
  const FragmentUvs<T> source{face_index, barycentrics, uvs, uv_faces, num_faces};
  if (grad_texture) backward_texture(read, source, grad_colours, grad_texture, batch, count, threads);
  if (grad_barycentrics)
    backward_uvs(read, source, grad_colours, batch, count, threads, [=](int64_t pixel, Vec2<T> grad) {
      store3(grad_barycentrics, pixel, source.vjp(pixel, grad));
    });
}

#define PF3D_INSTANCES(T)                                                                                             \
  template void sample_texture(const T*, const T*, T*, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int, int, \
                               int);                                                                                  \
  template void sample_texture_backward(const T*, const T*, const T*, T*, T*, int64_t, int64_t, int64_t, int64_t,     \
                                        int64_t, int64_t, int, int, int);                                             \
  template void render_texture(const T*, const int32_t*, const T*, const T*, const int32_t*, T*, int64_t, int64_t,    \
                               int64_t, int64_t, int64_t, int64_t, int64_t, int, int, int);                           \
  template void render_texture_backward(const T*, const int32_t*, const T*, const T*, const int32_t*, const T*, T*,   \
                                        T*, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int, int,  \
                                        int)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cpu
