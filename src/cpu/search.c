/* SPDX-License-Identifier: Apache-2.0 */
/* search.c: exhaustive search of an index. A task is up to 8 queries; they share each unpacked row.
 * Scores are integer dot products (exact zone) until the two products that make a key. */
#include <math.h>

#include "base/runner.h"
#include "base/scratch.h"
#include "base/status.h"
#include "cpu/blocks.h"
#include "cpu/top_k.h"

#define QUERIES_PER_TASK 8
#define ROWS_PER_SCAN 64

struct search_job {
    const struct quash_blocks *blocks;
    const float *queries;
    int64_t n;
    int64_t k;
    float *scores;
    int64_t *ids;
    struct quash_scratch scratch;
};

/* A query ready to scan. */
struct query {
    float unit;      /* coordinate = unit * digit */
    double constant; /* <q, c> (ip, cosine) or |q-c|^2 (L2) */
    struct quash_top_k top;
};

struct search_scratch {
    float *difference; /* q - c, rotated */
    int8_t *digits;    /* [QUERIES_PER_TASK][dims] */
    int32_t *sums;     /* [ROWS_PER_SCAN][QUERIES_PER_TASK] */
};

static struct search_scratch carve(struct quash_arena *arena, const struct quash_blocks *blocks) {
    struct search_scratch scratch;
    scratch.difference = quash_arena_take(arena, blocks->dim, sizeof(float));
    scratch.digits = quash_arena_take(arena, QUERIES_PER_TASK * blocks->layout->dims, 1);
    scratch.sums = quash_arena_take(arena, ROWS_PER_SCAN * QUERIES_PER_TASK, sizeof(int32_t));
    return scratch;
}

/* q - c to digits of [-127, 127], and what depends on the query alone. */
static void prepare_query(const struct quash_blocks *blocks, const float *q,
                          const struct search_scratch *scratch, int8_t *digits,
                          struct query *query) {
    const struct quash_kernels *const kernels = blocks->quantizer->kernels;
    float *const r = scratch->difference;
    query->constant = 0.0;
    for (size_t i = 0; i < blocks->dim; i++) {
        r[i] = q[i] - blocks->centre[i];
        query->constant += blocks->metric == QUASH_METRIC_L2
                               ? (double)r[i] * (double)r[i]
                               : (double)q[i] * (double)blocks->centre[i];
    }
    const float largest = kernels->max_abs(r, blocks->dim);
    const float power = largest > 0.0f ? quash_scaling_power(largest) : 1.0f;
    kernels->multiply(r, blocks->dim, 1.0f / power);
    quash_rotation_apply(blocks->quantizer->rotation, kernels, r);
    const float top = kernels->max_abs(r, blocks->dim);
    const float inverse = top > 0.0f ? 127.0f / top : 0.0f;
    for (size_t i = 0; i < blocks->layout->dims; i++) {
        digits[i] = i < blocks->dim ? (int8_t)rintf(r[i] * inverse) : (int8_t)0;
    }
    query->unit = top / 127.0f * power;
}

static void scan_coded(const struct quash_blocks *blocks, const struct search_scratch *scratch,
                       struct query *queries, size_t query_count) {
    const struct quash_block_layout *const layout = blocks->layout;
    const struct quash_codebook *const codebook = blocks->quantizer->codebook;
    for (int64_t first = 0; first < blocks->count; first += ROWS_PER_SCAN) {
        const uint8_t *const block = blocks->blocks[first / QUASH_BLOCK_ROWS];
        const size_t slot = (size_t)(first % QUASH_BLOCK_ROWS);
        const size_t rows = blocks->count - first < ROWS_PER_SCAN ? (size_t)(blocks->count - first)
                                                                  : (size_t)ROWS_PER_SCAN;
        const float *const scales = (const float *)(const void *)(block + layout->scales) + slot;
        const float *const addends = (const float *)(const void *)(block + layout->addends) + slot;
        blocks->quantizer->kernels->scan[codebook->bits - 1](
            codebook->values, block + slot * layout->row_codes, rows, layout->row_codes,
            layout->dims, scratch->digits, query_count, scratch->sums);
        for (size_t r = 0; r < rows; r++) {
            for (size_t j = 0; j < query_count; j++) {
                const float t = queries[j].unit * (float)scratch->sums[r * query_count + j];
                const float product = scales[r] * t;
                const float key = blocks->metric == QUASH_METRIC_L2 ? 2.0f * product - addends[r]
                                                                    : product + addends[r];
                quash_top_k_offer(&queries[j].top, key, first + (int64_t)r);
            }
        }
    }
}

/* Before the centre is known: exact scores of the raw rows, in double and in order. */
static void scan_raw(const struct quash_blocks *blocks, const float *q, struct query *query) {
    query->constant = 0.0;
    for (int64_t row = 0; row < blocks->count; row++) {
        const float *const x = blocks->raw + (size_t)row * blocks->dim;
        double sum = 0.0;
        for (size_t i = 0; i < blocks->dim; i++) {
            const double difference = (double)q[i] - (double)x[i];
            sum += blocks->metric == QUASH_METRIC_L2 ? -difference * difference
                                                     : (double)q[i] * (double)x[i];
        }
        quash_top_k_offer(&query->top, (float)sum, row);
    }
}

/* Keys to scores, best first; what is missing is padded. */
static void finish_query(const struct search_job *job, struct query *query) {
    const int l2 = job->blocks->metric == QUASH_METRIC_L2;
    struct quash_top_k *const top = &query->top;
    quash_top_k_sort(top);
    for (int64_t i = 0; i < job->k; i++) {
        if (i >= top->size) {
            top->keys[i] = l2 ? INFINITY : -INFINITY;
            top->ids[i] = -1;
        } else if (l2) {
            top->keys[i] = (float)fmax(0.0, query->constant - (double)top->keys[i]);
        } else {
            top->keys[i] = (float)((double)top->keys[i] + query->constant);
        }
    }
}

static void search_task(void *state, int64_t index, int32_t worker) {
    const struct search_job *const job = state;
    const struct quash_blocks *const blocks = job->blocks;
    struct quash_arena arena = quash_scratch_arena(&job->scratch, worker);
    const struct search_scratch scratch = carve(&arena, blocks);
    const int64_t first = index * QUERIES_PER_TASK;
    const size_t count =
        job->n - first < QUERIES_PER_TASK ? (size_t)(job->n - first) : (size_t)QUERIES_PER_TASK;
    struct query queries[QUERIES_PER_TASK];
    for (size_t j = 0; j < count; j++) {
        const int64_t at = first + (int64_t)j;
        const float *const q = job->queries + (size_t)at * blocks->dim;
        queries[j].top =
            (struct quash_top_k){ job->scores + at * job->k, job->ids + at * job->k, job->k, 0 };
        if (blocks->centre == NULL) {
            scan_raw(blocks, q, &queries[j]);
        } else {
            prepare_query(blocks, q, &scratch, scratch.digits + j * blocks->layout->dims,
                          &queries[j]);
        }
    }
    if (blocks->centre != NULL) {
        scan_coded(blocks, &scratch, queries, count);
    }
    for (size_t j = 0; j < count; j++) {
        finish_query(job, &queries[j]);
    }
}

quash_status quash_cpu_search(const struct quash_blocks *blocks, const float *queries, int64_t n,
                              int64_t k, float *scores, int64_t *ids) {
    const quash_context *const context = blocks->context;
    struct search_job job = {
        .blocks = blocks, .queries = queries, .n = n, .k = k, .scores = scores, .ids = ids
    };
    struct quash_arena size = { NULL, 0 };
    (void)carve(&size, blocks);
    QUASH_TRY(quash_scratch_take(context, size.used, "the scratch of search", &job.scratch));
    quash_run(&context->runner, search_task, &job, (n + QUERIES_PER_TASK - 1) / QUERIES_PER_TASK);
    quash_scratch_give(context, &job.scratch);
    return QUASH_OK;
}
