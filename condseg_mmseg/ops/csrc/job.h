/* One call of the op, as its threads see it. */

typedef enum { FLOAT32, BFLOAT16 } Type; /* the numbers that native.py gives them */

static inline long size_of(Type type) { return type == FLOAT32 ? 4 : 2; }

typedef struct {
  Type type; /* of all tensors */
  long batch, d, height, width;
  int k;
  float scale;
  const void *grad; /* of the result; null in the forward */
  const void *values, *logits;
  void *out, *grad_logits; /* out: the result, or the gradient of the values */
  long rows, chunks;       /* of a chunk, and chunks of an image and head */
  long tasks, next;        /* chunks of all, and the first that no thread has taken yet */
} Job;
