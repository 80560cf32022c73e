/* SPDX-License-Identifier: Apache-2.0 */
/* rotate_rows.c: rows of the caller by a rotation or its inverse. */
#include "base/array.h"
#include "base/runner.h"
#include "base/scratch.h"
#include "base/status.h"
#include "codec/vector_scratch.h"
#include "cpu/rows.h"

struct rotate_job {
    const struct quash_kernels *kernels;
    const struct quash_rotation *rotation;
    int inverse;
    const quash_array *rows;
    const quash_array *out;
    struct quash_scratch scratch;
};

static void rotate_task(void *state, int64_t index, int32_t worker) {
    const struct rotate_job *const job = state;
    const struct quash_kernels *const kernels = job->kernels;
    const size_t dim = job->rotation->dim;
    struct quash_arena arena = quash_scratch_arena(&job->scratch, worker);
    float *const row = quash_vector_scratch_carve(&arena, dim).row;
    int64_t first;
    int64_t end;
    quash_rows_of_task(index, job->rows->shape[0], &first, &end);
    for (int64_t i = first; i < end; i++) {
        kernels->load[job->rows->dtype](quash_array_row(job->rows, i, 0), dim, row);
        /* By a power of two, so that sums of large coordinates stay finite. */
        const float largest = kernels->max_abs(row, dim);
        const float power = largest > 0.0f ? quash_scaling_power(largest) : 1.0f;
        kernels->multiply(row, dim, 1.0f / power);
        if (job->inverse) {
            quash_rotation_undo(job->rotation, kernels, row);
        } else {
            quash_rotation_apply(job->rotation, kernels, row);
        }
        kernels->multiply(row, dim, power);
        kernels->store[job->out->dtype](row, dim, quash_array_row(job->out, i, 0));
    }
}

quash_status quash_cpu_rotate_rows(const quash_context *context,
                                   const struct quash_rotation *rotation, int inverse,
                                   const quash_array *rows, const quash_array *out) {
    struct rotate_job job = { .kernels = context->kernels,
                              .rotation = rotation,
                              .inverse = inverse,
                              .rows = rows,
                              .out = out };
    QUASH_TRY(quash_scratch_take(context, quash_vector_scratch_bytes(rotation->dim),
                                 "the scratch of rotation", &job.scratch));
    quash_run(&context->runner, rotate_task, &job, quash_row_tasks(rows->shape[0]));
    quash_scratch_give(context, &job.scratch);
    return QUASH_OK;
}
