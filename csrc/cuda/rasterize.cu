// csrc/cuda/rasterize.cu -- depth by atomic minimum, then the lowest face among those at that depth: no order of the
// threads can change the result, and neither pass needs memory beyond the outputs. Positive floating-point numbers
// are ordered like their bits, and -1 is the greatest unsigned face, so both minima are minima of unsigned integers.
#include "core/raster.h"
#include "cuda/common.cuh"
#include "cuda/kernels.h"
#include "cuda/sums.cuh"

namespace pyface3d::cuda {
namespace {

__device__ __forceinline__ unsigned depth_bits(float depth) { return __float_as_uint(depth); }
__device__ __forceinline__ unsigned long long depth_bits(double depth) {
  return static_cast<unsigned long long>(__double_as_longlong(depth));
}
template <class T> using DepthBits = decltype(depth_bits(T()));

template <class T> struct Scene {
  const T* verts_image;
  const int32_t* faces;
  int32_t* face_index;
  T* depth;
  int64_t num_verts, num_faces;
  int height, width;
  bool cull_back, perspective;
};

template <class T>
__device__ void load_face(const T* verts, const int32_t* face, bool perspective, RasterVertex<T> (&v)[3]) {
  for (int k = 0; k < 3; ++k) v[k] = raster_vertex(load3(verts, face[k]), perspective);
}

template <class T, bool kDepthPass>
__device__ void draw_pixel(const Scene<T>& scene, const RasterVertex<T> (&v)[3], int64_t item, int x, int y) {
  RasterSample<T> sample;
  if (!sample_face(v, T(x) + T(0.5), T(y) + T(0.5), scene.cull_back, sample)) return;
  const int64_t p = (item / scene.num_faces * scene.height + y) * scene.width + x;
  auto* nearest = reinterpret_cast<DepthBits<T>*>(scene.depth) + p;
  if (kDepthPass) {
    atomicMin(nearest, depth_bits(sample.depth));
  } else if (*nearest == depth_bits(sample.depth)) {
    atomicMin(reinterpret_cast<unsigned*>(scene.face_index) + p, static_cast<unsigned>(item % scene.num_faces));
  }
}

template <class T>
__device__ PixelBox load_item(const Scene<T>& scene, int64_t item, RasterVertex<T> (&v)[3]) {
  load_face(scene.verts_image + 3 * scene.num_verts * (item / scene.num_faces),
            scene.faces + 3 * (item % scene.num_faces), scene.perspective, v);
  return pixel_box(v, scene.width, scene.height);
}

// A thread draws a small face by itself; the warp draws the larger ones of its threads together, one after another.
template <class T, bool kDepthPass> __global__ void draw_kernel(Scene<T> scene, int64_t items) {
  constexpr int kSmall = 24;
  const int lane = threadIdx.x % 32;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  const int64_t first = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  for (int64_t item = first; item - lane < items; item += stride) {  // the same number of turns for a whole warp
    RasterVertex<T> v[3];
    bool large = false;
    if (item < items) {
      const PixelBox box = load_item(scene, item, v);
      const bool empty = box.x0 > box.x1 || box.y0 > box.y1;
      large = !empty && int64_t(box.x1 - box.x0 + 1) * (box.y1 - box.y0 + 1) > kSmall;
      if (!empty && !large) {
        for (int y = box.y0; y <= box.y1; ++y)
          for (int x = box.x0; x <= box.x1; ++x) draw_pixel<T, kDepthPass>(scene, v, item, x, y);
      }
    }
    for (unsigned waiting = __ballot_sync(0xffffffffu, large); waiting; waiting &= waiting - 1) {
      const int64_t shared_item = item - lane + __ffs(static_cast<int>(waiting)) - 1;
      const PixelBox box = load_item(scene, shared_item, v);
      const int columns = box.x1 - box.x0 + 1;
      const int64_t pixels = int64_t(columns) * (box.y1 - box.y0 + 1);
      for (int64_t k = lane; k < pixels; k += 32)
        draw_pixel<T, kDepthPass>(scene, v, shared_item, box.x0 + int(k % columns), box.y0 + int(k / columns));
    }
  }
}

template <class T> __global__ void resolve_kernel(Scene<T> scene, T* barycentrics, int64_t pixels) {
  const int64_t image = int64_t(scene.height) * scene.width;
  PF3D_GRID_STRIDE(p, pixels) {
    if (scene.face_index[p] < 0) {
      scene.depth[p] = T(0);
      store3(barycentrics, p, Vec3<T>{});
      continue;
    }
    RasterVertex<T> v[3];
    load_face(scene.verts_image + 3 * scene.num_verts * (p / image),
              scene.faces + 3 * int64_t(scene.face_index[p]), scene.perspective, v);
    const EdgeValues at = edge_values(v, T(p % scene.width) + T(0.5), T(p % image / scene.width) + T(0.5));
    store3(barycentrics, p, raster_sample(v, at).barycentrics);
  }
}

template <class T, class Sum>
__global__ void backward_kernel(const T* verts_image, const int32_t* faces, const int32_t* face_index,
                                const T* grad_barycentrics, const T* grad_depth, Sum grad_verts, int64_t num_verts,
                                int64_t image, int64_t width, bool perspective, int64_t pixels) {
  PF3D_GRID_STRIDE(p, pixels) {
    if (face_index[p] < 0) continue;
    const int64_t offset = 3 * num_verts * (p / image);
    const int32_t* face = faces + 3 * int64_t(face_index[p]);
    RasterVertex<T> v[3];
    load_face(verts_image + offset, face, perspective, v);
    Vec3<T> g[3];
    raster_vjp(v, T(p % width) + T(0.5), T(p % image / width) + T(0.5), perspective,
               grad_barycentrics ? load3(grad_barycentrics, p) : Vec3<T>{}, grad_depth ? grad_depth[p] : T(0), g);
    for (int k = 0; k < 3; ++k) add3_to(grad_verts + offset, face[k], g[k]);
  }
}

}  // namespace

template <class T>
void rasterize(const T* verts_image, const int32_t* faces, int32_t* face_index, T* barycentrics, T* depth,
               int64_t batch, int64_t num_verts, int64_t num_faces, int64_t height, int64_t width, bool cull_back,
               bool perspective, Stream stream) {
  const int64_t pixels = batch * height * width, items = batch * num_faces;
  if (pixels == 0) return;
  PF3D_CUDA_CHECK(cudaMemsetAsync(face_index, 0xff, sizeof(int32_t) * pixels, stream));
  PF3D_CUDA_CHECK(cudaMemsetAsync(depth, 0xff, sizeof(T) * pixels, stream));
  const Scene<T> scene{verts_image, faces,       face_index,  depth,     num_verts,
                       num_faces,   int(height), int(width),  cull_back, perspective};
  if (items > 0) {
    launch(draw_kernel<T, true>, items, stream, scene, items);
    launch(draw_kernel<T, false>, items, stream, scene, items);
  }
  launch(resolve_kernel<T>, pixels, stream, scene, barycentrics, pixels);
}

template <class T>
void rasterize_backward(const T* verts_image, const int32_t* faces, const int32_t* face_index,
                        const T* grad_barycentrics, const T* grad_depth, T* grad_verts, int64_t batch,
                        int64_t num_verts, int64_t height, int64_t width, bool perspective, int64_t* workspace,
                        Stream stream) {
  const int64_t image = height * width, pixels = batch * image;
  const auto draw = [&](auto grad) {
    launch(backward_kernel<T, decltype(grad)>, pixels, stream, verts_image, faces, face_index, grad_barycentrics,
           grad_depth, grad, num_verts, image, width, perspective, pixels);
  };
  add_up(stream, draw, Summed<T>{grad_verts, 3 * batch * num_verts, 3 * image, workspace});
}

#define PF3D_INSTANTIATE(T)                                                                                            \
  template void rasterize(const T*, const int32_t*, int32_t*, T*, T*, int64_t, int64_t, int64_t, int64_t, int64_t,     \
                          bool, bool, Stream);                                                                         \
  template void rasterize_backward(const T*, const int32_t*, const int32_t*, const T*, const T*, T*, int64_t, int64_t, \
                                   int64_t, int64_t, bool, int64_t*, Stream);
PF3D_INSTANTIATE(float)
PF3D_INSTANTIATE(double)

}  // namespace pyface3d::cuda
