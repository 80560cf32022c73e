/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_index_api.c: bytes drive adds and searches on a small index. Whatever they are, a
 * call succeeds, or is refused and changes nothing; results are finite, in order and padded; and an
 * index that gets all accepted rows in one add answers alike.
 *
 * Input: dim, bits, metric, centre_rows, flags (1: given centre, 2: wide values), then operations:
 * one byte, kind (low bit: 0 add, 1 search) and rows or k (the rest), followed by their values. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <quash/index.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DIM_MAX 40
#define ROWS_MAX 64
#define TOTAL_MAX 400
#define QUERIES 2

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct input {
    const uint8_t *data;
    size_t size;
    int wide; /* values are the upper halves of any binary32; else small integers */
};

static uint8_t next_byte(struct input *input) {
    if (input->size == 0) {
        return 0;
    }
    input->size--;
    return *input->data++;
}

static float next_value(struct input *input) {
    if (!input->wide) {
        return (float)(int8_t)next_byte(input);
    }
    const uint32_t high = next_byte(input);
    const uint32_t bits = (high << 8 | next_byte(input)) << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void fill(struct input *input, float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        values[i] = next_value(input);
    }
}

static void check_query(const quash_index *index, int32_t metric, int64_t k, const float *scores,
                        const int64_t *ids) {
    const int64_t count = quash_index_count(index);
    unsigned char seen[TOTAL_MAX] = { 0 };
    for (int64_t i = 0; i < k; i++) {
        if (i >= count) {
            REQUIRE(ids[i] == -1);
            REQUIRE(isinf(scores[i]) && (scores[i] > 0.0f) == (metric == QUASH_METRIC_L2));
            continue;
        }
        REQUIRE(isfinite(scores[i]));
        REQUIRE(ids[i] >= 0 && ids[i] < count && !seen[ids[i]]);
        seen[ids[i]] = 1;
        REQUIRE(metric != QUASH_METRIC_L2 || scores[i] >= 0.0f);
        REQUIRE(i == 0 || (metric == QUASH_METRIC_L2 ? scores[i - 1] <= scores[i]
                                                     : scores[i - 1] >= scores[i]));
    }
}

static void search(const quash_index *index, const quash_index *all, int32_t metric, int32_t dim,
                   const float *queries, int64_t k) {
    float scores[2][QUERIES * ROWS_MAX];
    int64_t ids[2][QUERIES * ROWS_MAX];
    const quash_array array = quash_array_view(queries, QUASH_F32, 2, QUERIES, dim, 0);
    memset(scores, 0x5A, sizeof scores);
    const quash_status status = quash_index_search(index, &array, k, scores[0], ids[0]);
    REQUIRE(status == QUASH_OK || status == QUASH_ERROR_ARGUMENT);
    if (status != QUASH_OK) {
        REQUIRE(memcmp(scores[0], scores[1], sizeof scores[0]) == 0);
        return;
    }
    for (int64_t j = 0; j < QUERIES; j++) {
        check_query(index, metric, k, scores[0] + j * k, ids[0] + j * k);
    }
    if (all != NULL) {
        const size_t results = (size_t)(QUERIES * k);
        REQUIRE(quash_index_search(all, &array, k, scores[1], ids[1]) == QUASH_OK);
        REQUIRE(memcmp(scores[0], scores[1], results * sizeof scores[0][0]) == 0);
        REQUIRE(memcmp(ids[0], ids[1], results * sizeof ids[0][0]) == 0);
    }
}

/* Adds up to count rows behind the `held` accepted ones in rows; returns how many were accepted. */
static int64_t add(quash_index *index, const float *rows, int64_t count, int32_t dim) {
    const int64_t held = quash_index_count(index);
    const int64_t total = quash_index_get_bytes(index).total;
    const quash_array array = quash_array_view(rows, QUASH_F32, 2, count, dim, 0);
    const quash_status status = quash_index_add(index, &array);
    const quash_index_bytes bytes = quash_index_get_bytes(index);
    REQUIRE(status == QUASH_OK || status == QUASH_ERROR_ARGUMENT);
    REQUIRE(bytes.total == bytes.codes + bytes.raw + bytes.spare + bytes.tables);
    REQUIRE(quash_index_count(index) == held + (status == QUASH_OK ? count : 0));
    REQUIRE(status == QUASH_OK || bytes.total == total);
    return status == QUASH_OK ? count : 0;
}

static void run(quash_context *context, const quash_index_params *params, struct input *input) {
    static float rows[(TOTAL_MAX + ROWS_MAX) * DIM_MAX];
    float queries[QUERIES * DIM_MAX];
    const size_t dim = (size_t)params->dim;
    int64_t held = 0;
    int64_t k = 1;
    memset(rows, 0, sizeof rows);
    quash_index *index = NULL;
    const quash_status status = quash_index_create(&index, context, params);
    REQUIRE(status == QUASH_OK || status == QUASH_ERROR_ARGUMENT);
    if (status != QUASH_OK) {
        return;
    }
    while (input->size > 0) {
        const uint8_t operation = next_byte(input);
        const int64_t number = operation / 2 % ROWS_MAX;
        if (operation % 2 == 0 && held + number <= TOTAL_MAX) {
            fill(input, rows + (size_t)held * dim, (size_t)number * dim);
            held += add(index, rows + (size_t)held * dim, number, params->dim);
        } else {
            k = number + 1;
            fill(input, queries, QUERIES * dim);
            search(index, NULL, params->metric, params->dim, queries, k);
        }
    }
    quash_index *all = NULL;
    REQUIRE(quash_index_create(&all, context, params) == QUASH_OK);
    REQUIRE(add(all, rows, held, params->dim) == held);
    memcpy(queries, rows, sizeof queries);
    search(index, all, params->metric, params->dim, queries, k);
    quash_index_free(all);
    quash_index_free(index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = { data, size, 0 };
    quash_context *context = NULL;
    quash_context_params context_params = QUASH_CONTEXT_PARAMS_INIT;
    context_params.threads = 1; /* a thread per input would cost more than the input */
    REQUIRE(quash_context_create(&context, &context_params) == QUASH_OK);
    quash_index_params params = QUASH_INDEX_PARAMS_INIT;
    params.dim = 1 + next_byte(&input) % DIM_MAX;
    params.bits = 1 + next_byte(&input) % 4;
    params.metric = next_byte(&input) % 3;
    params.centre_rows = 1 + next_byte(&input) % 100;
    const uint8_t flags = next_byte(&input);
    float centre[DIM_MAX];
    input.wide = flags & 2;
    if (flags & 1) {
        fill(&input, centre, (size_t)params.dim);
        params.centre = centre;
    }
    run(context, &params, &input);
    quash_context_free(context);
    return 0;
}
