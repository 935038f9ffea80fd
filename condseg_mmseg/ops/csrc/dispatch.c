/* What native.py calls: chooses the variant for this CPU, cuts the map, starts the threads. */
#include <stdint.h>
#include <string.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "job.h"

#define PUBLIC __attribute__((visibility("default")))

void baseline(void *job);
void avx2(void *job);
void avx512(void *job);

static void (*chosen)(void *job) = baseline;

/* Use the variant of this name, or the best one for null. Returns its name, or null where this
 * library or this CPU does not have it. */
PUBLIC const char *condseg_outlook_variant(const char *name) {
#define TRY(variant, runs)                                     \
  if ((!name || !strcmp(name, #variant)) && (runs)) {          \
    chosen = variant;                                          \
    return #variant;                                           \
  }
#if defined(HAS_AVX2) || defined(HAS_AVX512)
  __builtin_cpu_init();
#endif
#if defined(HAS_AVX512)
  TRY(avx512, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
#endif
#if defined(HAS_AVX2)
  TRY(avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#endif
  TRY(baseline, 1)
  return 0;
}

/* OpenMP's parallel region, as GCC calls it and every runtime offers it. The library is linked with
 * no runtime: the loader finds the one that PyTorch brought, and its threads are reused. */
void GOMP_parallel(void (*work)(void *), void *data, unsigned threads, unsigned flags);

static int run(Job job, int threads) {
  /* short chunks balance the threads, long ones repeat less at their ends */
  const long wanted = (4L * threads + job.batch - 1) / job.batch;
  job.rows = threads == 1 ? job.height : (job.height + wanted - 1) / wanted;
  if (job.rows < 8) job.rows = 8;
  job.chunks = (job.height + job.rows - 1) / job.rows;
  job.tasks = job.batch * job.chunks;
  if (threads == 1)
    chosen(&job);
  else
    GOMP_parallel(chosen, &job, threads, 0);
  return job.next < job.tasks;
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

/* values, out: (batch, d, height, width); logits: (batch, k^4, height, width); all of one type, a
 * Type. 0, or 1: no memory */
PUBLIC int condseg_outlook_forward(const void *values, const void *logits, void *out, long batch,
                                   long d, long height, long width, int k, float scale,
                                   int threads, int type) {
  const Job job = {.type = type, .batch = batch, .d = d, .height = height, .width = width, .k = k,
                   .scale = scale, .values = values, .logits = logits, .out = out};
  large_pages(out, batch * d * height * width * size_of(type));
  return run(job, threads);
}

PUBLIC int condseg_outlook_backward(const void *grad, const void *values, const void *logits,
                                    void *grad_values, void *grad_logits, long batch, long d,
                                    long height, long width, int k, float scale, int threads,
                                    int type) {
  const Job job = {.type = type, .batch = batch, .d = d, .height = height, .width = width, .k = k,
                   .scale = scale, .grad = grad, .values = values, .logits = logits,
                   .out = grad_values, .grad_logits = grad_logits};
  const long pixels = batch * height * width * size_of(type);
  large_pages(grad_values, pixels * d);
  large_pages(grad_logits, pixels * k * k * k * k);
  return run(job, threads);
}
