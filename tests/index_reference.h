/* SPDX-License-Identifier: Apache-2.0 */
/* index_reference.h: a second implementation of the search of an index, as slow as it is plain,
 * which shares with the library only the bytes of its blocks, its centre and the table of levels.
 * Each binary32 operation is done in binary64 and rounded once, which gives the same bits. */
#ifndef QUASH_TESTS_INDEX_REFERENCE_H
#define QUASH_TESTS_INDEX_REFERENCE_H

#include <quash/codec.h>

#include "index_support.h"
#include "store/index.h"

/* ---- Vectors ----------------------------------------------------------------------------- */

static inline float ref_times(float a, float b) {
    return (float)((double)a * (double)b);
}

static inline float ref_plus(float a, float b) {
    return (float)((double)a + (double)b);
}

static inline float ref_minus(float a, float b) {
    return (float)((double)a - (double)b);
}

static inline float ref_largest(const float *x, size_t dim) {
    float largest = 0.0f;
    for (size_t i = 0; i < dim; i++) {
        largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    }
    return largest;
}

/* 2^e with 2^(e-1) <= largest < 2^e and e in -126..126; 1 for 0. */
static inline float ref_power(float largest) {
    double power = 1.0;
    if (largest == 0.0f) {
        return 1.0f;
    }
    while (power <= (double)largest) {
        power *= 2.0;
    }
    while (power / 2.0 > (double)largest) {
        power /= 2.0;
    }
    return (float)fmin(fmax(power, 0x1p-126), 0x1p126);
}

/* Sum of squares over 16 lanes. */
static inline float ref_sum_squares(const float *x, size_t dim) {
    float lanes[16] = { 0.0f };
    for (size_t i = 0; i < dim; i++) {
        lanes[i % 16] = ref_plus(lanes[i % 16], ref_times(x[i], x[i]));
    }
    for (size_t half = 8; half > 0; half /= 2) {
        for (size_t j = 0; j < half; j++) {
            lanes[j] = ref_plus(lanes[j], lanes[j + half]);
        }
    }
    return lanes[0];
}

/* A row as the index sees it: divided by its length under cosine. */
static inline void ref_prepare(int32_t metric, const float *row, size_t dim, float *out) {
    memcpy(out, row, dim * sizeof *out);
    if (metric != QUASH_METRIC_COSINE) {
        return;
    }
    const float shrink = (float)(1.0 / (double)ref_power(ref_largest(row, dim)));
    for (size_t i = 0; i < dim; i++) {
        out[i] = ref_times(out[i], shrink);
    }
    const float norm = (float)sqrt((double)ref_sum_squares(out, dim));
    const float factor = (float)(1.0 / (double)norm);
    for (size_t i = 0; i < dim; i++) {
        out[i] = ref_times(out[i], factor);
    }
}

/* ---- Rotation (doc/format.md, section 3) ------------------------------------------------- */

static inline void ref_window(float *w, size_t width, uint64_t seed, uint64_t step) {
    const uint64_t key = quash_rng_key(seed, step);
    double factor = 1.0;
    for (size_t i = 0; i < width; i++) {
        w[i] = quash_rng_word(key, i / 64) >> i % 64 & 1 ? -w[i] : w[i];
    }
    for (size_t stride = 1; stride < width; stride *= 2) {
        for (size_t i = 0; i < width; i++) {
            if ((i & stride) == 0) {
                const float low = w[i];
                w[i] = ref_plus(low, w[i + stride]);
                w[i + stride] = ref_minus(low, w[i + stride]);
            }
        }
    }
    size_t rest = width;
    for (; rest >= 4; rest /= 4) {
        factor /= 2.0;
    }
    factor *= rest == 2 ? 0x1.6a09e6p-1 : 1.0;
    for (size_t i = 0; i < width; i++) {
        w[i] = ref_times(w[i], (float)factor);
    }
}

static inline void ref_rotate(float *x, size_t dim, uint64_t seed) {
    size_t width = 1;
    while (width * 2 <= dim) {
        width *= 2;
    }
    if (width == dim) {
        ref_window(x, width, seed, 0);
        ref_window(x, width, seed, 1);
        return;
    }
    const float h = 0x1.6a09e6p-1f;
    const size_t upper = dim - dim / 2;
    for (uint64_t step = 0; step < 6; step++) {
        ref_window(step % 2 == 0 ? x : x + (dim - width), width, seed, step);
        for (size_t i = 0; step % 2 == 1 && step < 5 && i < dim / 2; i++) {
            const float low = x[i];
            x[i] = ref_times(ref_plus(low, x[i + upper]), h);
            x[i + upper] = ref_times(ref_minus(low, x[i + upper]), h);
        }
    }
}

/* ---- Rows and queries -------------------------------------------------------------------- */

struct ref_row {
    float scale;
    float addend;
    int8_t *integers; /* [dim] */
};

/* A row of the blocks; the caller frees the integers. */
static inline struct ref_row ref_row_read(const quash_index *index, int64_t row) {
    const size_t bits = (size_t)index->params.bits;
    const size_t dim = (size_t)index->params.dim;
    const size_t row_codes = (dim + 31) / 32 * 4 * bits;
    const size_t slot = (size_t)row % 1024;
    const uint8_t *const block = index->blocks[row / 1024];
    const uint8_t *const packed = block + slot * row_codes;
    const uint8_t *const high = packed + (dim + 31) / 32 * 8; /* third plane of 3 bits */
    int8_t levels[16];
    float step;
    (void)quash_codebook_levels((int32_t)bits, levels, &step);
    struct ref_row result = { 0.0f, 0.0f, test_alloc(dim) };
    for (size_t i = 0; i < dim; i++) {
        unsigned code;
        if (bits == 3) {
            const unsigned low = packed[i / 4];
            const unsigned top = high[i / 8];
            code = (low >> i % 4 * 2 & 3u) | (top >> i % 8 & 1u) << 2;
        } else {
            const unsigned byte = packed[i * bits / 8];
            code = byte >> i * bits % 8 & ((1u << bits) - 1u);
        }
        result.integers[i] = levels[code];
    }
    memcpy(&result.scale, block + 1024 * row_codes + slot * 4, 4);
    memcpy(&result.addend, block + 1024 * (row_codes + 4) + slot * 4, 4);
    return result;
}

struct ref_query {
    float unit;
    double constant;
    float *rotated; /* [dim], (q - c) / power, rotated */
    int8_t *digits; /* [dim] */
    float power;
};

/* A prepared query; the caller frees rotated and digits. */
static inline struct ref_query ref_query_make(const quash_index *index, const float *q) {
    const size_t dim = (size_t)index->params.dim;
    struct ref_query query = { 0.0f, 0.0, test_alloc(dim * sizeof(float)), test_alloc(dim), 1.0f };
    float *const r = query.rotated;
    for (size_t i = 0; i < dim; i++) {
        r[i] = ref_minus(q[i], index->centre[i]);
        query.constant += index->params.metric == QUASH_METRIC_L2
                              ? (double)r[i] * (double)r[i]
                              : (double)q[i] * (double)index->centre[i];
    }
    query.power = ref_power(ref_largest(r, dim));
    for (size_t i = 0; i < dim; i++) {
        r[i] = ref_times(r[i], (float)(1.0 / (double)query.power));
    }
    ref_rotate(r, dim, index->params.seed);
    const float top = ref_largest(r, dim);
    const float inverse = top > 0.0f ? (float)(127.0 / (double)top) : 0.0f;
    for (size_t i = 0; i < dim; i++) {
        query.digits[i] = (int8_t)rint((double)ref_times(r[i], inverse));
    }
    query.unit = ref_times((float)((double)top / 127.0), query.power);
    return query;
}

/* ---- Search ------------------------------------------------------------------------------ */

/* The key of a row of which sum is the integer dot product with the query's digits. */
static inline float ref_key(int32_t metric, const struct ref_query *query,
                            const struct ref_row *row, int64_t sum) {
    const float product = ref_times(row->scale, ref_times(query->unit, (float)sum));
    return metric == QUASH_METRIC_L2 ? ref_minus(ref_times(2.0f, product), row->addend)
                                     : ref_plus(product, row->addend);
}

static inline float ref_score(int32_t metric, const struct ref_query *query, float key) {
    if (metric == QUASH_METRIC_L2) {
        const double distance = query->constant - (double)key;
        return distance > 0.0 ? (float)distance : 0.0f;
    }
    return (float)((double)key + query->constant);
}

struct ref_candidate {
    float key;
    int64_t id;
};

static inline int ref_compare(const void *a, const void *b) {
    const struct ref_candidate *const x = a;
    const struct ref_candidate *const y = b;
    if (x->key != y->key) {
        return x->key > y->key ? -1 : 1;
    }
    return x->id < y->id ? -1 : x->id > y->id;
}

/* All rows of a coded index ranked for each query: results of k = count. */
static inline struct test_result ref_search(const quash_index *index, const float *queries,
                                            int64_t count) {
    const int32_t metric = index->params.metric;
    const size_t dim = (size_t)index->params.dim;
    const int64_t rows = index->count;
    const struct test_result result = test_result_alloc(count, rows);
    struct ref_candidate *const candidates = test_alloc((size_t)rows * sizeof *candidates);
    float *const q = test_alloc(dim * sizeof *q);
    for (int64_t j = 0; j < count; j++) {
        ref_prepare(metric, queries + (size_t)j * dim, dim, q);
        const struct ref_query query = ref_query_make(index, q);
        for (int64_t r = 0; r < rows; r++) {
            const struct ref_row row = ref_row_read(index, r);
            int64_t sum = 0;
            for (size_t i = 0; i < dim; i++) {
                sum += (int64_t)row.integers[i] * query.digits[i];
            }
            candidates[r] = (struct ref_candidate){ ref_key(metric, &query, &row, sum), r };
            free(row.integers);
        }
        qsort(candidates, (size_t)rows, sizeof *candidates, ref_compare);
        for (int64_t r = 0; r < rows; r++) {
            result.scores[j * rows + r] = ref_score(metric, &query, candidates[r].key);
            result.ids[j * rows + r] = candidates[r].id;
        }
        free(query.rotated);
        free(query.digits);
    }
    free(candidates);
    free(q);
    return result;
}

/* The true score, in double: of prepared rows. */
static inline double ref_true_score(int32_t metric, const float *q, const float *x, size_t dim) {
    return metric == QUASH_METRIC_L2 ? test_squared_error(q, x, dim) : test_dot(q, x, dim);
}

#endif
