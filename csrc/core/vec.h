// csrc/core/vec.h -- small vectors, and the macro that makes a formula serve host and device.
#pragma once
#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define PF3D_HD __host__ __device__ __forceinline__
#else
#define PF3D_HD inline
#endif

namespace pyface3d {

template <class T>
struct Vec2 {
  T x{}, y{};
};

template <class T>
struct Vec3 {
  T x{}, y{}, z{};
};

template <class T> PF3D_HD Vec2<T> operator+(Vec2<T> a, Vec2<T> b) { return {a.x + b.x, a.y + b.y}; }
template <class T> PF3D_HD Vec2<T> operator-(Vec2<T> a, Vec2<T> b) { return {a.x - b.x, a.y - b.y}; }
template <class T> PF3D_HD Vec2<T> operator*(Vec2<T> a, T s) { return {a.x * s, a.y * s}; }
template <class T> PF3D_HD T dot(Vec2<T> a, Vec2<T> b) { return a.x * b.x + a.y * b.y; }

template <class T> PF3D_HD Vec3<T> operator+(Vec3<T> a, Vec3<T> b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
template <class T> PF3D_HD Vec3<T> operator-(Vec3<T> a, Vec3<T> b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
template <class T> PF3D_HD Vec3<T> operator-(Vec3<T> a) { return {-a.x, -a.y, -a.z}; }
template <class T> PF3D_HD Vec3<T> operator*(Vec3<T> a, T s) { return {a.x * s, a.y * s, a.z * s}; }
template <class T> PF3D_HD Vec3<T> operator/(Vec3<T> a, T s) { return {a.x / s, a.y / s, a.z / s}; }
template <class T> PF3D_HD T dot(Vec3<T> a, Vec3<T> b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
template <class T> PF3D_HD T length(Vec3<T> a) { return sqrt(dot(a, a)); }
template <class T> PF3D_HD Vec3<T> cross(Vec3<T> a, Vec3<T> b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

// Row i of a (N, 3) array.
template <class T> PF3D_HD Vec3<T> load3(const T* rows, int64_t i) {
  return {rows[3 * i], rows[3 * i + 1], rows[3 * i + 2]};
}
template <class T> PF3D_HD void store3(T* rows, int64_t i, Vec3<T> v) {
  rows[3 * i] = v.x;
  rows[3 * i + 1] = v.y;
  rows[3 * i + 2] = v.z;
}

}  // namespace pyface3d
