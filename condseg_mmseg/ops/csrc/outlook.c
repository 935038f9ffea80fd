/* Outlook aggregation for CPUs, stride 1: forward and backward, each in one pass, in float32.
 *
 * The regrouped form, as in fast.py of the package. With A = softmax over b of scale * logits,
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
 * Compiled once for each instruction set, VARIANT, and then chosen among by dispatch.c. Without
 * -ffast-math: NaN and infinity come through, and no start-up code of the library changes how the
 * process treats denormals.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* each needs those before it */
#include "job.h"
#include "simd.h"
#include "convert.h"
#include "rows.h"

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

/* Copies with a constant type and k, in which the compiler unrolls the loops over windows. */
#define BY_KERNEL(call, type)        \
  switch (s.k) {                     \
    case 1: call(type, 1); break;    \
    case 3: call(type, 3); break;    \
    case 5: call(type, 5); break;    \
    default: call(type, s.k);        \
  }
#define BY_TYPE(call)                                      \
  if (job->type == BFLOAT16) {                             \
    BY_KERNEL(call, BFLOAT16)                              \
  } else {                                                 \
    BY_KERNEL(call, FLOAT32)                               \
  }
#define FORWARD(TYPE, K)                                                                 \
  forward_rows(&s, TYPE, K, skip(job->values, at, TYPE), skip(job->logits, windows, TYPE), \
               skip(job->out, at, TYPE), first, last, buffer)
#define BACKWARD(TYPE, K)                                                              \
  backward_rows(&s, TYPE, K, skip(job->grad, at, TYPE), skip(job->values, at, TYPE),   \
                skip(job->logits, windows, TYPE), skip(job->out, at, TYPE),            \
                skip(job->grad_logits, windows, TYPE), first, last, buffer)

/* One thread's share: the chunks that are left, one after another. */
void VARIANT(void *data) {
  Job *job = data;
  const Map s = make_map(job);
  const long images = job->grad ? 2 : 1; /* rings of rows, and of weights, held at once */
  const long rings = images * s.pitch * (s.m * s.d + (long)s.k * s.m * s.m);
  void *memory = calloc(1, sizeof(float) * (rings + s.k2 * LANES) + 63);
  float *buffer = (float *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
  long task;
  while (memory && (task = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED)) < job->tasks) {
    /* from the bottom up, so that no row that the buffer still holds from the chunk before can
     * stand in for one that was not loaded */
    const long n = task / job->chunks, chunk = job->chunks - 1 - task % job->chunks;
    const long first = chunk * job->rows;
    const long last = first + job->rows < s.height ? first + job->rows : s.height;
    const long at = n * s.d * s.plane, windows = n * s.k2 * s.k2 * s.plane;
    if (job->grad) {
      BY_TYPE(BACKWARD)
    } else {
      BY_TYPE(FORWARD)
    }
  }
  free(memory);
}
