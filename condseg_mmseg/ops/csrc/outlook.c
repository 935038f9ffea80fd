/* Outlook aggregation for CPUs, stride 1: forward and backward, each in one pass, in float32.
 *
 * The regrouped form of the package's fast.py. With A = softmax over b of scale * logits,
 * W[p, o_b - o_a] sums A[p - o_a, a, b], and
 *
 *   out[p]         = sum over delta of W[p, delta] v[p + delta]
 *   dW[p, delta]   = sum over channels of g[p] v[p + delta]
 *   dA[q, a, b]    = dW[q + o_a, o_b - o_a]
 *   dlogits        = scale A (dA - sum over b of A dA)
 *   WT[s, o_a - o_b] sums A[s - o_b, a, b], and dv[s] = sum over delta of WT[s, delta] g[s + delta]
 *
 * A task is a chunk of rows of one (image, head). It walks down the rows of A, which live in
 * registers only: each is added to the k rows of W it belongs to, and a row of W that is complete
 * is used and forgotten. Every row is computed by the same operations in the same order however
 * the map is cut, so the result does not depend on the number of threads or of chunks.
 *
 * All tensors are float32, or all bfloat16: elements change type where they are read and written,
 * in registers.
 *
 * Compiled without -ffast-math: NaN and infinity come through, and no start-up code of the
 * library changes how the process treats denormals.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "simd.h"

#include "convert.h"

#define CHANNELS 8 /* accumulators of one block of channels */

typedef struct {
  long height, width, plane, d;
  int k, r, m, k2; /* window, its reach, 2k - 1, k^2 */
  float scale;
  /* Row buffers start `pad` floats left of column 0; what lies outside of the image stays 0 in the
   * buffers of pixels, and is never used in those of weights. */
  long pad, pitch;
  int values_spill, logits_spill; /* tensors of this size leave the caches before they are read */
} Map;

#define CACHE (4L << 20) /* bytes, of a usual second-level cache */

INLINE long modulo(long y, long n) { return ((y % n) + n) % n; }

static Map make_map(Type type, long batch, long d, long height, long width, int k, float scale) {
  Map s = {height, width, height * width, d, k, k / 2, 2 * k - 1, k * k, scale, 0, 0, 0, 0};
  s.values_spill = batch * d * s.plane * size_of(type) > CACHE;
  s.logits_spill = batch * s.k2 * s.k2 * s.plane * size_of(type) > CACHE;
  s.pad = k - 1;
  long blocks = (width + LANES - 1) / LANES;
  s.pitch = (blocks * LANES + 2 * s.pad + 15) / 16;
  s.pitch = (s.pitch | 1) * 16; /* an odd number of cache lines: no two rows share all their sets */
  return s;
}

/* A ring of the last m rows of a tensor (d, H, W), at row modulo m. */
static void load_row(const Map *s, const Type type, const void *tensor, long y, float *ring) {
  if (y < 0 || y >= s->height) return;
  float *to = ring + modulo(y, s->m) * s->d * s->pitch + s->pad;
  for (long c = 0; c < s->d; c++, to += s->pitch) {
    const char *from = skip(tensor, c * s->plane + y * s->width, type);
    const long bytes = s->width * size_of(type);
    if (y + 1 < s->height)
      for (long i = 0; i < bytes; i += 64) __builtin_prefetch(from + bytes + i);
    if (type == FLOAT32)
      memcpy(to, from, bytes);
    else
      for (long x = 0; x < s->width; x += LANES)
        store(to + x, load_as(type, from, x, s->width - x));
  }
}

/* out[c, y] = sum over delta of weights[delta] * rows[c, y + delta] for `channels` channels. */
INLINE void apply_block(const Map *s, const Type type, const int k, const int channels,
                        const float *weights, const float *ring, long c, long y, void *out) {
  const int m = 2 * k - 1, reach = k - 1;
  const long pitch = s->pitch, pad = s->pad;
  const int low = y < reach ? reach - y : 0;
  const int high = y + reach >= s->height ? s->height - 1 - y + reach : 2 * reach;
  for (long x = 0; x < s->width; x += LANES) {
    vec sum[CHANNELS];
    for (int e = 0; e < channels; e++) sum[e] = (vec){0};
    for (int i = low; i <= high; i++) {
      const float *w = weights + (long)i * m * pitch + pad + x;
      const float *v = ring + (modulo(y + i - reach, m) * s->d + c) * pitch + pad + x - reach;
      for (int j = 0; j < m; j++) {
        const vec weight = load(w + j * pitch);
        for (int e = 0; e < channels; e++) sum[e] += weight * load(v + e * pitch + j);
      }
    }
    const long rest = s->width - x;
    const long at = c * s->plane + y * s->width + x;
    for (int e = 0; e < channels; e++)
      write_as(type, out, at + e * s->plane, sum[e], rest, s->values_spill);
  }
}

INLINE void apply_row(const Map *s, const Type type, const int k, const float *weights,
                      const float *ring, long y, void *out) {
  long c = 0;
  for (; c + 8 <= s->d; c += 8) apply_block(s, type, k, 8, weights, ring, c, y, out);
  if (c + 4 <= s->d) apply_block(s, type, k, 4, weights, ring, c, y, out), c += 4;
  for (; c < s->d; c++) apply_block(s, type, k, 1, weights, ring, c, y, out);
}

/* A[q, a, :] of LANES neighbouring q, 0 beyond `rest`; element `at` is the logit of b = 0. */
INLINE void softmax(const Map *s, const Type type, const int k, const void *logits, long at,
                    long rest, vec *a) {
  const int k2 = k * k;
  vec top = s->scale * load_as(type, logits, at, rest);
  a[0] = top;
  for (int b = 1; b < k2; b++) {
    a[b] = s->scale * load_as(type, logits, at + b * s->plane, rest);
    top = maximum(a[b], top);
  }
  vec sum = {0};
  for (int b = 0; b < k2; b++) sum += a[b] = exp_nonpositive(a[b] - top);
  sum = first_lanes(rest) / sum;
  for (int b = 0; b < k2; b++) a[b] *= sum;
}

INLINE void add_to(float *to, vec x) { store(to, load(to) + x); }

INLINE void prefetch_next(const Map *s, const Type type, const int k, const void *logits, long at,
                          long y) {
  if (y + 1 < s->height)
    for (int b = 0; b < k * k; b++)
      __builtin_prefetch(skip(logits, at + b * s->plane + s->width, type));
}

/* Add A[q] of row q to the rows q + o_a of W that lie in [first, last). */
INLINE void spread_forward(const Map *s, const Type type, const int k, const void *logits, long q,
                           long first, long last, float *weights, vec *a) {
  const int r = k / 2, m = 2 * k - 1, k2 = k * k;
  const long pitch = s->pitch;
  for (int ay = 0; ay < k; ay++) {
    const long p = q + ay - r;
    if (p < first || p >= last) continue;
    float *row = weights + modulo(p, k) * m * m * pitch + s->pad;
    for (int ax = 0; ax < k; ax++) {
      const long start = (long)(ay * k + ax) * k2 * s->plane + q * s->width;
      for (long x = 0; x < s->width; x += LANES) {
        prefetch_next(s, type, k, logits, start + x, q);
        softmax(s, type, k, logits, start + x, s->width - x, a);
        float *to = row + x + ax - r;
        for (int by = 0; by < k; by++)
          for (int bx = 0; bx < k; bx++)
            add_to(to + (long)((by - ay + k - 1) * m + bx - ax + k - 1) * pitch, a[by * k + bx]);
      }
    }
  }
}

INLINE void forward_rows(const Map *s, const Type type, const int k, const void *values,
                         const void *logits, void *out, long first, long last, float *buffer) {
  const int r = k / 2, m = 2 * k - 1;
  float *ring = buffer, *weights = ring + m * s->d * s->pitch;
  const long weight_row = m * m * s->pitch;
  vec *a = (vec *)(weights + k * weight_row), local[9];
  if (k <= 3) a = local;
  long loaded = first - (k - 1), opened = first;
  for (long q = first - r; q < last + r; q++) {
    for (; opened <= q + r && opened < last; opened++)
      memset(weights + modulo(opened, k) * weight_row, 0, sizeof(float) * weight_row);
    if (q >= 0 && q < s->height) spread_forward(s, type, k, logits, q, first, last, weights, a);
    const long y = q - r;
    if (y < first) continue;
    for (; loaded <= y + k - 1; loaded++) load_row(s, type, values, loaded, ring);
    apply_row(s, type, k, weights + modulo(y, k) * weight_row, ring, y, out);
  }
  finish_writes();
}

/* dW of row p: products of the upstream gradient and the values around it, summed over channels. */
INLINE void correlate_row(const Map *s, const int k, const float *grads, const float *values,
                          long p, float *out) {
  const int m = 2 * k - 1, reach = k - 1;
  const long pitch = s->pitch, pad = s->pad;
  memset(out, 0, sizeof(float) * m * m * pitch);
  if (p < 0 || p >= s->height) return;
  const int low = p < reach ? reach - p : 0;
  const int high = p + reach >= s->height ? s->height - 1 - p + reach : 2 * reach;
  for (long c = 0; c < s->d; c += CHANNELS) {
    const long channels = s->d - c < CHANNELS ? s->d - c : CHANNELS;
    const float *g0 = grads + (modulo(p, m) * s->d + c) * pitch + pad;
    for (long x = 0; x < s->width; x += LANES) {
      for (int i = low; i <= high; i++) {
        const float *v = values + (modulo(p + i - reach, m) * s->d + c) * pitch + pad + x - reach;
        const float *g = g0 + x;
        float *to = out + (long)i * m * pitch + pad + x;
        vec sum[2 * k - 1];
        for (int j = 0; j < m; j++) sum[j] = load(to + j * pitch);
        for (long e = 0; e < channels; e++, g += pitch, v += pitch) {
          const vec upstream = load(g);
          for (int j = 0; j < m; j++) sum[j] += upstream * load(v + j);
        }
        for (int j = 0; j < m; j++) store_some(to + j * pitch, sum[j], s->width - x);
      }
    }
  }
}

/* Row q of A: its gradient where `grad_logits` is given, and its share in the rows of WT. */
INLINE void spread_backward(const Map *s, const Type type, const int k, const void *logits, long q,
                            long first, long last, const float *grad_weights, float *weights,
                            void *grad_logits, vec *a) {
  const int r = k / 2, m = 2 * k - 1, k2 = k * k;
  const long pitch = s->pitch, row = m * m * pitch;
  for (int ay = 0; ay < k; ay++) {
    const float *dw = grad_weights + modulo(q + ay - r, k) * row + s->pad;
    for (int ax = 0; ax < k; ax++) {
      const long start = (long)(ay * k + ax) * k2 * s->plane + q * s->width;
      for (long x = 0; x < s->width; x += LANES) {
        const long rest = s->width - x;
        prefetch_next(s, type, k, logits, start + x, q);
        softmax(s, type, k, logits, start + x, rest, a);
        if (grad_logits) {
          const float *da = dw + x + ax - r;
          vec mean = {0};
          for (int by = 0; by < k; by++)
            for (int bx = 0; bx < k; bx++)
              mean += a[by * k + bx] *
                      load(da + (long)((by - ay + k - 1) * m + bx - ax + k - 1) * pitch);
          for (int by = 0; by < k; by++)
            for (int bx = 0; bx < k; bx++) {
              const int b = by * k + bx;
              const vec d = load(da + (long)((by - ay + k - 1) * m + bx - ax + k - 1) * pitch);
              write_as(type, grad_logits, start + x + b * s->plane, s->scale * a[b] * (d - mean),
                       rest, s->logits_spill);
            }
        }
        for (int by = 0; by < k; by++) {
          const long y = q + by - r;
          if (y < first || y >= last) continue;
          float *to = weights + modulo(y, k) * row + s->pad + x - r;
          for (int bx = 0; bx < k; bx++)
            add_to(to + (long)((ay - by + k - 1) * m + ax - bx + k - 1) * pitch + bx,
                   a[by * k + bx]);
        }
      }
    }
  }
}

INLINE void backward_rows(const Map *s, const Type type, const int k, const void *grad,
                          const void *values, const void *logits, void *grad_values,
                          void *grad_logits, long first, long last, float *buffer) {
  const int r = k / 2, m = 2 * k - 1;
  const long pixel_ring = m * s->d * s->pitch, weight_row = m * m * s->pitch;
  float *value_ring = buffer, *grad_ring = value_ring + pixel_ring;
  float *grad_weights = grad_ring + pixel_ring, *weights = grad_weights + k * weight_row;
  vec *a = (vec *)(weights + k * weight_row), local[9];
  if (k <= 3) a = local;
  /* of the rows of dW above `first`, this chunk asks for products with values from first - r on */
  long next_value = first - r, next_grad = first - (k - 1), opened = first;
  /* at row q of A: dW up to row q + r, which needs values up to q + r + 2r, then WT of row q - r */
  for (long q = first - 2 * r; q < last + r; q++) {
    const long p = q + r;
    for (; next_grad <= p; next_grad++) load_row(s, type, grad, next_grad, grad_ring);
    for (; next_value <= p + k - 1; next_value++) load_row(s, type, values, next_value, value_ring);
    if (p < last + r)
      correlate_row(s, k, grad_ring, value_ring, p,
                    grad_weights + modulo(p, k) * weight_row);
    for (; opened <= p && opened < last; opened++)
      memset(weights + modulo(opened, k) * weight_row, 0, sizeof(float) * weight_row);
    if (q >= 0 && q < s->height && q >= first - r)
      spread_backward(s, type, k, logits, q, first, last, grad_weights, weights,
                      q >= first && q < last ? grad_logits : 0, a);
    if (q - r >= first)
      apply_row(s, type, k, weights + modulo(q - r, k) * weight_row, grad_ring, q - r, grad_values);
  }
  finish_writes();
}

/* Chunks are taken from the bottom up, so that no row a thread's buffers still hold from the chunk
 * before can stand in for one that was not loaded. */

/* Copies with a constant type and k, in which the compiler unrolls the loops over windows. */
#define BY_KERNEL(call, type)        \
  switch (s.k) {                     \
    case 1: call(type, 1); break;    \
    case 3: call(type, 3); break;    \
    case 5: call(type, 5); break;    \
    default: call(type, s.k);        \
  }
#define BY_TYPE(call)                                      \
  if (type == BFLOAT16) {                                  \
    BY_KERNEL(call, BFLOAT16)                              \
  } else {                                                 \
    BY_KERNEL(call, FLOAT32)                               \
  }

static long chunks_of(long height, long batch, int threads, long *rows) {
  /* short chunks balance the threads, long ones repeat less at their ends */
  long wanted = (4L * threads + batch - 1) / batch;
  *rows = (height + wanted - 1) / wanted;
  if (threads == 1) *rows = height;
  if (*rows < 8) *rows = 8;
  return (height + *rows - 1) / *rows;
}

/* A result of this size is memory fresh from the system, whose first touch costs more than the
 * whole computation in pages of 4 KB: ask for large ones. */
#define FRESH (16L << 20)

static void large_pages(void *result, long bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  const uintptr_t first = ((uintptr_t)result + 4095) & ~(uintptr_t)4095;
  const uintptr_t last = ((uintptr_t)result + bytes) & ~(uintptr_t)4095;
  if (bytes >= FRESH && first < last) madvise((void *)first, last - first, MADV_HUGEPAGE);
#else
  (void)result, (void)bytes;
#endif
}

#define BUFFER(floats) (calloc(1, sizeof(float) * (floats) + 64))
#define ALIGNED(p) ((float *)(((uintptr_t)(p) + 63) & ~(uintptr_t)63))

/* values, out: (batch, d, height, width); logits: (batch, k^4, height, width); all of one type, a
 * Type. 0, or 1: no memory */
int condseg_outlook_forward(const void *values, const void *logits, void *out, long batch, long d,
                            long height, long width, int k, float scale, int threads, int type) {
  const Map s = make_map(type, batch, d, height, width, k, scale);
  long rows, failed = 0, chunks = chunks_of(height, batch, threads, &rows);
  const long floats = s.pitch * (s.m * d + (long)k * s.m * s.m) + s.k2 * LANES + 2 * LANES;
  large_pages(out, batch * d * s.plane * size_of(type));
#pragma omp parallel num_threads(threads) reduction(+ : failed)
  {
    void *memory = BUFFER(floats);
    float *buffer = ALIGNED(memory);
    if (!memory) failed++;
#pragma omp for schedule(dynamic, 1)
    for (long task = 0; task < batch * chunks; task++) {
      const long n = task / chunks, first = (chunks - 1 - task % chunks) * rows;
      const long last = first + rows < height ? first + rows : height;
      const long at = n * d * s.plane, windows = n * s.k2 * s.k2 * s.plane;
      if (!memory) continue;
#define CALL(TYPE, K)                                                            \
  forward_rows(&s, TYPE, K, skip(values, at, TYPE), skip(logits, windows, TYPE), \
               skip(out, at, TYPE), first, last, buffer)
      BY_TYPE(CALL)
#undef CALL
    }
    free(memory);
  }
  return failed != 0;
}

int condseg_outlook_backward(const void *grad, const void *values, const void *logits,
                             void *grad_values, void *grad_logits, long batch, long d,
                             long height, long width, int k, float scale, int threads, int type) {
  const Map s = make_map(type, batch, d, height, width, k, scale);
  long rows, failed = 0, chunks = chunks_of(height, batch, threads, &rows);
  const long floats = s.pitch * (2 * s.m * d + 2L * k * s.m * s.m) + s.k2 * LANES + 2 * LANES;
  large_pages(grad_values, batch * d * s.plane * size_of(type));
  large_pages(grad_logits, batch * s.k2 * s.k2 * s.plane * size_of(type));
#pragma omp parallel num_threads(threads) reduction(+ : failed)
  {
    void *memory = BUFFER(floats);
    float *buffer = ALIGNED(memory);
    if (!memory) failed++;
#pragma omp for schedule(dynamic, 1)
    for (long task = 0; task < batch * chunks; task++) {
      const long n = task / chunks, first = (chunks - 1 - task % chunks) * rows;
      const long last = first + rows < height ? first + rows : height;
      const long at = n * d * s.plane, windows = n * s.k2 * s.k2 * s.plane;
      if (!memory) continue;
#define CALL(TYPE, K)                                                            \
  backward_rows(&s, TYPE, K, skip(grad, at, TYPE), skip(values, at, TYPE),       \
                skip(logits, windows, TYPE), skip(grad_values, at, TYPE),        \
                skip(grad_logits, windows, TYPE), first, last, buffer)
      BY_TYPE(CALL)
#undef CALL
    }
    free(memory);
  }
  return failed != 0;
}
