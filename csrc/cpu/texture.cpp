// csrc/cpu/texture.cpp -- sample_texture and render_texture: the same loop over blocks of pixels, with texture
// coordinates read from memory or made from barycentrics on the way.
// The texture's gradient is gathered by bands of rows: every band looks at all pixels in order and keeps its own, so the
// bits do not depend on the number of bands.
#include "core/texture.h"

#include <algorithm>

#include "cpu/kernels.h"
#include "cpu/parallel.h"

namespace pyface3d::cpu {
namespace {

constexpr int kBlock = 64;
constexpr int64_t kGrain = 128;  // blocks

// Where the pixels of a block read; row -1 reads nothing.
template <class T> struct Block {
  int32_t row[kBlock], column[kBlock], down[kBlock], right[kBlock];
  T s[kBlock], t[kBlock], slope_u[kBlock], slope_v[kBlock];
};

template <class T, class Uvs>
void locate(const Texture<T>& texture, const Uvs& source, int64_t pixel, int count, Block<T>& block) {
  for (int i = 0; i < count; ++i) {
    const Vec2<T> uv = source.at(pixel + i);
    const bool reads = is_finite(uv);
    const Footprint<T> f = footprint(reads ? uv : Vec2<T>{}, texture.height, texture.width, texture.filter, texture.wrap);
    block.column[i] = f.x.index;
    block.right[i] = f.x.step;
    block.s[i] = f.x.t;
    block.slope_u[i] = f.x.slope;
    block.row[i] = reads ? f.y.index : -1;
    block.down[i] = f.y.step;
    block.t[i] = f.y.t;
    block.slope_v[i] = f.y.slope;
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

template <class T> Patch patch(const Texture<T>& texture, const Block<T>& block, int i) {
  return {texture, block.row[i], block.down[i], block.column[i], block.right[i]};
}

template <class T, class Uvs>
void forward(const Texture<T>& texture, const Uvs& source, T* colours, int64_t batch, int64_t count, int threads) {
  const int64_t channels = texture.channels;
  for_blocks(threads, batch, count, [&](int64_t image, int64_t pixel, int n) {
    Block<T> block;
    locate(texture, source, pixel, n, block);
    const T* texels = texture.texels + texture.first(image);
    for (int i = 0; i < n; ++i) {
      T* out = colours + (pixel + i) * channels;
      if (block.row[i] < 0) {
        std::fill(out, out + channels, T(0));
        continue;
      }
      const Patch at = patch(texture, block, i);
      if (texture.filter == kNearest) {
        std::copy(texels + at.a, texels + at.a + channels, out);
        continue;
      }
      for (int64_t c = 0; c < channels; ++c)
        out[c] = bilinear(texels[at.a + c], texels[at.b + c], texels[at.c + c], texels[at.d + c], block.s[i],
                          block.t[i]);
    }
  });
}

// store(pixel, dL/d(u, v)) for every pixel, 0 where nothing is read.
template <class T, class Uvs, class Store>
void backward_uvs(const Texture<T>& texture, const Uvs& source, const T* grad_colours, int64_t batch, int64_t count,
                  int threads, const Store& store) {
  const int64_t channels = texture.channels;
  for_blocks(threads, batch, count, [&](int64_t image, int64_t pixel, int n) {
    Block<T> block;
    locate(texture, source, pixel, n, block);
    const T* texels = texture.texels + texture.first(image);
    for (int i = 0; i < n; ++i) {
      Vec2<T> grad;
      if (block.row[i] >= 0 && texture.filter == kBilinear) {
        const Patch at = patch(texture, block, i);
        const T* g = grad_colours + (pixel + i) * channels;
        for (int64_t c = 0; c < channels; ++c)
          grad = grad + bilinear_slopes(texels[at.a + c], texels[at.b + c], texels[at.c + c], texels[at.d + c],
                                        block.s[i], block.t[i]) * g[c];
        grad = {grad.x * block.slope_u[i], grad.y * block.slope_v[i]};
      }
      store(pixel + i, grad);
    }
  });
}

template <class T, class Uvs>
void backward_texture(const Texture<T>& texture, const Uvs& source, const T* grad_colours, T* grad_texture,
                      int64_t batch, int64_t count, int threads) {
  const int64_t channels = texture.channels;
  const int64_t bands = std::min<int64_t>(texture.height, (threads + texture.batch - 1) / std::max<int64_t>(texture.batch, 1));
  parallel_for(threads, texture.batch * bands, 1, [&](int64_t begin, int64_t end) {
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
        for (int i = 0; i < n; ++i) {
          const int32_t row = block.row[i];
          if (row < 0) continue;
          const Patch at = patch(texture, block, i);
          const T* g = grad_colours + (pixel + i) * channels;
          const T s = block.s[i], t = block.t[i];
          if (row >= top && row < bottom) {
            for (int64_t c = 0; c < channels; ++c) grad[at.a + c] += g[c] * ((T(1) - s) * (T(1) - t));
            if (block.right[i])
              for (int64_t c = 0; c < channels; ++c) grad[at.b + c] += g[c] * (s * (T(1) - t));
          }
          if (const int32_t below = row + block.down[i]; block.down[i] && below >= top && below < bottom) {
            for (int64_t c = 0; c < channels; ++c) grad[at.c + c] += g[c] * ((T(1) - s) * t);
            if (block.right[i])
              for (int64_t c = 0; c < channels; ++c) grad[at.d + c] += g[c] * (s * t);
          }
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
