// tests/cuda_emulation/faulty.cu -- kernels with one fault each, and two without: what the emulation has to find.
// Compiled like those of csrc/cuda; every entry point is a C function on an array of 32-bit values.
#include "cuda/common.cuh"

namespace pyface3d::cuda {
namespace {

__global__ void one_past_the_end(int* values, int count) {
  PF3D_GRID_STRIDE(i, count) values[i + 1] = 1;
}

// Every thread adds to its neighbour's value without an atomic.
__global__ void lost_update(int* values, int count) {
  PF3D_GRID_STRIDE(i, count) values[i / 2] += 1;
}

__global__ void read_of_what_another_block_writes(int* values, int count) {
  if (threadIdx.x == 0) values[blockIdx.x] = values[(blockIdx.x + 1) % count];
}

__global__ void missing_barrier(int* values, int count) {
  __shared__ int turned[kThreads];
  turned[threadIdx.x] = int(threadIdx.x);
  if (int(threadIdx.x) < count) values[threadIdx.x] = turned[kThreads - 1 - threadIdx.x];
}

__global__ void barrier_in_a_branch(int* values, int count) {
  if (int(threadIdx.x) < count) __syncthreads();
  __syncwarp();
  if (threadIdx.x == 0) values[0] = 1;
  __syncthreads();
  __syncthreads();
}

__global__ void lane_left_out(int* values, int) {
  const int sum = __shfl_down_sync(0x0000ffffu, int(threadIdx.x), 1);
  if (threadIdx.x == 0) values[0] = sum;
}

// The last one to come decides: atomic, so no race, but the order shows.
__global__ void last_one_wins(int* values, int count) {
  PF3D_GRID_STRIDE(i, count) atomicExch(values, int(i));
}

// Reads, then adds what it read: another thread may add in between.
__global__ void read_then_add(int* values, int count) {
  PF3D_GRID_STRIDE(i, count) {
    const int before = atomicAdd(values, 0);
    atomicExch(values, before + 1);
  }
}

// Sound: each block reverses its part through shared memory, and a warp sums by shuffles.
__global__ void reversed_blocks(int* values, int) {
  __shared__ int turned[kThreads];
  int* mine = values + blockIdx.x * kThreads;
  turned[threadIdx.x] = mine[threadIdx.x];
  __syncthreads();
  mine[threadIdx.x] = turned[kThreads - 1 - threadIdx.x];
}

__global__ void sum(int* values, int count) {
  int total = 0;
  PF3D_GRID_STRIDE(i, count) total += int(i);
  for (int lane = 16; lane > 0; lane /= 2) total += __shfl_down_sync(0xffffffffu, total, lane);
  if (threadIdx.x % 32 == 0) atomicAdd(values, total);
}

std::string message;

template <class Kernel> const char* outcome(Kernel kernel, unsigned blocks, int* values, int count) {
  message.clear();
  try {
    launch_blocks(kernel, dim3(blocks), nullptr, values, count);
  } catch (const std::exception& error) {
    message = error.what();
  }
  return message.c_str();
}

}  // namespace
}  // namespace pyface3d::cuda

#define ENTRY(name)                                                                                    \
  extern "C" __attribute__((visibility("default"))) const char* name(unsigned blocks, int* values, int count) { \
    return pyface3d::cuda::outcome(pyface3d::cuda::name, blocks, values, count);                       \
  }
ENTRY(one_past_the_end)
ENTRY(lost_update)
ENTRY(read_of_what_another_block_writes)
ENTRY(missing_barrier)
ENTRY(barrier_in_a_branch)
ENTRY(lane_left_out)
ENTRY(last_one_wins)
ENTRY(read_then_add)
ENTRY(reversed_blocks)
ENTRY(sum)
