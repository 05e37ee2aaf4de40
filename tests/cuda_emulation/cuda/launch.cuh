// tests/cuda_emulation/cuda/launch.cuh -- stands in for csrc/cuda/launch.cuh: every launch runs on the host, at once.
#pragma once
#include <cuda_runtime.h>

#include "cuda/kernels.h"

namespace emulation {

int64_t max_blocks();  // few, so that grid-stride loops take more than one turn

}  // namespace emulation

namespace pyface3d::cuda {

inline int64_t max_blocks() { return emulation::max_blocks(); }

template <class... P, class... A>
void run_kernel(void (*kernel)(P...), dim3 blocks, unsigned threads, Stream, const A&... args) {
  // Not instrumented: it reads the arguments from the host's stack, as the real launch does.
  auto thread = [&]() __attribute__((no_sanitize("thread"))) { kernel(args...); };
  using Thread = decltype(thread);
  emulation::run(blocks, threads, [](void* t) __attribute__((no_sanitize("thread"))) { (*static_cast<Thread*>(t))(); },
                 &thread);
}

}  // namespace pyface3d::cuda
