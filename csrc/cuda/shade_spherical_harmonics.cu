// csrc/cuda/shade_spherical_harmonics.cu -- one thread a normal; a block sums the light's gradient of one image in
// registers and shared memory, in a fixed order, and adds it once (sums.cuh).
#include "core/spherical_harmonics.h"
#include "cuda/common.cuh"
#include "cuda/kernels.h"
#include "cuda/sums.cuh"

namespace pyface3d::cuda {
namespace {

constexpr int kLight = 3 * kBands;
constexpr int kWarp = 32;
constexpr int64_t kMaxRows = 65535;  // of a grid's second axis

// Blocks of one image by images.
dim3 grid_for(int64_t batch, int64_t count, int64_t per_thread) {
  const unsigned columns = blocks_for((count + per_thread - 1) / per_thread);
  return dim3(columns, static_cast<unsigned>(std::min(batch, kMaxRows)));
}

template <class T>
__global__ void forward_kernel(const T* normals, const T* light, const T* albedo, T* shaded, int64_t batch,
                               int64_t count) {
  for (int64_t b = blockIdx.y; b < batch; b += gridDim.y) {
    PF3D_GRID_STRIDE(i, count) {
      const int64_t k = b * count + i;
      const Vec3<T> colour = shade(load3(normals, k), light + b * kLight);
      store3(shaded, k, albedo ? times(colour, load3(albedo, k)) : colour);
    }
  }
}

template <class T, class Sum>
__global__ void backward_kernel(const T* normals, const T* light, const T* albedo, const T* grad_shaded,
                                T* grad_normals, Sum grad_light, T* grad_albedo, int64_t batch, int64_t count) {
  __shared__ T block_sums[kThreads / kWarp][kLight];
  for (int64_t b = blockIdx.y; b < batch; b += gridDim.y) {
    const T* image_light = light + b * kLight;
    T sums[kLight] = {};
    PF3D_GRID_STRIDE(i, count) {
      const int64_t k = b * count + i;
      const Vec3<T> n = load3(normals, k), g_out = load3(grad_shaded, k);
      const Vec3<T> g = albedo ? times(g_out, load3(albedo, k)) : g_out;
      if (SumTraits<Sum>::kLast && grad_normals) store3(grad_normals, k, shade_vjp_normal(n, image_light, g));
      if (grad_light) shade_vjp_light(n, g, sums);
      if (SumTraits<Sum>::kLast && grad_albedo) store3(grad_albedo, k, times(g_out, shade(n, image_light)));
    }
    if (!grad_light) continue;
    for (int j = 0; j < kLight; ++j) {
      for (int lane = kWarp / 2; lane > 0; lane /= 2) sums[j] += __shfl_down_sync(0xffffffffu, sums[j], lane);
      if (threadIdx.x % kWarp == 0) block_sums[threadIdx.x / kWarp][j] = sums[j];
    }
    __syncthreads();
    if (threadIdx.x < kLight) {
      T sum = T(0);
      for (int w = 0; w < kThreads / kWarp; ++w) sum += block_sums[w][threadIdx.x];
      add_to(grad_light + (b * kLight + threadIdx.x), sum);
    }
    __syncthreads();
  }
}

}  // namespace

template <class T>
void shade_spherical_harmonics(const T* normals, const T* light, const T* albedo, T* shaded, int64_t batch,
                               int64_t count, Stream stream) {
  if (batch * count == 0) return;
  launch_blocks(forward_kernel<T>, grid_for(batch, count, 1), stream, normals, light, albedo, shaded, batch, count);
}

template <class T>
void shade_spherical_harmonics_backward(const T* normals, const T* light, const T* albedo, const T* grad_shaded,
                                        T* grad_normals, T* grad_light, T* grad_albedo, int64_t batch, int64_t count,
                                        int64_t* workspace, Stream stream) {
  const auto draw = [&](auto light_sum) {
    if (batch * count == 0) return;
    launch_blocks(backward_kernel<T, decltype(light_sum)>, grid_for(batch, count, 8), stream, normals, light, albedo,
                  grad_shaded, grad_normals, light_sum, grad_albedo, batch, count);
  };
  add_up(stream, draw, Summed<T>{grad_light, kLight * batch, count, workspace});
}

#define PF3D_INSTANCES(T)                                                                                            \
  template void shade_spherical_harmonics(const T*, const T*, const T*, T*, int64_t, int64_t, Stream);               \
  template void shade_spherical_harmonics_backward(const T*, const T*, const T*, const T*, T*, T*, T*, int64_t,      \
                                                   int64_t, int64_t*, Stream)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cuda
