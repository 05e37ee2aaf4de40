// csrc/cpu/lanes.h -- several numbers side by side, for dense loops: loads, stores, and a * b + c in one instruction
// where the instruction set has it. Fusing is asked for here by name, because it is off for everything else.
#pragma once
#include <cstring>
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define PF3D_FUSED 1
#endif

namespace pyface3d::cpu {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kTileVectors = 4;  // 32 registers
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32, kTileVectors = 2;
#else
constexpr int kVectorBytes = 16, kTileVectors = 2;
#endif

#if defined(__GNUC__) || defined(__clang__)
template <class T, int count> struct LanesOf {
  typedef T type __attribute__((vector_size(count * sizeof(T))));
};
template <class T, int count> using Lanes = typename LanesOf<T, count>::type;
#else
template <class T, int count> struct Lanes {
  T value[count] = {};
};
template <class T, int n> Lanes<T, n> operator+(Lanes<T, n> a, Lanes<T, n> b) {
  for (int i = 0; i < n; ++i) a.value[i] += b.value[i];
  return a;
}
template <class T, int n> Lanes<T, n> operator*(Lanes<T, n> a, Lanes<T, n> b) {
  for (int i = 0; i < n; ++i) a.value[i] *= b.value[i];
  return a;
}
template <class T, int n> Lanes<T, n> operator-(T a, Lanes<T, n> b) {
  for (int i = 0; i < n; ++i) b.value[i] = a - b.value[i];
  return b;
}
#endif

template <class T> constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class V, class T> V load_lanes(const T* values) {
  V v;
  std::memcpy(&v, values, sizeof v);
  return v;
}
template <class V, class T> void store_lanes(T* values, V v) { std::memcpy(values, &v, sizeof v); }
template <class V, class T> V splat(T x) { return x - V{}; }  // x - 0 is x, -0 too

template <class V> V mul_add(V a, V b, V c) { return a * b + c; }
#ifdef PF3D_FUSED
inline float mul_add(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double mul_add(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline Lanes<float, 8> mul_add(Lanes<float, 8> a, Lanes<float, 8> b, Lanes<float, 8> c) {
  return _mm256_fmadd_ps(a, b, c);
}
inline Lanes<double, 4> mul_add(Lanes<double, 4> a, Lanes<double, 4> b, Lanes<double, 4> c) {
  return _mm256_fmadd_pd(a, b, c);
}
#ifdef __AVX512F__
inline Lanes<float, 16> mul_add(Lanes<float, 16> a, Lanes<float, 16> b, Lanes<float, 16> c) {
  return _mm512_fmadd_ps(a, b, c);
}
inline Lanes<double, 8> mul_add(Lanes<double, 8> a, Lanes<double, 8> b, Lanes<double, 8> c) {
  return _mm512_fmadd_pd(a, b, c);
}
#endif
#endif

}  // namespace pyface3d::cpu
