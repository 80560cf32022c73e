/* SPDX-License-Identifier: Apache-2.0 */
/* index.h: a compressed vector index in memory, searched exhaustively on its codes. No training.
 * Compiles alone as C11 and as C++17.
 *
 *     quash_index_params params = QUASH_INDEX_PARAMS_INIT;
 *     params.dim = 768;
 *     params.metric = QUASH_METRIC_COSINE;
 *     quash_index *index = NULL;
 *     status = quash_index_create(&index, context, &params);
 *     status = quash_index_add(index, &rows);                          (n, 768)
 *     status = quash_index_search(index, &queries, 10, scores, ids);   (m, 768), (m, 10) each
 *
 * Vectors are coded relative to a centre c, the mean of the first centre_rows vectors, by the
 * identity <q, x> = <q-c, x-c> + <c, x-c> + <q, c>, which is exact for any c. Until that many
 * vectors are there they stay uncompressed (and are searched exactly). Scores are integer dot
 * products of codes and 8-bit query digits, times two numbers stored per vector: bit-identical on
 * every machine. Results do not depend on how the adds were split, nor on the number of workers.
 *
 * Thread rule: one writer (add), or any number of readers (search, getters).
 */
#ifndef QUASH_INDEX_H
#define QUASH_INDEX_H

#include <quash/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QUASH_CENTRE_ROWS_MAX 1048576

typedef enum quash_metric {
    QUASH_METRIC_IP = 0,     /* inner product: larger is nearer */
    QUASH_METRIC_COSINE = 1, /* inner product of normalised vectors: larger is nearer */
    QUASH_METRIC_L2 = 2      /* squared Euclidean distance: smaller is nearer */
} quash_metric;

typedef struct quash_index_params {
    uint32_t struct_size;
    int32_t dim;          /* 1..QUASH_DIM_MAX */
    int32_t bits;         /* 1..4 per coordinate */
    int32_t metric;       /* a quash_metric */
    int32_t search_level; /* step sizes tried per vector when encoding: 0 = 1, 1 = 3, 2 = 5 */
    int32_t centre_rows;  /* 1..QUASH_CENTRE_ROWS_MAX; ignored when centre is given */
    const float *centre;  /* dim numbers, copied: code relative to this centre from the start */
    uint64_t seed;        /* of the random rotation */
} quash_index_params;

#define QUASH_INDEX_PARAMS_INIT                                                                    \
    { sizeof(quash_index_params), 0, 4, QUASH_METRIC_IP, 0, 1024, NULL, 42 }

typedef struct quash_index quash_index;

/* Errors: ARGUMENT (a field out of range, named; a centre that is not finite or longer
 * than 2^60), MEMORY. */
QUASH_API QUASH_MUST_CHECK quash_status quash_index_create(quash_index **out,
                                                           quash_context *context,
                                                           const quash_index_params *params);
QUASH_API void quash_index_free(quash_index *index);

/* Vectors held. */
QUASH_API int64_t quash_index_count(const quash_index *index);

/* Adds rows (n, dim) of any dtype; they get the ids count .. count + n - 1. All or nothing. Split
 * over the context's runner.
 * Errors: ARGUMENT (shape, dtype, strides; NaN or infinity, naming row and column; a zero row under
 * QUASH_METRIC_COSINE; otherwise a row longer than 2^60), MEMORY. */
QUASH_API QUASH_MUST_CHECK quash_status quash_index_add(quash_index *index,
                                                        const quash_array *rows);

/* The k best vectors for each query (m, dim): scores (m, k), best first (ip and cosine descending,
 * L2 ascending; ties by the lower id), and ids (m, k), both row-major. Where the index
 * holds fewer than k vectors the rest is id -1, score -infinity (L2: +infinity). Split over the
 * context's runner by queries; scratch memory comes from the context's allocator.
 * Errors: ARGUMENT (shape, dtype, strides; k < 1; NaN or infinity, naming row and column; a zero
 * query under QUASH_METRIC_COSINE, otherwise one longer than 2^60: nothing is written), MEMORY. */
QUASH_API QUASH_MUST_CHECK quash_status quash_index_search(const quash_index *index,
                                                           const quash_array *queries, int64_t k,
                                                           float *scores, int64_t *ids);

/* Bytes the index holds now, by part, as taken from the allocator. */
typedef struct quash_index_bytes {
    int64_t per_row; /* of one coded vector: ceil(dim/32) * 4 * bits + 8 */
    int64_t codes;   /* coded vectors: count * per_row */
    int64_t raw;     /* vectors kept as binary32 until the centre is known */
    int64_t spare;   /* allocated for vectors to come */
    int64_t tables;  /* centre, rotation, lists, the object itself */
    int64_t total;   /* codes + raw + spare + tables */
} quash_index_bytes;

QUASH_API quash_index_bytes quash_index_get_bytes(const quash_index *index);

#ifdef __cplusplus
}
#endif

#endif
