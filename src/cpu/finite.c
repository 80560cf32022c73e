/* SPDX-License-Identifier: Apache-2.0 */
/* finite.c: finds NaN and infinity in the caller's arrays before anything is written. */
#include "base/array.h"
#include "base/runner.h"
#include "cpu/first_failure.h"
#include "cpu/rows.h"
#include "kernel/kernel.h"

struct find_job {
    const struct quash_kernels *kernels;
    const quash_array *array;
    int64_t rows;   /* of all leading dimensions */
    int64_t middle; /* size of the second dimension, 1 for a matrix */
    int64_t columns;
    struct quash_first_failure first;
};

static int64_t bad_column(const struct find_job *job, int64_t row) {
    const void *const start = quash_array_row(job->array, row / job->middle, row % job->middle);
    const size_t columns = (size_t)job->columns;
    const size_t column = job->kernels->find_nonfinite[job->array->dtype](start, columns);
    return column < columns ? (int64_t)column : -1;
}

static void find_task(void *state, int64_t index, int32_t worker) {
    (void)worker;
    struct find_job *const job = state;
    int64_t first;
    int64_t end;
    quash_rows_of_task(index, job->rows, &first, &end);
    for (int64_t row = first; row < end; row++) {
        if (bad_column(job, row) >= 0) {
            quash_first_failure_note(&job->first, row);
            return;
        }
    }
}

int quash_cpu_find_nonfinite(const quash_context *context, const quash_array *array,
                             int64_t position[3]) {
    const int64_t middle = array->ndim > 2 ? array->shape[1] : 1;
    if (array->dtype > QUASH_BF16) {
        return 0; /* integers */
    }
    struct find_job job = { .kernels = context->kernels,
                            .array = array,
                            .rows = array->shape[0] * middle,
                            .middle = middle,
                            .columns = array->shape[array->ndim - 1] };
    quash_first_failure_init(&job.first);
    const int64_t tasks = quash_row_tasks(job.rows);
    quash_run(&context->runner, find_task, &job, tasks);
    const int64_t row = quash_first_failure_get(&job.first);
    if (row < 0) {
        return 0;
    }
    position[0] = row / middle;
    position[1] = row % middle;
    position[2] = bad_column(&job, row);
    return 1;
}
