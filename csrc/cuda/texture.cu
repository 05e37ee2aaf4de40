// csrc/cuda/texture.cu -- sample_texture and render_texture: one thread a pixel; the texture's gradient is added
// up (sums.cuh).
#include "core/texture.h"

#include "cuda/common.cuh"
#include "cuda/kernels.h"
#include "cuda/sums.cuh"

namespace pyface3d::cuda {
namespace {

template <class T, class Uvs>
__global__ void forward_kernel(Texture<T> texture, Uvs source, T* colours, int64_t count, int64_t items) {
  PF3D_GRID_STRIDE(pixel, items) {
    T* out = colours + pixel * texture.channels;
    const Vec2<T> uv = source.at(pixel);
    if (!is_finite(uv)) {
      for (int64_t c = 0; c < texture.channels; ++c) out[c] = T(0);
      continue;
    }
    const Lookup<T> f = lookup(uv, texture.height, texture.width, texture.filter, texture.wrap);
    const Patch at = patch_of(f, texture.width, texture.channels);
    const T* texels = texture.texels + texture.first(pixel / count);
    if (texture.filter == kNearest) {
      for (int64_t c = 0; c < texture.channels; ++c) out[c] = texels[at.a + c];
    } else {
      for (int64_t c = 0; c < texture.channels; ++c)
        out[c] = bilinear(texels[at.a + c], texels[at.b + c], texels[at.c + c], texels[at.d + c], f.x.t, f.y.t);
    }
  }
}

// grad_source: of the uvs or of the barycentrics; either gradient may be null.
template <class T, class Uvs, class Sum>
__global__ void backward_kernel(Texture<T> texture, Uvs source, const T* grad_colours, Sum grad_texture,
                                T* grad_source, int64_t count, int64_t items) {
  PF3D_GRID_STRIDE(pixel, items) {
    Vec2<T> grad;
    const Vec2<T> uv = source.at(pixel);
    if (is_finite(uv)) {
      const Lookup<T> f = lookup(uv, texture.height, texture.width, texture.filter, texture.wrap);
      const Patch at = patch_of(f, texture.width, texture.channels);
      const int64_t first = texture.first(pixel / count);
      const T s = f.x.t, t = f.y.t;
      for (int64_t c = 0; c < texture.channels; ++c) {
        const T g = grad_colours[pixel * texture.channels + c];
        if (grad_texture) {
          const Sum out = grad_texture + (first + c);
          add_to(out + at.a, g * ((T(1) - s) * (T(1) - t)));
          if (f.x.step) add_to(out + at.b, g * (s * (T(1) - t)));
          if (f.y.step) add_to(out + at.c, g * ((T(1) - s) * t));
          if (f.x.step && f.y.step) add_to(out + at.d, g * (s * t));
        }
        if (SumTraits<Sum>::kLast && grad_source && texture.filter == kBilinear) {
          const T* in = texture.texels + first + c;
          grad.x += bilinear_ds(in[at.a], in[at.b], in[at.c], in[at.d], t) * g;
          grad.y += bilinear_dt(in[at.a], in[at.b], in[at.c], in[at.d], s) * g;
        }
      }
      grad = {grad.x * f.x.slope, grad.y * f.y.slope};
    }
    if (SumTraits<Sum>::kLast && grad_source) source.store_grad(grad_source, pixel, grad);
  }
}

template <class T, class Uvs>
void forward(const Texture<T>& texture, const Uvs& source, T* colours, int64_t batch, int64_t count, Stream stream) {
  const int64_t items = batch * count;
  if (items == 0) return;
  launch(forward_kernel<T, Uvs>, items, stream, texture, source, colours, count, items);
}

template <class T, class Uvs>
void backward(const Texture<T>& texture, const Uvs& source, const T* grad_colours, T* grad_texture, T* grad_source,
              int64_t batch, int64_t count, int64_t* workspace, Stream stream) {
  const int64_t items = batch * count, terms = 4 * (texture.batch == 1 ? items : count);
  const auto draw = [&](auto sum) {
    launch(backward_kernel<T, Uvs, decltype(sum)>, items, stream, texture, source, grad_colours, sum, grad_source,
           count, items);
  };
  add_up(stream, draw, Summed<T>{grad_texture, texture.batch * texture.size(), terms, workspace});
}

}  // namespace

template <class T>
void sample_texture(const T* texture, const T* uvs, T* colours, int64_t textures, int64_t height, int64_t width,
                    int64_t channels, int64_t batch, int64_t count, int filter, int wrap, Stream stream) {
  forward(Texture<T>{texture, textures, int32_t(height), int32_t(width), channels, filter, wrap}, GivenUvs<T>{uvs},
          colours, batch, count, stream);
}

template <class T>
void sample_texture_backward(const T* texture, const T* uvs, const T* grad_colours, T* grad_texture, T* grad_uvs,
                             int64_t textures, int64_t height, int64_t width, int64_t channels, int64_t batch,
                             int64_t count, int filter, int wrap, int64_t* workspace, Stream stream) {
  backward(Texture<T>{texture, textures, int32_t(height), int32_t(width), channels, filter, wrap}, GivenUvs<T>{uvs},
           grad_colours, grad_texture, grad_uvs, batch, count, workspace, stream);
}

template <class T>
void render_texture(const T* texture, const int32_t* face_index, const T* barycentrics, const T* uvs,
                    const int32_t* uv_faces, T* colours, int64_t textures, int64_t height, int64_t width,
                    int64_t channels, int64_t batch, int64_t count, int64_t num_faces, int filter, int wrap,
                    Stream stream) {
  forward(Texture<T>{texture, textures, int32_t(height), int32_t(width), channels, filter, wrap},
          FragmentUvs<T>{face_index, barycentrics, uvs, uv_faces, num_faces}, colours, batch, count, stream);
}

template <class T>
void render_texture_backward(const T* texture, const int32_t* face_index, const T* barycentrics, const T* uvs,
                             const int32_t* uv_faces, const T* grad_colours, T* grad_texture, T* grad_barycentrics,
                             int64_t textures, int64_t height, int64_t width, int64_t channels, int64_t batch,
                             int64_t count, int64_t num_faces, int filter, int wrap, int64_t* workspace,
                             Stream stream) {
  backward(Texture<T>{texture, textures, int32_t(height), int32_t(width), channels, filter, wrap},
           FragmentUvs<T>{face_index, barycentrics, uvs, uv_faces, num_faces}, grad_colours, grad_texture,
           grad_barycentrics, batch, count, workspace, stream);
}

#define PF3D_INSTANCES(T)                                                                                             \
  template void sample_texture(const T*, const T*, T*, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int, int, \
                               Stream);                                                                               \
  template void sample_texture_backward(const T*, const T*, const T*, T*, T*, int64_t, int64_t, int64_t, int64_t,     \
                                        int64_t, int64_t, int, int, int64_t*, Stream);                                \
  template void render_texture(const T*, const int32_t*, const T*, const T*, const int32_t*, T*, int64_t, int64_t,    \
                               int64_t, int64_t, int64_t, int64_t, int64_t, int, int, Stream);                        \
  template void render_texture_backward(const T*, const int32_t*, const T*, const T*, const int32_t*, const T*, T*,   \
                                        T*, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int, int,  \
                                        int64_t*, Stream)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cuda
