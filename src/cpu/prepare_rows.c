/* SPDX-License-Identifier: Apache-2.0 */
/* prepare_rows.c: rows of the caller as binary32, normalised under cosine. */
#include <math.h>

#include "base/array.h"
#include "base/runner.h"
#include "base/status.h"
#include "cpu/blocks.h"
#include "cpu/first_failure.h"
#include "cpu/rows.h"

struct prepare_job {
    const struct quash_kernels *kernels;
    const quash_array *rows;
    size_t dim;
    int normalise;
    float *out;
    struct quash_first_failure zero;
    struct quash_first_failure too_long;
};

/* Returns 0 for a zero row. A power of two first, so that squares neither overflow nor vanish. */
static int normalise_row(const struct quash_kernels *kernels, float *row, size_t dim) {
    const float largest = kernels->max_abs(row, dim);
    if (largest == 0.0f) {
        return 0;
    }
    kernels->multiply(row, dim, 1.0f / quash_scaling_power(largest));
    kernels->multiply(row, dim, 1.0f / sqrtf(kernels->sum_squares(row, dim)));
    return 1;
}

static void prepare_task(void *state, int64_t index, int32_t worker) {
    (void)worker;
    struct prepare_job *const job = state;
    int64_t first;
    int64_t end;
    quash_rows_of_task(index, job->rows->shape[0], &first, &end);
    for (int64_t i = first; i < end; i++) {
        float *const row = job->out + (size_t)i * job->dim;
        job->kernels->load[job->rows->dtype](quash_array_row(job->rows, i, 0), job->dim, row);
        if (job->normalise && !normalise_row(job->kernels, row, job->dim)) {
            quash_first_failure_note(&job->zero, i);
        }
        if (!job->normalise && job->kernels->sum_squares(row, job->dim) > QUASH_ROW_SQUARES_MAX) {
            quash_first_failure_note(&job->too_long, i);
        }
    }
}

quash_status quash_cpu_prepare_rows(const quash_context *context, int32_t metric,
                                    const quash_array *rows, const char *name, float *out) {
    struct prepare_job job = { .kernels = context->kernels,
                               .rows = rows,
                               .dim = (size_t)rows->shape[1],
                               .normalise = metric == QUASH_METRIC_COSINE,
                               .out = out };
    quash_first_failure_init(&job.zero);
    quash_first_failure_init(&job.too_long);
    quash_run(&context->runner, prepare_task, &job, quash_row_tasks(rows->shape[0]));
    const int64_t zero = quash_first_failure_get(&job.zero);
    if (zero >= 0) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "%s: row %lld is zero and has no cosine", name,
                          (long long)zero);
    }
    const int64_t too_long = quash_first_failure_get(&job.too_long);
    if (too_long >= 0) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "%s: row %lld is longer than 2^60", name,
                          (long long)too_long);
    }
    return QUASH_OK;
}
