// csrc/cuda/sums.cuh -- gradients that many threads add to, in any order or with the same bits every run.
//
// A kernel that adds takes what it adds to as a template parameter `Sum` and calls add_to(sum + i, term). The launcher
// draws it through add_up(), with the workspace that Python sends (null: any order).
//   Any order: Sum is T*, the terms are added by atomicAdd.
//   Repeatable: the kernel runs twice. First Sum is LargestTerm and the greatest exponent among all terms is found.
// Then Sum is FixedPoint: a term v is split into integers, v = (high + low 2^-bits) 2^-shift, which are added by integer
// atomics; integer addition is associative, so the order cannot show. `shift` puts the largest term just below
// 2^bits, and bits = 61 - ceil(log2 n) for n terms at most at one place, so no sum overflows. A term is off by
// 2^(-2 bits) of the largest at most: with 2^24 terms, 2^-74.
// Terms that are not finite go to the result by atomicAdd: infinity and NaN come out the same in any order.
#pragma once
#include "cuda/common.cuh"

namespace pyface3d::cuda {

using Word = unsigned long long;

template <class T> struct LargestTerm {
  using Term = T;
  static constexpr bool kLast = false;  // of the kernel's runs: what it writes besides can wait
  Word* exponent;                       // biased, of doubles
  __device__ LargestTerm operator+(int64_t) const { return *this; }
  __device__ explicit operator bool() const { return exponent; }
};

template <class T> struct FixedPoint {
  using Term = T;
  static constexpr bool kLast = true;
  T* sums;
  Word* words;  // high and low of every sum
  const Word* exponent;
  int bits;
  __device__ FixedPoint operator+(int64_t i) const { return {sums + i, words + 2 * i, exponent, bits}; }
  __device__ explicit operator bool() const { return sums; }
};

template <class Sum> struct SumTraits {
  using Term = typename Sum::Term;
  static constexpr bool kLast = Sum::kLast;
};
template <class T> struct SumTraits<T*> {
  using Term = T;
  static constexpr bool kLast = true;
};

PF3D_HD int shift_of(int bits, Word exponent) { return bits + 1022 - static_cast<int>(exponent); }

__device__ __forceinline__ int biased_exponent(double v) {
  return static_cast<int>(static_cast<Word>(__double_as_longlong(v)) >> 52 & 0x7ff);
}
constexpr int kNotFinite = 0x7ff;

template <class T> __device__ __forceinline__ void add_to(T* sum, T term) { atomicAdd(sum, term); }

template <class T> __device__ __forceinline__ void add_to(LargestTerm<T> sum, T term) {
  const int exponent = biased_exponent(term);
  // Most terms are not the largest so far: a look saves the atomic, and a stale look costs one.
  if (exponent != kNotFinite && static_cast<Word>(exponent) > *static_cast<const volatile Word*>(sum.exponent))
    atomicMax(sum.exponent, static_cast<Word>(exponent));
}

template <class T> __device__ __forceinline__ void add_to(FixedPoint<T> sum, T term) {
  if (biased_exponent(term) == kNotFinite) {
    atomicAdd(sum.sums, term);
    return;
  }
  const double scaled = ldexp(double(term), shift_of(sum.bits, *sum.exponent)), high = rint(scaled);
  const double low = rint(ldexp(scaled - high, sum.bits));
  if (high != 0) atomicAdd(sum.words, static_cast<Word>(static_cast<long long>(high)));
  if (low != 0) atomicAdd(sum.words + 1, static_cast<Word>(static_cast<long long>(low)));
}

template <class Sum> __device__ __forceinline__ void add3_to(Sum rows, int64_t i, Vec3<typename SumTraits<Sum>::Term> v) {
  add_to(rows + 3 * i, v.x);
  add_to(rows + (3 * i + 1), v.y);
  add_to(rows + (3 * i + 2), v.z);
}

// What is added to: `size` values, or null where nobody wants them; at most `terms` terms at one value; and 1 + 2 size
// words of working memory for a repeatable result (pyface3d.ops._kernels), or null.
template <class T> struct Summed {
  T* values;
  int64_t size;
  int64_t terms;
  int64_t* workspace;

  Word* words() const { return reinterpret_cast<Word*>(workspace); }
  bool repeatable() const { return values && workspace; }
  LargestTerm<T> largest() const { return {values ? words() : nullptr}; }
  FixedPoint<T> fixed_point() const {
    int bits = 61;
    for (int64_t n = 1; n < terms && bits > 0; n *= 2) --bits;
    return {values, words() + 1, words(), bits};
  }
};

template <class T> __global__ void finish_sums_kernel(FixedPoint<T> sum, int64_t size) {
  const int shift = shift_of(sum.bits, *sum.exponent);
  PF3D_GRID_STRIDE(i, size) {
    const double high = static_cast<double>(static_cast<long long>(sum.words[2 * i]));
    const double low = static_cast<double>(static_cast<long long>(sum.words[2 * i + 1]));
    sum.sums[i] += T(ldexp(high, -shift) + ldexp(low, -shift - sum.bits));  // 0 so far, or not finite
  }
}

template <class T> void clear(const Summed<T>& sum, Stream stream) {
  if (sum.values) PF3D_CUDA_CHECK(cudaMemsetAsync(sum.values, 0, sizeof(T) * sum.size, stream));
  if (sum.repeatable()) PF3D_CUDA_CHECK(cudaMemsetAsync(sum.workspace, 0, sizeof(Word) * (1 + 2 * sum.size), stream));
}

template <class T> void finish(const Summed<T>& sum, Stream stream) {
  if (sum.repeatable()) launch(finish_sums_kernel<T>, sum.size, stream, sum.fixed_point(), sum.size);
}

// Clears the sums and draws them: draw(a, b, ...) launches a kernel that adds to them, whatever their types.
template <class Draw, class... T> void add_up(Stream stream, const Draw& draw, const Summed<T>&... sums) {
  (clear(sums, stream), ...);
  if (!(sums.repeatable() || ...)) return draw(sums.values...);
  draw(sums.largest()...);
  draw(sums.fixed_point()...);
  (finish(sums, stream), ...);
}

}  // namespace pyface3d::cuda
