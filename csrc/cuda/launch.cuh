// csrc/cuda/launch.cuh -- the only use of the launch syntax. A header of the same name in tests/cuda_emulation, found
// before this one, runs the same kernels on the host.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/kernels.h"

namespace pyface3d::cuda {

constexpr int64_t max_blocks() { return 1 << 20; }

template <class... P, class... A>
void run_kernel(void (*kernel)(P...), dim3 blocks, int threads, Stream stream, const A&... args) {
  kernel<<<blocks, threads, 0, stream>>>(args...);
}

}  // namespace pyface3d::cuda
