// csrc/cpu/quad.h -- four floats side by side, for kernels whose colours have three or four channels; prefetching.
#pragma once
#include <cstring>
#include <type_traits>

namespace pyface3d::cpu {

#if defined(__clang__) || (defined(__GNUC__) && __GNUC__ >= 12)
#define PF3D_QUADS 1
typedef float Quad __attribute__((vector_size(16)));

inline Quad load_quad(const float* values) {
  Quad q;
  std::memcpy(&q, values, sizeof q);
  return q;
}
inline void store_quad(float* values, Quad q) { std::memcpy(values, &q, sizeof q); }

// Of the first three numbers, the order of operations that core/vec.h has; the fourth is 0.
inline Quad cross(Quad a, Quad b) {
  const Quad a_yzx = __builtin_shufflevector(a, a, 1, 2, 0, 3), a_zxy = __builtin_shufflevector(a, a, 2, 0, 1, 3);
  const Quad b_yzx = __builtin_shufflevector(b, b, 1, 2, 0, 3), b_zxy = __builtin_shufflevector(b, b, 2, 0, 1, 3);
  return a_yzx * b_zxy - a_zxy * b_yzx;
}

template <class T> constexpr bool kHasQuads = std::is_same_v<T, float>;

inline void prefetch(const void* address) {
  __builtin_prefetch(address);
  asm volatile("");  // GCC takes a function that only prefetches for one without effect, and drops the call
}
#else
template <class T> constexpr bool kHasQuads = false;

inline void prefetch(const void*) {}
#endif

}  // namespace pyface3d::cpu
