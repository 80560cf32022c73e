/* SPDX-License-Identifier: Apache-2.0 */
/* cache.h: a compressed key/value cache of one attention layer, and attention on its codes.
 * Compiles alone as C11 and as C++17.
 *
 * Tokens are encoded as they are appended and never decoded again: a query is rotated once, scores
 * are dot products with the codes, the output is summed in the rotated domain and rotated back
 * once.
 *
 *     quash_cache_params params = QUASH_CACHE_PARAMS_INIT;
 *     params.kv_heads = 8;
 *     params.head_dim = 128;
 *     quash_cache *cache = NULL;
 *     status = quash_cache_create(&cache, context, &params);
 *     status = quash_cache_append(cache, &keys, &values);              (8, tokens, 128) each
 *     quash_attend_params attend = QUASH_ATTEND_PARAMS_INIT;
 *     status = quash_cache_attend(cache, &attend, &queries, &out, NULL, NULL, 0);
 *                                                     queries and out: (32, q_len, 128)
 *
 * Thread rule: one writer (append, reset) at a time and no reader beside it; any number of readers
 * (attend, decode, getters) in parallel.
 */
#ifndef QUASH_CACHE_H
#define QUASH_CACHE_H

#include <quash/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QUASH_KV_HEADS_MAX 65536
#define QUASH_HEAD_DIM_MAX 576
#define QUASH_GROUP_MAX 16 /* query heads per KV head */

typedef struct quash_cache_params {
    uint32_t struct_size;
    int32_t kv_heads;     /* 1..QUASH_KV_HEADS_MAX */
    int32_t head_dim;     /* a multiple of 8, 8..QUASH_HEAD_DIM_MAX */
    int32_t key_bits;     /* 2..4 */
    int32_t value_bits;   /* 2..4 */
    int32_t search_level; /* step sizes tried per vector: 0 = 1, 1 = 3, 2 = 5 (smaller error) */
    uint64_t seed;        /* of the random rotation */
} quash_cache_params;

#define QUASH_CACHE_PARAMS_INIT                                                                    \
    { sizeof(quash_cache_params), 0, 0, 4, 4, 2, 42 }

typedef struct quash_cache quash_cache;

/* Errors: ARGUMENT (a field out of range, named), MEMORY. */
QUASH_API QUASH_MUST_CHECK quash_status quash_cache_create(quash_cache **out,
                                                           quash_context *context,
                                                           const quash_cache_params *params);
QUASH_API void quash_cache_free(quash_cache *cache);

/* Tokens held. */
QUASH_API int64_t quash_cache_tokens(const quash_cache *cache);

/* Forgets all tokens and gives their memory back. */
QUASH_API void quash_cache_reset(quash_cache *cache);

/* Appends tokens: keys and values of shape (kv_heads, tokens, head_dim), any dtype of floating
 * point, each with strides of its own. All or nothing. Appending in any split gives the same bytes.
 * Keys keep their norm (QUASH_SCALE_NORM), values are unbiased (QUASH_SCALE_UNBIASED); scales are
 * binary16.
 * Errors: ARGUMENT (shape, dtype, strides; NaN or infinity, naming head, token and column; a scale
 * beyond binary16, naming head and token), CAPACITY (more than 2^31 - 64 tokens), MEMORY. */
QUASH_API QUASH_MUST_CHECK quash_status quash_cache_append(quash_cache *cache,
                                                           const quash_array *keys,
                                                           const quash_array *values);

/* Arithmetic of attention. Errors are relative to exact attention on the decoded keys and values,
 * at scores of standard deviation 1 (doc/numerics.md, "Attention"). The integer modes have code for
 * AVX2, AVX-512 and NEON with dot products; elsewhere they are correct and slow. */
typedef enum quash_attend_mode {
    QUASH_ATTEND_FAST = 0,  /* integers, one digit per query element and weight: error about 1 % */
    QUASH_ATTEND_EXACT = 1, /* integers, 16 bits: error below 2e-4 */
    QUASH_ATTEND_FLOAT = 2  /* plain float, slow: the reference; error below 1e-5 */
} quash_attend_mode;

typedef struct quash_attend_params {
    uint32_t struct_size;
    int32_t causal; /* not 0: query i of q_len sees tokens 0 .. tokens - q_len + i */
    float scale;    /* multiplies every score; 0: 1/sqrt(head_dim) */
    int32_t mode;   /* a quash_attend_mode */
} quash_attend_params;

#define QUASH_ATTEND_PARAMS_INIT                                                                   \
    { sizeof(quash_attend_params), 1, 0.0f, QUASH_ATTEND_FAST }

/* out = softmax(scale * queries . keys) . values, on the codes.
 *   queries, out  (query_heads, q_len, head_dim), floating point; query_heads is 1..16 times
 *                 kv_heads, and query heads h*group .. h*group + group - 1 read KV head h
 *   lse           NULL, or F32 (query_heads, q_len): natural logarithm of the sum of exp(score).
 *                 Two results over disjoint tokens merge by it:
 *                 lse = log(exp(lse1) + exp(lse2)), out = sum_i exp(lse_i - lse) * out_i
 * A query that sees no token (causal, q_len > tokens) or an empty cache is an error. KV heads,
 * queries and ranges of tokens are split over the context's runner; results do not depend on the
 * number of its workers, but may differ from one CPU level to another.
 *   workspace     at least quash_cache_attend_workspace(cache) bytes, aligned to 64, not shared
 *                 with a call that runs at the same time; or NULL: taken from the context's
 *                 allocator and given back within the call
 * Errors: ARGUMENT (shape, dtype, strides, non-finite queries or scale; no token to attend to;
 * misaligned workspace; a score beyond binary32: out and lse are then unspecified), CAPACITY
 * (workspace too small), MEMORY (without a workspace). */
QUASH_API QUASH_MUST_CHECK quash_status quash_cache_attend(
    const quash_cache *cache, const quash_attend_params *params, const quash_array *queries,
    const quash_array *out, const quash_array *lse, void *workspace, size_t workspace_bytes);

/* Bytes of workspace that quash_cache_attend needs: depends on head_dim and the context's workers
 * only, so that it can be allocated once. */
QUASH_API size_t quash_cache_attend_workspace(const quash_cache *cache);

/* Decodes tokens first .. first + n - 1 into keys and values (kv_heads, n, head_dim), F32, F16 or
 * BF16; either may be NULL. For tests and quality reports: attention never does this.
 * Errors: ARGUMENT (shape, dtype, strides; a range outside the cache), MEMORY (keys may then be
 * written already). */
QUASH_API QUASH_MUST_CHECK quash_status quash_cache_decode(const quash_cache *cache, int64_t first,
                                                           const quash_array *keys,
                                                           const quash_array *values);

/* Bytes the cache holds now, by part, as taken from the allocator. */
typedef struct quash_cache_bytes {
    int64_t key_codes;   /* of whole tiles of 64 tokens, the open one included */
    int64_t value_codes; /* likewise */
    int64_t scales;      /* likewise: 2 bytes per key and 2 per value */
    int64_t tables;      /* rotation, tile list, the object itself */
    int64_t total;
} quash_cache_bytes;

QUASH_API quash_cache_bytes quash_cache_get_bytes(const quash_cache *cache);

#ifdef __cplusplus
}
#endif

#endif
