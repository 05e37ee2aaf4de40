// csrc/cpu/corner_lanes.h -- corners of sixteen faces side by side, for loops without branches that the compiler turns
// into vector instructions. The functions here are what it does not find by itself: transpositions and packing.
#pragma once
#include <cstdint>
#include <cstring>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include "core/raster.h"

namespace pyface3d::cpu {

constexpr int kFaceLanes = 16;

// std::min and std::max hand out references, which keeps the compiler from treating lanes side by side.
template <class T> T lesser(T a, T b) { return a < b ? a : b; }
template <class T> T greater(T a, T b) { return a > b ? a : b; }

// Corners of kFaceLanes faces, one array for each coordinate.
template <class T> struct CornerLanes {
  alignas(64) T x[3][kFaceLanes], y[3][kFaceLanes], z[3][kFaceLanes], w[3][kFaceLanes];

  RasterVertex<T> corner(int k, int l) const { return {x[k][l], y[k][l], z[k][l], w[k][l]}; }
};

// Whether every vertex lies in front of the camera and can be drawn.
template <class T>
bool prepare_vertices(const T* verts_image, int64_t num_verts, bool perspective, RasterVertex<T>* verts) {
  int32_t ahead = 1;
  for (int64_t i = 0; i < num_verts; ++i) {
    verts[i] = raster_vertex(load3(verts_image, i), perspective);
    ahead &= int32_t(verts[i].w > T(0));
  }
  return ahead != 0;
}

template <class T> void load_corners(const RasterVertex<T>* verts, const int32_t* face, RasterVertex<T> (&v)[3]) {
  for (int k = 0; k < 3; ++k) v[k] = verts[face[k]];
}

// row(l) points to the three vertex numbers of the face in lane l. Without kDepth z and w may be left out.
template <bool kDepth, class T, class Row>
void load_corner_lanes(const RasterVertex<T>* verts, Row row, CornerLanes<T>& c) {
  for (int l = 0; l < kFaceLanes; ++l) {
    const int32_t* face = row(l);
    for (int k = 0; k < 3; ++k) {
      const RasterVertex<T>& v = verts[face[k]];
      c.x[k][l] = v.x;
      c.y[k][l] = v.y;
      c.z[k][l] = v.z;
      c.w[k][l] = v.w;
    }
  }
}

#ifdef __AVX512F__
// Sixteen floats. Shuffles are spelt out: GCC 12 warns about its own shuffle intrinsics.
typedef float Floats __attribute__((vector_size(64)));
typedef double Doubles __attribute__((vector_size(64)));

inline Floats unpack_low(Floats a, Floats b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
}
inline Floats unpack_high(Floats a, Floats b) {
  return __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
}
inline Floats pairs_low(Floats a, Floats b) {
  return Floats(__builtin_shufflevector(Doubles(a), Doubles(b), 0, 8, 2, 10, 4, 12, 6, 14));
}
inline Floats pairs_high(Floats a, Floats b) {
  return Floats(__builtin_shufflevector(Doubles(a), Doubles(b), 1, 9, 3, 11, 5, 13, 7, 15));
}
inline Floats load_floats(const float* values) { return Floats(_mm512_loadu_ps(values)); }
inline void store_floats(float* values, Floats v) { _mm512_storeu_ps(values, __m512(v)); }

// 128 bits a vertex and a transposition: gather instructions take an element a clock, and so do scalar stores.
template <bool kDepth, class Row>
void load_corner_lanes(const RasterVertex<float>* verts, Row row, CornerLanes<float>& c) {
#pragma GCC unroll 3
  for (int k = 0; k < 3; ++k) {
    Floats quads[4];  // of lanes i, i + 4, i + 8, i + 12
    for (int i = 0; i < 4; ++i) {
      const auto load = [&](int l) { return _mm_loadu_ps(&verts[row(l)[k]].x); };
      const __m256 low = _mm256_insertf128_ps(_mm256_castps128_ps256(load(i)), load(i + 4), 1);
      const __m256 high = _mm256_insertf128_ps(_mm256_castps128_ps256(load(i + 8)), load(i + 12), 1);
      quads[i] = Floats(_mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1));
    }
    const Floats xy01 = unpack_low(quads[0], quads[1]), xy23 = unpack_low(quads[2], quads[3]);
    store_floats(c.x[k], pairs_low(xy01, xy23));
    store_floats(c.y[k], pairs_high(xy01, xy23));
    if (!kDepth) continue;
    const Floats zw01 = unpack_high(quads[0], quads[1]), zw23 = unpack_high(quads[2], quads[3]);
    store_floats(c.z[k], pairs_low(zw01, zw23));
    store_floats(c.w[k], pairs_high(zw01, zw23));
  }
}
#endif

// Bit l is set where flag[l] is not 0.
inline uint32_t lane_bits(const int32_t (&flag)[kFaceLanes]) {
#ifdef __AVX512F__
  const __m512i flags = _mm512_loadu_si512(flag);
  return _mm512_test_epi32_mask(flags, flags);
#else
  uint32_t bits = 0;
  for (int l = 0; l < kFaceLanes; ++l) bits |= uint32_t(flag[l] != 0) << l;
  return bits;
#endif
}

// Writes the lanes whose bit is set to out[0], out[1], ... in order; the rest of kFaceLanes values is left undefined.
template <class Item> void pack_lanes(uint32_t bits, const Item (&lanes)[kFaceLanes], Item* out) {
#ifdef __AVX512F__
  if constexpr (sizeof(Item) == 4) {
    const __m512i packed = _mm512_maskz_compress_epi32(__mmask16(bits), _mm512_loadu_si512(lanes));
    _mm512_storeu_si512(out, packed);  // by way of a register: compressing stores are slow on some processors
    return;
  }
#endif
  for (int l = 0; l < kFaceLanes; ++l) {
    *out = lanes[l];
    out += bits >> l & 1;
  }
}

// Four rows of lanes to one lane after another.
template <class T> void interleave_lanes(const T (&rows)[4][kFaceLanes], T* out) {
  for (int l = 0; l < kFaceLanes; ++l)
    for (int k = 0; k < 4; ++k) out[4 * l + k] = rows[k][l];
}

// Pixels of three weights and a depth to an array of each; 0 where face < 0.
template <class T> void split_pixels(const int32_t* face, const T* pixels, int64_t count, T* weights, T* depth) {
  for (int64_t p = 0; p < count; ++p) {
    const bool drawn = face[p] >= 0;
    for (int k = 0; k < 3; ++k) weights[3 * p + k] = drawn ? pixels[4 * p + k] : T(0);
    depth[p] = drawn ? pixels[4 * p + 3] : T(0);
  }
}

#ifdef __AVX512F__
inline void interleave_lanes(const float (&rows)[4][kFaceLanes], float* out) {
  const Floats r0 = load_floats(rows[0]), r1 = load_floats(rows[1]), r2 = load_floats(rows[2]);
  const Floats r3 = load_floats(rows[3]);
  const Floats low01 = unpack_low(r0, r1), low23 = unpack_low(r2, r3);
  const Floats high01 = unpack_high(r0, r1), high23 = unpack_high(r2, r3);
  const Floats quads[4] = {pairs_low(low01, low23), pairs_high(low01, low23), pairs_low(high01, high23),
                           pairs_high(high01, high23)};  // of lanes i, i + 4, i + 8, i + 12
  for (int i = 0; i < 4; ++i) {
    const float* values = reinterpret_cast<const float*>(&quads[i]);
    for (int j = 0; j < 4; ++j) std::memcpy(out + 4 * (i + 4 * j), values + 4 * j, 16);
  }
}

inline void split_pixels(const int32_t* face, const float* pixels, int64_t count, float* weights, float* depth) {
  int64_t p = 0;
  for (; p + kFaceLanes <= count; p += kFaceLanes) {
    const uint64_t drawn = _mm512_cmpge_epi32_mask(_mm512_loadu_si512(face + p), _mm512_setzero_si512());
    const uint64_t lanes = _pdep_u64(drawn, 0x1111111111111111) * 15;  // every bit four times
    Floats q[4];
    for (int i = 0; i < 4; ++i)
      q[i] = Floats(_mm512_maskz_loadu_ps(__mmask16(lanes >> (16 * i)), pixels + 4 * p + 16 * i));
    store_floats(weights + 3 * p,
                 __builtin_shufflevector(q[0], q[1], 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 16, 17, 18, 20));
    store_floats(weights + 3 * p + 16,
                 __builtin_shufflevector(q[1], q[2], 5, 6, 8, 9, 10, 12, 13, 14, 16, 17, 18, 20, 21, 22, 24, 25));
    store_floats(weights + 3 * p + 32,
                 __builtin_shufflevector(q[2], q[3], 10, 12, 13, 14, 16, 17, 18, 20, 21, 22, 24, 25, 26, 28, 29, 30));
    const Floats low = __builtin_shufflevector(q[0], q[1], 3, 7, 11, 15, 19, 23, 27, 31, 3, 7, 11, 15, 19, 23, 27, 31);
    const Floats high = __builtin_shufflevector(q[2], q[3], 3, 7, 11, 15, 19, 23, 27, 31, 3, 7, 11, 15, 19, 23, 27, 31);
    store_floats(depth + p, __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23));
  }
  split_pixels<float>(face + p, pixels + 4 * p, count - p, weights + 3 * p, depth + p);
}
#endif

inline int count_bits(uint32_t bits) {
#if defined(__GNUC__)
  return __builtin_popcount(bits);
#else
  int n = 0;
  for (; bits; bits &= bits - 1) ++n;
  return n;
#endif
}

// Number of the lowest set bit; bits is not 0.
inline int lowest_bit(uint64_t bits) {
#if defined(__GNUC__)
  return __builtin_ctzll(bits);
#else
  int n = 0;
  for (; (bits & 1) == 0; bits >>= 1) ++n;
  return n;
#endif
}

}  // namespace pyface3d::cpu
