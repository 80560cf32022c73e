/* SPDX-License-Identifier: Apache-2.0 */
/* encode_rows.c: rows of the caller to canonical rows, or to unpacked codes and scales. */
#include <math.h>

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
    int64_t first;               /* number of the first row in messages */
    uint8_t *packed;             /* canonical rows, or NULL: */
    const quash_array *unpacked; /* codes one by one, and */
    float *scales;               /* scales */
    struct quash_scratch scratch;
    struct quash_first_failure overflow; /* row whose scale does not fit */
};

/* Returns 0 when the scale does not fit. */
static int put_row(const struct encode_job *job, int64_t row, const struct quash_encoded *encoded) {
    const quash_codec *const codec = job->codec;
    if (job->packed == NULL) {
        memcpy(quash_array_row(job->unpacked, row, 0), encoded->codes, codec->rotation.dim);
        job->scales[row] = encoded->scale;
        return isfinite(encoded->scale) != 0;
    }
    uint8_t *const out = job->packed + (size_t)row * quash_codec_bytes_per_row(codec);
    codec->quantizer.kernels->pack[codec->params.bits - 1](encoded->codes, codec->rotation.dim,
                                                           out + codec->scale_bytes);
    return quash_row_put_scale(encoded->scale, codec->params.scale_dtype, out);
}

static void encode_task(void *state, int64_t index, int32_t worker) {
    struct encode_job *const job = state;
    const quash_codec *const codec = job->codec;
    const size_t dim = codec->rotation.dim;
    struct quash_arena arena = quash_scratch_arena(&job->scratch, worker);
    const struct quash_vector_scratch scratch = quash_vector_scratch_carve(&arena, dim);
    int64_t first;
    int64_t end;
    quash_rows_of_task(index, job->rows->shape[0], &first, &end);
    for (int64_t row = first; row < end; row++) {
        codec->quantizer.kernels->load[job->rows->dtype](quash_array_row(job->rows, row, 0), dim,
                                                         scratch.row);
        const struct quash_encoded encoded =
            quash_vector_scratch_encode(&scratch, &codec->quantizer);
        if (!put_row(job, row, &encoded)) {
            quash_first_failure_note(&job->overflow, row);
        }
    }
}

static quash_status run(struct encode_job *job) {
    const quash_codec *const codec = job->codec;
    const quash_context *const context = codec->context;
    quash_first_failure_init(&job->overflow);
    QUASH_TRY(quash_scratch_take(context, quash_vector_scratch_bytes(codec->rotation.dim),
                                 "the scratch of encoding", &job->scratch));
    quash_run(&context->runner, encode_task, job, quash_row_tasks(job->rows->shape[0]));
    quash_scratch_give(context, &job->scratch);
    const int64_t row = quash_first_failure_get(&job->overflow);
    if (row >= 0) {
        const int half = job->packed != NULL && codec->params.scale_dtype == QUASH_F16;
        return quash_fail(QUASH_ERROR_ARGUMENT, "rows: the scale of row %lld exceeds %s",
                          (long long)(job->first + row),
                          half ? "binary16 (65504); use scale_dtype QUASH_F32" : "binary32");
    }
    return QUASH_OK;
}

quash_status quash_cpu_encode_rows(const quash_codec *codec, const quash_array *rows,
                                   uint8_t *codes) {
    struct encode_job job = { .codec = codec, .rows = rows, .packed = codes };
    return rows->shape[0] == 0 ? QUASH_OK : run(&job);
}

quash_status quash_cpu_encode_codes(const quash_codec *codec, const quash_array *rows,
                                    int64_t first, const quash_array *codes, float *scales) {
    struct encode_job job = {
        .codec = codec, .rows = rows, .first = first, .unpacked = codes, .scales = scales
    };
    return rows->shape[0] == 0 ? QUASH_OK : run(&job);
}
