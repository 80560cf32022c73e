/* SPDX-License-Identifier: Apache-2.0 */
/* decode_rows.c: canonical rows, or unpacked codes and scales, back to rows of the caller. */
#include "base/array.h"
#include "base/runner.h"
#include "base/scratch.h"
#include "base/status.h"
#include "codec/row.h"
#include "codec/vector_scratch.h"
#include "cpu/rows.h"

struct decode_job {
    const quash_codec *codec;
    const uint8_t *packed;       /* canonical rows, or NULL: */
    const quash_array *unpacked; /* codes one by one, and */
    const float *scales;         /* scales */
    const quash_array *rows;
    struct quash_scratch scratch;
};

/* The codes of a row, unpacked into buffer unless they are so already, and its scale. */
static const uint8_t *get_row(const struct decode_job *job, int64_t row, uint8_t *buffer,
                              float *scale) {
    const quash_codec *const codec = job->codec;
    if (job->packed == NULL) {
        *scale = job->scales[row];
        return quash_array_row(job->unpacked, row, 0);
    }
    const uint8_t *const in = job->packed + (size_t)row * quash_codec_bytes_per_row(codec);
    codec->quantizer.kernels->unpack[codec->params.bits - 1](in + codec->scale_bytes,
                                                             codec->rotation.dim, buffer);
    *scale = quash_row_get_scale(in, codec->params.scale_dtype);
    return buffer;
}

static void decode_task(void *state, int64_t index, int32_t worker) {
    const struct decode_job *const job = state;
    const quash_codec *const codec = job->codec;
    const size_t dim = codec->rotation.dim;
    struct quash_arena arena = quash_scratch_arena(&job->scratch, worker);
    const struct quash_vector_scratch scratch = quash_vector_scratch_carve(&arena, dim);
    int64_t first;
    int64_t end;
    quash_rows_of_task(index, job->rows->shape[0], &first, &end);
    for (int64_t row = first; row < end; row++) {
        float scale;
        const uint8_t *const codes = get_row(job, row, scratch.codes_a, &scale);
        quash_quantizer_decode(&codec->quantizer, codes, scale, scratch.row);
        codec->quantizer.kernels->store[job->rows->dtype](scratch.row, dim,
                                                          quash_array_row(job->rows, row, 0));
    }
}

static quash_status run(struct decode_job *job) {
    const quash_context *const context = job->codec->context;
    QUASH_TRY(quash_scratch_take(context, quash_vector_scratch_bytes(job->codec->rotation.dim),
                                 "the scratch of decoding", &job->scratch));
    quash_run(&context->runner, decode_task, job, quash_row_tasks(job->rows->shape[0]));
    quash_scratch_give(context, &job->scratch);
    return QUASH_OK;
}

/* Stored bytes are not trusted: a scale must be finite and not negative. */
static quash_status check_scales(const quash_codec *codec, const uint8_t *codes, int64_t rows) {
    for (int64_t row = 0; row < rows; row++) {
        const float scale = quash_row_get_scale(
            codes + (size_t)row * quash_codec_bytes_per_row(codec), codec->params.scale_dtype);
        if (!quash_is_scale(scale)) {
            return quash_fail(QUASH_ERROR_FORMAT, "codes: row %lld has the scale %g",
                              (long long)row, (double)scale);
        }
    }
    return QUASH_OK;
}

quash_status quash_cpu_decode_rows(const quash_codec *codec, const uint8_t *codes,
                                   const quash_array *rows) {
    struct decode_job job = { .codec = codec, .packed = codes, .rows = rows };
    QUASH_TRY(check_scales(codec, codes, rows->shape[0]));
    return rows->shape[0] == 0 ? QUASH_OK : run(&job);
}

quash_status quash_cpu_decode_codes(const quash_codec *codec, const quash_array *codes,
                                    const float *scales, const quash_array *rows) {
    struct decode_job job = { .codec = codec, .unpacked = codes, .scales = scales, .rows = rows };
    return rows->shape[0] == 0 ? QUASH_OK : run(&job);
}
