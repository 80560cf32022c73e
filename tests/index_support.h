/* SPDX-License-Identifier: Apache-2.0 */
/* index_support.h: what the tests of the index share: creating, filling and searching one that must
 * succeed, comparing two of them, and reading the SIFT sample. */
#ifndef QUASH_TESTS_INDEX_SUPPORT_H
#define QUASH_TESTS_INDEX_SUPPORT_H

#include <quash/index.h>

#include "support.h"

static inline quash_index_params test_index_params(size_t dim, int32_t bits, int32_t metric) {
    quash_index_params params = QUASH_INDEX_PARAMS_INIT;
    params.dim = (int32_t)dim;
    params.bits = bits;
    params.metric = metric;
    return params;
}

static inline quash_index *test_index(quash_context *context, const quash_index_params *params) {
    quash_index *index = NULL;
    if (!CHECK_EQ(quash_index_create(&index, context, params), QUASH_OK)) {
        printf("%s\n", quash_last_message());
        exit(1);
    }
    return index;
}

static inline quash_array test_matrix(const float *rows, int64_t count, size_t dim) {
    return quash_array_view(rows, QUASH_F32, 2, count, (int64_t)dim, 0);
}

/* Adds `count` rows of binary32. */
static inline bool test_add(quash_index *index, const float *rows, int64_t count, size_t dim) {
    const quash_array array = test_matrix(rows, count, dim);
    const bool ok = CHECK_EQ(quash_index_add(index, &array), QUASH_OK);
    if (!ok) {
        printf("    %s\n", quash_last_message());
    }
    return ok;
}

/* ---- Results ----------------------------------------------------------------------------- */

struct test_result {
    int64_t queries;
    int64_t k;
    float *scores; /* [queries][k] */
    int64_t *ids;
};

static inline struct test_result test_result_alloc(int64_t queries, int64_t k) {
    const size_t size = (size_t)(queries * k);
    return (struct test_result){ queries, k, test_alloc(size * sizeof(float)),
                                 test_alloc(size * sizeof(int64_t)) };
}

static inline void test_result_free(const struct test_result *result) {
    free(result->scores);
    free(result->ids);
}

/* Searches for rows of any dtype. */
static inline struct test_result test_search_array(const quash_index *index,
                                                   const quash_array *queries, int64_t k) {
    struct test_result result = test_result_alloc(queries->shape[0], k);
    memset(result.scores, 0x5A, (size_t)(result.queries * k) * sizeof *result.scores);
    memset(result.ids, 0x5A, (size_t)(result.queries * k) * sizeof *result.ids);
    if (!CHECK_EQ(quash_index_search(index, queries, k, result.scores, result.ids), QUASH_OK)) {
        printf("    %s\n", quash_last_message());
    }
    return result;
}

static inline struct test_result test_search(const quash_index *index, const float *queries,
                                             int64_t count, size_t dim, int64_t k) {
    const quash_array array = test_matrix(queries, count, dim);
    return test_search_array(index, &array, k);
}

/* The same bits. */
static inline bool test_results_equal(const struct test_result *a, const struct test_result *b) {
    const size_t size = (size_t)(a->queries * a->k);
    return a->queries == b->queries && a->k == b->k &&
           memcmp(a->scores, b->scores, size * sizeof *a->scores) == 0 &&
           memcmp(a->ids, b->ids, size * sizeof *a->ids) == 0;
}

/* Two indexes hold the same number of rows and bytes, and answer alike. Bytes that depend on how
 * the adds were split, those set aside for rows to come, are compared only if `spare` is set. */
static inline bool test_indexes_agree(const quash_index *a, const quash_index *b, bool spare,
                                      const float *queries, int64_t count, size_t dim, int64_t k) {
    const quash_index_bytes bytes_a = quash_index_get_bytes(a);
    const quash_index_bytes bytes_b = quash_index_get_bytes(b);
    const struct test_result result_a = test_search(a, queries, count, dim, k);
    const struct test_result result_b = test_search(b, queries, count, dim, k);
    const bool agree = quash_index_count(a) == quash_index_count(b) &&
                       bytes_a.codes == bytes_b.codes && bytes_a.raw == bytes_b.raw &&
                       (!spare || bytes_a.total == bytes_b.total) &&
                       test_results_equal(&result_a, &result_b);
    test_result_free(&result_a);
    test_result_free(&result_b);
    return agree;
}

/* Rank order of two results of a metric: true when a comes before b. */
static inline bool test_ranks_before(int32_t metric, double score_a, int64_t id_a, double score_b,
                                     int64_t id_b) {
    if (score_a != score_b) {
        return metric == QUASH_METRIC_L2 ? score_a < score_b : score_a > score_b;
    }
    return id_a < id_b;
}

/* ---- SIFT sample ------------------------------------------------------------------------- */

#define SIFT_DIM 128
#define SIFT_ROWS 4500
#define SIFT_QUERIES 500

/* Reads `count` rows of 128 bytes, each behind its int32 dimension, into binary32. */
static inline float *test_read_sift(const char *path, size_t count) {
    FILE *const file = fopen(path, "rb");
    if (file == NULL) {
        printf("cannot open %s: run from the root of the repository\n", path);
        exit(1);
    }
    float *const rows = test_alloc(count * SIFT_DIM * sizeof *rows);
    for (size_t r = 0; r < count; r++) {
        unsigned char bytes[4 + SIFT_DIM];
        if (fread(bytes, 1, sizeof bytes, file) != sizeof bytes || bytes[0] != SIFT_DIM) {
            printf("%s is damaged\n", path);
            exit(1);
        }
        for (size_t i = 0; i < SIFT_DIM; i++) {
            rows[r * SIFT_DIM + i] = (float)bytes[4 + i];
        }
    }
    (void)fclose(file);
    return rows;
}

#endif
