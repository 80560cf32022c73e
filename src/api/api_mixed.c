/* SPDX-License-Identifier: Apache-2.0 */
/* api_mixed.c: the public mixed quantizer: validation and calibration, then src/store. */
#include <string.h>

#include "api/check.h"
#include "base/alloc.h"
#include "base/array.h"
#include "base/runner.h"
#include "base/status.h"
#include "store/mixed.h"

/* ---- Choice of the outliers -------------------------------------------------------------- */

struct energy_job {
    const quash_context *context;
    const quash_array *rows;
    float *row;     /* [dim] */
    double *energy; /* [dim] */
};

/* Adds the squares of row `index`, in double and in the order of rows. */
static void energy_task(void *state, int64_t index, int32_t worker) {
    (void)worker;
    const struct energy_job *const job = state;
    const int64_t dim = job->rows->shape[1];
    job->context->kernels->load[job->rows->dtype](quash_array_row(job->rows, index, 0), (size_t)dim,
                                                  job->row);
    for (int64_t i = 0; i < dim; i++) {
        job->energy[i] += (double)job->row[i] * (double)job->row[i];
    }
}

/* The count largest, ascending by channel; a chosen one is marked by a negative energy. */
static void choose_largest(double *energy, int64_t dim, int32_t count, int32_t *channels) {
    for (int32_t chosen = 0; chosen < count; chosen++) {
        int64_t best = -1;
        for (int64_t i = 0; i < dim; i++) {
            if (energy[i] >= 0.0 && (best < 0 || energy[i] > energy[best])) {
                best = i;
            }
        }
        energy[best] = -1.0;
    }
    for (int64_t i = 0; i < dim; i++) {
        if (energy[i] < 0.0) {
            *channels++ = (int32_t)i;
        }
    }
}

quash_status quash_outlier_channels(quash_context *context, const quash_array *rows, int32_t count,
                                    int32_t *channels) {
    if (context == NULL) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "context is NULL");
    }
    QUASH_TRY(quash_check_rows(context, rows, "rows", QUASH_ANY_DTYPE, -1, -1));
    const int64_t dim = rows->shape[1];
    QUASH_TRY(quash_check_range("the size of a row", dim, 1, QUASH_DIM_MAX));
    QUASH_TRY(quash_check_range("count", count, 0, dim));
    QUASH_TRY(quash_check_pointer("channels", channels, count));
    if (rows->shape[0] == 0) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "rows is empty, expected a sample");
    }
    const size_t size = (size_t)dim * (sizeof(double) + sizeof(float));
    void *memory;
    QUASH_TRY(quash_alloc(&context->allocator, size, "the energies of channels", &memory));
    memset(memory, 0, size);
    double *const energy = memory;
    struct energy_job job = { context, rows, (float *)(void *)(energy + dim), energy };
    quash_run(&quash_serial_runner, energy_task, &job, rows->shape[0]);
    choose_largest(energy, dim, count, channels);
    quash_release(&context->allocator, memory, size);
    return QUASH_OK;
}

/* ---- The quantizer ----------------------------------------------------------------------- */

static int32_t most_dim(const quash_mixed_params *params) {
    return params->product ? QUASH_PRODUCT_DIM_MAX : QUASH_DIM_MAX;
}

/* One channel in `share` is an outlier and has regular_bits + 1. */
static const struct rate {
    const char *name;
    int32_t share;
    int32_t regular_bits;
} rates[] = { [QUASH_MIXED_2_25] = { "2.25", 4, 2 },
              [QUASH_MIXED_2_5] = { "2.5", 2, 2 },
              [QUASH_MIXED_3_5] = { "3.5", 2, 3 } };

quash_status quash_mixed_preset_params(quash_mixed_params *params, int32_t preset, int32_t dim) {
    if (params == NULL || params->struct_size != sizeof *params) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "params: struct_size is %u, expected %zu",
                          params == NULL ? 0u : params->struct_size, sizeof *params);
    }
    QUASH_TRY(quash_check_range("preset", preset, QUASH_MIXED_2_25, QUASH_MIXED_3_5));
    QUASH_TRY(quash_check_range("dim", dim, 1, most_dim(params)));
    const struct rate *const rate = &rates[preset];
    if (dim % rate->share != 0) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "dim is %d, expected a multiple of %d for %s bits",
                          (int)dim, (int)rate->share, rate->name);
    }
    params->dim = dim;
    params->regular_bits = rate->regular_bits - (params->product ? 1 : 0);
    params->outlier_bits = params->regular_bits + 1;
    params->outlier_count = dim / rate->share;
    return QUASH_OK;
}

static quash_status check_outliers(const quash_mixed_params *params) {
    QUASH_TRY(quash_check_pointer("outliers", params->outliers, params->outlier_count));
    for (int32_t i = 0; i < params->outlier_count; i++) {
        QUASH_TRY(
            quash_check_range("outliers: a channel", params->outliers[i], 0, params->dim - 1));
        for (int32_t j = 0; j < i; j++) {
            if (params->outliers[i] == params->outliers[j]) {
                return quash_fail(QUASH_ERROR_ARGUMENT, "outliers: channel %d appears twice",
                                  (int)params->outliers[i]);
            }
        }
    }
    return QUASH_OK;
}

static quash_status check_params(const quash_mixed_params *params) {
    const int32_t most_bits = params->product ? 3 : 4;
    QUASH_TRY(quash_check_range("dim", params->dim, 1, most_dim(params)));
    QUASH_TRY(quash_check_range("regular_bits", params->regular_bits, 1, most_bits));
    QUASH_TRY(
        quash_check_range("outlier_bits", params->outlier_bits, params->regular_bits, most_bits));
    QUASH_TRY(quash_check_range("outlier_count", params->outlier_count, 0, params->dim));
    if (!params->product) {
        QUASH_TRY(quash_check_range("scale_policy", params->scale_policy, QUASH_SCALE_LEAST_SQUARES,
                                    QUASH_SCALE_RAW_NORM));
        QUASH_TRY(quash_check_range("search_level", params->search_level, 0, 2));
    }
    return check_outliers(params);
}

quash_status quash_mixed_create(quash_mixed **out, quash_context *context,
                                const quash_mixed_params *params) {
    QUASH_TRY(quash_check_create(out, context, params, params == NULL ? 0 : params->struct_size,
                                 sizeof *params));
    QUASH_TRY(check_params(params));
    return quash_mixed_make(out, context, params);
}

void quash_mixed_free(quash_mixed *mixed) {
    if (mixed != NULL) {
        quash_mixed_destroy(mixed);
    }
}

double quash_mixed_bits(const quash_mixed *mixed) {
    const quash_mixed_params *const params = &mixed->params;
    const double outliers = (double)params->outlier_count * params->outlier_bits;
    const double regular = (double)(params->dim - params->outlier_count) * params->regular_bits;
    return (outliers + regular) / params->dim + (params->product ? 1.0 : 0.0);
}

static quash_status check_kind(const quash_mixed *mixed, int product) {
    if ((mixed->params.product != 0) != product) {
        return quash_fail(QUASH_ERROR_UNSUPPORTED,
                          product ? "mixed was created without product"
                                  : "mixed was created with product: use the product functions");
    }
    return QUASH_OK;
}

/* Codes of both groups lie below their own 2^bits. */
static quash_status check_codes(const quash_mixed *mixed, const quash_array *codes) {
    const int32_t bits[2] = { mixed->params.outlier_bits, mixed->params.regular_bits };
    for (int64_t row = 0; row < codes->shape[0]; row++) {
        const uint8_t *const values = quash_array_row(codes, row, 0);
        for (int g = 0; g < 2; g++) {
            for (int32_t i = 0; i < mixed->groups[g].count; i++) {
                const int32_t channel = mixed->groups[g].channels[i];
                if (values[channel] >> bits[g] != 0) {
                    return quash_fail(QUASH_ERROR_ARGUMENT,
                                      "codes: %u in row %lld, column %d, expected below %d",
                                      values[channel], (long long)row, (int)channel, 1 << bits[g]);
                }
            }
        }
    }
    return QUASH_OK;
}

quash_status quash_mixed_encode(const quash_mixed *mixed, const quash_array *rows,
                                const quash_array *codes, float *scales) {
    const int64_t dim = mixed->params.dim;
    QUASH_TRY(check_kind(mixed, 0));
    QUASH_TRY(quash_check_rows(mixed->context, rows, "rows", QUASH_ANY_DTYPE, -1, dim));
    QUASH_TRY(quash_check_bytes_output(codes, "codes", rows->shape[0], dim));
    QUASH_TRY(quash_check_pointer("scales", scales, rows->shape[0]));
    const struct quash_mixed_arrays arrays = { .rows = rows, .codes = codes, .scales = scales };
    return quash_mixed_run(mixed, QUASH_MIXED_ENCODE, &arrays);
}

quash_status quash_mixed_decode(const quash_mixed *mixed, const quash_array *codes,
                                const float *scales, const quash_array *rows) {
    const int64_t expected[2] = { -1, mixed->params.dim };
    QUASH_TRY(check_kind(mixed, 0));
    QUASH_TRY(quash_array_check_output(rows, "rows", 2, expected));
    const int64_t n = rows->shape[0];
    QUASH_TRY(quash_check_bytes(codes, "codes", n, mixed->params.dim));
    QUASH_TRY(check_codes(mixed, codes));
    QUASH_TRY(quash_check_pointer("scales", scales, n));
    QUASH_TRY(quash_check_scales("scales", scales, 2 * n));
    const struct quash_mixed_arrays arrays = { .rows = rows, .codes = codes, .scales_in = scales };
    return quash_mixed_run(mixed, QUASH_MIXED_DECODE, &arrays);
}

quash_status quash_mixed_product_encode(const quash_mixed *mixed, const quash_array *rows,
                                        const quash_array *codes, const quash_array *signs,
                                        float *norms, float *residual_norms) {
    const int64_t dim = mixed->params.dim;
    QUASH_TRY(check_kind(mixed, 1));
    QUASH_TRY(quash_check_rows(mixed->context, rows, "rows", QUASH_ANY_DTYPE, -1, dim));
    QUASH_TRY(quash_check_bytes_output(codes, "codes", rows->shape[0], dim));
    QUASH_TRY(quash_check_bytes_output(signs, "signs", rows->shape[0], dim));
    QUASH_TRY(quash_check_pointer("norms", norms, rows->shape[0]));
    const struct quash_mixed_arrays arrays = { .rows = rows,
                                               .codes = codes,
                                               .signs = signs,
                                               .scales = norms,
                                               .residual_norms = residual_norms };
    return quash_mixed_run(mixed, QUASH_MIXED_PRODUCT_ENCODE, &arrays);
}

quash_status quash_mixed_product_dot(const quash_mixed *mixed, const quash_array *codes,
                                     const quash_array *signs, const float *norms,
                                     const float *residual_norms, const quash_array *queries,
                                     float *dots) {
    const int64_t dim = mixed->params.dim;
    QUASH_TRY(check_kind(mixed, 1));
    QUASH_TRY(quash_check_rows(mixed->context, queries, "queries", QUASH_FLOATS, -1, dim));
    const int64_t n = queries->shape[0];
    QUASH_TRY(quash_check_bytes(codes, "codes", n, dim));
    QUASH_TRY(quash_check_bytes(signs, "signs", n, dim));
    QUASH_TRY(check_codes(mixed, codes));
    QUASH_TRY(quash_check_pointer("norms", norms, n));
    QUASH_TRY(quash_check_scales("norms", norms, 2 * n));
    if (residual_norms != NULL) {
        QUASH_TRY(quash_check_scales("residual_norms", residual_norms, 2 * n));
    }
    QUASH_TRY(quash_check_pointer("dots", dots, n));
    const struct quash_mixed_arrays arrays = { .rows = queries,
                                               .codes = codes,
                                               .signs = signs,
                                               .scales_in = norms,
                                               .residual_norms_in = residual_norms,
                                               .dots = dots };
    return quash_mixed_run(mixed, QUASH_MIXED_PRODUCT_DOT, &arrays);
}

quash_status quash_mixed_rotate(const quash_mixed *mixed, int32_t inverse, const quash_array *rows,
                                const quash_array *out) {
    QUASH_TRY(
        quash_check_rows(mixed->context, rows, "rows", QUASH_ANY_DTYPE, -1, mixed->params.dim));
    const int64_t expected[2] = { rows->shape[0], mixed->params.dim };
    QUASH_TRY(quash_array_check_output(out, "out", 2, expected));
    const struct quash_mixed_arrays arrays = { .rows = rows, .out = out };
    return quash_mixed_run(mixed, inverse ? QUASH_MIXED_UNROTATE : QUASH_MIXED_ROTATE, &arrays);
}
