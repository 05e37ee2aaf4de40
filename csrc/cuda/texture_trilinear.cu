// csrc/cuda/texture_trilinear.cu -- sample_texture and render_texture through a mip pyramid: one thread a pixel; the
// gradients of texture and pyramid are added up (sums.cuh).
#include "core/mip.h"

#include "cuda/common.cuh"
#include "cuda/kernels.h"
#include "cuda/sums.cuh"

namespace pyface3d::cuda {
namespace {

template <class T, class Uvs>
__global__ void forward_kernel(Pyramid<T> pyramid, Uvs source, const T* footprints, T* colours, int64_t count,
                               int64_t items) {
  const int64_t channels = pyramid.texture.channels;
  PF3D_GRID_STRIDE(pixel, items) {
    T* out = colours + pixel * channels;
    const Vec2<T> uv = source.at(pixel);
    const LevelReads<T> reads(pyramid, uv, footprints + 4 * pixel);
    for (int64_t c = 0; c < channels; ++c) out[c] = T(0);
    for (int k = 0; k < reads.count; ++k) {
      const int32_t level = reads.level(k);
      const Lookup<T> taps = pyramid.lookup(uv, level);
      const Patch at = patch_of(taps, pyramid.levels.width[level], channels);
      const T* texels = pyramid.texels(pixel / count, level);
      for (int64_t c = 0; c < channels; ++c)
        out[c] += bilinear(texels[at.a + c], texels[at.b + c], texels[at.c + c], texels[at.d + c], taps.x.t,
                           taps.y.t) * reads.weight(k);
    }
  }
}

// grad_source: of the uvs or of the barycentrics, may be null; grad_texture and grad_above may both be.
template <class T, class Uvs, class Sum>
__global__ void backward_kernel(Pyramid<T> pyramid, Uvs source, const T* footprints, const T* grad_colours,
                                Sum grad_texture, Sum grad_above, T* grad_source, int64_t count, int64_t items) {
  const int64_t channels = pyramid.texture.channels;
  PF3D_GRID_STRIDE(pixel, items) {
    const Vec2<T> uv = source.at(pixel);
    const LevelReads<T> reads(pyramid, uv, footprints + 4 * pixel);
    const T* g = grad_colours + pixel * channels;
    Vec2<T> grad;
    for (int k = 0; k < reads.count; ++k) {
      const int32_t level = reads.level(k);
      const Lookup<T> taps = pyramid.lookup(uv, level);
      const Patch at = patch_of(taps, pyramid.levels.width[level], channels);
      const T s = taps.x.t, t = taps.y.t, weight = reads.weight(k);
      if (grad_texture) {
        const Sum out = (level == 0 ? grad_texture : grad_above) + pyramid.first(pixel / count, level);
        for (int64_t c = 0; c < channels; ++c) {
          const T share = g[c] * weight;
          add_to(out + (at.a + c), share * ((T(1) - s) * (T(1) - t)));
          if (taps.x.step) add_to(out + (at.b + c), share * (s * (T(1) - t)));
          if (taps.y.step) add_to(out + (at.c + c), share * ((T(1) - s) * t));
          if (taps.x.step && taps.y.step) add_to(out + (at.d + c), share * (s * t));
        }
      }
      if (SumTraits<Sum>::kLast && grad_source)
        grad = grad + bilinear_vjp_uv(pyramid.texels(pixel / count, level), at, taps, g, channels) * weight;
    }
    if (SumTraits<Sum>::kLast && grad_source) source.store_grad(grad_source, pixel, grad);
  }
}

template <class T, class Uvs>
void forward(const Pyramid<T>& pyramid, const Uvs& source, const T* footprints, T* colours, int64_t batch,
             int64_t count, Stream stream) {
  const int64_t items = batch * count;
  launch(forward_kernel<T, Uvs>, items, stream, pyramid, source, footprints, colours, count, items);
}

template <class T, class Uvs>
void backward(const Pyramid<T>& pyramid, const Uvs& source, const T* footprints, const T* grad_colours,
              T* grad_texture, T* grad_above, T* grad_source, int64_t batch, int64_t count, int64_t* texture_workspace,
              int64_t* above_workspace, Stream stream) {
  const Texture<T>& texture = pyramid.texture;
  const int64_t items = batch * count, terms = 4 * (texture.batch == 1 ? items : count);
  const auto draw = [&](auto texture_sum, auto above_sum) {
    launch(backward_kernel<T, Uvs, decltype(texture_sum)>, items, stream, pyramid, source, footprints, grad_colours,
           texture_sum, above_sum, grad_source, count, items);
  };
  add_up(stream, draw, Summed<T>{grad_texture, texture.batch * texture.size(), terms, texture_workspace},
         Summed<T>{grad_above, texture.batch * pyramid.levels.texels * texture.channels, terms, above_workspace});
}

}  // namespace

template <class T>
void sample_texture_trilinear(const T* texture, const T* above, const T* uvs, const T* footprints, T* colours,
                              int64_t textures, int64_t height, int64_t width, int64_t channels, int64_t batch,
                              int64_t count, int wrap, Stream stream) {
  forward(pyramid_of(texture, above, textures, height, width, channels, wrap), GivenUvs<T>{uvs}, footprints, colours,
          batch, count, stream);
}

template <class T>
void sample_texture_trilinear_backward(const T* texture, const T* above, const T* uvs, const T* footprints,
                                       const T* grad_colours, T* grad_texture, T* grad_above, T* grad_uvs,
                                       int64_t textures, int64_t height, int64_t width, int64_t channels,
                                       int64_t batch, int64_t count, int wrap, int64_t* texture_workspace,
                                       int64_t* above_workspace, Stream stream) {
  backward(pyramid_of(texture, above, textures, height, width, channels, wrap), GivenUvs<T>{uvs}, footprints,
           grad_colours, grad_texture, grad_above, grad_uvs, batch, count, texture_workspace, above_workspace,
           stream);
}

template <class T>
void render_texture_trilinear(const T* texture, const T* above, const int32_t* face_index, const T* barycentrics,
                              const T* uvs, const int32_t* uv_faces, const T* footprints, T* colours,
                              int64_t textures, int64_t height, int64_t width, int64_t channels, int64_t batch,
                              int64_t count, int64_t num_faces, int wrap, Stream stream) {
  forward(pyramid_of(texture, above, textures, height, width, channels, wrap),
          FragmentUvs<T>{face_index, barycentrics, uvs, uv_faces, num_faces}, footprints, colours, batch, count,
          stream);
}

template <class T>
void render_texture_trilinear_backward(const T* texture, const T* above, const int32_t* face_index,
                                       const T* barycentrics, const T* uvs, const int32_t* uv_faces,
                                       const T* footprints, const T* grad_colours, T* grad_texture, T* grad_above,
                                       T* grad_barycentrics, int64_t textures, int64_t height, int64_t width,
                                       int64_t channels, int64_t batch, int64_t count, int64_t num_faces, int wrap,
                                       int64_t* texture_workspace, int64_t* above_workspace, Stream stream) {
  backward(pyramid_of(texture, above, textures, height, width, channels, wrap),
           FragmentUvs<T>{face_index, barycentrics, uvs, uv_faces, num_faces}, footprints, grad_colours, grad_texture,
           grad_above, grad_barycentrics, batch, count, texture_workspace, above_workspace, stream);
}

#define PF3D_INSTANCES(T)                                                                                            \
  template void sample_texture_trilinear(const T*, const T*, const T*, const T*, T*, int64_t, int64_t, int64_t,      \
                                         int64_t, int64_t, int64_t, int, Stream);                                    \
  template void sample_texture_trilinear_backward(const T*, const T*, const T*, const T*, const T*, T*, T*, T*,      \
                                                  int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int,         \
                                                  int64_t*, int64_t*, Stream);                                       \
  template void render_texture_trilinear(const T*, const T*, const int32_t*, const T*, const T*, const int32_t*,     \
                                         const T*, T*, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,         \
                                         int64_t, int, Stream);                                                      \
  template void render_texture_trilinear_backward(const T*, const T*, const int32_t*, const T*, const T*,            \
                                                  const int32_t*, const T*, const T*, T*, T*, T*, int64_t, int64_t,  \
                                                  int64_t, int64_t, int64_t, int64_t, int64_t, int, int64_t*,        \
                                                  int64_t*, Stream)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cuda
