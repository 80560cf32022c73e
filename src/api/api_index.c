/* SPDX-License-Identifier: Apache-2.0 */
/* api_index.c: the public index: validation, then src/store and src/cpu. */
#include <math.h>

#include "api/check.h"
#include "base/array.h"
#include "base/status.h"
#include "cpu/rows.h"
#include "store/index.h"

static quash_status check_params(const quash_index_params *params) {
    QUASH_TRY(quash_check_range("dim", params->dim, 1, QUASH_DIM_MAX));
    QUASH_TRY(quash_check_range("bits", params->bits, 1, 4));
    QUASH_TRY(quash_check_range("metric", params->metric, QUASH_METRIC_IP, QUASH_METRIC_L2));
    QUASH_TRY(quash_check_range("search_level", params->search_level, 0, 2));
    if (params->centre == NULL) {
        return quash_check_range("centre_rows", params->centre_rows, 1, QUASH_CENTRE_ROWS_MAX);
    }
    double squares = 0.0;
    for (int32_t i = 0; i < params->dim; i++) {
        if (!isfinite(params->centre[i])) {
            return quash_fail(QUASH_ERROR_ARGUMENT, "centre: NaN or infinity in column %d", (int)i);
        }
        squares += (double)params->centre[i] * (double)params->centre[i];
    }
    if (squares > (double)QUASH_ROW_SQUARES_MAX) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "centre is longer than 2^60");
    }
    return QUASH_OK;
}

quash_status quash_index_create(quash_index **out, quash_context *context,
                                const quash_index_params *params) {
    QUASH_TRY(quash_check_create(out, context, params, params == NULL ? 0 : params->struct_size,
                                 sizeof *params));
    QUASH_TRY(check_params(params));
    return quash_index_make(out, context, params);
}

void quash_index_free(quash_index *index) {
    if (index != NULL) {
        quash_index_destroy(index);
    }
}

int64_t quash_index_count(const quash_index *index) {
    return index->count;
}

quash_status quash_index_add(quash_index *index, const quash_array *rows) {
    QUASH_TRY(
        quash_check_rows(index->context, rows, "rows", QUASH_ANY_DTYPE, -1, index->params.dim));
    return rows->shape[0] == 0 ? QUASH_OK : quash_index_push(index, rows);
}

quash_status quash_index_search(const quash_index *index, const quash_array *queries, int64_t k,
                                float *scores, int64_t *ids) {
    if (k < 1) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "k is %lld, expected 1 or more", (long long)k);
    }
    QUASH_TRY(quash_check_rows(index->context, queries, "queries", QUASH_ANY_DTYPE, -1,
                               index->params.dim));
    const int64_t n = queries->shape[0];
    if (n == 0) {
        return QUASH_OK;
    }
    if (scores == NULL || ids == NULL) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "%s is NULL", scores == NULL ? "scores" : "ids");
    }
    if (k > INT64_MAX / 16 / n) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "k is %lld: %lld queries times k exceed memory",
                          (long long)k, (long long)n);
    }
    const quash_context *const context = index->context;
    size_t size;
    QUASH_TRY(
        quash_size_mul((size_t)n, (size_t)index->params.dim * sizeof(float), "the queries", &size));
    void *prepared;
    QUASH_TRY(quash_alloc(&context->allocator, size, "the queries", &prepared));
    quash_status status =
        quash_cpu_prepare_rows(context, index->params.metric, queries, "queries", prepared);
    if (status == QUASH_OK) {
        const struct quash_blocks blocks = quash_index_blocks(index);
        status = quash_cpu_search(&blocks, prepared, n, k, scores, ids);
    }
    quash_release(&context->allocator, prepared, size);
    return status;
}

quash_index_bytes quash_index_get_bytes(const quash_index *index) {
    const int64_t row_bytes = (int64_t)quash_block_row_bytes(&index->layout);
    const int64_t raw_row = index->params.dim * (int64_t)sizeof(float);
    quash_index_bytes bytes;
    bytes.per_row = row_bytes;
    bytes.codes = index->frozen ? index->count * row_bytes : 0;
    bytes.raw = index->frozen ? 0 : index->count * raw_row;
    bytes.spare = index->block_count * (int64_t)index->layout.bytes - bytes.codes +
                  index->raw_capacity * raw_row - bytes.raw;
    bytes.tables = (int64_t)index->size + index->block_capacity * (int64_t)sizeof *index->blocks;
    bytes.total = bytes.codes + bytes.raw + bytes.spare + bytes.tables;
    return bytes;
}
