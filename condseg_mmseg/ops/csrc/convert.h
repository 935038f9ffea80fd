/* Vectors of float32 from and to the elements of tensors.
 *
 * By the vector types of the compiler, so that every CPU rounds alike: the CPU's own instructions
 * for bfloat16 flush denormals. */

typedef uint32_t uvec __attribute__((vector_size(4 * LANES)));
typedef uint16_t hvec __attribute__((vector_size(2 * LANES)));
typedef uint16_t hloose __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

INLINE void *skip(const void *tensor, long elements, Type type) {
  return (char *)tensor + elements * size_of(type);
}

/* To nearest, ties to even; the carry runs on into the exponent and up to infinity. NaN stays. */
INLINE hvec to_bfloat16(vec x) {
  const uvec bits = (uvec)x, nan = (uvec)(x != x);
  const uvec rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  return __builtin_convertvector((nan & 0x7FC0) | (~nan & rounded), hvec);
}

/* load_some() of elements from `at` on. */
INLINE vec load_as(const Type type, const void *tensor, long at, long n) {
  if (type == FLOAT32) return load_some((const float *)tensor + at, n);
  const uint16_t *from = (const uint16_t *)tensor + at;
  hvec x = {0};
  if (n >= LANES)
    x = *(const hloose *)from;
  else
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    x = (hvec)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), from);
#else
    memcpy(&x, from, sizeof *from * n);
#endif
  return (vec)(__builtin_convertvector(x, uvec) << 16);
}

/* write_once() to elements from `at` on; half a cache line of bfloat16 goes by the caches' way. */
INLINE void write_as(const Type type, void *tensor, long at, vec x, long n, int past) {
  if (type == FLOAT32) {
    write_once((float *)tensor + at, x, n, past);
    return;
  }
  uint16_t *to = (uint16_t *)tensor + at;
  const hvec narrow = to_bfloat16(x);
  if (n >= LANES)
    *(hloose *)to = narrow;
  else
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    _mm256_mask_storeu_epi16(to, (__mmask16)((1u << n) - 1), (__m256i)narrow);
#else
    memcpy(to, &narrow, sizeof *to * n);
#endif
}
