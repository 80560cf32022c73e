/* SPDX-License-Identifier: Apache-2.0 */
/* decode_rows.c: canonical rows back to rows of the caller. */
#include <math.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/runner.h"
#include "base/status.h"
#include "codec/row.h"
#include "cpu/rows.h"

struct decode_job {
    const quash_codec *codec;
    const uint8_t *codes;
    const quash_array *rows;
    unsigned char *scratch;
    size_t scratch_bytes;
};

struct decode_scratch {
    float *row;
    uint8_t *codes;
};

static struct decode_scratch carve(struct quash_arena *arena, size_t dim) {
    struct decode_scratch scratch;
    scratch.row = quash_arena_take(arena, dim, sizeof *scratch.row);
    scratch.codes = quash_arena_take(arena, dim, 1);
    return scratch;
}

static void decode_task(void *state, int64_t index, int32_t worker) {
    const struct decode_job *const job = state;
    const quash_codec *const codec = job->codec;
    const struct quash_kernels *const kernels = codec->quantizer.kernels;
    const size_t dim = codec->rotation.dim;
    struct quash_arena arena = { job->scratch + (size_t)worker * job->scratch_bytes, 0 };
    const struct decode_scratch scratch = carve(&arena, dim);
    const int64_t first = index * QUASH_ROWS_PER_TASK;
    const int64_t count = job->rows->shape[0];
    const int64_t end = first + QUASH_ROWS_PER_TASK < count ? first + QUASH_ROWS_PER_TASK : count;
    for (int64_t row = first; row < end; row++) {
        const uint8_t *const in = job->codes + (size_t)row * quash_codec_bytes_per_row(codec);
        kernels->unpack[codec->params.bits - 1](in + codec->scale_bytes, dim, scratch.codes);
        quash_quantizer_decode(&codec->quantizer, scratch.codes,
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
    struct quash_arena count = { NULL, 0 };
    (void)carve(&count, codec->rotation.dim);
    job.scratch_bytes = count.used;
    const size_t total = count.used * (size_t)context->runner.workers;
    void *memory;
    QUASH_TRY(quash_alloc(&context->allocator, total, "the scratch of decoding", &memory));
    job.scratch = memory;
    quash_run(&context->runner, decode_task, &job,
              (rows->shape[0] + QUASH_ROWS_PER_TASK - 1) / QUASH_ROWS_PER_TASK);
    quash_release(&context->allocator, memory, total);
    return QUASH_OK;
}
