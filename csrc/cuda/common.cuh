// csrc/cuda/common.cuh -- launches and error checks shared by the CUDA kernels.
#pragma once
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "cuda/kernels.h"
#include "cuda/launch.cuh"

namespace pyface3d::cuda {

constexpr int kThreads = 256;

// Enough blocks for one thread per item, bounded: kernels walk the rest with a grid-stride loop.
inline unsigned blocks_for(int64_t items) {
  return static_cast<unsigned>(std::min<int64_t>((items + kThreads - 1) / kThreads, max_blocks()));
}

inline void check(cudaError_t status, const char* where) {
  if (status != cudaSuccess)
    throw std::runtime_error(std::string("CUDA error in ") + where + ": " + cudaGetErrorString(status));
}
#define PF3D_CUDA_CHECK(call) ::pyface3d::cuda::check((call), __func__)

// Runs kernel(args...) in `blocks` blocks of kThreads; errors of the launch throw.
template <class... P, class... A>
void launch_blocks(void (*kernel)(P...), dim3 blocks, Stream stream, const A&... args) {
  run_kernel(kernel, blocks, kThreads, stream, args...);
  PF3D_CUDA_CHECK(cudaGetLastError());
}

// One thread an item; no items are no launch, because an empty grid is an error.
template <class... P, class... A>
void launch(void (*kernel)(P...), int64_t items, Stream stream, const A&... args) {
  if (items > 0) launch_blocks(kernel, blocks_for(items), stream, args...);
}

// for (each item this thread has to do)
#define PF3D_GRID_STRIDE(index, count)                                                   \
  for (int64_t index = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;      \
       index < (count); index += static_cast<int64_t>(gridDim.x) * blockDim.x)

}  // namespace pyface3d::cuda
