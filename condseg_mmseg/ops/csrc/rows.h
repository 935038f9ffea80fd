/* Rows of maps in buffers: loaded, weighted and added up; the softmax of a row of windows. */

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

static Map make_map(const Job *job) {
  Map s = {.height = job->height, .width = job->width, .plane = job->height * job->width};
  s.d = job->d, s.scale = job->scale;
  s.k = job->k, s.r = s.k / 2, s.m = 2 * s.k - 1, s.k2 = s.k * s.k;
  s.values_spill = job->batch * s.d * s.plane * size_of(job->type) > CACHE;
  s.logits_spill = job->batch * s.k2 * s.k2 * s.plane * size_of(job->type) > CACHE;
  s.pad = s.k - 1;
  const long blocks = (s.width + LANES - 1) / LANES;
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
