/* SPDX-License-Identifier: Apache-2.0 */
/* product_rows.c: encoding and estimating with the inner-product quantizer (arXiv 2504.19874,
 * Algorithm 2), in plain float. dim^2 operations per row and per query. */
#include "cpu/product_rows.h"

#include <math.h>
#include <string.h>

#include "base/array.h"
#include "base/runner.h"
#include "base/scratch.h"
#include "base/status.h"
#include "cpu/first_failure.h"
#include "cpu/rows.h"
#include "kernel/lanes.h"

struct product_job {
    const quash_product *product;
    const quash_array *rows; /* to encode, or queries */
    const struct quash_product_codes *out;
    const struct quash_product_input *in;
    float *dots;
    struct quash_scratch scratch;
    struct quash_first_failure overflow;
};

struct product_scratch {
    float *row;       /* the direction, then the residual; or the query */
    float *projected; /* S q */
};

static struct product_scratch carve(struct quash_arena *arena, size_t dim) {
    struct product_scratch scratch;
    scratch.row = quash_arena_take(arena, dim, sizeof *scratch.row);
    scratch.projected = quash_arena_take(arena, dim, sizeof *scratch.projected);
    return scratch;
}

static float dot(const float *a, const float *b, size_t n) {
    float lanes[QUASH_LANES] = { 0.0f };
    size_t i = 0;
    for (; i + QUASH_LANES <= n; i += QUASH_LANES) {
        for (size_t lane = 0; lane < QUASH_LANES; lane++) {
            lanes[lane] += a[i + lane] * b[i + lane];
        }
    }
    for (; i < n; i++) {
        lanes[i % QUASH_LANES] += a[i] * b[i];
    }
    return quash_sum_lanes(lanes);
}

/* Turns x into what the levels miss of its direction, in the rotated domain. Returns |x|. */
static float encode_direction(const quash_product *product, float *x, uint8_t *codes) {
    const struct quash_kernels *const kernels = product->context->kernels;
    const size_t dim = product->rotation.dim;
    const float largest = kernels->max_abs(x, dim);
    const float power = largest > 0.0f ? quash_scaling_power(largest) : 1.0f;
    kernels->multiply(x, dim, 1.0f / power);
    quash_rotation_apply(&product->rotation, kernels, x);
    const float norm = sqrtf(kernels->sum_squares(x, dim));
    const float inverse = norm > 0.0f ? 1.0f / norm : 0.0f;
    if (product->params.bits == 1) {
        memset(codes, 0, dim);
    } else {
        const struct quash_levels levels = { product->quantizer.codebook->half,
                                             product->quantizer.codebook->values,
                                             product->quantizer.thresholds[0] };
        (void)kernels->quantize(&levels, x, dim, product->root_dim * inverse, codes);
    }
    for (size_t i = 0; i < dim; i++) {
        x[i] = norm > 0.0f ? x[i] * inverse - quash_product_level(product, codes[i]) : 0.0f;
    }
    return norm * power;
}

static void encode_task(void *state, int64_t index, int32_t worker) {
    struct product_job *const job = state;
    const quash_product *const product = job->product;
    const struct quash_kernels *const kernels = product->context->kernels;
    const size_t dim = product->rotation.dim;
    struct quash_arena arena = quash_scratch_arena(&job->scratch, worker);
    const struct product_scratch scratch = carve(&arena, dim);
    int64_t first;
    int64_t end;
    quash_rows_of_task(index, job->rows->shape[0], &first, &end);
    for (int64_t i = first; i < end; i++) {
        kernels->load[job->rows->dtype](quash_array_row(job->rows, i, 0), dim, scratch.row);
        const float norm =
            encode_direction(product, scratch.row, quash_array_row(job->out->codes, i, 0));
        uint8_t *const signs = quash_array_row(job->out->signs, i, 0);
        for (size_t r = 0; r < dim; r++) {
            signs[r] = dot(product->matrix + r * dim, scratch.row, dim) >= 0.0f;
        }
        job->out->norms[i] = norm;
        if (job->out->residual_norms != NULL) {
            job->out->residual_norms[i] = sqrtf(kernels->sum_squares(scratch.row, dim));
        }
        if (!isfinite(norm)) {
            quash_first_failure_note(&job->overflow, i);
        }
    }
}

quash_status quash_cpu_product_encode(const quash_product *product, const quash_array *rows,
                                      int64_t first, const struct quash_product_codes *out) {
    const quash_context *const context = product->context;
    struct product_job job = { .product = product, .rows = rows, .out = out };
    quash_first_failure_init(&job.overflow);
    struct quash_arena size = { NULL, 0 };
    (void)carve(&size, product->rotation.dim);
    QUASH_TRY(quash_scratch_take(context, size.used, "the scratch of encoding", &job.scratch));
    quash_run(&context->runner, encode_task, &job, quash_row_tasks(rows->shape[0]));
    quash_scratch_give(context, &job.scratch);
    const int64_t row = quash_first_failure_get(&job.overflow);
    if (row >= 0) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "rows: the norm of row %lld exceeds binary32",
                          (long long)(first + row));
    }
    return QUASH_OK;
}

/* <q, u'> and <S q, sign(S r)> of one row, combined. */
static float estimate(const struct product_job *job, int64_t i,
                      const struct product_scratch *scratch) {
    const quash_product *const product = job->product;
    const size_t dim = product->rotation.dim;
    const uint8_t *const codes = quash_array_row(job->in->codes, i, 0);
    const uint8_t *const signs = quash_array_row(job->in->signs, i, 0);
    float levels = 0.0f;
    float sketch = 0.0f;
    for (size_t k = 0; k < dim; k++) {
        levels += scratch->row[k] * quash_product_level(product, codes[k]);
        sketch += signs[k] != 0 ? scratch->projected[k] : -scratch->projected[k];
    }
    const float residual =
        job->in->residual_norms != NULL ? job->in->residual_norms[i] : product->expected_residual;
    return job->in->norms[i] * (levels + product->sign_weight * residual * sketch);
}

/* Loads a query divided by a power of two, so that its products with S stay finite, and projects
 * it. Returns the power. */
static float project_query(const quash_product *product, const void *query, int32_t dtype,
                           const struct product_scratch *scratch) {
    const struct quash_kernels *const kernels = product->context->kernels;
    const size_t dim = product->rotation.dim;
    kernels->load[dtype](query, dim, scratch->row);
    const float largest = kernels->max_abs(scratch->row, dim);
    const float power = largest > 0.0f ? quash_scaling_power(largest) : 1.0f;
    kernels->multiply(scratch->row, dim, 1.0f / power);
    for (size_t r = 0; r < dim; r++) {
        scratch->projected[r] = dot(product->matrix + r * dim, scratch->row, dim);
    }
    return power;
}

static void dot_task(void *state, int64_t index, int32_t worker) {
    const struct product_job *const job = state;
    const quash_product *const product = job->product;
    const size_t dim = product->rotation.dim;
    struct quash_arena arena = quash_scratch_arena(&job->scratch, worker);
    const struct product_scratch scratch = carve(&arena, dim);
    int64_t first;
    int64_t end;
    quash_rows_of_task(index, job->rows->shape[0], &first, &end);
    const void *known = NULL; /* the query whose projection is in scratch */
    float power = 1.0f;
    for (int64_t i = first; i < end; i++) {
        const void *const query = quash_array_row(job->rows, i, 0);
        if (query != known) {
            power = project_query(product, query, job->rows->dtype, &scratch);
            known = query;
        }
        job->dots[i] = estimate(job, i, &scratch) * power;
    }
}

quash_status quash_cpu_product_dot(const quash_product *product,
                                   const struct quash_product_input *in, const quash_array *queries,
                                   float *dots) {
    const quash_context *const context = product->context;
    struct product_job job = { .product = product, .rows = queries, .in = in, .dots = dots };
    struct quash_arena size = { NULL, 0 };
    (void)carve(&size, product->rotation.dim);
    QUASH_TRY(quash_scratch_take(context, size.used, "the scratch of the estimate", &job.scratch));
    quash_run(&context->runner, dot_task, &job, quash_row_tasks(queries->shape[0]));
    quash_scratch_give(context, &job.scratch);
    return QUASH_OK;
}
