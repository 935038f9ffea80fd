/* Vectors of float32 as wide as the CPU's registers, through the vector types of GCC and Clang.
 *
 * Intrinsics only where these types have no word for it: loads and stores of part of a vector,
 * which must not touch memory beyond the tensor, and the maximum. */
#include <stdint.h>
#include <string.h>
#if defined(__AVX__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
typedef float loose __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE vec load(const float *p) { return *(const loose *)p; }
INLINE void store(float *p, vec x) { *(loose *)p = x; }

INLINE vec first_lanes(long n) { /* 1 in the first n lanes, else 0 */
  ivec index;
  for (int i = 0; i < LANES; i++) index[i] = i;
  const ivec one = (ivec)((vec){0} + 1.0f);
  return (vec)((index < (int32_t)(n < LANES ? n : LANES)) & one);
}

/* The first n values at p, 0 behind them. */
INLINE vec load_some(const float *p, long n) {
  if (n >= LANES) return load(p);
#if defined(__AVX512F__)
  return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
  float part[LANES] = {0};
  memcpy(part, p, sizeof(float) * n);
  return load(part);
#endif
}

INLINE void store_some(float *p, vec x, long n) {
  if (n >= LANES) {
    store(p, x);
    return;
  }
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)x);
#else
  memcpy(p, &x, sizeof(float) * n);
#endif
}

/* store_some for results that are not read again here. With `past`, and where the vector is a whole
 * cache line, past the caches, which spares reading the line first; finish_writes() makes other
 * cores see it. Parts of lines written so would each cost a trip to memory. */
INLINE void write_once(float *p, vec x, long n, int past) {
#if defined(__AVX512F__)
  if (past && n >= LANES && (uintptr_t)p % sizeof(vec) == 0) {
    _mm512_stream_ps(p, (__m512)x);
    return;
  }
#endif
  (void)past;
  store_some(p, x, n);
}

INLINE void finish_writes(void) {
#if defined(__AVX512F__)
  _mm_sfence();
#endif
}

/* The larger one; b where a or b is NaN. */
INLINE vec maximum(vec a, vec b) {
#if defined(__AVX512F__)
  return (vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX__)
  return (vec)_mm256_max_ps((__m256)a, (__m256)b);
#else
  const ivec above = a > b;
  return (vec)((above & (ivec)a) | (~above & (ivec)b));
#endif
}

/* exp(x) for x <= 0 to 2 units in the last place: 0 below -87.7, NaN for NaN. */
INLINE vec exp_nonpositive(vec x) {
  const vec low = (vec){0} - 88.0f, magic = (vec){0} + 12582912.0f; /* 1.5 * 2^23 rounds */
  x = maximum(low, x);
  const vec t = x * 1.44269504f + magic, n = t - magic;
  vec f = x - n * 0.693359375f; /* log 2 in two parts */
  f = f + n * 2.12194440e-4f;
  vec p = f * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * f + 8.3334519073e-3f;
  p = p * f + 4.1665795894e-2f;
  p = p * f + 1.6666665459e-1f;
  p = p * f + 5.0000001201e-1f;
  p = p * (f * f) + f + 1.0f;
  /* 2^n by its bits; n = -127, the least, gives 0 */
  return p * (vec)(((ivec)t - 0x4B400000 + 127) << 23);
}
