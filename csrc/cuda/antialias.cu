// csrc/cuda/antialias.cu -- one thread a pixel: it follows the mesh to its right and down, then mixes itself, so the
// picture and its gradient are repeatable; the gradient of the vertices is added up (sums.cuh).
#include "core/antialias.h"
#include "cuda/common.cuh"
#include "cuda/kernels.h"
#include "cuda/sums.cuh"

namespace pyface3d::cuda {
namespace {

template <class T> struct Batch {
  const T* verts_image;
  const int32_t *faces, *opposite;
  int64_t num_verts, height, width;

  __device__ OutlineMesh<T> mesh(int64_t image) const {
    return {verts_image + 3 * num_verts * image, faces, opposite};
  }
  __device__ OutlinePicture<T> picture(int64_t image, const int32_t* outlines) const {
    return {mesh(image), outlines + 2 * height * width * image, height, width};
  }
};

template <class T>
__global__ void outline_kernel(Batch<T> batch, const int32_t* face_index, const T* depth, int32_t* outlines,
                               int64_t items) {
  const int64_t pixels = batch.height * batch.width;
  PF3D_GRID_STRIDE(i, items) {
    const int64_t image = i / pixels, p = i % pixels, x = p % batch.width, y = p / batch.width;
    const OutlineMesh<T> mesh = batch.mesh(image);
    int32_t right = 0, below = 0;
    if (x + 1 < batch.width)
      right = outline_between(mesh, int(x), int(y), true, face_index[i], face_index[i + 1], depth[i], depth[i + 1]);
    if (y + 1 < batch.height)
      below = outline_between(mesh, int(x), int(y), false, face_index[i], face_index[i + batch.width], depth[i],
                              depth[i + batch.width]);
    outlines[2 * pixels * image + p] = right;
    outlines[2 * pixels * image + pixels + p] = below;
  }
}

// Any outline on the four sides of a pixel.
template <class T> __device__ bool at_outline(const OutlinePicture<T>& picture, int64_t x, int64_t y) {
  return (picture.code(x, y, true) | picture.code(x, y, false) | (x > 0 ? picture.code(x - 1, y, true) : 0) |
          (y > 0 ? picture.code(x, y - 1, false) : 0)) != 0;
}

template <class T>
__global__ void mix_kernel(Batch<T> batch, const T* image, const int32_t* outlines, T* mixed, int64_t channels,
                           int64_t items) {
  const int64_t pixels = batch.height * batch.width;
  PF3D_GRID_STRIDE(i, items) {
    const int64_t p = i % pixels, x = p % batch.width, y = p / batch.width;
    const OutlinePicture<T> picture = batch.picture(i / pixels, outlines);
    if (!at_outline(picture, x, y)) {
      for (int64_t c = 0; c < channels; ++c) mixed[i * channels + c] = image[i * channels + c];
      continue;
    }
    const PixelShares<T> shares = pixel_shares(picture, x, y);
    for (int64_t c = 0; c < channels; ++c)
      mixed[i * channels + c] = mix_pixel(image + i * channels + c, channels, batch.width * channels, shares);
  }
}

template <class T>
__global__ void image_gradient_kernel(Batch<T> batch, const int32_t* outlines, const T* grad_mixed, T* grad_image,
                                      int64_t channels, int64_t items) {
  const int64_t pixels = batch.height * batch.width;
  PF3D_GRID_STRIDE(i, items) {
    const int64_t p = i % pixels, x = p % batch.width, y = p / batch.width;
    const OutlinePicture<T> picture = batch.picture(i / pixels, outlines);
    if (at_outline(picture, x, y)) {
      antialias_vjp_image(picture, x, y, grad_mixed + i * channels, grad_image + i * channels, channels);
    } else {
      for (int64_t c = 0; c < channels; ++c) grad_image[i * channels + c] = grad_mixed[i * channels + c];
    }
  }
}

template <class T, class Sum>
__global__ void vertex_gradient_kernel(Batch<T> batch, const T* image, const int32_t* outlines, const T* grad_mixed,
                                       Sum grad_verts, int64_t channels, int64_t items) {
  const int64_t pixels = batch.height * batch.width;
  PF3D_GRID_STRIDE(i, items) {
    const int64_t b = i / pixels, p = i % pixels, x = p % batch.width, y = p / batch.width;
    const OutlinePicture<T> picture = batch.picture(b, outlines);
    for (int plane = 0; plane < 2; ++plane) {
      if (picture.code(x, y, plane == 0) == 0) continue;
      const EdgeGradient<T> g = antialias_vjp_edge(picture, x, y, plane == 0, image + i * channels,
                                                   grad_mixed + i * channels, channels);
      const Sum grad = grad_verts + 3 * batch.num_verts * b;
      add_to(grad + 3 * int64_t(g.a), g.grad_a.x);
      add_to(grad + (3 * int64_t(g.a) + 1), g.grad_a.y);
      add_to(grad + 3 * int64_t(g.b), g.grad_b.x);
      add_to(grad + (3 * int64_t(g.b) + 1), g.grad_b.y);
    }
  }
}

}  // namespace

template <class T>
void antialias(const T* image, const T* verts_image, const T* depth, const int32_t* faces, const int32_t* opposite,
               const int32_t* face_index, T* mixed, int32_t* outlines, int64_t batch, int64_t num_verts, int64_t,
               int64_t height, int64_t width, int64_t channels, Stream stream) {
  const int64_t items = batch * height * width;
  const Batch<T> views{verts_image, faces, opposite, num_verts, height, width};
  launch(outline_kernel<T>, items, stream, views, face_index, depth, outlines, items);
  launch(mix_kernel<T>, items, stream, views, image, outlines, mixed, channels, items);
}

template <class T>
void antialias_backward(const T* image, const T* verts_image, const int32_t* faces, const int32_t* opposite,
                        const int32_t* outlines, const T* grad_mixed, T* grad_image, T* grad_verts, int64_t batch,
                        int64_t num_verts, int64_t height, int64_t width, int64_t channels, int64_t* workspace,
                        Stream stream) {
  const int64_t items = batch * height * width;
  const Batch<T> views{verts_image, faces, opposite, num_verts, height, width};
  if (grad_image)
    launch(image_gradient_kernel<T>, items, stream, views, outlines, grad_mixed, grad_image, channels, items);
  if (grad_verts) {
    const auto draw = [&](auto grad) {
      launch(vertex_gradient_kernel<T, decltype(grad)>, items, stream, views, image, outlines, grad_mixed, grad,
             channels, items);
    };
    // A pixel has two edges, and adds to a vertex once for each at most.
    add_up(stream, draw, Summed<T>{grad_verts, 3 * batch * num_verts, 4 * height * width, workspace});
  }
}

#define PF3D_INSTANTIATE(T)                                                                                            \
  template void antialias(const T*, const T*, const T*, const int32_t*, const int32_t*, const int32_t*, T*, int32_t*,  \
                          int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, Stream);                               \
  template void antialias_backward(const T*, const T*, const int32_t*, const int32_t*, const int32_t*, const T*, T*,   \
                                   T*, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t*, Stream);
PF3D_INSTANTIATE(float)
PF3D_INSTANTIATE(double)

}  // namespace pyface3d::cuda
