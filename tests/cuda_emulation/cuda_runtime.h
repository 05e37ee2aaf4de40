// tests/cuda_emulation/cuda_runtime.h -- what the CUDA sources use of the CUDA language and runtime, for a host compiler.
// What is not here (synchronisation with the host, allocation) does not compile, and the kernels are to do without it.
#pragma once
#include <math.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __shared__ static  // the runtime keeps one copy for each block that is alive
#define __forceinline__ inline
#define __launch_bounds__(...)

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace emulation {

// Everything a kernel asks of the machine is a call into runtime.cpp, which is not instrumented.
uint3 thread_index();
uint3 block_index();
dim3 block_size();
dim3 grid_size();
void run(dim3 grid, unsigned threads, void (*body)(void*), void* closure);
bool set_memory(void* memory, int value, size_t bytes);
bool copy_memory(void* to, const void* from, size_t bytes);

enum class Update { kAdd, kMin, kMax, kExchange, kAnd, kOr, kXor };
template <class T> T update(T* at, T value, Update how);
template <class T> T compare_and_swap(T* at, T expected, T value);

enum class Collective { kSync, kVote, kShuffle, kReduce };
void sync_block();
int sync_block_counting(bool predicate);
unsigned lane();
// Waits for the lanes of the mask, each with a value; the value of `source`.
uint64_t exchange(unsigned mask, uint64_t value, unsigned source);
unsigned vote(unsigned mask, bool predicate);
void sync_warp(unsigned mask);
template <class T> T reduce(unsigned mask, T value, Update how);

template <class T> uint64_t packed(T value) {
  static_assert(sizeof(T) <= 8);
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof(T));
  return bits;
}
template <class T> T unpacked(uint64_t bits) {
  T value;
  memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace emulation

#define threadIdx (::emulation::thread_index())
#define blockIdx (::emulation::block_index())
#define blockDim (::emulation::block_size())
#define gridDim (::emulation::grid_size())
constexpr int warpSize = 32;

// --- runtime ---
using cudaError_t = int;
constexpr cudaError_t cudaSuccess = 0, cudaErrorIllegalAddress = 700;
enum cudaMemcpyKind { cudaMemcpyDeviceToDevice };
struct CUstream_st;
using cudaStream_t = CUstream_st*;
inline cudaError_t cudaGetLastError() { return cudaSuccess; }  // the runtime throws at once
inline const char* cudaGetErrorString(cudaError_t error) { return error ? "an illegal address" : "no error"; }
inline cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t) {
  return emulation::set_memory(memory, value, bytes) ? cudaSuccess : cudaErrorIllegalAddress;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  return emulation::copy_memory(to, from, bytes) ? cudaSuccess : cudaErrorIllegalAddress;
}

// --- atomics: the pairs of function and type that sm_75 has ---
#define PF3D_ATOMIC(name, how, T) \
  inline T atomic##name(T* at, T value) { return emulation::update(at, value, emulation::Update::how); }
#define PF3D_INTEGER_ATOMICS(T)    \
  PF3D_ATOMIC(Min, kMin, T)        \
  PF3D_ATOMIC(Max, kMax, T)        \
  PF3D_ATOMIC(Exch, kExchange, T)  \
  PF3D_ATOMIC(And, kAnd, T)        \
  PF3D_ATOMIC(Or, kOr, T)          \
  PF3D_ATOMIC(Xor, kXor, T)        \
  inline T atomicCAS(T* at, T expected, T value) { return emulation::compare_and_swap(at, expected, value); }
PF3D_ATOMIC(Add, kAdd, int)
PF3D_ATOMIC(Add, kAdd, unsigned)
PF3D_ATOMIC(Add, kAdd, unsigned long long)
PF3D_ATOMIC(Add, kAdd, float)
PF3D_ATOMIC(Add, kAdd, double)
PF3D_ATOMIC(Exch, kExchange, float)
PF3D_INTEGER_ATOMICS(int)
PF3D_INTEGER_ATOMICS(unsigned)
PF3D_INTEGER_ATOMICS(unsigned long long)
PF3D_ATOMIC(Min, kMin, long long)
PF3D_ATOMIC(Max, kMax, long long)
inline int atomicSub(int* at, int value) { return atomicAdd(at, -value); }
inline unsigned atomicSub(unsigned* at, unsigned value) { return atomicAdd(at, 0u - value); }
#undef PF3D_ATOMIC
#undef PF3D_INTEGER_ATOMICS

// --- barriers and warps ---
inline void __syncthreads() { emulation::sync_block(); }
inline int __syncthreads_or(int predicate) { return emulation::sync_block_counting(predicate != 0) > 0; }
inline int __syncthreads_count(int predicate) { return emulation::sync_block_counting(predicate != 0); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { emulation::sync_warp(mask); }
inline void __threadfence() {}
inline void __threadfence_block() {}

inline unsigned __ballot_sync(unsigned mask, int predicate) { return emulation::vote(mask, predicate != 0); }
inline int __any_sync(unsigned mask, int predicate) { return emulation::vote(mask, predicate != 0) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return emulation::vote(mask, predicate == 0) == 0; }

template <class T> T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  const unsigned first = emulation::lane() & ~unsigned(width - 1);
  return emulation::unpacked<T>(
      emulation::exchange(mask, emulation::packed(value), first + (unsigned(source) & unsigned(width - 1))));
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
  const unsigned lane = emulation::lane(), end = (lane & ~unsigned(width - 1)) + unsigned(width);
  return emulation::unpacked<T>(emulation::exchange(mask, emulation::packed(value), lane + by < end ? lane + by : lane));
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
  const unsigned lane = emulation::lane(), first = lane & ~unsigned(width - 1);
  return emulation::unpacked<T>(emulation::exchange(mask, emulation::packed(value), lane >= first + by ? lane - by : lane));
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  const unsigned lane = emulation::lane(), end = (lane & ~unsigned(width - 1)) + unsigned(width);
  const unsigned source = lane ^ unsigned(bits);
  return emulation::unpacked<T>(emulation::exchange(mask, emulation::packed(value), source < end ? source : lane));
}

// --- scalars ---
template <class T> T __ldg(const T* at) { return *at; }
inline unsigned __float_as_uint(float value) { return emulation::unpacked<unsigned>(emulation::packed(value)); }
inline int __float_as_int(float value) { return emulation::unpacked<int>(emulation::packed(value)); }
inline float __uint_as_float(unsigned bits) { return emulation::unpacked<float>(emulation::packed(bits)); }
inline float __int_as_float(int bits) { return emulation::unpacked<float>(emulation::packed(bits)); }
inline long long __double_as_longlong(double value) { return emulation::unpacked<long long>(emulation::packed(value)); }
inline double __longlong_as_double(long long bits) { return emulation::unpacked<double>(emulation::packed(bits)); }
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __popcll(unsigned long long bits) { return __builtin_popcountll(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __ffsll(long long bits) { return __builtin_ffsll(bits); }
inline int __clz(int bits) { return bits ? __builtin_clz(unsigned(bits)) : 32; }
inline int __clzll(long long bits) { return bits ? __builtin_clzll(static_cast<unsigned long long>(bits)) : 64; }
inline long long __double2ll_rn(double value) { return llrint(value); }
inline long long __float2ll_rn(float value) { return llrintf(value); }
inline float rsqrt(float value) { return 1.0f / sqrtf(value); }
inline double rsqrt(double value) { return 1.0 / sqrt(value); }

template <class A, class B> constexpr std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  return T(b) < T(a) ? T(b) : T(a);
}
template <class A, class B> constexpr std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  return T(a) < T(b) ? T(b) : T(a);
}
