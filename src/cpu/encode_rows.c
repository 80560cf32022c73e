/* SPDX-License-Identifier: Apache-2.0 */
/* encode_rows.c: rows of the caller to canonical rows. */
#include "base/array.h"
#include "base/runner.h"
#include "base/scratch.h"
#include "base/status.h"
#include "codec/row.h"
#include "codec/vector_scratch.h"
#include "cpu/first_failure.h"
#include "cpu/rows.h"

struct encode_job {
    const quash_codec *codec;
    const quash_array *rows;
    uint8_t *codes;
    struct quash_scratch scratch;
    struct quash_first_failure overflow; /* row whose scale does not fit */
};

static void encode_task(void *state, int64_t index, int32_t worker) {
    struct encode_job *const job = state;
    const quash_codec *const codec = job->codec;
    const struct quash_kernels *const kernels = codec->quantizer.kernels;
    const size_t dim = codec->rotation.dim;
    struct quash_arena arena = quash_scratch_arena(&job->scratch, worker);
    const struct quash_vector_scratch scratch = quash_vector_scratch_carve(&arena, dim);
    const int64_t first = index * QUASH_ROWS_PER_TASK;
    const int64_t count = job->rows->shape[0];
    const int64_t end = first + QUASH_ROWS_PER_TASK < count ? first + QUASH_ROWS_PER_TASK : count;
    for (int64_t row = first; row < end; row++) {
        uint8_t *const out = job->codes + (size_t)row * quash_codec_bytes_per_row(codec);
        kernels->load[job->rows->dtype](quash_array_row(job->rows, row, 0), dim, scratch.row);
        const struct quash_encoded encoded =
            quash_vector_scratch_encode(&scratch, &codec->quantizer);
        if (!quash_row_put_scale(encoded.scale, codec->params.scale_dtype, out)) {
            quash_first_failure_note(&job->overflow, row);
        }
        kernels->pack[codec->params.bits - 1](encoded.codes, dim, out + codec->scale_bytes);
    }
}

quash_status quash_cpu_encode_rows(const quash_codec *codec, const quash_array *rows,
                                   uint8_t *codes) {
    const quash_context *const context = codec->context;
    struct encode_job job = { .codec = codec, .rows = rows, .codes = codes };
    quash_first_failure_init(&job.overflow);
    QUASH_TRY(quash_scratch_take(context, quash_vector_scratch_bytes(codec->rotation.dim),
                                 "the scratch of encoding", &job.scratch));
    quash_run(&context->runner, encode_task, &job,
              (rows->shape[0] + QUASH_ROWS_PER_TASK - 1) / QUASH_ROWS_PER_TASK);
    quash_scratch_give(context, &job.scratch);
    const int64_t row = quash_first_failure_get(&job.overflow);
    if (row >= 0) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "rows: the scale of row %lld exceeds %s",
                          (long long)row,
                          codec->params.scale_dtype == QUASH_F16
                              ? "binary16 (65504); use scale_dtype QUASH_F32"
                              : "binary32");
    }
    return QUASH_OK;
}
