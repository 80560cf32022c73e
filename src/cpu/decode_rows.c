/* SPDX-License-Identifier: Apache-2.0 */
/* decode_rows.c: canonical rows back to rows of the caller. */
#include <math.h>

#include "base/array.h"
#include "base/runner.h"
#include "base/scratch.h"
#include "base/status.h"
#include "codec/row.h"
#include "codec/vector_scratch.h"
#include "cpu/rows.h"

struct decode_job {
    const quash_codec *codec;
    const uint8_t *codes;
    const quash_array *rows;
    struct quash_scratch scratch;
};

static void decode_task(void *state, int64_t index, int32_t worker) {
    const struct decode_job *const job = state;
    const quash_codec *const codec = job->codec;
    const struct quash_kernels *const kernels = codec->quantizer.kernels;
    const size_t dim = codec->rotation.dim;
    struct quash_arena arena = quash_scratch_arena(&job->scratch, worker);
    const struct quash_vector_scratch scratch = quash_vector_scratch_carve(&arena, dim);
    const int64_t first = index * QUASH_ROWS_PER_TASK;
    const int64_t count = job->rows->shape[0];
    const int64_t end = first + QUASH_ROWS_PER_TASK < count ? first + QUASH_ROWS_PER_TASK : count;
    for (int64_t row = first; row < end; row++) {
        const uint8_t *const in = job->codes + (size_t)row * quash_codec_bytes_per_row(codec);
        kernels->unpack[codec->params.bits - 1](in + codec->scale_bytes, dim, scratch.codes_a);
        quash_quantizer_decode(&codec->quantizer, scratch.codes_a,
                               quash_row_get_scale(in, codec->params.scale_dtype), scratch.row);
        kernels->store[job->rows->dtype](scratch.row, dim, quash_array_row(job->rows, row, 0));
    }
}

/* Stored bytes are not trusted: a scale must be finite and not negative. */
static quash_status check_scales(const quash_codec *codec, const uint8_t *codes, int64_t rows) {
    for (int64_t row = 0; row < rows; row++) {
        const float scale =
            quash_row_get_scale(codes + (size_t)row * quash_codec_bytes_per_row(codec),
                                codec->params.scale_dtype);
        if (!isfinite(scale) || scale < 0.0f) {
            return quash_fail(QUASH_ERROR_FORMAT, "codes: row %lld has the scale %g",
                              (long long)row, (double)scale);
        }
    }
    return QUASH_OK;
}

quash_status quash_cpu_decode_rows(const quash_codec *codec, const uint8_t *codes,
                                   const quash_array *rows) {
    const quash_context *const context = codec->context;
    QUASH_TRY(check_scales(codec, codes, rows->shape[0]));
    struct decode_job job = { .codec = codec, .codes = codes, .rows = rows };
    QUASH_TRY(quash_scratch_take(context, quash_vector_scratch_bytes(codec->rotation.dim),
                                 "the scratch of decoding", &job.scratch));
    quash_run(&context->runner, decode_task, &job,
              (rows->shape[0] + QUASH_ROWS_PER_TASK - 1) / QUASH_ROWS_PER_TASK);
    quash_scratch_give(context, &job.scratch);
    return QUASH_OK;
}
